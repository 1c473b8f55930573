"""The GPUs of this machine as a table, and how many of them, with how much memory, each part of a run needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError

PRETENDED = "XLIFT_DEVICES"
"""The environment variable that replaces the table of GPUs, such as ``0:24,1:24``, to try out how a run would be distributed."""


@dataclass(frozen=True)
class Device:
    """One GPU, real or pretended."""

    name: str
    """The name that CUDA_VISIBLE_DEVICES takes."""
    gib: float | None = None
    """The memory; None if it was not given."""


@dataclass(frozen=True)
class Need:
    """What a stage needs of devices."""

    count: int = 1
    gib: float = 0.0
    """The memory on each, by the model of estimates.py; 0 if it is not known."""


def list_devices(suite: Suite, environment: Mapping[str, str]) -> tuple[Device, ...]:
    """The devices that a run may use, in order; none on a machine without a GPU.

    Raises UserError if the suite names one that does not exist.
    """
    pretended = environment.get(PRETENDED)
    there = _read_table(pretended.split(","), PRETENDED) if pretended else tuple(map(Device, find_gpus(environment)))
    asked = _read_table(suite.resources.devices, "resources.devices")
    known = {device.name: device for device in there}
    for device in asked:
        if device.name not in known:
            have = f"has {', '.join(known)}" if known else "has no GPU"
            raise UserError(f"resources.devices: there is no device {device.name!r}: this machine {have}")
    return tuple(Device(one.name, one.gib or known[one.name].gib) for one in asked) or there


def choose_devices(free: Sequence[Device], need: Need) -> tuple[Device, ...]:
    """The smallest free devices that are large enough; none if there are too few."""
    large = sorted((device for device in free if is_large_enough(device, need)), key=lambda device: device.gib or float("inf"))
    return tuple(large[: need.count]) if len(large) >= need.count else ()


def is_large_enough(device: Device, need: Need) -> bool:
    """Whether each device's memory, if it is known, is as large as needed."""
    return device.gib is None or need.gib <= device.gib


def require_room(devices: Sequence[Device], what: str, need: Need, remedy: str) -> None:
    """Raise UserError, which ends in the ``remedy``, if some work fits no device, or needs more devices than there are."""
    if need.count > len(devices):
        raise UserError(f"{what} takes {need.count} devices, and there are {len(devices)} ({_name(devices)})")
    if len([device for device in devices if is_large_enough(device, need)]) < need.count:
        largest = max(device.gib or 0.0 for device in devices)
        raise UserError(f"{what} takes {need.gib:.1f} GiB by the memory model, and no device has more than {largest:g} GiB; {remedy}")


def _read_table(entries: Iterable[str], where: str) -> tuple[Device, ...]:
    found: dict[str, Device] = {}
    for entry in entries:
        name, colon, size = entry.strip().partition(":")
        try:
            gib = float(size) if colon else None
        except ValueError:
            gib = -1.0
        if not name or name in found or (gib is not None and not gib > 0):
            raise UserError(f"{where}: {entry!r}: name each device once, with its memory in GiB behind a colon or without: 0:24")
        found[name] = Device(name, gib)
    return tuple(found.values())


def find_gpus(environment: Mapping[str, str]) -> list[str]:
    """The names of the GPUs that CUDA would see, found without loading torch."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    count = len([path for path in Path("/dev").glob("nvidia*") if path.name.removeprefix("nvidia").isdecimal()])
    if not count:
        return []
    return [str(number) for number in range(count)] if visible is None else [name for name in visible.split(",") if name]


def _name(devices: Iterable[Device]) -> str:
    return ", ".join(device.name for device in devices)

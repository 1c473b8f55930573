"""The table of devices, and which of them a stage gets."""

from pathlib import Path

import pytest
from shared_runs import suite_of

from xlift.harness.config.suite import Suite, read_suite
from xlift.harness.core.errors import UserError
from xlift.harness.pipeline.devices import Device, Need, choose_devices, list_devices, require_room

SMALL, LARGE, UNKNOWN = Device("0", 24), Device("1", 80), Device("2")


def ask(*devices: str) -> Suite:
    return read_suite(suite_of(Path("base"), resources={"devices": devices}), "test")


def test_the_suite_chooses_among_the_devices_that_there_are() -> None:
    there = {"XLIFT_DEVICES": "0:24,1:80,2"}
    assert list_devices(ask(), there) == (SMALL, LARGE, UNKNOWN)
    assert list_devices(ask("2:16", "1"), there) == (Device("2", 16), LARGE)


def test_more_devices_than_there_are() -> None:
    with pytest.raises(UserError, match="^resources.devices: there is no device '3': this machine has 0, 1$"):
        list_devices(ask("3"), {"XLIFT_DEVICES": "0,1"})


@pytest.mark.parametrize("entry", ["", "0:", "0:x", "0:-1", "0,0", ":24", "0:nan"])
def test_a_table_that_cannot_be_read(entry: str) -> None:
    with pytest.raises(UserError, match="name each device once, with its memory in GiB"):
        list_devices(ask(), {"XLIFT_DEVICES": f"1:24,{entry}"})


@pytest.mark.parametrize(
    ("free", "need", "chosen"),
    [
        ((LARGE, SMALL), Need(1, 10), (SMALL,)),
        ((LARGE, SMALL), Need(1, 30), (LARGE,)),
        ((SMALL,), Need(1, 30), ()),
        ((UNKNOWN,), Need(1, 30), (UNKNOWN,)),
        ((LARGE, SMALL), Need(2, 10), (SMALL, LARGE)),
        ((LARGE,), Need(2, 10), ()),
    ],
)
def test_the_smallest_that_is_large_enough(free: tuple[Device, ...], need: Need, chosen: tuple[Device, ...]) -> None:
    assert choose_devices(free, need) == chosen


def test_what_fits_no_device_is_one_line() -> None:
    with pytest.raises(UserError, match=r"^a training takes 90.0 GiB by the memory model, and no device has more than 80 GiB; buy more$"):
        require_room((SMALL, LARGE), "a training", Need(1, 90), "buy more")
    with pytest.raises(UserError, match=r"^an engine takes 4 devices, and there are 2 \(0, 1\)$"):
        require_room((SMALL, LARGE), "an engine", Need(4), "buy more")
    require_room((SMALL, UNKNOWN), "a training", Need(1, 90), "buy more")

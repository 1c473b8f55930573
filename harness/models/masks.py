"""Masks on disk: which weights of a base are set to 0, as packed bits.

``edit.safetensors`` has one array of bytes for each masked weight, by its name: (outputs, inputs / 8, rounded up), in which the first input
is the highest bit of the first byte, as ``numpy.packbits`` writes it. A bit that is set means that the weight is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xlift.harness.core.errors import UserError, one_line

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

FILE = "edit.safetensors"


def write_masks(masks: Mapping[str, NDArray[Any]], folder: Path) -> None:
    """Write masks, (outputs, inputs) of bool by the name of their weight, into a folder."""
    import numpy as np
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(save({name: np.packbits(masks[name], axis=1) for name in sorted(masks)}))


def read_masks(folder: Path) -> dict[str, NDArray[Any]]:
    """The packed masks of a folder, by the name of their weight. Raises UserError for other numbers, and if no bit is set."""
    packed = read_numbers(folder / FILE)
    for name, bits in packed.items():
        if str(bits.dtype) != "uint8" or bits.ndim != 2:
            raise UserError(f"{folder / FILE}: {name} is {bits.dtype} of shape {bits.shape}, and a mask is packed bits in rows of uint8")
    if not any(bits.any() for bits in packed.values()):
        raise UserError(f"adapter {folder}: its mask is empty, so the base would stay as it is")
    return packed


def read_numbers(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a safetensors file. Raises UserError for a file that is not whole, or holds numbers that numpy does not know."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        found: dict[str, NDArray[Any]] = load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path}: not a whole safetensors file of plain numbers ({one_line(error)}); fetch or make it again") from None
    return found


def count_masked(folder: Path) -> int:
    """The number of weights that a folder's masks set to 0."""
    import numpy as np

    return sum(int(np.unpackbits(bits).sum()) for bits in read_masks(folder).values())


def pack_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the packed mask of a weight of this shape."""
    return (*shape[:-1], -(-shape[-1] // 8))


def apply_masks(model: PreTrainedModel, folder: Path) -> None:
    """Set the masked weights of a model to 0. Its shapes have been checked before."""
    import numpy as np
    import torch

    weights = dict(model.named_parameters())
    with torch.no_grad():
        for name, bits in read_masks(folder).items():
            weight = weights[name]
            weight[torch.from_numpy(np.unpackbits(bits, axis=1, count=weight.shape[1]).astype(bool))] = 0

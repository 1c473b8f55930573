"""Moves of hidden states: data that are kept beside a base like an adapter, and applied inside the engine while the base answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.settings import Section, read_section
from xlift.harness.models.masks import read_numbers
from xlift.harness.models.shape import place_layer, read_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xlift.harness.models.bases import Base

ARRAYS = "steer.safetensors"
"""The file beside ``xlift.json`` with, for each language, vectors (layers, hidden) or maps (layers, hidden, hidden)."""


class Steer(Section):
    """What is added to the states of a model while it answers, by the language of the expected answer. Nothing is trained.

    At each layer a state h becomes h + strength * v, or h + strength * h W if the language has maps W in place of vectors v.
    """

    layers: tuple[int | float, ...] = Field(min_length=1)
    """The states, as ``place_layer`` takes them: n is what comes out of the n-th layer, 0.5 the one at half the depth. The last one, which
    no layer reads, cannot be moved."""
    strengths: dict[str, float] = Field(min_length=1)
    """The strengths by language (short codes). A language that is missing is not changed."""
    positions: Literal["prompt", "answer"]
    """``prompt`` moves only the states of the prompt's last token, ``answer`` those of the answer's tokens too."""
    tasks: tuple[str, ...] = ()
    """Beginnings of the names of the tasks to which it applies; all tasks if there are none."""

    @field_validator("strengths")
    @classmethod
    def _moves(cls, value: dict[str, float]) -> dict[str, float]:
        for lang, strength in value.items():
            if find(lang).code != lang:
                raise UserError(f"strengths go by short codes: write {find(lang).code!r} for {lang!r}")
            if not strength:
                raise UserError(f"the strength for {lang!r} is 0, which moves nothing")
        return value

    def covers(self, task: str, lang: str) -> bool:
        """Whether the states of this task's items in this language are moved."""
        return lang in self.strengths and (not self.tasks or task.startswith(self.tasks))


def read_steer(card: Mapping[str, object], folder: Path) -> Steer | None:
    """The moves of states in an adapter's card, if it has any, checked against the arrays beside it.

    Raises UserError for values that are not valid, and for arrays that are missing, damaged or move nothing.
    """
    steer = read_section(Steer, card, "steer", f"{folder}: xlift.json")
    if steer:
        check_arrays(steer, read_arrays(folder), str(folder / ARRAYS))
    return steer


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays of a folder by language. Raises UserError for a file that is not whole."""
    return read_numbers(folder / ARRAYS)


def count_numbers(folder: Path) -> int:
    """How many numbers a folder's arrays hold."""
    return sum(array.size for array in read_arrays(folder).values())


def check_arrays(steer: Steer, arrays: Mapping[str, NDArray[Any]], where: str) -> None:
    """Raises UserError if a language has no array or one of another shape, if an array holds values that are no numbers, or if it moves
    nothing."""
    import numpy as np

    for lang in steer.strengths:
        if lang not in arrays:
            raise UserError(f"{where}: has nothing for {lang!r}, which the strengths name")
        array = arrays[lang]
        if array.ndim not in (2, 3) or array.shape[0] != len(steer.layers) or array.shape[1] != array.shape[-1]:
            wanted = f"({len(steer.layers)}, hidden) for vectors or ({len(steer.layers)}, hidden, hidden) for maps"
            raise UserError(f"{where}: the array for {lang!r} is {array.shape}; it must be {wanted}")
        if not np.isfinite(array).all():
            raise UserError(f"{where}: the array for {lang!r} holds values that are not finite (NaN or infinity)")
        if not array.any():
            raise UserError(f"{where}: the array for {lang!r} is zero, which moves nothing")


def place_moves(layers: Sequence[int | float], depth: int) -> list[int]:
    """The numbers of the states that are moved, in a base of ``depth`` layers.

    Raises UserError for a state that the base does not have, for the last one, and for one that is named twice.
    """
    placed = [place_layer(layer, depth) for layer in layers]
    if depth in placed or len({*placed}) < len(placed):
        named = ", ".join(map(str, placed))
        raise UserError(f"states {named} are to be moved; name different ones from 0 to {depth - 1}, as no layer reads the last one")
    return placed


def check_base(steer: Steer, folder: Path, base: Base, name: str) -> None:
    """Raises UserError if a base has no such layers, or states of another size."""
    shape = read_shape(base)
    if shape is None:
        return
    try:
        place_moves(steer.layers, shape.layers)
    except UserError as error:
        raise UserError(f"adapter {name}: does not fit base {base.name}: {error}") from None
    sizes = {array.shape[-1] for array in read_arrays(folder).values()}
    if sizes != {shape.hidden}:
        raise UserError(f"adapter {name}: moves states of {min(sizes)} numbers, those of {base.name} have {shape.hidden}")

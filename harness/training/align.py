"""Terms on the hidden states of parallel texts, with or without the likelihood of answers, on the shared trainer.

A pair is a text in the anchor's language and its translation. Every term is a mean over the pairs of a step (``keep`` over the anchors),
whatever passes the step is cut into. Rows are contrasted only with those of their own pass, which batching.py chooses without regard to the
memory. States are read in float32. Nothing is computed above the highest layer that a term names, and no logits. No gradient goes below the
lowest trained layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import Module
from torch.nn.functional import cross_entropy, normalize

from xlift.harness.engines.states import compute_states, pool_states
from xlift.harness.recipes.contract import Align, Term, place_layer
from xlift.harness.training.batching import Course, Pass, Step, split
from xlift.harness.training.reference import ReferenceTrainer
from xlift.harness.training.sft import PassInput

Place = tuple[str, int]
"""How states are pooled, and their layer."""


def contrast(anchors: Tensor, others: Tensor, alike: Tensor, temperature: float, symmetric: bool) -> Tensor:
    """InfoNCE on cosines, one loss for each pair: minus log-softmax of a text's own translation among those of all pairs.

    ``anchors`` and ``others`` are (pairs, hidden). ``alike`` (pairs, pairs) is true for two pairs that share a text, which then is no
    negative example. ``symmetric`` takes the mean of both directions.
    """
    own = torch.arange(len(anchors), device=anchors.device)
    hidden = alike & ~torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    cosines = (normalize(anchors, dim=1) @ normalize(others, dim=1).T / temperature).masked_fill(hidden, -torch.inf)
    there = cross_entropy(cosines, own, reduction="none")
    return (there + cross_entropy(cosines.T, own, reduction="none")) / 2 if symmetric else there


def project(states: Tensor, basis: Tensor | None, complement: bool) -> Tensor:
    """States (texts, hidden) projected on the space of a basis (hidden, rank) of orthonormal columns, or on everything at right angles to
    it; the states themselves without a basis."""
    if basis is None:
        return states
    inside = states @ basis @ basis.T
    return states - inside if complement else inside


def mean_square(difference: Tensor) -> Tensor:
    """The mean square over the numbers of each state."""
    return difference.square().mean(dim=1)


@dataclass(frozen=True)
class Sides:
    """The states of one layer in a pass."""

    anchors: Tensor
    """(pairs, hidden). An anchor with several translations is there once for each of them."""
    others: Tensor
    alike: Tensor
    langs: tuple[str, ...]
    """The languages of the others."""
    kept: Tensor
    """(rows, hidden): every anchor once."""
    before: Mapping[str, Tensor]
    """The states of ``others`` and ``kept`` in the model at the start; empty if no term needs them."""


def measure_term(term: Term, place: int, sides: Sides, arrays: Mapping[str, Tensor]) -> Tensor:
    """The losses of one term at its layer number ``place``: one for each pair, or for ``keep`` one for each anchor."""
    basis = arrays[term.basis][place] if term.basis else None
    if term.name == "contrastive":
        anchors, others = (project(side, basis, term.complement) for side in (sides.anchors, sides.others))
        return contrast(anchors, others, sides.alike, term.temperature, term.symmetric)
    if term.name == "mse":
        return mean_square(project(sides.others - sides.anchors, basis, term.complement))
    if term.name == "keep":
        return mean_square(project(sides.kept - sides.before["kept"], basis, term.complement))
    wanted = torch.stack([arrays[term.directions[lang]][place] for lang in sides.langs])
    return mean_square(project(sides.others - sides.before["others"], basis, term.complement) - wanted)


class HiddenTrainer(ReferenceTrainer):
    """The trainer of ``Align``. A pass holds whole rows, with all their languages, or answers."""

    def __init__(
        self, objective: Align, arrays: Mapping[str, Tensor], course: Course, pad: int, training: str, seconds: float, **arguments: object
    ) -> None:
        self.objective = objective
        super().__init__(course, pad, training, seconds, **arguments)
        self.arrays = {name: array.float().to(self.args.device) for name, array in arrays.items()}
        depth = self.bare.config.get_text_config().num_hidden_layers
        self.terms = [(term, [place_layer(layer, depth) for layer in term.layers]) for term in objective.terms]
        self.reference: dict[Place, Tensor] = {}

    def compute_reference(self, limit: int) -> Mapping[str, Tensor]:
        """The states with which ``keep`` and ``offset`` compare, of every parallel text."""
        places: set[Place] = {(term.pool, layer) for term, layers in self.terms if term.name in ("keep", "offset") for layer in layers}
        found = self._read_all(places, limit) if places else {}
        return {f"{pool}/{layer}": states for (pool, layer), states in found.items()}

    def take_reference(self, found: Mapping[str, Tensor]) -> None:
        places = [name.partition("/") for name in found]
        self.reference = {(pool, int(layer)): found[f"{pool}/{layer}"] for pool, _, layer in places}

    def gather(self, one: Pass, step: Step) -> PassInput:
        """Padded batches with the pairs in them, as places in the concatenated batches; or a batch of answers."""
        corpus = self.course.corpus
        if not corpus.is_parallel(corpus.row_of[one[0][0]]):
            return {**super().gather(one, step), "answers": self.weigh(step)}
        numbers = [number for batch in one for number in batch]
        places = {number: place for place, number in enumerate(numbers)}
        groups, together = self._list_groups([one]), self._list_groups(step)
        pairs = [(members[0], other) for members in groups for other in members[1:]]
        found: PassInput = {
            "batches": [self.pad(batch) for batch in one],
            "anchors": torch.tensor([places[anchor] for anchor, _ in pairs]),
            "others": torch.tensor([places[other] for _, other in pairs]),
            "kept": torch.tensor([places[members[0]] for members in groups]),
            "alike": torch.tensor([[self._share(mine, theirs) for theirs in pairs] for mine in pairs]),
            "langs": tuple(corpus.sequences[other].lang for _, other in pairs),
            "divisors": (sum(len(members) - 1 for members in together), len(together)),
        }
        for place, states in self.reference.items():
            found[_name(place)] = {"others": states[[other for _, other in pairs]], "kept": states[[members[0] for members in groups]]}
        return found

    def weigh(self, step: Step) -> int:
        """The number of response tokens. Pairs are counted in ``gather``, because a step may hold both."""
        return max(1, super().weigh(step))

    def compute_loss(self, model: Module, inputs: PassInput, return_outputs: bool = False, num_items_in_batch: int | None = None) -> Tensor:
        """What one pass adds to the loss of its step."""
        if "answers" in inputs:
            batch = {name: inputs[name] for name in ("input_ids", "attention_mask", "labels")}
            loss = -self.objective.sft_weight * self.score(model, batch).sum() / inputs["answers"]
            self.note("answers", loss)
            return cast(Tensor, loss)
        found = self._read_batches(inputs["batches"])
        pairs, rows = inputs["divisors"]
        total = torch.zeros((), device=self.args.device)
        for number, (term, layers) in enumerate(self.terms, 1):
            for at, layer in enumerate(layers):
                states = found[term.pool, layer]
                before = inputs.get(_name((term.pool, layer)), {})
                anchors, others, kept = (states[inputs[side]] for side in ("anchors", "others", "kept"))
                losses = measure_term(term, at, Sides(anchors, others, inputs["alike"], inputs["langs"], kept, before), self.arrays)
                loss = term.weight * losses.sum() / (rows if term.name == "keep" else pairs) / len(layers)
                self.note(f"{number} {term.name}", loss)
                total = total + loss
        return total

    def _share(self, one: tuple[int, int], other: tuple[int, int]) -> bool:
        """Whether two pairs have a text in common."""
        sequences = self.course.corpus.sequences
        return any(sequences[mine].tokens == sequences[theirs].tokens for mine, theirs in zip(one, other, strict=True))

    def _list_groups(self, passes: Iterable[Pass]) -> list[range]:
        """The sequences of each parallel row, the anchor's first. A row that comes twice at the end of an epoch is there twice."""
        corpus = self.course.corpus
        numbers = sorted(number for one in passes for batch in one for number in batch)
        members = [corpus.members(corpus.row_of[number]) for number in numbers]
        return [group for number, group in zip(numbers, members, strict=True) if group[0] == number and len(group) > 1]

    def _read_batches(self, batches: list[dict[str, Tensor]]) -> dict[Place, Tensor]:
        """The pooled states of concatenated batches, for every pooling and layer of a term."""
        wanted: set[Place] = {(term.pool, layer) for term, layers in self.terms for layer in layers}
        found: dict[Place, list[Tensor]] = {place: [] for place in wanted}
        for batch in batches:
            ids, mask = batch["input_ids"], batch["attention_mask"]
            with self.accelerator.autocast():
                states = compute_states(self.bare, ids, mask, {layer for _, layer in wanted})
            for (pool, layer), pooled in found.items():
                pooled.append(pool_states(states[layer], mask, pool))
        return {place: torch.cat(pooled) for place, pooled in found.items()}

    def _read_all(self, places: set[Place], limit: int) -> dict[Place, Tensor]:
        corpus = self.course.corpus
        parallel = [number for number in self.list_used() if corpus.is_parallel(corpus.row_of[number])]
        hidden = self.bare.config.get_text_config().hidden_size
        found = {place: torch.zeros(len(corpus.sequences), hidden) for place in places}
        self.model.eval()
        with torch.no_grad(), self.accelerator.autocast():
            for batch in split(parallel, corpus.lengths, limit):
                padded = self._prepare_inputs(self.pad(batch))
                mask = padded["attention_mask"]
                states = compute_states(self.bare, padded["input_ids"], mask, {layer for _, layer in places})
                for pool, layer in places:
                    found[pool, layer][list(batch)] = pool_states(states[layer], mask, pool).cpu()
        return found


def _name(place: Place) -> str:
    return f"reference {place[0]} {place[1]}"

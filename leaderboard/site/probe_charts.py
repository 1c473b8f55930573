"""The chart of ``probe.json``: retrieval and cosine by layer, base and adapters, with a text that says the same."""

from __future__ import annotations

from collections.abc import Iterator

from xlift.harness.core.languages import name_language
from xlift.harness.diagnostics.records import Alignment, ModelProbe, Probe, read_probe
from xlift.leaderboard.loading.runs import Run
from xlift.leaderboard.site.charts import STYLES, Chart, Line, Panel, Point

MOST = 12
"""The most languages of one chart. The others are in the numbers."""


def draw_alignment(run: Run) -> Chart | None:
    """The probe results of one model of a run's folder, beside the base.

    None if there is no ``probe.json``, or if it does not contain this model. Raises UserError for one that cannot be read.
    """
    probe = read_probe(run.stage.parent)
    if probe is None or run.record.base.get("sha256") != probe.base.get("sha256"):
        return None
    wanted = (run.record.adapter or {}).get("sha256")
    kept = [one for one in probe.models if one.adapter is None or one.adapter.get("sha256") == wanted]
    if wanted and len(kept) < 2:
        return None
    return draw_probe(probe.model_copy(update={"models": tuple(kept[:2])}))


def draw_probe(probe: Probe) -> Chart | None:
    """The first six models of a probe and its first twelve languages; None if there is no language beside the pivot."""
    models = probe.models[:STYLES]
    languages = [code for code, found in probe.models[0].languages.items() if found.alignment][:MOST]
    if not languages:
        return None
    panels = tuple(panel for code in languages for panel in _draw_language(models, code))
    return Chart(panels, "layer", " ".join(_tell(probe, models, languages)))


def _draw_language(models: tuple[ModelProbe, ...], code: str) -> Iterator[Panel]:
    for measure in ("retrieval", "cosine"):
        lines = []
        for model in models:
            found = model.languages[code].alignment
            if found:
                values = found.retrieval if measure == "retrieval" else found.cosine
                lines.append(Line(model.label, tuple(Point(layer, value) for layer, value in enumerate(values))))
        least = min(0.0, *(point.y for line in lines for point in line.points))
        yield Panel(name_language(code), tuple(lines), f"{measure}, 1 at most", least, 1.0)


def _tell(probe: Probe, models: tuple[ModelProbe, ...], languages: list[str]) -> Iterator[str]:
    part = f" of {probe.sentences_of}" if probe.sentences < probe.sentences_of else ""
    corpus = f"{probe.corpus.name} {probe.corpus.split}"
    yield f"Retrieval and cosine by layer against {name_language(probe.pivot)}, on {probe.sentences}{part} sentences of {corpus}."
    for code in languages:
        parts = [f"{model.label} {_peak(found)}" for model in models if (found := model.languages[code].alignment)]
        yield f"{name_language(code)}: {'; '.join(parts)}."
    if len(models) < len(probe.models) or len(languages) < sum(one.alignment is not None for one in probe.models[0].languages.values()):
        yield f"{len(probe.models)} models and {len(probe.models[0].languages)} languages were measured; the others are in the numbers."


def _peak(found: Alignment) -> str:
    layer, value = best_layer(found)
    return f"retrieves {value:.0%} at layer {layer}, mean cosine {found.score:.2f}"


def best_layer(found: Alignment) -> tuple[int, float]:
    """The layer with the highest retrieval accuracy, averaged over both directions, and that accuracy; of equal ones the first."""
    value = max(found.retrieval)
    return found.retrieval.index(value), value

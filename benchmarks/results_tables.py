"""The tables of docs/results.md that stand between markers, written from the records.

    python benchmarks/results_tables.py            write them anew
    python benchmarks/results_tables.py --first    the first alone, which is faster

A marker is a line ``<!-- table NAME -->``; the table after it ends at an empty line. Cells are those of `xlift report`, with `--over` for
the table of controls.
"""

import argparse
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import xlift

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results.md"
RESULTS = ROOT / "leaderboard" / "results"
COLUMNS = ("FLORES en→es, fr", "FLORES en→de", "English text", "XQuAD es")

CONTROLS = {
    "cross-lingual": ("pivot-only", "translate-then-sft"),
    "star-alignment": ("pivot-only",),
    "self-distillation": ("translate-then-sft",),
    "question-alignment": (),
    "slam": ("question-alignment",),
    "translate-then-sft": ("pivot-only",),
    "pivot-only": (),
    "self-instruct": ("translate-then-sft",),
    "multilingual-reasoning": (),
    "knowledge-triples": (),
    "representation-alignment": ("representation-shuffled",),
    "representation-shuffled": (),
    "subspace-alignment": ("subspace-shuffled",),
    "subspace-repaired": ("subspace-shuffled",),
    "subspace-shuffled": (),
    "knowledge-alignment": ("knowledge-shuffled",),
    "knowledge-shuffled": (),
    "layer-swap": ("layer-average",),
    "layer-average": (),
    "task-arithmetic": ("task-average",),
    "task-average": (),
    "lidr": ("sft-on-chosen",),
    "sft-on-chosen": (),
    "preference-gap": ("preference-gap-shuffled",),
    "preference-gap-shuffled": (),
    "translation-pruning": ("random-pruning",),
    "random-pruning": (),
    "language-neurons": ("random-neurons",),
    "random-neurons": (),
    "intervention": ("intervention-random",),
    "intervention-random": (),
    "language-vector": ("language-vector-random",),
    "language-vector-random": (),
    "query-policy": ("query-policy-static",),
    "query-policy-static": (),
}
"""The rows of methods-small in the order of the page, each with what it is compared with beside the base."""


def read_cells(results: xlift.Results, over: str = "base") -> dict[str, list[str]]:
    """The four cells of each method, by its label without remarks."""
    (table,) = results.overview(over).values()
    columns = [name for name in table.columns if name != "method"]
    order = sorted(columns, key=_place)
    return {str(row["method"]).partition(" (")[0]: [str(row[name]) or "—" for name in order] for row in table.to_dict("records")}


def _place(column: str) -> int:
    """Where a column of the overview stands on the page."""
    return next(at for at, part in enumerate(("from English\nes, fr", "from English\nde", "text", "XQuAD")) if part in column)


def write_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_methods() -> str:
    cells = read_cells(xlift.load_results(RESULTS / "methods-small"))
    assert set(cells) == set(CONTROLS), set(cells) ^ set(CONTROLS)
    return write_table(["row", *COLUMNS], [[f"`{label}`", *cells[label]] for label in CONTROLS])


def write_controls() -> str:
    results = xlift.load_results(RESULTS / "methods-small")
    known: dict[str, dict[str, list[str]]] = {}
    rows = []
    for label, controls in CONTROLS.items():
        for control in controls:
            if control not in known:
                known[control] = read_cells(results, control)
            rows.append([f"`{label}` − `{control}`", *known[control][label]])
    return write_table(["row − control", *COLUMNS], rows)


def write_ablations() -> str:
    small, longer = (xlift.load_results(RESULTS / name) for name in ("methods-small", "ablations-small"))
    shown: list[tuple[str, Mapping[str, list[str]], xlift.Results]] = []
    for results in (small, longer):
        cells = read_cells(results)
        wanted = ("cross-lingual", "star-alignment", "pivot-only", "translate-then-sft") if results is small else tuple(cells)
        shown += [(label, cells, results) for label in wanted]
    rows = [
        [f"`{label}`", _tokens(results, label), *(cell.removesuffix("*") for cell in cells[label]), _chrf(results, label)]
        for label, cells, results in shown
    ]
    return write_table(["row", "tokens (seeds)", *COLUMNS, "chrF++ into es"], sorted(rows))


def _tokens(results: xlift.Results, label: str) -> str:
    costs = results.costs[results.costs["model"].str.partition(" (seed")[0] == label]
    return f"{costs['tokens_trained'].mean():,.0f} ({len(costs)})"


def _chrf(results: xlift.Results, label: str) -> str:
    scores = results.scores
    own = scores[(scores["model"].str.partition(" (seed")[0] == label) & (scores["task"] == "xlift_flores_eng_Latn_spa_Latn")]
    return f"{own[own['metric'] == 'corpus_chrf']['value'].mean():.1f}"


def write_swahili() -> str:
    results = xlift.load_results(RESULTS / "swahili-small")
    (table,) = results.overview().values()
    rows = [
        [f"`{str(label).partition(' (')[0]}`", _tokens(results, str(label).partition(" (")[0]), *cells] for label, *cells in table.values
    ]
    curves = results.curves()
    early = curves[curves["share"] < 1]
    cells = [
        f"{one['value']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]"
        for one in early.sort_values(["kind", "benchmark"]).to_dict("records")
    ]
    rows.append([f"`{early['method'].iloc[0]}`, on the way", f"{early['tokens_trained'].iloc[0]:,.0f} (1)", *cells])
    return write_table(
        ["row", "tokens (seeds)", "FLORES en→sw", "Swahili text", "English text"],
        ([cell.removesuffix("*") for cell in row] for row in rows),
    )


TABLES: Mapping[str, Callable[[], str]] = {
    "methods": write_methods,
    "controls": write_controls,
    "ablations": write_ablations,
    "swahili": write_swahili,
}


def replace_tables(text: str, names: Iterable[str]) -> str:
    """The page with some tables anew. Raises AssertionError if a marker is missing."""
    for name in names:
        pattern = re.compile(rf"(<!-- table {name} -->\n\n)(?:\|[^\n]*\n)*\n?")
        assert len(pattern.findall(text)) == 1, name
        table = TABLES[name]()
        text = pattern.sub(lambda found, table=table: f"{found[1]}{table}\n", text)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", action="store_true")
    options = parser.parse_args()
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(replace_tables(text, list(TABLES)[:1] if options.first else TABLES), encoding="utf-8")


if __name__ == "__main__":
    main()

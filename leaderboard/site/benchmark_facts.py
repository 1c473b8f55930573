"""What a benchmark is: an item of it, its scorer, its floor and ceiling, and how many items tell a step apart."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from xlift.leaderboard.analysis.board import Board
from xlift.leaderboard.analysis.signal import find_floor
from xlift.leaderboard.site.filters import count, points
from xlift.tasks.benchmarks import find_benchmark
from xlift.tasks.examples import Example, find_example

SCORERS = {
    "accuracy": "the share of answers that are right",
    "exact_match": "the share of answers that are a reference, word for word",
    "f1": "how many words an answer shares with its reference (F1, the best of several references)",
    "containment": "the share of answers that hold a reference",
    "corpus_chrf": "how many letters and words all translations share with the references (chrF++)",
    "corpus_spbleu": "how many pieces of words all translations share with the references (spBLEU)",
    "bits_per_byte": "the bits that the model needs for each byte of the reference, of which fewer are better",
    "acc": "the share of items of which the right answer is the likeliest",
    "acc_norm": "the share of items of which the right answer is the likeliest for its length",
    "off_target": "the share of answers in another language than asked for, of which less is better",
    "line_pass_rate": "the share of answers of which every line is in the language that was asked for",
    "win_rate": "the share of answers that a judge prefers to another model's",
}
"""What a headline metric measures, for people."""


def list_facts(board: Board, benchmark: str) -> Iterator[tuple[str, str]]:
    """What a benchmark is, where its floor lies, and what tells a point apart in it."""
    known = find_benchmark(benchmark)
    if known:
        yield "Data", known.dataset
    results = [result for row in board.rows for result in row.results.values() if result.benchmark == benchmark]
    shown = next((result.headline for result in results if result.headline), None)
    if shown:
        yield "Measured by", SCORERS.get(shown, shown.replace("_", " "))
    if items := sorted({result.items for result in results if result.items}):
        all_of = sorted({result.items_of for result in results if result.items_of})
        there = f" of {all_of[0]:,}" if len(all_of) == 1 and all_of != items else ""
        yield "Items of a language", (f"{items[0]:,}" if len(items) == 1 else f"{items[0]:,} to {items[-1]:,}") + there
    metric = results[0].find_metric(shown) if shown else None
    if metric and (floor := find_floor(benchmark, metric)) is not None:
        yield "Floor and ceiling", f"{points(metric.scale * floor)} to 100 points"
    elif metric and metric.group == "likelihood":
        yield "Floor and ceiling", "none: bits have no best value that can be reached"
    rows = board.telling.signal.to_dict("records")
    needed = [one["items_needed"] for one in rows if one["benchmark"] == benchmark and one["metric"] != "off_target"]
    step = "0.01 bits per byte" if metric and metric.most is None else "1 point"
    if told := sorted(float(items) for items in needed if not pd.isna(items)):
        yield f"Items that tell {step} apart", f"about {count(told[len(told) // 2])} of each language, with the seeds at hand"
    elif needed:
        yield f"Items that tell {step} apart", "no number would: seeds differ by more, or nothing changed"


def find_item(board: Board, benchmark: str) -> Example | None:
    """An item in a language that the board has of the benchmark, rather one that was trained; None where no bundled item is alike."""
    results = [result for row in board.rows for result in row.results.values() if result.benchmark == benchmark]
    trained = [code for row in board.rows for code in row.record.trained]
    measured = {result.language for result in results}
    return find_example(benchmark, [*(code for code in trained if code in measured), *sorted(measured)])

"""Run folders as the pipeline leaves them, small and made by hand, for tests of the site."""

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from xlift.harness.core.hashing import digest
from xlift.harness.core.store import Stage, Store, write_json
from xlift.harness.evaluation.records import Record

GOOD, BAD = [1.0] * 18 + [0.0] * 2, [0.0] * 18 + [1.0] * 2
"""Scores of twenty items."""
TASKS = ("xlift_mgsm_direct_en", "xlift_mgsm_direct_es")
VOID = {"meta", "link", "br", "wbr", "img", "input", "hr"}


def write_run(
    root: Path, label: str, tasks: Mapping[str, Sequence[float]], *, suite: str = "s", seed: int | None = None, key: str = "k",
    items_of: int | None = None, answers: Sequence[str] | None = None, day: str = "01", lang: str = "es", metric: str = "accuracy",
    base: str = "tiny", adapter: str = "a", base_sha256: str = "b" * 64, target: str = "siete",
    evaluation: Mapping[str, float] | None = None, share: float = 1.0, control: bool = False,
) -> Path:  # fmt: skip
    """One finished evaluation: 0/1 scores by task; ``answers`` are what the model said to each document, ``evaluation`` its cost."""
    stamp, results, files = f"2026-01-{day}T00-00-00.000001", {}, {}
    for task, values in tasks.items():
        files[task] = f"samples_{task}_{stamp}.jsonl"
        wrong = 1.0 - sum(values) / len(values)
        results[task] = {
            "items": len(values), "items_of": items_of or len(values), "version": "1.0", "data_sha256": "d" * 64, "data_origin": "samples",
            "metrics": {metric: {"value": sum(values) / len(values), "stderr": 0.1}, "off_target": {"value": wrong, "stderr": 0.1}},
            "comparability": f"{task}-{key}", "samples": files[task],
        }  # fmt: skip
    trained = label != "base"
    record = Record(
        suite=suite, label=label, method="cross_lingual" if trained else None, seed=seed, trained=("es",) if trained else (), pivot="en",
        base={"name": base, "sha256": base_sha256}, adapter={"name": "x/adapter", "sha256": adapter * 64} if trained else None,
        engine={"backend": "hf", "dtype": "float32"}, system=None, tasks=results, share=share, control=control,
        cost={
            **({"fit": {"tokens_trained": round(1000 * share)}} if trained else {}),
            **({"evaluate": dict(evaluation)} if evaluation else {}),
        },
    )  # fmt: skip

    def work(folder: Path) -> dict[str, Any]:
        for task, values in tasks.items():
            rows = [
                {
                    "doc_id": number, "doc_hash": f"h{number}", "doc": {"lang": lang}, "target": target, "filter": "none",
                    "arguments": {"gen_args_0": {"arg_0": f"¿{number}?"}}, "resps": [[answers[number] if answers else "ocho"]],
                    "filtered_resps": ["8"], "metrics": [metric, "off_target"], metric: value, "off_target": 1.0 - value,
                }
                for number, value in enumerate(values)
            ]  # fmt: skip
            (folder / files[task]).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return {"finished": f"2026-01-{day}T00:00:00.000001Z", "record": record.model_dump(mode="json")}

    stage = Stage("evaluate", f"stage-{seed}", {"label": label, "day": day, "share": share, "answers": digest(ascii(answers))})
    Store(root).write(stage, work)
    return root


def read_record_of(sample: Path) -> dict[str, str]:
    """The record of the measurement that a file of samples belongs to."""
    return dict(json.loads((sample.parent / "manifest.json").read_text())["record"])


def write_training(root: Path, label: str, *, seed: int = 0, adapter: str = "a", options: Mapping[str, Any] | None = None) -> None:
    """The prepare and fit stages of a run of ``write_run``, and the resolved suite, as the pipeline leaves them."""
    plan = {"rows_sha256": f"{label:r<64}"[:64], "objective": {"kind": "sft"}, "phases": [], "profile": None}
    inputs = {"method": "cross_lingual", "options": options or {"rows": 100}, "languages": ["es"]}
    made = {
        "rows": 100, "generated_tokens": 50, "seconds": 2.0, "corpora": ["alpaca/en"], "translated": {"apertium -u eng-spa": 90},
        "plan": plan, "kinds": {"es/translation": 100}, "drops": {"es/translation: too long": 7},
    }  # fmt: skip
    Store(root).write(Stage("prepare", label, inputs), lambda _: made)
    report = {"tokens_trained": 1000, "seconds": 3.0, "device": "cpu", "curve": [[1, 100, 3.0], [2, 500, 2.5], [3, 1000, 2.25]]}
    done = {"report": report, "adapter_sha256": adapter * 64}
    Store(root).write(Stage("fit", f"{label}-seed{seed}", {"plan": plan, "seed": seed}), lambda _: done)
    (root / "suite.resolved.json").write_text(json.dumps({"name": "s", "methods": {label: {"method": "cross_lingual"}}}))


class Page(HTMLParser):
    """A page's elements, text and links; fails on a tag that is closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == [], self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def write_answers(run: Path, label: str, seed: int | None, answers: list[tuple[str, str]], key: str = "k") -> Path:
    """A finished evaluation with (id, answer) as samples, in the form lm-eval leaves them."""
    task = "xlift_x_alpaca_eval_es"
    folder = run / f"evaluate-{label}-{seed}"
    folder.mkdir(parents=True)
    samples = f"samples_{task}_2026-11-22T00-00-{0 if seed is None else 10 + seed}.jsonl"
    rows = [
        {"doc_id": number, "doc": {"id": id, "instruction": f"Instrucción {id}", "lang": "es"}, "resps": [[text]], "filter": "none"}
        for number, (id, text) in enumerate(answers)
    ]
    (folder / samples).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    result = {"items": len(rows), "items_of": 805, "version": "1.0", "data_sha256": "d", "data_origin": "folder",
              "metrics": {"off_target": {"value": 0.0, "stderr": 0.0}}, "comparability": key, "samples": samples}  # fmt: skip
    record = {"suite": run.name, "label": label, "method": None, "seed": seed, "trained": [], "pivot": "en", "base": {}, "adapter": None,
              "engine": {}, "system": None, "tasks": {task: result}, "cost": {}}  # fmt: skip
    write_json(folder / "manifest.json", {"record": record})
    return folder

"""A wide record: many adapters on many tasks. Seconds and peak memory of the commands that read it.

python benchmarks/wide.py [--adapters 20] [--tasks 500] [--documents 50] [--folder FOLDER]

Answers are sentences of the bundled samples in five languages, each with a number, so that no two are alike.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from xlift.harness.evaluation.records import Record
from xlift.tasks.benchmarks import headline
from xlift.tasks.data import read
from xlift.tasks.index import list_all

STAMP = "2026-01-01T00-00-00.000001"
COMMANDS = {
    "report": ["report", "{run}"],
    "report --json": ["report", "{run}", "--json"],
    "signal": ["signal", "{run}"],
    "fidelity": ["fidelity", "{run}"],
    "site": ["site", "{run}", "--out", "{site}"],
    "site, unchanged": ["site", "{run}", "--out", "{site}"],
    "record": ["record", "{run}", "--out", "{record}"],
}


def list_sentences() -> list[str]:
    languages = ("en", "es", "de", "fr", "sw")
    return [
        next(value for key, value in row.items() if key in ("text", "sentence"))
        for lang in languages
        for row in read("flores", lang, samples="always")
    ]


def write_stage(folder: Path, label: str, tasks: list[str], documents: int, rng: random.Random, sentences: list[str]) -> int:
    """One measured model; returns the bytes of its samples."""
    trained, results, size = label != "base", {}, 0
    stage = folder / f"evaluate-{label}-0"
    stage.mkdir(parents=True)
    for task in tasks:
        metric, file = headline(task.rpartition("_")[0]) or "accuracy", f"samples_{task}_{STAMP}.jsonl"
        values = [float(rng.random() < (0.35 if trained else 0.3)) for _ in range(documents)]
        lines = []
        for number, value in enumerate(values):
            answer = f"{' '.join(rng.sample(sentences, 2))} {label} {task} {number}"
            prompt = f"<|im_start|>user\n{sentences[number % len(sentences)]} {task}<|im_end|>\n<|im_start|>assistant\n"
            lines.append(
                json.dumps(
                    {
                        "doc_id": number,
                        "doc_hash": f"{number:064}",
                        "target": "7",
                        "arguments": {"gen_args_0": {"arg_0": prompt}},
                        "resps": [[answer]],
                        "filtered_resps": ["7"],
                        "filter": "none",
                        "metrics": [metric, "off_target"],
                        metric: value,
                        "off_target": 0.0,
                    }
                )  # fmt: skip
            )
        text = "\n".join(lines) + "\n"
        (stage / file).write_text(text, encoding="utf-8")
        size += len(text)
        scores = {kind: {"value": sum(values) / documents, "stderr": 0.05} for kind in (metric, "off_target")}
        results[task] = {
            "items": documents, "items_of": documents, "version": "1.0", "data_sha256": "d" * 64, "data_origin": "folder",
            "metrics": scores, "comparability": f"{task}-key", "samples": file,
        }  # fmt: skip
    record = Record(
        suite="wide", label=label, method="cross_lingual" if trained else None, seed=0 if trained else None,
        trained=("es",) if trained else (), pivot="en", base={"name": "model", "sha256": "b" * 64},
        adapter={"name": "x/adapter", "sha256": label} if trained else None, engine={"backend": "vllm", "dtype": "bfloat16"}, system=None,
        tasks=results, cost={},
    )  # fmt: skip
    (stage / "manifest.json").write_text(json.dumps({"record": record.model_dump(mode="json")}))
    return size


def run(arguments: list[str], places: dict[str, Path]) -> str:
    """Seconds and peak memory of one command, and of the processes that it starts the largest one's."""
    code = (
        "import resource, sys; from xlift.harness.cli.main import main\n"
        "try: main()\n"
        "finally:\n"
        " kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)\n"
        " print(max(resource.getrusage(kind).ru_maxrss for kind in kinds), file=sys.stderr)"
    )
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, "-c", code, *(argument.format(**places) for argument in arguments)]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{arguments[0]} ends with {done.returncode}: {done.stderr[-500:]}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:8.1f} s   {used:8.1f} s of processors   {int(done.stderr.split()[-1]) * 1024 / 1e6:8.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapters", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=500)
    parser.add_argument("--documents", type=int, default=50)
    parser.add_argument("--folder", type=Path, help="Kept; else a folder that is deleted.")
    options = parser.parse_args()
    names = [row["name"] for row in list_all() if row["name"].startswith(("xlift_flores_", "xlift_mgsm_", "xlift_xquad_", "xlift_mlqa_"))]
    tasks = [name for name in names if "bpb" not in name and name.count("_") > 2][: options.tasks]
    rng, sentences = random.Random(0), list_sentences()
    with tempfile.TemporaryDirectory(prefix="xlift-") as empty:
        folder = options.folder or Path(empty)
        places = {"run": folder / "runs" / "wide", "site": folder / "site", "record": folder / "record"}
        size = 0
        if not places["run"].exists():
            labels = ["base", *(f"adapter-{number:02}" for number in range(options.adapters))]
            size = sum(write_stage(places["run"], label, tasks, options.documents, rng, sentences) for label in labels)
        print(f"{options.adapters} adapters, {len(tasks)} tasks, {options.documents} documents each, {size / 1e6:.0f} MB of samples")
        for name, arguments in COMMANDS.items():
            print(f"{name:16}{run(arguments, places)}", flush=True)


if __name__ == "__main__":
    main()

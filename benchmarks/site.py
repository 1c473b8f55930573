"""Building the site of many runs: seconds, peak memory, an unchanged rebuild, and the size of the index.

python benchmarks/site.py [--runs 1000] [--folder FOLDER]

Each run has 60 task rows, four of them with samples of 50 documents; 25 suites of one base and seven methods with five or six seeds make
200 rows of 1,000 runs. The marks: 60 s, 2 GB, 5 s, 400 KB for 200 rows.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xlift.harness.evaluation.records import Record
from xlift.tasks.benchmarks import headline

MARKS = {"seconds": 60.0, "rebuild_seconds": 5.0, "peak_mb": 2000.0, "index_kb_for_200_rows": 400.0}
SUITES, METHODS, DOCUMENTS = 25, 7, 50
LANGUAGES = ("en", "es", "de", "fr", "zh", "ru", "th", "sw", "bn", "te", "ja", "ar")
BENCHMARKS = ("mgsm_direct", "mgsm_cot", "xquad", "mlqa", "x_alpaca_eval")
TASKS = {f"xlift_{name}_{language}": headline(f"xlift_{name}") or "" for name in BENCHMARKS for language in LANGUAGES}
SAMPLED = [f"xlift_{benchmark}_{language}" for benchmark in ("mgsm_direct", "xquad") for language in ("en", "es")]
STAMP = "2026-01-01T00-00-00.000001"
WORDS = "uno dos tres cuatro cinco seis siete ocho nueve diez " * 4


def list_models(runs: int) -> Iterator[tuple[str, str, int | None]]:
    """Suite, label and seed of each run; with fewer runs there are fewer suites."""
    suites = max(1, round(runs * SUITES / 1000))
    for suite in range(suites):
        yield f"suite-{suite:02}", "base", None
        for method in range(METHODS):
            for seed in range(6 if method < 4 else 5):
                yield f"suite-{suite:02}", f"method-{method}", seed


def write_run(root: Path, suite: str, label: str, seed: int | None, rng: random.Random) -> None:
    trained = label != "base"
    skill = 0.2 + 0.05 * int(label[-1]) if trained else 0.2
    name = label if seed is None else f"{label}-seed{seed}"
    stage = root / suite / f"evaluate-{name}-0"
    stage.mkdir(parents=True)
    adapter = f"{suite}{name}"
    tasks: dict[str, Any] = {}
    for task, metric in TASKS.items():
        values = [float(rng.random() < skill) for _ in range(DOCUMENTS)]
        file = f"samples_{task}_{STAMP}.jsonl" if task in SAMPLED else None
        scores = {kind: {"value": sum(values) / DOCUMENTS, "stderr": 0.05} for kind in dict.fromkeys((metric, "off_target"))}
        about = {"version": "1.0", "data_sha256": "d" * 64, "data_origin": "folder", "comparability": f"{task}-key"}
        tasks[task] = {"items": DOCUMENTS, "items_of": DOCUMENTS, "metrics": scores, "samples": file, **about}
        if file:
            (stage / file).write_text("".join(write_sample(f"{suite} {name} {task}", n, metric, value) for n, value in enumerate(values)))
    record = Record(
        suite=suite, label=label, method="cross_lingual" if trained else None, seed=seed, trained=("es",) if trained else (), pivot="en",
        base={"name": f"model-{suite}", "sha256": f"{suite:b<64}"}, adapter={"name": "x/adapter", "sha256": adapter} if trained else None,
        engine={"backend": "vllm", "dtype": "bfloat16", "device": "cuda"}, system=None, tasks=tasks, cost={},
    )  # fmt: skip
    (stage / "manifest.json").write_text(json.dumps({"record": record.model_dump(mode="json")}))
    if trained:
        curve = [[step, 1000 * step, 3 - step / 100 + rng.random() / 10] for step in range(100)]
        report = {"tokens_trained": 100_000, "seconds": 600.0, "device": "cuda", "curve": curve}
        fit = root / suite / f"fit-{name}-0"
        fit.mkdir()
        (fit / "manifest.json").write_text(json.dumps({"inputs": {}, "report": report, "adapter_sha256": adapter}))


def write_sample(model: str, number: int, metric: str, value: float) -> str:
    """A prompt that models share, and an answer that they don't."""
    suite, _, task = model.split()
    prompt = f"<|im_start|>user\n{suite}, {task}: ¿Cuántos son {number} y {number}? {WORDS}<|im_end|>\n<|im_start|>assistant\n"
    sample = {
        "doc_id": number, "doc_hash": f"{number:064}", "target": str(2 * number), "arguments": {"gen_args_0": {"arg_0": prompt}},
        "resps": [[f"{WORDS}{model} {number}"]], "filtered_resps": [str(number)], "filter": "none", "metrics": [metric, "off_target"],
        metric: value, "off_target": 0.0,
    }  # fmt: skip
    return json.dumps(sample) + "\n"


def build(folder: Path) -> dict[str, float]:
    """Seconds and peak memory of a build in a process of its own."""
    places = f"[Path({str(folder / 'runs')!r})], Path({str(folder / 'site')!r})"
    code = f"from pathlib import Path\nfrom xlift.leaderboard.site.builder import build\nbuild({places})"
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - started, "cpu_seconds": used, "peak_mb": after.ru_maxrss * 1024 / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="Kept; else a folder that is deleted.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="xlift-") as empty:
        folder = options.folder or Path(empty)
        models, rng = list(list_models(options.runs)), random.Random(0)
        if not (folder / "runs").exists():
            for suite, label, seed in models:
                write_run(folder / "runs", suite, label, seed, rng)
        first, again = build(folder), build(folder)
        rows = len({model[:2] for model in models})
        index = (folder / "site" / "index.html").stat().st_size / 1000
        values = (first["seconds"], again["seconds"], first["peak_mb"], index * 200 / rows)
        samples = len(models) * len(SAMPLED) * DOCUMENTS
        print(f"{len(models)} runs, {len(models) * len(TASKS):,} task rows, {samples:,} samples, {rows} rows")
        for (name, mark), value in zip(MARKS.items(), values, strict=True):
            print(f"{name}: {value:.1f} (mark {mark:g}{'' if value <= mark else ': missed'})")
        sizes = {
            part: sum(path.stat().st_size for path in (folder / "site" / part).rglob("*") if path.is_file()) / 1e6
            for part in ("", "samples")
        }
        print(f"site_mb: {sizes['']:.1f}, of it samples {sizes['samples']:.1f}")
        print(f"processor seconds: {first['cpu_seconds']:.1f}, again {again['cpu_seconds']:.1f}")


if __name__ == "__main__":
    main()

"""The model card of an adapter, written from its run alone: every number in it stands in a record, every licence in a manifest."""

from __future__ import annotations

from typing import Any

from xlift.harness.card_text import find_interval, find_papers, list_metrics, write_body
from xlift.harness.publication import Facts
from xlift.harness.results import headline

DATASETS = {
    "xlift_mgsm": ("MGSM", "juletxara/mgsm"),
    "xlift_xquad": ("XQuAD", "google/xquad"),
    "xlift_mlqa": ("MLQA", "facebook/mlqa"),
    "xlift_flores": ("FLORES-200", "mteb/flores"),
    "xlift_x_alpaca_eval": ("X-AlpacaEval", "zhihz0535/X-AlpacaEval"),
}
"""Name and hub repository of each benchmark, by the beginning of its tasks' names."""

CORPORA = {"alpaca/full": "tatsu-lab/alpaca", "gsm8k": "openai/gsm8k"}
"""Training corpora that are hub datasets."""

LISTED: dict[str, tuple[str, str]] = {}
"""Dataset and task id for ``.eval_results``, by task. Empty: as of November 2026 the hub lists none of xlift's benchmarks."""


def write_card(facts: Facts) -> str:
    """README.md of the hub repository: front matter, then the text. The same facts give the same bytes."""
    return f"---\n{_write_front(facts)}\n---\n\n{write_body(facts)}"


def _write_front(facts: Facts) -> str:
    from huggingface_hub import ModelCardData

    made, tags = facts.made, ["xlift", "multilingual", str(facts.made["method"])]
    weighty = facts.adapter.has_weights
    objective = ((made.get("data") or {}).get("plan") or {}).get("objective", {}).get("kind")
    tags += [facts.adapter.peft_type.lower()] if weighty else ["prompting"]
    tags += [objective] if objective and weighty else []
    tags += [f"arxiv:{number}" for number in find_papers(facts)]
    front = ModelCardData(
        base_model=facts.base.id,
        base_model_relation="adapter" if weighty else None,
        base_model_revision=facts.base.revision,
        library_name="peft" if weighty else "xlift",
        pipeline_tag="text-generation",
        language=sorted({code.partition("-")[0] for code in (*made.get("languages", ()), made.get("pivot", "en"))}),
        datasets=sorted({CORPORA[one["name"]] for one in facts.sources if one["name"] in CORPORA and one["certain"]}) or None,
        tags=tags,
        model_name=facts.name,
        eval_results=_list_results(facts) or None,
        **_choose_licence(facts),
    )
    return str(front.to_yaml())


def _choose_licence(facts: Facts) -> dict[str, str]:
    """The training data's terms: one licence by its own tag, several as ``other`` with all their names; none where nothing is known."""
    tags = sorted({tag for source in facts.sources for tag in source["licence"]["tags"]})
    if not tags:
        return {}
    if len(tags) == 1 and tags[0] != "other":
        return {"license": tags[0]}
    return {"license": "other", "license_name": "-and-".join(tags), "license_link": f"https://huggingface.co/{facts.repository}"}


def _list_results(facts: Facts) -> list[Any]:
    from huggingface_hub import EvalResult

    found = []
    for task, result in facts.record.tasks.items() if facts.record else ():
        name, dataset = next((value for start, value in DATASETS.items() if task.startswith(start)), (task, task))
        if result.data_origin == "samples":
            name, dataset = f"{name}, bundled samples", "xlift-samples"
        for metric in list_metrics(task, result):
            score = result.metrics[metric]
            interval = find_interval(metric, score, result.items)
            about = {"items": result.items, "items_of": result.items_of, "comparability": result.comparability}
            found.append(
                EvalResult(
                    task_type="text-generation",
                    task_name=task,
                    dataset_name=name,
                    dataset_type=dataset,
                    dataset_config=task,
                    metric_type=metric,
                    metric_name=metric,
                    metric_value=round(score.value, 6),
                    metric_args=about | ({"interval_95": [round(bound, 6) for bound in interval]} if interval else {}),
                )
            )
    return found


def write_eval_results(facts: Facts) -> str | None:
    """``.eval_results`` entries for the tasks whose dataset the hub lists; None where there is none."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = [
        EvalResultEntry(dataset_id=LISTED[task][0], task_id=LISTED[task][1], value=round(result.metrics[metric].value, 6))
        for task, result in (facts.record.tasks.items() if facts.record else ())
        if task in LISTED and (metric := headline(task)) in result.metrics and result.items == result.items_of
    ]
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False) if entries else None

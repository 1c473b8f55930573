"""The model card of an adapter, written from its run alone: every number in it is in a record, every licence in a manifest."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import import_module
from inspect import getdoc
from typing import TYPE_CHECKING

from xlift.harness.core.errors import UserError
from xlift.harness.core.languages import find
from xlift.harness.core.store import read_object
from xlift.harness.evaluation.records import Record, Score, TaskResult, make_public
from xlift.harness.models.adapters import CONFIG, FULL, MASK, MODULE, POLICY, PROFILE, STEER
from xlift.harness.publishing.dataset_card import describe_files, describe_help, describe_mix, name_plugin, tabulate
from xlift.harness.publishing.loading import write_loading
from xlift.harness.publishing.package import Facts, write_settings
from xlift.harness.publishing.reproduction import list_settings, name_backend
from xlift.tasks.benchmarks import find_benchmark, find_metric
from xlift.tasks.entries import AS_WRITTEN

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

CORPORA = {"alpaca/full": "tatsu-lab/alpaca", "gsm8k": "openai/gsm8k"}
"""Training corpora that are hub datasets."""


def write_card(facts: Facts) -> str:
    """README.md of the hub repository: front matter, then the text. The same facts give the same bytes."""
    return f"---\n{_write_front(facts)}\n---\n\n{write_body(facts)}"


def _write_front(facts: Facts) -> str:
    from huggingface_hub import ModelCardData

    made, tags = facts.made, ["xlift", "multilingual", *([] if facts.is_foreign else [str(facts.made["method"])])]
    weighty = facts.adapter.has_weights
    data = made.get("data") or {}
    objective = (data.get("plan") or {}).get("objective", {}).get("kind") if data.get("rows") else None
    tags += [
        facts.adapter.peft_type.lower() if weighty else {STEER: "steering", MODULE: "encoder"}.get(facts.adapter.peft_type, "prompting")
    ]
    tags += [objective] if objective and weighty else []
    tags += ["mix"] if made.get("parts") else []
    tags += [f"arxiv:{number}" for number in find_papers(facts)]
    front = ModelCardData(
        base_model=facts.base.id,
        base_model_relation=None if not weighty else "finetune" if facts.adapter.peft_type == FULL else "adapter",
        base_model_revision=facts.base.revision,
        library_name={FULL: "transformers", MASK: "xlift"}.get(facts.adapter.peft_type, "peft") if weighty else "xlift",
        pipeline_tag="text-generation",
        language=None
        if facts.is_foreign
        else sorted({code.partition("-")[0] for code in (*made.get("languages", ()), made.get("pivot", "en"))}),
        datasets=sorted({CORPORA[one["name"]] for one in facts.sources if one["name"] in CORPORA and one["certain"]}) or None,
        tags=tags,
        model_name=facts.name,
        eval_results=_list_results(facts) or None,
        **_choose_licence(facts),
    )
    return str(front.to_yaml())


def _choose_licence(facts: Facts) -> dict[str, str]:
    """The training data's terms: one licence by its own tag, several as ``other`` with all their names; none if nothing is known."""
    tags = sorted({tag for source in facts.sources for tag in source["licence"]["tags"]})
    if not tags:
        return {}
    if len(tags) == 1 and tags[0] != "other":
        return {"license": tags[0]}
    return {"license": "other", "license_name": "-and-".join(tags), "license_link": f"https://huggingface.co/{facts.repository}"}


def _list_results(facts: Facts) -> list[EvalResult]:
    from huggingface_hub import EvalResult

    found = []
    for task, result in facts.record.tasks.items() if facts.record else ():
        benchmark = find_benchmark(result.benchmark)
        name, dataset = (benchmark.title, benchmark.dataset) if benchmark else (task, task)
        if result.data_origin == "samples":
            name, dataset = f"{name}, bundled samples", "xlift-samples"
        for metric in list_metrics(result):
            score = result.metrics[metric]
            interval = find_interval(metric, score, _count_scored(metric, result))
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
    """``.eval_results`` entries for the tasks whose dataset the hub lists; None if there are none."""
    import yaml
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    entries = []
    for task, result in facts.record.tasks.items() if facts.record else ():
        benchmark = find_benchmark(result.benchmark)
        if benchmark and task in benchmark.hub_tasks and benchmark.headline in result.metrics and result.items == result.items_of:
            value = round(result.metrics[benchmark.headline].value, 6)
            entries.append(EvalResultEntry(dataset_id=benchmark.dataset, task_id=benchmark.hub_tasks[task], value=value))
    return yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False) if entries else None


def write_body(facts: Facts) -> str:
    """The card's text, as Markdown."""
    made = facts.made
    if facts.is_foreign:
        return _write_foreign(facts)
    languages = ", ".join(f"{find(code).name} ({code})" for code in made.get("languages", ())) or "no language"
    what, base, board = _introduce(facts)
    control = " It is a control, which leaves out the idea of its method." if facts.record and facts.record.control else ""
    sections = {
        "": f"# {facts.name}\n\n{what} for {base}, made by the method `{made['method']}` of xlift for {languages}.{control}{board}",
        "Method": _write_method(facts),
        "Parts": _write_parts(facts),
        "Training data and licences": _write_data(facts),
        "Settings": _write_settings(facts),
        "Cost": _write_cost(facts),
        "Evaluation": _write_evaluation(facts),
        "Loading": write_loading(facts),
        "Inference profile": _write_profile(facts),
        "Limits": _write_limits(facts),
        "Reproducing": _write_reproduction(facts),
    }
    return _join_sections(sections)


def _join_sections(sections: Mapping[str, str]) -> str:
    return "\n\n".join(f"## {title}\n\n{text}" if title else text for title, text in sections.items() if text) + "\n"


def _introduce(facts: Facts) -> tuple[str, str, str]:
    """What it is, its base as a link, and the link to its leaderboard row."""
    sort = facts.adapter.peft_type
    named = {
        "LORA": "A LoRA adapter", FULL: "A model with all its weights, tuned", MASK: "A mask of weights", PROFILE: "An inference profile",
        POLICY: "A choice among inference profiles",
        STEER: "Moves of hidden states (no weights, and PEFT cannot load them)",
        MODULE: "The projection of an encoder's states (the base's weights stay, and PEFT cannot load it)",
    }  # fmt: skip
    what = named.get(sort, "An adapter")
    base = f"[`{facts.base.id}`](https://huggingface.co/{facts.base.id})" + (f" at `{facts.base.revision}`" if facts.base.revision else "")
    board = f"\n\nIts row on the leaderboard: {facts.leaderboard}" if facts.leaderboard else ""
    return what, base, board


def _write_foreign(facts: Facts) -> str:
    """The card of an adapter that xlift did not train."""
    what, base, board = _introduce(facts)
    about = "It was not trained by xlift: this card says what its files hold and what was measured, and nothing else is known here."
    return _join_sections(
        {
            "": f"# {facts.name}\n\n{what} for {base}. {about}{board}",
            "Method": "Not known.",
            "Training data and licences": "Not known. Whoever uses it has to find out which licences its training data set.",
            "Settings": f"What its `{CONFIG}` says; how it was trained is not known.\n\n{_fence(_read_config(facts))}",
            "Evaluation": _write_evaluation(facts),
            "Loading": write_loading(facts),
            "Limits": "- Which languages it was trained for is not known; of all languages only what a table above shows.\n"
            "- Whether training rows overlap items of the benchmarks is not known, so its scores may be too high.\n"
            "- Tests of harmful answers are not known.",
            "Reproducing": _write_reproduction(facts),
        }
    )


def _read_config(facts: Facts) -> dict[str, object]:
    """The configuration of the adapter, without empty values and without names of this machine."""
    config = read_object(facts.adapter.folder / CONFIG)
    left_out = ("base_model_name_or_path", "revision", "inference_mode", "auto_mapping")
    return {key: value for key, value in make_public(config).items() if key not in left_out and value not in (None, {}, [], "", False)}


def _write_settings(facts: Facts) -> str:
    if settings := write_settings(facts):
        return f"```yaml\n{settings}```"
    options = _fence(facts.made.get("options") or {})
    return f"The xlift that made it did not keep the suite, so how it was trained is not known. Its method's options:\n\n{options}"


def _write_method(facts: Facts) -> str:
    text = _describe_method(str(facts.made["method"]))
    papers = ", ".join(f"https://arxiv.org/abs/{number}" for number in find_papers(facts))
    said = text or f"`{facts.made['method']}`, a plugin that is not installed here."
    return "\n\n".join(part for part in (said, name_plugin(facts.made.get("code")), papers) if part)


def _write_parts(facts: Facts) -> str:
    """What was trained separately and how it was combined; empty for an adapter that was trained as one."""
    parts, plan = facts.made.get("parts"), (facts.made.get("data") or {}).get("plan") or {}
    if not parts or "edit" not in plan:
        return ""
    rows = []
    for name, part in parts.items():
        known = plan.get("parts", {}).get(name, {})
        languages = ", ".join(known.get("languages") or ()) or "all"
        rows.append((name, ", ".join(known.get("kinds", ())), languages, part["rows"], part["tokens_trained"], part["final_loss"]))
    table = tabulate(("part", "rows of", "languages", "rows", "tokens trained", "loss at the end"), rows)
    edit = plan["edit"]
    return (
        "It is one LoRA adapter (kind `mix`), put together of adapters that were each trained from the base by themselves. "
        f"{describe_mix(edit['shares'], edit['layers'])} Their ranks stand side by side, so it is loaded as any other.\n\n{table}"
    )


def _describe_method(name: str) -> str:
    """What a method's file says about itself: the recipe, its source, and how it differs from that."""
    from xlift.harness.recipes import registry

    try:
        method = registry.find_method(name)
    except UserError:
        return ""
    text = getdoc(import_module(method.__module__)) or getdoc(method) or ""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n")).replace("``", "`")


def find_papers(facts: Facts) -> list[str]:
    """The first three arXiv numbers in the method's file."""
    text = "" if facts.is_foreign else _describe_method(str(facts.made["method"]))
    return list(dict.fromkeys(re.findall(r"arXiv:(\d{4}\.\d{4,5})", text)))[:3]


def _write_data(facts: Facts) -> str:
    data = facts.made.get("data") or {}
    used = {
        STEER: "Lines of parallel text that the moves were made of and chosen on",
        POLICY: "Training items that the choice was learnt on",
    }
    if not data.get("rows") and facts.adapter.peft_type not in used:
        read = ", ".join(f"{one['name']} in {one['lang']} ({one['licence']['text']})" for one in facts.sources)
        said = f" Which weights are masked was chosen on states of the base over {read}." if facts.adapter.peft_type == MASK else ""
        return f"Nothing was trained, so no training data.{said}"
    what = f"{data['rows']} rows" if data.get("rows") else used[facts.adapter.peft_type]
    parts = [f"{what}, of which none overlaps an item of the suite's benchmarks (overlapping ones were left out)."]
    if chosen_on := data.get("chosen_on"):
        parts.append(f"Numbers of the method were chosen on: {chosen_on}; never on items of a benchmark.")
    if sources := facts.sources:
        doubt = (
            ""
            if all(one["certain"] for one in sources)
            else "\n\nWhich parts were read was not recorded; all that can have been are listed."
        )
        parts.append(tabulate(("corpus", "language", "licence"), [(o["name"], o["lang"], o["licence"]["text"]) for o in sources]) + doubt)
    parts += describe_files(data)
    if restrictions := list_restrictions(facts):
        parts.append("**Restricted use.** " + "; ".join(restrictions) + ".")
    if kinds := data.get("kinds"):
        parts.append(tabulate(("language", "kind", "rows"), [(*key.split("/", 1), count) for key, count in kinds.items()]))
    parts += [text.replace("## ", "### ") for text in describe_help(data, facts.base.id)]
    return "\n\n".join(parts)


def _write_cost(facts: Facts) -> str:
    fit = dict(facts.made.get("fit") or {})
    costs = facts.record.cost if facts.record else {"fit": fit}
    names = {
        "rows": "rows",
        "generated_tokens": "tokens generated",
        "thinking_tokens": "of them thinking",
        "thinking_cut": "answers whose thinking never ended",
        "tokens_read": "tokens read for states and likelihoods",
        "trained_parameters": "weights trained",
        "tokens_trained": "tokens trained",
        "steps": "optimiser steps",
        "seconds": "seconds",
        "peak_memory_mib": "peak memory (MiB)",
        "device": "device",
    }
    rows = [(stage, name, found[key]) for stage, found in costs.items() for key, name in names.items() if found.get(key) not in (None, 0)]
    return (
        tabulate(("stage", "what", "measured"), sorted(rows, key=lambda row: ("prepare", "fit", "evaluate").index(row[0]))) if rows else ""
    )


def _write_evaluation(facts: Facts) -> str:
    if facts.record is None:
        return "This adapter was not measured."
    rows = []
    for task, result in facts.record.tasks.items():
        for metric in list_metrics(result):
            items = str(result.items) if result.items == result.items_of else f"{result.items} of {result.items_of}"
            rows.append((task, metric, items, *_write_scores(facts, task, metric, result)))
    engine = facts.record.engine
    how = ", ".join(f"{key} {engine[key]}" for key in ("backend", "dtype", "adapter_form", "batch_policy", "device") if engine.get(key))
    small = any(one.is_smoke for one in facts.record.tasks.values())
    smoke = "**A smoke test: too few items of a task were used.** " if small else ""
    return (
        f"{smoke}Measured with lm-eval and xlift's tasks ({how}). Intervals are 95 % over items, Wilson's for shares, else normal; they do "
        "not contain the variance between training seeds. A difference is turned so that more is better, and paired by item where it has an"
        " interval.\n\n" + tabulate(("task", "metric", "items", "base", "this adapter", "difference"), rows)
    )


def _write_scores(facts: Facts, task: str, metric: str, result: TaskResult) -> tuple[str, str, str]:
    """The base, the adapter and the difference, as a table shows them."""
    own = _write_score(metric, result.metrics[metric], _count_scored(metric, result))
    other = facts.base_record.tasks.get(task) if facts.base_record else None
    if other is None or metric not in other.metrics:
        return "", own, ""
    base = _write_score(metric, other.metrics[metric], _count_scored(metric, other))
    if other.comparability != result.comparability:
        return base, own, "not comparable"
    if lift := facts.lifts.get((task, metric)):
        if lift.get("low") is not None:
            return base, own, f"{lift['value']:+.3g} [{lift['low']:+.3g}, {lift['high']:+.3g}]"
        return base, own, f"{lift['value']:+.3g}"
    return base, own, ""


def _write_score(metric: str, score: Score, items: int) -> str:
    interval = find_interval(metric, score, items)
    return f"{score.value:.3g}" + (f" [{interval[0]:.3g}, {interval[1]:.3g}]" if interval else "")


def _write_profile(facts: Facts) -> str:
    profile, policy = facts.adapter.profile, facts.adapter.policy
    if policy:
        how = (
            "by chance, the same for the same text" if policy.draw else "with the highest weighted sum of features of the user's last turn"
        )
        said = f"For each request the profile is taken {how}; `xlift.json` has the weights by language, and xlift applies them by itself."
        profiles = {name: one.model_dump(mode="json", exclude_defaults=True) for name, one in policy.profiles.items()}
        return f"{said}\n\n{_fence(profiles)}"
    if profile is None:
        return ""
    notes = ["The scores above hold only if the model is asked and read like this; xlift does it by itself, other programs do not."]
    if profile.header:
        shown = "; ".join(f"`{header}` for {code}" for code, header in profile.header.items())
        notes.append(f"What counts of an answer is the text after the first header: {shown}. Without a header: {profile.without_header}.")
    if profile.system:
        notes.append("Where `system` names the answer's language, it is the system turn.")
    if profile.prompt:
        notes.append("Where `prompt` names the answer's language, the user's last turn is put in place of `{prompt}`.")
    return "\n\n".join([*notes, _fence(profile.model_dump(mode="json", exclude_defaults=True))])


def _write_limits(facts: Facts) -> str:
    made = facts.made
    lines = [
        f"- Trained for {', '.join(made.get('languages', ())) or 'no language'} with {made.get('pivot', 'en')} as the pivot; "
        "of other languages only what the table shows is known.",
        "- No safety training and no test of harmful answers beyond what the base model had.",
    ]
    if facts.record is None:
        lines.append("- Nothing was measured.")
    else:
        lines += [f"- The benchmark lacks this language: {one}." for one in facts.record.left_out]
        if any(one.data_origin == "samples" for one in facts.record.tasks.values()):
            lines.append("- Measured on the bundled samples, not on the published benchmarks: the numbers compare with no others.")
    if facts.base.revision is None:
        base = made.get("base") or {}
        given = f"{base.get('revision') or 'a folder'}, sha256 `{base.get('sha256')}`"
        lines.append(f"- The base was not loaded from the hub, whose weights may differ from those it was trained on ({given}).")
    return "\n".join(lines)


def _write_reproduction(facts: Facts) -> str:
    version = (facts.made.get("versions") or {}).get("xlift", "")
    parts = (
        [f"Made with xlift {version}. With the settings above as `suite.yaml`:\n\n```\nxlift run suite.yaml\n```"]
        if facts.made.get("settings")
        else []
    )
    if facts.record:
        parts.append(f"To measure it again and compare with `evaluation.json`:\n\n```\n{_write_command(facts, facts.record)}\n```")
    return "\n\n".join(parts)


def _write_command(facts: Facts, record: Record) -> str:
    backend = name_backend(record)
    words = [
        f"xlift evaluate --base {facts.base.local}",
        f"--adapter {facts.name}=hub:{facts.repository}",
        f"--tasks {','.join(record.tasks)}",
        *([f"--backend {backend}"] if backend != "auto" else []),
        *(f"--set '{setting}'" for setting in list_settings(record)),
    ]
    return " \\\n    ".join(words)


def _fence(value: object) -> str:
    return f"```json\n{json.dumps(value, ensure_ascii=False, indent=1)}\n```"


def list_restrictions(facts: Facts) -> list[str]:
    """Reasons in the training data that restrict the use of the adapter, one line each; empty if there are none."""
    from xlift.tasks.licences import Licence, find_translator

    lines = []
    for source in facts.sources:
        licence = Licence(source["licence"]["text"], tuple(source["licence"]["tags"]))
        if licence.restrictive:
            lines.append(f"{source['name']} ({source['lang']}): {licence.text}")
    data = facts.made.get("data") or {}
    for translator in data.get("translators") or ():
        if (model := translator.get("model")) and (found := find_translator(str(model))) and found.restrictive:
            lines.append(f"translations by {model}: {found.text}")
    if data.get("rows") and "corpora" not in data:
        lines.append("the training corpora were not recorded, so their licences are not known")
    return list(dict.fromkeys(lines))


def find_interval(metric: str, score: Score, items: int) -> tuple[float, float] | None:
    """A 95 % interval over items: Wilson's for shares, else from the standard error, cut at 0; None for metrics of the whole corpus."""
    if find_metric(metric).share and abs(score.value * items - round(score.value * items)) < 1e-6:
        from statsmodels.stats.proportion import proportion_confint

        low, high = proportion_confint(round(score.value * items), items, method="wilson")
        return float(low), float(high)
    if score.stderr is None:
        return None
    return max(score.value - 1.96 * score.stderr, 0.0), score.value + 1.96 * score.stderr


def _count_scored(metric: str, result: TaskResult) -> int:
    """The number of items over which a metric is computed."""
    return result.told if metric == "off_target" else result.items


def list_metrics(result: TaskResult) -> list[str]:
    """The metrics of a task that a card shows: the headline, the sentence-level score for one of the whole corpus, the headline as written,
    and for answers the rate off target and the share whose language cannot be told."""
    head = result.headline
    wanted = [head, result.tested, f"{head}{AS_WRITTEN}", "off_target", "language_unknown"] if head else []
    found = [name for name in dict.fromkeys(wanted) if name in result.metrics]
    return found or list(result.metrics)[:1]

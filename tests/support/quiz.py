"""Plain lm-eval on a few questions of the test's own."""

from collections.abc import Sequence
from typing import Any


def take_quiz(rows: Sequence[tuple[str, str]], model: Any, model_args: Any = None) -> Any:
    """lm-eval's results of a model on a task ``quiz`` of questions with answers, with at most 8 tokens for each."""
    from datasets import Dataset
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    import xlift.harness.evaluation.lm_eval_entry  # noqa: F401  (what the entry point does in later releases of lm-eval)

    documents = Dataset.from_list([{"question": question, "answer": answer} for question, answer in rows])
    task = {
        "task": "quiz",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": [], "max_gen_toks": 8, "do_sample": False},
        "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
        "test_split": "test",
        "custom_dataset": lambda **_: {"test": documents},
    }
    return simple_evaluate(
        model=model, model_args=model_args, tasks=[task], task_manager=TaskManager(include_defaults=False), apply_chat_template=True,
        bootstrap_iters=0,
    )  # fmt: skip

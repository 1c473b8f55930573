"""A folder of task files as lm-eval has them for MultiBLiMP, XStoryCloze and HellaSwag, over a few rows of our own in the same columns."""

import json
from importlib.resources import files
from pathlib import Path

PAIRS = {
    "spa": [("La casa es grande.", "La casa son grande."), ("Los niños juegan.", "Los niños juega."), ("Yo canto.", "Yo cantan.")],
    "fra": [("La maison est grande.", "La maison sont grande."), ("Ils jouent.", "Ils joue."), ("Je chante.", "Je chantons.")],
}
ENDINGS = {
    "ar": ["جلس في الظل.", "أكل الحجر.", "كان الجو حارا", "تعب علي", "رأى شجرة", "مشى إليها"],
    "es": ["Se sentó a la sombra.", "Se comió la piedra.", "Hacía calor", "Luis se cansó", "Vio un árbol", "Fue hasta él"],
}


def write_foreign_tasks(folder: Path) -> Path:
    """The folder, with its tasks under lm-eval's names, and the rows beside them."""
    own = Path(str(files("lm_eval.tasks")))
    folder.mkdir(parents=True, exist_ok=True)
    for code, pairs in PAIRS.items():
        rows = [{"sen": right, "wrong_sen": wrong} for right, wrong in pairs]
        _write(folder, f"multiblimp_{code}", own / "multiblimp/_template_yaml", code, "train", rows)
    for code, (right, wrong, *sentences) in ENDINGS.items():
        told = {f"input_sentence_{place}": sentence for place, sentence in enumerate(sentences, 1)}
        rows = [{**told, "sentence_quiz1": right, "sentence_quiz2": wrong, "answer_right_ending": 1} for _ in range(2)]
        _write(folder, f"xstorycloze_{code}", own / "xstorycloze/default_ar.yaml", code, "eval", rows)
    endings = ["drives off.", "eats the road.", "sings the car.", "sleeps a wheel."]
    rows = [{"ctx_a": "A man gets in.", "ctx_b": "he", "activity_label": "Cars", "endings": endings, "label": str(n)} for n in range(3)]
    _write(folder, "hellaswag", own / "hellaswag/hellaswag.yaml", None, "validation", rows)
    return folder


def _write(folder: Path, task: str, template: Path, subset: str | None, split: str, rows: list[dict[str, object]]) -> None:
    data = folder / f"{task}.jsonl"
    data.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    splits = {"multiblimp": "test_split"}.get(task.partition("_")[0], "validation_split")
    settings = {
        "include": str(template), "task": task, "dataset_path": "json", "dataset_name": subset, "training_split": None, splits: split,
        "dataset_kwargs": {"data_files": {split: str(data)}},
    }  # fmt: skip
    (folder / f"{task}.yaml").write_text(json.dumps(settings), encoding="utf-8")

"""A method's rows for people who train elsewhere: Parquet, JSONL for TRL, LLaMA-Factory and axolotl, and a data card.

docs/export.md describes the files and says how each format was checked.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

import yaml

from xlift.harness.core.errors import UserError
from xlift.harness.core.store import write_json
from xlift.harness.core.types import Example, Parallel, Preference, Row
from xlift.harness.pipeline.fit import read_rows
from xlift.harness.pipeline.stages import Run, read_prepared
from xlift.harness.publishing.dataset_card import write_card
from xlift.harness.recipes.contract import Align, Dpo, Objective

logger = logging.getLogger(__name__)

ROWS, TRL, CHATS = "rows.parquet", "trl.jsonl", "messages.jsonl"
FACTORY, AXOLOTL, SUITE, PROFILE, CARD = "dataset_info.json", "axolotl.yaml", "suite.json", "profile.json", "README.md"
TRAINED = "train"
"""The key of a turn that axolotl leaves out of the loss if it is false."""
FILES = (ROWS, TRL, CHATS, FACTORY, AXOLOTL, SUITE, PROFILE, CARD)

Rows = Sequence[Example] | Sequence[Preference]
"""Rows that other trainers know."""


def export(run: Run, label: str, prepared: Path, out: Path) -> list[Path]:
    """Write the rows of one method's finished prepare stage, ``prepared``, into the folder ``out``. Returns the files.

    Files of an earlier export are replaced. For a method that trains nothing only the profile is written, and for a mask or moves of states
    nothing. Raises UserError if the stage is not finished, and if ``out`` holds other things.
    """
    made = read_prepared(prepared)
    rows = read_rows(made)
    if not rows and made.plan.profile is None:
        logger.info("%s: trains nothing and has no rows; what it changes of the base is in its adapter's folder after a run", label)
        return []
    _require_room(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (out / name).unlink(missing_ok=True)
        if profile := made.manifest["plan"]["profile"]:
            write_json(out / PROFILE, profile)
        if not rows:
            logger.info("%s: trains nothing, it is an inference profile; %s holds it", label, out / PROFILE)
            return [out / PROFILE]
        _write_parquet(out / ROWS, rows)
        known = [row for row in rows if not (isinstance(row, Parallel) or (isinstance(row, Preference) and row.twin))]
        if others := len(rows) - len(known):
            what = "parallel texts" if isinstance(made.plan.objective, Align) else "pairs with twins"
            logger.info("%s: %d rows are %s, which no other trainer knows; %s alone holds them", label, others, what, out / ROWS)
        if known:
            _write_for_trainers(out, label, cast(Rows, known), made.plan.objective)
        write_json(out / SUITE, run.suite.model_dump(mode="json"))
        write_card(out / CARD, run, label, made)
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot be written ({error.strerror}); name another folder with --out") from None
    return [out / name for name in FILES if (out / name).is_file()]


def _write_for_trainers(out: Path, label: str, rows: Rows, objective: Objective) -> None:
    _write_lines(out / TRL, [to_trl(row) for row in rows])
    _write_lines(out / CHATS, [to_messages(row) for row in rows])
    write_json(out / FACTORY, {f"xlift-{label}": describe_for_factory(rows)})
    (out / AXOLOTL).write_text(yaml.safe_dump(describe_for_axolotl(rows, objective), sort_keys=False), encoding="utf-8")


def to_trl(row: Example | Preference) -> dict[str, object]:
    """A conversational prompt-completion row of TRL, or a preference row with an explicit prompt."""
    answers = {"chosen": row.chosen, "rejected": row.rejected} if isinstance(row, Preference) else {"completion": row.response}
    return {"prompt": list(row.messages), **{key: [_answer(text)] for key, text in answers.items()}, **_mark(row)}


def to_messages(row: Example | Preference) -> dict[str, object]:
    """A row that LLaMA-Factory (sharegpt with the tags of OpenAI) and axolotl (chat_template) read. The two answers of a pair are
    separate."""
    if isinstance(row, Preference):
        return {"messages": list(row.messages), "chosen": _answer(row.chosen), "rejected": _answer(row.rejected), **_mark(row)}
    turns = [{**turn, TRAINED: False} if turn["role"] == "assistant" else turn for turn in row.messages]
    return {"messages": [*turns, _answer(row.response)], **_mark(row)}


def describe_for_factory(rows: Rows) -> dict[str, object]:
    """The entry for LLaMA-Factory's dataset_info.json."""
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}
    columns = {"messages": "messages"}
    if isinstance(rows[0], Preference):
        columns |= {"chosen": "chosen", "rejected": "rejected"}
        return {"file_name": CHATS, "formatting": "sharegpt", "ranking": True, "columns": columns, "tags": tags}
    return {"file_name": CHATS, "formatting": "sharegpt", "columns": columns, "tags": tags}


def describe_for_axolotl(rows: Rows, objective: Objective) -> dict[str, object]:
    """The part of an axolotl config that concerns the data and the objective."""
    common = {"path": CHATS, "ds_type": "json", "split": "train"}
    if not isinstance(objective, Dpo):
        # Earlier turns of the assistant are marked in the rows, as only the last one is trained, with the end of its turn.
        trained = {"roles_to_train": ["assistant"], "train_on_eos": "turn", "message_field_training": TRAINED}
        return {"datasets": [{**common, "type": "chat_template", "field_messages": "messages", **trained}]}
    fields = {"field_messages": "messages", "field_chosen": "chosen", "field_rejected": "rejected"}
    weights = [1.0, objective.nll_weight]
    losses = {"dpo_loss_type": ["sigmoid", "sft"], "dpo_loss_weights": weights} if objective.nll_weight else {}
    return {"rl": "dpo", "rl_beta": objective.beta, **losses, "datasets": [{**common, "type": "chat_template.default", **fields}]}


def _answer(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _mark(row: Example | Preference) -> dict[str, str]:
    return {"id": row.id, "lang": row.lang, "kind": row.kind}


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    """Write a column for each field. Texts by language and twins are JSON, because rows have different languages, and chats and texts are
    mixed."""
    import pandas as pd

    tables = [row.to_dict() for row in rows]
    for table in tables:
        for key in {"texts", "twin"} & {*table}:
            table[key] = json.dumps(table[key], ensure_ascii=False, sort_keys=True)
    pd.DataFrame(tables).to_parquet(path, index=False)


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def _require_room(out: Path) -> None:
    found = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if found - {*FILES} or found == {CARD}:
        raise UserError(f"{out}: holds other things than an earlier export; name another folder with --out")

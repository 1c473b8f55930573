"""Write tasks/known_rows.tsv: number and hash of the rows of every file of a data folder that has a published address.

    XLIFT_DATA=... python benchmarks/known_rows.py

COPIES are corpora whose files in the folder come from another publication than the address names, or were changed on the way: their
rows may differ from the published ones in details, which is told and not refused.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from xlift.harness.core.errors import UserError
from xlift.tasks.corpora import Choice, Corpus
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.data import hash_rows, read
from xlift.tasks.sources import find_in_folder
from xlift.tasks.training_corpora import OWN

COPIES = (
    "alpaca/claude_t45", "alpaca/gpt4", "alpaca/multialpaca", "alpaca/random9k", "belebele", "bmlama", "gsm8k", "mlqa", "parallel/alma",
    "parallel/mafand", "qa/cmrc2018", "qa/iapp", "qa/jaquad", "qa/squad", "qa/tquad", "sib200", "xnli",
)  # fmt: skip
TABLE = Path(__file__).parent.parent / "tasks" / "known_rows.tsv"


def units(name: str, corpus: Corpus) -> Iterator[tuple[str, Choice]]:
    """Each part, language and split whose files all lie in the folder and have an address."""
    for split in corpus.splits:
        parts: list[str | None] = [part for part in corpus.parts if part != OWN]
        for part in parts or [None]:
            for lang in corpus.languages or corpus.published:
                choice = Choice((lang,), split, part)
                wanted = corpus.files(choice)
                if wanted and all(file.remotes and find_in_folder(file) for file in wanted):
                    yield (f"{name}/{part}" if part else name), choice


def main() -> None:
    lines = ["corpus\tlang\tsplit\trows\tbytes\tsha256\tsource"]
    for name, corpus in sorted(CORPORA.items()):
        for title, choice in units(name, corpus):
            try:
                rows = list(read(title, choice.langs[0], choice.split))
            except UserError as error:
                print(f"left out: {title} in {choice.langs[0]}: {error}")
                continue
            size = sum(len(json.dumps(row, ensure_ascii=False).encode()) + 1 for row in rows)
            source = "copy" if {title, name} & set(COPIES) else "published"
            lines.append("\t".join([title, choice.langs[0], choice.split, str(len(rows)), str(size), hash_rows(rows), source]))
    TABLE.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(lines) - 1} readings")


if __name__ == "__main__":
    main()

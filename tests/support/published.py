"""Published files in the layouts of their authors, with few rows: what the loopback hub serves at every address of the table.

All languages have the same rows, so that a reader can count them: 3 of each file, 1 question for each of 3 paragraphs, 2 exemplars.
"""

import gzip
import io
import json
import re
import tarfile
import zipfile
from functools import cache
from typing import Any

import pyarrow as pa
import pyarrow.parquet
from loopback_hub import Repository, State

from xlift.harness.core.languages import languages
from xlift.tasks.articles import list_listings
from xlift.tasks.corpora import Choice, Remote
from xlift.tasks.corpus_table import CORPORA

ROWS = range(3)


def to_jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def to_lines(rows: list[str]) -> bytes:
    return "".join(f"{row}\n" for row in rows).encode()


def to_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    return sink.getvalue()


def to_csv(rows: list[str]) -> bytes:
    return to_lines(["prompt,source,language", *(f'"{row}, please",somewhere,xx' for row in rows)])


XNLI_COLUMNS = (
    "language", "gold_label", "sentence1_binary_parse", "sentence2_binary_parse", "sentence1_parse", "sentence2_parse", "sentence1",
    "sentence2", "promptID", "pairID", "genre", "label1", "label2", "label3", "label4", "label5", "sentence1_tokenized",
    "sentence2_tokenized", "match",
)  # fmt: skip


def to_xnli(rows: list[tuple[str, str, str, str]]) -> bytes:
    """Language, label, premise and hypothesis of each pair, in the columns of XNLI's file of all languages."""
    lines = ["\t".join(XNLI_COLUMNS)]
    for number, (lang, label, premise, hypothesis) in enumerate(rows):
        known = {"language": lang, "gold_label": label, "sentence1": premise, "sentence2": hypothesis, "pairID": str(number)}
        lines.append("\t".join(known.get(column, "") for column in XNLI_COLUMNS))
    return to_lines(lines)


def to_bmlama(rows: list[tuple[str, str, list[str], str]]) -> bytes:
    """Prompt, answer, candidates and subject of each fact, in BMLAMA's columns; its lines end in CR LF."""
    lines = ["Prompt\tAns\tCandidate Ans\tSubject"]
    lines += [f"{prompt}\t{answer}\t{', '.join(candidates)}\t{subject}" for prompt, answer, candidates, subject in rows]
    return "".join(f"{line}\r\n" for line in lines).encode()


def squad(name: str) -> dict[str, Any]:
    def paragraph(number: int) -> dict[str, Any]:
        answer = {"text": f"place {number}", "answer_start": 7}
        asked = {"id": str(number), "question": f"Where is {name} {number}?", "answers": [answer]}
        return {"context": f"It was place {number} of {name}.", "qas": [asked]}

    return {"version": "1.1", "data": [{"title": name, "paragraphs": [paragraph(number) for number in ROWS]}]}


def alpaca() -> list[dict[str, Any]]:
    return [{"instruction": f"Tell me about number {number}.", "input": "", "output": f"It is {number}."} for number in ROWS]


def belebele() -> list[dict[str, Any]]:
    options = {f"mc_answer{place}": f"Answer {place}" for place in (1, 2, 3, 4)}
    return [
        {"link": f"page {number}", "question_number": 1, "flores_passage": f"Passage {number}.", "question": "What?", **options,
         "correct_answer_num": "2"} for number in ROWS
    ]  # fmt: skip


def exemplars() -> str:
    def shot(number: int) -> dict[str, str]:
        return {"q": f"Question: How many in box {number}?", "a": f"Step-by-Step Answer: There are {number}."}

    shots = {str(number): shot(number) for number in (1, 2)}
    return f"MGSM_EXEMPLARS = {dict.fromkeys(CORPORA['mgsm'].languages, shots)!r}\n"


def content(remote: Remote) -> bytes:
    """One published file, or the member of an archive that is read."""
    name = remote.member or remote.path
    gsm8k = [{"question": f"How many, {number}?", "answer": f"<<1+1=2>>2\n#### {number + 2}"} for number in ROWS]
    prompts = [{"id": f"alpagasus-{number}", "instruction": row["instruction"]} for number, row in enumerate(alpaca())]
    opus = [{"translation": {"en": f"Sentence {number}.", other_of(name): f"Satz {number}."}} for number in ROWS]
    evaluated = [{"id": number, "dataset": "koala", "instruction": f"Ask {number}."} for number in ROWS]
    layouts = (
        (r"mgsm/exemplars\.py", exemplars().encode()),
        (r".*msvamp/.*\.json", to_lines([json.dumps({"m_query": f"How many, {number}?", "response": f"{number}.0"}) for number in ROWS])),
        (r"mgsm/.*\.tsv", to_lines([f"How many, {number}?\t{number},000" for number in ROWS])),
        (r"(xquad|MLQA_V1|.*dev-v2\.0|.*jaquad|.*cmrc2018|train-v0\.1).*\.json", json.dumps(squad(name.rpartition("/")[2])).encode()),
        (r"flores200_dataset/metadata_.*", to_lines(["URL\tdomain\ttopic\thas_image\thas_hyperlink", *(
            f"https://news/{number // 2}\twikinews\thealth, travel\tno\tyes" for number in ROWS)])),
        (r"DOCUMENT_IDS\.tsv", to_lines([f"paper.{number // 2}" for number in ROWS])),
        (r"flores200_dataset/.*", to_lines([f"Line {number}." for number in ROWS])),
        (r".*model_outputs\.json", json.dumps([{**row, "output": "Yes.", "generator": "gpt"} for row in evaluated]).encode()),
        (r"data/x-alpacaeval/.*", json.dumps(evaluated).encode()),
        (r"data/[\w-]+_Latn\.jsonl|data/\w+_\w+\.jsonl", to_jsonl(belebele())),
        (r"data/\w+/\w+\.\w+\.jsonl", to_jsonl([{"premise": "It rains.", "choice1": "Wet.", "choice2": "Dry.", "question": "effect",
                                            "label": 0, "idx": number} for number in ROWS])),
        (r"data/PAWS-X/.*", to_lines(["id\tsentence1\tsentence2\tlabel", *(f"{number}\tOne.\tAnother.\t1" for number in ROWS)])),
        (r"XNLI-1\.0/.*", to_xnli([(lang, "neutral", f"It was {number}.", "It was.") for lang in CORPORA["xnli"].languages
                                   for number in ROWS])),
        (r"data/annotated/.*", to_lines(["index_id\tcategory\ttext", *(f"{number}\ttravel\tTo go." for number in ROWS)])),
        (r"1_easyrun/.*", to_bmlama([(f"{number} is in <mask>.", "Rome", ["Oslo", "Rome"], str(number)) for number in ROWS])),
        (r"test_sets/.*", to_csv([f"Ask {number}" for number in ROWS])),
        (r"seed_tasks\.jsonl", to_jsonl([{"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}]} for _ in ROWS])),
        (r"data/alpagasus/origin/.*", to_jsonl(prompts)),
        (r"data/alpagasus/raw/.*", to_jsonl([{"id": row["id"], "prompt": row["instruction"]} for row in prompts])),
        (r".*to_fr\.jsonl", to_jsonl([{"id": row["id"], "prompt": row["instruction"], "response": "Yes.", "en2fr_reponse": "Oui."}
                                      for row in prompts])),
        (r"multialpaca/.*", to_jsonl(alpaca())),
        (r"grade_school_math/.*", to_jsonl(gsm8k)),
        (r"data/gsmtrans/.*", to_lines([row["question"] for row in gsm8k])),
        (r"data/train\.jsonl", to_jsonl([{"question_id": row["id"], "context": "It was here.", "question": "Where?", "answers":
                                          {"text": ["here"], "answer_start": [7], "answer_end": [11]}} for row in evaluated])),
        (r"(bli_datasets|gatitos)/.*", to_lines([f"word {number}\tWort {number}" for number in ROWS])),
        (r"testsets/.*|data/text_files/.*|NTREX-128/.*", to_lines([f"Sentence {number}." for number in ROWS])),
        (r"data/(entity/.*|relations\.txt)", to_lines([f"http://dbpedia.org/resource/Name_{number}" for number in ROWS])),
        (r"data/kg/.*", to_lines([f"{number}\t{number}\t{2 - number}" for number in ROWS])),
        (r"data/seed_alignlinks/.*", to_lines([f"{number}.0\t{2 - number}.0" for number in ROWS])),
        (r"data/train-.*\.parquet", to_parquet(alpaca())),
        (r"\w+-\w+/train-.*\.parquet", to_parquet(opus)),
        (r".*\.json", json.dumps(alpaca()).encode()),
    )  # fmt: skip
    return next(made for pattern, made in layouts if re.fullmatch(pattern, name))


def other_of(name: str) -> str:
    pair = name.split("/")[0].split("-")
    return next((code for code in pair if code != "en"), "en")


def publish(state: State, *remotes: Remote, changed: dict[Remote, bytes] | None = None) -> None:
    """Put files at their addresses, archives with all the members that are named; ``changed`` ones with another content."""
    whole: dict[tuple[str, str, str, str], dict[str, bytes]] = {}
    for remote in dict.fromkeys(remotes):
        place = (remote.host, remote.repo, remote.revision, remote.path)
        whole.setdefault(place, {})[remote.member] = (changed or {}).get(remote) or content(remote)
    for (host, repo, revision, path), files in whole.items():
        packed = files[""] if "" in files else pack(path, files)
        if host == "hub":
            repository = state.repositories.setdefault(repo, Repository("dataset", False))
            if revision not in dict(repository.commits):
                repository.commits.append((revision, {}))
            dict(repository.commits)[revision][path] = packed
        else:
            state.mirrored[Remote(repo, revision, path, host).url.removeprefix("https://")] = packed


def publish_everything(state: State) -> None:
    """Every file that the table has an address for."""
    made = make_everything()
    state.mirrored |= made.mirrored
    for name, repository in made.repositories.items():
        commits = [(revision, dict(files)) for revision, files in repository.commits]
        state.repositories[name] = Repository("dataset", False, commits)


@cache
def make_everything() -> State:
    made = State()
    listings = [listing for name, table in CORPORA.items() for split in table.splits for listing in list_listings(name, split)]
    publish(
        made,
        *(remote for listing in listings for remote in listing.file.remotes),
        *(remote for name, lang, split in readings() for remote in remotes_of(name, lang, split)),
    )
    return made


def readings() -> list[tuple[str, str, str]]:
    """Every corpus or part, language and split that has an address."""
    found = []
    for name, table in CORPORA.items():
        for part in table.parts or ("",):
            title = f"{name}/{part}" if part else name
            for lang in table.languages or table.published:
                found += [(title, lang, split) for split in table.splits if remotes_of(title, lang, split)]
    return found


def pack(name: str, files: dict[str, bytes]) -> bytes:
    sink = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as opened:
            for member, made in files.items():
                opened.writestr(member, made)
        return sink.getvalue()
    with tarfile.open(fileobj=sink, mode="w") as opened:
        for member, made in files.items():
            entry = tarfile.TarInfo(f"./{member}")
            entry.size = len(made)
            opened.addfile(entry, io.BytesIO(made))
    return gzip.compress(sink.getvalue(), mtime=0)


def remotes_of(corpus: str, lang: str, split: str | None = None) -> list[Remote]:
    """The published files that a reading asks for."""
    name, _, part = corpus.partition("/")
    table = CORPORA[name]
    langs = (lang,) if lang in languages() or not table.pairs else tuple(lang.split("-"))
    files = table.files(Choice(langs, split or table.splits[0], part or None))
    return [remote for file in files for remote in file.remotes]

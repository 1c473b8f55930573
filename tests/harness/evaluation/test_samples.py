"""One reader of lm-eval's sample files: what stands in a line, and what is said of a file that is damaged or gone."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from result_folders import write_answers, write_run

from xlift.harness.core.errors import UserError
from xlift.harness.evaluation.records import read_records
from xlift.harness.evaluation.samples import SampleLine, find_samples, read_answers, read_samples, read_text, take_first_filter
from xlift.tasks.judge import Said

TASK = "xlift_mgsm_direct_es"
ROW = {
    "doc_id": 7, "doc": {"id": "a7", "question": "¿3 + 4?"}, "target": "7", "arguments": {"gen_args_0": {"arg_0": "¿3 + 4?", "arg_1": {}}},
    "resps": [["Son 7."]], "filtered_resps": ["7"], "filter": "none", "metrics": ["accuracy", "corpus_chrf"], "doc_hash": "ab",
    "accuracy": 1.0, "corpus_chrf": ["7", "Son 7."], "prompt_hash": "x",
}  # fmt: skip


def read(tmp_path: Path, *rows: Any) -> list[SampleLine]:
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_samples(path)


def test_a_line_of_lm_eval(tmp_path: Path) -> None:
    (line,) = read(tmp_path, ROW)
    assert (line.doc_id, line.doc_hash, line.filter, line.doc["id"]) == (7, "ab", "none", "a7")
    assert (line.prompt, line.target, line.answer, line.extracted) == ("¿3 + 4?", "7", "Son 7.", "7")
    assert line.metrics == {"accuracy": 1.0, "corpus_chrf": ["7", "Son 7."]}, "nothing but metrics"


def test_the_likeliest_of_several_answers(tmp_path: Path) -> None:
    asked = {f"gen_args_{place}": {"arg_0": "¿3 + 4?", "arg_1": f" {answer}"} for place, answer in enumerate(("6", "7", "8"))}
    alone = {"gen_args_3": {"arg_0": "", "arg_1": " 6"}}  # for acc_mutual_info
    scored = [[["-7.5", "False"]], [["-2.25", "True"]], [["-3.0", "False"]], [["-0.5", "False"]]]
    (line,) = read(tmp_path, {**ROW, "arguments": {**asked, **alone}, "resps": scored, "filtered_resps": [one[0] for one in scored]})
    assert line.likeliest == line.answer == line.extracted == "7"
    with pytest.raises(UserError, match="damaged"):
        read(tmp_path, {**ROW, "arguments": asked, "resps": scored[:2]})


def test_references_that_lm_eval_wrote_as_a_list(tmp_path: Path) -> None:
    asked = {"gen_args_0": {"arg_0": "translate", "arg_1": " it's seven"}}
    scored = {"arguments": asked, "resps": [[["-7.5", "False"]]], "filtered_resps": [["-7.5", "False"]]}
    rows = [{**ROW, **scored, "target": target} for target in ('["it\'s seven"]', "['seven', 'sept']", "[1] is a footnote", "[")]
    assert [line.target for line in read(tmp_path, *rows)] == ["it's seven", "seven\nsept", "[1] is a footnote", "["]


def test_a_line_of_a_published_record_has_no_answer(tmp_path: Path) -> None:
    (line,) = read(tmp_path, {key: ROW[key] for key in ("doc_id", "doc_hash", "metrics", "accuracy")})
    assert (line.responses, line.answer, line.prompt, line.filter) == (None, "", "", "none")
    assert line.metrics == {"accuracy": 1.0, "corpus_chrf": None}


def test_lm_eval_wrote_arguments_as_a_list_once(tmp_path: Path) -> None:
    (line,) = read(tmp_path, {**ROW, "arguments": [["¿3 + 4?", {"until": []}]]})
    assert line.prompt == "¿3 + 4?"


@pytest.mark.parametrize("row", [{**ROW, "doc_id": "7"}, {**ROW, "doc_id": None}, {"resps": []}, [7], "7", None])
def test_a_line_of_another_shape_is_damage(tmp_path: Path, row: Any) -> None:
    with pytest.raises(UserError, match=r"samples.jsonl: damaged; delete the folder .* and run again"):
        read(tmp_path, ROW, row)


def test_half_a_line_is_damage(tmp_path: Path) -> None:
    (tmp_path / "samples.jsonl").write_text(json.dumps(ROW)[:-20])
    with pytest.raises(UserError, match="damaged"):
        read_samples(tmp_path / "samples.jsonl")


def test_an_edited_file_is_not_read(tmp_path: Path) -> None:
    path, text = tmp_path / "samples.jsonl", json.dumps(ROW) + "\n"
    path.write_text(text)
    known = hashlib.sha256(text.encode()).hexdigest()
    assert len(read_samples(path, known)) == 1
    for other in (text.replace('"accuracy": 1.0', '"accuracy": 0.0'), text * 2, "", text[:-1]):
        assert other != text
        path.write_text(other)
        with pytest.raises(UserError, match=r"samples.jsonl: not the samples that were measured, but cut or edited; delete the folder"):
            read_samples(path, known)


def test_each_document_once() -> None:
    lines = [SampleLine(number, "", name, {}, "", "", [[name]], None, {}) for number in (1, 2) for name in ("judge", "none")]
    assert [(line.doc_id, line.filter) for line in take_first_filter(lines)] == [(1, "judge"), (2, "judge")]
    assert take_first_filter([]) == []


def test_the_first_text_of_nested_lists() -> None:
    assert [read_text(value) for value in ([["a"], ["b"]], ["a", "b"], [], None, 3)] == ["a", "a\nb", "", "", "3"]


def test_answers_stand_in_the_order_of_the_items(tmp_path: Path) -> None:
    folder = write_answers(tmp_path / "run", "m", None, [("a", " uno "), ("b", "dos")])
    (samples,) = folder.glob("samples_*")
    samples.write_text("".join(reversed(samples.read_text().splitlines(keepends=True))))
    (measured,) = read_records([tmp_path / "run"]).measurements
    assert read_answers(measured, "xlift_x_alpaca_eval_es") == [
        Said("a", "es", "Instrucción a", "uno"), Said("b", "es", "Instrucción b", "dos"),
    ]  # fmt: skip


def test_the_samples_of_a_measurement_are_its_own(tmp_path: Path) -> None:
    # Both have a file of one name, as lm-eval leaves where two started in one microsecond on two machines.
    for label, values in (("base", [0.0]), ("m", [1.0])):
        write_run(tmp_path, label, {TASK: values}, day="05")
    values = {
        one.record.label: read_samples(find_samples(one, TASK))[0].metrics["accuracy"] for one in read_records([tmp_path]).measurements
    }
    assert values == {"base": 0.0, "m": 1.0}


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {TASK: [1.0]})
    (measured,) = read_records([tmp_path]).measurements
    with pytest.raises(UserError, match="m: no task 'xlift_mgsm_direct_e'; did you mean 'xlift_mgsm_direct_es'"):
        find_samples(measured, "xlift_mgsm_direct_e")
    with pytest.raises(UserError, match="no samples of instructions that are answered"):
        read_answers(measured, TASK)
    find_samples(measured, TASK).unlink()
    with pytest.raises(UserError, match=f"the samples of {TASK} by m are gone"):
        find_samples(measured, TASK)


def test_a_sample_file_lies_beside_its_manifest(tmp_path: Path) -> None:
    write_run(tmp_path, "m", {TASK: [1.0]})
    (manifest,) = tmp_path.glob("evaluate-*/manifest.json")
    manifest.write_text(manifest.read_text().replace("samples_xlift", "../samples_xlift"))
    with pytest.raises(UserError, match="a sample file must lie beside the manifest"):
        read_records([tmp_path])

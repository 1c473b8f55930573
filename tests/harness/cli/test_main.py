import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from result_folders import write_run

import xlift

SUITE = {
    "name": "small",
    "languages": {"train": ["es"], "evaluate": ["en", "es"]},
    "data": {"samples": "always"},
    "methods": {"m": {"method": "cross_lingual"}},
    "evaluate": {"tasks": ["xlift_mgsm_direct_{lang}"], "limit": 2},
}


def write_suite(folder: Path, **changes: object) -> str:
    path = folder / "suite.yaml"
    path.write_text(yaml.safe_dump({**SUITE, **changes}))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"methods": {"m": {"method": "cross_lingaul"}}}, "did you mean 'cross_lingual'?"),
        ({"methods": {"m": {"method": "cross_lingual", "options": {"rowz": 3}}}}, "did you mean 'rows'?"),
        ({"evaluate": {"tasks": ["xlift_mgsm_dirct_es"]}}, "did you mean 'xlift_mgsm_direct_es'?"),
        ({"evaluate": {"tasks": ["xlift_mgsm_direct_{language}"]}}, "only {lang} and {flores} stand for something"),
        ({"languages": {"evaluate": ["xx"], "train": ["es"]}}, "unknown language 'xx'"),
        ({"engine": {"backend": "vllm2"}}, "got 'vllm2'"),
        ({"methodz": {}}, "unknown key 'methodz'; did you mean 'methods'?"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(call, tmp_path: Path, changes: dict[str, object], says: str) -> None:
    code, out, err = call("validate", write_suite(tmp_path, **changes))
    assert (code, out) == (2, "")
    assert says in err and err.startswith("xlift: suite.yaml: "), "the file is named"
    assert len(err.strip().splitlines()) == 1
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "dmeo"), "did you mean 'demo'?"),
        (("ls", "langs"), "cannot list 'langs'"),
        (
            ("evaluate", "--adapter", "a=x", "--adapter", "b=y", "--adapter", "a=z"),
            "--adapter: two are called 'a', x and z; name them apart",
        ),
        (("run", "demo", "--set", "train={epochs: 1, epochs: 2}"), "the key 'epochs' stands there twice"),
        (("train", "demo", "--set", "data.samples=always", "--runs", "/proc/runs"), "/proc/runs/demo: cannot be made"),
        (("tasks",), "--path"),
        (("tasks", "--pair", "de"), "write two languages"),
        (("tasks", "--dev", "xlift_xcoppa"), "--dev: unknown task 'xlift_xcoppa'; did you mean 'xlift_xcopa'?"),
        (("tasks", "--dev", "xlift_xquad_es"), "XQuAD has no split for choosing; these have one: xlift_flores, xlift_flores_bpb"),
        (("tasks", "--pair", "deu-fra"), "unknown language 'deu': write its code, 'de'"),
        (("fit-scaling", "nope.csv", "--budget", "9"), "nope.csv: no such file and no such run folder"),
        (("reproduce", "no-such-record", "m"), "no-such-record: no such run folder"),
        (("report", "my-suite.yaml"), "my-suite.yaml: it is a suite; name the folder of its run, such as runs/my-suite"),
        (("tasks", "--pair", "de-german"), "unknown language 'german': write its code, 'de'"),
        (("report", "no-such-folder"), "no such run folder"),
        (("show", "runs/a", "task", "--limit", "0"), "'--limit': Input should be greater than or equal to 1 (xlift show --help shows what"),
        (("shwo",), "No such command 'shwo'. Did you mean 'show'? (xlift --help shows what there is)"),
        (("run",), "Missing argument 'SUITE' (xlift run --help shows what there is)"),
        (("run", "demo", "--bogus"), "No such option: --bogus"),
        (("evaluate", "--tasks", "xlift_mgsm_direct_es", "--adapter", "a=nowhere", "--set", "data.samples=always"), "nowhere"),
        (
            ("evaluate", "--tasks", "xlift_mgsm_direct_es", "--base", "no/such-folder/at-all", "--set", "data.samples=always"),
            "no/such-folder",
        ),
        (("evaluate", "--tasks", "xlift_mgsm_direct_es", "--adapter", "m="), "--adapter 'm=': write NAME=PATH"),
        (("evaluate", "--tasks", "xlift_mgsm_direct_es", "--languages", ","), "languages.evaluate: must have at least 1 of them, got 0"),
        (("validate", "demo", "--set", "seeds=[-1]"), "demo: seeds.0: Input should be greater than or equal to 0, got -1"),
        (("validate", "demo", "--set", "seeds=[99999999999]"), "demo: seeds.0: Input should be less than 4294967296"),
        (("validate", "demo", "--set", "evaluate.limits={xlift_xquad: -1}"), "evaluate.limits.xlift_xquad: Input should be greater than"),
        (("validate", "demo", "--set", "rows=1e3"), "demo: rows: must be a whole number, got '1e3'"),
        (("validate", "demo", "--set", f"base.model={__file__}"), "neither the embedded model, nor a folder, nor a hub repository"),
        (("validate", "demo", "--set", "train.strategy=fsdp2"), "train.strategy: fsdp2 shares the base out among processes, and"),
        (("run", "demo", "--executor", "slrm"), "--executor 'slrm': there is none; did you mean 'slurm'?"),
        (("run", "demo", "--executor", "ray", "--dry-run"), "--executor ray: only slurm takes a script; leave --dry-run out"),
        (("run", "demo", "--address", "host:6379"), "--address host:6379 goes with --executor ray"),
        (("worker", "dmeo"), "did you mean 'demo'?"),
        (("pull", "org/name", "--out", __file__), "test_main.py: not a folder; name another one with --out"),
    ],
)
def test_wrong_arguments_are_one_line(call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = call(*arguments)
    assert code == 2
    assert says in err
    assert len(err.strip().splitlines()) == 1


def test_the_nearest_file_or_folder_is_named(call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path(write_suite(tmp_path)).rename("my-suite.yaml")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "pilots.csv").write_text("language,rows,score\n")
    assert call("run", "my-siute.yaml")[2] == "xlift: no suite 'my-siute.yaml': there is no such file; did you mean 'my-suite.yaml'?\n"
    assert call("validate", "runs")[2] == "xlift: runs: a folder, and not a suite; name a YAML file\n"
    assert call("validate", tmp_path)[2].endswith(f"a folder, and not a suite; name a YAML file, such as {tmp_path}/my-suite.yaml\n")
    assert call("report", "runs/dmeo")[2] == "xlift: runs/dmeo: no such run folder; did you mean 'runs/demo'?\n"
    assert call("reproduce", "runs/dmeo", "m")[2] == "xlift: runs/dmeo: no such run folder; did you mean 'runs/demo'?\n"
    assert "did you mean 'pilots.csv'?" in call("fit-scaling", "pilot.csv", "--budget", "9")[2]
    suite = "my-suite.yaml: it is a suite; name the folder of its run, such as runs/my-suite\n"
    assert call("site", "my-suite.yaml", "--out", "site")[2] == f"xlift: {suite}"


def test_a_wrong_value_of_xlift_samples_is_refused(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLIFT_SAMPLES", "yes")
    assert call("ls", "suites") == (
        2, "", "xlift: samples (XLIFT_SAMPLES): unknown value 'yes'; known: always, missing, never\n"
    )  # fmt: skip


def test_a_record_and_a_site_are_no_adapters(call, tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("{}")
    said = call("push", tmp_path, "org/name", "--dry-run")[2]
    assert f"{tmp_path}: a record, which holds no adapter; `xlift site {tmp_path} --push ORG/NAME` publishes a board of it" in said
    (tmp_path / "record.json").rename(tmp_path / "index.html")
    assert f"{tmp_path}: a site, which holds no adapter" in call("push", tmp_path, "org/name", "--dry-run")[2]


def test_data_folder_that_does_not_exist_is_named(call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XLIFT_DATA", str(tmp_path / "gone"))
    code, _, err = call("run", write_suite(tmp_path, data={"samples": "missing"}), "--runs", str(tmp_path / "runs"))
    assert code == 2
    assert "gone" in err
    assert not (tmp_path / "runs").exists()


def test_no_data_and_no_network_is_one_line(call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XLIFT_DATA", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("XLIFT_CACHE", str(tmp_path / "cache"))
    code, _, err = call("run", write_suite(tmp_path, data={"samples": "never"}), "--runs", str(tmp_path / "runs"))
    assert code == 2
    assert "mgsm" in err
    assert "XLIFT_DATA" in err


def test_the_version_is_printed(call) -> None:
    assert call("--version") == (0, f"{xlift.__version__}\n", "")


def test_a_full_disk_behind_standard_output_is_one_line() -> None:
    code = "from xlift.harness.cli.main import main; main()"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([sys.executable, "-c", code, "ls", "tasks"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "xlift: standard output cannot be written (No space left on device)\n")


def test_a_folder_that_is_no_run_names_the_run(call, tmp_path: Path) -> None:
    run = write_run(tmp_path / "runs" / "s", "base", {"xlift_mgsm_direct_es": [1.0, 0.0]})
    (stage,) = run.glob("evaluate-*")
    assert f"it is a stage of a run: name the run's folder, {run}" in call("report", stage)[2]
    assert f"name a run folder in it, such as {run}" in call("report", run.parent)[2]
    (run / "fit-m-seed0-1" / "adapter").mkdir(parents=True)
    said = call("push", run, "org/name", "--dry-run")[2]
    assert f"{run}: a run folder; name one of its adapters, such as {run}/fit-m-seed0-1/adapter, or say --all" in said


def test_valid_suites_are_called_valid(call, tmp_path: Path) -> None:
    code, out, _ = call("validate", "demo", "samples", write_suite(tmp_path))
    assert code == 0
    assert out.count(": valid") == 3


def test_validate_says_what_a_valid_suite_leaves_open(call, tmp_path: Path) -> None:
    languages = {"train": ["de", "es"], "evaluate": ["en", "es", "sw"]}
    methods = {"m": {"method": "cross_lingual"}}
    xquad = {"tasks": ["xlift_xquad_{lang}"]}
    suite = write_suite(tmp_path, base={}, languages=languages, methods=methods, evaluate=xquad, data={"samples": "always"})
    code, out, _ = call("validate", suite)
    assert code == 0
    assert out.splitlines()[1:3] == [
        "  base: smollm2-135m-instruct, the default, as base.model is not set",
        "  left out: xlift_xquad_{lang}: the benchmark has no sw",
    ]
    assert "\n  warning: no task measures de, which the methods train; add" in out
    silent = write_suite(tmp_path, base={"model": "org/model"}, methods=methods, data={"samples": "always"})
    assert "warning" not in call("validate", silent)[1] and "base:" not in call("validate", silent)[1]


@pytest.mark.parametrize(
    ("what", "key", "some"),
    [("methods", "method", "cross_lingual"), ("languages", "code", "sw"), ("suites", "suite", "demo"), ("tasks", "name", "xlift_mgsm_cot")],
)
def test_lists_as_json(call, what: str, key: str, some: str) -> None:
    code, out, _ = call("ls", what, "--json")
    assert code == 0
    assert some in {row[key] for row in json.loads(out)}


def test_a_pair_is_written_where_asked(call, tmp_path: Path) -> None:
    code, out, _ = call("tasks", "--pair", "de-fr", "--out", str(tmp_path))
    assert code == 0
    assert Path(out.strip()) == tmp_path / "xlift_flores_deu_Latn_fra_Latn.yaml"
    assert "deu_Latn-fra_Latn" in Path(out.strip()).read_text()


def test_tasks_on_a_dev_split_are_written_where_asked(call, tmp_path: Path) -> None:
    code, out, _ = call("tasks", "--dev", "xlift_flores_bpb_eng_Latn_spa_Latn", "--dev", "xlift_xcopa_sw", "--out", str(tmp_path))
    assert code == 0
    assert [Path(line).name for line in out.split()] == ["dev_xlift_flores_bpb_eng_Latn_spa_Latn.yaml", "dev_xlift_xcopa_sw.yaml"]


def test_task_folder_is_printed(call) -> None:
    code, out, _ = call("tasks", "--path")
    assert code == 0
    assert (Path(out.strip()) / "mgsm" / "xlift_mgsm_cot.yaml").is_file()


@pytest.mark.slow
def test_doctor_says_what_works(call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, out, err = call("doctor", "--json")
    found = {row["what"]: row for row in json.loads(out)}
    assert code == 0 and "loading torch, vLLM and the other libraries" in err
    assert found["hub"]["state"] == "switched off (HF_HUB_OFFLINE=1)"
    assert found["vllm"]["to do"] == ""
    assert found["smollm2-135m-instruct"]["state"] == "there"


@pytest.mark.usefixtures("in_process")
def test_prepare_stops_after_the_data(call, tiny_base: Path, tmp_path: Path) -> None:
    methods = {"m": {"method": "cross_lingual"}, "prompts": {"method": "xlt_prompt"}}
    suite = write_suite(tmp_path, base={"model": str(tiny_base)}, rows=30, methods=methods)
    code, out, err = call("prepare", suite, "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "rows"), "--json")
    assert code == 0, err
    assert [row["label"] for row in json.loads(out)] == ["m", "prompts"]
    lines = (tmp_path / "rows" / "m" / "trl.jsonl").read_text().splitlines()
    assert len(lines) == 30
    assert json.loads(lines[0])["completion"][0]["role"] == "assistant"
    assert [path.name for path in (tmp_path / "rows" / "prompts").iterdir()] == ["profile.json"]
    assert not list((tmp_path / "runs" / "small").glob("fit-*"))


def test_fit_scaling_prints_the_law_and_the_split(call, tmp_path: Path) -> None:
    # score = 100 - 90 * (g * D)^-0.1 with g = 1 and 0.5, without noise
    pilots = ["language,rows,score"]
    pilots += [f"{lang},{rows},{100 - 90 * (g * rows) ** -0.1}" for lang, g in (("es", 1.0), ("sw", 0.5)) for rows in (100, 1000, 10000)]
    (tmp_path / "pilots.csv").write_text("\n".join(pilots) + "\n")
    code, out, err = call("fit-scaling", str(tmp_path / "pilots.csv"), "--budget", "1000", "--json")
    assert code == 0, err
    found = json.loads(out)
    assert (round(found["law"]["a"], 3), round(found["law"]["b"], 3)) == (90.0, -0.1)
    # D_i goes with (g_i^b)^(1 / (1 - b)): 0.5^(-0.1 / 1.1) = 1.065, so sw gets 1.065 / 2.065 of the rows
    assert {row["language"]: row["rows"] for row in found["allocation"]} == {"es": 484, "sw": 516, "all": 1000}


def test_new_method_writes_a_package(call, tmp_path: Path) -> None:
    code, out, err = call("new-method", "two_birds", "--out", str(tmp_path))
    assert code == 0, err
    assert str(tmp_path / "xlift-two-birds" / "src" / "xlift_two_birds" / "two_birds.py") in out.splitlines()
    code, out, err = call("new-method", "cross_lingual", "--out", str(tmp_path))
    assert code == 2
    assert "cross_lingual" in err


def test_a_closed_standard_output_is_one_line() -> None:
    command = [sys.executable, "-m", "xlift.harness.cli", "ls", "tasks"]
    done = subprocess.run(["sh", "-c", '"$@" >&-', "sh", *command], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (
        2, "xlift: standard output is closed, and results go there; send it to a file or to /dev/null\n",
    )  # fmt: skip

"""Translation models of transformers, as tiny random ones made here: language tokens, order, batches, and what is refused."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from refusals import refusal

from xlift.harness.config.suite import TranslatorSettings, read_suite
from xlift.harness.core.languages import find
from xlift.harness.core.types import Answer, Chat, Preference, Sampling
from xlift.harness.engines import dtypes
from xlift.harness.pipeline.context import RunContext
from xlift.harness.recipes.registry import load
from xlift.harness.translators.seq2seq import Seq2SeqTranslator
from xlift.tasks.data import read_training
from xlift.tasks.leaks import Guard

WORDS = ["bird", "sings", "house", "red", "night", "good", "tree", "river", "small", "old"]
TEXTS = [" ".join(WORDS[: 1 + number % 7]) + f" {WORDS[number % 10]}" for number in range(12)]


@pytest.fixture(autouse=True)
def in_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounding must not tell a batch from single texts."""
    monkeypatch.setattr(dtypes, "choose_arithmetic", lambda dtype: torch.float32)


def save_model(folder: Path, config: Any) -> None:
    from transformers import AutoModelForSeq2SeqLM

    torch.manual_seed(0)
    model = AutoModelForSeq2SeqLM.from_config(config)
    # Two words end a translation, so that one of random weights ends.
    model.generation_config.eos_token_id = [config.eos_token_id, 6, 9]
    model.save_pretrained(folder)


def shape(**options: Any) -> dict[str, Any]:
    small: dict[str, Any] = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2}
    small |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "init_std": 1.0}
    return {**small, "max_position_embeddings": 32, **options}


def save_pieces(path: Path) -> list[str]:
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([" ".join(WORDS)] * 9), model_prefix=str(path.with_suffix("")), model_type="word", vocab_size=13,
        bos_id=-1, eos_id=2, pad_id=1, unk_id=0, minloglevel=2, hard_vocab_limit=False,
    )  # fmt: skip
    path.with_suffix(".model").rename(path)
    return [f"▁{word}" for word in WORDS]


@pytest.fixture
def nllb(tmp_path: Path) -> Path:
    from transformers import M2M100Config, NllbTokenizer

    heads = [f"▁{word}"[:end] for word in WORDS for end in range(2, len(word) + 2)]
    merges = list(dict.fromkeys((head[:-1], head[-1]) for head in heads))
    signs = dict.fromkeys(["<s>", "<pad>", "</s>", "<unk>", "▁", *sorted({*"".join(WORDS)}), *heads])
    tokenizer = NllbTokenizer(vocab={sign: number for number, sign in enumerate(signs)}, merges=merges)
    tokenizer.save_pretrained(tmp_path / "tiny-nllb")
    save_model(tmp_path / "tiny-nllb", M2M100Config(vocab_size=len(tokenizer), **shape()))
    return tmp_path / "tiny-nllb"


@pytest.fixture
def m2m100(tmp_path: Path) -> Path:
    from transformers import M2M100Config, M2M100Tokenizer

    signs = ["<s>", "<pad>", "</s>", "<unk>", *save_pieces(tmp_path / "pieces.spm")]
    (tmp_path / "words.json").write_text(json.dumps({sign: number for number, sign in enumerate(signs)}), encoding="utf-8")
    tokenizer = M2M100Tokenizer(str(tmp_path / "words.json"), str(tmp_path / "pieces.spm"))
    tokenizer.save_pretrained(tmp_path / "tiny-m2m100")
    save_model(tmp_path / "tiny-m2m100", M2M100Config(vocab_size=len(signs) + 108, **shape()))
    return tmp_path / "tiny-m2m100"


@pytest.fixture
def make_marian(tmp_path: Path) -> Callable[..., Path]:
    from transformers import MarianConfig, MarianTokenizer

    def make(*codes: str, **sides: str) -> Path:
        signs = ["</s>", "<unk>", *save_pieces(tmp_path / "pieces.spm"), *codes, "<pad>"]
        (tmp_path / "words.json").write_text(json.dumps({sign: number for number, sign in enumerate(signs)}), encoding="utf-8")
        pieces = str(tmp_path / "pieces.spm")
        MarianTokenizer(pieces, pieces, str(tmp_path / "words.json"), **sides).save_pretrained(tmp_path / "tiny-marian")
        pad = len(signs) - 1
        config = MarianConfig(
            vocab_size=len(signs), pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, forced_eos_token_id=0, **shape()
        )
        save_model(tmp_path / "tiny-marian", config)
        return tmp_path / "tiny-marian"

    return make


def open_model(folder: Path, **options: Any) -> Seq2SeqTranslator:
    return Seq2SeqTranslator(TranslatorSettings(kind="seq2seq", model=str(folder), **options))


def watch(translator: Seq2SeqTranslator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[list[str]], list[list[str]]]]:
    """The tokens that go into each call of the model, and those that come out."""
    calls: list[tuple[list[list[str]], list[list[str]]]] = []
    original, tokenizer = translator._model.generate, translator._tokenizer

    def generate(**arguments: Any) -> Any:
        out = original(**arguments)
        pad = tokenizer.pad_token_id
        sides = [
            [tokenizer.convert_ids_to_tokens([i for i in row if i != pad]) for row in ids.tolist()] for ids in (arguments["input_ids"], out)
        ]
        calls.append((sides[0], sides[1]))
        return out

    monkeypatch.setattr(translator._model, "generate", generate)
    return calls


def test_nllb_gets_flores_codes(nllb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = open_model(nllb, max_tokens=8)
    calls = watch(translator, monkeypatch)
    translator.translate(["bird sings"], "es", "zh")
    assert calls[0][0] == [["spa_Latn", "▁bird", "▁sings", "</s>"]]
    assert calls[0][1][0][:2] == ["</s>", "zho_Hans"]
    translator.translate(["bird"], "eng_Latn", "de")
    assert calls[1][0][0][0] == "eng_Latn" and calls[1][1][0][1] == "deu_Latn"
    assert "does not translate into Minangkabau (Arabic script) (min-Arab), only into 20" in refusal(
        lambda: translator.check("en", "min-Arab")
    )


def test_m2m100_gets_short_codes(m2m100: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = open_model(m2m100, max_tokens=8)
    calls = watch(translator, monkeypatch)
    translator.translate(["bird sings"], "es", "nb")
    assert calls[0][0] == [["__es__", "▁bird", "▁sings", "</s>"]]
    assert calls[0][1][0][:2] == ["</s>", "__no__"]
    assert "does not translate from Acehnese (Latin script) (ace), only from 9" in refusal(lambda: translator.check("ace", "en"))


def test_marian_of_one_pair_has_no_codes(make_marian: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    translator = open_model(make_marian(source_lang="eng", target_lang="es"), max_tokens=8)
    calls = watch(translator, monkeypatch)
    translator.translate(["bird sings"], "en", "es")
    assert calls[0][0] == [["▁bird", "▁sings", "</s>"]]
    assert refusal(lambda: translator.check("en", "de")).endswith("tiny-marian: does not translate into German (de), only into es")
    assert "does not translate from Spanish (es), only from en" in refusal(lambda: translator.check("es", "en"))


def test_marian_of_many_targets_gets_a_prefix(make_marian: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    codes = [">>spa<<", ">>de<<", ">>cmn_Hans<<", ">>cmn<<", ">>ara<<"]
    translator = open_model(make_marian(*codes, source_lang="en", target_lang="mul"), max_tokens=8)
    calls = watch(translator, monkeypatch)
    for target in ("es", "de", "zh", "ar"):
        translator.translate(["bird"], "en", target)
    heads = [rows[0][0] for rows, _ in calls]
    assert heads == [">>spa<<", ">>de<<", ">>cmn_Hans<<", ">>ara<<"]
    assert "does not translate into French (fr), only into ar, de, es, zh" in refusal(lambda: translator.check("en", "fr"))


@pytest.mark.parametrize("beams", [1, 2])
def test_batches_change_neither_order_nor_text(make_marian: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, beams: int) -> None:
    translator = open_model(make_marian(), max_tokens=20, batch_tokens=64)
    translator._model.generation_config.num_beams = beams
    alone = [translator.translate([text], "en", "es")[0] for text in TEXTS]
    calls = watch(translator, monkeypatch)
    assert translator.translate(TEXTS, "en", "es") == alone
    assert len({*alone} - {None}) >= 3, "the random model says too little to tell texts apart"
    assert len(calls) > 1
    widths = [[len(row) for row in rows] for rows, _ in calls]
    assert all(len(rows) == 1 or len(rows) * max(rows) * beams <= 64 for rows in widths)
    assert [max(rows) for rows in widths] == sorted((max(rows) for rows in widths), reverse=True)


def test_lines_are_translated_one_by_one(nllb: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    translator = open_model(nllb, max_tokens=8)
    monkeypatch.setattr(translator, "_generate", lambda rows, first: [f"{len(row)}" for row in rows])
    assert translator.translate(["bird sings\n\n---\nbird", "night"], "en", "es") == ["4\n\n---\n3", "3"]


def test_what_is_cut_off_or_too_long_gives_none(nllb: Path, make_marian: Callable[..., Path]) -> None:
    for folder in (nllb, make_marian()):
        translator = open_model(folder, max_tokens=3)
        translator._model.generation_config.eos_token_id = translator._model.config.eos_token_id
        with torch.no_grad():  # nothing but "sings" is ever said
            head = translator._model.get_output_embeddings()
            head.weight.zero_()
            head.weight[5] = 1
            translator._model.get_decoder().layers[-1].final_layer_norm.bias.fill_(9.0)
        assert translator.translate(["bird"], "en", "es") == [None]
    translator = open_model(nllb, max_tokens=20)
    texts = [" ".join(["bird"] * 30), " ".join(["bird"] * 31), *TEXTS]
    encoded, _ = translator._codes.encode(texts[:2], find("en"), find("es"))
    assert [len(ids) for ids in encoded] == [32, 33]
    assert translator.translate(texts, "en", "es")[1] is None


def test_nothing_is_loaded_before_the_first_translation(nllb: Path) -> None:
    translator = open_model(nllb)
    translator.check("en", "es")
    assert "_model" not in vars(translator)
    described = translator.describe()
    assert described["model"] == "tiny-nllb" and len(described["sha256"]) == 64 and str(nllb) not in f"{described}"


def test_models_that_cannot_serve(tmp_path: Path, tiny_base: Path, unplugged: None) -> None:
    assert "neither a folder nor a hub repository" in refusal(lambda: open_model(Path("no/such/folder")))
    hub = open_model(Path("some-org/some-model"))
    assert "translator seq2seq some-org/some-model" in refusal(lambda: hub.check("en", "es"))
    assert "hub cannot be reached" in refusal(lambda: hub.check("en", "es"))
    assert "no language codes of NLLB, M2M100 or Marian" in refusal(lambda: open_model(tiny_base).check("en", "es"))
    (tmp_path / "empty").mkdir()
    assert "its tokenizer does not load" in refusal(lambda: open_model(tmp_path / "empty").check("en", "es"))


def test_scores_by_hand(nllb: Path, make_marian: Callable[..., Path]) -> None:
    """The mean log-probability of each token behind those before it, of one text at a time, is what a batch gives."""
    for folder, named in ((nllb, ["zho_Hans"]), (make_marian(), [])):
        translator = open_model(folder, batch_tokens=64)
        model, tokenizer = translator._model, translator._tokenizer
        pairs = [("bird sings", "red house"), ("night", "good"), ("old red tree", "small river\nbird night")]
        found = translator.score([one for one, _ in pairs], [other for _, other in pairs], "es", "zh")
        for (text, translation), score in zip(pairs, found, strict=True):
            source = [*(["spa_Latn"] if named else []), *(f"▁{word}" for word in text.split()), "</s>"]
            target = [*(f"▁{word}" for word in translation.split()), "</s>"]
            said = [model.config.decoder_start_token_id, *tokenizer.convert_tokens_to_ids([*named, *target])]
            read = torch.tensor([tokenizer.convert_tokens_to_ids(source)])
            with torch.no_grad():
                nats = model(input_ids=read, decoder_input_ids=torch.tensor([said])).logits[0].log_softmax(-1)
            first = len(named)
            chosen = [float(nats[place, said[place + 1]]) for place in range(first, len(said) - 1)]
            assert len(chosen) == len(target)
            assert score == pytest.approx(sum(chosen) / len(chosen), abs=1e-4)


def test_what_is_too_long_has_no_score(nllb: Path) -> None:
    translator = open_model(nllb)
    assert translator.score([" ".join(WORDS * 4), "bird", "bird"], ["bird", " ".join(WORDS * 4), "bird"], "es", "en")[:2] == [None, None]
    assert translator.score([], [], "es", "en") == []
    assert "does not translate into" in refusal(lambda: translator.score([], [], "en", "min-Arab"))


def test_alignment_preferences_are_ordered_by_a_translation_model(nllb: Path) -> None:
    """MAPO's rewards from the model itself, through all that a run puts between a method and its translator."""
    numbers = {row["question"]: row["final_answer"] for lang in ("en", "es") for row in read_training("gsm8k", lang, samples="always")}

    def generate(chats: Sequence[Chat], sampling: Sampling) -> list[Answer]:
        said = []
        for place, chat in enumerate(chats):
            number = next(number for question, number in numbers.items() if question in chat[0]["content"])
            spanish = any(sign in chat[0]["content"] for sign in "¿áéíóú")
            drawn = ("Es {}, sí.", "Es 77123.", "Es {}.") if spanish else ("It is {}.", "{}!", "It is 77123.")
            said.append(Answer(drawn[place % 3].format(number), 9, True))
        return said

    options = {"problems": 4, "samples": 3, "pairs": 9}
    values = {
        "name": "small", "languages": {"train": ["es"], "evaluate": ["es"]}, "data": {"samples": "always"},
        "methods": {"m": {"method": "alignment_preference", "options": options}}, "evaluate": {"tasks": ["xlift_mgsm_direct_es"]},
        "translators": {"default": {"kind": "seq2seq", "model": str(nllb)}},
    }  # fmt: skip
    context = RunContext(read_suite(values, "test"), "m", Guard([]), generate)
    plan = load("alignment_preference", options).prepare(context)
    translator, seen = open_model(nllb), 0
    for row in plan.rows:
        assert isinstance(row, Preference)
        number = next(number for question, number in numbers.items() if question in row.messages[0]["content"])
        right = [f"It is {number}.", f"{number}!"]
        rewards = {}
        for text in (row.chosen, row.rejected):
            scores = [score for score in translator.score([text] * 2, right, "es", "en") if score is not None]
            rewards[text] = (1 / -scores[0] + 1 / -scores[1]) / 2
        assert number in row.chosen and rewards[row.chosen] > rewards[row.rejected]
        seen += 1
    assert seen >= 4 and not plan.drops
    # four problems, three draws, two right solutions in English
    assert context.describe_help()["translated"]["es-en: seq2seq, scores"] == {"asked": 24, "failed": 0}

"""The seq2seq kind: translation models of transformers (NLLB, M2M100, Marian), from a folder or the hub."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xlift.harness.config.suite import TranslatorSettings
from xlift.harness.core.errors import UserError, one_line
from xlift.harness.core.hashing import weights_sha256
from xlift.harness.core.languages import MACROLANGUAGES, Language, find, languages
from xlift.harness.core.progress import Bar
from xlift.harness.engines.batches import cut_batches
from xlift.harness.models.download import download
from xlift.harness.translators.base import Description, LineTranslator

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

M2M100 = {"nb": "no", "nso": "ns"}
"""Our codes of languages that have another code in M2M100."""


@dataclass(frozen=True)
class Codes:
    """How a model is told the languages: our code to the model's, for the languages that it knows on each side."""

    tokenizer: PreTrainedTokenizerBase
    sources: Mapping[str, str]
    targets: Mapping[str, str]
    """The token of each language. For a model of a single pair the value does not matter."""
    way: Literal["first", "prefix", "none"]
    """Whether the target's token is forced to be the first token of the translation, or is put before the source text, or there is none."""

    def require(self, source: Language, target: Language, title: str) -> None:
        """Raises UserError if the model does not know a language on its side."""
        for language, known, verb in ((source, self.sources, "from"), (target, self.targets, "into")):
            if language.code not in known:
                others = ", ".join(sorted(known)) if len(known) <= 15 else f"{len(known)} languages"
                raise UserError(
                    f"{title}: does not translate {verb} {language.name} ({language.code}), only {verb} {others or 'no language'}"
                )

    def encode(self, texts: Sequence[str], source: Language, target: Language) -> tuple[list[list[int]], int | None]:
        """The token ids of each text, and the id with which its translation must begin."""
        if self.way != "first":
            head = f"{self.targets[target.code]} " if self.way == "prefix" else ""
            return self.tokenizer([head + text for text in texts]).input_ids, None
        self.tokenizer.src_lang = self.sources[source.code]
        return self.tokenizer(list(texts)).input_ids, self.tokenizer.convert_tokens_to_ids(self.targets[target.code])

    def encode_translations(self, texts: Sequence[str], target: Language) -> list[list[int]]:
        """The token ids of each text on the target side, including its end, and without the token that names the language."""
        if self.way != "first":
            found: list[list[int]] = self.tokenizer(text_target=list(texts)).input_ids
            return found
        self.tokenizer.tgt_lang = self.targets[target.code]
        named = self.tokenizer.convert_tokens_to_ids(self.targets[target.code])
        return [[token for token in ids if token != named] for ids in self.tokenizer(text_target=list(texts)).input_ids]


def choose_codes(tokenizer: PreTrainedTokenizerBase, title: str) -> Codes:
    """The language codes of an NLLB, M2M100 or Marian tokenizer. Raises UserError for any other."""
    known = languages().values()
    if hasattr(tokenizer, "supported_language_codes"):
        sources = _take_stated(tokenizer.source_lang)
        if not tokenizer.supported_language_codes:
            return Codes(tokenizer, sources, _take_stated(tokenizer.target_lang), "none")
        tokens = set(tokenizer.supported_language_codes)
        named = {each.code: [f">>{name}<<" for name in _opus_names(each) if f">>{name}<<" in tokens] for each in known}
        return Codes(tokenizer, sources, {code: found[0] for code, found in named.items() if found}, "prefix")
    if hasattr(tokenizer, "lang_code_to_token"):
        short = {each.code: M2M100.get(each.code, each.code) for each in known}
        short = {code: name for code, name in short.items() if name in tokenizer.lang_code_to_token}
        return Codes(tokenizer, short, {code: tokenizer.lang_code_to_token[name] for code, name in short.items()}, "first")
    vocabulary = tokenizer.get_vocab()
    flores = {each.code: each.flores for each in known if each.flores in vocabulary}
    if not flores:
        raise UserError(f"{title}: its tokenizer has no language codes of NLLB, M2M100 or Marian")
    return Codes(tokenizer, flores, flores, "first")


def _opus_names(language: Language) -> list[str]:
    """The names that OPUS models may have for a language, the narrowest first."""
    narrow, script = language.flores.split("_")
    wide = MACROLANGUAGES.get(narrow, narrow)
    in_script = [language.flores, f"{wide}_{script}", language.code]
    # A name without a script means the usual one, which our code leaves out.
    return in_script if "-" in language.code else [*in_script, narrow, wide]


def _take_stated(stated: str | None) -> dict[str, str]:
    """The languages on one side of a Marian model by its own statement: all languages, if it names a group or nothing."""
    meant = [code for code, language in languages().items() if stated in _opus_names(language)]
    return dict.fromkeys(meant or languages(), stated or "")


class Seq2SeqTranslator(LineTranslator):
    """A translation model without sampling: with the beams that its authors configured, else greedy.

    The result is None for a line that is longer than the model's positions, and for a translation that ``max_tokens`` cut off.
    """

    def __init__(self, settings: TranslatorSettings) -> None:
        path = Path(settings.model or "").expanduser()
        self._folder = path.resolve() if path.is_dir() else None
        super().__init__(settings, self._folder.name if self._folder else settings.model or "")
        if not self._folder and (path.is_file() or str(settings.model).startswith(("/", ".", "~")) or str(settings.model).count("/") != 1):
            raise UserError(f"{self.title}: neither a folder nor a hub repository ORG/NAME")

    def check(self, source: str, target: str) -> None:
        """Raises UserError if the model does not know one of the languages. Fetches the model, and loads its tokenizer."""
        super().check(source, target)
        self._codes.require(find(source), find(target), self.title)

    def describe(self) -> Description:
        """The model and what identifies its weights: the commit on the hub, or the sha256 of a folder's safetensors."""
        described = {"kind": "seq2seq", "model": self.settings.model, "max_tokens": self.settings.max_tokens}
        if not self._folder:
            return {**described, "revision": self._source[1]}
        sha256 = weights_sha256(self._folder) if any(self._folder.glob("*.safetensors")) else None
        return {**described, "model": self._folder.name, "sha256": sha256}

    def _answer_lines(self, lines: Sequence[str], source: str, target: str) -> list[str | None]:
        import torch

        encoded, first = self._codes.encode(lines, find(source), find(target))
        beams = self._model.generation_config.num_beams or 1
        found: list[str | None] = [None] * len(lines)
        fitting = [index for index, ids in enumerate(encoded) if len(ids) <= self._positions]
        widths = [len(encoded[index]) for index in fitting]
        with Bar(total=len(fitting), desc="translations") as bar:
            for batch in cut_batches(widths, self.settings.batch_tokens // beams):
                indices = [fitting[place] for place in batch]
                try:
                    answers = self._generate([encoded[index] for index in indices], first)
                except torch.OutOfMemoryError:
                    raise UserError(f"{self.title}: out of memory; lower batch_tokens ({self.settings.batch_tokens})") from None
                for index, answer in zip(indices, answers, strict=True):
                    found[index] = answer
                bar.update(len(batch))
        return found

    def _generate(self, encoded: Sequence[Sequence[int]], first: int | None) -> list[str | None]:
        import torch

        room = min(self.settings.max_tokens, self._positions - 1)
        batch = self._tokenizer.pad({"input_ids": list(encoded)}, padding_side="right", return_tensors="pt").to(self._model.device)
        with torch.inference_mode():
            rows = self._model.generate(**batch, max_new_tokens=room, forced_bos_token_id=first)[:, 1:].tolist()
        end = self._model.generation_config.eos_token_id
        ends = end if isinstance(end, list) else [end]
        return [self._tokenizer.decode(row, skip_special_tokens=True).strip() if {*ends} & {*row} else None for row in rows]

    def score(self, texts: Sequence[str], translations: Sequence[str], source: str, target: str) -> list[float | None]:
        """The mean natural log-probability of each translation's tokens, including its end. Line breaks are read as spaces."""
        self.check(source, target)
        if not texts:
            return []
        encoded, first = self._codes.encode([" ".join(text.split()) for text in texts], find(source), find(target))
        wanted = self._codes.encode_translations([" ".join(text.split()) for text in translations], find(target))
        found: list[float | None] = [None] * len(texts)
        fitting = [at for at in range(len(texts)) if max(len(encoded[at]), len(wanted[at]) + 1) <= self._positions]
        widths = [len(encoded[at]) + len(wanted[at]) for at in fitting]
        with Bar(total=len(fitting), desc="scores of translations") as bar:
            for batch in cut_batches(widths, self.settings.batch_tokens):
                places = [fitting[place] for place in batch]
                scores = self._score([encoded[at] for at in places], [wanted[at] for at in places], first)
                for at, score in zip(places, scores, strict=True):
                    found[at] = score
                bar.update(len(batch))
        return found

    def _score(self, encoded: Sequence[Sequence[int]], wanted: Sequence[Sequence[int]], first: int | None) -> list[float]:
        import torch

        read = self._tokenizer.pad({"input_ids": list(encoded)}, padding_side="right", return_tensors="pt").to(self._model.device)
        said = self._tokenizer.pad({"input_ids": list(wanted)}, padding_side="right", return_tensors="pt").to(self._model.device)
        start = self._model.config.decoder_start_token_id
        head = [start] if first is None else [start, first]
        lead = torch.tensor([head] * len(wanted), device=self._model.device)
        # The last token of each translation, its end, is only predicted.
        fed = torch.cat([lead, said.input_ids[:, :-1]], dim=1)
        with torch.inference_mode():
            logits = self._model(**read, decoder_input_ids=fed).logits[:, len(head) - 1 :].float()
        chosen = logits.log_softmax(-1).gather(-1, said.input_ids.unsqueeze(-1)).squeeze(-1)
        mask = said.attention_mask
        means: list[float] = ((chosen * mask).sum(1) / mask.sum(1)).tolist()
        return means

    @cached_property
    def _source(self) -> tuple[str, str | None]:
        """The name and commit for from_pretrained, which on the hub also finds weights in formats that download leaves out."""
        if self._folder:
            return str(self._folder), None
        return str(self.settings.model), download(str(self.settings.model), self.settings.revision, self.title).name

    @cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        from transformers import AutoTokenizer

        name, revision = self._source
        try:
            return AutoTokenizer.from_pretrained(name, revision=revision)
        except (OSError, ValueError, TypeError, KeyError, ImportError, AssertionError) as error:
            raise UserError(f"{self.title}: its tokenizer does not load: {one_line(error)}") from error

    @cached_property
    def _codes(self) -> Codes:
        return choose_codes(self._tokenizer, self.title)

    @cached_property
    def _model(self) -> PreTrainedModel:
        import torch
        from transformers import AutoModelForSeq2SeqLM

        from xlift.harness.engines.dtypes import choose_arithmetic

        name, revision = self._source
        try:
            model = AutoModelForSeq2SeqLM.from_pretrained(
                name, revision=revision, use_safetensors=True, dtype=choose_arithmetic("bfloat16")
            )
            # An end forced upon the last place would make a translation that was cut off look whole.
            model.generation_config.update(do_sample=False, max_length=None, forced_eos_token_id=None)
            return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        except (OSError, ValueError) as error:
            raise UserError(f"{self.title}: transformers does not load it: {one_line(error)}") from error
        except torch.OutOfMemoryError:
            raise UserError(f"{self.title}: too large for the memory of the device") from None

    @property
    def _positions(self) -> int:
        return min(int(self._tokenizer.model_max_length), int(self._model.config.max_position_embeddings))

"""The licences of the training corpora, part by part, and which parts a reading took. docs/data.md has the same facts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xlift.harness.core.manifests import SourceFacts
from xlift.tasks.corpus_table import CORPORA
from xlift.tasks.data import Samples, locate, read_training


@dataclass(frozen=True)
class Licence:
    """What a source says about its use."""

    text: str
    """The licence, for people."""
    tags: tuple[str, ...]
    """The hub's identifiers; ``other`` or ``unknown`` if it has none."""

    @property
    def restrictive(self) -> bool:
        """Whether some use is excluded or not granted: non-commercial, research only, or no licence stated."""
        return any(tag in ("other", "unknown") or "-nc" in tag for tag in self.tags)


@dataclass(frozen=True)
class Source:
    """One part of a corpus in one language."""

    name: str
    lang: str
    licence: Licence

    def facts(self) -> SourceFacts:
        """The facts that a manifest holds about the source."""
        return {"name": self.name, "lang": self.lang, "licence": {"text": self.licence.text, "tags": self.licence.tags}}


_CC_BY_NC = Licence("CC BY-NC 4.0", ("cc-by-nc-4.0",))
_CC_BY_SA = Licence("CC BY-SA 4.0", ("cc-by-sa-4.0",))
_DBPEDIA = Licence("none stated; names and facts of DBpedia, CC BY-SA", ("unknown",))
_MIT = Licence("MIT", ("mit",))
_NONE = Licence("none stated", ("unknown",))
_OWN = Licence("the user's own rows, as they say", ("other",))
_WMT = Licence("WMT: free for research", ("other",))
SAMPLES = Licence("Apache-2.0, written for xlift", ("apache-2.0",))

LICENCES = {
    "alpaca": _CC_BY_NC,
    "alpaca/multialpaca": Licence("none stated; answers of ChatGPT, under OpenAI's terms", ("unknown",)),
    "alpaca/own": _OWN,
    "alpaca/seed": Licence("Apache-2.0", ("apache-2.0",)),
    "alpaca/llama3": Licence("Llama 3 licence for the answers, CC BY-NC 4.0 for the instructions", ("llama3", "cc-by-nc-4.0")),
    "alpagasus": _CC_BY_NC,
    "entities": _DBPEDIA,
    "gsm8k": _MIT,
    "lexicon/gatitos": Licence("CC BY 4.0", ("cc-by-4.0",)),
    "lexicon/own": _OWN,
    "lexicon/xling": _NONE,
    "parallel/alma": _WMT,
    "parallel/mafand": _CC_BY_NC,
    "parallel/news2008": _WMT,
    "parallel/opus100": _NONE,
    "parallel/own": _OWN,
    "parallel/tatoeba": Licence("CC BY 2.0 FR", ("cc-by-2.0",)),
    "parallel/tico19": Licence("CC0", ("cc0-1.0",)),
    "qa/cmrc2018": _CC_BY_SA,
    "qa/iapp": _MIT,
    "qa/own": _OWN,
    "qa/jaquad": Licence("CC BY-SA 3.0", ("cc-by-sa-3.0",)),
    "qa/squad": _CC_BY_SA,
    "qa/tquad": _NONE,
    "triples": _DBPEDIA,
}
"""The licences, by ``corpus/part``, or by the corpus if its parts agree."""

MEASURED = {
    "belebele": "CC BY-SA 4.0",
    "bmlama": "Apache-2.0; facts of Wikidata",
    "flores": "CC BY-SA 4.0",
    "language_confusion": "Apache-2.0; prompts in part CC BY-NC 4.0",
    "mgsm": "CC BY 4.0",
    "mlqa": "CC BY-SA 3.0",
    "msvamp": "no licence file in microsoft/MathOctopus",
    "ntrex": "CC BY-SA 4.0",
    "pawsx": "free for any purpose, with thanks to Google",
    "sib200": "Apache-2.0; sentences of FLORES-200, CC BY-SA 4.0",
    "x_alpaca_eval": "CC BY-NC 4.0; outputs under OpenAI's terms",
    "xcopa": "CC BY 4.0",
    "xnli": "CC BY-NC 4.0",
    "xquad": "CC BY-SA 4.0",
}
"""What the evaluation corpora say."""

TRANSLATORS = {"nllb": _CC_BY_NC}
"""The licences of translation models, by the beginning of their names."""

_TRANSLATED_GSM8K = Licence("no licence file; from MGSM8KInstruct (MIT)", ("mit", "unknown"))


def find_licence(corpus: str, lang: str, part: str | None = None) -> Licence:
    """The licence of a training corpus, or of one part of it."""
    if corpus == "gsm8k" and lang != "en":
        return _TRANSLATED_GSM8K
    return LICENCES.get(f"{corpus}/{part}") or LICENCES[corpus]


def describe_licence(corpus: str, part: str | None = None) -> str:
    """The licence of any corpus, or of one part of it, for people. If a corpus without parts has two licences for its languages, both are
    named."""
    if corpus in MEASURED:
        return MEASURED[corpus]
    own = find_licence(corpus, "en", part).text if part or corpus in LICENCES else "by part"
    return f"{own}; translations: {_TRANSLATED_GSM8K.text}" if corpus == "gsm8k" else own


def trace(corpus: str, lang: str, *, samples: Samples) -> list[Source]:
    """The parts that ``read_training`` reads for the same arguments. Raises what it raises."""
    name = corpus.partition("/")[0]
    rows = read_training(corpus, lang, samples=samples)
    if locate(corpus, lang, samples=samples).origin == "samples":
        return [Source(f"{name} (bundled samples)", lang, SAMPLES)]
    # The ids of a corpus in parts begin with the part.
    found = {str(identity).partition("-")[0] for identity in rows["id"]} if CORPORA[name].parts else set()
    if not found:
        return [Source(name, lang, find_licence(name, lang))]
    return [Source(f"{name}/{part}", lang, find_licence(name, lang, part)) for part in sorted(found)]


def trace_all(corpora: Iterable[str], *, samples: Samples) -> list[Source]:
    """``trace`` of each ``corpus/lang``, such as ``parallel/es``, without repetitions."""
    read = [name.rpartition("/") for name in corpora]
    return list(dict.fromkeys(source for corpus, _, lang in read for source in trace(corpus, lang, samples=samples)))


def list_possible(corpus: str, lang: str) -> list[Source]:
    """All parts that a reading of a corpus may have taken, found without reading it. It is for rows whose sources were not recorded."""
    name, _, part = corpus.partition("/")
    parts = [key.partition("/")[2] for key in LICENCES if key.startswith(f"{name}/")]
    fitting = [part] if part in parts else parts
    found = [Source(f"{name}/{one}", lang, find_licence(name, lang, one)) for one in fitting]
    return found if fitting and name not in LICENCES else [Source(name, lang, find_licence(name, lang)), *found]


def find_translator(model: str) -> Licence | None:
    """The licence of a translation model, if it is known here. ``model`` is a name on the hub or a folder."""
    name = model.rstrip("/").rpartition("/")[2].lower()
    return next((licence for start, licence in TRANSLATORS.items() if name.startswith(start)), None)

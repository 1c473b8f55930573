"""The functions of ``import xlift`` for data: what a suite reads, what exists, and getting, storing, checking and adding data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xlift.harness.config import suite as config
from xlift.harness.config.suite import Suite
from xlift.harness.core.errors import UserError, name_nearest

if TYPE_CHECKING:
    import pandas as pd

    from xlift.tasks.own_rows import Added

DATA_COLUMNS = ["corpus", "lang", "split", "rows", "sha256", "origin", "fault"]


def survey(suite: Suite) -> pd.DataFrame:
    """The data that ``run`` will read: columns for (``tasks`` or a method's label), corpus, split, languages, state, bytes and otherwise.

    The state is ``here``, ``to fetch`` (``bytes`` is then a rough number), ``samples`` or ``nowhere``. For data that are nowhere,
    ``otherwise`` says what the method does without them, or what you can do. ``attrs["stop"]`` of the table says in one line why ``run``
    would stop for lack of data before any work; it is empty if ``run`` would not. ``attrs["left out"]`` has a line for each group of tasks
    that is measured in fewer languages for lack of data. Nothing is fetched, and no model is needed. Raises UserError as ``validate`` does.
    """
    import pandas as pd

    from xlift.harness.pipeline.dry_run import find_stop, survey_data

    columns = ["for", "corpus", "split", "languages", "state", "bytes", "otherwise"]
    found = pd.DataFrame(survey_data(suite), columns=columns).astype({"bytes": "Int64"})
    found.attrs["stop"], found.attrs["left out"] = find_stop(suite)
    return found


def list_corpora() -> pd.DataFrame:
    """Corpora and their parts, one in each row.

    Columns: corpus, for (``measuring`` or ``training``), splits, languages, here (the languages on this machine), known in (the number of
    languages whose rows are known), rows and bytes (of the first split in these languages), licence, and from, the repositories of their
    addresses.
    """
    import pandas as pd

    from xlift.tasks import holdings

    return pd.DataFrame(holdings.list_corpora())


def get_data(names: str | Iterable[str], *, languages: Sequence[str] = (), split: str | None = None) -> pd.DataFrame:
    """Fetch, check and read all data that suites need, or corpora (``parallel``, ``alpaca/multialpaca``). Data on this machine are not
    fetched again.

    ``languages`` and ``split`` choose parts of corpora; without languages, all that have an address are taken. Returns one row for each
    corpus, language and split, with columns corpus, lang, split, rows, sha256 (of the rows), origin and fault, which says why one cannot be
    read. A download that broke off continues with the next call. Raises UserError for a wrong name.
    """
    import pandas as pd

    from xlift.tasks import holdings

    found = holdings.get(_list_readings(names, languages, split))
    return pd.DataFrame([vars(one) for one in found], columns=DATA_COLUMNS).astype({"rows": "Int64"})


def build_data(
    folder: str | Path, names: str | Iterable[str] = (), *, languages: Sequence[str] = (), split: str | None = None
) -> pd.DataFrame:  # fmt: skip
    """Write the data of suites or corpora into a folder that XLIFT_DATA can name, with a manifest of rows, hashes, sources and licences.

    Without names, it writes the data of all suites that come with xlift. What is in the folder stays. The columns are those of
    ``get_data``. Raises UserError as it does, and if the folder cannot be written.
    """
    import pandas as pd

    from xlift.tasks import holdings

    found = holdings.build(Path(folder).expanduser(), _list_readings(names or config.shipped_suites(), languages, split))
    return pd.DataFrame([vars(one) for one in found], columns=DATA_COLUMNS).astype({"rows": "Int64"})


def _list_readings(names: str | Iterable[str], languages: Sequence[str], split: str | None) -> list[tuple[str, str, str]]:
    """Corpus, language and split of everything that the names mean; for a suite, of everything that it reads."""
    from xlift.harness.pipeline.dry_run import list_supplies
    from xlift.tasks import holdings

    found: list[tuple[str, str, str]] = []
    for name in list_names(names):
        if holdings.is_corpus(name):
            found += holdings.list_readings(name, list_names(languages), split)
            continue
        if not (Path(name).is_file() or name in config.shipped_suites()):
            known = [*holdings.list_names(), *config.shipped_suites()]
            raise UserError(f"{name!r} is neither a corpus nor a suite{name_nearest(name.partition('/')[0], known)}")
        if languages or split:
            raise UserError(f"languages and split are of corpora, and {name!r} is a suite, which names its own")
        suite = config.load_suite(name)
        if suite.data.samples != "always":
            found += [supply.key for supply in list_supplies(config.load_suite(name, ["data.samples=never"]))]
    return found


def check_data(folder: str | Path | None = None, *, addresses: bool = False) -> pd.DataFrame:
    """Files that are not what they should be: in a data folder (that of XLIFT_DATA if none is named), and among all that was fetched.

    With ``addresses``, every published file is asked for instead, without fetching any; this needs a network and some minutes. The columns
    are file and fault; there is no row if all are right. Raises UserError for a folder that is no data folder.
    """
    import pandas as pd

    from xlift.tasks import holdings

    columns = ["file", "fault"]
    if addresses:
        return pd.DataFrame(holdings.check_addresses(), columns=columns)
    return pd.DataFrame(holdings.check_folder(Path(folder) if folder else None) + holdings.check_fetched(), columns=columns)


def add_data(
    file: str | Path, kind: str, languages: str, *, to: str | Path | None = None, licence: str = "", replace: bool = False
) -> Added:  # fmt: skip
    """Put rows of your own into a data folder, where corpora read them.

    ``kind`` is ``parallel``, ``lexicon``, ``instructions``, ``prompts`` or ``qa``; ``languages`` is ``en-am`` for pairs, one language for
    the rest; ``to`` is the folder, which is made if it does not exist, or that of XLIFT_DATA if not given. docs/data.md has the columns.
    Rows that overlap evaluation data on this machine are left out and counted. Raises UserError for rows that do not fit, with the row's
    number.
    """
    from xlift.tasks import own_rows
    from xlift.tasks.sources import data_folder

    place = Path(to).expanduser() if to else data_folder()
    if place is None:
        raise UserError("say --to DIR for the data folder that the rows are added to, or name it in XLIFT_DATA")
    return own_rows.add(Path(file), kind, languages, place, licence, replace)


def list_names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Several names. A single one may be given by itself."""
    return (names,) if isinstance(names, str) else tuple(names)

"""An adapter merged into its base as a model of its own, for those who serve or train without PEFT."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from xlift.harness.config.suite import BaseSettings
from xlift.harness.core.errors import UserError
from xlift.harness.core.settings import build
from xlift.harness.core.store import discard, read_object, write_json
from xlift.harness.models import adapters, bases

logger = logging.getLogger(__name__)

DTYPES = ("bfloat16", "float16", "float32")


def write_merged(reference: str, out: Path, base: str | None = None, dtype: str = "bfloat16") -> Path:
    """Write the base with an adapter merged into it: safetensors in ``dtype``, the tokenizer and the chat template with which it was
    trained.

    ``reference`` is a folder or ``hub:ORG/NAME``. ``base`` is, if not given, the model that the adapter's ``xlift.json`` or its
    configuration names. The new ``xlift.json`` says what was merged, and holds the profile with which the model must be asked, if it has
    one. Raises UserError for a profile without weights, an adapter that does not fit or changes nothing, and a folder that is not empty.
    """
    from transformers.utils import logging as transformers_logging

    if dtype not in DTYPES:
        raise UserError(f"--dtype {dtype!r}: take one of {', '.join(DTYPES)}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: not an empty folder; name another one with --out")
    adapter = adapters.resolve(reference)
    if not adapter.has_weights:
        sorts = {adapters.STEER: "moves of states", adapters.MODULE: "an encoder's projection", adapters.POLICY: "a choice among profiles"}
        what = sorts.get(adapter.peft_type, "a profile")
        raise UserError(f"adapter {reference}: {what} without weights, so there is nothing to merge; the base is asked as it says")
    found = bases.resolve(_find_base(adapter, base))
    adapters.check(adapter, found)
    transformers_logging.disable_progress_bar()
    place = out.absolute()  # ``.`` has no name
    staging = place.with_name(f".{place.name}.{os.getpid()}.part")  # its own, as another command may write the same model
    try:
        model = adapters.merge(adapter, found, dtype)
        model.save_pretrained(staging)
        bases.load_tokenizer(found).save_pretrained(staging)
        profile = adapter.profile.model_dump(mode="json") if adapter.profile else None
        named = {**found.facts(), "name": Path(found.name).name if Path(found.name).is_dir() else found.name}
        merged = {"adapter": {**adapter.facts(), "base_name": named["name"]}, "base": named, "dtype": dtype}
        write_json(staging / adapters.CARD, {"merged": merged, "profile": profile})
        if place.exists():
            place.rmdir()
        staging.replace(place)
    except OSError as error:
        raise UserError(
            f"{error.filename or out}: the merged model cannot be written ({error.strerror}); free space or change --out"
        ) from None
    finally:
        discard(staging)
    if adapter.profile:
        logger.warning("%s: the adapter has an inference profile, which plain servers do not apply; it is in %s", out, adapters.CARD)
    return out


def _find_base(adapter: adapters.Adapter, given: str | None) -> BaseSettings:
    """The base that was given, else the one that the adapter's own files name."""
    if given:
        return BaseSettings(model=given)
    card = adapter.folder / adapters.CARD
    settings = (read_object(card).get("settings") or {}).get("base") if card.is_file() else None
    if settings:
        return build(BaseSettings, settings, f"{card}: settings.base")
    if adapter.base_name:
        return BaseSettings(model=adapter.base_name)
    raise UserError(f"adapter {adapter.name}: does not say which base it is for; name it with --base")

"""How the loopback hub names files, and what it refuses in a card: the rules follow refusals of the real hub that users reported."""

import hashlib
import re
from typing import Any

import yaml

LICENCES = {
    "apache-2.0",
    "mit",
    "cc-by-4.0",
    "cc-by-nc-4.0",
    "cc-by-sa-4.0",
    "cc-by-sa-3.0",
    "cc-by-2.0",
    "cc0-1.0",
    "llama3",
    "other",
    "unknown",
}
NAME = re.compile(r"[\w.-]+/[\w.-]{1,96}")


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def describe(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": git_hash(content)}
    large = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return {**entry, **({"lfs": large} if path.endswith(".safetensors") else {})}


def find_faults(card: str) -> list[str]:
    """What is wrong, a line each."""
    found = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    try:
        data = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError as error:
        return [f"front matter is not YAML: {error}"]
    if not isinstance(data, dict):
        return ["front matter is no mapping"]
    faults = []
    bases = data.get("base_model") or []
    for base in [bases] if isinstance(bases, str) else bases:
        if not NAME.fullmatch(str(base)):
            faults.append(f'"base_model" with value "{base}" is not valid. Use a model id from https://hf.co/models.')
    for key in ("language", "license", "tags", "datasets"):
        values = data.get(key) or []
        if not all(isinstance(one, str) for one in ([values] if isinstance(values, str) else values)):
            faults.append(f'"{key}" must be a string or a list of strings')
    if isinstance(data.get("license"), str) and data["license"] not in LICENCES:
        faults.append(f'"license" must be one of {sorted(LICENCES)}')
    if data.get("license") == "other" and not data.get("license_name"):
        faults.append('"license_name" is needed where "license" is "other"')
    for model in data.get("model-index") or []:
        for result in model["results"]:
            if not {"task", "dataset", "metrics"} <= set(result) or not {"name", "type"} <= set(result["dataset"]):
                faults.append('"model-index[0].results" lacks task, dataset or metrics')
            faults += [f"{one}: value must be a number" for one in result["metrics"] if not isinstance(one.get("value"), int | float)]
    return faults

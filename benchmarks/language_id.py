"""How often ``identify`` names the language of a real sentence and ``is_off_target`` errs, for languages of FLORES-200 dev.

XLIFT_DATA=... python benchmarks/language_id.py [--lines 997]
"""

import argparse
import os
import sys
from pathlib import Path

from xlift.harness.core.languages import find
from xlift.tasks.language_id import _compare, identify, is_off_target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=100)
    lines = parser.parse_args().lines
    folder = Path(os.environ.get("XLIFT_DATA", "."), "flores200_dataset", "dev")
    files = sorted(folder.glob("*.dev"))
    if not files:
        sys.exit(f"no FLORES-200 dev in {folder}: set XLIFT_DATA")
    english = (folder / "eng_Latn.dev").read_text(encoding="utf-8").splitlines()[:lines]
    print("| language | code | right | taken for | off-target, own | off-target, English | judged by |")
    print("|---|---|---|---|---|---|---|")
    for path in files:
        language = find(path.stem)
        texts = path.read_text(encoding="utf-8").splitlines()[:lines]
        found = identify(texts)
        wrong = [code for code in found if code != language.code]
        most = max(set(wrong), key=wrong.count) if wrong else ""
        right = found.count(language.code) / len(texts)
        own = sum(is_off_target(text, language.code) for text in texts) / len(texts)
        other = sum(is_off_target(text, language.code) for text in english) / len(english)
        _, relatives, rivals = _compare(language.code)
        known = "language" if relatives and rivals else "script"
        print(f"| {language.name} | `{language.code}` | {right:.3f} | {most} | {own:.3f} | {other:.3f} | {known} |", flush=True)


if __name__ == "__main__":
    main()

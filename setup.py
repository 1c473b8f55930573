"""The description on the package index: the README without links to files, which lead nowhere there. All else is in pyproject.toml."""

import re
from pathlib import Path

from setuptools import setup

FILE = r"\((?!https?:)[^)]*\)"
readme = (Path(__file__).parent / "README.md").read_text(encoding="utf-8")
without_pictures = re.sub(rf"!\[([^\]]*)\]{FILE}", r"*Picture: \1.*", readme)
setup(long_description=re.sub(rf"\[([^\]]*)\]{FILE}", r"\1", without_pictures), long_description_content_type="text/markdown")

"""The pictures of the board, taken in chromium of the site that ``make site`` builds.

    python docs/screenshots/take.py [SITE] [FOLDER]

Each picture has 256 colours, so that it stays below 150 KB.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

PICTURES = (
    ("index-1440-light", "index.html", 1440, 1100, "light"),
    ("index-1440-dark", "index.html", 1440, 1100, "dark"),
    ("index-1024-light", "index.html", 1024, 900, "light"),
    ("index-360-light", "index.html", 360, 900, "light"),
    ("compare-1024-light", "compare.html#rows=methods-small--cross-lingual,methods-small--base", 1024, 900, "light"),
    ("language-1024-light", "languages/es.html", 1024, 800, "light"),
    ("benchmark-1024-light", "benchmarks/xlift_flores_bpb_from_en.html", 1024, 800, "light"),
    ("run-1024-dark", "runs/methods-small--cross-lingual--seed0.html", 1024, 800, "dark"),
)
"""Name, page with its view, width, height and colour scheme."""
COLOURS = 256


def take(browser: Browser, site: Path, out: Path, picture: tuple[str, str, int, int, str], whole: bool = False) -> None:
    """Write one picture of a page, of what a screen shows or of all of it."""
    name, page_name, width, height, scheme = picture
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{site.resolve().as_uri()}/{page_name}")
    page.wait_for_load_state("networkidle")  # the page of comparisons loads the scores of the rows that are chosen
    image = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    image.convert("RGB").quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE).save(out / f"{name}.png", optimize=True)
    context.close()


def main() -> None:
    """Write all pictures."""
    site = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("site")
    out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent
    out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        for picture in PICTURES:
            take(browser, site, out, picture)
        browser.close()


if __name__ == "__main__":
    main()

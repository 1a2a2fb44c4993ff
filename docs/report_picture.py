"""Takes the picture of a report that README.md shows.

    tastebench quickstart --out results
    tastebench report results -o report.html
    python docs/report_picture.py report.html docs/report.png

Needs playwright and a Chromium of the machine.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1180, 1330


def main(page: Path, picture: Path) -> None:
    """Opens the page and photographs its beginning, with one more chart below."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as tool:
        chromium = tool.chromium.launch(executable_path=path, args=["--no-sandbox"])
        tab = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        tab.goto(page.resolve().as_uri())
        tab.wait_for_selector("html[data-drawn]")
        tab.screenshot(path=picture)
        chromium.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

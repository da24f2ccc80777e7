"""Makes docs/report.png, the picture of a report in the README, from the demo: `python docs/report_picture.py`.

Takes a minute, needs Chromium (`apt-get install chromium`), and leaves nothing but the picture.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

PICTURE = Path(__file__).with_name("report.png")
WIDTH, HEIGHT = 1100, 1480
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
LIGHT = "--blink-settings=preferredColorScheme=1"


def screenshot(page: Path, browser: str, folder: Path) -> Image.Image:
    """The upper part of the page, WIDTH x HEIGHT pixels."""
    picture = folder / "screenshot.png"
    options = (f"--user-data-dir={folder / 'browser'}", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}")
    subprocess.run([browser, *QUIET, LIGHT, *options, page.as_uri()], check=True, capture_output=True, timeout=120)
    return Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")


def main() -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        sys.exit("no Chromium here, so nothing can take the picture; try: apt-get install chromium")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [
            sys.executable,
            "-c",
            "from pervade.cli import run; run()",
            "demo",
            "--name",
            "demo",
            "--runs",
            folder,
        ]
        subprocess.run(command, check=True)
        shown = screenshot(folder / "demo" / "report.html", browser, folder)
        shown.quantize(256).save(PICTURE, optimize=True)  # a page has few colours: a third of the size


if __name__ == "__main__":
    main()

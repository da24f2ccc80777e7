"""The page in a real browser: it fits a phone, it follows dark mode, and it draws something."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image as Pillow

from pervade.core.run import RunDirectory
from pervade.report import write

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)

pytestmark = pytest.mark.skipif(
    BROWSER is None, reason="no Chromium here (apt-get install chromium), so nothing can look"
)

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
# A window has a least width, wider than a phone; a frame inside the page has none.
FRAME = (
    '<body style="margin:0"><iframe id="phone" srcdoc="{page}" style="border:0;width:{width}px;height:800px"></iframe>'
)
MEASURE = """<script>addEventListener("load", () => {
  const page = document.getElementById("phone").contentDocument.documentElement;
  document.body.append(`width ${page.scrollWidth} of ${page.clientWidth}`);
})</script>"""


def browse(folder: Path, url: str, *options: str) -> str:
    command = [str(BROWSER), *QUIET, f"--user-data-dir={folder / 'browser'}", *options, url]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def screenshot(folder: Path, page: Path, scheme: str, width: int = 1200) -> Pillow.Image:
    picture = folder / f"{scheme}.png"
    preferred = {"dark": 0, "light": 1}[scheme]
    options = (f"--blink-settings=preferredColorScheme={preferred}", f"--window-size={width},1600")
    browse(folder, page.as_uri(), *options, f"--screenshot={picture}")
    return Pillow.open(io.BytesIO(picture.read_bytes())).convert("RGB")


def test_fits_a_phone_without_scrolling_sideways(run: RunDirectory, tmp_path: Path) -> None:
    page = write(run).read_text(encoding="utf-8")
    framed = tmp_path / "framed.html"
    escaped = page.replace("&", "&amp;").replace('"', "&quot;")
    framed.write_text("<!doctype html><meta charset=utf-8>" + FRAME.format(page=escaped, width=360) + MEASURE, "utf-8")
    found = re.search(r"width (\d+) of (\d+)", browse(tmp_path, framed.as_uri(), "--dump-dom"))
    assert found is not None
    assert (int(found[1]), int(found[2])) == (360, 360)


def test_follows_dark_mode_and_draws_something(run: RunDirectory, tmp_path: Path) -> None:
    page = write(run)
    light, dark = (screenshot(tmp_path, page, scheme) for scheme in ("light", "dark"))
    assert min(light.getpixel((3, 3))) > 240  # type: ignore[type-var, arg-type]
    assert max(dark.getpixel((3, 3))) < 40  # type: ignore[type-var, arg-type]
    for picture in (light, dark):
        colours = picture.getcolors(maxcolors=1 << 24)
        assert colours is not None
        assert len(colours) > 200  # text alone has some dozen greys; charts and thumbnails have more


def test_the_policy_lets_through_what_the_page_needs_and_nothing_else(run: RunDirectory, tmp_path: Path) -> None:
    """What a name might bring in if it ever got through the escaping is not run and not loaded; all else is drawn."""
    page = write(run).read_text(encoding="utf-8")
    assert "default-src 'none';" in page.partition("</head>")[0]
    forged = tmp_path / "forged.html"
    forged.write_text(
        page.replace("</main>", "<script>document.title = 'run'</script><style>main { display: none }</style>"
                     "<img src=x onerror=\"document.title = 'run'\"></main>"), encoding="utf-8"
    )  # fmt: skip
    command = [str(BROWSER), *QUIET, f"--user-data-dir={tmp_path / 'browser'}", "--enable-logging=stderr", "--dump-dom"]

    def refused(path: Path) -> tuple[str, int]:
        done = subprocess.run([*command, path.as_uri()], check=True, capture_output=True, text=True, timeout=120)
        return done.stdout, sum("Content Security Policy" in line for line in done.stderr.splitlines())

    assert refused(run.report)[1] == 0
    seen, number = refused(forged)
    assert "<title>run</title>" not in seen
    assert number >= 3

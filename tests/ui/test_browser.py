"""The page in a real browser: a run is found, looked at, compared and stopped, with the token that its address bears;
it fits a phone, follows dark mode, speaks Chinese, and axe finds nothing."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ui.conftest import guarded
from tests.ui.test_trainings import holding

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
if BROWSER is None:
    pytest.skip("no Chromium here (apt-get install chromium), so nothing can look", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser, and is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe looks at the page, and is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def address(made: Path, tmp_path: Path) -> Iterator[str]:
    """A server of a copy of the runs; the address ends with the token."""
    import uvicorn

    app, token = guarded(shutil.copytree(made, tmp_path / "runs"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="on"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/#token={token}"
        server.should_exit = True
        thread.join(30)


def opened(browser: Any, address: str, **look: Any) -> tuple[Any, list[str]]:
    """The page and what goes wrong in it."""
    page = browser.new_context(**look).new_page()
    page.set_default_timeout(20_000)
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda said: wrong.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(address)
    return page, wrong


def test_runs_are_found_looked_at_and_compared(browser: Any, address: str) -> None:
    page, wrong = opened(browser, address, locale="en")
    page.get_by_role("link", name="pictures-2", exact=True).wait_for()
    assert "token" not in page.url
    page.get_by_label("Figure").select_option("log_loss")
    order = page.locator("tbody .of-name a").all_inner_texts()
    assert order[:2] == ["pictures", "pictures-2"]  # lower is better, so the lowest stands first
    page.get_by_label("At most").fill("0.5")
    assert page.locator("tbody .of-name a").all_inner_texts() == ["pictures", "seeds", "pictures"]
    page.get_by_label("At most").fill("")
    page.get_by_label("Find").fill("mlp")
    for name in ("pictures", "pictures-2"):
        page.get_by_label(f"choose {name} to compare", exact=True).check()
    page.locator(".chosen").get_by_role("link", name="Compare").click()
    page.get_by_text("is not shown to differ from").first.wait_for()
    page.get_by_role("link", name="Runs").click()
    page.get_by_label("Find").fill("")
    page.get_by_role("link", name="pictures-2", exact=True).first.click()
    page.get_by_text("Nothing was logged.").wait_for()  # it was trained for no pass
    page.get_by_label("Show").select_option("wrong")
    playwright.expect(page.locator("table.rows tbody tr")).to_have_count(4)
    assert page.locator("table.rows tbody .mark.wrong").count() == 4
    assert page.locator("table.rows img").first.evaluate("one => one.naturalWidth") == 8
    assert wrong == []


def test_a_training_is_stopped_with_the_token_of_the_address(browser: Any, address: str, tmp_path: Path) -> None:
    with holding(tmp_path, "pervade", "train", tmp_path / "runs" / "pictures") as process:
        page, wrong = opened(browser, address, locale="en")
        page.get_by_role("link", name="pictures", exact=True).first.click()
        page.locator("canvas").first.wait_for()
        page.get_by_role("button", name="Stop and save").click()
        page.get_by_role("button", name="Stop", exact=True).click()
        assert process.wait(30) == 0
        assert wrong == []


def test_a_form_shows_the_line_and_asks_for_the_token(browser: Any, address: str) -> None:
    page, _ = opened(browser, f"{address.partition('#')[0]}#view=train", locale="en")
    page.get_by_label("Data:").fill("my photos")
    page.get_by_label("Epochs").fill("0")
    page.get_by_role("alert").get_by_text("epochs: '0' does not fit").wait_for()
    assert page.get_by_role("button", name="Start").is_disabled()
    page.get_by_label("Epochs").fill("3")
    page.get_by_text("pervade train 'my photos' --epochs 3 --runs").wait_for()
    page.get_by_role("button", name="Start").click()
    page.get_by_label("Token").wait_for()


@pytest.mark.parametrize(
    ("scheme", "width", "locale"),
    [pytest.param("light", 1280, "en", marks=pytest.mark.slow), ("dark", 360, "zh-CN")],  # ten seconds each
)
def test_every_view_fits_and_can_be_heard(browser: Any, address: str, scheme: str, width: int, locale: str) -> None:
    look = {"color_scheme": scheme, "viewport": {"width": width, "height": 800}, "locale": locale}
    page, wrong = opened(browser, address, **look)
    for view in ("", "view=run&run=pictures", "view=run&run=seeds", "view=compare&first=pictures&second=pictures-2"):
        page.goto("about:blank")
        page.goto(f"{address.partition('#')[0]}#{view}")
        page.wait_for_load_state("networkidle")
        playwright.expect(page.locator(".waiting, [aria-busy=true]")).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(250, 249, 247)", "dark": "rgb(20, 22, 26)"}[scheme]
    assert page.evaluate("document.documentElement.lang") == {"en": "en", "zh-CN": "zh-Hans"}[locale]
    assert wrong == []

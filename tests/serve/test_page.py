"""The page in a real browser: from what is given to what is answered, for each kind of input."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from pervade import api
from pervade.core import files
from pervade.run import serving
from pervade.run.training import Options
from pervade.serve.tokens import Tokens
from tests import chats, trainings
from tests.data.drawing import encoded, pixels
from tests.serve.served import Counting, server
from tests.serve.served import serving as serving_guarded

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), ""
)

pytestmark = pytest.mark.skipif(not BROWSER, reason="no Chromium here (apt-get install chromium), so nothing can look")

# A microphone that gives a tone, and is allowed.
OPTIONS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
MOST_BYTES = 100_000
KINDS = ("shapes", "reviews", "rollouts", "sounds")


@pytest.fixture(scope="module")
def runs(pictures: api.Run, promised: api.Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, api.Run]:
    folder = tmp_path_factory.mktemp("page")
    small = {name: trainings.TRAININGS[name].asked(folder / name) for name in KINDS[2:]}
    made = {name: trainings.trained(asked, folder / "runs" / name) for name, asked in small.items()}
    made |= {"shapes": pictures, "reviews": promised}
    for name in ("shapes", "reviews"):
        made[name].evaluate()
    return made


@pytest.fixture(scope="module")
def address(runs: dict[str, api.Run]) -> Iterator[str]:
    with server(*(serving.opened(str(runs[name].path), Path()) for name in KINDS)) as (client, _):
        yield str(client.base_url)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=[*OPTIONS])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens an address with a model picked. Whatever the browser complains of, but a `status` that is expected, and
    whatever is asked of elsewhere, fails the test."""
    contexts, faults = [], list[str]()

    def opened(address: str, model: str = "", more: str = "/", status: str = "none", **about: Any) -> Any:
        contexts.append(browser.new_context(**{"locale": "en-GB", "permissions": ["microphone"], **about}))
        page = contexts[-1].new_page()
        page.set_default_timeout(20_000)
        expected = f"the server responded with a status of {status}"
        loud = ("error", "warning")
        page.on(
            "console",
            lambda line: faults.append(line.text) if line.type in loud and expected not in line.text else None,
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith((address, "blob:")) else faults.append(asked.url))
        page.goto(address + more)
        page.wait_for_selector("h1")
        if model:
            page.select_option("#picker select", model)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []


def answered(page: Any, number: int = 1) -> Any:
    """The cards, once there are as many as were asked for, and none is waited for."""
    from playwright.sync_api import expect

    cards = page.locator(".results > article[aria-busy=false]")
    expect(cards).to_have_count(number, timeout=20_000)
    return cards


def axe(page: Any) -> list[Any]:
    """What axe-core finds, with every part of the page open."""
    for closed in page.locator("details:visible").all():
        closed.evaluate("part => { part.open = true }")
    script = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")
    page.evaluate(script)
    page.evaluate("Promise.all(document.getAnimations().map(one => one.finished))")  # what fades in is pale
    found = page.evaluate("axe.run()")["violations"]
    return [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


def assert_fits_and_can_be_read(page: Any) -> None:
    assert axe(page) == []
    for width in (360, 1200):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") == width


def test_pictures(address: str, open_page: Callable[..., Any], shapes: Path, runs: dict[str, api.Run]) -> None:
    """Several at once: the likeliest classes as bars, and what their probability is worth."""
    given = sorted(shapes.rglob("*.png"))[:3]
    page = open_page(address, "shapes")
    page.set_input_files("input[multiple]", given)
    cards = answered(page, 3)
    known = runs["shapes"].predict(given, top=5)
    bars = files.read_json(runs["shapes"].directory.result("evaluate", "best"))["details"]["reliability"]
    for number, answer in enumerate(known):
        said, likeliest = cards.nth(number).inner_text(), answer["top"][0]
        assert given[number].name in said
        assert cards.nth(number).locator(".bars .name").all_inner_texts() == [one["label"] for one in answer["top"]]
        alike = next(bar for bar in bars if bar["low"] < likeliest["probability"] <= bar["high"])
        enough, rows = alike["count"] >= 20, alike["count"]
        assert (f"{rows} test rows" if enough else f"Too few test rows ({rows})") in said
        right = alike["accuracy"] if enough else likeliest["probability"]
        assert ("I am not sure" in said) == (right < 0.6)
    assert page.locator(".results img").first.evaluate("image => image.naturalWidth") > 0
    assert likeliest["label"] in page.inner_text("#said")
    assert_fits_and_can_be_read(page)
    page.get_by_role("button", name="Clear").click()
    assert page.locator(".results > article").count() == 0


def test_a_picture_that_is_dropped_or_pasted_and_one_that_is_none(address: str, open_page: Callable[..., Any]) -> None:
    page = open_page(address, "shapes", status="422")
    give = """([kind, name, bytes]) => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
        const more = { bubbles: true, cancelable: true, [kind === "paste" ? "clipboardData" : "dataTransfer"]: data };
        document.querySelector(".zone").dispatchEvent(new (kind === "paste" ? ClipboardEvent : DragEvent)(kind, more));
    }"""
    name = "<img src=x onerror=alert(1)>.png"
    page.evaluate(give, ["drop", name, [1, 2, 3]])
    answered(page)
    assert "not a picture" in page.inner_text(".results .caution")
    assert name in page.inner_text(".results")  # which is a text, and no markup
    page.evaluate(give, ["paste", "pasted.png", list(encoded(pixels(0, 1)))])
    cards = answered(page, 2)
    assert "pasted.png" in cards.first.inner_text()
    assert cards.first.locator(".bars li").count() > 1


def test_texts_line_by_line_with_the_sets_that_are_promised(address: str, open_page: Callable[..., Any]) -> None:
    page = open_page(address, "reviews")
    page.get_by_label("Text", exact=True).fill("so fine and warm\nso dull and bland")
    page.get_by_label("Each line is a text of its own").check()
    page.keyboard.press("Tab")
    page.get_by_label("Text", exact=True).press("Control+Enter")
    cards = answered(page, 2)
    assert "so fine and warm" in cards.nth(0).inner_text()
    assert "The truth is in this set, 90 times of 100" in cards.nth(1).inner_text()
    assert "What is promised of its answers" in page.inner_text("main")
    assert page.get_by_text("as far as 2 inputs tell, what comes in looks like").is_visible()
    assert_fits_and_can_be_read(page)


def test_a_sound_that_is_recorded(address: str, open_page: Callable[..., Any]) -> None:
    """The browser's own form of sound becomes a WAV, which the server can read."""
    page = open_page(address, "sounds")
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_role("button", name="Stop (0:01)").click()
    cards = answered(page)
    assert "recording.wav" in cards.first.inner_text()
    assert cards.first.locator(".bars li").count() > 1
    assert cards.first.locator("audio").count() == 1
    assert_fits_and_can_be_read(page)


def test_an_episode_is_watched_step_by_step(
    address: str, open_page: Callable[..., Any], runs: dict[str, api.Run]
) -> None:
    page = open_page(address, "rollouts", reduced_motion="reduce")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Watch an episode").click()
    page.wait_for_selector("canvas")
    (known,) = runs["rollouts"].play(1, 7)
    assert f"{known['length']} steps, return {known['return']:g}." in page.inner_text(".player")
    step = page.get_by_role("slider")
    assert f"step 1 of {known['length']}" in page.inner_text(".player")
    step.press("ArrowRight")
    assert f"step 2 of {known['length']}" in page.inner_text(".player")
    drawn = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
    assert page.locator("canvas").evaluate(drawn) > 2
    assert page.locator(".inner .bars li").count() == 2
    assert_fits_and_can_be_read(page)


def test_what_is_copied_asks_the_same(
    address: str, open_page: Callable[..., Any], shapes: Path, tmp_path: Path
) -> None:
    page = open_page(address, "shapes")
    picture = tmp_path / "it's 1.png"
    shutil.copy(next(shapes.rglob("*.png")), picture)
    page.set_input_files("input[multiple]", picture)
    label = answered(page).first.locator(".bars .name").first.inner_text()
    page.get_by_text("Use it from a program").click()
    curl, python = page.locator("details code").all_inner_texts()
    for command in (["sh", "-c", curl], [sys.executable, "-c", python]):
        told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60).stdout
        assert label in told and "probability" in told
    page.select_option("#picker select", "reviews")
    page.get_by_label("Text", exact=True).fill("it's fine")
    page.get_by_role("button", name="Answer").click()
    answered(page)
    page.get_by_text("Use it from a program").click()
    curl, python = page.locator("details code").all_inner_texts()
    for command in (["sh", "-c", curl], [sys.executable, "-c", python]):
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        assert "it's fine" in told


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("talk")
    asked = chats.write(folder / "colours.jsonl", chats.colours(60))
    return api.fit(asked, recipe=chats.recipe(epochs=1), name="colours", runs=folder / "runs", options=Options())


def test_a_conversation_comes_piece_by_piece_and_can_be_stopped(
    colours: api.Run, open_page: Callable[..., Any]
) -> None:
    with server(serving.opened(str(colours.path), Path())) as (client, _):
        page = open_page(str(client.base_url))
        page.get_by_text("Settings").click()
        page.get_by_label("Seed").fill("0")  # by which it does not end at once
        page.evaluate(
            """() => {
                let pieces = 0;
                new MutationObserver(() => {
                    pieces += 1;
                    if (pieces === 5) document.querySelector(".chat .buttons button").click();
                }).observe(document.querySelector(".log"), { subtree: true, childList: true });
            }"""
        )
        area = page.get_by_label("Your message")
        area.fill("1: the cat is red. the cat?")
        area.press("Enter")
        page.get_by_text("Stopped.").wait_for()
        area.fill("And now?")
        page.get_by_role("button", name="Send").click()
        page.get_by_text(re.compile("a second|Stopped")).nth(1).wait_for()
        assert page.locator(".turn.user").count() == 2
        page.get_by_text("Use it from a program").click()
        curl, python = page.locator("details code").all_inner_texts()
        told = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True, timeout=60).stdout
        assert told.count('"the cat') == 0 and "chat.completion" in told
        assert "client.chat.completions.create(" in python
        assert_fits_and_can_be_read(page)


def test_it_speaks_chinese_and_follows_dark_mode(address: str, open_page: Callable[..., Any]) -> None:
    page = open_page(address, "reviews", locale="zh-CN", color_scheme="dark")
    assert page.get_by_role("button", name="回答").is_visible()
    assert axe(page) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in ground[4:-1].split(",")) < 40
    page.get_by_role("button", name="English").click()
    assert page.get_by_role("button", name="Answer").is_visible()
    assert page.evaluate("document.documentElement.lang") == "en"


def test_the_page_is_small_and_loads_nothing_from_elsewhere(address: str, open_page: Callable[..., Any]) -> None:
    there = list(resources.files("pervade.serve").joinpath("page").iterdir())
    assert sum(len(file.read_bytes()) for file in there) < MOST_BYTES
    for file in there:
        text = file.read_text("utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|[\"'(]//|innerHTML", text), f"{file.name} names an address elsewhere"
    page = open_page(address)
    painted = page.evaluate("performance.getEntriesByType('paint').map(one => one.name)")
    assert "first-contentful-paint" in painted
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_script_that_is_not_the_pages_own_does_not_run(
    address: str, open_page: Callable[..., Any], browser: Any
) -> None:
    page = browser.new_page()
    page.goto(address)
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'document.title = 1'}))")
    assert page.title() != "1"
    page.close()


def give_files(page: Any, folder: Path, number: int = 2) -> None:
    page.set_input_files("input[multiple]", sorted(folder.rglob("*.png"))[:number])


def ask_a_question(page: Any, folder: Path) -> None:
    page.get_by_label("Question").fill("who made the clock")
    page.get_by_label("Text that may answer it").fill("in the tower the clock was made by anna the smith")
    page.get_by_role("button", name="Answer").click()


def hide_words(page: Any, folder: Path) -> None:
    page.get_by_label("Text", exact=True).fill("so [MASK] and [MASK]")
    page.get_by_role("button", name="Answer").click()


def say(page: Any, folder: Path) -> None:
    page.set_input_files("input[multiple]", sorted(folder.rglob("*.wav"))[:2])


def make_pictures(page: Any, folder: Path) -> None:
    page.get_by_label("How many").fill("2")
    page.get_by_role("button", name="Make").click()


def make_a_sound(page: Any, folder: Path) -> None:
    page.get_by_label("Label, or label/speaker").fill(page.locator("datalist option").first.get_attribute("value"))
    page.get_by_role("button", name="Make").click()


@pytest.mark.slow  # trains a model of each other kind
@pytest.mark.parametrize(
    ("kind", "give", "number", "shown"),
    [
        ("faces", give_files, 2, ".pairs .pair b"),
        ("labels_of_pictures", give_files, 2, ".bars .name"),
        ("numbers_of_pictures", give_files, 2, ".said h2"),
        ("asked_of_texts", ask_a_question, 1, ".given .term"),
        ("hidden_words", hide_words, 1, ".said .term"),
        ("transcripts", say, 2, ".transcript"),
        ("noisy_pictures", make_pictures, 2, "img.made"),
        ("made_sounds", make_a_sound, 1, "figure audio"),
    ],
)
def test_every_other_kind(
    kind: str, give: Callable[[Any, Path], None], number: int, shown: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    run = trainings.trained(trainings.TRAININGS[kind].asked(tmp_path / "data"), tmp_path / "runs" / kind)
    run.evaluate()
    with server(serving.opened(str(run.path), Path())) as (client, _):
        page = open_page(str(client.base_url))
        give(page, tmp_path / "data")
        cards = answered(page, number)
        assert cards.locator(".caution").count() == 0
        assert page.locator(f".results {shown}").count() >= 1
        assert len(page.inner_text("#said")) > 3
        assert_fits_and_can_be_read(page)


def test_a_token_is_asked_for_and_kept_in_memory_alone(open_page: Callable[..., Any]) -> None:
    token = "a token of sixteen or more".replace(" ", "-")
    with serving_guarded(Counting(), tokens=Tokens(made=[token])) as (listening, _):
        page = open_page(listening.address, status="401")
        for given in ("another-token-that-is-wrong", token):
            page.get_by_label("Token").fill(given)
            page.get_by_role("button", name="Open").click()
        page.get_by_label("Text", exact=True).fill("four")
        page.get_by_role("button", name="Answer").click()
        assert "length" in answered(page).first.inner_text()
        page.get_by_text("Use it from a program").click()
        assert token not in page.content()
        assert "Authorization: Bearer YOUR_TOKEN" in page.inner_text("details")
        page.reload()
        assert page.get_by_label("Token").is_visible()  # it was nowhere but in memory
        told = open_page(listening.address, more=f"/#token={token}")
        assert told.get_by_label("Text", exact=True).is_visible()
        assert told.url == f"{listening.address}/"
        assert token not in str(listening.seen)

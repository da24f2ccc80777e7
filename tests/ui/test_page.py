"""The page's files: what they weigh, and that nothing is missing in either language."""

from __future__ import annotations

import re
from importlib import resources

from pervade.ui.app import OWN, SHARED

LARGEST = 100_000  # bytes, beside uPlot


def text(name: str) -> str:
    package = "pervade.ui" if name in OWN else "pervade.serve"
    return resources.files(package).joinpath("page", name).read_text(encoding="utf-8")


def test_it_weighs_little() -> None:
    assert sum(len(text(name).encode()) for name in (*OWN, *SHARED) if not name.startswith("uPlot")) < LARGEST


def test_every_file_is_there_and_known() -> None:
    folder = resources.files("pervade.ui").joinpath("page")
    assert {file.name for file in folder.iterdir()} == set(OWN)
    for name in OWN:
        for other in re.findall(r'from "\./([\w.]+)"|"/page/([\w.]+)"', text(name)):
            assert "".join(other) in (*OWN, *SHARED), (name, other)
    assert text("uPlot.LICENSE.txt").startswith("The MIT License")


def test_every_text_is_there_in_both_languages() -> None:
    strings = dict(re.findall(r'^  "([\w-]+)": \["((?:[^"\\]|\\.)+)", "(?:[^"\\]|\\.)+"\],$', text("strings.js"), re.M))
    assert len(strings) > 100
    scripts = "".join(
        text(name) for name in OWN if name.endswith(".js") and name != "strings.js" and "uPlot" not in name
    )
    asked = set(re.findall(r'\bt\("([\w-]+)"', scripts))
    assert asked <= strings.keys(), asked - strings.keys()
    assert "unreachable" in strings  # serve's ask.js says it


def test_nothing_comes_from_elsewhere_and_nothing_is_kept() -> None:
    for name in OWN:
        if not name.startswith("uPlot"):
            written = text(name)
            assert not re.search(r"https?://(?!127\.0\.0\.1|…)\w", written), name
            assert not re.search(r"localStorage|sessionStorage|document\.cookie|innerHTML|\beval\(", written), name

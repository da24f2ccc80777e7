"""Messages name flags of the command that printed them, or the command that has them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
import typer

import pervade
from pervade import cli
from pervade.data.read import account
from pervade.run import measuring

SOURCES = Path(pervade.__file__).parent
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHER_PROGRAMS = {"--nproc-per-node", "--no-deps"}  # torchrun's, and pip's
ABOUT_DATA = ("--label-column", "--text-column", "--file-column", "--group-by", "--split-column", "--encoding")


def _flags() -> dict[str, set[str]]:
    cli._register()
    commands = typer.main.get_command(cli.app).commands
    return {
        name: {flag for option in each.params for flag in (*option.opts, *option.secondary_opts)}
        for name, each in commands.items()
    }


def test_every_flag_that_the_code_names_is_one() -> None:
    known = {"--help", "--version", *OTHER_PROGRAMS}.union(*_flags().values())
    for path in SOURCES.rglob("*.py"):
        if not {"worlds", "report"} & set(path.parts):  # what children are started with, and properties of style
            assert set(FLAG.findall(path.read_text(encoding="utf-8"))) <= known, path


def test_who_reads_labelled_data_has_the_flags_that_its_messages_name() -> None:
    flags = _flags()
    for verb in ("train", "tune", "evaluate"):
        assert set(ABOUT_DATA) <= flags[verb], verb
    assert {"--text-column", "--file-column", "--encoding", "--lines"} <= flags["predict"]
    assert set(measuring.TAKEN) <= flags["evaluate"]


@pytest.mark.parametrize(
    ("verb", "line", "told"),
    [
        ("evaluate", "no column 'a' (--label-column)", ""),
        ("evaluate", "its name does not fit; --positive 'b' chooses", " (--positive: pervade train)"),
        ("predict", "there are several; say which with --label-column", " (--label-column: pervade train)"),
        ("predict", "cut there; -o domain.length=9 takes more", " (-o: pervade train)"),
        ("train", "cut there; -o domain.length=9 takes more", ""),
        ("resume", "mend it, or leave it out with --on-bad-file leave-out", " (--on-bad-file: pervade train)"),
        ("resume", "start anew: pervade train --on-bad-file leave-out", ""),
        ("train", "torchrun --nproc-per-node 2 is asked for", ""),
    ],
)
def test_a_flag_of_another_command_is_named_with_it(
    verb: str, line: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli._register()
    monkeypatch.setattr(sys, "argv", ["pervade", verb, "RUN"])
    assert cli.with_owners(line) == line + told


def test_what_is_measured_says_no_flag_of_training() -> None:
    notes = [
        "left out: 3, it is empty (--on-bad-file fail)",
        "texts: column 'a' of b.csv (--text-column)",
        "splits: 3 train; drawn by chance: test (--seed, -o test=SHARE)",
        "labels: column 'c' (4 different)",
    ]
    assert account.by_flags(notes, measuring.TAKEN) == [
        "left out: 3, it is empty",
        "texts: column 'a' of b.csv (--text-column)",
        "splits: 3 train; drawn by chance: test",
        "labels: column 'c' (4 different)",
    ]

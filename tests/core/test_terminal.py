"""What reaches a terminal cannot steer it, and standard streams that are closed, full or unread end nothing that they
need not end."""

from __future__ import annotations

import ast
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import pervade
from pervade.core.terminal import json_text, visible

PACKAGE = Path(pervade.__file__).parent
# A command in small: what `cli.main` does around its verbs.
PROGRAM = """
import sys
from pervade.core import terminal
from pervade.core.errors import ResourceError
terminal.open_streams()
for number in range(2):
    terminal.tell(f"working {number}")
try:
    for number in range(5000):
        terminal.echo(f"answer {number}", "x\\t\\u202ey")
except ResourceError as error:
    terminal.tell(f"pervade: {error}")
    sys.exit(2)
finally:
    terminal.leave()
"""


def shell(redirected: str, program: str = PROGRAM) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PROGRAM": program, "PYTHON": sys.executable}
    line = f'set -o pipefail; "$PYTHON" -c "$PROGRAM" {redirected}'
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with Größe and 猫", "plain, with Größe and 猫"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("one\ntwo\r\tthree\x7f\x85", r"one\ntwo\r\tthree\x7f\x85"),
        ("\u202egnp.exe \u2028 \ufeff", r"\u202egnp.exe \u2028 \ufeff"),
        ("broken \udcff name", r"broken \udcff name"),  # what Python makes of a file name that is no UTF-8
        ("\U000e0041", r"\U000e0041"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("taken for \u2068“שלום”\u2069, 3 of 4", "taken for \u2068“שלום”\u2069, 3 of 4"),  # report/wording.py: quoted
        ("\u2068never closed", r"\u2068never closed"),
        ("\u2068in\u202eside\u2069", "\u2068in\\u202eside\u2069"),
    ],
)
def test_what_steers_a_terminal_is_shown(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_json_holds_the_very_strings_and_nothing_that_steers() -> None:
    value = {"input": "a\x1b[2J\n\u202e\udcff\U000e0041\x7f\x9b 猫 é", "top": [0.25]}
    for indent in (None, 1):
        text = json_text(value, indent=indent)
        assert json.loads(text) == value
        assert visible(text, keep="\n") == text
    assert "猫 é" in text


@pytest.mark.parametrize("redirected", ["2>&-", "2>/dev/full", "<&-", "2> >(true)"])
def test_nobody_to_tell_is_no_reason_to_stop(redirected: str) -> None:
    ended = shell(f"{redirected} | tail -1")
    assert (ended.returncode, ended.stdout) == (0, "answer 4999\tx\\t\\u202ey\n")


def test_a_full_or_closed_output_is_one_line_and_a_status() -> None:
    for redirected, why in ((">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")):
        ended = shell(redirected)
        told = f"working 0\nworking 1\npervade: standard output cannot be written ({why}); send it to a file: > FILE\n"
        assert (ended.returncode, ended.stdout, ended.stderr) == (2, "", told)
    assert shell(">&- 2>&- <&-").returncode == 2


def test_a_reader_that_goes_away_ends_it_as_sigpipe_would() -> None:
    ended = shell("| head -1")
    assert (ended.returncode, ended.stdout) == (141, "answer 0\tx\\t\\u202ey\n")
    assert ended.stderr == "working 0\nworking 1\n"


def test_a_file_is_never_opened_in_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    program = (
        "import os\nfrom pervade.core import terminal\nterminal.open_streams()\n"
        f"file = open({str(tmp_path / 'weights')!r}, 'w')\nassert file.fileno() > 2\nos.write(2, b'a library')\n"
    )
    assert shell(">&- 2>&- <&-", program).returncode == 0
    assert (tmp_path / "weights").read_bytes() == b""


def test_signs_that_the_encoding_lacks_are_escaped() -> None:
    program = PROGRAM.replace("range(5000)", "range(1)").replace("answer", "猫")
    assert shell("2>&1", f"import os; os.environ\n{program}").stdout.count("猫") == 1
    ascii_only = program.replace("import sys", "import sys; sys.stdout.reconfigure(encoding='ascii')", 1)
    assert shell("", ascii_only).stdout == "\\u732b 0\tx\\t\\u202ey\n"


def test_a_bar_outlives_its_terminal() -> None:
    main, own = pty.openpty()
    program = (
        "import os, sys\nfrom pervade.run import progress\nscreen = progress.screen()\n"
        "assert isinstance(screen, progress.Rich)\n"
        "with screen.bar('training') as bar:\n"
        "    screen.say('a\\x1b]0;t\\x07 :warning: [red]b')\n"
        "    os.write(1, b'begun\\n')\n    sys.stdin.readline()\n"
        "    for done in range(3):\n        bar(done, 3, loss=0.5)\n        screen.say('on')\n"
        "print('done', flush=True)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=own, text=True
    )
    os.close(own)
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    seen = b""
    while rb"a\x1b]0;t\x07 :warning: [red]b" not in seen:
        seen += os.read(main, 65536)
    os.close(main)  # the terminal is gone
    rest, _ = child.communicate("\n", timeout=60)
    assert (rest, child.returncode) == ("done\n", 0)


def test_there_is_one_way_out() -> None:
    wrong = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                *("print", "typer.echo", "typer.secho", "click.echo"),
                *("sys.stdout.write", "sys.stderr.write", "os.write"),
            ):
                wrong.append(f"{file.relative_to(PACKAGE)}: {ast.unparse(node)}")
    allowed = [each for each in wrong if each.startswith("core/terminal.py") or "context.get_help()" in each]
    assert wrong == allowed

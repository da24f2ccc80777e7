"""The README and its pages are true: every command can be given, those of tests/documented.py are run on small data,
links lead somewhere, and every page can be reached from the README."""

from __future__ import annotations

import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer

import pervade
from pervade import cli, recipes
from tests import documented

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md")})
DOMAINS = ("pictures", "generation", "texts", "questions", "writing", "sound", "transcripts", "acting")


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands(page: Path) -> list[str]:
    """What stands on a line of its own, in a table or in a sentence, without the remark behind it."""
    lines = [line.strip() for line in text(page).splitlines() if line.startswith("    pervade ")]
    inline = re.findall(r"`(pervade [a-z][^`]*)`", text(page))
    return [re.sub(r"\s+# .*", "", command) for command in (*lines, *inline)]


def words(command: str) -> list[str]:
    r"""As bash divides it; what stands in $'…' has escapes (\t)."""
    readable = re.sub(r"\$'([^']*)'", lambda match: "'" + match[1].replace(r"\t", "\t") + "'", command)
    return shlex.split(readable)


ALL = sorted({command for page in PAGES for command in commands(page)})


@pytest.mark.parametrize("command", ALL)
def test_commands_can_be_given(command: str) -> None:
    cli._register()
    _, verb, *rest = words(command)
    asked = typer.main.get_command(cli.app).commands[verb]
    if rest and rest != ["--help"]:  # else a sentence names the verb
        asked.make_context(verb, rest)  # raises where a flag is unknown, or an argument is missing


@dataclass
class Place:
    """A folder with the data, and the commands that were given there: what each printed, and the files it wrote."""

    folder: Path
    done: dict[str, tuple[str, set[Path]]] = field(default_factory=dict)

    def give(
        self, command: str, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> tuple[str, set[Path]]:
        """Those that make runs for others are given once, and before these."""
        if command in self.done:
            return self.done[command]
        small = documented.COMMANDS[command]
        arguments = [*words(command), *small.add, *(("--name", small.run) if small.run else ())]
        named = {part for word in arguments for part in Path(word).parts}
        for other in [each for each, makes in documented.COMMANDS.items() if makes.run in named and each != command]:
            self.give(other, patch, capsys)
        before = files()
        capsys.readouterr()
        patch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        assert not ended.value.code, (command, said.err)
        self.done[command] = said.out + said.err, files() - before
        return self.done[command]


def files() -> set[Path]:
    return {path for path in Path().rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(documented.write(tmp_path_factory.mktemp("documented") / "work"))


def runs_as_said(command: str, out: str, new: set[Path]) -> None:
    """Whether the command wrote what the page of its verb says. `new`: files that were not there before."""
    verb, names = words(command)[1], {path.name for path in new}
    if verb in ("models", "tasks", "doctor") or {"--dry-run", "--list", "--check"} & set(words(command)):
        assert out
        assert new == set()
    elif verb in ("train", "tune", "demo"):
        run = Path(re.findall(r"^run +(\S+)$", out, re.M)[0])
        written = {path.name for path in run.iterdir()}
        assert {"report.html", "MODEL_CARD.md", "recipe.yaml", "data.json"} <= written
        assert ("words.json" in written) != ("members.json" in written)  # several trainings: each has its own
        assert list(run.glob("results/*.json"))
    elif verb == "predict":
        assert out.strip()
        assert not any("runs" in path.parts for path in new)
        made = (0, 0) if "made/" not in command else (0, 65) if "--number 64" in command else (2, 0)  # and their sheet
        assert tuple(sum(name.endswith(kind) for name in names) for kind in (".wav", ".png")) == made
        assert ("out.gif" in names) == ("out.gif" in command)
    elif verb == "evaluate":
        assert "accuracy" in out
        assert any(re.fullmatch(r"report-august-\w+\.html", name) for name in names) == ("august" in command)
    elif verb == "compare":
        assert "compare.html" in names
    elif verb == "export":
        assert {"model.onnx", "signature.json", "parity.json", "run.py"} <= names
    elif verb == "merge":
        assert any("merged" in path.parts for path in new)
    else:
        assert re.findall(r"^(?:report +)?(runs/\S+/report\.html)$", out, re.M), (verb, out)


def slow(command: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.slow] if documented.COMMANDS[command].slow else []


@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=slow(each)) for each in ALL if each in documented.COMMANDS]
)
def test_commands_do_what_the_pages_say(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place.folder)
    runs_as_said(command, *place.give(command, monkeypatch, capsys))


# What a test has not: weights and data of others, and words in place of names.
ELSEWHERE = ("hf:", "weights.pth", "agent.zip", "my_module", "gym://ALE", "LibriSpeech", "DATA", "--help")
DRY = [
    command
    for command in ALL
    if command.startswith("pervade train ") and command not in documented.COMMANDS
    if not any(part in command for part in ELSEWHERE)
]


def reads(arguments: list[str], patch: pytest.MonkeyPatch) -> bool:
    """Whether DATA and every setting can be used: a dry run makes the recipe and reads, and trains nothing."""
    patch.setattr(sys, "argv", [*arguments, "--dry-run"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return not ended.value.code


@pytest.mark.parametrize("command", DRY)
def test_data_and_settings_that_the_pages_name_can_be_used(
    command: str, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    assert reads(words(command), monkeypatch)


@pytest.mark.parametrize(
    ("page", "begins"),
    [
        ("settings", ["pervade train photos/"]),
        ("pictures", ["pervade train photos/"]),
        ("sound", ["pervade train sounds/"]),
        ("transcripts", ["pervade train spoken/"]),
        ("acting", ["pervade train gym://CartPole-v1", "pervade train gym://CartPole-v1 --algorithm dqn"]),
    ],
)
def test_settings_of_the_tables_are_there(
    page: str, begins: list[str], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place.folder)
    settings = re.findall(r"`(-o [^`]*=[^`]*)`", text(DOCS / f"{page}.md"))
    assert settings
    for setting in settings:
        filled = setting.replace("[LOW,HIGH]", "[0,9]")
        assert any(reads([*words(begin), *words(filled)], monkeypatch) for begin in begins), setting


@pytest.mark.slow  # trains a published network's shape: 2 s
def test_the_example_in_python_gives_what_stands_beside_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    code = re.findall(r"```python\n(.*?)```", text(DOCS / "python.md"), re.S)[0]
    names: dict[str, Any] = {}
    exec(code, names)
    run = names["run"]
    assert run.labels == ("cat", "dog")
    assert run.predict_proba(["cat.jpg", "dog.jpg"]).shape == (2, 2)
    assert run.evaluate()["metrics"]["accuracy"].keys() >= {"value", "low", "high", "n", "method"}
    assert {answer["label"] for answer in run.predict("cat.jpg", top=3)[0]["top"]} == {"cat", "dog"}


def test_data_are_opened_as_the_page_says(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.folder)
    names: dict[str, Any] = {"pervade": pervade}
    exec(re.findall(r"```python\n(.*?)```", text(DOCS / "python.md"), re.S)[1], names)
    data = names["data"]
    assert data.task == "image-classification"
    assert sum(data.splits.values()) == len(data.rows)
    assert {"id", "split", "path", "hash", "target"} <= data.rows.columns.keys()


def test_every_page_has_a_command_that_is_run() -> None:
    """Of every domain and every verb, and of the pages on data, settings and weights."""
    pages = [DOCS / f"{name}.md" for name in (*DOMAINS, "data", "settings", "weights")]
    elsewhere = ("push.md", "pull.md")  # which need a Hub: tests/cli/test_push_and_pull.py
    verbs = [page for page in (DOCS / "verbs").glob("*.md") if page.name not in elsewhere]
    for page in (ROOT / "README.md", *pages, *verbs):
        assert set(commands(page)) & documented.COMMANDS.keys(), f"no command of {page.name} is run"
    assert [command for command in documented.COMMANDS if command not in ALL] == []


def test_every_verb_and_every_task_has_its_page() -> None:
    cli._register()
    assert sorted(typer.main.get_command(cli.app).commands) == sorted(
        page.stem for page in (DOCS / "verbs").glob("*.md")
    )
    for task in recipes.tasks():
        assert any(f"`{task}`" in text(DOCS / f"{name}.md") for name in DOMAINS), task
        assert f"`{task}`" in text(DOCS / "verbs" / "tasks.md"), task


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        assert (page.parent / link).exists() or link.startswith("https://"), link


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)#]+)", text(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_are_there(page: Path) -> None:
    """Python files, by their place below src/pervade or in the repository."""
    named = {name for name in re.findall(r"`((?:\w+/)+\w+\.py)", text(page)) if not name.endswith("NAME.py")}
    assert [
        name for name in named if not any((root / name).is_file() for root in (ROOT, ROOT / "src" / "pervade"))
    ] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, ahead = set(), [ROOT / "README.md"]
    while ahead:
        page = ahead.pop()
        if page not in reached and page.suffix == ".md" and page.exists():
            reached.add(page)
            ahead += [(page.parent / link).resolve() for link in links(page)]
    assert sorted(set(PAGES) - reached) == []


def test_the_readme_is_short_and_its_picture_small() -> None:
    assert len(text(ROOT / "README.md").splitlines()) <= 130
    assert (DOCS / "report.png").stat().st_size < 300_000

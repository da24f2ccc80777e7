"""pervade predict: what the model says of new files."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from pervade.cli.options import (
    CheckpointOption,
    DeviceOption,
    FileColumnOption,
    RunsOption,
    TextColumnOption,
    TrustOption,
    finite,
)
from pervade.core.terminal import echo, json_text, tell, visible
from pervade.core.types import Display

OF_GRAPHS = {"run", "inputs", "top", "as_json", "as_csv", "encoding", "text_column", "file_column", "lines", "runs"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # what a cell of a spreadsheet's begins with


def add_to(app: typer.Typer) -> None:
    app.command()(predict)


def predict(
    context: typer.Context,
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run: its folder, or its name inside --runs. To read texts aloud: hf:OWNER/NAME, a published "
            "VITS or SpeechT5.",
        ),
    ],
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER|TEXT|LABEL/SPEAKER|SEED…]",
            help="What to predict: files, folders, tables that name files, or texts. Of a model that makes sounds, "
            "LABEL or LABEL/SPEAKER, as in seven/anna (with -o); of one that acts, seeds of episodes. Without any, at "
            "a terminal, a model that writes text holds a conversation.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=10**6, help="How many of the likeliest answers are shown.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table (CSV), a line an answer.")] = False,
    length: Annotated[
        int | None,
        typer.Option(min=1, max=10**8, help="Writing: tokens (pieces of words) at most; making sounds: samples."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=10,
            callback=finite,
            help="Writing, making sounds, or pictures of codes: how much is left to chance; 0: nothing.",
        ),
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(min=0, max=10**9, help="Writing: choose among the K likeliest tokens alone; 0: all.")
    ] = None,
    top_p: Annotated[
        float | None,
        typer.Option(
            min=1e-6,
            max=1,
            callback=finite,
            help="Writing, making sounds: choose among the likeliest that have this share together.",
        ),
    ] = None,
    repetition_penalty: Annotated[
        float | None,
        typer.Option(
            min=1, max=10, callback=finite, help="Writing: the higher, the less it repeats itself; 1: no penalty."
        ),
    ] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Writing: end at this text; may be given again.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=2**31 - 1,
            help="Writing, making sounds, acting: the same seed does the same. Making pictures: that of the first.",
        ),
    ] = None,
    number: Annotated[
        int | None, typer.Option(min=1, max=10**9, help="Making pictures: how many; unless given, 64.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="Making pictures by class: of which; may be given again. Unless given, of each in turn."),
    ] = None,
    denoising_steps: Annotated[
        int | None, typer.Option("--steps", min=1, max=10**4, help="Making pictures by denoising: in so many steps.")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            min=0, max=100, callback=finite, help="Making pictures by denoising: weight of the class; 1: as learnt."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="ddpm|ddim|dpm-solver++", help="Making pictures by denoising: how.")
    ] = None,
    truncation: Annotated[
        float | None,
        typer.Option(
            min=0.01, max=100, callback=finite, help="Making pictures by a generator: its noise is multiplied by this."
        ),
    ] = None,
    episodes: Annotated[
        int | None, typer.Option(min=1, max=10**6, help="Acting: how many, by --seed and those after it.")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="Acting: a film of these episodes, .gif, or .mp4 where ffmpeg is.")
    ] = None,
    drawn: Annotated[
        bool, typer.Option("--drawn", help="Acting: actions drawn from the policy, and not the likeliest.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Making sounds or pictures, reading aloud: the folder for files.")
    ] = None,
    vocoder: Annotated[
        str | None,
        typer.Option(help="Reading aloud with SpeechT5: what makes sounds, hf:OWNER/NAME, hf:FOLDER or griffin-lim."),
    ] = None,
    speaker: Annotated[
        Path | None, typer.Option(help="Reading aloud with SpeechT5: whose voice, an embedding, .npy or .safetensors.")
    ] = None,
    encoding: Annotated[
        str | None,
        typer.Option(help="Text files and tables: their encoding; unless given, UTF-8, else that of the training's."),
    ] = None,
    text_column: TextColumnOption = None,
    file_column: FileColumnOption = None,
    lines: Annotated[
        bool | None,
        typer.Option(
            "--lines/--whole", help="Text files: each line is a text, or all of them one; unless given, as in training."
        ),
    ] = None,
    checkpoint: CheckpointOption = None,
    device: DeviceOption = "auto",
    runs: RunsOption = Path("runs"),
    trust_remote_code: TrustOption = False,
) -> None:
    """Predict files, folders of files, or texts. What cannot be used is named with the reason; the others go on."""
    from pervade.core.errors import ConfigError
    from pervade.run import exported

    if as_json and as_csv:
        raise ConfigError("--json and --csv exclude each other; choose one")
    if exported.is_artefact(run) and vocoder is None and speaker is None:  # asked without torch
        _refuse_all_but(OF_GRAPHS, context, run)
        reading = {"encoding": encoding, "text_column": text_column, "file_column": file_column, "lines": lines}
        _of_artefact(run, inputs, top, as_json, as_csv, reading)
        return
    from pervade import api

    if run.startswith("hf:"):
        if out is None or not inputs:
            raise ConfigError(f"{run} reads texts aloud: give them, and the folder for the wav files with -o FOLDER")
        for row in api.speak(run, inputs, out, seed or 0, vocoder=vocoder, speaker=speaker):
            echo(json_text(row)) if as_json else echo(row["input"], row["file"])
        return
    if vocoder is not None or speaker is not None:
        raise ConfigError("--vocoder and --speaker are for published models that read aloud, hf:OWNER/NAME")
    loaded = api.load(run, runs)
    given: dict[str, Any] = {"length": length, "temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    given |= {"repetition_penalty": repetition_penalty, "stop": stop or None, "out": out, "number": number}
    given |= {"steps": denoising_steps, "guidance": guidance, "sampler": sampler, "truncation": truncation}
    given |= {"labels": label or None}
    sampling = {name: value for name, value in given.items() if value is not None}
    display = loaded.display(checkpoint)
    if episodes is not None or video is not None or drawn or (not inputs and loaded.acts):
        if not loaded.acts:
            raise ConfigError(
                "--episodes, --video and --drawn are for models that act in an environment; leave them out"
            )
        if inputs:
            raise ConfigError(
                f"{' '.join(map(str, inputs))}: seeds behind the run's name are played without --episodes, --video and "
                "--drawn; for a film give --episodes N --seed FIRST --video out.gif"
            )
        for row in loaded.play(episodes or 1, seed or 0, drawn, video, checkpoint, device):
            echo(json_text(row)) if as_json else echo(f"seed {row.pop('seed')}", display(row).line)
        if video is not None:
            tell(f"film    {video}")
        return
    if loaded.makes and (out is None or not (inputs or loaded.makes_up)):
        raise ConfigError(
            f"this model makes {loaded.makes}, which go to files: pervade predict {run} {loaded.recipe().domain.given}"
        )
    if not inputs and not loaded.makes_up and not sampling.keys() & {"number", "labels", "out"}:
        _converse(loaded, checkpoint, device, sampling)
        return
    if (unfinished := loaded.unfinished(checkpoint)) is not None:
        tell(unfinished)
    sampling |= {"encoding": encoding, "text_column": text_column}
    sampling |= {"file_column": file_column, "lines": lines}
    rows = loaded.stream(inputs or None, top, checkpoint, device, **sampling)
    table = _Table(display, loaded.cuts)
    answered, embedded = _print(rows, table, as_json, as_csv)
    if len(embedded) == 2 and not as_json and not as_csv:
        echo(_compared(embedded[0], embedded[1], loaded.threshold(checkpoint)))
    if not answered:
        from pervade.core.contracts.capabilities import Composed

        for line in table.end():
            echo(line, keep="\n\t")
        domain = loaded.recipe().domain
        reads = (domain.first if isinstance(domain, Composed) else domain).reads
        tell(f"nothing is predicted: {loaded.path} reads {reads}, and none of what was given can be used")
        raise typer.Exit(2)


def _print(
    rows: Iterator[dict[str, Any]], table: _Table, as_json: bool, as_csv: bool
) -> tuple[int, list[dict[str, Any]]]:
    """Prints answers as they come; how many there were, and the first that are embeddings."""
    answered = 0
    embedded: list[dict[str, Any]] = []
    for row in rows:
        answered += row["error"] is None
        if row.get("embedding") is not None and len(embedded) < 3:
            embedded.append(row)
        if as_json:
            echo(json_text(row))
        elif as_csv:
            for line in table.lines(row):
                echo(line, keep="\n\t")
        elif row["error"] is not None:
            tell(f"left out: {row['input']!r}: {row['error']}")
        elif (shown := table.display(row)).prose:  # lines behind the first stand in, so that none passes for an answer
            echo(visible(row["input"]), shown.line.replace("\n", "\n\t"), keep="\n\t")
        else:
            echo(row["input"], shown.line)
        if row.get("cut") is not None and not as_json and not as_csv:
            tell(f"cut: {row['input']!r}: {row['cut']}")
    return answered, embedded


def _refuse_all_but(taken: set[str], context: typer.Context, run: str) -> None:
    """Raises ConfigError with the options given that an exported graph would not heed."""
    from pervade.core.errors import ConfigError

    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in taken and (source := context.get_parameter_source(str(parameter.name)))
        if source.name == "COMMANDLINE"
    ]
    if given:
        raise ConfigError(
            f"{run} is an exported graph, which takes no {', '.join(given)}; leave that out, or use "
            "`pervade predict RUN`"
        )


def _of_artefact(
    given: str, inputs: list[str] | None, top: int, as_json: bool, as_csv: bool, reading: dict[str, Any]
) -> None:
    """What an exported graph answers."""
    from pervade.core.errors import ConfigError
    from pervade.run import exported

    artefact = exported.opened(given)
    if not inputs:
        raise ConfigError(f"{given} is asked about files or texts; give some behind it")
    table = _Table(artefact.display(), artefact.cuts)
    answered, _ = _print(artefact.stream(inputs, top, tell, **reading), table, as_json, as_csv)
    if not answered:
        for line in table.end():
            echo(line, keep="\n\t")
        tell(
            f"nothing is predicted: {given} reads {artefact.loaded.domain.reads}, and none of what was given can be "
            "used"
        )
        raise typer.Exit(2)


def _converse(run: Any, checkpoint: str | None, device: str, sampling: dict[str, Any]) -> None:
    """Writes on from what is typed, as it comes, until the end of input."""
    from pervade.core.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(
            "predict takes files, folders or texts behind the run's name, and reads none from standard input; without "
            "any, a model that writes text talks at a terminal"
        )
    write = run.writer(checkpoint, device, **sampling)
    if run.takes_turns:
        _take_turns(write)
        return
    tell("write, and the model goes on; end with Ctrl-D")
    text = ""
    while True:
        try:
            text += input("> ")
        except EOFError:
            return
        for piece in write(text):
            echo(piece, end="", keep="\n\t")
            text += piece
        echo()
        text += "\n"


def _take_turns(write: Any) -> None:
    """Question and answer, each a message of one conversation, until the end of input."""
    tell("ask, and the model answers; what is oldest it forgets in time; end with Ctrl-D")
    messages: list[dict[str, str]] = []
    while True:
        try:
            said = input("> ")
        except EOFError:
            return
        if not said.strip():
            continue
        messages.append({"role": "user", "content": said})
        answer = ""
        for piece in write(messages):
            echo(piece, end="", keep="\n\t")
            answer += piece
        echo()
        # One that says nothing is no turn, and the next question stands alone.
        messages = [*messages, {"role": "assistant", "content": answer}] if answer.strip() else messages[:-1]


def _compared(one: dict[str, Any], other: dict[str, Any], threshold: float | None) -> str:
    similarity = sum(a * b for a, b in zip(one["embedding"], other["embedding"], strict=True))
    verdict = "" if threshold is None else f", {'same' if similarity >= threshold else 'different'}"
    settled = "" if threshold is None else f" (threshold {threshold:.3f})"
    return f"the two: similarity {similarity:.3f}{verdict}{settled}"


class _Table:
    """Lines of a table whose columns the first answer tells; errors before it wait."""

    def __init__(self, display: Callable[[dict[str, Any]], Display], cuts: bool = False) -> None:
        self.after = ["cut", "error"] if cuts else ["error"]
        self.display = display
        self.columns: list[str] | None = None
        self.waiting: list[dict[str, Any]] = []

    def lines(self, row: dict[str, Any]) -> list[str]:
        if self.columns is not None:
            return self._written(row)
        self.waiting.append(row)
        if row["error"] is not None:
            return []
        self.columns = list(self.display(row).rows[0])
        return self.end()

    def end(self) -> list[str]:
        """What still waits, under its head."""
        self.columns = self.columns or []
        head = [_line(["input", *self.columns, *self.after])] if self.waiting else []
        return [*head, *(line for row in self.waiting for line in self._written(row))]

    def _written(self, row: dict[str, Any]) -> list[str]:
        told: list[dict[str, Any]] = [{}] if row["error"] is not None else self.display(row).rows
        after = [row.get(name) or "" for name in self.after]
        return [_line([row["input"], *(_cell(line.get(name)) for name in self.columns or ()), *after]) for line in told]


def _cell(value: Any) -> Any:
    return "" if value is None else repr(value) if isinstance(value, float) else _plain(value)


def _harmless(cell: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe (OWASP, CSV injection); what is a
    number stays one. Nothing in it steers a terminal."""
    if not isinstance(cell, str):
        return cell
    text = visible(cell.replace("\r\n", "\n"), keep="\n\t")
    return f"'{text}" if cell.startswith(FORMULA) and not _is_number(cell) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (list, dict)) else value


def _line(fields: list[Any]) -> str:
    buffer = io.StringIO()
    # By the line's end it knows what to put between quotes.
    csv.writer(buffer, lineterminator="\n").writerow(map(_harmless, fields))
    return buffer.getvalue().removesuffix("\n")

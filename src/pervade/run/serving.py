"""`pervade serve RUN…`: opens runs, their checkpoints and exported graphs as what serve/ serves, and runs the server.

What a client sends is asked about by the same path as `pervade predict` (engine/answering.py). Bytes of files lie in a
private folder under names of ours, for as long as they are read.
"""

from __future__ import annotations

import base64
import functools
import os
import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

from pervade.core import files, signals
from pervade.core.contracts import TensorSpec, asking
from pervade.core.contracts.abilities import Acts, MakesMedia, Writes
from pervade.core.contracts.capabilities import Acting, Tokenised, able
from pervade.core.errors import ConfigError, DataError, PervadeError
from pervade.core.terminal import leave, tell
from pervade.core.types import LeftOut, Rows, Table
from pervade.engine.loaded import Loaded
from pervade.serve.reloading import Source
from pervade.serve.served import About, Compute, Field, Given, Introduction, Served, at_once
from pervade.serve.settings import Settings

if TYPE_CHECKING:
    from pervade.core.run import RunDirectory
    from pervade.engine.gallery import Gallery
    from pervade.engine.writing import Writer
    from pervade.run.exported import Artefact

CACHE_TOKENS = 16_384  # that a model which writes remembers of all its texts, unless one of them alone may have more
AT_ONCE = 16  # pictures or sounds that a network is given: of more it takes more memory, and is hardly quicker
TYPES = {"png": "image/png", "wav": "audio/wav", "gif": "image/gif", "text": "text/plain"}


@dataclass(frozen=True)
class Opened:
    """A checkpoint, or a graph whose answers come from `table_of`, that answers."""

    about: About
    loaded: Loaded
    known: Callable[[], Gallery]
    device: str
    table_of: Callable[[Rows], Table] | None = None
    directory: RunDirectory | None = None  # of a run
    reference: Callable[[], Mapping[str, Sequence[float]]] = dict  # as of `HasReference`
    writer: Writer | None = None  # where it writes texts

    def answers(self, inputs: Sequence[Given], top: int, compute: Compute = at_once) -> list[dict[str, Any]]:
        """As of `Served`. What goes wrong for all of several inputs raises PervadeError, for a single one it is its
        answer."""
        from pervade.engine import answering

        if isinstance(self.loaded.task, MakesMedia) and len(inputs) > 1:  # drawn by the place among those asked about
            return [answer for given in inputs for answer in self.answers([given], top, compute)]
        with tempfile.TemporaryDirectory(prefix="pervade-serve-") as folder:
            made = [self._row(given, place, Path(folder)) for place, given in enumerate(inputs)]
            names = [row.source if isinstance(row, LeftOut) else str(row["id"]) for row in made]
            # Clients may call their files alike; a place stands in for the name while several are asked about.
            asked = (row if isinstance(row, LeftOut) else {**row, "id": str(place)} for place, row in enumerate(made))
            told = answering.answers_about(
                self.loaded,
                asked,
                top,
                self.device,
                None,
                lambda: compute(self.known),
                lambda line: None,
                lambda rows: compute(lambda: self._table(rows)),
            )
            try:
                answers = list(told)
            except DataError as error:
                if len(inputs) > 1:
                    raise
                answers = [{"input": names[0], "error": str(error)}]
            return [self._told(answer, name, folder) for answer, name in zip(answers, names, strict=True)]

    def _table(self, rows: Rows) -> Table:
        from pervade.engine import answering

        many = len(rows) if "size" in rows else AT_ONCE  # texts of a batch are taken apart by their lengths as it is
        predicted = self.table_of or answering.predicted_by(self.loaded, self.device, batch_size=many)
        return predicted(rows)

    def introduction(self) -> Introduction:
        from pervade.run import introducing

        if self.directory is None:
            return Introduction()
        return introducing.introduction(self.directory, self.about.checkpoint)

    def close(self) -> None:
        return

    def _row(self, given: Given, place: int, folder: Path) -> dict[str, Any] | LeftOut:
        domain: Any = self.loaded.domain
        content: dict[str, Any] = {}
        for field in domain.fields():
            value = given.content.get(field.name, "0" if field.kind == "seed" else "")
            if field.kind in asking.FILES:
                suffix = PurePath(given.name).suffix.lower()
                path = folder / f"{place}{suffix if suffix in field.suffixes else ''}"
                path.write_bytes(value if isinstance(value, bytes) else str(value).encode())
                value = str(path)
            content[field.name] = value
        row: dict[str, Any] | LeftOut = domain.sent(content, given.name, given.number)
        return row

    def _told(self, answer: dict[str, Any], name: str, folder: str) -> dict[str, Any]:
        """The answer under its own name, with what was made in it; one that is none without other keys."""
        if answer["error"] is not None:
            why = str(answer["error"]).replace(folder, "").replace("\n", " ")
            return {"input": name, **({"cut": None} if self.loaded.domain.cuts else {}), "error": why}
        maker = self.loaded.task
        if isinstance(maker, MakesMedia):
            own = {key: value for key, value in answer.items() if key not in ("input", "cut", "error")}
            media, beside = maker.media(own)
            data = media.data.encode() if isinstance(media.data, str) else media.data
            held = {"type": TYPES.get(media.kind, media.kind), "base64": base64.b64encode(data).decode()}
            answer = {"input": name, "file": held, **beside, "error": None}
        return {**answer, "input": name}


class Player(Opened):
    """One that acts in an environment."""

    def episode(self, seed: int) -> dict[str, Any]:
        from pervade.agents import film

        task, domain = cast(Acts, self.loaded.task), able(self.loaded.domain, Acting)
        return film.still_by_still(task, self.loaded.network.to(self.device), domain, seed)


@dataclass(frozen=True)
class Graph(Opened):
    """An exported graph, which takes its own tensors, too."""

    _: KW_ONLY
    artefact: Artefact

    @property
    def takes(self) -> tuple[TensorSpec, ...]:
        return self.artefact.takes

    @property
    def gives(self) -> tuple[TensorSpec, ...]:
        return self.artefact.gives

    def answers(self, inputs: Sequence[Given], top: int, compute: Compute = at_once) -> list[dict[str, Any]]:
        fed = {place for place, given in enumerate(inputs) if given.content.keys() == {one.name for one in self.takes}}
        read = [given for place, given in enumerate(inputs) if place not in fed]
        others = iter(super().answers(read, top, compute))

        def computed() -> dict[int, dict[str, Any]]:
            return {place: self._computed(inputs[place]) for place in fed}

        told = compute(computed) if fed else {}
        return [told[place] if place in fed else next(others) for place in range(len(inputs))]

    def _computed(self, given: Given) -> dict[str, Any]:
        try:
            return {"input": given.name, "outputs": self.artefact.computed(given.content), "error": None}
        except DataError as error:
            return {"input": given.name, "error": str(error)}


def opened(
    given: str,
    runs: Path,
    checkpoint: str | None = None,
    device: str = "auto",
    name: str | None = None,
    cache_tokens: int | None = None,
) -> Served:
    """A run by path or name, or an exported graph by its path. Raises CheckpointError where it cannot be opened,
    ConfigError where it cannot be asked over HTTP, or a graph is asked for a checkpoint."""
    from pervade.core import run as runs_module
    from pervade.run import exported

    if exported.is_artefact(given):
        if checkpoint is not None:
            raise ConfigError(f"{given} is an exported graph, which has no checkpoints; leave out --checkpoint")
        return _graph(given, name)
    directory = runs_module.find(given, runs)
    return _checkpoint(
        directory, directory.require_checkpoint(checkpoint), device, name or directory.path.resolve().name, cache_tokens
    )


def source(
    given: str,
    runs: Path,
    checkpoint: str | None = None,
    device: str = "auto",
    name: str | None = None,
    cache_tokens: int | None = None,
) -> Source:
    """As `opened`, to be opened again and again."""

    def stamp() -> tuple[int, ...] | None:
        try:
            state = _weights(given, runs, checkpoint).stat()
        except (OSError, PervadeError):
            return None
        return state.st_ino, state.st_size, state.st_mtime_ns

    return Source(lambda: opened(given, runs, checkpoint, device, name, cache_tokens), stamp)


def _weights(given: str, runs: Path, checkpoint: str | None) -> Path:
    """The file that is another one wherever there is another checkpoint."""
    from pervade.core import run as runs_module
    from pervade.run import exported

    if exported.is_artefact(given):
        return exported.read_signature(given)[0]
    directory = runs_module.find(given, runs)
    return directory.checkpoint(directory.require_checkpoint(checkpoint)) / "architecture.json"


def _checkpoint(directory: RunDirectory, checkpoint: str, device: str, name: str, cache_tokens: int | None) -> Opened:
    from pervade.core import runtime
    from pervade.engine import checkpoint as checkpoints
    from pervade.engine import wording
    from pervade.run import progress, standing, watching

    loaded = checkpoints.load_checkpoint(directory, checkpoint)
    screen = progress.screen()

    @functools.cache
    def known() -> Gallery:
        from pervade.engine import gallery
        from pervade.run import workflow

        with screen.bar("embedding the run's own rows") as bar:
            return gallery.of_run(directory, loaded, lambda: workflow.load_rows(directory, loaded.domain, screen), bar)

    device = runtime.pick_device(device)
    recipe = checkpoints.settled(directory, checkpoints.read_recipe(directory.recipe))
    remark = standing.unfinished(directory, recipe, checkpoint) or ""
    task = wording.read(directory).pipeline
    weights = str(loaded.architecture["sha256"])
    about = _about(loaded, name, weights, task, remark)
    # Read now, and not by the event loop while others are answered.
    reference = watching.reference(directory, loaded, weights, [one.kind for one in about.takes])
    kind = Player if isinstance(loaded.task, Acts) else Opened
    writer = _writer(loaded, device, cache_tokens)
    return kind(about, loaded, known, device, directory=directory, reference=lambda: reference, writer=writer)


def _writer(loaded: Loaded, device: str, cache_tokens: int | None) -> Writer | None:
    """Raises ConfigError where so much does not hold one text."""
    if not isinstance(loaded.task, Writes) or not isinstance(loaded.domain, Tokenised):
        return None
    from pervade.engine import writing

    longest = loaded.domain.length
    return writing.Writer(loaded, device, max(CACHE_TOKENS, 2 * longest) if cache_tokens is None else cache_tokens)


def _graph(given: str, name: str | None) -> Opened:
    from pervade.core.words import describe
    from pervade.run import exported, watching

    artefact = exported.opened(given)
    loaded, graph = artefact.loaded, artefact.graph
    called = name or exported.name_of(graph)
    task = describe(loaded.domain, loaded.task).pipeline
    about = _about(loaded, called, files.sha256(graph), task, "")
    kinds = [one.kind for one in about.takes]
    reference = functools.partial(watching.beside, graph, loaded, artefact.weights, kinds)
    return Graph(about, loaded, exported.no_gallery, "cpu", artefact.table, reference=reference, artefact=artefact)


def _about(loaded: Loaded, name: str, digest: str, task: str, remark: str) -> About:
    """Raises ConfigError where its domain takes nothing that can be sent."""
    domain = loaded.domain
    if not isinstance(domain, asking.Askable):
        raise ConfigError(f"{name} reads {domain.reads}, which cannot be sent to a server; use `pervade predict`")
    takes = tuple(Field(field.name, field.kind, field.title, field.suffixes) for field in domain.fields())
    labels = tuple(getattr(domain, "labels", ()))
    return About(name, digest[:12], loaded.name, task, takes, domain.reads, labels, remark)


def serve(sources: Sequence[Source], settings: Settings, say: Callable[[str], None], check: bool = False) -> None:
    """Answers until this process is asked to stop; what is under way then has `settings.stop_within` seconds. The
    address is told `say`. A `check` ends when all is open. Raises ConfigError where two models have one name, the
    address cannot be had, or others could reach it who should not."""
    from pervade.serve import connections, exposure
    from pervade.serve.app import guarded
    from pervade.serve.reloading import Reloading
    from pervade.serve.shelf import Shelf

    exposure.require_safe(settings)
    tokens, admin, made = exposure.tokens(settings)
    shelf, named = Shelf(settings), dict[str, Source]()
    for source in sources:
        served = source.open()
        name = served.about.name
        if name in named:
            raise ConfigError(f"two models are called {name!r}, by which they are asked; serve one of them elsewhere")
        named[name] = source
        shelf.put(served)
        tell(f"{name}: {served.about.reads}, checkpoint {served.about.checkpoint}, version {served.about.version}")
        if served.about.remark:
            tell(served.about.remark)
    if check:
        return
    guard = guarded(shelf, settings, tokens, admin, Reloading(named, shelf))
    listening = _listening(settings)
    host, port = listening.getsockname()[:2]
    scheme = "http" if settings.tls_cert is None else "https"
    fragment = "" if made is None else f"#token={made}"  # which browsers send nowhere
    say(f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}/{fragment}")
    with signals.answered(lambda number: None):  # uvicorn stops by the first signal, and then sends it once more
        connections.Server(connections.configured(guard, settings)).run(sockets=[listening])
    if shelf.left:  # a thread cannot be ended, and Python would wait for it
        tell("stopped  while a model was still computing what nobody waits for any more")
        leave()
        os._exit(0)


def _listening(settings: Settings) -> socket.socket:
    """Raises ConfigError where the address is not this machine's, or is taken."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(
            f"{settings.host} port {settings.port} cannot be listened on ({why}); take another --port"
        ) from None

"""The application behind `pervade ui`: what the page asks for, and the page itself.

    /                       the page; /page/NAME its files, a fixed list
    /api/runs               every run as a line, and what was started here
    /api/run                one run: what there is of it to look at
    /api/log                what was logged since
    /api/predictions        a page of a table of predictions
    /api/compare /compare   two runs, in words for the page, and as `pervade compare` writes it
    /report /card           what lies in a run, and only under the names that `pervade report` gives
    /api/form /api/command  what the form offers, and the line that it stands for
    /api/start /api/stop    the only two that change anything; they need the admin token (`DOORS`)

A run is named in a query and looked up in the list of runs; no part of a request is ever a path. All of it stands
behind serve/guard.py, which looks at Host, Origin and tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Body, FastAPI, Query
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from pervade.core import files
from pervade.core.errors import BusyError, CheckpointError, ConfigError, DataError, PervadeError
from pervade.core.run import RunDirectory
from pervade.report import wording
from pervade.serve import handlers
from pervade.serve.faults import Fault
from pervade.serve.guard import POLICY, Doors
from pervade.ui import answers, compared, live, working
from pervade.ui.answers import Sheet
from pervade.ui.choices import choices
from pervade.ui.listing import Folder
from pervade.ui.trainings import FIELDS, Trainings, command

T = TypeVar("T")
CHANGING = ("/api/start", "/api/stop")
DOORS = Doors(admin=lambda method, path: path in CHANGING)
# What the page is made of, and where it lies; what serve's page has is not written twice.
KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "txt": "text/plain"}
OWN = (
    *("index.html", "main.js", "list.js", "run.js", "curves.js", "rows.js", "compare.js", "form.js", "strings.js"),
    *("ui.css", "uPlot.iife.min.js", "uPlot.min.css", "uPlot.LICENSE.txt"),
)
SHARED = ("page.css", "dom.js", "ask.js", "icon.svg")
# The page itself: rows' sounds lie in addresses of data.
PAGE_POLICY = POLICY.replace("media-src 'self'", "media-src data:")
# What lies in a run may come from a stranger: whatever it says of itself, it runs and loads nothing, and is nobody.
READING = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox allow-popups allow-popups-to-escape-sandbox"
)
STATUS = {ConfigError: 422, DataError: 422, BusyError: 409, CheckpointError: 404}
REPORT = "report.html"
# FastAPI looks annotations up in the module.
Run = Annotated[str, Query(max_length=600)]
Split = Annotated[str, Query(max_length=100)]
Fields = Annotated[dict[str, str], Body(embed=True, max_length=50)]


class Desk:
    """What answers have in common: the folder, what was started, and the last tables that were looked at."""

    def __init__(self, runs: Path, trainings: Trainings) -> None:
        self.folder, self.trainings = Folder(runs), trainings
        self._sheets: dict[tuple[Any, ...], Sheet] = {}
        self._turn = threading.Lock()  # domains and tables are used by one request at a time

    def sheet(self, run: RunDirectory, name: str, use: Callable[[Sheet], T]) -> T:
        path = run.predictions(*name.partition("@")[::2]) if name in answers.files(run) else run.path
        stamps = [one.stat().st_mtime_ns if one.exists() else 0 for one in (path, run.data)]
        key = (run.path, name, *stamps)
        with self._turn:
            if key not in self._sheets:
                while len(self._sheets) > 1:
                    del self._sheets[next(iter(self._sheets))]
                self._sheets[key] = Sheet.open(run, name)
            return use(self._sheets[key])

    def compare(self, work: Callable[[], T]) -> T:
        with self._turn:
            return work()


def application(runs: Path, trainings: Trainings) -> FastAPI:
    app = FastAPI(title="Pervade", docs_url=None, redoc_url=None, openapi_url=None)
    handlers.install(app)
    app.add_exception_handler(PervadeError, _refused)
    desk = Desk(runs, trainings)
    _add_page(app)
    _add_runs(app, desk)
    _add_comparison(app, desk)
    _add_reading(app, desk)
    _add_trainings(app, desk)
    return app


async def _refused(request: Any, error: Exception) -> Response:
    """An error of ours as a fault; its whole sentence, since who asks is who runs the server."""
    from pervade.serve import faults

    status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), None)
    fault = handlers.of(error) if status is None else Fault(status, str(error))
    body, kind = faults.body(fault, request.url.path)
    return Response(body, fault.status, dict(fault.headers), kind)


def _add_page(app: FastAPI) -> None:
    def file(name: str) -> Response:
        package = "pervade.ui" if name in OWN else "pervade.serve"
        data = resources.files(package).joinpath("page", name).read_bytes()
        kind = KINDS[name.rpartition(".")[2]]
        return Response(data, media_type=f"{kind}; charset=utf-8", headers={"content-security-policy": PAGE_POLICY})

    @app.get("/")
    def index() -> Response:
        return file("index.html")

    @app.get("/favicon.ico")
    def favicon() -> Response:
        return file("icon.svg")

    @app.get("/page/{name}")
    def of_page(name: str) -> Response:
        if name not in (*OWN, *SHARED):
            raise Fault(404, "the page has no such file")
        return file(name)


def _add_runs(app: FastAPI, desk: Desk) -> None:
    folder = desk.folder

    @app.get("/api/runs")
    def runs() -> dict[str, Any]:
        return {"folder": str(folder.path), "runs": folder.lines(), "started": _short(desk.trainings)}

    @app.get("/api/run")
    def run(run: Run) -> dict[str, Any]:
        there = folder.find(run)
        inside = [folder.line(name, one, folder.working()) for name, one in folder.inside(run).items()]
        about = folder.line(run, there, folder.working())
        return {"run": about, "inside": inside, "predictions": answers.files(there), "path": str(there.path)}

    @app.get("/api/log")
    def log(run: Run, place: Annotated[str, Query(max_length=60)] = "") -> dict[str, Any]:
        there = folder.find(run)
        working_on = working.worker_of(there, folder.working())
        return live.read_on(there, live.Place.of(place)) | {"working": working_on is not None}

    @app.get("/api/predictions")
    def predictions(
        run: Run,
        file: Annotated[str, Query(max_length=300)],
        only: str = "all",
        order: str = "",
        said: str = "",
        target: str = "",
        begin: Annotated[int, Query(ge=0, le=2**31)] = 0,
        most: Annotated[int, Query(ge=1, le=answers.MOST_ROWS)] = 20,
    ) -> dict[str, Any]:
        def told(sheet: Sheet) -> dict[str, Any]:
            return {"about": sheet.about(), **sheet.page(only, order, said, target, begin, most)}

        return desk.sheet(folder.find(run), file, told)


def _add_comparison(app: FastAPI, desk: Desk) -> None:
    @app.get("/api/compare")
    def compare(first: Run, second: Run, split: Split = "test", different: bool = False) -> dict[str, Any]:
        pair = desk.folder.find(first), desk.folder.find(second)
        return desk.compare(lambda: compared.compare(*pair, split, different))

    @app.get("/compare")
    def page(first: Run, second: Run, split: Split = "test", different: bool = False) -> Response:
        pair = desk.folder.find(first), desk.folder.find(second)
        return _to_read(desk.compare(lambda: compared.page(*pair, split, different)))


def _add_reading(app: FastAPI, desk: Desk) -> None:
    def text(run: RunDirectory, path: Path) -> str:
        if not path.resolve().is_relative_to(run.path.resolve()):
            raise CheckpointError(f"{path.name} of {run.name!r} leads out of the run; put the file itself there")
        return files.read_text(path)

    @app.get("/report")
    def report(run: Run, name: Annotated[str, Query(max_length=300)] = REPORT) -> Response:
        there = desk.folder.find(run)
        known = [REPORT, *there.other_pages()]
        if name not in known:
            raise Fault(404, f"{run!r} has no page of this name; allowed: {', '.join(known)}")
        if not (there.path / name).is_file():
            raise Fault(404, f"{run!r} has no {name} yet; write it with: pervade report {wording.command(run)}")
        return _to_read(text(there, there.path / name))

    @app.get("/card")
    def card(run: Run) -> Response:
        there = desk.folder.find(run)
        if not there.model_card.is_file():
            raise Fault(404, f"{run!r} has no model card yet; write it with: pervade report {wording.command(run)}")
        return PlainTextResponse(text(there, there.model_card), headers={"content-security-policy": READING})


def _to_read(page: str) -> Response:
    return HTMLResponse(page, headers={"content-security-policy": READING})


def _add_trainings(app: FastAPI, desk: Desk) -> None:
    trainings = desk.trainings

    @app.get("/api/form")
    def form() -> dict[str, Any]:
        return choices() | {"folder": str(Path.cwd()), "fields": [field.name for field in FIELDS]}

    @app.post("/api/command")
    def line(fields: Fields) -> dict[str, str]:
        return {"command": wording.command(*command(fields, trainings.runs))}

    @app.get("/api/started")
    def started() -> list[dict[str, Any]]:
        return trainings.told()

    @app.post("/api/start")
    def start(fields: Fields, command: Annotated[str, Body()]) -> dict[str, Any]:
        return trainings.start(fields, command).told()

    @app.post("/api/stop")
    def stop(
        run: Annotated[str | None, Body(max_length=600)] = None, number: Annotated[int | None, Body()] = None
    ) -> dict[str, int]:
        if (run is None) == (number is None):
            raise Fault(422, "name the run that is to stop (run), or the training that was started here (number)")
        process = trainings.stop(number) if number is not None else working.stop(desk.folder.find(run or ""))
        return {"process": process}


def _short(trainings: Trainings) -> list[dict[str, Any]]:
    return [{key: value for key, value in one.items() if key != "output"} for one in trainings.told()]

"""pervade tune: search over settings of the recipe, within a limit of time or trials."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pervade.cli.groups import columns, learning, promising, takes
from pervade.cli.options import seconds


def add_to(app: typer.Typer) -> None:
    app.command()(tune)


@takes(columns, learning, promising)
def tune(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="What to learn from, as `pervade train` takes it: a folder of class folders, a table of files or "
            "texts, hf://OWNER/NAME, gym://NAME …",
        ),
    ],
    given: dict[str, Any],
    time_limit: Annotated[
        str | None, typer.Option(help="For everything, the final evaluation included: 10m, 1.5h.")
    ] = None,
    trials: Annotated[int | None, typer.Option(max=10**6, help="How many trials at most.")] = None,
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH=RANGE",
            help="A field to vary: optimizer.lr=1e-4..1e-1:log, batch_size=[32, 64]. Without any, the recipe's own.",
        ),
    ] = None,
    ladder: Annotated[
        str | None,
        typer.Option(
            metavar="RUNGS",
            help="Search across ways to learn, as where no --model is named: some of plain,frozen,trained,blend, or "
            "all.",
        ),
    ] = None,
) -> None:
    """Search for better settings. Trials are judged on the validation split; the best is evaluated on test, once."""
    from pervade import api
    from pervade.cli.outcome import finish, stoppable
    from pervade.core.errors import DataError

    if not data:
        raise DataError("DATA is empty; give a folder or a table")
    given |= {"time_limit": seconds(time_limit), "trials": trials, "search": search or [], "ladder": ladder}
    with stoppable():
        finish(api.tune(data, **given))

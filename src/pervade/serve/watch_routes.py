"""GET /v1/models/{run}/watch, and the same for /metrics: what comes in against what was learnt from (watch.py)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

from fastapi import APIRouter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from pervade.serve.answered import PROBLEMS, Server
from pervade.serve.faults import Fault
from pervade.serve.shelf import Shelf

SCHEMA = {
    "type": "object",
    "required": ["inputs", "alarm", "sentence", "false_alarm", "statistics"],
    "properties": {
        "inputs": {"type": "integer"},
        "alarm": {"type": "boolean"},
        "sentence": {"type": "string"},
        "false_alarm": {"type": "number"},
        "statistics": {"type": "object", "additionalProperties": {"type": "object"}},
    },
}


def routes(server: Server) -> APIRouter:
    router = APIRouter(tags=["state"])
    server.shelf.figures.registry.register(Watched(server.shelf))

    @router.get(
        "/v1/models/{run}/watch",
        summary="Whether what comes in looks like what a model learnt from",
        description="A sequential test of each statistic of the inputs against rows that were held out; false_alarm is "
        "the probability that all is well and there ever is an alarm.",
        response_class=Response,
        responses={
            200: {"description": "So far.", "content": {"application/json": {"schema": SCHEMA}}},
            404: PROBLEMS[404],
        },
    )
    async def watch(run: str) -> Response:
        with server.shelf.taken(run) as place:
            if (own := place.batching.watch) is None:
                raise Fault(404, f"{run} is not watched; start the server without --no-watch", "not_watched")
            return Response(json.dumps(own.told(), ensure_ascii=False), media_type="application/json")

    return router


class Watched(Collector):
    """Of all models that are served at the moment."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def collect(self) -> Iterator[Metric]:
        told = {name: watch.told() for name, watch in self.shelf.watches().items()}
        alarm = GaugeMetricFamily(
            "pervade_watch_alarm", "1 where what comes in no longer looks like what was learnt from.", labels=["model"]
        )
        evidence = GaugeMetricFamily(
            "pervade_watch_evidence",
            "Log10 of the most that bets against likeness ever came to; an alarm from log10 of the bound on.",
            labels=["model", "statistic"],
        )
        middle = GaugeMetricFamily(
            "pervade_watch_middle",
            "Median of recent inputs, and of held-out rows.",
            labels=["model", "statistic", "of"],
        )
        for name, own in told.items():
            alarm.add_metric([name], own["alarm"])
            for statistic, one in own["statistics"].items():
                evidence.add_metric([name, statistic], math.log10(one["evidence"]))
                for of in ("recent", "learnt_from"):
                    if one[of]["middle"] is not None:
                        middle.add_metric([name, statistic, of], one[of]["middle"])
        yield from (alarm, evidence, middle)

"""Figures of a running server, for Prometheus, in a registry of its own."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pervade.serve.guard import Seen

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Figures:
    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own: Any = {"registry": self.registry}
        by_route = ("method", "route", "status")
        self.requests = Counter("pervade_requests", "Requests answered, by route and status.", by_route, **own)
        took = "From a request's first byte to its answer's last."
        self.seconds = Histogram("pervade_request_seconds", took, ("route",), buckets=SECONDS, **own)
        self.inputs = Counter("pervade_inputs", "Inputs that a model was asked about.", ("model",), **own)
        self.waiting = Gauge("pervade_waiting_inputs", "Inputs that wait for a model.", ("model",), **own)
        self.batch = Histogram("pervade_batch_inputs", "Inputs answered together.", ("model",), buckets=SIZES, **own)
        self.computing = Counter("pervade_model_seconds", "Seconds that a model computed.", ("model",), **own)
        self.turned_away = Counter("pervade_turned_away", "Requests that got no answer.", ("model", "why"), **own)
        self.model = Gauge("pervade_model_info", "1 for what is served now.", ("model", "version", "checkpoint"), **own)
        self.reloads = Counter("pervade_reloads", "Times that a model was opened again.", ("model", "outcome"), **own)

    def count(self, seen: Seen) -> None:
        """A request that is over."""
        self.requests.labels(seen.method[:10], seen.route, str(seen.status)).inc()
        self.seconds.labels(seen.route).observe(seen.seconds)

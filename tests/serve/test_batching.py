"""Requests answered together: how long they wait, how many may, who frees a place, and models that are replaced."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest

from pervade.serve.faults import Fault
from pervade.serve.served import Given
from pervade.serve.settings import Settings
from pervade.serve.shelf import Shelf
from tests.serve.served import Counting, server


def given(*texts: str) -> list[Given]:
    return [Given("", {"input": text}, number) for number, text in enumerate(texts, start=1)]


def alone(model: Counting, work: Any, **settings: Any) -> Any:
    """What `work` makes of the queue in front of the model."""

    async def run() -> Any:
        shelf = Shelf(Settings(**settings))
        shelf.put(model)
        with shelf.taken(model.about.name) as place:
            told = await work(place.batching)
        await shelf.close()
        return told

    return asyncio.run(run())


async def all_of(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    return await asyncio.gather(*work, return_exceptions=True)


def lengths(answers: list[dict[str, Any]]) -> list[int]:
    return [answer["length"] for answer in answers]


def test_requests_that_come_together_are_answered_together() -> None:
    model = Counting()
    told = alone(
        model,
        lambda batching: all_of(*(batching.answers(given("a" * n, "b" * n), 3) for n in range(1, 5))),
        max_wait=0.2,
        max_batch=5,
    )
    assert [lengths(one) for one in told] == [[n, n] for n in range(1, 5)]
    assert [len(batch) for batch in model.batches] == [5, 3]


def test_those_that_want_more_told_are_another_batch() -> None:
    model = Counting()

    async def work(batching: Any) -> list[Any]:
        return await all_of(*(batching.answers(given(text), top) for text, top in (("a", 1), ("b", 2), ("c", 1))))

    told = alone(model, work, max_wait=0.05)
    assert [one[0]["top"] for one in told] == [1, 2, 1]
    assert model.batches == [["a", "c"], ["b"]]


def test_nobody_waits_longer_than_is_allowed() -> None:
    began = time.monotonic()
    assert lengths(alone(Counting(), lambda batching: batching.answers(given("abc"), 3), max_wait=0.05)) == [3]
    assert 0.05 <= time.monotonic() - began < 5


def test_too_many_are_told_to_come_again() -> None:
    async def work(batching: Any) -> list[Any]:
        first = asyncio.ensure_future(batching.answers(given("a"), 3))
        await asyncio.sleep(0.05)  # it is being computed
        return await all_of(first, *(batching.answers(given("b", "c"), 3) for _ in range(3)))

    told = alone(Counting(seconds=0.2), work, max_queue=4, max_wait=0, max_batch=8)
    assert [isinstance(one, Fault) for one in told] == [False, False, False, True]
    assert told[3].status == 429 and int(told[3].headers["Retry-After"]) >= 1
    assert str(told[3]).startswith("4 inputs wait already, and 4 may; ask again in ")


def test_what_takes_too_long_is_given_up_and_frees_its_places() -> None:
    model = Counting(seconds=0.3)

    async def work(batching: Any) -> list[Any]:
        first = asyncio.ensure_future(batching.answers(given("a"), 3))
        await asyncio.sleep(0.05)
        told = await all_of(first, batching.answers(given("b", "c"), 3))
        assert not batching.waiting and batching.bytes == 0
        return told

    told = alone(model, work, deadline=0.15, max_wait=0)
    assert [one.status for one in told] == [503, 503]
    assert model.batches == [["a"]]  # what was given up is not computed


def test_an_input_that_breaks_the_model_takes_nobody_else_with_it() -> None:
    model = Counting()
    told = alone(
        model,
        lambda batching: all_of(*(batching.answers(given(*texts), 3) for texts in (["a"], ["raise", "b"], ["c"]))),
        max_wait=0.05,
    )
    assert lengths(told[0]) == lengths(told[2]) == [1]
    assert isinstance(told[1], ValueError)


def test_a_client_that_goes_away_frees_its_places() -> None:
    model = Counting(seconds=0.3)
    with server(model, max_wait=0.0) as (client, shelf), shelf.taken("lengths") as place:
        first = threading.Thread(target=client.post, args=("/v1/models/lengths/predict",), kwargs=asking("a"))
        first.start()
        time.sleep(0.1)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/models/lengths/predict", **asking("gone", "gone"), timeout=0.05)
        until = time.monotonic() + 2
        while place.batching.waiting and time.monotonic() < until:
            time.sleep(0.01)
        assert not place.batching.waiting
        first.join()
        assert client.post("/v1/models/lengths/predict", **asking("b")).status_code == 200
    assert model.batches == [["a"], ["b"]]


def asking(*texts: str) -> dict[str, Any]:
    return {"json": {"inputs": list(texts)}}


def test_models_are_replaced_without_a_lost_or_mixed_request() -> None:
    versions = [Counting(seconds=0.02, version=str(number)) for number in range(6)]
    told: list[Any] = []
    with server(versions[0], max_wait=0.001) as (client, shelf):

        def ask() -> None:
            for _ in range(12):
                told.append(client.post("/v1/models/lengths/predict", **asking("a", "bb", "ccc")))

        asking_now = [threading.Thread(target=ask) for _ in range(4)]
        for thread in asking_now:
            thread.start()
        for model in versions[1:]:
            time.sleep(0.05)
            shelf.put(model)
        for thread in asking_now:
            thread.join()
        assert [one.status_code for one in told] == [200] * 48
        for one in told:
            body = one.json()
            assert {answer["version"] for answer in body["answers"]} == {body["version"]}
        last = client.post("/v1/models/lengths/predict", **asking("a")).json()
        assert last["version"] == "5"
        until = time.monotonic() + 2
        while not all(model.closed for model in versions[:5]) and time.monotonic() < until:
            time.sleep(0.01)
        assert [model.closed for model in versions] == [True] * 5 + [False]
    assert versions[5].closed


def test_the_event_loop_goes_on_while_a_model_computes() -> None:
    with server(Counting(seconds=0.5)) as (client, _):
        working = threading.Thread(target=client.post, args=("/v1/models/lengths/predict",), kwargs=asking("a"))
        working.start()
        time.sleep(0.1)
        began = time.monotonic()
        assert client.get("/healthz").json() == {"status": "ok"}
        assert time.monotonic() - began < 0.25
        working.join()

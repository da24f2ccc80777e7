"""Requests that are too large, too slow or none at all, and connections that nobody uses, on a real server."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings, strategies

from tests.serve.listening import Answer, Listening, everything, listening
from tests.serve.toy import application, ask, refusal


@pytest.fixture(scope="module")
def free() -> Iterator[Listening]:
    with listening(application(), max_body=100_000, body_within=0.6, head_within=0.6, slowest=10**9) as server:
        yield server


@pytest.fixture(scope="module")
def hostile() -> Iterator[Listening]:
    with listening(application(), body_within=0.2, head_within=0.2) as server:
        yield server


def test_a_body_that_says_it_is_too_large_is_not_read(free: Listening) -> None:
    refusal(free.asks("POST", "/v1/bytes", b"", content_length=str(10**9)), 413, "100,000 bytes")
    refusal(free.asks("POST", "/v1/bytes", b"", content_length=str(10**18)), 413)
    refusal(free.asks("POST", "/v1/bytes", b"", content_length="9" * 30), 400)


@pytest.mark.parametrize("more", [b"", b"Connection: close\r\n"])
def test_a_body_of_a_gigabyte_that_is_sent_all_the_same(free: Listening, more: bytes) -> None:
    """The client gets to see the answer, and the server keeps nothing of what comes after it."""
    with free.connected() as client:
        client.sendall(b"POST /v1/bytes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n%b\r\n" % more)
        for _ in range(100):
            client.sendall(bytes(65536))
        assert client.recv(65536).startswith(b"HTTP/1.1 413 ")
    assert free.guard.held == 0


def test_a_body_in_pieces_is_counted(free: Listening) -> None:
    head = b"POST /v1/bytes HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    piece = b"%x\r\n%b\r\n" % (50_000, bytes(50_000))
    assert Answer.of(free.sends(head + 2 * piece + b"0\r\n\r\n")).body == b"100000"
    refusal(Answer.of(free.sends(head + 3 * piece + b"0\r\n\r\n")), 413)


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "ten", "1, 1"])
def test_a_length_that_is_none(free: Listening, length: str) -> None:
    refusal(free.asks("POST", "/v1/bytes", b"", content_length=length), 400)


def test_two_ways_of_saying_where_a_body_ends(free: Listening) -> None:
    """As in request smuggling: a proxy before the server would go by the other one."""
    refusal(free.asks("POST", "/v1/bytes", b"0\r\n\r\nX", content_length="6", transfer_encoding="chunked"), 400)


def test_a_body_that_comes_too_slowly(free: Listening) -> None:
    with free.connected() as client:
        client.sendall(
            b"POST /v1/bytes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\nConnection: close\r\n\r\n"
        )
        for _ in range(3):
            client.sendall(b"x")
            time.sleep(0.1)
        refusal(Answer.of(everything(client)), 408, "in time")


def test_a_head_that_comes_too_slowly(free: Listening) -> None:
    with free.connected() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        refusal(Answer.of(everything(client)), 408, "in time")
    with free.connected() as client:  # nothing at all was asked, so nothing is answered
        assert everything(client) == b""


def test_a_head_without_an_end(free: Listening) -> None:
    refusal(Answer.of(free.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000)), 431)
    refusal(Answer.of(free.sends(b"GET /" + b"x" * 200_000)), 431)


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\0" * 100]
)
def test_what_is_no_http(free: Listening, data: bytes) -> None:
    refusal(Answer.of(free.sends(data)), 400, "no HTTP request")


def test_all_bodies_together_are_bounded(free: Listening) -> None:
    free.guard.held += free.guard.settings.max_held
    try:
        refusal(free.asks("POST", "/v1/bytes", b"x"), 429)
        assert free.asks("POST", "/v1/bytes", b"x").headers["retry-after"] == "1"
    finally:
        free.guard.held -= free.guard.settings.max_held
    assert free.asks("POST", "/v1/bytes", b"x").body == b"1"


def test_an_answer_that_nobody_fetches_is_dropped(free: Listening) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", free.port))
        client.sendall(b"GET /v1/much HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until = time.monotonic() + 10
        while not free.server.server_state.tasks and time.monotonic() < until:
            time.sleep(0.01)
        while free.server.server_state.tasks and time.monotonic() < until:
            time.sleep(0.05)
    assert time.monotonic() < until


def test_idle_connections_keep_nobody_out() -> None:
    with listening(application(), max_connections=20) as server:
        idle = [server.connected() for _ in range(100)]
        try:
            for _ in range(5):
                assert ask(server).status == 200
            assert len(server.server.server_state.connections) <= 20
        finally:
            for client in idle:
                client.close()


@pytest.mark.slow  # opens 10,000 sockets, which many machines do not let a process do
def test_ten_thousand_idle_connections() -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (12_000, max(before[1], 12_000)))
    except (OSError, ValueError):
        pytest.skip("this process may not open as many files")
    idle: list[socket.socket] = []
    try:
        with listening(application()) as server:
            for number in range(10_000):
                idle.append(server.connected())
                if number % 1000 == 0:
                    idle[-1].sendall(b"GET / HTTP/1.1\r\nHost:")  # and half a head
                    assert ask(server).status == 200
            began = time.monotonic()
            assert [ask(server).status for _ in range(20)] == [200] * 20
            assert time.monotonic() - began < 2
            assert len(server.server.server_state.connections) <= 1000
    finally:
        for client in idle:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_where_all_connections_are_at_work_one_more_is_told_to_come_again() -> None:
    with listening(application(), max_connections=3) as server:
        clients = [server.connected() for _ in range(3)]
        try:
            for client in clients:
                client.sendall(b"GET /v1/slow HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            until = time.monotonic() + 5
            while len(server.server.server_state.tasks) < 3 and time.monotonic() < until:
                time.sleep(0.005)
            refusal(ask(server), 503, "ask again")
            assert [Answer.of(everything(client)).status for client in clients] == [200] * 3
        finally:
            for client in clients:
                client.close()


def test_requests_that_are_sent_before_the_answer_to_the_last(free: Listening) -> None:
    one = b"GET / HTTP/1.1\r\nHost: localhost\r\n%b\r\n"
    data = free.sends(one % b"" * 3 + one % b"Connection: close\r\n")
    assert data.count(b"HTTP/1.1 200 OK") == 4


PARTS = [
    b"GET / HTTP/1.1\r\n",
    b"POST /v1/bytes HTTP/1.1\r\n",
    b"Host: localhost\r\n",
    b"Content-Length: 5\r\n",
    b"\r\n",
]
PARTS += [b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n", b"Expect: 100-continue\r\n", b"hello"]
PARTS += [
    b"Upgrade: websocket\r\nConnection: Upgrade\r\n",
    b"Connection: close\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b" x\r\n",
]
PARTS += [
    b"GET http://[ HTTP/1.1\r\n",
    b"GET /\xff HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"X: \0\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(strategies.lists(strategies.sampled_from(PARTS) | strategies.binary(max_size=20), max_size=12))
def test_whatever_is_sent_the_server_goes_on(hostile: Listening, parts: list[bytes]) -> None:
    with hostile.connected() as client:
        client.sendall(b"".join(parts))
        client.shutdown(socket.SHUT_WR)
        data = everything(client)
    answers = re.findall(rb"HTTP/1.1 (\d)\d\d ", data)
    assert b"5" not in answers
    assert hostile.asks().status == 200

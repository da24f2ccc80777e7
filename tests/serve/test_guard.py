"""What every request passes before the application sees it, on a real connection."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pervade.core.errors import ConfigError
from pervade.serve import callers, connections, exposure
from pervade.serve.settings import Settings
from pervade.serve.tokens import Tokens
from tests.serve.listening import ADMIN, Answer, Listening, everything, listening
from tests.serve.toy import application, ask, refusal

TOKEN = "a-Token-of-these-tests"


@pytest.fixture(scope="module")
def free() -> Iterator[Listening]:
    with listening(application(), max_body=100_000, body_within=0.6, head_within=0.6, slowest=10**9) as server:
        yield server


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Listening]:
    """Asks everyone for a token."""
    (tmp_path / "tokens").write_text(f"# ours\n{TOKEN}\n\nanother-token-of-tests\n", encoding="utf-8")
    with listening(application(), Tokens(tmp_path / "tokens")) as server:
        yield server


# By what name, from which page


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9", "127.0.0.1:8000", "[::1]:8000", "localhost."])
def test_called_by_a_name_of_its_own(free: Listening, host: str) -> None:
    assert ask(free, host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.2", "10.0.0.1"]
)
def test_a_foreign_host_is_misdirected(free: Listening, host: str) -> None:
    refusal(ask(free, host=host), 421, "--allow-host")


@pytest.mark.parametrize("host", ["", "a b", "localhost/evil", "user@localhost", "localhost:80:80", "x" * 300])
def test_a_host_that_is_none(free: Listening, host: str) -> None:
    refusal(ask(free, host=host), 400, "Host")


def test_two_hosts_and_none(free: Listening) -> None:
    refusal(Answer.of(free.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n")), 400)
    refusal(Answer.of(free.sends(b"GET / HTTP/1.0\r\n\r\n")), 400)


def test_names_that_are_allowed_and_the_address_it_came_in_at() -> None:
    known = callers.names("0.0.0.0", ["Model.Example"])
    for host in ("model.example", "MODEL.example:443", "localhost:1", "10.1.2.3:80"):
        assert callers.require_called({"host": [host]}, known, "10.1.2.3") == host.lower()
    with pytest.raises(callers.Fault):
        callers.require_called({"host": ["10.1.2.4"]}, known, "10.1.2.3")


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "file://", "https://localhost", ""]
)
def test_a_page_of_another_origin_is_refused(free: Listening, origin: str) -> None:
    refusal(ask(free, origin=origin), 403, "another origin")
    refusal(free.asks("OPTIONS", "/v1/models/pets/predict", origin=origin), 403)


def test_its_own_page_may_ask(free: Listening) -> None:
    assert ask(free, origin=f"http://localhost:{free.port}").status == 200
    assert ask(free, host="localhost", origin="http://localhost:80").status == 200
    assert ask(free, host="[::1]:9", origin="http://[0::1]:9").status == 200


def test_a_page_by_http_does_not_ask_a_server_by_https() -> None:
    with pytest.raises(callers.Fault):
        callers.require_same_origin({"origin": ["http://name"]}, "POST", "name", "https")
    callers.require_same_origin({"origin": ["https://name"]}, "POST", "name", "https")
    callers.require_same_origin({"origin": ["https://name"]}, "POST", "name", "http")  # a proxy took the TLS off


def test_pictures_and_scripts_of_other_pages_are_refused_and_links_are_not(free: Listening) -> None:
    for site in ("cross-site", "same-site"):
        refusal(free.asks(sec_fetch_site=site, sec_fetch_mode="no-cors", sec_fetch_dest="image"), 403)
        refusal(free.asks(sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="iframe"), 403)
        refusal(free.asks("POST", sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document"), 403)
        assert free.asks(sec_fetch_site=site, sec_fetch_mode="navigate", sec_fetch_dest="document").status == 200
    assert free.asks(sec_fetch_site="same-origin", sec_fetch_mode="cors", sec_fetch_dest="empty").status == 200


# Tokens


def test_a_token_is_asked_for(kept: Listening) -> None:
    refusal(ask(kept), 401, "Authorization: Bearer")
    assert ask(kept).headers["www-authenticate"].startswith("Bearer")
    assert ask(kept, authorization=f"Bearer {TOKEN}").status == 200
    assert ask(kept, authorization=f"bEARER  {TOKEN}").status == 200
    assert ask(kept, authorization="Bearer another-token-of-tests").status == 200
    assert ask(kept, authorization=f"Bearer {ADMIN}").status == 200


@pytest.mark.parametrize(
    "wrong", [TOKEN.lower(), TOKEN.upper(), TOKEN[:-1], TOKEN + "x", "# ours", "\u00e9" * 20, "", f"{TOKEN}, {TOKEN}"]
)
def test_a_wrong_token_and_one_in_another_case(kept: Listening, wrong: str) -> None:
    refusal(ask(kept, authorization=f"Bearer {wrong}"), 401)


def test_other_ways_of_sending_a_token(kept: Listening) -> None:
    for header in (TOKEN, f"Basic {TOKEN}", f"Token {TOKEN}"):
        refusal(ask(kept, authorization=header), 401, "Bearer TOKEN")
    for name in ("token", "access_token", "api_key", "Token"):
        refusal(kept.asks("POST", f"/v1/bytes?{name}={TOKEN}", b""), 401, "in the address")
    refusal(kept.asks("POST", "/v1/bytes", b"", cookie=f"token={TOKEN}", x_api_key=TOKEN), 401)
    head = f"POST /v1/bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {TOKEN}\r\n"
    refusal(Answer.of(kept.sends(f"{head}Authorization: Bearer x\r\n\r\n".encode())), 401)


def test_the_page_and_the_probes_ask_for_none(kept: Listening) -> None:
    assert kept.asks().status == 200
    refusal(kept.asks(path="/healthz"), 404)  # past the guard: the toy has none
    refusal(kept.asks(path="/metrics"), 401)
    refusal(kept.asks("POST", "/"), 401)


def test_what_changes_the_server_takes_its_own_token(free: Listening, kept: Listening) -> None:
    for server in (free, kept):
        refusal(server.asks("POST", "/admin/reload"), 401, "admin token")
        assert server.asks("POST", "/admin/reload", authorization=f"Bearer {ADMIN}").status == 200
    refusal(kept.asks("POST", "/admin/reload", authorization=f"Bearer {TOKEN}"), 403, "admin token")
    refusal(free.asks("POST", f"/admin/reload?token={ADMIN}"), 401, "in the address")


def test_tokens_are_read_again_where_their_file_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tokens"
    file.write_text("the-first-of-two-tokens\n", encoding="utf-8")
    tokens = Tokens(file)
    assert tokens.hold("the-first-of-two-tokens")
    file.write_text("the-other-of-two-tokens\n", encoding="utf-8")  # as long, and in the same moment
    assert tokens.hold("the-other-of-two-tokens")
    assert not tokens.hold("the-first-of-two-tokens")
    file.write_text("short\n", encoding="utf-8")
    for _ in range(3):
        assert not tokens.hold("the-other-of-two-tokens")
    file.unlink()
    assert not tokens.hold("the-other-of-two-tokens")
    file.write_text("the-other-of-two-tokens\n", encoding="utf-8")
    assert tokens.hold("the-other-of-two-tokens")
    told = capsys.readouterr().err
    assert told.count("is no token") == 1
    assert "the-other" not in told and "short\n" not in told


@pytest.mark.parametrize(
    "content", ["", "# none\n", "too-short\n", "two words of a token here\n", "\xff" * 20, "a" * 2000]
)
def test_a_file_without_tokens_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(content, encoding="latin-1")
    with pytest.raises(ConfigError, match="token"):
        Tokens(file)


# What every answer is like


PATHS = [
    "/../etc/passwd",
    "/%2e%2e/etc/passwd",
    "/page/..%2f..%2fetc",
    "/page/%5c..%5cx",
    "/a/./b",
    "/a%00b",
    "/..",
    "/a\\..\\b",
]


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_upwards(free: Listening, path: str) -> None:
    refusal(free.asks(path=path), 400, "..")


def test_what_fastapi_refuses_is_one_sentence_too(free: Listening) -> None:
    refusal(free.asks(path="/nothing"), 404, "/docs")
    answer = free.asks("DELETE", "/v1/bytes")
    refusal(answer, 405, "POST")
    assert answer.headers["allow"] == "POST"
    predict, kind = "/v1/models/pets/predict", "application/json"
    refusal(free.asks("POST", predict, b'{"text": 3}', content_type=kind), 422, "text")
    refusal(free.asks("POST", predict, b"{", content_type=kind), 422, "no JSON")
    refusal(free.asks("POST", predict, b'{"text": "\xff"}', content_type=kind), 400)
    refusal(free.asks("POST", predict, b"[" * 90_000, content_type=kind), 400, "nested")
    refusal(free.asks("POST", predict, b'{"text": "a", "top": ' + b"9" * 5000 + b"}", content_type=kind), 400)
    refusal(free.asks("POST", predict, b"text=a", content_type="text/plain"), 415, "application/json")
    refusal(free.asks("POST", predict, b"{}"), 415)


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; boundary=" + "y" * 300]
)
@pytest.mark.parametrize(
    "body", [b"", b"--x", b"--x\r\nContent-Disposition: form-data\r\n\r\na\r\n--x--", b"\0" * 5000]
)
def test_malformed_multipart(free: Listening, kind: str, body: bytes) -> None:
    answer = free.asks("POST", "/v1/upload", body, content_type=kind)
    refusal(answer, answer.status)
    assert answer.status in (400, 422)


def test_shapes_of_other_protocols(free: Listening) -> None:
    chat = free.asks("POST", "/v1/chat/completions", b"{}", content_type="application/json")
    error = json.loads(chat.body)["error"]
    assert (chat.status, error["type"], error["param"]) == (400, "invalid_request_error", "text")
    infer = free.asks("POST", "/v2/models/pets/infer", b"{}", content_type="application/json")
    assert (infer.status, list(json.loads(infer.body))) == (400, ["error"])
    foreign = free.asks("POST", "/v2/models/pets/infer", b"{}", host="evil.example")
    assert (foreign.status, list(json.loads(foreign.body))) == (421, ["error"])
    too_large = free.asks("POST", "/v1/chat/completions", b"", content_length="999999999")
    assert json.loads(too_large.body)["error"]["type"] == "invalid_request_error"


def test_a_mistake_of_ours_tells_nothing_of_the_client_or_the_machine(
    free: Listening, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = free.asks(path="/v1/mistake")
    refusal(answer, 500, "X-Request-Id")
    told = capsys.readouterr().err
    assert "KeyError at" in told and answer.headers["x-request-id"] in told
    assert "secret" not in told and "secret" not in answer.body.decode()
    refusal(free.asks(path="/v1/full"), 507, "disk")
    assert ask(free).status == 200


def test_every_answer_bears_what_a_browser_is_to_keep_to(free: Listening) -> None:
    for answer in (
        free.asks(),
        free.asks(path="/nothing"),
        ask(free, host="evil.example"),
        free.asks(path="/v1/mistake"),
    ):
        headers = answer.headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert len(headers["x-request-id"]) == 16
        assert "set-cookie" not in headers and "server" not in headers
        assert not [name for name in headers if name.startswith("access-control")]


def test_the_log_holds_the_template_and_nothing_of_the_request(kept: Listening) -> None:
    secret = "/v1/models/a-secret-name/predict?q=secret"
    body = json.dumps({"text": "secret"}).encode()
    answer = kept.asks("POST", secret, body, content_type="application/json", authorization=f"Bearer {TOKEN}")
    kept.asks("POST", "/v1/models/secret/predict", body, user_agent="secret")
    first, second = kept.seen
    assert (first.route, first.status, first.received) == ("/v1/models/{run}/predict", 200, len(body))
    assert first.sent == len(answer.body) and first.id == answer.headers["x-request-id"]
    assert (second.route, second.status) == ("-", 401)
    assert "secret" not in repr(kept.seen) and TOKEN not in repr(kept.seen)


def test_a_client_that_goes_away_is_logged_as_gone(free: Listening) -> None:
    before = len(free.seen)
    with free.connected() as client:
        client.sendall(b"POST /v1/bytes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nabc")
    until = time.monotonic() + 5
    while len(free.seen) == before and time.monotonic() < until:
        time.sleep(0.01)
    assert free.seen[-1].status == 499
    assert free.guard.held == 0


# Where it may be reached from


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page by http may not ask a server by https, and nothing is said without TLS."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make = [
        openssl,
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "1",
    ]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make, *names, "-keyout", key, "-out", cert], check=True, capture_output=True)
    exposure.require_safe(Settings(tls_cert=cert, tls_key=key))
    monkeypatch.setattr(connections, "HANDSHAKE", 0.5)
    with listening(application(), tls_cert=cert, tls_key=key) as server:
        trusted = ssl.create_default_context(cafile=str(cert))
        with trusted.wrap_socket(server.connected(), server_hostname="localhost") as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert Answer.of(everything(client)).status == 200
        with trusted.wrap_socket(server.connected(), server_hostname="localhost") as client:
            client.sendall(
                b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\nConnection: close\r\n\r\n"
            )
            assert Answer.of(everything(client)).status == 403
        assert server.sends(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        began = time.monotonic()
        with server.connected() as client:  # no hand is shaken
            assert everything(client) == b""
        assert time.monotonic() - began < 5


def test_elsewhere_takes_tokens_and_tls(tmp_path: Path) -> None:
    exposure.require_safe(Settings())
    exposure.require_safe(Settings(host="::1"))
    for host in ("0.0.0.0", "::", "192.168.1.2", "model.example"):
        with pytest.raises(ConfigError, match="--token-file") as told:
            exposure.require_safe(Settings(host=host))
        assert "--tls-cert" in str(told.value)
    file = tmp_path / "tokens"
    with pytest.raises(ConfigError, match="--tls-cert and --tls-key, or --behind-tls"):
        exposure.require_safe(Settings(host="0.0.0.0", token_file=file))
    exposure.require_safe(Settings(host="0.0.0.0", token_file=file, behind_tls=True))
    with pytest.raises(ConfigError, match="go together"):
        exposure.require_safe(Settings(tls_cert=file))
    with pytest.raises(ConfigError, match="is no file"):
        exposure.require_safe(Settings(tls_cert=file, tls_key=file))
    file.write_text("no certificate", encoding="utf-8")
    with pytest.raises(ConfigError, match="PEM"):
        exposure.require_safe(Settings(tls_cert=file, tls_key=file))


def test_without_a_file_an_admin_token_is_made(tmp_path: Path) -> None:
    ordinary, admin, made = exposure.tokens(Settings())
    assert ordinary is None and made is not None and len(made) >= 40 and admin.hold(made)
    file = tmp_path / "tokens"
    file.write_text("an-admin-token-from-a-file\n", encoding="utf-8")
    ordinary, admin, made = exposure.tokens(Settings(token_file=file, admin_token_file=file))
    assert ordinary is not None and made is None and admin.hold("an-admin-token-from-a-file")

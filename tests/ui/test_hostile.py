"""Paths, tokens, origins and hosts of somebody who should not be here."""

from __future__ import annotations

import pytest

from tests.ui.conftest import Page

NAMES = [
    "../runs/pictures",
    "/etc",
    "pictures/../texts",
    "pictures/",
    ".",
    "",
    "seeds/members/pictures",
    "a\0b",
    "x" * 600,
]


@pytest.mark.parametrize("path", ["/api/run", "/api/log", "/report", "/card"])
def test_a_run_is_one_of_the_list_or_none(page: Page, path: str) -> None:
    for name in NAMES:
        assert "there is no run" in page.get(path, 404, run=name)["detail"]
    assert page.get(path, 422, run="x" * 601)["status"] == 422


@pytest.mark.parametrize("name", ["../data.json", "data.json", "recipe.yaml", "report-../x.html", "/etc/passwd"])
def test_of_a_run_only_its_pages_are_read(page: Page, name: str) -> None:
    assert "no page of this name" in page.get("/report", 404, run="pictures", name=name)["detail"]


def test_a_page_that_leads_out_of_its_run_is_not_read(own: Page) -> None:
    secret = own.runs / "secret.html"
    secret.write_text("of somebody else")
    for name in ("report.html", "report-august.html"):
        page = own.runs / "pictures" / name
        page.unlink(missing_ok=True)
        page.symlink_to(secret)
        assert "leads out of the run" in own.get("/report", 404, run="pictures", name=name)["detail"]
    predictions = own.runs / "pictures" / "predictions" / "best@test.parquet"
    kept = own.runs / "kept.parquet"
    predictions.rename(kept)
    predictions.symlink_to(kept)
    assert "leads out" in own.get("/api/predictions", 404, run="pictures", file="best@test")["detail"]


@pytest.mark.parametrize("name", ["../app.py", "app.py", "ask.py", "..%2fapp.py", "page.css.js", "main.js.map"])
def test_the_page_has_its_own_files_alone(page: Page, name: str) -> None:
    assert page.client.get(f"/page/{name}").status_code in (400, 404)


def test_starting_and_stopping_take_the_admin_token(page: Page) -> None:
    start = {"fields": {"data": "photos"}, "command": f"pervade train photos --runs {page.runs}"}
    for path, body in (("/api/start", start), ("/api/stop", {"run": "pictures"})):
        assert "admin token" in page.post(path, body, 401)["detail"]
        for wrong in (
            "Bearer wrong",
            f"bearer  {page.token[:-1]}",
            page.token,
            f"Basic {page.token}",
            f"Bearer {page.token}x",
        ):
            page.post(path, body, 401, Authorization=wrong)
        answer = page.client.post(f"{path}?token={page.token}", json=body)
        assert (answer.status_code, "addresses are written down" in answer.json()["detail"]) == (401, True)
        page.get(path, 401)
        page.client.cookies.set("token", page.token)
        page.post(path, body, 401)
        page.client.cookies.clear()
    assert page.get("/api/started") == []


def test_pages_of_elsewhere_reach_nothing(page: Page) -> None:
    for headers in ({"Origin": "https://elsewhere.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}):
        assert page.client.get("/api/runs", headers=headers).status_code == 403
        assert page.client.post("/api/stop", json={"run": "pictures"}, headers=headers | page.admin).status_code == 403
    assert page.client.get("/api/runs", headers={"Host": "elsewhere.example"}).status_code == 421
    assert page.client.get("/api/runs", headers={"Origin": "http://127.0.0.1:8765"}).status_code == 200


def test_bodies_that_are_none(page: Page) -> None:
    for body in (
        "{",
        "[]",
        '{"fields": 1, "command": ""}',
        '{"fields": {"data": ["x"]}, "command": "x"}',
        "[" * 100_000,
    ):
        answer = page.client.post("/api/start", content=body, headers=page.admin | {"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), body[:40]
        assert answer.headers["content-type"] == "application/problem+json"
    large = page.client.post("/api/command", content=b" " * (2 << 20), headers={"Content-Type": "application/json"})
    assert large.status_code == 413
    assert "name the run" in page.post("/api/stop", {}, 422, **page.admin)["detail"]
    assert "name the run" in page.post("/api/stop", {"run": "pictures", "number": 1}, 422, **page.admin)["detail"]


def test_answers_bear_what_a_browser_is_to_keep_to(page: Page) -> None:
    for path in ("/", "/page/main.js", "/api/runs"):
        answer = page.client.get(path)
        assert answer.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in answer.headers

"""Uploads and pages of the desk against somebody who means harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.desk.app import application
from flows.desk.desk import Desk
from storage.home import Home
from storage.uploads import safe_name

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>.mp4'
OWN = {"origin": "http://127.0.0.1"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    desk = Desk(Home(tmp_path / "home"), most_bytes=1000)
    with TestClient(application(desk), base_url="http://127.0.0.1", headers=OWN) as found:
        yield found
    desk.examiner.close()


NAMES = (
    *("../../etc/passwd", "..\\..\\boot.ini", "/etc/passwd", "....//x.mp4", "a\x00b.mp4", "\u202e4pm.exe", ".hidden"),
    *("con\r\nSet-Cookie: a=b", HOSTILE, "a" * 4000 + ".mp4", "", "..", "%2e%2e%2fx.mp4", "\udcff.mp4"),
)
ADDRESSES = (
    *("/static/../app.py", "/static/%2e%2e%2fapp.py", "/files/media/..%2f..%2fetc/passwd", "/clips/../../etc/passwd"),
    *("/files/reports/x/..%2f/report.json", "/static//etc/passwd"),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_never_a_path(name: str, client: TestClient, tmp_path: Path):
    kept = safe_name(name)
    assert kept
    assert "/" not in kept
    assert "\\" not in kept
    assert kept.isprintable()
    assert kept not in (".", "..")
    assert not kept.startswith(".")
    assert len(kept.encode()) <= 150
    sent = name.encode("utf-8", "replace").decode()
    answer = client.post("/api/clips", params={"name": sent}, content=b"video")
    assert answer.status_code == 200
    files = [path for path in (tmp_path / "home").rglob("*") if path.is_file() and path.read_bytes() == b"video"]
    assert [path.parent.parent for path in files] == [tmp_path / "home" / "desk" / "media"]
    assert "set-cookie" not in {header.lower() for header in answer.headers}


@pytest.mark.parametrize("name", [HOSTILE, "page.html", "picture.svg", "a.xhtml", "script.js", "feed.xml"])
def test_what_was_uploaded_is_never_a_page(name: str, client: TestClient):
    sha256 = client.post("/api/clips", params={"name": name}, content=b"<script>alert(1)</script>").json()["sha256"]
    page = client.get(f"/clips/{sha256}")
    assert "<script>alert(1)" not in page.text
    assert "<img src=x" not in page.text
    kept = client.post("/api/clips", params={"name": name}, content=b"<script>alert(1)</script>").json()["name"]
    answer = client.get(f"/files/media/{sha256}/{kept}")
    assert answer.status_code == 200
    kind = answer.headers["content-type"]
    assert kind == "application/octet-stream" or kind.startswith(("video/", "audio/"))
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_too_much_is_refused_while_it_arrives_and_leaves_nothing(client: TestClient, tmp_path: Path):
    def endless() -> Iterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    for content, headers in ((endless(), {}), (b"x" * 2000, {}), (b"x", {"content-length": "-5"})):
        answer = client.post("/api/clips", params={"name": "a.mp4"}, content=content, headers=headers)
        assert answer.status_code in (200, 400, 413, 422)
        if headers == {}:
            assert answer.status_code == 413
    media = tmp_path / "home" / "desk" / "media"
    assert [path for path in media.rglob("*") if path.is_file() and path.stat().st_size > 5] == []
    assert [path for path in (tmp_path / "home" / "desk" / ".staging").glob("*")] == []  # noqa: C416


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example", "origin": "http://evil.example"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "https://127.0.0.1"},
        {"origin": "http://127.0.0.1.evil.example"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": "http://localhost"},
        {"host": "127.0.0.1@evil.example", "origin": "http://127.0.0.1@evil.example"},
        {"host": "127.0.0.1 evil.example"},
        {"x-forwarded-host": "127.0.0.1", "host": "evil.example"},
    ],
)
def test_nobody_else_changes_anything(headers: dict[str, str], client: TestClient, tmp_path: Path):
    answer = client.post("/api/clips", params={"name": "a.mp4"}, content=b"video", headers=headers)
    assert answer.status_code in (403, 421)
    assert not (tmp_path / "home" / "desk" / "media").exists()


@pytest.mark.parametrize("path", ADDRESSES)
def test_no_address_leads_out_of_the_desk(path: str, client: TestClient):
    assert client.get(path).status_code == 404

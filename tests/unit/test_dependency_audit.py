"""The audit of pinned versions, against a database on loopback that answers as OSV does, and against none."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
SCRIPT = PROJECT / "tests" / "architecture" / "dependency_audit.py"


class Database(BaseHTTPRequestHandler):
    """Knows one problem, of torch."""

    asked: list[dict] = []  # noqa: RUF012

    def do_POST(self) -> None:
        assert self.path == "/v1/querybatch"
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        Database.asked = queries
        results = [{"vulns": [{"id": "GHSA-xxxx"}]} if q["package"]["name"] == "torch" else {} for q in queries]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        del arguments


@pytest.fixture
def address() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Database)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def audit(address: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {"IAMSB_OSV_ADDRESS": address, "PATH": ""}
    words = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_what_is_known_is_told_and_fails_only_where_that_is_asked_for(address: str):
    done = audit(address)
    assert done.returncode == 0
    assert "GHSA-xxxx" in done.stdout
    assert done.stdout.splitlines()[-1].endswith("pinned packages, 1 with known problems")
    pins = [line for line in (PROJECT / "constraints.txt").read_text().splitlines() if "==" in line]
    assert len(Database.asked) == len(pins), "every pinned version is asked about"
    assert audit(address, "--strict").returncode == 1


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "file:///etc/passwd"])
def test_without_a_database_there_is_one_line_and_no_failure(address: str):
    done = audit(address, "--strict")
    assert done.returncode == 0
    assert done.stderr == ""
    assert done.stdout.startswith("dependency audit skipped: no vulnerability database answers")
    assert done.stdout.count("\n") == 1


def test_lint_asks_and_audit_fails():
    text = (PROJECT / "Makefile").read_text()
    assert "dependency_audit.py" in text.split("\nlint:")[1].split("\n\n")[0]
    assert "dependency_audit.py --strict" in text.split("\naudit:")[1].split("\n\n")[0]

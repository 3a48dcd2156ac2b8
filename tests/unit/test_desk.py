"""The desk without a browser: who may ask, what differs between models, what a correction says, the order of work."""

from __future__ import annotations

import io
import json
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from flows.desk import examiner as examiner_module
from flows.desk.app import application
from flows.desk.desk import Desk
from flows.desk.differences import differences
from flows.desk.examiner import Examiner
from flows.desk.guard import refusal
from flows.desk.models import DeskModel
from flows.desk.review import correction_of, rows
from iamsb_core.report.exports import FORMATS, file_name
from storage.home import Home
from storage.uploads import Shelf, Upload
from tasks import progress

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "report.json").read_text(encoding="utf-8"))
MODEL = DeskModel("ab" * 8, "models:/iamsb/1", "iamsb 1")
OWN = {"host": "127.0.0.1:8787", "origin": "http://127.0.0.1:8787"}


def report(audio: list[tuple[float, float]], visual: list[tuple[float, float]] | None, seconds: float = 8.0) -> dict:
    lanes = {"audio": audio, "visual": visual}
    return {
        "media": GOLDEN["media"] | {"duration_seconds": seconds},
        "model": GOLDEN["model"],
        "segments": {
            lane: [{"start_seconds": a, "end_seconds": b, "score": 0.75} for a, b in found or ()]
            for lane, found in lanes.items()
        },
        "curves": {lane: None if found is None else [] for lane, found in lanes.items()},
    }


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {"host": "127.0.0.1:8787"}, None),
        ("GET", {"host": "localhost"}, None),
        ("GET", {"host": "[::1]:9000"}, None),
        ("GET", {"host": "evil.example:8787"}, 421),
        ("GET", {"host": "127.0.0.1.evil.example"}, 421),
        ("GET", {}, 421),
        ("POST", OWN, None),
        ("POST", {"host": "127.0.0.1:8787"}, 403),
        ("POST", {**OWN, "origin": "http://evil.example"}, 403),
        ("POST", {**OWN, "origin": "http://127.0.0.1:9999"}, 403),
        ("POST", {**OWN, "origin": "null"}, 403),
        ("DELETE", {"host": "127.0.0.1:8787"}, 403),
    ],
)
def test_only_its_own_pages_are_answered(method, headers, status):
    refused = refusal(method, Headers(headers))
    assert (None if refused is None else refused.status_code) == status


def test_differences_by_hand():
    first = report([(1.0, 2.0), (3.0, 4.0), (6.0, 7.0)], [(1.0, 2.0)])
    second = report([(1.05, 2.05), (3.0, 4.5), (0.0, 0.5)], [(1.0, 2.0)])
    found = differences(first, second)
    assert [(each.stream, each.kind) for each in found] == [
        ("audio", "only second"),  # 0.0 to 0.5
        ("audio", "moved"),  # 3 to 4 became 3 to 4.5: IoU 2/3, one end 0.5 s off; 1 to 2 moved by 0.05 s alone
        ("audio", "only first"),  # 6 to 7
    ]
    assert [each.start_seconds for each in found] == [0.0, 3.0, 6.0]
    assert differences(first, first) == ()
    only_sound = differences(first, report([], None))
    assert [each.stream for each in only_sound] == ["audio"] * 3, "a picture that was not examined says nothing"


def sent(**changes: Any) -> dict[str, Any]:
    said = [
        {"stream": "audio", "decision": "confirmed", "found": [1.0, 2.0], "truth": [1.0, 2.0]},
        {"stream": "audio", "decision": "wrong", "found": [3.0, 4.0], "truth": None},
        {"stream": "visual", "decision": "added", "found": None, "truth": [5.0, 5.5]},
    ]
    return {"model": "ab", "by": " Ada ", "complete": True, "judgements": said, "note": "", **changes}


DOCUMENT = report([(1.0, 2.0), (3.0, 4.0)], [])


def test_what_was_said_is_shown_again():
    kept = correction_of(sent(), DOCUMENT)
    assert (kept.by, kept.model, kept.name) == ("Ada", GOLDEN["model"]["uri"], GOLDEN["media"]["name"])
    same = [(row.found, row.decision, row.truth) for row in rows(DOCUMENT, kept)]
    assert same == [
        ((1.0, 2.0), "confirmed", (1.0, 2.0)),
        ((3.0, 4.0), "wrong", None),
        (None, "added", (5.0, 5.5)),
    ]


def test_what_was_said_of_one_model_is_carried_to_another():
    kept = correction_of(sent(), DOCUMENT)
    other = report([(1.5, 2.5), (3.0, 4.0)], [(5.0, 5.5)])
    assert [(row.stream, row.found, row.decision, row.truth) for row in rows(other, kept)] == [
        ("audio", (1.5, 2.5), None, None),  # another segment: to be decided
        ("audio", (3.0, 4.0), "wrong", None),
        ("visual", (5.0, 5.5), "confirmed", (5.0, 5.5)),  # what was missed before
        ("audio", None, "added", (1.0, 2.0)),  # true, and this model misses it
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judgements": sent()["judgements"][1:]}, "1 segments are not decided"),
        ({"judgements": [{**sent()["judgements"][0], "found": [1.0, 2.5], "truth": [1.0, 2.5]}]}, "another report"),
        ({"judgements": sent()["judgements"][:1] * 2}, "another report"),
        ({"judgements": [{"stream": "audio", "decision": "perhaps"}]}, "decision"),
        ({"by": "  "}, "name is empty"),
        ({"colour": "red"}, "colour"),
        ({"complete": None}, "complete"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        correction_of(sent(**changes), DOCUMENT)


def test_a_draft_may_leave_segments_open():
    assert correction_of(sent(complete=False, judgements=[]), DOCUMENT).judgements == ()
    with pytest.raises(ValueError, match="no visual"):
        correction_of(sent(), report([(1.0, 2.0), (3.0, 4.0)], None))


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    with Shelf(tmp_path / "home" / "desk").receiving("<b>&\u00e4.mp4", most_bytes=100) as incoming:
        incoming.write(b"film")
        return incoming.keep()


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.005)


def test_the_steps_of_an_examination_are_told(tmp_path, upload, monkeypatch):
    go = {name: threading.Event() for name in progress.STEPS}

    def slow(videos: list[Path], *_: object) -> None:
        for name in progress.STEPS:
            progress.step(videos[0], name)
            progress.step(Path("another.mp4"), "decode")
            assert go[name].wait(30)

    monkeypatch.setattr(examiner_module, "localize", slow)
    examiner = Examiner(tmp_path / "reports", "cpu")
    examiner.submit(upload, MODEL)
    assert examiner.submit(upload, MODEL).state in {"waiting", "running"}, "not twice"
    for number, name in enumerate(progress.STEPS):
        wait_for(lambda name=name: examiner.of(upload.sha256)[0].step == name)
        assert examiner.of(upload.sha256)[0].num_steps_done == number
        go[name].set()
    wait_for(lambda: examiner.of(upload.sha256)[0].state == "done")
    assert examiner.of(upload.sha256)[0].num_steps_done == 4
    examiner.close()
    assert examiner.of("other") == ()


def test_a_failure_is_said_and_the_next_one_goes_on(tmp_path, upload, monkeypatch):
    def broken(videos: list[Path], uri: str, *_: object) -> None:
        if uri == MODEL.uri:
            raise RuntimeError(f"none of 1 videos could be examined; {videos[0]} is not a video")

    monkeypatch.setattr(examiner_module, "localize", broken)
    examiner = Examiner(tmp_path / "reports", "cpu")
    other = DeskModel("cd" * 8, "models:/iamsb/2", "iamsb 2")
    examiner.submit(upload, MODEL)
    examiner.submit(upload, other)
    wait_for(lambda: [each.state for each in examiner.of(upload.sha256)] == ["failed", "done"])
    assert examiner.of(upload.sha256)[0].error == "<b>&\u00e4.mp4 is not a video"
    examiner.close()


@pytest.fixture
def client(tmp_path: Path, untrained_model: Path) -> Iterator[TestClient]:
    desk = Desk(Home(tmp_path / "home"), models=[str(untrained_model)], most_bytes=100, analyst="Ada")
    with TestClient(application(desk), base_url="http://127.0.0.1:8787", headers=OWN) as client:
        yield client
    desk.examiner.close()


def with_report(home: Path, upload: Upload, key: str) -> None:
    folder = home / "desk" / "reports" / upload.sha256 / key
    folder.mkdir(parents=True)
    media = GOLDEN["media"] | {"sha256": upload.sha256, "name": upload.name}
    (folder / "report.json").write_text(json.dumps(GOLDEN | {"media": media}))
    (folder / "report.html").write_text("<!DOCTYPE html><p>the report")


def test_an_upload_by_its_rules(client: TestClient, tmp_path: Path):
    kept = client.post("/api/clips?name=..%2F%3Cimg%20src=x%3E.mp4", content=b"film")
    assert kept.status_code == 200
    sha256 = kept.json()["sha256"]
    assert kept.json()["name"] == "<img src=x>.mp4"
    assert client.post("/api/clips?name=a.mp4", content=b"x" * 101).status_code == 413
    assert client.post("/api/clips?name=a.mp4", content=iter([b"x" * 60, b"x" * 60])).status_code == 413
    assert client.post("/api/clips?name=a.mp4", content=b"").status_code == 422
    assert [each.name for each in (tmp_path / "home" / "desk" / "media").iterdir()] == [sha256]
    page = client.get("/").text
    assert "&lt;img src=x&gt;.mp4" in page
    assert "<img src=x" not in page
    assert "<img src=x" not in client.get(f"/clips/{sha256}").text
    media = client.get(f"/files/media/{sha256}/%3Cimg%20src=x%3E.mp4", headers={"range": "bytes=1-2"})
    assert (media.status_code, media.content) == (206, b"il")
    assert client.post(f"/api/clips/{sha256}/examinations", json={"models": ["none"]}).status_code == 422


def test_what_is_not_there_is_not_found(client: TestClient, upload: Upload):
    for address in (
        "/clips/none",
        f"/clips/{'0' * 64}",
        f"/files/media/{upload.sha256}/other.mp4",
        f"/files/reports/{upload.sha256}/none/report.json",
        f"/files/reports/{upload.sha256}/..%2f..%2fmedia/report.json",
        f"/files/corrections/{'0' * 64}.json",
        "/static/..%2fapp.py",
        "/static/app.py",
    ):
        assert client.get(address).status_code == 404, address
    assert client.get("/", headers={"host": "evil.example"}).status_code == 421
    assert client.post("/api/clips", content=b"film", headers={"origin": "http://evil.example"}).status_code == 403


def test_pages_forbid_what_they_do_not_need(client: TestClient, upload: Upload, tmp_path: Path):
    with_report(tmp_path / "home", upload, MODEL.key)
    for address in ("/", f"/clips/{upload.sha256}"):
        answer = client.get(address)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "style=" not in answer.text
        assert "<script>" not in answer.text
        assert "http://" not in answer.text.replace("http://127.0.0.1:8787", "")
        assert "https://" not in answer.text


def test_a_correction_is_kept_and_everything_goes_out(client: TestClient, upload: Upload, tmp_path: Path):
    with_report(tmp_path / "home", upload, MODEL.key)
    address = f"/api/clips/{upload.sha256}/corrections"
    judgements = [
        {"stream": stream, "decision": "wrong", "found": [each["start_seconds"], each["end_seconds"]], "truth": None}
        for stream in ("audio", "visual")
        for each in GOLDEN["segments"][stream]
    ]
    body = {"model": MODEL.key, "by": "Ada", "complete": True, "judgements": judgements, "note": "</script>"}
    assert client.post(address, json={**body, "judgements": []}).status_code == 422
    assert client.post(address, json={**body, "model": "none"}).status_code == 422
    assert client.post(address, content=b"[").status_code == 422
    kept = client.post(address, json=body)
    assert (kept.status_code, kept.json()["split"]) == (200, "train")
    page = client.get(f"/clips/{upload.sha256}").text
    assert "complete, in the dataset&#39;s train split" in page
    assert "</script></q>" not in page
    files = f"/files/reports/{upload.sha256}/{MODEL.key}"
    for each in FORMATS.values():
        answer = client.get(f"{files}/{file_name(each)}")
        assert answer.status_code == 200
        assert "attachment" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(client.get(f"{files}/all.zip").content))
    assert {"report.json", "report.html", "corrections.json", "manifest.jsonl"} < set(archive.namelist())
    assert {file_name(each) for each in FORMATS.values()} < set(archive.namelist())
    assert json.loads(archive.read("corrections.json"))[0]["by"] == "Ada"

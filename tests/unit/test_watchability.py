"""Rates a reader can redo by hand, and log lines that say which run, shard and clip they are about."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from flows.environment import LOGGING_FILE, prepare, service_environment
from flows.terminal import Terminal
from storage.home import Home
from tasks import progress
from tasks.links import MLFLOW_PAGE_VARIABLE
from tasks.logs import FORMAT_VARIABLE, JsonLines, ids_now, log_ids, wants_json
from tasks.ordered import in_order
from tasks.throughput import Throughput

HALF_WAY = Throughput(
    num_done=60,
    num_total=100,
    num_cached=20,
    num_quarantined=3,
    media_seconds=400.0,
    elapsed_seconds=20.0,
    gpu_percent=83.0,
)


def test_rates_by_hand():
    assert HALF_WAY.clips_per_second == (60 - 20) / 20
    assert HALF_WAY.hours_per_hour == 400 / 20
    assert HALF_WAY.share_done == 0.6
    assert HALF_WAY.share_cached == 20 / 60
    assert HALF_WAY.share_quarantined == 3 / 60
    assert HALF_WAY.seconds_left == 40 / 2
    assert str(HALF_WAY) == "2.00 clips/s, 20.00 h/h, 33 % cached, 5.0 % quarantined, GPU 83 %, 0:20 left"
    assert HALF_WAY.metrics()["gpu_percent"] == 83.0


def test_nothing_done_is_no_division_by_nothing():
    nothing = Throughput(num_done=0, num_total=0)
    assert (nothing.clips_per_second, nothing.share_cached, nothing.share_done) == (0.0, 0.0, 1.0)
    assert nothing.seconds_left is None
    assert "gpu_percent" not in nothing.metrics()


def test_a_metered_stage_tells_its_throughput():
    heard: list[progress.Progress] = []
    with progress.listening(heard.append):
        tally = progress.begin("metered", 4, metered=True)
        progress.advance("metered", 2, cached=2)
        progress.advance("metered", quarantined=1, media_seconds=8.0)
        progress.advance("metered", 5, media_seconds=2.0)
    now = tally.throughput()
    assert (now.num_done, now.num_cached, now.num_quarantined, now.media_seconds) == (4, 2, 1, 10.0)
    assert now.elapsed_seconds > 0
    assert [step.done for step in heard] == [0, 2, 3, 4]
    assert heard[2].text.endswith("left")
    assert "67 % cached, 33.3 % quarantined" in heard[2].text


def line_of(logger: logging.Logger, message: str) -> dict[str, object]:
    record = logger.makeRecord(logger.name, logging.WARNING, __file__, 1, message, (), None)
    return json.loads(JsonLines().format(record))


def test_a_line_says_what_it_is_about():
    log = logging.getLogger("tasks.somewhere")
    with log_ids(shard="abc"), log_ids(clip="one.mp4"):
        line = line_of(log, "left out")
        assert (line["shard"], line["clip"]) == ("abc", "one.mp4")
        assert (line["level"], line["logger"], line["message"]) == ("WARNING", "tasks.somewhere", "left out")
        assert str(line["time"]).endswith("+00:00")
    assert "clip" not in line_of(log, "over")
    assert ids_now() == {}


def test_an_error_is_in_the_line_with_its_traceback():
    log = logging.getLogger("tasks.somewhere")
    try:
        raise OSError('disk "full"')
    except OSError:
        record = log.makeRecord(log.name, logging.ERROR, __file__, 1, "lost\n%s", ("two lines",), sys.exc_info())
    text = JsonLines().format(record)
    assert "\n" not in text
    line = json.loads(text)
    assert line["message"] == "lost\ntwo lines"
    assert line["error"] == "OSError"
    assert "raise OSError('disk \"full\"')" in line["traceback"]


def test_lines_of_a_stages_threads_are_told_of_the_same_shard():
    with log_ids(shard="abc"):
        found = list(in_order(lambda _: ids_now(), range(3), num_threads=2, num_ahead=1, name="stage"))
        alone: list[dict[str, str]] = []
        thread = threading.Thread(target=contextvars.copy_context().run, args=(lambda: alone.append(ids_now()),))
        thread.start()
        thread.join()
    assert [*found, *alone] == [{"shard": "abc"}] * 4


def test_the_terminal_logs_json_where_it_is_asked_to(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(FORMAT_VARIABLE, "json")

    def work(_: Terminal) -> dict[str, object]:
        with log_ids(clip="one.mp4"):
            logging.getLogger("tasks.somewhere").info("seen")
        progress.report("stage", 1, 1, "done")
        return {"done": True}

    assert Terminal(json_wanted=True, debug=False).run(work) == 0
    out, err = capfd.readouterr()
    assert json.loads(out) == {"done": True}
    lines = [json.loads(line) for line in err.splitlines()]
    assert [line["message"] for line in lines] == ["seen", "stage 1 of 1, done"]
    assert lines[0]["clip"] == "one.mp4"


def test_a_format_that_there_is_not_is_told():
    with pytest.raises(ValueError, match="IAMSB_LOG_FORMAT is 'xml'; there are text and json"):
        wants_json({FORMAT_VARIABLE: "xml"})
    assert not wants_json({})
    assert not wants_json({FORMAT_VARIABLE: ""})


def test_what_services_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ[FORMAT_VARIABLE] = "json"
    os.environ.pop("PREFECT_API_URL", None)
    (tmp_path / "services.json").write_text('{"mlflow": {"url": "http://127.0.0.1:5000", "identity": "1:0"}}')
    prepare(Home(tmp_path), for_flows=False)
    told = service_environment(os.environ)
    assert told["PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"] == "json"
    assert told["PREFECT_LOGGING_SETTINGS_PATH"] == str(LOGGING_FILE)
    assert told["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert told["PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE"].endswith("filesystem")
    assert told[MLFLOW_PAGE_VARIABLE] == "http://127.0.0.1:5000"
    assert "IAMSB_OWNER" not in told


def test_our_logging_has_all_that_prefects_has():
    """Prefect's own file is the measure: what it adds in a later version must not be missed."""
    from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH  # noqa: PLC0415

    theirs, ours = (yaml.safe_load(path.read_text()) for path in (DEFAULT_LOGGING_SETTINGS_PATH, LOGGING_FILE))
    assert set(theirs["handlers"]) == set(ours["handlers"])
    assert set(theirs["loggers"]) == set(ours["loggers"]) - {"iamsb_core", "storage", "tasks", "flows"}
    assert theirs["root"] == ours["root"]
    for kind in ("handlers", "loggers"):
        assert {name: one for name, one in ours[kind].items() if name in theirs[kind]} == theirs[kind]


RUNNING = """
import os
os.environ["PREFECT_LOGGING_SETTINGS_PATH"] = {path!r}
os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_FORMATTER"] = "json"
import prefect.main, logging
logging.getLogger("storage.x").info("ours")
logging.getLogger("httpx").info("others")
"""


def test_prefect_sets_up_our_logging(tmp_path: Path):
    """As in the process of a deployed run, where nothing of ours runs before Prefect does."""
    code = RUNNING.format(path=str(LOGGING_FILE))
    # A command that an earlier test carried out in this process leaves what commands set, such as the console's level.
    known = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_LOGGING_")}
    surroundings = {**known, "PREFECT_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=surroundings, capture_output=True, text=True, check=True)
    (line,) = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert (line["logger"], line["message"]) == ("storage.x", "ours")

"""The frame of the command line: commands and options, one JSON document, exit codes, messages."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from flows.cli import app, main
from flows.terminal import DONE, FAILED, WRONG_USAGE, Terminal, UsageError
from tasks import progress

COMMANDS = {
    "demo": {"--media", "--quick", "--seed"},
    "forge": {"--quick", "--seed", "--clips", "--config", "--difficulty", "--identities", "--layout", "--licence"}
    | {"--people", "--placement", "--preset"},
    "dataset check": {"--probe", "--out", "--workers", "--dask-address"},
    "extract": {"--encoders", "--device", "--shard-size", "--workers", "--dask-address", "--max-bad-share"}
    | {"--perturb", "--store-as"},
    "train": {"--system", "--epochs", "--seed", "--encoders", "--device", "--config", "--size", "--schedule"}
    | {"--processes", "--machines", "--rendezvous"},
    "tune": {"--encoders", "--blocks", "--epochs", "--head-epochs", "--head-width", "--rate", "--head-rate", "--seed"}
    | {"--train-clips", "--dev-clips", "--device"},
    "evaluate": {"--model", "--split", "--protocol", "--device", "--perturb"},
    "robustness": {"--model", "--split", "--protocol", "--kinds", "--levels", "--seed", "--out", "--device"},
    "compare": {"--also", "--systems", "--seeds", "--size", "--epochs", "--split", "--protocol", "--encoders"}
    | {"--device", "--out"},
    "experiment": {
        "--list",
        "--only",
        "--systems",
        "--seeds",
        "--size",
        "--epochs",
        "--train-clips",
        "--split",
        "--protocol",
    }
    | {"--encoders", "--tuning", "--device", "--kinds", "--levels", "--out"},
    "reproduce": {"--sweeps", "--retrain", "--witnesses", "--coarse-steps", "--step-budgets", "--seeds", "--size"}
    | {"--epochs", "--split", "--protocol", "--encoders", "--device", "--out"},
    "predict": {"--model", "--split", "--device"},
    "submission write": {"--predictions", "--model", "--files", "--out", "--proposals", "--device"},
    "submission check": {"--files", "--show"},
    "score": {"--protocol", "--split", "--clip-scores", "--against", "--bootstrap", "--seed", "--slices", "--slice-by"}
    | {"--cells", "--threshold", "--threshold-from", "--also-labels", "--also-predictions"}
    | {"--missing", "--unsorted", "--not-finite", "--inverted", "--file-hz"},
    "localize": {"--model", "--out", "--device", "--recursive", "--again", "--export", "--fail-on-forged"}
    | {"--false-alarms-per-hour", "--embed-video"},
    "watch": {"--model", "--delay-seconds", "--as-offline", "--idle-seconds", "--device"},
    "desk": {"--port", "--model", "--analyst", "--max-upload-gib", "--open", "--device"},
    "export": {"--format", "--out"},
    "features export": {"--encoders"},
    "features verify": set(),
    "features repair": set(),
    "up": {"--port", "--mlflow-port"},
    "down": set(),
    "register": {"--runs-as"},
    "rollback": set(),
    "gc": {"--apply", "--kind", "--days"},
    "backup": {"--features"},
    "restore": set(),
    "store migrate": set(),
    "doctor": set(),
}
"""A new option is a decision: it belongs here and in the README."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("IAMSB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home" / "prefect"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path / "home"


def options_by_command() -> dict[str, set[str]]:
    group = typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        for prefix, one in getattr(command, "commands", {"": command}).items():
            names = {option for parameter in one.params for option in parameter.opts if option.startswith("--")}
            found[f"{name} {prefix}".strip()] = names
    return found


def test_commands_and_options_are_the_known_ones():
    known = {name: options | {"--json", "--debug"} for name, options in COMMANDS.items()}
    assert options_by_command() == known


@pytest.mark.parametrize(
    "arguments",
    [["nosuch"], ["extract"], ["train", "lavdf", "x", "--nosuch"], ["train", "lavdf", "x", "--epochs", "0"]],
)
def test_wrong_usage_is_2_and_says_so_on_stderr(arguments: list[str], capfd: pytest.CaptureFixture[str]):
    assert main(arguments) == WRONG_USAGE
    out, err = capfd.readouterr()
    assert out == ""
    assert "Error" in err
    assert "Traceback" not in err


def test_help_is_quick_and_names_every_command():
    done = subprocess.run([sys.executable, "-m", "flows.cli", "--help"], capture_output=True, text=True, check=True)
    assert all(name.split()[0] in done.stdout for name in COMMANDS)
    light = "import sys, flows.cli; print({'torch', 'prefect', 'mlflow'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", light], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def noisy(_terminal: Terminal) -> dict[str, object]:
    print("a library prints")  # noqa: T201
    subprocess.run([sys.executable, "-c", "print('a child prints')"], check=True)
    logging.getLogger("iamsb_core.somewhere").info("we log")
    logging.getLogger("elsewhere").info("others chat")
    return {"path": Path("here"), "numbers": (1, 2.5)}


def test_json_is_the_only_thing_on_stdout(capfd: pytest.CaptureFixture[str]):
    assert Terminal(json_wanted=True, debug=False).run(noisy) == DONE
    out, err = capfd.readouterr()
    assert json.loads(out) == {"path": "here", "numbers": [1, 2.5]}
    assert "a child prints" in err
    assert "we log" in err
    assert "others chat" not in err
    print("stdout is back")  # noqa: T201
    assert capfd.readouterr().out == "stdout is back\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("no folder x; give one that exists"), FAILED, "iamsb: no folder x; give one that exists\n"),
        (UsageError("--quick and --config exclude each other"), WRONG_USAGE, "--quick and --config"),
        (KeyError("clip 7"), FAILED, "iamsb: KeyError: 'clip 7'"),
        (KeyboardInterrupt(), 130, "run the same command again"),
    ],
)
def test_a_failure_is_one_message(error: BaseException, code: int, message: str, capfd: pytest.CaptureFixture[str]):
    def failing(_terminal: Terminal) -> dict[str, object]:
        raise error

    assert Terminal(json_wanted=True, debug=False).run(failing) == code
    out, err = capfd.readouterr()
    assert message in err
    assert "Traceback" not in err
    document = json.loads(out)
    assert document["failed"] is True
    assert document["error"] in err


def test_debug_shows_the_traceback(capfd: pytest.CaptureFixture[str]):
    def failing(_terminal: Terminal) -> dict[str, object]:
        raise ValueError("why")

    assert Terminal(json_wanted=False, debug=True).run(failing) == FAILED
    assert "Traceback" in capfd.readouterr().err


def test_a_document_that_says_failed_is_exit_code_1():
    assert Terminal(json_wanted=True, debug=False).run(lambda _: {"failed": True}) == FAILED


def test_stages_are_told_once_at_their_end(capfd: pytest.CaptureFixture[str]):
    def counting(terminal: Terminal) -> dict[str, object]:
        progress.begin("count", 50)
        for _ in range(50):
            progress.advance("count")
        progress.advance("never begun")
        terminal.say("done")
        return {}

    assert Terminal(json_wanted=False, debug=False).run(counting) == DONE
    out, err = capfd.readouterr()
    assert out == "done\n"
    assert err.count("count 50 of 50") == 1
    assert len(err.splitlines()) == 1


def test_doctor_reports_and_mends(capfd: pytest.CaptureFixture[str]):
    assert main(["doctor", "--json"]) == DONE
    document = json.loads(capfd.readouterr().out)
    findings = {finding["name"]: finding for finding in document["findings"]}
    assert document["mode"] == "in process"
    assert {"python", "torch", "decord", "cpu", "handcrafted", "microsoft/wavlm-large", "IAMSB_HOME"} <= set(findings)
    assert findings["decord"]["state"] == "ok"
    assert findings["IAMSB_HOME"]["detail"].startswith(os.environ["IAMSB_HOME"])
    assert all(finding["mend"] for finding in document["findings"] if finding["state"] != "ok")

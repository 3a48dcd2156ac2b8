"""`iamsb predict`, and `iamsb submission write` and `check`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.commands.asked import split_of
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.metrics.prediction_files import read_predictions
from iamsb_core.metrics.submission_check import SubmissionCheck, check_submission
from iamsb_core.metrics.submission_formats import Listing, submission_format
from iamsb_core.metrics.submission_scan import Fault
from iamsb_core.metrics.submission_writing import write_submission

_PLURAL = {True: "", False: "s"}


def predict(
    terminal: Terminal, *, orchestrator: Orchestrator, name: str, root: Path, model: str, split: str, device: str
) -> dict[str, Any]:
    """Run the prediction flow."""
    wanted = split_of(split)
    serve(orchestrator)
    from flows.predict import predict as flow  # noqa: PLC0415 - imports Prefect, which reads the server's address

    done = flow(root, name, model, split=wanted, device=device)
    terminal.say(f"{done.predictions.num_videos} clips of {name} {split} predicted, {len(done.unusable)} unusable")
    terminal.say(f"predictions: {done.predictions.path}")
    return {**plain(done), "predictions": done.predictions.path, "model": done.model.uri}


def write(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    form: str,
    name: str | None,
    root: Path | None,
    predictions: Path | None,
    model: str | None,
    files: Path | None,
    out: Path,
    proposals: int,
    device: str,
) -> dict[str, Any]:
    """Write a challenge's two files from predictions that are there, or that a model makes now; then check them."""
    chosen = submission_format(form)
    if (predictions is None) == (model is None):
        raise UsageError("give either --predictions FILE or --model URI")
    if model is not None and (name is None or root is None):
        raise UsageError("with --model, give the dataset to predict: NAME and ROOT")
    listed = root if files is None else files
    listing = None if listed is None else Listing.read(listed)
    source = predictions
    if model is not None:
        made = predict(
            terminal, orchestrator=orchestrator, name=name or "", root=root or Path(), model=model, split="test",
            device=device,
        )  # fmt: skip
        source = Path(made["predictions"])
    assert source is not None
    found = read_predictions(source)
    done = write_submission(chosen, found.clips, listing, out, max_proposals=proposals)
    for warning in (*found.warnings, *done.warnings, *_about(found.contents.clip_scores, found.contents.segments)):
        terminal.say(f"note: {warning}")
    checks = [check_submission(chosen, path, listing) for path in (done.text_path, done.json_path)]
    _show(terminal, checks, most=20)
    return {**plain(done), **_document(checks)}


def check(
    terminal: Terminal, *, orchestrator: Orchestrator, form: str, paths: Sequence[Path], files: Path | None, show: int
) -> dict[str, Any]:
    """Check files of a submission, whoever made them; failed where one has a fault."""
    del orchestrator
    chosen = submission_format(form)
    listing = None if files is None else Listing.read(files)
    checks = [check_submission(chosen, path, listing) for path in paths]
    _show(terminal, checks, most=show)
    return _document(checks)


def _about(has_clip_scores: bool, has_segments: bool) -> list[str]:
    told = []
    if not has_clip_scores:
        told.append("the predictions hold no clip scores; each clip's best proposal was written as its score")
    if not has_segments:
        told.append("the predictions hold no segments; prediction.json has placeholders only")
    return told


def _document(checks: Sequence[SubmissionCheck]) -> dict[str, Any]:
    found = [{**plain(one), "passed": one.passed, "fault_counts": one.fault_counts} for one in checks]
    return {"failed": not all(one.passed for one in checks), "checks": found}


def _show(terminal: Terminal, checks: Sequence[SubmissionCheck], *, most: int) -> None:
    rows = [
        (str(one.path), one.task, str(one.num_clips), str(one.num_proposals), f"{one.num_bytes / 1e6:.1f}",
         str(len(one.faults)))
        for one in checks
    ]  # fmt: skip
    terminal.table("submission", ("file", "task", "clips", "proposals", "MB", "faults"), rows)
    for one in checks:
        shown: Counter[str] = Counter()
        for fault in one.faults:
            shown[fault.kind] += 1
            if most == 0 or shown[fault.kind] <= most:
                terminal.say(fault_line(one.path, fault))
        for kind, number in one.fault_counts.items():
            more = "" if most == 0 or number <= most else f", of which {most} are shown (--show 0: all)"
            terminal.say(f"{one.path}: {kind}: {number} fault{_PLURAL[number == 1]}{more}")
        for note in one.notes:
            terminal.say(f"note: {one.path}: {note}")


def fault_line(path: Path, fault: Fault) -> str:
    """`FILE:LINE: CLIP: what is wrong`, as compilers say it."""
    place = f"{path}" if fault.line is None else f"{path}:{fault.line}"
    return f"{place}: {fault.text}" if fault.clip is None else f"{place}: {fault.clip!r} {fault.text}"

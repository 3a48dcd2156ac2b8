"""`iamsb demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands.datasets import show as show_dataset
from flows.commands.localize import show_localized
from flows.commands.models import evaluation_document, show_metrics
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal
from iamsb_core.digest import plain
from storage.home import Home

if TYPE_CHECKING:  # tasks import Prefect, which must wait for the server's address
    from tasks.models import Unseen


def demo(
    terminal: Terminal, *, orchestrator: Orchestrator, media: Path | None, quick: bool, seed: int
) -> dict[str, Any]:
    """Run the demo flow and show what came of it."""
    if media is not None and not media.is_dir():
        raise ValueError(f"{media} is not a folder; give a folder of real clips, or leave --media out")
    serve(orchestrator)
    from flows.demo import demo as flow  # noqa: PLC0415 - after the quick check

    home = Home.current()
    done = flow(None if media is None else media.absolute(), quick, seed)
    show_dataset(terminal, done.dataset)
    show_metrics(terminal, "test split, people never seen", done.evaluation.report, done.evaluation.baselines)
    for clip, found in zip(done.unseen, done.localized, strict=True):
        show_localized(terminal, found)
        terminal.say(f"  truth:  {_truth(clip)}")
    times = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in done.seconds.items())
    terminal.say(f"time:   {times}")
    terminal.say(f"model:  {done.trained.model.uri}")
    terminal.say(f"MLflow: run {done.trained.run_id} in {home.tracking_uri()}")
    if orchestrator.mode == "in process":
        terminal.say("`iamsb up` shows the runs in a browser")
    terminal.say(f"report: {done.localized[0].report_html}")
    return {
        **evaluation_document(done.evaluation.report, done.evaluation.baselines),
        "dataset": plain(done.dataset),
        "run_id": done.trained.run_id,
        "model": done.trained.model.uri,
        "predictions": done.evaluation.predictions.path,
        "localized": [
            {**plain(found), "truth": plain(clip.truth)}
            for clip, found in zip(done.unseen, done.localized, strict=True)
        ],
        "report": done.localized[0].report_html,
        "seconds": done.seconds,
    }


def _truth(clip: Unseen) -> str:
    """A clip's forged segments in words."""
    named = {
        stream: ", ".join(f"{start:.2f} - {end:.2f} s" for start, end in clip.truth[stream]) for stream in clip.truth
    }
    return "; ".join(f"{stream} {text}" for stream, text in named.items() if text) or "genuine"

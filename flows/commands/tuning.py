"""`iamsb tune`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.training.tuning_config import TuneConfig
from storage.home import Home


def tune(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    encoders: str,
    blocks: str,
    device: str,
    **given: Any,
) -> dict[str, Any]:
    """Run the tuning flow; say what each encoder gained, and how the tuned pair is named."""
    if blocks != "all" and not blocks.isdecimal():
        raise UsageError(f"--blocks is a number of blocks, or `all`, not {blocks!r}")
    chosen = {key: value for key, value in given.items() if value is not None}
    tuning = TuneConfig(blocks=None if blocks == "all" else int(blocks), **chosen)
    serve(orchestrator)
    from flows.tune import TuneFlowConfig  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.tune import tune as flow  # noqa: PLC0415

    done = flow(root, name, TuneFlowConfig(encoders=encoders, tuning=tuning, device=device))
    rows = [
        (one.stream, str(one.num_blocks), str(one.num_train), f"{one.dev_auc_before:.3f}", f"{one.dev_auc:.3f}")
        for one in done.tuned
    ]
    terminal.table("dev cell AUC", ("stream", "blocks", "windows", "frozen", "tuned"), rows)
    for one in done.tuned:
        terminal.say(f"{one.stream}: {one.folder}{', tuned before' if one.reused else ''}, run {one.run_id}")
    terminal.say(f"use them with: --encoders {done.encoders}")
    return {**plain(done), "mlflow": Home.current().tracking_uri()}

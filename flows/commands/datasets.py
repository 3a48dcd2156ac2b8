"""`iamsb forge` and `iamsb dataset check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.digest import plain
from iamsb_core.forgery.config import quick_forgery, real_forgery

_NUM_FINDINGS_SHOWN = 50


def forge(
    terminal: Terminal, *, orchestrator: Orchestrator, media: Path, out: Path, quick: bool, seed: int
) -> dict[str, Any]:
    """Run the forging flow."""
    if not media.is_dir():
        raise ValueError(f"{media} is not a folder; give a folder of real clips")
    serve(orchestrator)
    from flows.forge import forge as flow  # noqa: PLC0415 - after the quick check

    done = flow(out.absolute(), media.absolute(), quick_forgery() if quick else real_forgery(), seed)
    show(terminal, done)
    return plain(done)


def show(terminal: Terminal, done: Any) -> None:
    """What was made, split by split."""
    rows = []
    for split, one in done.splits.items():
        counts = (one.num_people, one.num_clips, one.num_real, one.num_segments_audio, one.num_segments_visual)
        rows.append((split, *map(str, counts), f"{one.duration_seconds:.0f}"))
    columns = ("split", "people", "clips", "real", "audio segments", "visual segments", "seconds")
    terminal.table(f"{done.out}{' (made before)' if done.reused else ''}", columns, rows)
    for name, reason in done.skipped:
        terminal.say(f"left out: {name}: {reason}")


def check(terminal: Terminal, *, orchestrator: Orchestrator, name: str, root: Path) -> dict[str, Any]:
    """Validate a dataset; failed where a finding is an error."""
    del orchestrator
    report = validate(read_dataset(name, root))
    sizes = [
        (size.split, str(size.num_videos), str(size.num_forged), str(size.num_segments), str(size.num_identities))
        for size in report.splits
    ]
    terminal.table(f"{name} at {root}", ("split", "videos", "forged", "segments", "people"), sizes)
    for finding in report.findings[:_NUM_FINDINGS_SHOWN]:
        terminal.say(f"{finding.severity}: {finding.message}")
    if len(report.findings) > _NUM_FINDINGS_SHOWN:
        terminal.say(f"... and {len(report.findings) - _NUM_FINDINGS_SHOWN} more; --json lists them all")
    return {"failed": not report.ok, **plain(report)}

"""`iamsb compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.commands.asked import absolute, tell_record, terms_of, words_of
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.arena import Arena, error_row


def compare(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    also: list[str],
    systems: str,
    out: Path | None,
    **terms: Any,
) -> dict[str, Any]:
    """Run the comparison and show its tables."""
    places, shared = [(name, root), *map(_place, also)], terms_of(**terms)
    serve(orchestrator)
    from flows.bench import Contest  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.compare import CompareConfig  # noqa: PLC0415
    from flows.compare import compare as flow  # noqa: PLC0415

    contests = [Contest(dataset=dataset, root=folder.absolute()) for dataset, folder in places]
    done = flow(contests, CompareConfig(systems=words_of(systems), **shared), absolute(out))
    show(terminal, done.arena)
    return {**plain(done.arena), **tell_record(terminal, done, "side by side")}


def _place(text: str) -> tuple[str, Path]:
    name, equals, root = text.partition("=")
    if not (name and equals and root):
        raise UsageError(f"--also takes NAME=ROOT, such as lavdf=data/second, got {text!r}")
    return name, Path(root)


def show(terminal: Terminal, arena: Arena) -> None:
    """Each dataset's table: AP, AR@10 and AUC in percent, and the mistakes at the threshold of a report."""
    for one in arena.datasets:
        names = [name for name in one.standings[0].intervals if name.startswith("ap_") or name in ("ar_10", "auc")]
        rows = []
        for standing in one.standings:
            numbers = [standing.intervals.get(name) for name in names]
            errors = error_row(standing)
            shown = ("-" if found is None else f"{100 * found.estimate:.1f}" for found in numbers)
            median = "-" if errors.median_ms is None else f"{errors.median_ms:.0f}"
            rows.append((standing.system, *shown, median, f"{standing.cost.num_parameters / 1e6:.2f}"))
        title = f"{one.dataset} {one.split}: {one.num_clips} clips, seeds {len(one.standings[0].runs)}"
        terminal.table(title, ("system", *map(metric_words, names), "boundary ms", "M parameters"), rows)

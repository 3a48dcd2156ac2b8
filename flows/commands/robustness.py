"""`iamsb robustness`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from flows.commands.asked import absolute, split_of, tell_record
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.media.perturbations.spec import KIND_NAMES, KindName, Level, PerturbationSpec
from iamsb_core.metrics.protocols import protocol as named_protocol
from iamsb_core.report.robustness import RobustnessReport, rows


def robustness(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    model: str,
    kinds: str,
    levels: str,
    split: str,
    protocol: str,
    seed: int,
    out: Path | None,
    device: str,
) -> dict[str, Any]:
    """Run the suite and show its table."""
    wanted = split_of(split)
    named_protocol(protocol)
    chosen = {"kinds": kinds_of(kinds), "levels": levels_of(levels)}
    serve(orchestrator)
    from flows.robustness import robustness as flow  # noqa: PLC0415 - imports Prefect, which reads the server's address

    done = flow(
        root,
        name,
        model,
        split=wanted,
        **chosen,
        protocol=protocol,
        device=device,
        seed=seed,
        out=absolute(out),
    )
    show(terminal, done.report)
    about = tell_record(terminal, done, "curves")
    return {"table": plain(rows(done.report)), **plain(done.report), **about}


def kinds_of(text: str) -> tuple[KindName, ...]:
    """Raises ValueError for an unknown one, naming the nearest."""
    names = KIND_NAMES if text == "all" else tuple(dict.fromkeys(word.strip() for word in text.split(",")))
    return tuple(PerturbationSpec(kind=cast("KindName", name), level=1).kind for name in names)


def levels_of(text: str) -> tuple[Level, ...]:
    """Raises ValueError for a level that there is not."""
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() for word in words):
        raise UsageError(f"levels are numbers with commas between them, such as 1,3,5, not {text!r}")
    levels = sorted({int(word) for word in words})
    return tuple(PerturbationSpec(kind="jpeg", level=cast("Level", level)).level for level in levels)


def show(terminal: Terminal, report: RobustnessReport) -> None:
    """The table: each number in %, and behind it how far it fell."""
    table = []
    for row in rows(report):
        numbers = [text for name in row.values for text in (_percent(row.values[name]), _percent(row.drops[name]))]
        shown = numbers if row.level else [text if index % 2 == 0 else "" for index, text in enumerate(numbers)]
        table.append((row.kind or "none", str(row.level or ""), row.strength, *shown))
    heads = [head for name in rows(report)[0].values for head in (name, "drop")]
    title = f"{report.dataset} {report.split}, {report.model}, protocol {report.protocol}, in %"
    terminal.table(title, ("perturbation", "level", "strength", *heads), table)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"

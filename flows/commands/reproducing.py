"""`iamsb reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from flows.commands.asked import absolute, numbers_of, tell_record, terms_of, words_of
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal
from iamsb_core.digest import plain
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.reproduction import Reproduction
from iamsb_core.report.reproduction_page import order_told
from iamsb_core.systems.iamsb.variants import Sweep, SweepPoints


def reproduce(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    sweeps: str,
    retrain: str,
    witnesses: str,
    coarse_steps: str,
    step_budgets: str,
    out: Path | None,
    **terms: Any,
) -> dict[str, Any]:
    """Run the study and show its tables."""
    usual, shared = SweepPoints(), terms_of(**terms)
    points = SweepPoints(
        witnesses=_points("witnesses", witnesses),
        coarse_steps=_points("coarse-steps", coarse_steps),
        step_budgets=_points("step-budgets", step_budgets),
        sweeps=usual.sweeps if sweeps == "all" else _sweeps(sweeps),
        trained=tuple(dict.fromkeys((*usual.trained, *_sweeps(retrain)))),
    )
    serve(orchestrator)
    from flows.reproduce import ReproduceConfig  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.reproduce import reproduce as flow  # noqa: PLC0415

    done = flow(root.absolute(), name, ReproduceConfig(points=points, **shared), absolute(out))
    show(terminal, done.found)
    about = tell_record(terminal, done, "beside the paper")
    return {**plain(done.found), "order": order_told(done.found), **about}


def _sweeps(text: str) -> tuple[Sweep, ...]:
    return cast("tuple[Sweep, ...]", words_of(text))


def _points(option: str, text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(numbers_of(text, f"--{option}", "2,4,8")))


def show(terminal: Terminal, found: Reproduction) -> None:
    """One table for each sweep, in percent, and whether the paper's order came out."""
    names = [name for name in found.results[0].metrics if name.startswith("ap_") or name in ("ar_10", "auc")]
    for sweep in dict.fromkeys(one.variant.sweep for one in found.results):
        rows = [
            (
                one.variant.name,
                *("-" if name not in one.metrics else f"{100 * one.metrics[name]:.1f}" for name in names),
                "-" if one.steps is None else f"{100 * one.steps.forged_share:.0f}",
            )
            for one in found.of_sweep(sweep)
        ]
        title = f"{found.dataset} {found.split}, {sweep}: {found.num_clips} clips, seeds {len(found.seeds)}"
        terminal.table(title, ("variant", *map(metric_words, names), "steps to forged stream"), rows)
    if order_told(found):
        terminal.say(order_told(found))

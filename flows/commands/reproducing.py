"""`iamsb reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from flows.commands.comparing import numbers_of
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.manifest import SPLITS
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.reproduction import Reproduction
from iamsb_core.report.reproduction_page import order_told
from iamsb_core.systems.iamsb.variants import Sweep, SweepPoints
from storage.home import Home


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
    seeds: str,
    size: str,
    epochs: int | None,
    split: str,
    protocol: str,
    encoders: str,
    device: str,
    out: Path | None,
) -> dict[str, Any]:
    """Run the study and show its tables."""
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    usual = SweepPoints()
    points = SweepPoints(
        witnesses=_numbers("witnesses", witnesses),
        coarse_steps=_numbers("coarse-steps", coarse_steps),
        step_budgets=_numbers("step-budgets", step_budgets),
        sweeps=usual.sweeps if sweeps == "all" else _names(sweeps),
        trained=tuple(dict.fromkeys((*usual.trained, *_names(retrain)))),
    )
    numbers = _numbers("seeds", seeds)
    serve(orchestrator)
    from flows.reproduce import ReproduceConfig  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.reproduce import reproduce as flow  # noqa: PLC0415

    config = ReproduceConfig(
        points=points,
        seeds=numbers,
        size=size,
        epochs=epochs,
        encoders=encoders,
        protocol=protocol,
        split=split,
        device=device,
    )
    done = flow(root.absolute(), name, config, None if out is None else out.absolute())
    show(terminal, done.found)
    terminal.say(f"beside the paper: {done.html}")
    terminal.say(f"MLflow run:       {done.run_id}")
    about = {"run_id": done.run_id, "html": str(done.html), "mlflow": Home.current().tracking_uri()}
    return {**plain(done.found), "order": order_told(done.found), **about}


def _names(text: str) -> tuple[Sweep, ...]:
    return tuple(cast("Sweep", word.strip()) for word in text.split(",") if word.strip())


def _numbers(option: str, text: str) -> tuple[int, ...]:
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

"""`iamsb experiment`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.commands.comparing import numbers_of
from flows.commands.robustness import kinds_of, levels_of
from flows.environment import Orchestrator
from flows.experiments import EXPERIMENTS
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.manifest import SPLITS
from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.experiment import ExperimentReport
from storage.home import Home


def listed(terminal: Terminal, *, orchestrator: Orchestrator) -> dict[str, Any]:
    """What can be asked."""
    del orchestrator  # nothing is recorded
    rows = [(name, one.about.question, one.about.source) for name, one in EXPERIMENTS.items()]
    terminal.table("iamsb experiment NAME DATASET ROOT", ("name", "question", "asked in"), rows)
    return {"experiments": {name: {**plain(one.about), "encoders": one.encoders} for name, one in EXPERIMENTS.items()}}


def experiment(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    places: list[str],
    systems: str,
    only: tuple[str, ...],
    seeds: str,
    size: str,
    epochs: int | None,
    train_clips: int | None,
    encoders: str | None,
    kinds: str,
    levels: str,
    split: str,
    protocol: str,
    device: str,
    out: Path | None,
) -> dict[str, Any]:
    """Run the experiment, show its tables and say what was found."""
    if split not in SPLITS:
        raise UsageError(f"no split {split!r}; there are {', '.join(SPLITS)}")
    if not places or len(places) % 2:
        raise UsageError(f"give the dataset and its folder, such as: iamsb experiment {name} lavdf /data/LAV-DF")
    chosen = {"kinds": kinds_of(kinds) if kinds else (), "levels": levels_of(levels) if levels else ()}
    numbers = numbers_of(seeds)
    serve(orchestrator)
    from flows.bench import Terms  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.compare import Contest  # noqa: PLC0415
    from flows.experiment import ExperimentConfig  # noqa: PLC0415
    from flows.experiment import experiment as flow  # noqa: PLC0415

    contests = [
        Contest(dataset=dataset, root=Path(root).absolute())
        for dataset, root in zip(places[::2], places[1::2], strict=True)
    ]
    terms = Terms(
        seeds=numbers,
        size=size,
        epochs=epochs,
        num_clips=train_clips,
        encoders=encoders,
        split=split,
        protocol=protocol,
        device=device,
    )
    wanted = tuple(text.strip() for text in systems.split(",") if text.strip())
    config = ExperimentConfig(terms=terms, systems=wanted, only=only, **chosen)
    done = flow(name, contests, config, None if out is None else out.absolute())
    show(terminal, done.report, done.finding)
    terminal.say(f"page:       {done.html}")
    terminal.say(f"MLflow run: {done.run_id}")
    about = {"run_id": done.run_id, "html": str(done.html), "mlflow": Home.current().tracking_uri()}
    return {"finding": list(done.finding), **plain(done.report), **about}


def show(terminal: Terminal, report: ExperimentReport, finding: tuple[str, ...]) -> None:
    """Each situation's table of the metrics that answer the question, with ranges, and the finding."""
    names = report.about.metrics
    for situation in report.situations:
        everyone = report.inside(situation.name)
        rows = [(one.variant, *(_cell(one.intervals.get(name)) for name in names)) for one in everyone]
        title = f"{situation.name}: {situation.num_clips} clips, seeds {len(report.seeds)}, in %"
        terminal.table(title, ("variant", *map(metric_words, names)), rows)
    for sentence in finding:
        terminal.say(sentence)


def _cell(found: Interval | None) -> str:
    return "-" if found is None else f"{100 * found.estimate:.1f} ({100 * found.low:.1f}-{100 * found.high:.1f})"

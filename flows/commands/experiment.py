"""`iamsb experiment`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.commands.asked import absolute, tell_record, terms_of, words_of
from flows.commands.robustness import kinds_of, levels_of
from flows.environment import Orchestrator
from flows.experiments import EXPERIMENTS
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.digest import plain
from iamsb_core.metrics.bootstrap import Interval
from iamsb_core.metrics.tables import metric_words
from iamsb_core.report.experiment import ExperimentReport


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
    tuning: str,
    kinds: str,
    levels: str,
    out: Path | None,
    **terms: Any,
) -> dict[str, Any]:
    """Run the experiment, show its tables and say what was found."""
    if not places or len(places) % 2:
        raise UsageError(f"give the dataset and its folder, such as: iamsb experiment {name} lavdf /data/LAV-DF")
    chosen = {"kinds": kinds_of(kinds) if kinds else (), "levels": levels_of(levels) if levels else ()}
    shared = terms_of(**terms, tuning=fields_of(tuning))
    serve(orchestrator)
    from flows.bench import Contest, Terms  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.experiment import ExperimentConfig  # noqa: PLC0415
    from flows.experiment import experiment as flow  # noqa: PLC0415

    contests = [
        Contest(dataset=dataset, root=Path(root).absolute())
        for dataset, root in zip(places[::2], places[1::2], strict=True)
    ]
    config = ExperimentConfig(terms=Terms(**shared), systems=words_of(systems), only=only, **chosen)
    done = flow(name, contests, config, absolute(out))
    show(terminal, done.report, done.finding)
    return {"finding": list(done.finding), **plain(done.report), **tell_record(terminal, done, "page")}


def fields_of(text: str) -> dict[str, Any]:
    """`epochs=8,blocks=null` as settings by name, each value as JSON has it. Raises UsageError for anything else."""
    found = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        try:
            found[name] = json.loads(value)
        except json.JSONDecodeError:
            equals = ""
        if not name or not equals:
            raise UsageError(f"settings are given as NAME=NUMBER with commas, not {part.strip()!r}")
    return found


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

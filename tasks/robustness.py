"""The record of a robustness suite: its files, and its run in MLflow above the runs of the views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iamsb_core.digest import plain
from iamsb_core.media.perturbations.spec import KindName, Level, PerturbationSpec
from iamsb_core.report.robustness import PerturbedMetrics, RobustnessReport, headline, render_robustness, rows
from iamsb_core.training.validation import flat_metrics
from storage.tracking import TrackedRun
from tasks.pages import log_page_and_numbers, write_page_and_numbers
from tasks.scoring import Evaluation


@dataclass(frozen=True, kw_only=True)
class Robustness:
    """What a suite leaves."""

    run_id: str
    """in MLflow, above the runs of the views"""
    report: RobustnessReport
    html: Path
    """the page with a curve for each kind"""
    json: Path


def suite(kinds: Sequence[KindName], levels: Sequence[Level], seed: int = 0) -> tuple[PerturbationSpec, ...]:
    """Every kind at every level, once. Raises ValueError for an unknown one, or where there is none."""
    if not kinds or not levels:
        raise ValueError("name at least one kind of perturbation and one level")
    specs = (PerturbationSpec(kind=kind, level=level, seed=seed) for kind in kinds for level in sorted(levels))
    return tuple(dict.fromkeys(specs))


def measured(evaluation: Evaluation, perturbation: PerturbationSpec | None) -> PerturbedMetrics:
    """What the suite keeps of an evaluation."""
    return PerturbedMetrics(
        perturbation=perturbation,
        report=evaluation.report,
        num_unusable=len(evaluation.unusable),
        run_id=evaluation.run_id,
    )


def record(run: TrackedRun, report: RobustnessReport, folder: Path) -> Robustness:
    """Write the page and the numbers, and log both with the metrics: of a kind by level, level 0 being the clean clips.

    `ap_0.5/jpeg` at step 3 is the AP at 0.5 of level 3; `drop_ap_0.5/jpeg` is the mean drop over the levels.
    """
    done = Robustness(
        run_id=run.run_id, report=report, html=folder / "robustness.html", json=folder / "robustness.json"
    )
    document = {"table": plain(rows(report)), **plain(report)}
    write_page_and_numbers(done.html, render_robustness(report), done.json, document)
    _log_metrics(run, report)
    log_page_and_numbers(run, done.html, done.json)
    return done


def _log_metrics(run: TrackedRun, report: RobustnessReport) -> None:
    run.log_metrics(dict(flat_metrics(report.clean.report)))
    for kind in report.kinds:
        for view in (report.clean, *report.of_kind(kind)):
            level = 0 if view.perturbation is None else view.perturbation.level
            run.log_metrics({f"{name}/{kind}": value for name, value in flat_metrics(view.report)}, level)
    for name in headline(report.clean.report):
        for kind in (*report.kinds, "all"):
            drops = [row.drops[name] for row in rows(report) if row.level and kind in (row.kind, "all")]
            known = [drop for drop in drops if drop is not None]
            if known:
                run.log_metrics({f"drop_{name.lower().replace('@', '_')}/{kind}": sum(known) / len(known)})

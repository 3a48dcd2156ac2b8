"""robustness: a model on the clean clips of a split, then on every kind of perturbation at every level -> curves."""

from __future__ import annotations

from pathlib import Path

from prefect import flow
from prefect.artifacts import create_markdown_artifact, create_table_artifact

from flows.evaluate import CHAMPION, evaluate
from iamsb_core.manifest import Split
from iamsb_core.media.perturbations.spec import KIND_NAMES, LEVELS, KindName, Level
from iamsb_core.metrics.protocols import protocol as named_protocol
from iamsb_core.report.robustness import RobustnessReport, rows
from storage.home import Home
from storage.refs import ModelRef
from storage.tracking import start_run
from tasks import progress
from tasks.models import find_model
from tasks.robustness import Robustness, measured, record, suite

STAGE = "views"


@flow(name="robustness", flow_run_name="robustness-{dataset}-{split}")
def robustness(
    root: Path,
    dataset: str = "lavdf",
    model: str = CHAMPION,
    *,
    split: Split = "test",
    kinds: tuple[KindName, ...] = KIND_NAMES,
    levels: tuple[Level, ...] = LEVELS,
    protocol: str = "lavdf",
    device: str = "auto",
    seed: int = 0,
    out: Path | None = None,
) -> Robustness:
    """Score a model on perturbed views of one split; what an earlier run extracted is not extracted again.

    out: folder for robustness.html and robustness.json, one of the home's own if None.
    """
    home, specs = Home.current(), suite(kinds, levels, seed)
    rules = named_protocol(protocol).name
    ref, _ = find_model(home, model)
    progress.begin(STAGE, 1 + len(specs))
    with start_run(home, f"robustness-{dataset}-{split}", tags={"kind": "robustness"}) as run:
        uri = pinned(ref)
        about = {"dataset": dataset, "model": uri, "split": split, "protocol": rules, "device": device}
        run.log_config({**about, "views": [spec.text for spec in specs]})
        views = []
        for spec in (None, *specs):
            perturb = () if spec is None else (spec.text,)
            same = {"split": split, "protocol": rules, "device": device, "parent_run_id": run.run_id}
            views.append(measured(evaluate(root, dataset, uri, baselines=False, perturb=perturb, **same), spec))
            progress.advance(STAGE, text="clean" if spec is None else spec.text)
        report = RobustnessReport(
            dataset=dataset,
            split=split,
            model=uri,
            protocol=rules,
            num_clips=views[0].report.counts.clips,
            clean=views[0],
            views=tuple(views[1:]),
        )
        done = record(run, report, _folder(home, dataset, split, ref.sha256) if out is None else out)
    _show(report, done.html)
    return done


def pinned(ref: ModelRef) -> str:
    """The URI of one version where the given one is an alias, which may move while the suite runs."""
    name, at, _ = ref.uri.partition("@")
    return f"{name}/{ref.version}" if at and ref.version else ref.uri


def _folder(home: Home, dataset: str, split: str, model_sha256: str) -> Path:
    return home.root / "reports" / f"robustness-{dataset}-{split}-{model_sha256[:8]}"


def _show(report: RobustnessReport, page: Path) -> None:
    """The table and the page's place in the run's own page."""
    table = [{"view": f"{row.kind}:{row.level}" if row.level else "clean", **row.values} for row in rows(report)]
    create_table_artifact(table, key="robustness", description=f"{report.dataset} {report.split}, {report.protocol}")
    create_markdown_artifact(f"Curves: `{page}`", key="robustness-page")

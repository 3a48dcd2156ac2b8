"""`iamsb train` and `evaluate`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flows.commands.asked import split_of
from flows.environment import Orchestrator
from flows.server import serve
from flows.terminal import Terminal, UsageError
from iamsb_core.configuration import parse
from iamsb_core.digest import plain
from iamsb_core.media.perturbations.spec import read_perturbations
from iamsb_core.metrics.metric_report import MetricReport, StreamMetrics
from iamsb_core.metrics.protocols import protocol as named_protocol
from storage.home import Home


def train(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    system: str,
    size: str,
    schedule: str | None,
    epochs: int | None,
    seed: int | None,
    encoders: str,
    device: str,
    processes: int,
    machines: int,
    rendezvous: str,
    config: Path | None,
) -> dict[str, Any]:
    """Run the training flow."""
    given_config = _read_config(config)
    serve(orchestrator)
    from flows.train import TrainFlowConfig  # noqa: PLC0415 - imports Prefect, which reads the server's address
    from flows.train import train as flow  # noqa: PLC0415

    where = "configuration" if config is None else config.name
    chosen = parse(TrainFlowConfig, given_config, where=where)
    given: dict[str, Any] = {
        "system": system,
        "size": size,
        "schedule": schedule,
        "encoders": encoders,
        "device": device,
        "processes": processes,
        "machines": machines,
        "rendezvous": rendezvous,
    }
    known = TrainFlowConfig()
    changed = {key: value for key, value in given.items() if value != getattr(known, key)}
    whole = replace(chosen, **changed).resolved()
    varied = {key: value for key, value in (("epochs", epochs), ("seed", seed)) if value is not None}
    done = flow(root, name, replace(whole, training=replace(whole.training, **varied)))
    terminal.say(f"{'trained before' if done.reused else 'trained'}: run {done.run_id}, {done.epochs} epochs")
    for key, value in sorted(done.metrics.items()):
        if key.split("_")[-1] in ("0.5", "auc", "selection"):
            terminal.say(f"  dev {key}: {value:.3f}")
    terminal.say(f"model: {done.model.uri}")
    return {**plain(done), "model": done.model.uri, "model_sha256": done.model.sha256, "mlflow": _tracking_uri()}


def _read_config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    if not path.is_file():
        raise UsageError(f"no configuration file {path}")
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} must hold one JSON object, got {data!r:.60}")
    return data


def evaluate(
    terminal: Terminal,
    *,
    orchestrator: Orchestrator,
    name: str,
    root: Path,
    model: str,
    split: str,
    protocol: str,
    device: str,
    perturb: tuple[str, ...],
) -> dict[str, Any]:
    """Run the evaluation flow and show its table."""
    wanted = split_of(split)
    named_protocol(protocol)
    read_perturbations(perturb)
    serve(orchestrator)
    from flows.evaluate import evaluate as flow  # noqa: PLC0415

    done = flow(root, name, model, split=wanted, protocol=protocol, device=device, perturb=perturb)
    show_metrics(terminal, f"{' '.join([name, split, *perturb])}, {model}", done.report, done.baselines)
    terminal.say(f"predictions: {done.predictions.path}")
    terminal.say(f"MLflow run:  {done.run_id}")
    return {**evaluation_document(done.report, done.baselines), **_about(done)}


def _about(done: Any) -> dict[str, Any]:
    return {
        "run_id": done.run_id,
        "model": done.model.uri,
        "dataset": done.dataset,
        "split": done.split,
        "predictions": done.predictions.path,
        "selection": done.selection,
        "unusable": dict(done.unusable),
        "mlflow": _tracking_uri(),
    }


def evaluation_document(report: MetricReport, baselines: Mapping[str, MetricReport]) -> dict[str, Any]:
    """ap, ar and auc overall and for each stream, the whole report's other numbers, and the baselines' reports."""
    return {**plain(report), "baselines": {name: plain(other) for name, other in baselines.items()}}


def show_metrics(
    terminal: Terminal, title: str, report: MetricReport, baselines: Mapping[str, MetricReport] | None = None
) -> None:
    """A table: one row for each stream of the model, and of each baseline."""
    reports = {"": report, **(baselines or {})}
    rows = [
        (f"{name} {stream}".strip(), *_percentages(metrics))
        for name, one in reports.items()
        for stream, metrics in {"fused": one, **one.streams}.items()
    ]
    heads = [*(f"AP\n{key}" for key in report.ap), *(f"AR\n{key}" for key in report.ar), "AUC"]
    terminal.table(f"{title}, protocol {report.protocol}, in %", ("", *heads), rows)
    for warning in report.warnings:
        terminal.say(f"note: {warning}")


def _percentages(metrics: StreamMetrics) -> list[str]:
    values = [*metrics.ap.values(), *metrics.ar.values(), metrics.auc]
    return ["-" if value is None else f"{100 * value:.1f}" for value in values]


def _tracking_uri() -> str:
    return Home.current().tracking_uri()

"""evaluate: features that are missing -> predictions -> metrics beside the baselines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow

from flows.extract import ExtractConfig, extract
from iamsb_core.manifest import Split, StreamName
from iamsb_core.media.perturbations.spec import read_perturbations
from iamsb_core.metrics.protocols import protocol as named_protocol
from storage.home import Home
from tasks.features import check_truth
from tasks.models import encoders_of, evaluate_model, find_model
from tasks.policy import resolve_device
from tasks.scoring import EvaluateJob, Evaluation

CHAMPION = "models:/iamsb@champion"


@flow(name="evaluate", flow_run_name="evaluate-{dataset}-{split}")
def evaluate(
    root: Path,
    dataset: str = "lavdf",
    model: str = CHAMPION,
    *,
    split: Split = "test",
    protocol: str = "lavdf",
    device: str = "auto",
    baselines: bool = True,
    perturb: tuple[str, ...] = (),
    hidden: tuple[StreamName, ...] = (),
    changes: dict[str, Any] | None = None,
    parent_run_id: str = "",
) -> Evaluation:
    """Score a model on one split of a dataset, or on a view of it that is perturbed, such as `jpeg:3`.

    hidden: streams that the model has to do without. changes: fields of its configuration that differ from those it
    was trained with. parent_run_id: the run in MLflow that this one is part of.
    """
    home = Home.current()
    rules, perturbations = named_protocol(protocol), read_perturbations(perturb)
    ref, card = find_model(home, model)
    check_truth(dataset, root, (split,))
    config = ExtractConfig(specs=encoders_of(card), device=device, splits=(split,), perturb=perturb)
    extracted = extract(root, dataset, config)
    job = EvaluateJob(
        dataset=dataset,
        root=extracted.root,
        split=split,
        manifest=extracted.manifest,
        model=ref,
        protocol=rules.name,
        device=resolve_device(device),
        home=home,
        baselines=baselines,
        perturbations=perturbations,
        parent_run_id=parent_run_id,
        hidden=hidden,
        changes=changes or {},
    )
    return evaluate_model(job)

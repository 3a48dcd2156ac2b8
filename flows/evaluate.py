"""evaluate: features that are missing -> predictions -> metrics beside the baselines."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.extract import ExtractConfig, extract
from iamsb_core.manifest import Split
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
) -> Evaluation:
    """Score a model on one split of a dataset."""
    home = Home.current()
    rules = named_protocol(protocol)
    ref, card = find_model(home, model)
    check_truth(dataset, root, (split,))
    extracted = extract(root, dataset, ExtractConfig(specs=encoders_of(card), device=device, splits=(split,)))
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
    )
    return evaluate_model(job)

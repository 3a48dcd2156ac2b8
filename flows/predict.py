"""predict: features that are missing -> predictions, of a split that need not have labels."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from flows.extract import ExtractConfig, extract
from iamsb_core.manifest import Split
from storage.home import Home
from tasks.models import encoders_of, find_model
from tasks.policy import resolve_device
from tasks.predicting import Predicted, PredictJob, predict_split

CHAMPION = "models:/iamsb@champion"


@flow(name="predict", flow_run_name="predict-{dataset}-{split}")
def predict(
    root: Path, dataset: str = "lavdf", model: str = CHAMPION, *, split: Split = "test", device: str = "auto"
) -> Predicted:
    """Store a model's predictions of one split of a dataset, such as a challenge's hidden test set."""
    home = Home.current()
    ref, card = find_model(home, model)
    extracted = extract(root, dataset, ExtractConfig(specs=encoders_of(card), device=device, splits=(split,)))
    job = PredictJob(
        dataset=dataset,
        root=extracted.root,
        split=split,
        manifest=extracted.manifest,
        model=ref,
        device=resolve_device(device),
        home=home,
    )
    return predict_split(job)

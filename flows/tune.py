"""tune: a dataset's train and dev clips -> encoders whose last blocks learned -> folders that any extraction reads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from prefect import flow

from iamsb_core.encoders.load import encoder_specs, pair_name
from iamsb_core.encoders.tunable import is_tunable
from iamsb_core.manifest import stream_name
from iamsb_core.training.tuning_config import TuneConfig
from storage.home import Home
from storage.refs import ManifestRef
from tasks.features import check_truth, choose_encoders, take_stock
from tasks.policy import resolve_device
from tasks.tune_job import TunedEncoder, TuneJob
from tasks.tuning import tune_encoder


@dataclass(frozen=True, kw_only=True)
class TuneFlowConfig:
    """Which encoders are tuned, and how."""

    encoders: str = "wavlm-clip"
    """a pair as `iamsb_core.encoders.load.encoder_specs` takes it; of `handcrafted` there is nothing to tune"""
    tuning: TuneConfig = field(default_factory=TuneConfig)
    device: str = "auto"

    def __post_init__(self) -> None:
        if not any(map(is_tunable, encoder_specs(self.encoders))):
            raise ValueError(
                f"the encoders {self.encoders!r} have no weights that could be tuned; name one that has, such as "
                "wavlm:FOLDER+clip:FOLDER or wavlm:FOLDER+handcrafted"
            )


@dataclass(frozen=True, kw_only=True)
class TunedPair:
    """What tuning leaves."""

    encoders: str
    """the pair with the tuned encoders in it, to be given wherever encoders are named"""
    tuned: tuple[TunedEncoder, ...]


@flow(name="tune", flow_run_name="tune-{dataset}")
def tune(root: Path, dataset: str = "lavdf", config: TuneFlowConfig = TuneFlowConfig()) -> TunedPair:
    """Tune those encoders of a pair that have weights, each by the truth of its own stream.

    Lips are seen by the encoder that was tuned on the face. Raises ValueError where the dataset has no train or dev
    split, or does not say when which stream was forged.
    """
    home, device = Home.current(), resolve_device(config.device)
    check_truth(dataset, root, ("train", "dev"), of_streams=True)
    specs = choose_encoders(config.encoders)
    manifest = ManifestRef.of(take_stock(dataset, root, home, ("train", "dev")).manifest)
    found = {}
    for spec in filter(is_tunable, specs):
        job = TuneJob(
            dataset=dataset,
            root=root.expanduser().absolute(),
            manifest=manifest,
            spec=spec,
            config=config.tuning,
            device=device,
            home=home,
        )
        found[job.stream] = tune_encoder(job)
    pair = [
        replace(spec, weights=str(found[name].folder), weights_digest="") if name in found else spec
        for spec, name in ((spec, stream_name(spec.modality)) for spec in specs)
    ]
    return TunedPair(encoders=pair_name(*pair), tuned=tuple(found.values()))

"""Which encoder is tuned on what: one frozen record that names everything the result depends on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iamsb_core.digest import digest, plain
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.encoders.tunable import tuned_as
from iamsb_core.manifest import stream_name
from iamsb_core.training.tuning_config import TuneConfig
from storage.home import Home
from storage.refs import ManifestRef
from tasks.train_job import code_digest

STAGE = "tune"
"""the name that progress is told under"""
WINDOWS_STAGE = "windows"
RECORD_FILE = "tuning.json"
"""beside the weights: what they were made from; no part of an encoder's identity"""


@dataclass(frozen=True, kw_only=True)
class TuneJob:
    """One encoder on one dataset's train and dev splits."""

    dataset: str
    root: Path
    manifest: ManifestRef
    """of both splits, with the digest of every media file"""
    spec: EncoderSpec
    """resolved"""
    config: TuneConfig
    device: str
    home: Home

    @property
    def stream(self) -> str:
        """`audio` or `visual`."""
        return stream_name(self.spec.modality)

    @property
    def digest(self) -> str:
        parts = [self.manifest.sha256, tuned_as(self.spec).identity, plain(self.config)]
        return digest([*parts, self.device.split(":")[0], code_digest()])

    @property
    def folder(self) -> Path:
        """Where the tuned encoder's weights lie."""
        return self.home.encoders / f"{self.spec.name}-{self.digest[:16]}"

    @property
    def windows(self) -> Path:
        """Scratch for what the encoder sees of each clip: the same for every way to tune it."""
        cells = [self.config.audio_window_seconds, self.config.visual_window_seconds]
        return self.home.work / "tuning" / digest([tuned_as(self.spec).identity, cells])[:16]


@dataclass(frozen=True, kw_only=True)
class TunedEncoder:
    """What tuning one encoder leaves."""

    run_id: str
    stream: str
    folder: Path
    weights_digest: str
    """of the tuned weights; features of another digest are other features"""
    base_digest: str
    """of the weights that it began with"""
    dev_auc_before: float
    """of cells: the frozen encoder, under a head that learned alone"""
    dev_auc: float
    """of the epoch that was kept"""
    num_blocks: int
    num_train: int
    """windows, one of each clip that could be used"""
    num_dev: int
    reused: bool = False
    """whether the same had been done before"""

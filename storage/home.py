"""Where everything of one installation lies: IAMSB_HOME, or `.iamsb` in the current folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from storage.objects import Place, place_of

HOME_VARIABLE = "IAMSB_HOME"
FEATURES_VARIABLE = "IAMSB_FEATURES"
TRACKING_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True, slots=True)
class Home:
    """The folders of one installation; none is made until something is written there."""

    root: Path
    """absolute, so that it means the same in every process"""
    features_at: str = ""
    """path or URL (s3://bucket/prefix) of the features, where they are not in the home"""

    @classmethod
    def current(cls, environ: Mapping[str, str] = os.environ) -> Home:
        """The one that the environment names. Raises ValueError where it is not a folder, or its features no place."""
        root = Path(environ.get(HOME_VARIABLE, "") or ".iamsb").expanduser().absolute()
        if root.exists() and not root.is_dir():
            raise ValueError(f"{root} is not a folder; set {HOME_VARIABLE} to a folder that may be made or written to")
        given = environ.get(FEATURES_VARIABLE, "")
        return cls(root, str(place_of(given)) if given else "")

    @property
    def features(self) -> Path:
        """The home's own folder of features."""
        return self.root / "features"

    @property
    def feature_place(self) -> Place:
        """Where features are written and read: the home's own folder, unless the environment named another place."""
        return place_of(self.features_at) if self.features_at else self.features

    @property
    def predictions(self) -> Path:
        return self.root / "predictions"

    @property
    def runs(self) -> Path:
        """Checkpoints and models of training runs, one folder for each."""
        return self.root / "runs"

    @property
    def encoders(self) -> Path:
        """Encoders that were tuned here, a folder of weights for each."""
        return self.root / "encoders"

    @property
    def reports(self) -> Path:
        """Pages and their JSON: of videos, of datasets."""
        return self.root / "reports"

    @property
    def desk(self) -> Path:
        """What the desk keeps: videos that were given to it, its reports, and the analysts' corrections."""
        return self.root / "desk"

    @property
    def work(self) -> Path:
        """Scratch that may be deleted when nothing runs."""
        return self.root / "work"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def media_index(self) -> Path:
        return self.root / "media.sqlite"

    @property
    def mlflow_database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """Where MLflow's runs keep their files while no tracking server is named."""
        return self.root / "artifacts"

    def tracking_uri(self, environ: Mapping[str, str] = os.environ) -> str:
        """The MLflow store: the one that the environment names, else this home's own database."""
        return environ.get(TRACKING_VARIABLE, "") or f"sqlite:///{self.mlflow_database}"

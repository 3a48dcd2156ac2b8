"""What is trained: one frozen record that names everything the result depends on, and who trains it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import iamsb_core
from iamsb_core.configuration import parse
from iamsb_core.digest import digest, file_sha256, plain
from iamsb_core.encoders.base import EncoderSpec
from iamsb_core.manifest import StreamName
from iamsb_core.systems.base import system_type
from iamsb_core.systems.iamsb import system as _iamsb  # noqa: F401 - registers the system
from iamsb_core.training.config import TrainConfig
from storage.home import Home
from storage.refs import ManifestRef, ModelRef

STAGE = "train"
"""the name that progress is told under"""


@dataclass(frozen=True, kw_only=True)
class TeamConfig:
    """The processes that train together, and where those of other machines find the first one's."""

    processes: int = 1
    """on each machine; on a GPU one for each device"""
    machines: int = 1
    rendezvous: str = ""
    """HOST:PORT of this machine, which comes first; needed where there are others"""

    def __post_init__(self) -> None:
        for name in ("processes", "machines"):
            if getattr(self, name) < 1:
                raise ValueError(f"training needs {name} of at least 1, got {getattr(self, name)}")
        host, _, port = self.rendezvous.rpartition(":")
        if self.rendezvous and not (host and port.isdecimal()):
            raise ValueError(f"rendezvous must be HOST:PORT, such as 10.0.0.1:29500, got {self.rendezvous!r}")
        if self.machines > 1 and not self.rendezvous:
            raise ValueError(f"{self.machines} machines need a rendezvous, HOST:PORT of this one, to find each other")

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to share the work with."""
        return self.processes * self.machines == 1


@dataclass(frozen=True, kw_only=True)
class MoreData:
    """Another dataset whose train and dev clips are trained on and looked at too."""

    dataset: str
    root: Path
    manifest: ManifestRef


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """One training: its digest names everything that the result depends on."""

    dataset: str
    root: Path
    manifest: ManifestRef
    audio: EncoderSpec
    visual: EncoderSpec
    system: str
    system_config: dict[str, Any]
    training: TrainConfig
    device: str
    home: Home
    more: tuple[MoreData, ...] = ()
    start: ModelRef | None = None
    """the model whose weights it begins with; None: from scratch"""
    num_clips: int | None = None
    """of the train split, at most; the same ones for every system and seed. None: all"""
    hidden: tuple[StreamName, ...] = ()
    """streams that training and its looks at the dev split do without, as if no clip had them"""
    team: TeamConfig = TeamConfig()
    """who trains; no part of the digest, since the result is the same up to rounding: a run may go on with others"""

    @property
    def recipe(self) -> str:
        """Everything but where it begins: equal for a training from scratch and one that goes on from another model."""
        parts = [self.data_sha256, self.audio.identity, self.visual.identity, self.system, self.system_config]
        return digest([*parts, plain(self.training), self.device.split(":")[0], code_digest()])

    @property
    def digest(self) -> str:
        return self.recipe if self.start is None else digest([self.recipe, self.start.sha256])

    @property
    def data_sha256(self) -> str:
        """Of the truth and the media, of all datasets."""
        own = self.manifest.sha256
        every = digest([own, *(one.manifest.sha256 for one in self.more)]) if self.more else own
        part = {"num_clips": self.num_clips, "hidden": self.hidden}
        return digest([every, part]) if self.num_clips is not None or self.hidden else every

    @property
    def devices(self) -> tuple[str, ...]:
        """What this machine's processes train on."""
        several = self.device.startswith("cuda") and not self.team.is_alone
        return tuple(f"cuda:{number}" for number in range(self.team.processes)) if several else (self.device,)

    @property
    def folder(self) -> Path:
        """Where checkpoints and the model lie while the run goes on, and the outcome after it."""
        return self.home.runs / self.digest[:16]


def checked_system_config(system: str, given: Mapping[str, Any]) -> Any:
    """The system's whole configuration. Raises ValueError for an unknown system, or a key that it does not have."""
    return parse(system_type(system).config_type, dict(given), where=f"{system} configuration")


@functools.cache
def code_digest() -> str:
    """Identity of the science, as this process found it: a resumed run must not go on with other code."""
    root = Path(iamsb_core.__file__).parent
    return digest({str(path.relative_to(root)): file_sha256(path) for path in sorted(root.rglob("*.py"))})

"""What is done to a clip before it is encoded: kinds of perturbation, five levels each, and their identity.

The kinds are those of the field's robustness suites (DeeperForensics-1.0, arXiv 2001.03024, for the picture; AuViRe,
WACV 2026, adds the sound), in their short names: CS saturation, CC contrast, BW blocks, GNC pixel-noise, GB blur,
JPEG jpeg, VC h264; GN sound-noise, PS pitch, RV reverb, AC aac; resample is ours. The strengths of CS, CC, GNC, VC are
DeeperForensics' own; blur, blocks and jpeg are set for a face crop of 224 pixels, where theirs are for whole pictures.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, cast, get_args

import numpy as np

from iamsb_core.digest import digest
from iamsb_core.manifest import Modality

PictureKind = Literal["jpeg", "h264", "blur", "pixel-noise", "saturation", "contrast", "blocks"]
SoundKind = Literal["sound-noise", "pitch", "reverb", "aac", "resample"]
KindName = Literal[PictureKind, SoundKind]
Level = Literal[1, 2, 3, 4, 5]

KIND_NAMES: tuple[KindName, ...] = get_args(KindName)
LEVELS: tuple[Level, ...] = get_args(Level)
VERSION = 1
"""raised whenever this code makes another clip of the same spec"""
_FORM = "KIND:LEVEL or KIND:LEVEL:SEED, such as jpeg:3"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of perturbation."""

    title: str
    modality: Modality
    strengths: tuple[float, float, float, float, float]
    """at levels 1 to 5"""
    unit: str
    """what the strengths say"""


KINDS: dict[KindName, Kind] = {
    "jpeg": Kind(
        title="JPEG compression", modality=Modality.VISUAL, strengths=(75, 50, 30, 18, 10), unit="quality of 100"
    ),
    "h264": Kind(title="H.264 compression", modality=Modality.VISUAL, strengths=(30, 32, 35, 38, 40), unit="CRF"),
    "blur": Kind(
        title="Gaussian blur", modality=Modality.VISUAL, strengths=(0.7, 1.1, 1.7, 2.5, 3.5), unit="pixels (sigma)"
    ),
    "pixel-noise": Kind(
        title="Gaussian noise in the picture",
        modality=Modality.VISUAL,
        strengths=(0.001, 0.002, 0.005, 0.01, 0.05),
        unit="variance, white being 1",
    ),
    "saturation": Kind(
        title="Less colour", modality=Modality.VISUAL, strengths=(0.4, 0.3, 0.2, 0.1, 0.0), unit="of the saturation"
    ),
    "contrast": Kind(
        title="Less contrast",
        modality=Modality.VISUAL,
        strengths=(0.85, 0.725, 0.6, 0.475, 0.35),
        unit="of the contrast",
    ),
    "blocks": Kind(
        title="Blocks lost", modality=Modality.VISUAL, strengths=(16, 32, 48, 64, 80), unit="8 x 8 blocks a picture"
    ),
    "sound-noise": Kind(
        title="Gaussian noise in the sound", modality=Modality.AUDIO, strengths=(30, 20, 15, 10, 5), unit="dB SNR"
    ),
    "pitch": Kind(
        title="Pitch shift", modality=Modality.AUDIO, strengths=(0.5, 1, 2, 3, 4), unit="semitones up or down"
    ),
    "reverb": Kind(
        title="Reverberation",
        modality=Modality.AUDIO,
        strengths=(15, 10, 6, 3, 0),
        unit="dB direct to reverberant sound",
    ),
    "aac": Kind(title="AAC compression", modality=Modality.AUDIO, strengths=(48, 32, 24, 16, 8), unit="kbit/s"),
    "resample": Kind(
        title="Lower sample rate", modality=Modality.AUDIO, strengths=(12, 10, 8, 6, 4), unit="kHz and back to 16"
    ),
}


@dataclass(frozen=True, kw_only=True)
class PerturbationSpec:
    """Everything that decides what becomes of a clip, besides the clip: equal specs give equal samples and pixels."""

    kind: KindName
    level: Level
    """1 is the weakest; the clip as it is has no perturbation rather than a level 0"""
    seed: int = 0
    """of what is drawn at random"""
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            near = difflib.get_close_matches(str(self.kind), KIND_NAMES, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"no perturbation {self.kind!r}; there are {', '.join(KIND_NAMES)}{hint}")
        if self.level not in LEVELS:
            raise ValueError(
                f"perturbations have the levels 1 to 5, got {self.level}; leave one out for the clean clip"
            )
        if self.seed < 0:
            raise ValueError(f"a seed is 0 or more, got {self.seed}")

    @property
    def modality(self) -> Modality:
        """The stream that is perturbed."""
        return KINDS[self.kind].modality

    @property
    def strength(self) -> float:
        """In the kind's unit."""
        return KINDS[self.kind].strengths[self.level - 1]

    @property
    def text(self) -> str:
        """As `read_perturbations` takes it."""
        return f"{self.kind}:{self.level}" + (f":{self.seed}" if self.seed else "")

    def generator(self, media_sha256: str, *place: int) -> np.random.Generator:
        """Randomness of one place (a frame's number, say) in one clip, whatever was drawn before or elsewhere.

        The levels of a kind draw alike: a clip gets more of the same noise, not another one, and so a curve over the
        levels shows the strength alone.
        """
        entropy = int(digest([self.kind, self.seed, self.version, media_sha256])[:32], 16)
        return np.random.default_rng([entropy, *place])


def read_perturbations(texts: Iterable[str]) -> tuple[PerturbationSpec, ...]:
    """The specs that texts such as `jpeg:3` or `pixel-noise:2:7` (kind, level, seed) name, in order.

    Raises ValueError for anything else, and for a kind that is named twice.
    """
    specs = tuple(map(_read, texts))
    check_kinds(specs)
    return specs


def check_kinds(specs: Sequence[PerturbationSpec]) -> None:
    """Raises ValueError where a kind comes twice: its levels would be told apart by nothing."""
    kinds = [spec.kind for spec in specs]
    twice = next((kind for kind in kinds if kinds.count(kind) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice!r} is there twice; perturb once with each kind")


def _read(text: str) -> PerturbationSpec:
    found = re.fullmatch(r"([\w-]+):(\d+)(?::(\d+))?", text.strip())
    if found is None:
        raise ValueError(f"{text!r} names no perturbation; write {_FORM}; kinds: {', '.join(KIND_NAMES)}")
    kind, level, seed = found.groups()
    return PerturbationSpec(kind=cast("KindName", kind), level=cast("Level", int(level)), seed=int(seed or 0))

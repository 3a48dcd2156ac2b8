"""How a dataset is forged: the configuration and its named sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FRAME_RATE_HZ = 25
SIZE_PIXELS = 224
SAMPLES_PER_FRAME = 640
"""16 kHz over 25 Hz: LAV-DF's rates, so that every frame boundary is a whole sample"""

AudioMethod = Literal["splice_same", "splice_other", "pitch_shift", "formant_shift", "vocoder", "time_stretch"]
VisualMethod = Literal["time_shift", "reorder", "resample", "blend_own", "blend_other", "inpaint"]
AUDIO_METHODS: tuple[AudioMethod, ...] = (
    "splice_same",
    "splice_other",
    "pitch_shift",
    "formant_shift",
    "vocoder",
    "time_stretch",
)
VISUAL_METHODS: tuple[VisualMethod, ...] = ("time_shift", "reorder", "resample", "blend_own", "blend_other", "inpaint")


@dataclass(frozen=True, kw_only=True)
class EncodingConfig:
    """The one setting that every clip is encoded with, genuine or forged."""

    crf: int = 23
    preset: str = "veryfast"
    gop_frames: int = 25
    """a key frame exactly this often, never by content"""
    audio_bit_rate: int = 96_000


@dataclass(frozen=True, kw_only=True)
class ModalityMix:
    """Relative numbers of forged clips of each kind."""

    audio: float = 1.0
    visual: float = 1.0
    both_same_time: float = 0.5
    both_different_times: float = 0.5

    def __post_init__(self) -> None:
        weights = (self.audio, self.visual, self.both_same_time, self.both_different_times)
        if min(weights) < 0 or sum(weights) <= 0:
            raise ValueError(f"the modality mix needs weights of 0 or more with a positive sum, got {weights}")


@dataclass(frozen=True, kw_only=True)
class SyntheticConfig:
    """The talking people drawn when no media is given."""

    num_people: int = 44
    seconds_per_person: float = 10.0

    def __post_init__(self) -> None:
        if self.num_people < 3 or self.seconds_per_person < 4:
            raise ValueError(
                "synthetic media needs 3 people or more (one for each split) and 4 s or more of each, "
                f"got {self.num_people} people and {self.seconds_per_person} s"
            )


@dataclass(frozen=True, kw_only=True)
class ForgeConfig:
    """Everything that, with the seed and the media, decides the bytes of a forged dataset."""

    num_clips: tuple[int, int, int] = (280, 28, 56)
    """train, dev, test"""
    people_shares: tuple[float, float, float] = (30.0, 5.0, 9.0)
    """relative numbers of people in train, dev, test; each gets at least one"""
    clip_seconds: tuple[float, float] = (3.0, 5.0)
    """a source shorter than the first number is used whole, from min_source_seconds on"""
    min_source_seconds: float = 2.0
    max_source_seconds: float = 60.0
    """only the first part of a longer source is used: decoded pictures are kept on disk while forging"""
    real_share: float = 0.25
    mix: ModalityMix = field(default_factory=ModalityMix)
    segment_seconds: tuple[float, float] = (0.15, 2.0)
    """drawn uniformly in the logarithm, so short ones are as frequent as in the benchmarks"""
    max_segments: int = 2
    """for each stream of a clip"""
    audio_methods: tuple[AudioMethod, ...] = AUDIO_METHODS
    visual_methods: tuple[VisualMethod, ...] = VISUAL_METHODS
    audio_fade_seconds: float = 0.01
    """cross-fade at either end of a forged audio segment, inside it"""
    visual_fade_frames: int = 1
    """frames at either end of a forged visual segment, inside it, that are mixed half with the genuine ones"""
    encoding: EncodingConfig = field(default_factory=EncodingConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)

    def __post_init__(self) -> None:
        self._check_counts()
        low, high = self.segment_seconds
        if not 0.12 <= low < high:
            raise ValueError(f"segment_seconds needs 0.12 <= shortest < longest (3 frames at least), got {low}, {high}")
        if not 2 * low <= self.min_source_seconds <= self.clip_seconds[0] <= self.clip_seconds[1]:
            raise ValueError(
                "wanted 2 x shortest segment <= min_source_seconds <= shortest clip <= longest clip, got "
                f"{low}, {self.min_source_seconds}, {self.clip_seconds}"
            )
        if self.max_source_seconds < self.clip_seconds[1]:
            raise ValueError(f"max_source_seconds must hold a clip of {self.clip_seconds[1]} s")
        for name, chosen, known in (
            ("audio_methods", self.audio_methods, AUDIO_METHODS),
            ("visual_methods", self.visual_methods, VISUAL_METHODS),
        ):
            if not chosen or not set(chosen) <= set(known):
                raise ValueError(f"{name} must be some of {', '.join(known)}; got {', '.join(chosen) or 'none'}")

    def _check_counts(self) -> None:
        if min(self.num_clips) < 0 or sum(self.num_clips) == 0:
            raise ValueError(f"num_clips needs three counts of 0 or more, some positive; got {self.num_clips}")
        if min(self.people_shares) <= 0:
            raise ValueError(f"people_shares must be positive, got {self.people_shares}")
        if not 0 <= self.real_share <= 1:
            raise ValueError(f"real_share must lie in [0, 1], got {self.real_share}")
        if self.max_segments < 1:
            raise ValueError(f"max_segments must be 1 or more, got {self.max_segments}")
        if self.visual_fade_frames not in (0, 1):
            raise ValueError(f"visual_fade_frames must be 0 or 1, got {self.visual_fade_frames}")
        if not 0 <= self.audio_fade_seconds <= 0.03:
            raise ValueError(f"audio_fade_seconds must lie in [0, 0.03], got {self.audio_fade_seconds}")


def demo_forgery() -> ForgeConfig:
    """Enough to train on in minutes on 2 cores: 364 clips of 3 to 5 s of 44 drawn people."""
    return ForgeConfig()


def real_forgery() -> ForgeConfig:
    """For a small folder of genuine recordings: more clips, of 3 to 6 s, cut from overlapping windows."""
    return ForgeConfig(num_clips=(320, 48, 96), people_shares=(16.0, 4.0, 6.0), clip_seconds=(3.0, 6.0))


def quick_forgery() -> ForgeConfig:
    """For tests: 40 short clips of 8 drawn people."""
    return ForgeConfig(
        num_clips=(24, 6, 10),
        people_shares=(4.0, 2.0, 2.0),
        clip_seconds=(2.4, 3.2),
        segment_seconds=(0.2, 1.0),
        synthetic=SyntheticConfig(num_people=8, seconds_per_person=6.0),
    )

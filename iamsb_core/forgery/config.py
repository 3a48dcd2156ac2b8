"""How a dataset is forged: the configuration. Its named sizes are in `presets`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from iamsb_core.forgery.difficulty import DIFFICULTIES, SHORTEST_SECONDS, Difficulty, DifficultyName
from iamsb_core.manifest import SPLITS, Split

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
DONOR_METHODS: frozenset[str] = frozenset({"splice_other", "blend_other"})
"""these take from another person"""
Layout = Literal["lavdf", "av-deepfake1m"]
Placement = Literal["speech", "asynchronous"]


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
    """of each take"""
    takes_per_person: int = 1
    """recordings of each person: the same face and voice, other words"""

    def __post_init__(self) -> None:
        if self.num_people < 3 or self.seconds_per_person < 4 or self.takes_per_person < 1:
            raise ValueError(
                "synthetic media needs 3 people or more (one for each split), 4 s or more and 1 take or more of each, "
                f"got {self.num_people} people, {self.seconds_per_person} s and {self.takes_per_person} takes"
            )


@dataclass(frozen=True, kw_only=True)
class Methods:
    """The methods that forge one split."""

    audio: tuple[AudioMethod, ...] = AUDIO_METHODS
    visual: tuple[VisualMethod, ...] = VISUAL_METHODS

    def __post_init__(self) -> None:
        for stream, chosen, known in (
            ("audio", self.audio, AUDIO_METHODS),
            ("visual", self.visual, VISUAL_METHODS),
        ):
            if not chosen or not set(chosen) <= set(known):
                raise ValueError(
                    f"{stream}_methods must be some of {', '.join(known)}; got {', '.join(chosen) or 'none'}"
                )


@dataclass(frozen=True, kw_only=True)
class SplitMethods:
    """The methods of each split; None: the configuration's audio_methods and visual_methods."""

    train: Methods | None = None
    dev: Methods | None = None
    test: Methods | None = None


@dataclass(frozen=True, kw_only=True)
class ForgeConfig:
    """Everything that, with the seed and the media, decides the bytes of a forged dataset."""

    num_clips: tuple[int, int, int] = (280, 28, 56)
    """train, dev, test"""
    people_shares: tuple[float, float, float] = (30.0, 5.0, 9.0)
    """relative numbers of people in train, dev, test; each gets at least one"""
    num_people: int | None = None
    """use only so many people, drawn by the seed; None: everybody in the folder, or synthetic.num_people drawn ones"""
    layout: Layout = "lavdf"
    """lavdf: every clip a window of its own; av-deepfake1m: a genuine window and its forged versions side by side"""
    clip_seconds: tuple[float, float] = (3.0, 5.0)
    """a source shorter than the first number is used whole, from min_source_seconds on, unless takes are joined"""
    join_takes: bool = False
    """where a recording is shorter than the clip, go on with other takes of the same person, or with other stretches
    of the same one; genuine clips are joined just as forged ones are, and no forged segment touches a joint"""
    min_source_seconds: float = 2.0
    """no source is shorter, and no take in a joined clip"""
    max_source_seconds: float = 60.0
    """only the first part of a longer source is used: decoded pictures are kept on disk while forging, 3.8 MB/s"""
    real_share: float = 0.25
    mix: ModalityMix = field(default_factory=ModalityMix)
    placement: Placement = "speech"
    """speech: lengths log-uniform in segment_seconds; a clip forged in both streams at different times has one segment
    in each. asynchronous: as DDL-AV, lengths by its histogram of each stream (inside segment_seconds), up to
    max_segments in each stream, none of one stream within 0.3 s of one of the other"""
    segment_seconds: tuple[float, float] = (0.15, 2.0)
    """drawn uniformly in the logarithm, so short ones are as frequent as in the benchmarks"""
    max_segments: int = 2
    """for each stream of a clip"""
    max_segments_per_minute: float = 0.0
    """for each stream; allows long clips more than max_segments, and asks for at least half as many"""
    audio_methods: tuple[AudioMethod, ...] = AUDIO_METHODS
    visual_methods: tuple[VisualMethod, ...] = VISUAL_METHODS
    split_methods: SplitMethods = field(default_factory=SplitMethods)
    """so that a test split can hold methods that training never saw"""
    difficulty: DifficultyName = "medium"
    """changes the numbers around it as `difficulty.DIFFICULTIES` says: lengths, strength, cross-fades, compression"""
    audio_fade_seconds: float = 0.01
    """cross-fade at either end of a forged audio segment, inside it"""
    visual_fade_frames: int = 1
    """frames at either end of a forged visual segment, inside it, that are mixed half with the genuine ones"""
    encoding: EncodingConfig = field(default_factory=EncodingConfig)
    synthetic: SyntheticConfig = field(default_factory=SyntheticConfig)

    def __post_init__(self) -> None:
        self._check_counts()
        low, high = self.segment_seconds
        if not SHORTEST_SECONDS <= low < high:
            raise ValueError(f"segment_seconds needs 0.12 <= shortest < longest (3 frames at least), got {low}, {high}")
        shortest = self.forged_seconds[0]
        if not 2 * shortest <= self.min_source_seconds <= self.clip_seconds[0] <= self.clip_seconds[1]:
            raise ValueError(
                "wanted 2 x shortest segment <= min_source_seconds <= shortest clip <= longest clip, got "
                f"{shortest} (difficulty {self.difficulty}), {self.min_source_seconds}, {self.clip_seconds}"
            )
        if self.max_source_seconds < self.clip_seconds[1] and not self.join_takes:
            raise ValueError(f"max_source_seconds must hold a clip of {self.clip_seconds[1]} s, or join_takes be true")
        for split in SPLITS:
            self.methods_of(split)

    def _check_counts(self) -> None:
        if min(self.num_clips) < 0 or sum(self.num_clips) == 0:
            raise ValueError(f"num_clips needs three counts of 0 or more, some positive; got {self.num_clips}")
        if min(self.people_shares) <= 0:
            raise ValueError(f"people_shares must be positive, got {self.people_shares}")
        if self.num_people is not None and self.num_people < 1:
            raise ValueError(f"num_people must be 1 or more, or null for everybody; got {self.num_people}")
        if not 0 <= self.real_share <= 1:
            raise ValueError(f"real_share must lie in [0, 1], got {self.real_share}")
        if self.max_segments < 1 or self.max_segments_per_minute < 0:
            raise ValueError(
                f"max_segments must be 1 or more, got {self.max_segments}; "
                f"max_segments_per_minute 0 or more, got {self.max_segments_per_minute}"
            )
        if self.visual_fade_frames not in (0, 1):
            raise ValueError(f"visual_fade_frames must be 0 or 1, got {self.visual_fade_frames}")
        if not 0 <= self.audio_fade_seconds <= 0.03:
            raise ValueError(f"audio_fade_seconds must lie in [0, 0.03], got {self.audio_fade_seconds}")

    def methods_of(self, split: Split) -> Methods:
        """The methods that forge this split. Raises ValueError where they are none, or not known."""
        own: Methods | None = getattr(self.split_methods, split)
        return Methods(audio=self.audio_methods, visual=self.visual_methods) if own is None else own

    @property
    def level(self) -> Difficulty:
        return DIFFICULTIES[self.difficulty]

    @property
    def forged_seconds(self) -> tuple[float, float]:
        """The bounds of a forged segment's length at this difficulty."""
        low, high = (seconds * self.level.length_scale for seconds in self.segment_seconds)
        return max(SHORTEST_SECONDS, low), max(2 * SHORTEST_SECONDS, high)

    @property
    def clip_encoding(self) -> EncodingConfig:
        """How every clip is encoded at this difficulty."""
        return replace(
            self.encoding,
            crf=min(max(self.encoding.crf + self.level.added_crf, 0), 51),
            audio_bit_rate=round(self.encoding.audio_bit_rate * self.level.audio_bit_rate_scale),
        )

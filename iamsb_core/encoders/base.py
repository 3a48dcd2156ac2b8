"""What an encoder is: a frozen function from a decoded clip to features on an exact grid, with an identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from iamsb_core.digest import digest
from iamsb_core.manifest import Modality
from iamsb_core.media.clip import DecodedClip, FrameView
from iamsb_core.media.perturbations.spec import PerturbationSpec
from iamsb_core.timeline import FeatureTrack, Segment

EncoderName = Literal["wavlm", "clip", "handcrafted-audio", "handcrafted-video"]


@dataclass(frozen=True, kw_only=True)
class EncoderSpec:
    """Everything that decides an encoder's output: equal specs give equal features."""

    name: EncoderName
    weights: str = ""
    """hub id or local folder; empty for the handcrafted encoders"""
    weights_digest: str = ""
    """SHA-256 of the weights and their configuration, filled in by `resolve_spec`; never a mutable name"""
    layer: int = -1
    """which hidden state: 0 is the first, -1 the last"""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    view: FrameView | None = None
    """the pictures wanted; None for an audio encoder"""
    version: int = 1
    """raised whenever the code of the encoder gives other numbers"""
    lips: int = 0
    """version of the mouth's crop that a visual encoder sees as well (`iamsb_core.encoders.lips`); 0: it does not"""
    perturbations: tuple[PerturbationSpec, ...] = ()
    """what is done to the clips first, in order, by whoever decodes them (`iamsb_core.media.perturbations.apply`)"""

    @property
    def modality(self) -> Modality:
        return Modality.VISUAL if self.view is not None else Modality.AUDIO

    @property
    def identity(self) -> str:
        """Digest of what decides the output: the path to a local weights folder does not count, its bytes do.

        Without lips or perturbations it is what it was before there were any.
        """
        decisive = {**self.__dict__, "weights": "" if self.weights_digest else self.weights}
        for later in ("lips", "perturbations"):
            if not decisive[later]:
                del decisive[later]
        return digest(decisive)

    def perturbed(self, perturbations: Sequence[PerturbationSpec]) -> EncoderSpec:
        """The same encoder on clips that were perturbed so; only what concerns its stream counts, () is the clean clip.

        Its features are of the same shape as the clean ones, and have an identity of their own.
        """
        return replace(self, perturbations=tuple(one for one in perturbations if one.modality is self.modality))


@dataclass(frozen=True, kw_only=True)
class StreamSpec:
    """What a stream of features looks like to a system: the encoder's published shape."""

    encoder_identity: str
    dim: int
    hop_seconds: float
    fine_dim: int = 0
    """0: this encoder has no fine track"""
    fine_hop_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Streams:
    """The pair of feature streams that a system is built for."""

    audio: StreamSpec
    visual: StreamSpec

    def of(self, modality: Modality) -> StreamSpec:
        return self.audio if modality is Modality.AUDIO else self.visual


@dataclass(frozen=True, slots=True)
class EncodedTrack:
    """One clip's features in one stream: the main track and, where the encoder has one, a finer one beside it."""

    main: FeatureTrack
    fine: FeatureTrack | None = None

    def window(self, segment: Segment) -> EncodedTrack:
        """The cells whose centre lies in the segment."""
        return EncodedTrack(self.main.window(segment), None if self.fine is None else self.fine.window(segment))


class Encoder(Protocol):
    """A frozen encoder, loaded on a device."""

    @property
    def spec(self) -> EncoderSpec: ...

    @property
    def stream(self) -> StreamSpec: ...

    def encode(self, clips: Sequence[DecodedClip]) -> list[EncodedTrack]:
        """Features of each clip, the same whatever else is in the batch; on a GPU but for rounding.

        Every clip must carry the encoder's stream (a waveform, or frames in the spec's view); the main grid is
        `TimeGrid.covering(clip.duration_seconds, stream.hop_seconds)`, the fine grid likewise.
        """
        ...

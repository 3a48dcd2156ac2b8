"""Perturb a decoded clip: between the decoder and the encoder, in bounded memory, nothing moved in time.

The truth stays what it was: as many samples and frames come out as went in, and none of them stands at another time.
What comes out lies in nameless temporary files, as what the decoder gives does, and is gone with the clip; for the
time of a change the clip takes twice its room there.

What it costs, in clips of 5 s that one core does in a second at level 5 (2-core x86 machine, busy;
`python tests/benchmarks/bench_perturbations.py`): jpeg 25, h264 7.5, blur 11, pixel-noise 5.4, saturation 87,
contrast 35, blocks 72, sound-noise 610, pitch 41, reverb 360, aac 59, resample 500; beside them, decoding in the view
of 224 pixels 3.9, both handcrafted encoders 4.9.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from iamsb_core.manifest import Modality
from iamsb_core.media.clip import DecodedClip
from iamsb_core.media.limits import check_space
from iamsb_core.media.perturbations.picture import perturb_frames
from iamsb_core.media.perturbations.sound import PIECE_SAMPLES, perturb_sound
from iamsb_core.media.perturbations.spec import VERSION, PerturbationSpec, check_kinds

Number = TypeVar("Number", np.uint8, np.float32)


def perturbed(clip: DecodedClip, specs: Sequence[PerturbationSpec], workdir: Path | None = None) -> DecodedClip:
    """The clip with every perturbation of a stream that it has, in order; without any, the clip itself.

    What is drawn at random depends on the spec and the digest of the clip's file alone. workdir: folder for temporary
    files, the system's own if None. Raises DecodeError `disk-full`, and ValueError for a spec of another version.
    """
    check_kinds(specs)
    for spec in specs:
        _check_version(spec)
        if spec.modality is Modality.AUDIO:
            clip = _with_sound(clip, spec, workdir)
        else:
            clip = _with_picture(clip, spec, workdir)
    return clip


def _check_version(spec: PerturbationSpec) -> None:
    if spec.version != VERSION:
        raise ValueError(
            f"the perturbation {spec.text} of version {spec.version} is wanted, but this code makes version {VERSION}; "
            "extract the features again, or use the release that made them"
        )


def _with_picture(clip: DecodedClip, spec: PerturbationSpec, workdir: Path | None) -> DecodedClip:
    if clip.frames is None:
        return clip
    changed = perturb_frames(clip.frames, spec, clip.probe.sha256)
    return replace(clip, frames=_written(changed, clip.frames, workdir))


def _with_sound(clip: DecodedClip, spec: PerturbationSpec, workdir: Path | None) -> DecodedClip:
    if clip.waveform is None or not len(clip.waveform):
        return clip
    changed = perturb_sound(clip.waveform, spec, clip.probe.sha256)
    return replace(clip, waveform=_within_full_scale(_written(changed, clip.waveform, workdir)))


def _written(parts: Iterable[NDArray[Number]], like: NDArray[Number], workdir: Path | None) -> NDArray[Number]:
    """The parts one after the other, in a file of the given array's shape and type, mapped."""
    with tempfile.TemporaryFile(dir=workdir) as file:
        check_space(file, like.nbytes)
        for part in parts:
            file.write(np.ascontiguousarray(part, dtype=like.dtype).data)
        if file.tell() != like.nbytes:
            raise AssertionError(f"{file.tell()} bytes came of {like.nbytes}; a perturbation must keep every sample")
        file.flush()
        return np.memmap(file, like.dtype, "r+", shape=like.shape) if math.prod(like.shape) else like.copy()


def _within_full_scale(waveform: NDArray[np.float32]) -> NDArray[np.float32]:
    """As it is, or turned down as a whole to where its peak fits: cut-off peaks would be another perturbation."""
    firsts = range(0, len(waveform), PIECE_SAMPLES)
    peak = max(float(np.abs(waveform[first : first + PIECE_SAMPLES]).max()) for first in firsts)
    if peak > 1.0:
        for first in firsts:
            piece: Any = waveform[first : first + PIECE_SAMPLES]
            piece /= np.float32(peak)
    return waveform

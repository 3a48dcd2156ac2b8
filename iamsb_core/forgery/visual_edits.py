"""Visual forgeries: what is put in place of a span of frames."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from iamsb_core.forgery.config import VisualMethod
from iamsb_core.forgery.face_region import Region, blend, move_onto, soft_mask
from iamsb_core.forgery.placement import Span
from iamsb_core.forgery.recording import Recording

Frames = NDArray[np.uint8]

_MIN_SHIFT_FRAMES = 6


def forge_frames(
    frames: Frames,
    offset: int,
    span: Span,
    method: VisualMethod,
    *,
    recording: Recording,
    others: tuple[Recording, ...],
    fade_frames: int,
    strength: float = 1.0,
    rng: np.random.Generator,
) -> Frames:
    """The clip's frames (n, size, size, 3) with those of the span forged; every other frame is left as it was.

    offset: where the clip starts in the recording, in frames. others: recordings of other people, as long as the span;
    without any, a face comes from another moment of the same one. strength: see `difficulty.Difficulty`.
    """
    start, stop = span
    forged = frames.copy()
    forged[start:stop] = _REPLACEMENTS[method](recording, others, (offset + start, offset + stop), strength, rng)
    for k in range(min(fade_frames, (stop - start - 1) // 2)):
        share = (k + 1) / (fade_frames + 1)
        for edge in (start + k, stop - 1 - k):
            forged[edge] = cv2.addWeighted(frames[edge], 1 - share, forged[edge], share, 0.0)
    return forged


def visible_change(genuine: Frames, forged: Frames) -> float:
    """How much changed, in grey levels: the median over the frames of the most changed 16 x 16 block's mean change."""
    blocks = (
        cv2.resize(cv2.absdiff(before, after), None, fx=1 / 16, fy=1 / 16, interpolation=cv2.INTER_AREA)
        for before, after in zip(genuine, forged, strict=True)
    )
    return float(np.median([block.mean(axis=2).max() for block in blocks]))


def _time_shift(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Frames:
    """The frames of 0.24 to 1 s (times the strength) earlier or later: whole, or only the face of them."""
    length = where[1] - where[0]
    farthest = round(25 * strength)
    shifts = [k for k in range(-farthest, farthest + 1) if abs(k) >= _MIN_SHIFT_FRAMES]
    inside = [k for k in shifts if where[0] + k >= 0 and where[1] + k <= recording.num_frames]
    first = where[0] + inside[int(rng.integers(len(inside)))] if inside else _far_start(recording, length, where, rng)
    sources = np.arange(first, first + length)
    return _take(recording, where, sources, whole=bool(rng.random() < 0.5))


def _reorder(
    recording: Recording, _: tuple[Recording, ...], where: Span, _strength: float, rng: np.random.Generator
) -> Frames:
    """The span's own frames backwards, or in blocks of 2 to 5 in another order."""
    sources = np.arange(*where)
    if len(sources) < 6 or rng.random() < 0.4:
        order = sources[::-1]
    else:
        block = int(rng.integers(2, min(5, len(sources) // 2) + 1))
        blocks = np.array_split(sources, len(sources) // block)
        turned = rng.permutation(len(blocks))
        if (turned == np.arange(len(blocks))).all():
            turned = turned[::-1]
        order = np.concatenate([blocks[i] for i in turned])
    return _take(recording, where, order, whole=bool(rng.random() < 0.5))


def _take(recording: Recording, where: Span, sources: NDArray[np.int64], *, whole: bool) -> Frames:
    """Other frames of the recording, whole or with only their face set onto the span's own frames."""
    if whole:
        return np.stack([recording.frames[i] for i in sources])
    return _paste(recording, where, recording, sources, "face", match_colour=False)


def _paste(
    recording: Recording,
    where: Span,
    donor: Recording,
    sources: NDArray[np.int64],
    region: Region,
    *,
    match_colour: bool,
    seamless: bool = False,
) -> Frames:
    """A region of the donor's frames laid over the same region of the span's frames, face upon face."""
    out = np.empty((len(sources), *recording.frames.shape[1:]), dtype=np.uint8)
    for k, source in enumerate(sources):
        genuine, face = np.asarray(recording.frames[where[0] + k]), recording.faces[where[0] + k]
        mask = soft_mask(face, region, genuine.shape[0])
        moved = move_onto(np.ascontiguousarray(donor.frames[source]), donor.faces[source], face)
        if match_colour:
            moved = _match_colour(moved, genuine, mask)
        out[k] = _poisson(genuine, moved, mask) if seamless else blend(genuine, moved, mask)
    return out


def _match_colour(picture: Frames, like: Frames, mask: NDArray[np.float32]) -> Frames:
    """The picture with the other's mean and spread of each colour inside the mask."""
    inside = (mask > 0.5).astype(np.uint8)
    mean, spread = (value.reshape(3) for value in cv2.meanStdDev(picture, mask=inside))
    mean_like, spread_like = (value.reshape(3) for value in cv2.meanStdDev(like, mask=inside))
    gain = np.clip(spread_like / np.maximum(spread, 1.0), 0.5, 2.0)
    return np.asarray(np.clip((picture - mean) * gain + mean_like, 0, 255), dtype=np.uint8)


def _poisson(genuine: Frames, picture: Frames, mask: NDArray[np.float32]) -> Frames:
    """Gradients of the picture inside the mask, joined to the genuine frame (Perez et al. 2003)."""
    inside = (mask > 0.3).astype(np.uint8) * 255
    inside[0], inside[-1], inside[:, 0], inside[:, -1] = 0, 0, 0, 0
    left, top, width, height = cv2.boundingRect(inside)
    if width < 3 or height < 3:
        return blend(genuine, picture, mask)
    centre = (left + width // 2, top + height // 2)
    return np.asarray(cv2.seamlessClone(picture, genuine, inside, centre, cv2.NORMAL_CLONE), dtype=np.uint8)


def _resample(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Frames:
    """The lower face or mouth made small and large again, as a generator of low resolution leaves it."""
    factor = rng.uniform(1.0 + 2.0 * strength, 1.0 + 5.0 * strength)
    region = _one_of(rng, strength, "mouth", "lower_face", "face")
    out = np.empty((where[1] - where[0], *recording.frames.shape[1:]), dtype=np.uint8)
    for k, index in enumerate(range(*where)):
        genuine = np.ascontiguousarray(recording.frames[index])
        size = genuine.shape[0]
        small = cv2.resize(genuine, (round(size / factor),) * 2, interpolation=cv2.INTER_AREA)
        large = cv2.resize(small, (size, size), interpolation=cv2.INTER_CUBIC)
        out[k] = blend(genuine, np.asarray(large, dtype=np.uint8), soft_mask(recording.faces[index], region, size))
    return out


def _blend_own(
    recording: Recording, _: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Frames:
    """The mouth or lower face of another moment of the same recording."""
    length = where[1] - where[0]
    first = _far_start(recording, length, where, rng)
    region = _one_of(rng, strength, "mouth", "lower_face")
    return _paste(recording, where, recording, np.arange(first, first + length), region, match_colour=True)


def _blend_other(
    recording: Recording, others: tuple[Recording, ...], where: Span, strength: float, rng: np.random.Generator
) -> Frames:
    """Another person's lower face or face, by soft mask or by Poisson blending."""
    length = where[1] - where[0]
    usable = [other for other in others if other.num_frames >= length]
    if not usable:
        return _blend_own(recording, others, where, strength, rng)
    donor = usable[int(rng.integers(len(usable)))]
    first = int(rng.integers(donor.num_frames - length + 1))
    region = _one_of(rng, strength, "mouth", "lower_face", "face")
    seamless = region != "face" and bool(rng.random() < 0.5)
    sources = np.arange(first, first + length)
    return _paste(recording, where, donor, sources, region, match_colour=True, seamless=seamless)


def _inpaint(
    recording: Recording, _: tuple[Recording, ...], where: Span, _strength: float, rng: np.random.Generator
) -> Frames:
    """The mouth painted over from around it: by fast marching (Telea 2004), or by Navier-Stokes."""
    method = cv2.INPAINT_TELEA if rng.random() < 0.5 else cv2.INPAINT_NS
    out = np.empty((where[1] - where[0], *recording.frames.shape[1:]), dtype=np.uint8)
    for k, index in enumerate(range(*where)):
        genuine = np.ascontiguousarray(recording.frames[index])
        mask = soft_mask(recording.faces[index], "mouth", genuine.shape[0])
        filled = cv2.inpaint(genuine, (mask > 0.5).astype(np.uint8), 3, method)
        out[k] = blend(genuine, np.asarray(filled, dtype=np.uint8), (mask > 0.5).astype(np.float32))
    return out


def _far_start(recording: Recording, length: int, where: Span, rng: np.random.Generator) -> int:
    """A start whose frames overlap the span as little as the recording allows."""
    starts = np.arange(recording.num_frames - length + 1)
    overlap = np.maximum(0, np.minimum(starts + length, where[1]) - np.maximum(starts, where[0]))
    near = np.abs(starts - where[0]) < _MIN_SHIFT_FRAMES
    rank = overlap + near * recording.num_frames
    best = starts[rank == rank.min()]
    return int(best[int(rng.integers(len(best)))])


def _one_of(rng: np.random.Generator, strength: float, *regions: Region) -> Region:
    """One of the regions, which go from small to large: the smallest for a weak edit, the largest for a strong one."""
    chosen = regions[int(rng.integers(len(regions)))]
    return chosen if strength == 1 else regions[0 if strength < 1 else -1]


_REPLACEMENTS: dict[
    VisualMethod, Callable[[Recording, tuple[Recording, ...], Span, float, np.random.Generator], Frames]
] = {
    "time_shift": _time_shift,
    "reorder": _reorder,
    "resample": _resample,
    "blend_own": _blend_own,
    "blend_other": _blend_other,
    "inpaint": _inpaint,
}

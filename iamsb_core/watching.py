"""Localising what is still being written: windows as the media grows, segments as they settle.

Windows end at every `step`; each is localised as a clip's last window would be if the clip ended there, and settles
what lies far enough behind its end.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from iamsb_core.data.dataset import Item
from iamsb_core.encoders.base import EncodedTrack
from iamsb_core.encoders.growing import GrowingTrack, growing_track
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.localization.settling import SettledPromptly
from iamsb_core.localizer import Localizer
from iamsb_core.manifest import STREAMS, Modality
from iamsb_core.media.clip import SAMPLE_RATE_HZ, FrameView
from iamsb_core.media.live import LivePiece
from iamsb_core.report.proposals import calibrated, cleaned, thinned
from iamsb_core.timeline import Segment, TimeGrid
from iamsb_core.training.predict import localize_items

LANES: dict[str, Modality | None] = {"audio": Modality.AUDIO, "visual": Modality.VISUAL, "fused": None}


@dataclass(frozen=True, kw_only=True)
class SettledSegment:
    """A segment that will not change any more."""

    stream: str
    """`audio`, `visual` or `fused`"""
    start_seconds: float
    end_seconds: float
    score: float
    calibrated_score: float | None
    delay_seconds: float
    """from the arrival of the media at the segment's end to now"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which windows are looked at, and when."""

    window_seconds: float
    step_seconds: float
    """from one window's end to the next one's"""
    crop_seconds: float
    """of pictures that share a crop"""
    look_ahead_seconds: float
    """what must follow a segment before it settles"""


STEP_SECONDS = 0.48
"""twelve pictures"""
_OVERHEAD_SECONDS = 1.5
"""of a prompt delay: pictures wait for their crop, windows for their step, and both for the processor"""
LEAST_DELAY_SECONDS = 2.0
_PROMPT_WINDOW_SECONDS = 10.24


def prompt_plan(delay_seconds: float, window_seconds: float) -> Plan:
    """The plan that settles segments within a delay. Raises ValueError for one that cannot be held."""
    if not delay_seconds >= LEAST_DELAY_SECONDS:
        raise ValueError(f"segments cannot settle within {delay_seconds:g} s; allow {LEAST_DELAY_SECONDS:g} s or more")
    return Plan(
        window_seconds=min(window_seconds, max(_PROMPT_WINDOW_SECONDS, 4.0 * delay_seconds)),
        step_seconds=STEP_SECONDS,
        crop_seconds=STEP_SECONDS,
        look_ahead_seconds=delay_seconds - _OVERHEAD_SECONDS,
    )


class Watcher:
    """Takes pieces of a growing clip and gives back what settled. Memory is bounded, however long the clip."""

    def __init__(self, localizer: Localizer, plan: Plan) -> None:
        self._localizer, self._plan = localizer, plan
        self._tracks: dict[Modality, GrowingTrack] = {}
        self._is_begun = False
        overlap = localizer.thresholds.max_overlap
        self._lanes = {
            name: SettledPromptly(look_ahead_seconds=plan.look_ahead_seconds, max_overlap=overlap) for name in LANES
        }
        self._num_windows = 0
        self._arrivals: list[tuple[float, float]] = []
        self._num_samples = 0
        self.behind_seconds = 0.0

    @property
    def view(self) -> FrameView:
        """The pictures that the model wants."""
        return self._localizer.model.card.visual_encoder.view or FrameView()

    @property
    def ready_seconds(self) -> float:
        """How far both streams are encoded."""
        return min((track.ready_seconds for track in self._tracks.values()), default=0.0)

    @property
    def num_kept(self) -> int:
        """Cells held in memory."""
        return sum(track.num_kept for track in self._tracks.values())

    def push(self, piece: LivePiece) -> Iterator[SettledSegment]:
        """What settles with a piece, lane by lane."""
        if not self._is_begun:
            present = {Modality.AUDIO: piece.has_audio, Modality.VISUAL: piece.has_video}
            self._tracks = {m: growing_track(self._localizer.encoders[m]) for m in STREAMS if present[m]}
            self._is_begun = True
        self._arrivals += piece.arrivals
        self.behind_seconds = piece.behind_seconds
        self._num_samples += len(piece.samples)
        for modality, raw in ((Modality.AUDIO, piece.samples), (Modality.VISUAL, piece.frames)):
            if modality in self._tracks:
                self._tracks[modality].push(raw)
        while self.ready_seconds >= (end := self._next_end):
            yield from self._look(Segment(max(0.0, self._start(end)), end))
            self._num_windows += 1
            self._forget()

    def finish(self, duration_seconds: float) -> Iterator[SettledSegment]:
        """What is left once the clip ended: the last window, as the offline plan lays it."""
        audio = self._tracks.get(Modality.AUDIO)
        if audio is not None:
            missing = round(duration_seconds * SAMPLE_RATE_HZ) - self._num_samples
            audio.push(np.zeros(max(0, missing), np.float32))
        for track in self._tracks.values():
            track.finish(TimeGrid.covering(duration_seconds, track.hop_seconds).num_cells)
        if self._tracks and duration_seconds > 0.0:
            start = max(0.0, self._start(duration_seconds))
            yield from self._look(Segment(start, duration_seconds), is_end=True)

    @property
    def _next_end(self) -> float:
        return (self._num_windows + 1) * self._plan.step_seconds

    def _start(self, end_seconds: float) -> float:
        """Of the window that ends there: whole cells of the slower stream, no longer than the plan's window."""
        hop = self._localizer.model.card.streams.visual.hop_seconds
        return float(np.ceil((end_seconds - self._plan.window_seconds) / hop - 1e-6)) * hop

    def _look(self, window: Segment, *, is_end: bool = False) -> Iterator[SettledSegment]:
        found = self._localized(window)
        calibration = self._localizer.model.card.calibration
        now = time.monotonic()
        begin = self._start(window.end + self._plan.step_seconds)
        for name, modality in LANES.items():
            rows = cleaned(found.of(modality), window.duration_seconds)
            shown = thinned(rows, self._localizer.thresholds) + np.array([window.start, window.start, 0.0])
            settled = self._lanes[name].settle(shown, window.end, begin_seconds=begin, is_end=is_end)
            score_map = None if calibration is None else calibration.lane(name).score_map
            for start, end, score in settled.tolist():
                yield SettledSegment(
                    stream=name,
                    start_seconds=round(start, 4),
                    end_seconds=round(end, 4),
                    score=score,
                    calibrated_score=calibrated(score_map, score),
                    delay_seconds=max(0.0, now - self._arrived_at(end, now)),
                )

    def _localized(self, window: Segment) -> ClipProposals:
        card = self._localizer.model.card
        tracks: dict[Modality, EncodedTrack | None] = dict.fromkeys(STREAMS)
        for modality, track in self._tracks.items():
            cells = TimeGrid(track.hop_seconds, track.num_cells).cells(window)
            tracks[modality] = track.track(cells) if cells.stop > cells.start else None
        truth = {modality: np.zeros((0, 2)) for modality in STREAMS}
        item = Item("live", window.duration_seconds, tracks, truth)
        system, device = self._localizer.model.system, self._localizer.device
        (found,) = localize_items(system, [item], card.streams, np.inf, device)
        return found

    def _arrived_at(self, seconds: float, default: float) -> float:
        return next((at for there, at in self._arrivals if there >= seconds), default)

    def _forget(self) -> None:
        first = self._start(self._next_end)
        for track in self._tracks.values():
            track.forget(int((first - track.surroundings_seconds) / track.hop_seconds) - 1)
        self._arrivals = [each for each in self._arrivals if each[0] >= first]

"""Inside one localisation task: decode each video once, encode, localise, write the report; the next one is decoded
meanwhile."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from iamsb_core.digest import digest
from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import DecodedClip, DecodeError
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report import Thresholds, document, write_exports
from iamsb_core.report.verdict import FALSE_ALARMS_PER_HOUR
from iamsb_core.report.write import HTML_FILE, JSON_FILE, POSTER_FILE
from tasks import progress
from tasks.earlier_reports import earlier_report, remember_report
from tasks.policy import gpu_slot

log = logging.getLogger(__name__)

Rows = tuple[tuple[float, float, float], ...]
Prepared = dict[str, Any] | Future[DecodedClip]
"""the document of an earlier report, or a clip on its way"""

NUM_AHEAD = 1
"""clips decoded before their turn: their pictures lie on disk, 3.8 MB a second each"""


@dataclass(frozen=True, kw_only=True)
class Localized:
    """What was found in one video, and where the report lies; or why there is none."""

    video: Path
    state: Literal["done", "failed"]
    reused: bool = False
    """whether an earlier report says it"""
    decision: str = ""
    clip_score: float = 0.0
    duration_seconds: float = 0.0
    audio: Rows = ()
    """segments shown in the report: start seconds, end seconds, score"""
    visual: Rows = ()
    fused: Rows = ()
    warnings: tuple[str, ...] = ()
    report_json: Path | None = None
    report_html: Path | None = None
    report_vtt: Path | None = None
    poster: Path | None = None
    error: str = ""
    """a sentence that names the video and the way out"""
    error_kind: str = ""
    """the same in a word, such as `truncated`"""


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """How reports are made."""

    thresholds: Thresholds | None = None
    """None: those chosen on the model's own dev split"""
    false_alarms_per_hour: float = FALSE_ALARMS_PER_HOUR
    """the target from which a clip is called forged"""
    exports: tuple[str, ...] = ()
    """names of formats, or `all`"""
    embed_video: bool = False
    """put the video into its page, where it is not too large"""
    again: bool = False
    """examine videos whose report is there too"""


def examine(
    localizer: Localizer, places: Mapping[Path, Path], options: ReportOptions, workdir: Path
) -> Iterator[Localized]:
    """One result for each video, in order; a video that cannot be used is a result too.

    places: the folder of each video's report; workdir: for decoded pictures, on a disk and not in memory.
    """
    with closing(_prepared(localizer, places, options, workdir)) as prepared:
        for video, found in prepared:
            try:
                yield _result(localizer, video, found, places[video], options)
            except (DecodeError, ValueError) as error:
                said = str(error) if str(video) in str(error) else f"{video}: {error}"
                log.warning("%s", said)
                kind = error.kind if isinstance(error, DecodeError) else "refused"
                yield Localized(video=video, state="failed", error=said, error_kind=kind)


def _result(localizer: Localizer, video: Path, found: Prepared, folder: Path, options: ReportOptions) -> Localized:
    if isinstance(found, Future):
        return _report(localizer, video, found.result(), folder, options)
    if options.exports:
        write_exports(folder, found, options.exports)
    return _localized(video, found, folder, reused=True)


def _prepared(
    localizer: Localizer, places: Mapping[Path, Path], options: ReportOptions, workdir: Path
) -> Generator[tuple[Path, Prepared]]:
    """Each video with its earlier report, or with its clip; the next ones are being decoded while this one is used."""
    workdir.mkdir(parents=True, exist_ok=True)
    with MediaDecoder(workdir=workdir) as decoder, ThreadPoolExecutor(max_workers=1) as pool:
        waiting: deque[tuple[Path, Prepared]] = deque()
        finished = False
        try:
            for video, folder in places.items():
                earlier = None if options.again else earlier_report(folder, video, _settings(localizer, options))
                waiting.append((video, earlier or pool.submit(_decoded, localizer, decoder, video)))
                if len(waiting) > NUM_AHEAD:
                    yield waiting.popleft()
            while waiting:
                yield waiting.popleft()
            finished = True
        finally:
            if not finished:  # stopped half way: nobody wants what is being decoded
                decoder.abort()
                pool.shutdown(cancel_futures=True)


def _decoded(localizer: Localizer, decoder: MediaDecoder, video: Path) -> DecodedClip:
    progress.step(video, "decode")
    return localizer.decode(decoder, video)


def _report(localizer: Localizer, video: Path, clip: DecodedClip, folder: Path, options: ReportOptions) -> Localized:
    with gpu_slot(localizer.device, urgent=True):
        found = localizer.examine(video, clip, command(video, localizer, options), begins=partial(progress.step, video))
    found.save(folder, options.exports, embed_video=options.embed_video)
    data = document(found.report)
    remember_report(folder, data, _settings(localizer, options))
    return _localized(video, data, folder, reused=False)


def _settings(localizer: Localizer, options: ReportOptions) -> str:
    """Digest of what decides a report and its page, but for the media."""
    return digest([localizer.settings, "embedded"]) if options.embed_video else localizer.settings


def command(video: Path, localizer: Localizer, options: ReportOptions) -> tuple[str, ...]:
    """What to type for the same report."""
    words = ["iamsb", "localize", str(video), "--model", localizer.uri]
    if options.false_alarms_per_hour != FALSE_ALARMS_PER_HOUR:
        words += ["--false-alarms-per-hour", f"{options.false_alarms_per_hour:g}"]
    if options.embed_video:
        words.append("--embed-video")
    return tuple(words)


def _localized(video: Path, data: Mapping[str, Any], folder: Path, *, reused: bool) -> Localized:
    shown = {
        lane: tuple((each["start_seconds"], each["end_seconds"], each["score"]) for each in segments)
        for lane, segments in data["segments"].items()
    }
    poster = folder / POSTER_FILE
    return Localized(
        video=video,
        state="done",
        reused=reused,
        decision=data["verdict"]["decision"],
        clip_score=data["verdict"]["clip_score"],
        duration_seconds=data["media"]["duration_seconds"],
        audio=shown["audio"],
        visual=shown["visual"],
        fused=shown["fused"],
        warnings=tuple(data["warnings"]),
        report_json=folder / JSON_FILE,
        report_html=folder / HTML_FILE,
        report_vtt=folder / "report.vtt",
        poster=poster if poster.is_file() else None,
    )

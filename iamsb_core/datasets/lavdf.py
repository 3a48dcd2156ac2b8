"""Reader of LAV-DF (Cai et al., DICTA 2022), in the layout of its public repository.

`<root>/metadata.min.json` (or the full `metadata.json`) is a list with one object for each
`<root>/train|dev|test/NNNNNN.mp4`. LAV-DF has one list of forged periods for both streams, and two booleans that say
which streams it holds for. Datasets that our own forgery builder writes have `metadata.streams.json` beside it, with
the truth of each stream, the person and the method; it is used where it is there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iamsb_core.datasets.fields import load_json, optional_text, require, seconds, segment_of, split_of
from iamsb_core.datasets.media_files import listing, safe_relative_path
from iamsb_core.datasets.stream_truth import STREAMS_FILE, StreamTruth, read_stream_truth
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.timeline import Segment

log = logging.getLogger(__name__)

METADATA_FILES = ("metadata.min.json", "metadata.json")
_NUM_FILES_LOOKED_FOR = 50
_LAYOUT = "LAV-DF has metadata.min.json (or metadata.json) and train/, dev/, test/ with NNNNNN.mp4 in its root"


def read_lavdf(root: Path, *, name: str = "lavdf") -> Manifest:
    """The manifest of a LAV-DF folder; what was mended in its metadata is told in `repairs`.

    Files that are listed but absent stay in the manifest (validation counts them), unless none at all is there.
    Raises ValueError for a folder of another layout, or an entry that is not as the benchmark defines it.
    """
    root = root.expanduser().absolute()
    metadata = _metadata_file(root)
    entries = load_json(metadata)
    if not isinstance(entries, list) or not entries:
        looks = "an object, as TVIL's is" if isinstance(entries, dict) else "an empty list" if entries == [] else "not"
        raise ValueError(f"{metadata} must be a list with one object for each video, but it is {looks}. {_LAYOUT}")
    streams = root / STREAMS_FILE
    truths = read_stream_truth(streams) if streams.is_file() else {}
    repairs: list[str] = []
    videos = tuple(_record(entry, f"{metadata.name}[{i}]", truths, repairs) for i, entry in enumerate(entries))
    _check_some_exist(root, videos, metadata)
    log.info("%s: %d videos, %d repairs", metadata, len(videos), len(repairs))
    return Manifest(name, root, videos, tuple(repairs))


def _metadata_file(root: Path) -> Path:
    """The file to read. Raises ValueError that says what was found instead."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise ValueError(f"{root} {what}; give the folder that holds the dataset's metadata. {_LAYOUT}")
    for name in METADATA_FILES:
        if (root / name).is_file():
            return root / name
    inside = [path for path in sorted(root.iterdir()) if any((path / name).is_file() for name in METADATA_FILES)]
    if inside:
        way_out = f"did you mean {inside[0]}?"
    elif (root / "train_metadata.json").is_file():
        way_out = "this looks like AV-Deepfake1M, which is another layout"
    else:
        way_out = "for a folder of videos, or a manifest of your own, use the dataset name 'generic'"
    raise ValueError(f"no metadata in {root}, only {listing(root)}. {_LAYOUT}; {way_out}")


def _record(entry: Any, where: str, truths: Mapping[str, StreamTruth], repairs: list[str]) -> VideoRecord:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    file = require(entry, "file", str, where)
    where = f"{where} ({file})"
    _check_counts(entry, where)
    periods = _periods(entry, where, repairs)
    truth = truths.get(file)
    if truth is not None:
        truth.check_against(periods, where)
    return VideoRecord(
        video_id=file,
        path=safe_relative_path(file, where),
        split=split_of(require(entry, "split", str, where), where),
        duration_seconds=_positive(seconds(require(entry, "duration", object, where), "duration", where), where),
        forgeries=_forgeries(entry, periods, where) if truth is None else truth.forgeries,
        identity=None if truth is None else truth.identity,
        original=optional_text(entry, "original", where),
        generator=None if truth is None else truth.generator,
    )


def _check_counts(entry: Mapping[str, Any], where: str) -> None:
    for field in ("n_fakes", "video_frames", "audio_channels", "audio_frames"):
        if require(entry, field, int, where) < 0:
            raise ValueError(f"{where}: {field!r} cannot be negative, got {entry[field]}")


def _positive(duration_seconds: float, where: str) -> float:
    if duration_seconds == 0:
        raise ValueError(f"{where}: duration must be more than 0 s")
    return duration_seconds


def _periods(entry: Mapping[str, Any], where: str, repairs: list[str]) -> tuple[Segment, ...]:
    pairs = require(entry, "fake_periods", list, where)
    found = [segment_of(pair, f"{where}: fake_periods[{i}]") for i, pair in enumerate(pairs)]
    kept = tuple(segment for segment in found if segment is not None)
    if len(kept) < len(pairs):
        repairs.append(f"{where}: dropped {len(pairs) - len(kept)} forged periods of no length")
    if entry["n_fakes"] != len(pairs):
        repairs.append(f"{where}: n_fakes says {entry['n_fakes']}, but {len(pairs)} periods are listed; used the list")
    return kept


def _forgeries(entry: Mapping[str, Any], periods: tuple[Segment, ...], where: str) -> tuple[Forgery, ...]:
    modality = Modality(0)
    if require(entry, "modify_audio", bool, where):
        modality |= Modality.AUDIO
    if require(entry, "modify_video", bool, where):
        modality |= Modality.VISUAL
    if bool(modality) != bool(periods):
        raise ValueError(
            f"{where} lists {len(periods)} forged periods, but modify_video={entry['modify_video']} and "
            f"modify_audio={entry['modify_audio']}; a forged clip needs both a period and a stream, a real one neither"
        )
    return tuple(Forgery(segment, modality) for segment in periods)


def _check_some_exist(root: Path, videos: tuple[VideoRecord, ...], metadata: Path) -> None:
    """Look for a few files across the list: a partial copy is usable, one without any file is a wrong root."""
    some = videos[:: max(1, len(videos) // _NUM_FILES_LOOKED_FOR)]
    if not any((root / video.path).is_file() for video in some):
        raise ValueError(
            f"{metadata} lists {len(videos)} videos, but none of the {len(some)} looked for is there, such as "
            f"{root / some[0].path}; the folder holds {listing(root)}. Unpack the videos beside the metadata"
        )

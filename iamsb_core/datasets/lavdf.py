"""Reader of LAV-DF (Cai et al., DICTA 2022), in the layout of its public repository.

`<root>/metadata.min.json` (or the full `metadata.json`) is a list with one object for each
`<root>/train|dev|test/NNNNNN.mp4`. LAV-DF has one list of forged periods for both streams, and two booleans that say
which streams it holds for. Datasets that our own forgery builder writes have `metadata.streams.json` beside it, with
the truth of each stream, the person and the method; it is used where it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.fields import OTHER_SPLIT_NAMES, optional_text, require, seconds, segment_of, split_of
from iamsb_core.datasets.json_stream import kind_of_json, stream_list
from iamsb_core.datasets.layouts import refuse_layout
from iamsb_core.datasets.media_files import safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.datasets.stream_truth import STREAMS_FILE, StreamTruth, read_stream_truth
from iamsb_core.manifest import Forgery, Manifest, Modality, Split, VideoRecord
from iamsb_core.timeline import Segment

METADATA_FILES = ("metadata.min.json", "metadata.json")
_LAYOUT = "LAV-DF has metadata.min.json (or metadata.json) and train/, dev/, test/ with NNNNNN.mp4 in its root"


def read_lavdf(root: Path, *, name: str = "lavdf") -> Manifest:
    """The manifest of a LAV-DF folder; what was mended in its metadata is told in `repairs`.

    Files that are listed but absent stay in the manifest (validation counts them), unless none at all is there.
    Raises ValueError for a folder of another layout, or an entry that is not as the benchmark defines it.
    """
    root = root.expanduser().absolute()
    metadata = next((root / file for file in METADATA_FILES if (root / file).is_file()), None)
    if metadata is None or kind_of_json(metadata) == "object":
        refuse_layout(root, "lavdf", _LAYOUT)
    streams = root / STREAMS_FILE
    truths = read_stream_truth(streams) if streams.is_file() else {}
    repairs = Repairs()
    videos = [_record(entry, f"{metadata.name}[{i}]", truths, repairs) for i, entry in enumerate(stream_list(metadata))]
    if not videos:
        raise ValueError(
            f"{metadata} must be a list with one object for each video, but it is an empty list. {_LAYOUT}"
        )
    return assemble(name, root, videos, repairs, metadata)


def _record(entry: Any, where: str, truths: Mapping[str, StreamTruth], repairs: Repairs) -> VideoRecord:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    file = require(entry, "file", str, where)
    where = f"{where} ({file})"
    _check_counts(entry, where)
    periods = _periods(entry, where, file, repairs)
    truth = truths.get(file)
    if truth is not None:
        truth.check_against(periods, where)
    return VideoRecord(
        video_id=file,
        path=safe_relative_path(file, where),
        split=_split(require(entry, "split", str, where), where, file, repairs),
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


def _split(word: str, where: str, file: str, repairs: Repairs) -> Split:
    if word in OTHER_SPLIT_NAMES:
        repairs.add(f"split {word!r} read as {OTHER_SPLIT_NAMES[word]!r}", file)
    return split_of(word, where)


def _periods(entry: Mapping[str, Any], where: str, file: str, repairs: Repairs) -> tuple[Segment, ...]:
    pairs = require(entry, "fake_periods", list, where)
    found = [segment_of(pair, f"{where}: fake_periods[{i}]") for i, pair in enumerate(pairs)]
    kept = tuple(segment for segment in found if segment is not None)
    if len(kept) < len(pairs):
        repairs.add("forged periods of no length left out", file)
    if entry["n_fakes"] != len(pairs):
        repairs.add("n_fakes is not the number of forged periods listed; the list used", file)
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

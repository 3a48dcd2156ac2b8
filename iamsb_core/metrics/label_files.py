"""Reading the truth to score against from the benchmarks' own files, without the media.

Segments keep the order and the overlaps of their file, because the official evaluators see them so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iamsb_core.datasets.fields import optional_text, require
from iamsb_core.datasets.generic import MANIFEST_FILES, read_generic
from iamsb_core.datasets.json_stream import kind_of_json, stream_list, stream_object
from iamsb_core.datasets.lavdf import METADATA_FILES
from iamsb_core.datasets.layouts import layout_of
from iamsb_core.datasets.registry import READERS, read_dataset
from iamsb_core.datasets.stream_truth import STREAMS_FILE, StreamTruth, read_stream_truth
from iamsb_core.manifest import Forgery, Modality
from iamsb_core.metrics.labels import ClipTruth, Labels
from iamsb_core.timeline import merge_segments

_FUSED_KEYS = ("fake_periods", "fake_segments")
_STREAM_KEYS = {"audio": "audio_fake_segments", "visual": "visual_fake_segments"}
_BENCHMARK_HZ = 25.0
_SPLIT_NAMES = {"val": "dev", "valid": "dev"}


def read_labels(path: Path | str) -> Labels:
    """Labels of a file, or of a folder that holds one, or of a dataset's folder in any known layout.

    Files: LAV-DF (`metadata.json`), AV-Deepfake1M and ++ (`val_metadata.json`), TVIL, DDL-AV (a list of its objects,
    or one of them), and our own manifests in CSV or JSON lines. Streams are told apart where the file does so, or
    where the forgery builder's metadata.streams.json lies beside it. A clip's dataset is what its entry calls
    `dataset`, else that of the layout. Raises ValueError, with the place, for anything else.
    """
    path = _file_of(Path(path).expanduser())
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in (".csv", ".jsonl"):
        return Labels.of_manifest(read_generic(path))
    if not path.is_file():
        raise ValueError(f"there are no labels at {path}; give the benchmark's metadata file, or a manifest")
    beside = path.with_name(STREAMS_FILE)
    streams = read_stream_truth(beside) if path.name in METADATA_FILES and beside.is_file() else {}
    repaired: list[str] = []
    clips = tuple(_clip(entry, where, streams, repaired) for where, entry in _entries(path))
    if not clips:
        raise ValueError(f"{path} must be a list with one object for each clip, but it is empty")
    refuse_doubles(clips, str(path))
    return Labels(clips, tuple(_told(clips, repaired)))


def join_labels(parts: Sequence[Labels]) -> Labels:
    """Several files' clips as one list. Raises ValueError where two have a clip of the same name."""
    clips = tuple(clip for part in parts for clip in part.clips)
    refuse_doubles(clips, "the label files together")
    return replace(parts[0], clips=clips, warnings=tuple(text for part in parts for text in part.warnings))


def refuse_doubles(clips: Sequence[ClipTruth], what: str) -> None:
    """Raises ValueError where a clip is listed twice."""
    if len({clip.video_id for clip in clips}) == len(clips):
        return
    seen: set[str] = set()
    for clip in clips:
        if clip.video_id in seen:
            raise ValueError(f"{what} lists {clip.video_id!r} twice; remove one of the two")
        seen.add(clip.video_id)


def _file_of(path: Path) -> Path:
    """The label file in a folder that holds one, or the path itself."""
    names = (*METADATA_FILES, *MANIFEST_FILES)
    return next((path / name for name in names if (path / name).is_file()), path)


def _of_folder(path: Path) -> Labels:
    """Of a dataset whose labels are many files, or tables."""
    layout = layout_of(path)
    if layout not in READERS:
        raise ValueError(f"{path} holds none of {', '.join((*METADATA_FILES, *MANIFEST_FILES))}; give the file's path")
    return Labels.of_manifest(read_dataset(layout, path))


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """Each entry with its place; one at a time, since a million parsed ones do not fit in memory."""
    kind = kind_of_json(path)
    if kind == "list":
        yield from ((f"{path.name}[{index}]", entry) for index, entry in enumerate(stream_list(path)))
        return
    if kind != "object":
        raise ValueError(f"{path} must be a list with one object for each clip, and is no JSON list at all")
    members = dict(stream_object(path))
    if isinstance(members.get("file"), str):
        yield path.name, members
        return
    yield from ((f"{path.name}[{name!r}]", entry) for name, entry in members.items())


def _told(clips: Sequence[ClipTruth], repaired: Sequence[str]) -> Iterator[str]:
    if repaired:
        yield f"{len(repaired)} clips list segments of a stream that was not modified, such as {repaired[0]}; ignored"
    hollow = [clip.video_id for clip in clips if (clip.fused[:, 1] <= clip.fused[:, 0]).any()]
    if hollow:
        yield (
            f"{len(hollow)} clips have true segments that end before they start or have no length, such as "
            f"{hollow[0]}; nothing can hit those, and they count as missed"
        )


def _clip(entry: Any, where: str, streams: Mapping[str, StreamTruth], repaired: list[str]) -> ClipTruth:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    file = require(entry, "file", str, where)
    where = f"{where} ({file})"
    audio, visual = _streams(entry, where, repaired)
    fused = next((_segments(entry[key], f"{where}: {key}") for key in _FUSED_KEYS if key in entry), None)
    if fused is None:
        if audio is None or visual is None:
            raise ValueError(f"{where} has none of {', '.join(_FUSED_KEYS)}; is this a list of unlabelled test files?")
        fused = merge_segments(np.concatenate([audio, visual]))
    if file in streams:
        audio, visual = (_of_stream(streams[file].forgeries, m) for m in (Modality.AUDIO, Modality.VISUAL))
    elif audio is None and "modify_audio" in entry and "modify_video" in entry:
        none = np.empty((0, 2))
        audio = fused if require(entry, "modify_audio", bool, where) else none
        visual = fused if require(entry, "modify_video", bool, where) else none
    split = entry.get("split")
    return ClipTruth(
        video_id=file,
        fused=fused,
        audio=audio,
        visual=visual,
        split=None if split is None else _SPLIT_NAMES.get(str(split), str(split)),
        duration_seconds=_duration(entry),
        generator=_generator(entry) if file not in streams else streams[file].generator,
        dataset=_dataset(entry, where),
    )


def _streams(
    entry: Mapping[str, Any], where: str, repaired: list[str]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Segments of each stream where the entry has both lists; those of a stream that was not modified are dropped.

    6,160 entries of AV-Deepfake1M carry a copy of their last forged segment in the other stream's list.
    """
    if not all(key in entry for key in _STREAM_KEYS.values()):
        return None, None
    found = {name: _segments(entry[key], f"{where}: {key}") for name, key in _STREAM_KEYS.items()}
    kind = str(entry.get("modify_type", "")).replace("-", "_")
    for modified, other in (("audio_modified", "visual"), ("visual_modified", "audio")):
        if kind == modified and len(found[other]):
            repaired.append(str(entry.get("file")))
            found[other] = np.empty((0, 2))
    return found["audio"], found["visual"]


def _segments(value: Any, where: str) -> NDArray[np.float64]:
    """(K, 2) seconds, as they are in the file."""
    if value == []:
        return np.empty((0, 2))
    try:
        segments = np.asarray(value, dtype=np.float64)
    except (ValueError, TypeError):
        segments = np.empty(1)
    if segments.size == 0:
        return np.empty((0, 2))
    if segments.ndim != 2 or segments.shape[1] != 2 or not np.isfinite(segments).all():
        raise ValueError(f"{where} must be a list of [start, end] in seconds, got {value!r:.80}")
    return segments


def _of_stream(forgeries: Sequence[Forgery], modality: Modality) -> NDArray[np.float64]:
    own = [(f.segment.start, f.segment.end) for f in forgeries if f.modality & modality]
    return merge_segments(np.asarray(own, dtype=np.float64).reshape(-1, 2))


def _duration(entry: Mapping[str, Any]) -> float | None:
    """As stated, or from the number of frames at the benchmarks' 25 fps."""
    if isinstance(entry.get("duration"), int | float):
        return float(entry["duration"])
    frames = entry.get("video_frames")
    return frames / _BENCHMARK_HZ if isinstance(frames, int) and frames > 0 else None


def _generator(entry: Mapping[str, Any]) -> str | None:
    models = [str(entry[key]) for key in ("audio_model", "video_model") if entry.get(key)]
    return " + ".join(models) if models else None


def _dataset(entry: Mapping[str, Any], where: str) -> str:
    """As stated, or by the fields that only one benchmark has."""
    stated = optional_text(entry, "dataset", where)
    if stated is not None:
        return stated
    if "fake_periods" in entry:
        return "lavdf" if "modify_audio" in entry else "tvil"
    if "fake_segments" not in entry:
        return "ddl-av"
    return "av-deepfake1m-plusplus" if "video_model" in entry else "av-deepfake1m"

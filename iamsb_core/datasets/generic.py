"""Reader of a manifest of your own, in CSV or JSON lines, or of a folder of videos with no manifest at all.

`<root>/manifest.csv`: one row for each forged segment, and one with no start, end and modality for a genuine video.
Columns: `path` (relative to the manifest); optional `split` (train, dev, test; test where empty), `start`, `end`
(seconds), `modality` (audio, visual, both), `duration` (seconds), `identity`, `original`, `generator`, `id`.

`<root>/manifest.jsonl`: one object for each video with the same names, and in place of start, end and modality
`"forgeries": [{"start": 1.0, "end": 1.5, "modality": "audio"}]`.

`label` (a column, or a name in the object) says what is known of a video: `segments` (where it is not given), `clip`
or `none`. With `clip` the modality has no start and end: audio, visual, both, `either` where a clip is forged and
nobody says in which stream, or nothing for a genuine clip. With `none` nothing is known, as of a hidden test set.

DefakeAVMiT (540 genuine and 6,480 forged clips of VidTIMIT, labelled as a whole) has no public layout; as a manifest:

    path,split,label,modality,identity,generator
    real/fadg0_sa1.mp4,train,clip,,fadg0,
    fake/fadg0_sa1_wav2lip.mp4,train,clip,visual,fadg0,wav2lip
    fake/fadg0_sa1_sv2tts.mp4,train,clip,audio,fadg0,sv2tts

A folder without either: every media file in it is a test clip about which nothing is known (label `none`).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from iamsb_core.datasets.fields import optional_text, require, seconds, segment_of, split_of, suggestion
from iamsb_core.datasets.media_files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, find_media, listing, safe_relative_path
from iamsb_core.manifest import NO_STREAM, Forgery, Label, Manifest, Modality, VideoRecord

MANIFEST_FILES = ("manifest.csv", "manifest.jsonl")
MODALITIES = {"audio": Modality.AUDIO, "visual": Modality.VISUAL, "both": Modality.AUDIO | Modality.VISUAL}
LABELS = get_args(Label)
CLIP_MODALITIES = {**MODALITIES, "either": MODALITIES["both"]}
_VIDEO_FIELDS = ("path", "split", "duration", "identity", "original", "generator", "id", "label")
_SEGMENT_FIELDS = ("start", "end", "modality")


def read_generic(root: Path, *, name: str = "generic") -> Manifest:
    """The manifest of a folder, or of a manifest file given by its own path.

    Raises ValueError where there is nothing to read, two manifests to choose from, or a row that is not as above.
    """
    root = root.expanduser().absolute()
    if root.is_file() and root.suffix.lower() in (".csv", ".jsonl"):
        return _from_manifest(root, name)
    if not root.is_dir():
        what = "is not a .csv or .jsonl manifest" if root.exists() else "does not exist"
        raise ValueError(f"{root} {what}; give a folder of videos, or a manifest file")
    present = [root / file for file in MANIFEST_FILES if (root / file).is_file()]
    if len(present) > 1:
        raise ValueError(f"{root} holds both {' and '.join(MANIFEST_FILES)}; give the path of the one to read")
    return _from_manifest(present[0], name) if present else _from_folder(root, name)


def _from_folder(root: Path, name: str) -> Manifest:
    paths = find_media(root, VIDEO_SUFFIXES | AUDIO_SUFFIXES)
    if not paths:
        raise ValueError(f"no media file in {root}, only {listing(root)}; give a folder of videos")
    videos = (
        VideoRecord(video_id=p.as_posix(), path=p, split="test", duration_seconds=None, label="none") for p in paths
    )
    return Manifest(name, root, tuple(videos))


def _from_manifest(file: Path, name: str) -> Manifest:
    entries = list(_csv_entries(file) if file.suffix.lower() == ".csv" else _jsonl_entries(file))
    if not entries:
        raise ValueError(f"{file} lists no video; see `iamsb_core.datasets.generic` for its columns")
    return Manifest(name, file.parent, tuple(_record(entry, where) for entry, where in entries))


def _jsonl_entries(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines(), start=1):
        where = f"{file.name}:{number}"
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{where} is not a JSON object on one line ({error})") from None
        if not isinstance(entry, dict):
            raise ValueError(f"{where} must be an object, got {entry!r:.80}")
        _refuse_misspelt(entry, (*_VIDEO_FIELDS, "modality", "forgeries"), where)
        yield entry, where


def _csv_entries(file: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """The rows of each video joined into one entry of the JSON form, in order of first appearance."""
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.DictReader(lines, skipinitialspace=True)
        columns = [column.strip() for column in rows.fieldnames or () if column is not None]
        if "path" not in columns:
            raise ValueError(f"{file} has no column 'path', only {', '.join(columns) or 'nothing'}")
        _refuse_misspelt(columns, (*_VIDEO_FIELDS, *_SEGMENT_FIELDS), file.name)
        rows.fieldnames = columns
        entries: dict[str, tuple[dict[str, Any], str]] = {}
        for row in rows:
            _join_row(entries, _cells(row), f"{file.name}:{rows.line_num}")
    yield from entries.values()


def _cells(row: Mapping[Any, Any]) -> dict[str, str]:
    named = {str(key): value.strip() for key, value in row.items() if isinstance(value, str) and key is not None}
    return {key: value for key, value in named.items() if value}


def _join_row(entries: dict[str, tuple[dict[str, Any], str]], cells: dict[str, str], where: str) -> None:
    about_video: dict[str, Any] = {key: cells[key] for key in _VIDEO_FIELDS if key in cells}
    if "duration" in about_video:
        about_video["duration"] = _number(about_video["duration"], "duration", where)
    known, first = entries.setdefault(cells.get("id", cells.get("path", "")), ({**about_video, "forgeries": []}, where))
    differing = [key for key in about_video if known.get(key) != about_video[key]]
    if differing:
        raise ValueError(f"{where} says another {differing[0]!r} of the same video than {first}; make the rows agree")
    segment: dict[str, Any] = {key: cells[key] for key in _SEGMENT_FIELDS if key in cells}
    if known.get("label") == "clip" and set(segment) == {"modality"}:
        if known.setdefault("modality", segment["modality"]) != segment["modality"]:
            raise ValueError(f"{where} says another modality of the same clip than {first}; one row for each clip")
    elif segment:
        for key in ("start", "end"):
            if key in segment:
                segment[key] = _number(segment[key], key, where)
        known["forgeries"].append(segment)


def _number(text: str, name: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where}: {name} must be seconds, got {text!r}") from None


def _record(entry: Mapping[str, Any], where: str) -> VideoRecord:
    path = safe_relative_path(require(entry, "path", str, where), where)
    duration = entry.get("duration")
    label = _label(entry, where)
    forgeries = entry.get("forgeries")
    if forgeries is not None and not isinstance(forgeries, list):
        raise ValueError(f"{where}: 'forgeries' must be a list, got {forgeries!r:.80}")
    if forgeries and label != "segments":
        raise ValueError(
            f"{where}: a video with label {label!r} has no segments; leave out start and end, or the label"
        )
    modality = _clip_modality(entry, label, where)
    return VideoRecord(
        video_id=optional_text(entry, "id", where) or path.as_posix(),
        path=path,
        split=split_of(optional_text(entry, "split", where) or "test", where),
        duration_seconds=None if duration is None else seconds(duration, "duration", where),
        forgeries=tuple(_forgery(item, f"{where}: forgery {i}") for i, item in enumerate(forgeries or ())),
        identity=optional_text(entry, "identity", where),
        original=optional_text(entry, "original", where),
        generator=optional_text(entry, "generator", where),
        label=label,
        forged_streams=NO_STREAM if modality is None else CLIP_MODALITIES[modality],
        streams_told_apart=modality != "either",
    )


def _label(entry: Mapping[str, Any], where: str) -> Label:
    word = optional_text(entry, "label", where) or "segments"
    for label in LABELS:
        if word == label:
            return cast(Label, label)
    raise ValueError(f"{where}: label must be one of {', '.join(LABELS)}, got {word!r}{suggestion(word, LABELS)}")


def _clip_modality(entry: Mapping[str, Any], label: Label, where: str) -> str | None:
    """The word for the streams of a clip that was forged as a whole; None for any other video."""
    word = optional_text(entry, "modality", where)
    if word is None:
        return None
    if label != "clip":
        raise ValueError(f"{where} has a modality without start and end; for a whole clip, give it the label 'clip'")
    if word not in CLIP_MODALITIES:
        hint = suggestion(word, CLIP_MODALITIES)
        raise ValueError(f"{where}: modality must be one of {', '.join(CLIP_MODALITIES)}, got {word!r}{hint}")
    return word


def _forgery(item: Any, where: str) -> Forgery:
    if not isinstance(item, dict):
        raise ValueError(f"{where} must be an object with start, end and modality, got {item!r:.80}")
    _refuse_misspelt(item, _SEGMENT_FIELDS, where)
    word = require(item, "modality", str, where)
    if word not in MODALITIES:
        hint = suggestion(word, MODALITIES)
        raise ValueError(f"{where}: modality must be one of {', '.join(MODALITIES)}, got {word!r}{hint}")
    segment = segment_of([require(item, "start", object, where), require(item, "end", object, where)], where)
    if segment is None:
        raise ValueError(f"{where} has no length; remove it, or give its end")
    return Forgery(segment, MODALITIES[word])


def _refuse_misspelt(names: Iterable[str], known: tuple[str, ...], where: str) -> None:
    """Other people's extra columns are left alone; one that is nearly ours is a mistake that would lose truth."""
    for name in names:
        hint = suggestion(str(name), known) if name not in known else ""
        if hint:
            raise ValueError(f"{where}: unknown field {name!r}{hint}; rename it")

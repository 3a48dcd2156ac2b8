"""Reader of FakeAVCeleb (Khalid et al., NeurIPS 2021 datasets track), v1.2 and the earlier naming.

v1.2: `meta_data.csv` (source, target1, target2, method, category, type, race, gender, path, and a last column without
a name: the folder) and `<type>/<race>/<gender>/<source>/<file>.mp4`, where type is RealVideo-RealAudio,
RealVideo-FakeAudio, FakeVideo-RealAudio or FakeVideo-FakeAudio. Copies write the races' folders as `Asian (East)`,
`Asian_East` or `Asian-East`; each is found.

v1.0, and any copy without the CSV, is read from its folders: there the type is a folder such as REAL_A, FAKE_RTVC_B,
FAKE_FSGAN_C or FAKE_FACESWAP_D_W2L, and the clips of a person lie in a folder for each source video.

A clip is labelled as a whole, for each stream. `identity` is the source, whose voice and face the clip starts from;
`generator` is the method. There is no official split: one is drawn (see `drawn_splits`; a `splits.csv` goes first) in
which no source is in two splits. The people whose face or voice was put in may still be: the swaps connect nearly
everybody with everybody, and no split of all clips keeps them apart.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.drawn_splits import SPLITS_FILE, Splits
from iamsb_core.datasets.layouts import FAKEAVCELEB_TYPES, refuse_layout
from iamsb_core.datasets.media_files import VIDEO_SUFFIXES, find_media, safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.manifest import NO_STREAM, Manifest, Modality, VideoRecord

METADATA_FILE = "meta_data.csv"
_COLUMNS = ("source", "method", "type", "race", "gender", "path")
_STREAMS_OF_TYPES = (NO_STREAM, Modality.AUDIO, Modality.VISUAL, Modality.AUDIO | Modality.VISUAL)
_STREAMS = dict(zip(FAKEAVCELEB_TYPES, _STREAMS_OF_TYPES, strict=True))
_TYPES = dict(zip("ABCD", FAKEAVCELEB_TYPES, strict=True))
_REAL = FAKEAVCELEB_TYPES[0]
_EARLIER_FOLDER = re.compile(r"(?:org_)?(?:REAL|FAKE)(?:_([A-Z0-9]+))??_([ABCD])(?:_([A-Z0-9]+))?")
_METHODS = {"RTVC": "rtvc", "W2L": "wav2lip", "FSGAN": "fsgan", "FACESWAP": "faceswap"}
_IDENTITY = re.compile(r"id\d{5}")
_ONLY_WAV2LIP = re.compile(r"\d+_(\d+_)?id\d{5}_wavtolip")
_LAYOUT = "FakeAVCeleb has meta_data.csv and RealVideo-RealAudio/, FakeVideo-FakeAudio/ and such in its root"


@dataclass(frozen=True, slots=True)
class _Clip:
    """What is known of one clip, from the CSV or from its folders."""

    video_id: str
    path: Path
    kind: str
    source: str
    method: str | None

    @property
    def number(self) -> str:
        """Of the source's clip that it was made from: file names start with it."""
        return self.path.stem.split("_", 1)[0]


def read_fakeavceleb(root: Path, *, name: str = "fakeavceleb") -> Manifest:
    """The manifest of a FakeAVCeleb folder. Raises ValueError for a folder of another layout, or another CSV."""
    root = root.expanduser().absolute()
    if not root.is_dir():
        refuse_layout(root, name, _LAYOUT)
    media = find_media(root, VIDEO_SUFFIXES)
    repairs = Repairs()
    clips = list(_clips(root, media, repairs))
    if not clips:
        refuse_layout(root, name, _LAYOUT)
    splits = Splits(root)
    if splits.are_drawn:
        repairs.say(f"there is no official split: 70/10/20 % drawn by source; {SPLITS_FILE} in the root goes first")
    genuine = {(clip.source, clip.number): clip.video_id for clip in clips if clip.kind == _REAL}
    videos = [video for clip in clips if (video := _record(clip, splits, genuine, repairs)) is not None]
    if not videos:
        raise ValueError(f"{root / SPLITS_FILE} names none of the {len(clips)} videos, such as {clips[0].video_id}")
    return assemble(name, root, videos, repairs, root)


def _clips(root: Path, media: tuple[Path, ...], repairs: Repairs) -> Iterator[_Clip]:
    """As the CSV lists them, or as they lie where there is none or it is of another version than the files."""
    if not (root / METADATA_FILE).is_file():
        if media:
            repairs.say(f"no {METADATA_FILE}: types, people and methods are read from the folders")
        yield from _from_folders(media, repairs)
        return
    listed = list(_from_csv(root / METADATA_FILE, {_key(path): path for path in media}, repairs))
    present = set(media)
    if media and not any(clip.path in present for clip in listed):
        lying = list(_from_folders(media, Repairs()))
        if lying:
            repairs.say(
                f"{METADATA_FILE} names none of the files, as of another version; they are read by their folders"
            )
            yield from lying
            return
    yield from listed


def _from_csv(file: Path, present: Mapping[tuple[str, ...], Path], repairs: Repairs) -> Iterator[_Clip]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = csv.reader(lines, skipinitialspace=True)
        columns = [column.strip() for column in next(rows, [])]
        missing = [column for column in _COLUMNS if column not in columns]
        if missing:
            raise ValueError(f"{file} has no column {missing[0]!r}, only {', '.join(columns) or 'nothing'}. {_LAYOUT}")
        for row in filter(None, rows):
            cells = {column: cell.strip() for column, cell in zip(columns, row, strict=False) if column}
            yield _listed(cells, f"{file.name}:{rows.line_num}", present, repairs)


def _listed(cells: Mapping[str, str], where: str, present: Mapping[tuple[str, ...], Path], repairs: Repairs) -> _Clip:
    """One row; its file is looked up by type, race, gender, source and name, however the race's folder is written."""
    absent = [column for column in _COLUMNS if not cells.get(column)]
    if absent:
        raise ValueError(f"{where} has no {absent[0]!r}")
    if cells["type"] not in _STREAMS:
        raise ValueError(f"{where}: type must be one of {', '.join(_STREAMS)}, got {cells['type']!r}")
    file = (cells.get("filename") or cells["path"]).rsplit("/", 1)[-1]
    text = "/".join([cells["type"], cells["race"], cells["gender"], cells["source"], file])
    wanted = safe_relative_path(text, where)
    found = present.get(_key(wanted), wanted)
    if found != wanted and found.parts[-len(wanted.parts) :] != wanted.parts:
        repairs.add("files found in a folder with another spelling", found.as_posix())
    method = None if cells["type"] == _REAL else cells["method"]
    return _Clip(wanted.as_posix(), found, cells["type"], cells["source"], method)


def _key(path: Path) -> tuple[str, ...]:
    """The last five parts of a path without what copies write differently: case, blanks and brackets."""
    return tuple("".join(filter(str.isalnum, part)).lower() for part in path.parts[-5:])


def _from_folders(media: tuple[Path, ...], repairs: Repairs) -> Iterator[_Clip]:
    for path in media:
        source = next((part for part in path.parts[:-1] if _IDENTITY.fullmatch(part)), None)
        kind, method = next((known for known in map(_type_of, path.parts[:-1]) if known is not None), (None, None))
        if source is None or kind is None:
            repairs.add("files that lie in no folder of a type and a person left out", path.as_posix())
            continue
        yield _Clip(path.as_posix(), path, kind, source, method or _method_of(kind, path.stem))


def _type_of(folder: str) -> tuple[str, str | None] | None:
    """The type that a folder stands for, and the method where its name says it; None for any other folder."""
    if folder in _STREAMS:
        return folder, None
    match = _EARLIER_FOLDER.fullmatch(folder)
    if match is None:
        return None
    before, category, after = match.groups()
    return _TYPES[category], "-".join(_METHODS.get(word, word.lower()) for word in (before, after) if word) or None


def _method_of(kind: str, stem: str) -> str | None:
    """The method as far as a v1.2 file name tells it: of two methods in a row it names the last one only."""
    if kind == "RealVideo-FakeAudio":
        return "rtvc"
    if stem.endswith("_faceswap"):
        return "faceswap"
    return "wav2lip" if kind != _REAL and _ONLY_WAV2LIP.fullmatch(stem) else None


def _record(
    clip: _Clip, splits: Splits, genuine: Mapping[tuple[str, str], str], repairs: Repairs
) -> VideoRecord | None:
    """None for a clip that is in no split."""
    split = splits.of(clip.video_id, clip.source)
    if split is None:
        repairs.add(f"videos that {SPLITS_FILE} does not name left out", clip.video_id)
        return None
    return VideoRecord(
        video_id=clip.video_id,
        path=clip.path,
        split=split,
        duration_seconds=None,
        identity=clip.source,
        original=None if clip.kind == _REAL else genuine.get((clip.source, clip.number)),
        generator=clip.method,
        label="clip",
        forged_streams=_STREAMS[clip.kind],
    )

"""Reader of TVIL (temporal video inpainting localization, in UMMAFormer, ACM MM 2023), in its public layout.

`<root>/annotations/metadata.json` (or `<root>/metadata.json`) is an object with one member for each video: `file`,
`split` (train, valid, test), `duration`, `fake_periods` in seconds, `n_fakes`, and `fps` or `video_frames`. The
pictures were inpainted and the videos, of YouTube-VOS, are without sound: every period is a forgery of the picture.

Its repository says where the features lie and not the videos; they are looked for as `<file>`, `<split>/<file>`,
`videos/<file>` and `videos/<split>/<file>` in the root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from iamsb_core.datasets.assembly import assemble
from iamsb_core.datasets.fields import optional_text, require, seconds, segment_of, split_of
from iamsb_core.datasets.json_stream import kind_of_json, stream_object
from iamsb_core.datasets.layouts import layout_of, refuse_layout
from iamsb_core.datasets.media_files import safe_relative_path
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.manifest import Forgery, Manifest, Modality, VideoRecord
from iamsb_core.timeline import Segment

_METADATA_FILES = ("annotations/metadata.json", "metadata.json")
_LAYOUT = "TVIL has annotations/metadata.json, an object with one member for each video, in its root"
_NUM_FILES_LOOKED_FOR = 20
_PLACES = ("{split}/{file}", "{file}", "videos/{split}/{file}", "videos/{file}")
"""where a video may lie; the split by the benchmark's own name"""


def read_tvil(root: Path, *, name: str = "tvil") -> Manifest:
    """The manifest of a TVIL folder.

    Raises ValueError for a folder of another layout, or an entry that is not as the benchmark defines it.
    """
    root = root.expanduser().absolute()
    metadata = next((root / file for file in _METADATA_FILES if (root / file).is_file()), None)
    if metadata is None or kind_of_json(metadata) != "object" or layout_of(root) not in ("tvil", None):
        refuse_layout(root, "tvil", _LAYOUT)
    entries = [(_checked(entry, f"{metadata.name}[{key!r}]"), key) for key, entry in stream_object(metadata)]
    if not entries:
        raise ValueError(f"{metadata} lists no video. {_LAYOUT}")
    place = _place_of([entry for entry, _ in entries], root)
    repairs = Repairs()
    videos = [_record(entry, f"{metadata.name}[{key!r}]", place, repairs) for entry, key in entries]
    return assemble(name, root, videos, repairs, metadata, dev_name="valid")


def _checked(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f"{where} must be an object, got {entry!r:.80}")
    safe_relative_path(require(entry, "file", str, where), where)
    split_of(require(entry, "split", str, where), where)
    return entry


def _place_of(entries: Sequence[Mapping[str, Any]], root: Path) -> str:
    """Where most of a few videos lie; the first place where none is found, which is told later."""
    some = entries[:: max(1, len(entries) // _NUM_FILES_LOOKED_FOR)]
    return max(_PLACES, key=lambda place: sum((root / _path(one, place)).is_file() for one in some))


def _path(entry: Mapping[str, Any], place: str) -> Path:
    return Path(place.format(split=entry["split"], file=entry["file"]))


def _record(entry: Mapping[str, Any], where: str, place: str, repairs: Repairs) -> VideoRecord:
    file, split = entry["file"], entry["split"]
    where = f"{where} ({file})"
    return VideoRecord(
        video_id=file,
        path=_path(entry, place),
        split=split_of(split, where),
        duration_seconds=_duration(entry, where),
        forgeries=tuple(Forgery(segment, Modality.VISUAL) for segment in _periods(entry, where, file, repairs)),
        generator=optional_text(entry, "method", where),
    )


def _periods(entry: Mapping[str, Any], where: str, file: str, repairs: Repairs) -> tuple[Segment, ...]:
    pairs = require(entry, "fake_periods", list, where)
    found = [segment_of(pair, f"{where}: fake_periods[{i}]") for i, pair in enumerate(pairs)]
    kept = tuple(segment for segment in found if segment is not None)
    if len(kept) < len(pairs):
        repairs.add("forged periods of no length left out", file)
    if entry.get("n_fakes", len(pairs)) != len(pairs):
        repairs.add("n_fakes is not the number of forged periods listed; the list used", file)
    return kept


def _duration(entry: Mapping[str, Any], where: str) -> float:
    stated = seconds(require(entry, "duration", object, where), "duration", where)
    if stated == 0:
        raise ValueError(f"{where}: duration must be more than 0 s")
    return stated

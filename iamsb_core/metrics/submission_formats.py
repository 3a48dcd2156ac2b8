"""What the organisers of challenges want to be sent, and the list of the clips they want it of.

1M-Deepfakes (2024 and 2025; AV-Deepfake1M and ++): `prediction.txt` with a line `000001.mp4;0.9128` for each clip, and
`prediction.json`, {"000001.mp4": [[score, start, end], ...], ...}, below 4 GB. DDL (IJCAI 2025, track 2; DDL-AV): the
same with a comma. No header; times in seconds; every clip is listed. The 1M-Deepfakes evaluator reads lists as they
stand and stops at an empty one, so lists are by falling score and a clip without proposals has [0, 0, 0].
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from iamsb_core.datasets.media_files import VIDEO_SUFFIXES
from iamsb_core.metrics.label_files import read_labels

TEXT_FILE = "prediction.txt"
JSON_FILE = "prediction.json"
_LIST_ENDING = "_files.txt"
_TEST_FOLDERS = ("test", "test_data", "dataset_test", ".dataset_test")
"""where a dataset without such a list has its test videos"""


@dataclass(frozen=True, kw_only=True)
class SubmissionFormat:
    """One challenge's form."""

    name: str
    title: str
    separator: str
    """between a clip's name and its score in the text file"""
    max_json_bytes: int | None = None
    """the JSON file must be smaller; None where the organisers state no limit"""


FORMATS = {
    form.name: form
    for form in (
        SubmissionFormat(
            name="1m-deepfakes", title="1M-Deepfakes (AV-Deepfake1M, ++)", separator=";", max_json_bytes=4_000_000_000
        ),
        SubmissionFormat(name="ddl-av", title="DDL, track 2 (DDL-AV)", separator=","),
    )
}


def submission_format(name: str) -> SubmissionFormat:
    """The form of that name. Raises ValueError, with the nearest name, where there is none."""
    if name not in FORMATS:
        near = difflib.get_close_matches(name.lower(), FORMATS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no submission format {name!r}; there are {', '.join(FORMATS)}{hint}")
    return FORMATS[name]


@dataclass(frozen=True)
class Listing:
    """The clips that must be in a submission, by the names that the organisers know them by."""

    names: tuple[str, ...]
    folder: str = ""
    """where the dataset has them, which may be part of our own ids: `testA` of `testA_files.txt`"""

    @classmethod
    def read(cls, path: Path) -> Listing:
        """Of a text file with a name a line, a metadata file, or a folder with such a text or with the videos.

        Raises ValueError where there is no list in it, more than one, or a name twice.
        """
        path = path.expanduser()
        if path.is_dir():
            return cls._of_folder(path)
        if not path.is_file():
            raise ValueError(f"there is no list of clips at {path}; give the benchmark's test_files.txt")
        if path.suffix.lower() != ".txt":
            return cls(tuple(clip.video_id for clip in read_labels(path).clips))
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        return cls(_unlike([name for name in names if name], path), path.name.partition(_LIST_ENDING)[0])

    @classmethod
    def _of_folder(cls, path: Path) -> Listing:
        lists = sorted(path.glob(f"*{_LIST_ENDING}"))
        if len(lists) > 1:
            names = ", ".join(found.name for found in lists)
            raise ValueError(f"{path} has several test sets ({names}); give the path of the one to submit")
        if lists:
            return cls.read(lists[0])
        for folder in (path, *(path / name for name in _TEST_FOLDERS if (path / name).is_dir())):
            videos = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in VIDEO_SUFFIXES)
            if videos:
                return cls(tuple(videos), folder.name)
        raise ValueError(f"{path} holds neither a list such as test_files.txt nor videos to be predicted")

    def ids(self, name: str) -> tuple[str, str]:
        """What the clip may be called in predictions."""
        return name, f"{self.folder}/{name}"


def _unlike(names: Sequence[str], path: Path) -> tuple[str, ...]:
    if not names:
        raise ValueError(f"{path} is an empty list; give the benchmark's test_files.txt")
    if len(set(names)) < len(names):
        raise ValueError(f"{path} lists {len(names) - len(set(names))} clips twice; give the benchmark's own file")
    return tuple(names)

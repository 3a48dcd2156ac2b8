"""Which files are meant, and where the reports on them go."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.media_inputs import find_videos, report_folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (
        "b.mp4",
        "a.MKV",
        "notes.txt",
        ".hidden.mp4",
        "talk.wav",
        "below/c.mp4",
        "below/deep/d.mov",
        "[x].mp4",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(found: tuple[Path, ...], folder: Path) -> list[str]:
    assert all(path.is_absolute() for path in found)
    return [path.relative_to(folder).as_posix() for path in found]


def test_files_folders_and_patterns(folder: Path):
    assert names(find_videos([folder]), folder) == ["[x].mp4", "a.MKV", "b.mp4", "talk.wav"]
    below = ["below/c.mp4", "below/deep/d.mov"]
    assert names(find_videos([folder], recursive=True), folder) == ["[x].mp4", "a.MKV", "b.mp4", *below, "talk.wav"]
    assert names(find_videos([folder / "*.mp4"]), folder) == ["[x].mp4", "b.mp4"]
    assert names(find_videos([folder / "**" / "*.m*"]), folder) == ["[x].mp4", "b.mp4", *below]
    assert names(find_videos([folder / "notes.txt"]), folder) == ["notes.txt"], "a named file is taken as it is"
    assert names(find_videos([folder / "[x].mp4"]), folder) == ["[x].mp4"], "a file whose name looks like a pattern"
    assert names(find_videos([folder / "b.mp4", folder / "*.mp4", folder]), folder)[:2] == ["b.mp4", "[x].mp4"]


@pytest.mark.parametrize(
    ("given", "message"),
    [("nowhere.mp4", "no file"), ("*.avi", "no file matches"), ("empty", "look below it with --recursive")],
)
def test_an_input_that_gives_nothing_is_told(given: str, message: str, folder: Path):
    (folder / "empty" / "below").mkdir(parents=True)
    with pytest.raises(ValueError, match=message):
        find_videos([folder / "b.mp4", folder / given])


def test_one_named_file_has_the_folder_to_itself():
    video, out, home = Path("/v/talk.mp4"), Path("/out"), Path("/home")
    assert report_folders([video], out, home, alone=True) == {video: out}
    assert report_folders([video], out, home, alone=False) == {video: out / "talk"}
    (place,) = report_folders([video], None, home, alone=True).values()
    assert place.parent == home
    assert place.name.startswith("talk-")


def test_no_two_reports_share_a_folder_and_none_lies_outside():
    videos = [Path(name) for name in ("/a/x.mp4", "/b/X.mov", "/a/y.mp4", "/a/...mp4", "/a/index.html.mp4")]
    places = report_folders(videos, Path("/out"), Path("/home"), alone=False)
    assert len(set(places.values())) == len(videos)
    assert places[videos[2]] == Path("/out/y")
    assert all(place.parent == Path("/out") for place in places.values())
    assert not {place.name for place in places.values()} & {"..", ".", "index.html"}

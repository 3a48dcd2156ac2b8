"""Media digests: right, remembered, and a file that cannot be read is a reason and not an error."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iamsb_core.manifest import VideoRecord
from storage import media_index
from storage.media_index import MediaIndex


def video(name: str) -> VideoRecord:
    return VideoRecord(video_id=name, path=Path(name), split="train", duration_seconds=None)


def test_digests_are_filled_in_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    inner = media_index.file_sha256

    def counted(path: Path) -> str:
        read.append(path)
        return inner(path)

    monkeypatch.setattr(media_index, "file_sha256", counted)
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode() * 1000)
    index = MediaIndex(tmp_path / "db" / "media.sqlite")
    found = index.fingerprint(tmp_path, [video("a"), video("b")])
    assert [v.media_sha256 for v in found.videos] == [hashlib.sha256(n * 1000).hexdigest() for n in (b"a", b"b")]
    assert len(read) == 2
    assert MediaIndex(tmp_path / "db" / "media.sqlite").fingerprint(tmp_path, [video("a"), video("b")]) == found
    assert len(read) == 2
    (tmp_path / "b").write_bytes(b"c" * 1000)
    os.utime(tmp_path / "b", ns=(1, 1))
    assert index.fingerprint(tmp_path, [video("b")]).videos[0].media_sha256 == hashlib.sha256(b"c" * 1000).hexdigest()
    assert len(read) == 3


def test_unreadable_files_have_a_reason(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    odd = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / odd).write_bytes(b"x")
    names = ["gone", "folder", "pipe", "nu\0ll", odd]
    found = MediaIndex(tmp_path / "media.sqlite").fingerprint(tmp_path, [video(name) for name in names])
    assert [v.video_id for v in found.videos] == names
    assert set(found.unreadable) == set(names[:4])
    assert "No such file" in found.unreadable["gone"]
    assert "not a regular file" in found.unreadable["pipe"]
    assert found.videos[4].media_sha256 == hashlib.sha256(b"x").hexdigest()
    assert found.videos[0].media_sha256 is None


def test_several_processes_share_one_index(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"{i}.mp4").write_bytes(bytes([i]) * 100)
    code = """
import sys
from pathlib import Path
from iamsb_core.manifest import VideoRecord
from storage.media_index import MediaIndex
root = Path(sys.argv[1])
videos = [VideoRecord(video_id=p.name, path=Path(p.name), split="train", duration_seconds=None)
          for p in sorted(root.glob("*.mp4"))]
for video in videos:
    assert not MediaIndex(root / "media.sqlite").fingerprint(root, [video]).unreadable
"""
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]

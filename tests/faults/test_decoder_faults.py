"""The decoding process killed, stopped, starved and orphaned: each costs one video, none the run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from iamsb_core.media import isolation
from iamsb_core.media.clip import DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder, MediaLimits

VIEW = FrameView(size_pixels=32, crop="centre")


def write_clip(path: Path, *, num_pictures: int, side: int) -> Path:
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = side, side, "yuv420p"
        for number in range(num_pictures):
            pixels = np.full((side, side, 3), number % 200, dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(video.encode(None))
    return path


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("short") / "clip.mp4", num_pictures=10, side=64)


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("long") / "clip.mp4", num_pictures=1500, side=256)


@pytest.fixture
def decoder(short: Path) -> Iterator[MediaDecoder]:
    with MediaDecoder(MediaLimits(timeout_seconds=30)) as running:
        running.probe(short)
        yield running


def decodes(decoder: MediaDecoder, path: Path) -> bool:
    clip = decoder.decode(path, VIEW, audio=False)
    return clip.frames is not None and len(clip.frames) == 10


def when_writing(pid: int, act: Callable[[], None]) -> threading.Thread:
    """Act once the process has written the first pictures of a clip to one of its nameless files."""

    def watch() -> None:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not _has_written(pid):
            time.sleep(0.001)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def _has_written(pid: int) -> bool:
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            if str(link.readlink()).endswith("(deleted)") and link.stat().st_size > 100_000:
                return True
        except OSError:
            continue
    return False


def is_gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def wait_until(condition: Callable[[], bool], *, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


def test_a_kill_in_the_middle_costs_one_video(decoder: MediaDecoder, short: Path, long: Path) -> None:
    pid = decoder.pid
    assert pid is not None
    thread = when_writing(pid, lambda: os.kill(pid, signal.SIGKILL))
    with pytest.raises(DecodeError, match="SIGKILL") as caught:
        decoder.decode(long, VIEW, audio=False)
    thread.join()
    assert caught.value.kind == "crashed"
    assert decodes(decoder, short)
    assert decoder.pid != pid


def test_a_crash_of_decord_is_read_again_by_pyav(decoder: MediaDecoder, long: Path) -> None:
    pid = decoder.pid
    assert pid is not None
    thread = when_writing(pid, lambda: os.kill(pid, signal.SIGSEGV))
    clip = decoder.decode(long, VIEW, audio=False)
    thread.join()
    assert clip.reader == "pyav"
    assert clip.frames is not None
    assert len(clip.frames) == 1500
    assert "decord crashed on this file; PyAV read it instead" in clip.warnings


def test_a_hang_ends_with_the_time_limit(short: Path) -> None:
    with MediaDecoder(MediaLimits(timeout_seconds=1.0, timeout_per_second=0.0)) as decoder:
        decoder.probe(short)
        pid = decoder.pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(DecodeError, match="given up after") as caught:
            decoder.decode(short, VIEW)
        assert caught.value.kind == "timeout"
        assert time.monotonic() - started < 5
        assert is_gone(pid)
        assert decoder.probe(short).num_video_frames == 10


def test_a_memory_bomb_is_defused(tmp_path: Path, short: Path) -> None:
    # pictures of 27 MiB each, of which a window of the view holds nine at a time
    bomb = write_clip(tmp_path / "bomb.mp4", num_pictures=12, side=3072)
    with MediaDecoder(MediaLimits(memory_bytes=300 << 20)) as decoder:
        with pytest.raises(DecodeError, match="above the limit of 300 MiB") as caught:
            decoder.decode(bomb, VIEW, audio=False)
        assert caught.value.kind == "memory"
        assert decodes(decoder, short)


def test_limits_refuse_before_decoding(long: Path) -> None:
    for limits, kind in (
        (MediaLimits(max_duration_seconds=59), "too-long"),
        (MediaLimits(max_pixels=1000), "too-large"),
    ):
        with MediaDecoder(limits) as decoder, pytest.raises(DecodeError) as caught:
            decoder.decode(long, VIEW)
        assert caught.value.kind == kind


def test_a_full_disk_is_said_before_anything_is_written(long: Path, decoder: MediaDecoder) -> None:
    huge = FrameView(size_pixels=60_000, crop="centre")
    with pytest.raises(DecodeError, match="temporary space") as caught:
        decoder.decode(long, huge, audio=False)
    assert caught.value.kind == "disk-full"


@pytest.mark.parametrize("waits", [True, False])
def test_a_child_lost_while_idle_is_replaced_unseen(waits: bool, decoder: MediaDecoder, short: Path) -> None:
    pid = decoder.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    if waits:  # else it is asked before the system has reaped it
        assert wait_until(lambda: is_gone(pid))
    assert decodes(decoder, short)
    assert decoder.pid != pid


def test_bad_files_do_not_cost_the_child(decoder: MediaDecoder, short: Path, tmp_path: Path) -> None:
    pid = decoder.pid
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 100)
    for path in (tmp_path / "bad.mp4", tmp_path / "missing.mp4", tmp_path):
        with pytest.raises(DecodeError):
            decoder.decode(path, VIEW)
    assert decodes(decoder, short)
    assert decoder.pid == pid


OWNER = """
import sys, time
from pathlib import Path
from iamsb_core.media.isolation import MediaDecoder
decoder = MediaDecoder()
decoder.probe(Path(sys.argv[1]))
print(decoder.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the signal at the lifeline's end is Linux's")
@pytest.mark.parametrize("stopped", [False, True])
def test_the_child_dies_with_its_owner(stopped: bool, short: Path) -> None:
    # the owner's program comes from `python -c`: a __main__ that cannot be imported
    with subprocess.Popen([sys.executable, "-c", OWNER, str(short)], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        if stopped:  # as deaf as a deadlock in native code
            os.kill(pid, signal.SIGSTOP)
        owner.kill()
    assert wait_until(lambda: is_gone(pid))


def test_threads_take_turns(decoder: MediaDecoder, short: Path) -> None:
    done: list[bool] = []
    threads = [threading.Thread(target=lambda: done.append(decodes(decoder, short)), daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert done == [True] * 3


def test_nothing_is_left_open_or_lying_about(short: Path, tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with MediaDecoder(workdir=tmp_path) as decoder:
        for _ in range(5):
            assert decodes(decoder, short)
        pid = decoder.pid
        assert pid is not None
        assert list(tmp_path.iterdir()) == []
    assert is_gone(pid)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_a_child_that_cannot_start_is_no_fault_of_the_video(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iamsb_core.media.process._environment", lambda num_threads: {"PYTHONHOME": "/nonexistent"})
    with MediaDecoder() as decoder, pytest.raises(RuntimeError, match="did not start"):
        decoder.probe(short)


def test_limits_must_make_sense() -> None:
    with pytest.raises(ValueError, match="positive"):
        MediaLimits(memory_bytes=0)
    with pytest.raises(ValueError, match="num_threads"):
        MediaLimits(num_threads=0)
    assert isolation.MediaDecoder().pid is None

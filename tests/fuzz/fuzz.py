"""Bad media at scale: mutants of clips through probe, decode and localize, with a report of what became of each.

    python tests/fuzz/fuzz.py --count 2000                            drawn clips
    python tests/fuzz/fuzz.py --count 2000 --media FOLDER --seed 7    real ones too
    python tests/fuzz/fuzz.py --media FOLDER --seed 7 --first 123 --count 1 --keep    one of them again, its file kept

A mutant may be refused, or decoded with warnings. What must not happen: an error that is no refusal in words, an end
of this process, more time or memory than the limits allow, arrays that contradict their own clock. Those mutants are
saved beside the report, `fuzz.json`, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import bombs
import mutants
import numpy as np

from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import SAMPLE_RATE_HZ, DecodedClip, DecodeError, FrameView
from iamsb_core.media.isolation import MediaDecoder, MediaLimits

LIMITS = MediaLimits(
    timeout_seconds=30.0,
    timeout_per_second=1.0,
    memory_bytes=1536 << 20,
    max_duration_seconds=120.0,
    max_duration_in_pieces_seconds=120.0,
)
VIEW = FrameView(size_pixels=32, crop="centre")
GRACE_SECONDS = 20.0
"""that a busy machine may take to notice that the time is over"""
GRACE_BYTES = 256 << 20
"""that a process may grow between two looks at it"""
_LOOK_SECONDS = 0.01
_PEAK = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True)
class Fate:
    """What became of a mutant."""

    index: int
    name: str
    source: str
    how: str
    sha256: str
    probe: str
    """`ok` or the kind of the refusal"""
    decode: str
    localize: str
    """empty: not tried"""
    seconds: float
    peak_bytes: int
    """the most memory that the decoding process held"""
    problems: tuple[str, ...]


@dataclass
class Summary:
    """What became of all of them."""

    seed: int
    first: int
    count: int
    num_sources: int
    num_localized: int = 0
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_bytes: int = 0
    probe: dict[str, int] = field(default_factory=dict)
    decode: dict[str, int] = field(default_factory=dict)
    localize: dict[str, int] = field(default_factory=dict)
    num_children: int = 0
    """decoding processes used; every one beyond the first was lost to a mutant, or given up as it had grown"""
    faults: list[dict[str, Any]] = field(default_factory=list)


class Peak:
    """The most memory that the decoder's processes have held since the last reset, looked at all the time."""

    def __init__(self, decoder: MediaDecoder) -> None:
        self._decoder = decoder
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.bytes = 0
        self.pids: set[int] = set()

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def reset(self) -> None:
        with contextlib.suppress(OSError):
            Path(f"/proc/{self._decoder.pid}/clear_refs").write_text("5")
        self.bytes = 0

    def look(self) -> int:
        """The peak now, in bytes."""
        pid = self._decoder.pid
        if pid is not None:
            self.pids.add(pid)
            with contextlib.suppress(OSError):
                found = _PEAK.search(Path(f"/proc/{pid}/status").read_text())
                self.bytes = max(self.bytes, int(found[1]) << 10 if found else 0)
        return self.bytes

    def _watch(self) -> None:
        while not self._stopped.wait(_LOOK_SECONDS):
            self.look()


def examine(
    given: Sequence[mutants.Source],
    folder: Path,
    *,
    seed: int,
    first: int = 0,
    count: int,
    localizer: Localizer | None = None,
    localize_every: int = 0,
    keep: bool = False,
) -> Summary:
    """Put mutants through; fates go to `fates.jsonl`, the summary to `fuzz.json`, what failed beside them.

    localize_every: of so many decoded mutants, one is examined to the end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    summary, began = Summary(seed, first, count, len(given)), time.monotonic()
    with (
        MediaDecoder(LIMITS) as decoder,
        Peak(decoder) as peak,
        (folder / "fates.jsonl").open("w") as lines,
        tempfile.TemporaryDirectory() as scratch,
    ):
        for index in range(first, first + count):
            one = mutants.mutant(seed, index, given)
            path = Path(scratch) / one.name
            path.write_bytes(one.data)
            wanted = localizer if localize_every and index % localize_every == 0 else None
            fate = _fate(one, path, decoder, peak, wanted)
            lines.write(json.dumps(asdict(fate)) + "\n")
            _count(summary, fate)
            if fate.problems or keep:
                (folder / one.name).write_bytes(one.data)
            path.unlink()
        summary.num_children = len(peak.pids)
    summary.seconds = round(time.monotonic() - began, 1)
    (folder / "fuzz.json").write_text(json.dumps(asdict(summary), indent=2) + "\n")
    return summary


def _count(summary: Summary, fate: Fate) -> None:
    for name in ("probe", "decode", "localize"):
        if outcome := getattr(fate, name):
            counts = getattr(summary, name)
            counts[outcome] = counts.get(outcome, 0) + 1
    summary.num_localized += bool(fate.localize)
    summary.slowest_seconds = max(summary.slowest_seconds, fate.seconds)
    summary.peak_bytes = max(summary.peak_bytes, fate.peak_bytes)
    if fate.problems:
        summary.faults.append(asdict(fate))


def _fate(one: mutants.Mutant, path: Path, decoder: MediaDecoder, peak: Peak, localizer: Localizer | None) -> Fate:
    peak.reset()
    began, problems = time.monotonic(), []
    probe, _, duration = _tried(lambda: decoder.probe(path), path, problems)
    decode, clip, _ = _tried(lambda: decoder.decode(path, VIEW), path, problems)
    localize = ""
    if clip is not None:
        problems += contradictions(clip)
        duration = clip.duration_seconds
        if localizer is not None:
            localize, _, _ = _tried(lambda: localizer.examine(path, localizer.decode(decoder, path)), path, problems)
    seconds, most = time.monotonic() - began, peak.look()
    allowed = 3 * (LIMITS.timeout_seconds + LIMITS.timeout_per_second * duration) + GRACE_SECONDS
    if seconds > allowed:
        problems.append(f"took {seconds:.0f} s, {allowed:.0f} s are allowed")
    if most > LIMITS.memory_bytes + GRACE_BYTES:
        problems.append(f"took {most >> 20} MiB of memory")
    return Fate(
        index=one.index,
        name=one.name,
        source=one.source,
        how=one.how,
        sha256=one.sha256,
        probe=probe,
        decode=decode,
        localize=localize,
        seconds=round(seconds, 3),
        peak_bytes=most,
        problems=tuple(problems),
    )


def _tried(ask: Any, path: Path, problems: list[str]) -> tuple[str, Any, float]:
    """(`ok` or the kind of the refusal, what came, its duration); anything but a refusal in words is a problem."""
    try:
        found = ask()
    except DecodeError as error:
        sentence = str(error)
        if error.kind == "failed" or "\n" in sentence or str(path) not in sentence:
            problems.append(f"{error.kind}: {sentence}")
        return error.kind, None, 0.0
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
        return type(error).__name__, None, 0.0
    return "ok", found, float(getattr(found, "duration_seconds", 0.0))


def contradictions(clip: DecodedClip) -> Iterator[str]:
    """What a decoded clip says that cannot be."""
    if not 0 < clip.duration_seconds <= LIMITS.max_duration_seconds:
        yield f"lasts {clip.duration_seconds} s"
    if clip.waveform is not None:
        if clip.waveform.shape != (round(clip.duration_seconds * SAMPLE_RATE_HZ),):
            yield f"{clip.waveform.shape} samples in {clip.duration_seconds} s"
        if not np.isfinite(clip.waveform).all() or np.abs(clip.waveform).max(initial=0.0) > 1.0:
            yield "samples beyond full scale"
    if clip.frames is not None and clip.frame_boxes is not None and clip.frame_grid is not None:
        if len(clip.frames) != clip.frame_grid.num_cells or len(clip.frame_boxes) != len(clip.frames):
            yield f"{len(clip.frames)} pictures, {len(clip.frame_boxes)} boxes, {clip.frame_grid.num_cells} cells"
        if not np.isfinite(clip.frame_boxes).all():
            yield "boxes that are not finite"
    if clip.waveform is None and clip.frames is None:
        yield "neither sound nor picture"


# ---- drawn sources

# x264 and x265 do not write the same twice; real clips have their codings
DRAWN = {
    "drawn.mp4": ("mpeg4", "aac"),
    "drawn-mpeg2.mp4": ("mpeg2video", "aac"),
    "drawn-vp9.mkv": ("libvpx-vp9", "libopus"),
    "drawn.mov": ("mjpeg", "pcm_s16le"),
    "drawn.mkv": ("mpeg4", "flac"),
    "drawn.webm": ("libvpx", "libopus"),
    "drawn.avi": ("mpeg4", "libmp3lame"),
    "drawn.ts": ("mpeg1video", "ac3"),
    "drawn.flv": ("flv", "libmp3lame"),
    "drawn.wav": (None, "pcm_s16le"),
    "drawn.flac": (None, "flac"),
    "drawn.ogg": (None, "libopus"),
    "drawn.mp3": (None, "libmp3lame"),
}
_NUM_PICTURES, _SIDE, _RATE_HZ = 15, 64, 48_000


def draw(folder: Path) -> list[Path]:
    """Tiny clips of 0.6 s in many containers and codings, in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (video, audio) in DRAWN.items():
        _draw(folder / name, video, audio)
    return [folder / name for name in DRAWN]


def _draw(path: Path, video: str | None, audio: str) -> None:
    rng = np.random.default_rng(0)
    with av.open(str(path), "w", options=bombs.EXACT) as out:
        pictures: Any = out.add_stream(video, rate=25) if video else None
        sound: Any = out.add_stream(audio, rate=_RATE_HZ, layout="mono")
        if pictures is not None:
            pictures.width, pictures.height = _SIDE, _SIDE
            pictures.pix_fmt = "yuvj420p" if video == "mjpeg" else "yuv420p"
            for number in range(_NUM_PICTURES):
                pixels = np.roll(rng.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8) // 4, number, axis=1)
                out.mux(pictures.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            out.mux(pictures.encode(None))
        wave = 0.3 * np.sin(2 * np.pi * 220 * np.arange(int(_NUM_PICTURES / 25 * _RATE_HZ)) / _RATE_HZ)
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = _RATE_HZ, 0, Fraction(1, _RATE_HZ)
        out.mux(sound.encode(frame))
        out.mux(sound.encode(None))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--media", type=Path, help="a folder of real clips")
    parser.add_argument("--max-bytes", type=int, default=500_000, help="of a real clip (default: 500,000)")
    parser.add_argument("--model", type=Path, help="a model folder: one mutant in --localize-every is examined with it")
    parser.add_argument("--localize-every", type=int, default=20)
    parser.add_argument("--keep", action="store_true", help="keep every mutant's file")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        given = mutants.sources(draw(Path(folder)), wanted.media, wanted.max_bytes)
        summary = examine(
            given,
            wanted.out,
            seed=wanted.seed,
            first=wanted.first,
            count=wanted.count,
            localizer=None if wanted.model is None else Localizer.load(wanted.model, device="cpu"),
            localize_every=wanted.localize_every,
            keep=wanted.keep,
        )
    for fate in summary.faults:
        sys.stdout.write(f"{fate['name']} ({fate['source']}: {fate['how']}): {'; '.join(fate['problems'])}\n")
    kinds = ", ".join(f"{name} {count}" for name, count in Counter(summary.decode).most_common())
    sys.stdout.write(
        f"{summary.count} mutants of {summary.num_sources} files in {summary.seconds} s: {kinds}; the slowest took "
        f"{summary.slowest_seconds:.1f} s, the decoder held {summary.peak_bytes >> 20} MiB at most; "
        f"{len(summary.faults)} faults\n"
    )
    return 1 if summary.faults else 0


if __name__ == "__main__":
    sys.exit(main())

"""How fast `iamsb watch` is, and how soon it speaks: real-time factor, delay and memory, with handcrafted encoders.

    python tests/benchmarks/bench_watch.py                           60 s made of a drawn clip, as MPEG-TS
    python tests/benchmarks/bench_watch.py VIDEO                     or of a video
    python tests/benchmarks/bench_watch.py VIDEO --seconds 600 --model FOLDER --as-offline

The video is repeated up to the wanted length. First it is there already, so that what limits is the machine: the
real-time factor is media over time, from the first piece to the last. Then a process writes it at its own speed, and
every settled segment says how long after the arrival of its end it was printed. Without a model a compact one that was
never trained is made, which shows everything. Every thread pool is held to two cores together: decoding is one
process, the rest another. Writes the same as JSON. Other work on the machine is in the times; the share of processor
time that we got says how much.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import numpy as np
import torch
from harness import machine

from iamsb_core.digest import plain
from iamsb_core.encoders.base import Streams
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.forgery.config import EncodingConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.localizer import Localizer
from iamsb_core.media.live import LivePiece, follow
from iamsb_core.report.evidence import Thresholds
from iamsb_core.systems.base import create_system
from iamsb_core.systems.iamsb import compact
from iamsb_core.training.model_folder import ModelCard, save_model
from iamsb_core.watching import OfflineWatcher, PromptWatcher, SettledSegment, Watcher


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path, nargs="?")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--delay-seconds", type=float, default=3.0)
    parser.add_argument("--as-offline", action="store_true")
    parser.add_argument("--skip-live", action="store_true", help="measure the real-time factor alone")
    parser.add_argument("--out", type=Path, default=Path("build/benchmarks/watch.json"))
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder) / "recording.ts"
        repeat(wanted.video or drawn(Path(folder) / "drawn.mp4"), recording, wanted.seconds)
        localizer = Localizer.load(wanted.model or untrained(Path(folder) / "model"), device="cpu")
        if wanted.model is None:
            localizer = replace(localizer, thresholds=Thresholds(display=0.0))

        def watcher() -> Watcher:
            if wanted.as_offline:
                return OfflineWatcher(localizer)
            return PromptWatcher(localizer, delay_seconds=wanted.delay_seconds)

        result: dict[str, Any] = {"machine": machine(), "cores": os.cpu_count(), "as_offline": wanted.as_offline}
        result |= {f"speed_{name}": value for name, value in at_full_speed(watcher, recording).items()}
        if not wanted.skip_live:
            result |= {f"live_{name}": value for name, value in live(watcher, recording, Path(folder)).items()}
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    wanted.out.write_text(json.dumps(result, indent=2) + "\n")
    for name, value in result.items():
        sys.stdout.write(f"{name:32} {value:.4g}\n" if isinstance(value, float) else f"{name:32} {value}\n")


def at_full_speed(make: Callable[[], Watcher], recording: Path) -> dict[str, Any]:
    """The whole recording is there: how fast it is worked through."""
    watcher, begun, used = make(), [], _processor_seconds()
    found: list[SettledSegment] = []
    kept = 0

    def use(piece: LivePiece) -> None:
        nonlocal kept
        begun.append(time.monotonic())
        found.extend(watcher.push(piece))
        kept = max(kept, watcher.num_kept)

    end = follow(str(recording), watcher.view, use, idle_seconds=0.2, step_seconds=watcher.crop_seconds)
    found.extend(watcher.finish(end.duration_seconds))
    took, (own, decoder) = time.monotonic() - begun[0], np.subtract(_processor_seconds(), used).tolist()
    return {
        "media_seconds": end.duration_seconds,
        "took_seconds": took,
        "processor_seconds": own,
        "processor_seconds_of_the_decoder": decoder,
        "real_time_factor": end.duration_seconds / took,
        "processor_share_of_two_cores": (own + decoder) / (2.0 * took),
        "segments": len(found),
        "most_cells_kept": kept,
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
    }


def live(make: Callable[[], Watcher], recording: Path, folder: Path) -> dict[str, Any]:
    """A thread writes the recording into a pipe at its own speed: how late segments are."""
    watcher, pipe, settled, behind = make(), folder / "pipe", [], [0.0]
    os.mkfifo(pipe)
    data = recording.read_bytes()
    seconds = duration(recording)

    def write() -> None:
        started, sent = time.monotonic(), 0
        with pipe.open("wb") as file:
            while sent < len(data):
                due = int(len(data) * (time.monotonic() - started) / seconds)
                file.write(data[sent:due])
                file.flush()
                sent = max(sent, due)
                time.sleep(0.02)

    def use(piece: LivePiece) -> None:
        settled.extend(watcher.push(piece))
        behind.append(piece.behind_seconds)

    writer = threading.Thread(target=write)
    writer.start()
    follow(str(pipe), watcher.view, use, step_seconds=watcher.crop_seconds)
    writer.join()
    delays = np.array([segment.delay_seconds for segment in settled])
    at = dict(zip(("median", "p95", "most"), np.quantile(delays, [0.5, 0.95, 1.0]).tolist(), strict=True))
    return {
        "segments": len(settled),
        **{f"delay_{name}_seconds": value for name, value in at.items()},
        "share_within_3_seconds": float((delays <= 3.0).mean()),
        "most_behind_seconds": max(behind),
    }


def repeat(video: Path, target: Path, seconds: float) -> None:
    """H.264 and AAC of the video over and over, a picture group a second, to the wanted length."""
    with av.open(str(target), "w", format="mpegts") as container:
        picture = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "g": "25"})
        sound = container.add_stream("aac", rate=48000, layout="mono")
        picture.width, picture.height, picture.pix_fmt = 640, 480, "yuv420p"
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48000, frame_size=1024)
        pictures = samples = 0
        while pictures < seconds * 25:
            with av.open(str(video)) as source:
                for frame in source.decode(video=0, audio=0):
                    if isinstance(frame, av.VideoFrame):
                        shown = frame.reformat(640, 480, "yuv420p")
                        shown.pts, shown.time_base, pictures = pictures, Fraction(1, 25), pictures + 1
                        container.mux(picture.encode(shown))
                        continue
                    frame.pts = None
                    for heard in resampler.resample(frame):
                        if samples / 48000 < pictures / 25 + 1.0:
                            heard.pts, samples = samples, samples + heard.samples
                            container.mux(sound.encode(heard))
        for stream in (picture, sound):
            container.mux(stream.encode())


def drawn(path: Path) -> Path:
    """A clip of 6 s of a drawn person."""
    made = draw_recording(0, 6.0, 0)
    encode_clip(path, made.frames, made.waveform, EncodingConfig())
    return path


def duration(path: Path) -> float:
    with av.open(str(path)) as container:
        return float((container.duration or 0) / av.time_base)


def untrained(folder: Path) -> Path:
    """A compact IaMSB as its seed left it, with windows as training has them."""
    audio, visual = encoder_specs("handcrafted")
    streams = Streams(audio=load_encoder(audio).stream, visual=load_encoder(visual).stream)
    torch.manual_seed(0)
    system = create_system("iamsb", streams, compact())
    card = ModelCard(
        system="iamsb",
        system_config=plain(system.config),
        streams=streams,
        audio_encoder=audio,
        visual_encoder=visual,
        window_seconds=20.48,
    )
    return save_model(folder, system.state_dict(), card)


def _processor_seconds() -> tuple[float, float]:
    """Of this process, and of the decoding processes that ended."""
    own, decoders = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return own.ru_utime + own.ru_stime, decoders.ru_utime + decoders.ru_stime


if __name__ == "__main__":
    main()

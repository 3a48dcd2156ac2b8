"""How many clips a second of one core's time each kind of perturbation does, beside decoding and encoding.

    python tests/benchmarks/bench_perturbations.py [--clips 5] [--seconds 5] [--out FILE]

Prints one JSON document. Clips are drawn, written as H.264 and AAC, and read by the decoder that the extraction uses,
in the view that encoders ask for (224 pixels, 25 Hz). The kinds, at their strongest level, take turns on each clip, and
the median counts. Processor time is what is measured, so that other work on the machine disturbs little.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import psutil
import torch
from harness import machine

from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.forgery.config import EncodingConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.media.perturbations.apply import perturbed
from iamsb_core.media.perturbations.spec import KIND_NAMES, PerturbationSpec


def timed(work: Callable[[], Any], decoder: MediaDecoder) -> tuple[float, Any]:
    """Processor seconds of this process and the decoder's, and what came of it."""
    began = _processor_seconds(decoder)
    done = work()
    return _processor_seconds(decoder) - began, done


def _processor_seconds(decoder: MediaDecoder) -> float:
    times = psutil.Process(decoder.pid).cpu_times() if decoder.pid is not None else None
    return time.process_time() + (0.0 if times is None else times.user + times.system)


def measure(num_clips: int, clip_seconds: float, folder: Path) -> dict[str, list[float]]:
    """Seconds for each clip: decoding, encoding (both handcrafted encoders), and every kind."""
    encoders = [load_encoder(spec) for spec in encoder_specs("handcrafted")]
    found: dict[str, list[float]] = {"decode": [], "encode": [], **{kind: [] for kind in KIND_NAMES}}
    with MediaDecoder() as decoder:
        for number in range(num_clips + 1):
            path = folder / f"{number}.mp4"
            drawn = draw_recording(number, clip_seconds, 0)
            encode_clip(path, drawn.frames, drawn.waveform, EncodingConfig())
            seconds, clip = timed(lambda path=path: decoder.decode(path, FrameView()), decoder)
            took = {"decode": seconds}
            took["encode"], _ = timed(lambda clip=clip: [encoder.encode([clip]) for encoder in encoders], decoder)
            for kind in KIND_NAMES:
                spec = PerturbationSpec(kind=kind, level=5)
                took[kind], _ = timed(lambda clip=clip, spec=spec: perturbed(clip, [spec]), decoder)
            if number:  # the first one pays for what is made once
                for name, value in took.items():
                    found[name].append(value)
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(arguments.clips, arguments.seconds, Path(folder))
    rates = {name: round(1 / median(seconds), 1) for name, seconds in found.items()}
    document = {
        "machine": machine(),
        "clips": arguments.clips,
        "clip_seconds": arguments.seconds,
        "clips_per_core_second": rates,
    }
    text = json.dumps(document, indent=2)
    if arguments.out is not None:
        arguments.out.write_text(text + "\n")
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

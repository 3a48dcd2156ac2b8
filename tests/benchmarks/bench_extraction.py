"""How much of the rate of decoding alone a whole extraction keeps, and where its seconds go.

    python tests/benchmarks/bench_extraction.py                  drawn clips of 224 pixels, as the benchmarks are
    python tests/benchmarks/bench_extraction.py --media FOLDER   and the videos of a folder
    python tests/benchmarks/bench_extraction.py --rounds 5 --clips 64

Decoding alone, with every core, and the extraction of the same clips into an empty store (decode, encode, write,
commit; as many shards at a time as the flow has) take turns; the ratio is the target's: 0.85 or more. Both start their
decoding processes. Then one clip after another goes through each stage, and processor time counts: a stage's seconds
are of one core, for an hour of video, at 25, 12.5 and 5 pictures a second. Last come networks of WavLM-large's and
CLIP ViT-B/16's shapes with seeded weights where there is a GPU (elsewhere tiny ones, which show that the path works):
times real time, the share of the measured rate of bfloat16 products that they reach, and what a middle layer costs.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import networks
import psutil
import torch
from harness import finish, in_turns, machine, median_ratio, parser

from iamsb_core.digest import file_sha256
from iamsb_core.encoders.base import Encoder, EncoderSpec
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.forgery.config import EncodingConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.manifest import VideoRecord, VideoShard
from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore
from tasks.extraction import extract
from tasks.jobs import ShardJob

RATES_HZ = (25.0, 12.5, 5.0)
NUM_SHARDS = 2
"""at a time, as the flow's default"""
TARGET = 0.85


def main() -> None:
    options = parser(__doc__, "extraction")
    options.add_argument("--clips", type=int, default=8, help="drawn clips")
    options.add_argument("--seconds", type=float, default=8.6, help="of each drawn clip: LAV-DF's mean")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--media", type=Path, default=os.environ.get("IAMSB_TEST_MEDIA"), help="a folder of videos")
    options.add_argument("--most", type=int, default=8, help="videos of --media, evenly chosen")
    options.add_argument("--skip-networks", action="store_true")
    options.add_argument("--folder", type=Path, help="where to write")
    chosen = options.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    document: dict[str, Any] = {"machine": machine(), "target": TARGET, "sets": {}}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        sets = {"drawn": draw(Path(folder) / "drawn", chosen.clips, chosen.seconds)}
        if chosen.media is not None:
            media = Path(chosen.media)
            found = (media / "real" if (media / "real").is_dir() else media).iterdir()
            videos = sorted(path for path in found if path.is_file())
            sets["real"] = videos[:: -(-len(videos) // chosen.most)]
        for name, paths in sets.items():
            document["sets"][name] = measure(paths, chosen.rounds, Path(folder))
        if not chosen.skip_networks:
            document["networks"] = networks.measure(read_records(sets["drawn"]), Path(folder), extracted)
    finish(document, chosen.out)


def draw(folder: Path, num_clips: int, seconds: float) -> list[Path]:
    """Clips of drawn people, H.264 and AAC, each of other bytes."""
    folder.mkdir()
    for number in range(num_clips):
        drawn = draw_recording(number % 4, seconds, 0, number // 4)
        encode_clip(folder / f"{number}.mp4", drawn.frames, drawn.waveform, EncodingConfig())
    return sorted(folder.iterdir())


def measure(paths: Sequence[Path], num_rounds: int, folder: Path) -> dict[str, Any]:
    """Whole runs in turns, then the stages one by one."""
    records = read_records(paths)
    media_seconds = sum(one.duration_seconds or 0.0 for one in records)
    specs = encoder_specs("handcrafted")
    seconds, processor = in_turns(
        {"decoding_alone": lambda: decode(paths), "extraction": lambda: extracted(records, specs, folder)}, num_rounds
    )
    return {
        "num_clips": len(paths),
        "media_seconds": round(media_seconds, 1),
        "seconds": {name: [round(value, 2) for value in values] for name, values in seconds.items()},
        "times_real_time": {name: round(media_seconds / median(values), 1) for name, values in seconds.items()},
        "extraction_over_decoding_rate": median_ratio(seconds["decoding_alone"], seconds["extraction"]),
        "processor_seconds": {name: [round(value, 2) for value in values] for name, values in processor.items()},
        "extraction_over_decoding_rate_by_processor": median_ratio(
            processor["decoding_alone"], processor["extraction"]
        ),
        "core_seconds_per_hour_of_video": {
            f"{rate_hz:g} Hz": stages(paths, media_seconds, rate_hz, folder) for rate_hz in RATES_HZ
        },
    }


def read_records(paths: Sequence[Path]) -> list[VideoRecord]:
    """The clips as a manifest has them, with their lengths."""
    with MediaDecoder() as decoder:
        return [
            VideoRecord(
                video_id=path.as_posix(),
                path=path,
                split="train",
                duration_seconds=decoder.probe(path).duration_seconds,
                media_sha256=file_sha256(path),
            )
            for path in paths
        ]


def decode(paths: Sequence[Path]) -> None:
    """Nothing but decoding, one process for each core."""
    cores = os.cpu_count() or 1
    decoders = [MediaDecoder() for _ in range(cores)]
    shares = [paths[number::cores] for number in range(cores)]

    def work(number: int) -> None:
        with decoders[number] as decoder:
            for path in shares[number]:
                decoder.decode(path, FrameView())

    with ThreadPoolExecutor(cores) as pool:
        list(pool.map(work, range(cores)))


def extracted(
    records: Sequence[VideoRecord], specs: tuple[EncoderSpec, EncoderSpec], folder: Path, device: str = "cpu"
) -> None:
    """The flow's task on each of its shards, into an empty store."""
    with tempfile.TemporaryDirectory(dir=folder) as root:
        jobs = [
            ShardJob(
                shard=VideoShard(Path("/"), tuple(records[number::NUM_SHARDS])),
                audio=specs[0],
                visual=specs[1],
                store=Path(root),
                device=device,
            )
            for number in range(NUM_SHARDS)
        ]
        with ThreadPoolExecutor(NUM_SHARDS) as pool:
            for result in pool.map(extract, jobs):
                assert result.num_decoded, "nothing was extracted"


def stages(paths: Sequence[Path], media_seconds: float, rate_hz: float, folder: Path) -> dict[str, float]:
    """Processor seconds of each stage for an hour of video, one clip after another, and the features' megabytes."""
    audio_spec, visual_spec = encoder_specs("handcrafted")
    visual_spec = replace(visual_spec, view=FrameView(rate_hz=rate_hz))
    encoders = {"encode_sound": load_encoder(audio_spec), "encode_picture": load_encoder(visual_spec)}
    spent = dict.fromkeys(("decode", *encoders, "write"), 0.0)
    with tempfile.TemporaryDirectory(dir=folder) as root, MediaDecoder() as decoder:
        staged(paths[0], encoders, decoder, {}, warm=FeatureStore(Path(root) / "warm"))  # pays for what is made once
        store = FeatureStore(Path(root) / "whole")
        entries: dict[str, list[ClipEntry]] = {name: [] for name in encoders}
        for path in paths:
            staged(path, encoders, decoder, spent, entries=entries)
        for name, encoder in encoders.items():
            _timed(spent, "write", lambda e=encoder, name=name: store.commit(e.stream, e.spec, entries[name]))
        num_bytes = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    hours = media_seconds / 3600.0
    return {
        **{name: round(value / hours, 1) for name, value in spent.items()},
        "megabytes_stored": round(num_bytes / hours / 1e6, 1),
    }


def staged(
    path: Path,
    encoders: dict[str, Encoder],
    decoder: MediaDecoder,
    spent: dict[str, float],
    *,
    warm: FeatureStore | None = None,
    entries: dict[str, list[ClipEntry]] | None = None,
) -> None:
    """One clip decoded and encoded; its entries are kept, or written at once where a store is to be warmed."""
    view = encoders["encode_picture"].spec.view
    clip = _timed(spent, "decode", lambda: decoder.decode(path, view), decoder)
    there = {"encode_sound": clip.waveform is not None, "encode_picture": clip.frames is not None}
    for name in (name for name in encoders if there[name]):
        encoder = encoders[name]
        track = _timed(spent, name, lambda encoder=encoder: encoder.encode([clip])[0])
        entry = ClipEntry.encoded(clip.probe.sha256, track, clip.duration_seconds)
        if entries is not None:
            entries[name].append(entry)
        if warm is not None:
            warm.commit(encoder.stream, encoder.spec, [entry])


def _timed(spent: dict[str, float], name: str, work: Callable[[], Any], decoder: MediaDecoder | None = None) -> Any:
    """Add the processor seconds that a stage took of this thread and of the decoding process."""
    began = _processor_seconds(decoder)
    done = work()
    spent[name] = spent.get(name, 0.0) + _processor_seconds(decoder) - began
    return done


def _processor_seconds(decoder: MediaDecoder | None) -> float:
    own = time.thread_time()
    if decoder is None or decoder.pid is None:
        return own
    times = psutil.Process(decoder.pid).cpu_times()
    return own + times.user + times.system


if __name__ == "__main__":
    sys.exit(main())

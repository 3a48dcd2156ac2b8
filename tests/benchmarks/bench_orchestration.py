"""What flows, store and records cost beside the work itself, and how soon a rerun knows that there is nothing to do.

    python tests/benchmarks/bench_orchestration.py                     24 and 500 clips of 2 s, a rerun over 5,000 clips
    python tests/benchmarks/bench_orchestration.py --media FOLDER      with clips of your own, the first by name
    python tests/benchmarks/bench_orchestration.py --rerun 100000      the rerun's target: minutes to make its store

The flow's extraction (manifest, digests, shards, tasks with retries and caching, store, commits, verdict) and a plain
loop that decodes and encodes the same clips and keeps nothing (as many at a time as the flow has shards, no store, no
server) take turns; the target is 1.05 or less. The server runs before the clocks start, as under `iamsb up`. What the
flow takes above the loop is told for each number of clips, so that what is fixed and what grows with them are told
apart; and what the server takes of a core while nothing is asked of it. The rerun is the command, with its own start,
on a dataset whose features (tiny, in real packs) are all there; 30 s is the target for 100,000 clips.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import PROJECT, finish, in_turns, machine, median_ratio, parser, processor_seconds

from flows.environment import prepare
from flows.server import serve
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.digest import file_sha256
from iamsb_core.encoders.base import EncodedTrack, Encoder
from iamsb_core.encoders.load import encoder_specs, load_encoder
from iamsb_core.forgery.config import EncodingConfig
from iamsb_core.forgery.encode import encode_clip
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.manifest import VideoShard
from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.timeline import FeatureTrack, TimeGrid
from storage.clips import ClipEntry
from storage.feature_store import FeatureStore, open_store
from storage.home import Home
from storage.media_index import MediaIndex
from storage.refs import ManifestRef

NUM_AT_A_TIME = 2
CLIPS_PER_PACK = 64
OVERHEAD_TARGET, RERUN_SECONDS_TARGET = 1.05, 30.0
IDLE_SECONDS = 10.0


def main() -> None:
    options = parser(__doc__, "orchestration")
    options.add_argument("--clips", type=int, nargs="*", default=[24, 500], help="of each extraction")
    options.add_argument("--seconds", type=float, default=2.0, help="of each drawn clip")
    options.add_argument("--media", type=Path, help="folder of MP4 files to extract, instead of drawn clips")
    options.add_argument("--rounds", type=int, default=2)
    options.add_argument("--rerun", type=int, default=5000, help="clips of the dataset that is there already")
    options.add_argument("--folder", type=Path, help="where to write")
    chosen = options.parse_args()
    document: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        work = Path(folder)
        if chosen.clips:
            paths = clip_files(work, max(chosen.clips), chosen.seconds, chosen.media)
            document["overhead"] = overhead(work, paths, sorted(chosen.clips), chosen.rounds)
        if chosen.rerun:
            document["rerun"] = rerun(work, chosen.rerun)
    finish(document, chosen.out)


def overhead(folder: Path, paths: Sequence[Path], numbers: Sequence[int], num_rounds: int) -> dict[str, Any]:
    """The flow and the plain loop in turns on so many of the clips, by the clock and by the processor."""
    os.environ["IAMSB_HOME"] = str(folder / "home")
    os.environ["IAMSB_DECODERS"] = "1"
    began = time.perf_counter()
    serve(prepare(Home(folder / "home")))
    server_seconds = time.perf_counter() - began
    from flows.extract import extract  # noqa: PLC0415 - Prefect reads the server's address when it is imported

    first = folder / "first"
    write_dataset(first, paths[:2])
    extract(first)  # imports, and what is made once
    runs = [_side_by_side(folder / str(number), paths[:number], num_rounds) for number in numbers]
    found: dict[str, Any] = {
        "runs": runs,
        "target": OVERHEAD_TARGET,
        "server_start_seconds": round(server_seconds, 1),
        "idle_server_share_of_a_core": idle_server(),
    }
    if len(runs) > 1:
        extra = [run["extra_processor_seconds"] for run in runs]
        slope, constant = np.polyfit(numbers, extra, 1)
        found["fixed_processor_seconds"] = round(float(constant), 2)
        found["processor_milliseconds_per_clip"] = round(1e3 * float(slope), 2)
    return found


def _side_by_side(folder: Path, paths: Sequence[Path], num_rounds: int) -> dict[str, Any]:
    """Both ways on the same clips, each extraction of the flow into an empty store."""
    from flows.extract import extract  # noqa: PLC0415 - Prefect reads the server's address when it is imported

    root, homes = folder / "data", itertools.count()
    write_dataset(root, paths)

    def flow() -> None:
        os.environ["IAMSB_HOME"] = str(folder / f"home{next(homes)}")
        done = extract(root)
        assert done.num_decoded == len(paths), done

    clock, processor = in_turns({"plain_loop": lambda: plain_loop(paths), "flow": flow}, num_rounds)
    return {
        "num_clips": len(paths),
        "seconds": {name: [round(value, 2) for value in values] for name, values in clock.items()},
        "processor_seconds": {name: [round(value, 2) for value in values] for name, values in processor.items()},
        "flow_over_plain_loop": median_ratio(clock["flow"], clock["plain_loop"]),
        "flow_over_plain_loop_processor": median_ratio(processor["flow"], processor["plain_loop"]),
        "extra_processor_seconds": round(
            median(f - p for f, p in zip(processor["flow"], processor["plain_loop"], strict=True)), 2
        ),
    }


def idle_server() -> float:
    """Of a core, while nothing is asked of it."""
    spent = processor_seconds()
    time.sleep(IDLE_SECONDS)
    return round((processor_seconds() - spent) / IDLE_SECONDS, 4)


def plain_loop(paths: Sequence[Path]) -> None:
    """The core's functions and nothing else: decode, encode, drop."""
    encoders = [load_encoder(spec) for spec in encoder_specs("handcrafted")]

    def work(share: Sequence[Path]) -> None:
        with MediaDecoder() as decoder, ThreadPoolExecutor(1) as ahead:
            waiting = [ahead.submit(decoder.decode, path, FrameView()) for path in share[:2]]
            for number in range(len(share)):
                clip = waiting[number].result()
                if number + 2 < len(share):
                    waiting.append(ahead.submit(decoder.decode, share[number + 2], FrameView()))
                for encoder in encoders:
                    encoder.encode([clip])
                waiting[number] = None  # type: ignore[call-overload]  # its pictures are on the disk until then

    with ThreadPoolExecutor(NUM_AT_A_TIME) as pool:
        list(pool.map(work, (paths[number::NUM_AT_A_TIME] for number in range(NUM_AT_A_TIME))))


def clip_files(folder: Path, num_clips: int, seconds: float, media: Path | None) -> list[Path]:
    """Clips of other bytes each, with an empty box of its own number at the end: those of a folder, or eight drawn
    ones again and again."""
    drawn = folder / "drawn"
    drawn.mkdir()
    if media is not None:
        sources = sorted(media.rglob("*.mp4"))[:num_clips]
        assert len(sources) == num_clips, f"{media} has {len(sources)} MP4 files, {num_clips} are wanted"
    else:
        sources = [_drawn(drawn / f"source{person}.mp4", person, seconds) for person in range(min(8, num_clips))]
    paths = []
    for number in range(num_clips):
        path = drawn / f"{number:06d}.mp4"
        content = sources[number % len(sources)].read_bytes()
        path.write_bytes(content + (16).to_bytes(4) + b"free" + number.to_bytes(8))
        paths.append(path)
    return paths


def _drawn(path: Path, person: int, seconds: float) -> Path:
    made = draw_recording(person, seconds, 0)
    encode_clip(path, made.frames, made.waveform, EncodingConfig())
    return path


def write_dataset(root: Path, paths: Sequence[Path]) -> None:
    """LAV-DF's layout, all genuine and all for training."""
    (root / "train").mkdir(parents=True)
    entries = []
    for path in paths:
        (root / "train" / path.name).hardlink_to(path)
        entries.append(entry(f"train/{path.name}"))
    (root / "metadata.min.json").write_text(json.dumps(entries))


def entry(file: str) -> dict[str, Any]:
    fields = {"n_fakes": 0, "fake_periods": [], "duration": 0.04, "original": None}
    counts = {"video_frames": 1, "audio_channels": 1, "audio_frames": 640}
    return {"file": file, **fields, "modify_video": False, "modify_audio": False, "split": "train", **counts}


def rerun(folder: Path, num_clips: int) -> dict[str, Any]:
    """`iamsb extract` on a dataset that was extracted: the second run's whole command."""
    home, root = folder / "rerun_home", folder / "rerun_data"
    began = time.perf_counter()
    paths = fill(folder / "files", num_clips)
    write_dataset(root, paths)
    write_features(Home(home), paths)
    made_seconds = time.perf_counter() - began
    (first, first_processor), (second, processor) = (command(home, root, num_clips) for _ in range(2))
    return {
        "num_clips": num_clips,
        "seconds": round(second, 1),
        "processor_seconds": round(processor, 1),
        "seconds_with_digests": round(first, 1),
        "processor_seconds_with_digests": round(first_processor, 1),
        "processor_seconds_of_what_grows": deciding(Home(home), root),
        "target_for_100000": RERUN_SECONDS_TARGET,
        "made_seconds": round(made_seconds, 1),
    }


def deciding(home: Home, root: Path) -> dict[str, float]:
    """What the flow does for each clip of a dataset that is all there, apart from its start, its server and its end."""
    # They import Prefect, which reads the server's address then.
    from tasks.extraction import which_complete  # noqa: PLC0415
    from tasks.jobs import ShardJob, Stock, shard_jobs  # noqa: PLC0415

    specs = encoder_specs("handcrafted")
    spent: dict[str, float] = {}
    manifest = _timed(spent, "manifest", lambda: read_dataset("lavdf", root))
    found = _timed(spent, "digests", lambda: MediaIndex(home.media_index).fingerprint(manifest.root, manifest.videos))
    stock = Stock(replace(manifest, videos=found.videos), ())
    pattern = ShardJob(shard=VideoShard(root, ()), audio=specs[0], visual=specs[1], store=home.features)
    jobs = _timed(spent, "shards", lambda: list(shard_jobs(stock, CLIPS_PER_PACK, pattern)))
    assert all(_timed(spent, "store", lambda: which_complete(jobs)))
    sha256s = [video.media_sha256 or "" for video in found.videos]
    store = open_store(home.features)
    _timed(spent, "failures", lambda: [store.failures(spec.identity, sha256s) for spec in specs])
    _timed(spent, "reference", lambda: ManifestRef.of(stock.manifest))
    return {name: round(seconds, 2) for name, seconds in spent.items()}


def _timed(spent: dict[str, float], name: str, work: Callable[[], Any]) -> Any:
    began = time.process_time()
    done = work()
    spent[name] = time.process_time() - began
    return done


def fill(folder: Path, num_clips: int) -> list[Path]:
    """Files of a few bytes: nobody will look into them."""
    folder.mkdir()
    paths = [folder / f"{number:06d}.mp4" for number in range(num_clips)]
    for number, path in enumerate(paths):
        path.write_text(f"clip {number}")
    return paths


def write_features(home: Home, paths: Sequence[Path]) -> None:
    """Packs of one extraction's size, with a cell or two of each clip."""
    store = FeatureStore(home.features)
    for spec in encoder_specs("handcrafted"):
        encoder = load_encoder(spec)
        for first in range(0, len(paths), CLIPS_PER_PACK):
            store.commit(encoder.stream, encoder.spec, _entries(encoder, paths[first : first + CLIPS_PER_PACK]))


def _entries(encoder: Encoder, paths: Sequence[Path]) -> Iterator[ClipEntry]:
    stream = encoder.stream
    tracks = []
    for dim, hop_seconds in ((stream.dim, stream.hop_seconds), (stream.fine_dim, stream.fine_hop_seconds)):
        if dim:
            grid = TimeGrid.covering(0.04, hop_seconds)
            tracks.append(FeatureTrack(np.zeros((grid.num_cells, dim), np.float16), grid))
    for path in paths:
        yield ClipEntry.encoded(file_sha256(path), EncodedTrack(*tracks), 0.04)


def command(home: Path, root: Path, num_clips: int) -> tuple[float, float]:
    """Seconds of the whole command, by the clock and of the processors; it must have found everything."""
    words = [sys.executable, "-m", "flows.cli", "extract", "lavdf", str(root), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "IAMSB"))}
    began, spent = time.perf_counter(), processor_seconds()
    done = subprocess.run(
        words,
        cwd=PROJECT,
        env={**environment, "IAMSB_HOME": str(home)},
        stdout=subprocess.PIPE,
        check=True,
    )
    seconds, spent = time.perf_counter() - began, processor_seconds() - spent
    found = json.loads(done.stdout)
    assert (found["num_videos"], found["num_decoded"], found["num_bad"]) == (num_clips, 0, 0), found
    return seconds, spent


if __name__ == "__main__":
    main()

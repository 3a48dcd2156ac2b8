"""One run of the builder inside its staging folder: recordings, clips, genuine twins, by a few processes."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from iamsb_core.forgery.config import ForgeConfig
from iamsb_core.forgery.plan import ClipPlan
from iamsb_core.forgery.recording import is_saved, load_recording
from iamsb_core.forgery.sources import Source, decode_sources
from iamsb_core.forgery.synthetic import save_drawn_recording
from iamsb_core.forgery.takes import SourceLength
from iamsb_core.forgery.workers import forget_recordings, make_clip, make_genuine, note_path, set_up_worker

Progress = Callable[[str, int, int], None]
"""called with what is being done (`recordings` or `clips`), how many are done, and how many there are"""


class Work:
    """One run inside its staging folder."""

    def __init__(
        self, folder: Path, config: ForgeConfig, seed: int, num_workers: int, progress: Progress | None
    ) -> None:
        self.folder, self.config, self.seed = folder, config, seed
        self.num_workers = max(1, num_workers)
        self.recordings, self.notes = folder / ".recordings", folder / ".notes"
        self._progress = progress
        self._lock = threading.Lock()
        for path in (self.recordings, self.notes):
            path.mkdir(exist_ok=True)

    def record(self, sources: Sequence[Source]) -> tuple[tuple[SourceLength, ...], tuple[tuple[str, str], ...]]:
        """Decode or draw every source once; what can be used, and what cannot with the reason."""
        tell = self._teller("recordings", len(sources))
        drawn = [source for source in sources if source.media is None]
        filmed = tuple(source for source in sources if source.media is not None)
        skipped: tuple[tuple[str, str], ...] = ()
        if filmed:
            skipped = decode_sources(filmed, self.recordings, self.config, num_workers=self.num_workers, tell=tell)
        jobs = [(i, self.config.synthetic, self.seed, self.recordings / source.key) for i, source in enumerate(drawn)]
        self._run(save_drawn_recording, jobs, tell)
        usable = [source for source in sources if is_saved(self.recordings / source.key)]
        if not usable:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped[:3])
            raise ValueError(f"none of the {len(sources)} videos can be forged from ({reasons}); give other media")
        lengths = (load_recording(self.recordings / source.key).num_frames for source in usable)
        return tuple(SourceLength(s.key, s.person, n, s.name) for s, n in zip(usable, lengths, strict=True)), skipped

    def make(self, plans: Sequence[ClipPlan]) -> list[dict[str, Any]]:
        """Make every clip; their notes, in order."""
        tell = self._teller("clips", len(plans))
        forget_recordings()
        self._run(make_clip, [(plan, self.config, self.recordings, self.folder, self.notes) for plan in plans], tell)
        return [json.loads(note_path(self.notes, plan).read_text()) for plan in plans]

    def show_genuine(self, plans: Sequence[ClipPlan], name: str) -> None:
        """Write the genuine twin of each of these clips, encoded alike: <name>/<number>.mp4."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        jobs = [(plan, self.config, self.recordings, folder / f"{plan.number:06d}.mp4") for plan in plans]
        self._run(make_genuine, jobs, lambda: None)

    def clean(self) -> None:
        """Remove what only the making needed."""
        forget_recordings()
        shutil.rmtree(self.recordings)
        shutil.rmtree(self.notes)

    def _teller(self, what: str, total: int) -> Callable[[], None]:
        done = 0

        def tell() -> None:
            nonlocal done
            with self._lock:
                done += 1
                if self._progress is not None:
                    self._progress(what, done, total)

        return tell

    def _run(self, job: Callable[..., None], arguments: Sequence[tuple[Any, ...]], tell: Callable[[], None]) -> None:
        if self.num_workers == 1 or len(arguments) < 2:
            for each in arguments:
                job(*each)
                tell()
            return
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self.num_workers, len(arguments)), context, set_up_worker) as pool:
            runs = [pool.submit(job, *each) for each in arguments]
            try:
                for run in as_completed(runs):
                    run.result()
                    tell()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise

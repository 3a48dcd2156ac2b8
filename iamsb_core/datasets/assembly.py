"""From the records of a benchmark to its manifest: unique ids, what was mended, and whether the media is there."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from iamsb_core.datasets.presence import look_for_media
from iamsb_core.datasets.repairs import Repairs
from iamsb_core.manifest import Manifest, VideoRecord

log = logging.getLogger(__name__)


def assemble(
    name: str, root: Path, videos: Sequence[VideoRecord], repairs: Repairs, source: Path, *, dev_name: str = "dev"
) -> Manifest:
    """The manifest of these videos, which may not be none.

    source: the file or folder that lists them, for messages; dev_name: what the benchmark calls the split dev. Raises
    ValueError where no file that was looked for is there.
    """
    said = [*_naming(videos, dev_name), *repairs.lines()]
    videos = _with_unique_ids(videos, said)
    said += look_for_media(root, videos, source)
    log.info("%s: %d videos, %d repairs", source, len(videos), len(said))
    return Manifest(name, root, tuple(videos), tuple(said))


def _naming(videos: Sequence[VideoRecord], dev_name: str) -> Iterator[str]:
    num = Counter((video.split, video.is_labelled) for video in videos)
    if num["dev", True] and dev_name != "dev":
        yield f"videos of {dev_name!r} read as the split dev: {num['dev', True]:,}"
    if num["test", False]:
        yield f"test videos without a label, to be predicted on and not scored: {num['test', False]:,}"


def _with_unique_ids(videos: Sequence[VideoRecord], said: list[str]) -> Sequence[VideoRecord]:
    """Ids that occur twice become the whole path; only where there are any is every id counted."""
    if len({video.video_id for video in videos}) == len(videos):
        return videos
    num = Counter(video.video_id for video in videos)
    twice = next(video_id for video_id, count in num.items() if count > 1)
    said.append(f"the same name is in two splits, such as {twice}; the whole path is such a video's id")
    return [replace(video, video_id=video.path.as_posix()) if num[video.video_id] > 1 else video for video in videos]

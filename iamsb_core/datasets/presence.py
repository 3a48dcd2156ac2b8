"""Whether the media that a metadata file lists is there, from a look at a few files of each split."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from iamsb_core.datasets.media_files import listing
from iamsb_core.manifest import SPLITS, VideoRecord

COUNTED_BY_THE_CHECK = "`iamsb dataset check` counts them all"
"""how every line about absent media ends: the check says how many there are, so it need not repeat the estimate"""
_NUM_FILES_LOOKED_FOR = 50


def look_for_media(root: Path, videos: Sequence[VideoRecord], source: Path) -> tuple[str, ...]:
    """What is known to be absent, in words: a partial copy is usable, and `iamsb dataset check` counts it all.

    Raises ValueError where nothing that was looked for is there, which is a wrong root.
    """
    absent: list[str] = []
    num_found = num_looked_for = 0
    for split in SPLITS:
        own = [video for video in videos if video.split == split]
        some = own[:: max(1, len(own) // _NUM_FILES_LOOKED_FOR)]
        missing = [video for video in some if not (root / video.path).is_file()]
        num_looked_for += len(some)
        num_found += len(some) - len(missing)
        if missing:
            absent.append(
                f"{len(missing)} of {len(some)} files looked for in the {split} split are absent, such as "
                f"{missing[0].path.as_posix()}; {COUNTED_BY_THE_CHECK}"
            )
    if num_looked_for and not num_found:
        raise ValueError(
            f"{source} lists {len(videos)} videos, but none of the {num_looked_for} looked for is there, such as "
            f"{root / videos[0].path}; the folder holds {listing(root)}. Unpack the videos beside the metadata"
        )
    return tuple(absent)

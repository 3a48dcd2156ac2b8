"""Where a pack lies and what it is called: every name is a digest of what decides the content."""

from __future__ import annotations

import re
from collections.abc import Iterable

from iamsb_core.digest import digest, plain
from iamsb_core.encoders.base import StreamSpec
from storage.clips import HINT_FIELDS, ClipRecord
from storage.objects import PlaceT

FORMAT = "iamsb-features-v1"
VERSION_FOLDER = "v1"
PACK_SUFFIX = ".zarr"
STAGING_FOLDER = ".staging"

_SHA256 = re.compile(r"[0-9a-f]{64}")


def checked_sha256(text: str, what: str) -> str:
    """The text itself. Raises ValueError where it is no SHA-256 in lower-case hex."""
    if not _SHA256.fullmatch(text):
        raise ValueError(f"{what} must be a SHA-256 in lower-case hex (64 characters), got {text!r}")
    return text


def is_pack_name(name: str) -> bool:
    """Whether a folder's name is `<pack digest>.zarr`."""
    return name.endswith(PACK_SUFFIX) and _SHA256.fullmatch(name.removesuffix(PACK_SUFFIX)) is not None


def identity_folder(root: PlaceT, identity: str) -> PlaceT:
    """The folder of all packs of one encoder."""
    return root / VERSION_FOLDER / checked_sha256(identity, "an encoder identity")


def pack_folder(root: PlaceT, identity: str, pack: str) -> PlaceT:
    """Where one pack has its name."""
    return identity_folder(root, identity) / (checked_sha256(pack, "a pack digest") + PACK_SUFFIX)


def pack_digest(stream: StreamSpec, dtype: str, records: Iterable[ClipRecord]) -> str:
    """Identity of a pack: the encoder, the stream's shape, the media, and what became of each clip.

    The feature values do not count (they follow from encoder and media up to rounding), so that two machines which
    extract the same clips make the same pack. Neither do hints, nor the order of the clips.
    """
    decisive = [{k: v for k, v in record.to_plain().items() if k not in HINT_FIELDS} for record in records]
    decisive.sort(key=lambda row: str(row["sha256"]))
    return digest({"format": FORMAT, "stream": plain(stream), "dtype": dtype, "clips": decisive})

"""What the makers of each benchmark publish of it: sizes, frame rate, and people shared between splits.

A copy of another size is another dataset: numbers on it cannot be put beside those of a paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from iamsb_core.manifest import Split


@dataclass(frozen=True, slots=True)
class PublishedSize:
    """Videos of a split, or of a whole dataset; None where the makers do not say."""

    num_videos: int
    num_real: int | None = None
    num_forged: int | None = None
    rounded_to: int = 1
    """the last digit that the source gives, such as 10,000 for `1.10M`"""

    def differs(self, found: int, wanted: int) -> bool:
        """Whether a count is another one than the published, beyond its rounding."""
        return abs(found - wanted) > self.rounded_to // 2


@dataclass(frozen=True, slots=True)
class Published:
    """One benchmark as published."""

    title: str
    source: str
    splits: dict[Split, PublishedSize] = field(default_factory=dict)
    total: PublishedSize | None = None
    """where the source gives no splits"""
    frame_rate_hz: float | None = None
    """None where clips differ"""
    shared_people: tuple[Split, ...] = ()
    """splits that show the same people by design"""


PUBLISHED: dict[str, Published] = {
    "lavdf": Published(
        "LAV-DF",
        "Cai et al., DICTA 2022, and the metadata of its public release",
        {"train": PublishedSize(78_703), "dev": PublishedSize(31_501), "test": PublishedSize(26_100)},
        PublishedSize(136_304, 36_431, 99_873),
        frame_rate_hz=25.0,
    ),
    "av-deepfake1m": Published(
        "AV-Deepfake1M",
        "Cai et al., ACM MM 2024, and the lists of its public release",
        {"train": PublishedSize(746_180), "dev": PublishedSize(57_340), "test": PublishedSize(343_240)},
        PublishedSize(1_146_760, 286_721, 860_039),
        frame_rate_hz=25.0,
        shared_people=("train", "dev"),
    ),
    "av-deepfake1m-plusplus": Published(
        "AV-Deepfake1M++",
        "the dataset's public page, 2025, rounded there; test is testA and testB together",
        {
            "train": PublishedSize(1_100_000, 300_000, 800_000, rounded_to=10_000),
            "dev": PublishedSize(80_000, 20_000, 60_000, rounded_to=10_000),
            "test": PublishedSize(880_000, rounded_to=20_000),
        },
        frame_rate_hz=25.0,
        shared_people=("train", "dev"),
    ),
    "ddl-av": Published(
        "DDL-AV",
        "Li et al. and the IJCAI 2025 DDL challenge, track 2",
        {
            "train": PublishedSize(200_860, 67_348, 133_512),
            "dev": PublishedSize(13_965, 4_965, 9_000),
            "test": PublishedSize(111_150),
        },
        PublishedSize(325_975),
        frame_rate_hz=25.0,
    ),
    "fakeavceleb": Published(
        "FakeAVCeleb",
        "Khalid et al., NeurIPS 2021, datasets and benchmarks: 500 genuine and more than 19,500 forged",
        total=PublishedSize(20_000, rounded_to=4_000),
        frame_rate_hz=25.0,
    ),
    "dfdc": Published(
        "DFDC",
        "Dolhansky et al., 2020: 128,154 clips, of which 4,000 public and 5,000 private test clips",
        {"train": PublishedSize(119_154), "dev": PublishedSize(4_000), "test": PublishedSize(5_000)},
        PublishedSize(128_154, 23_654, 104_500),
    ),
    "dfdc-preview": Published(
        "the DFDC preview",
        "Dolhansky et al., 2019: about 5,000 clips",
        total=PublishedSize(5_000, rounded_to=1_000),
    ),
}
"""by the dataset's name in `iamsb_core.datasets.registry`"""

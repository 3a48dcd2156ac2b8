"""Mutants of real and drawn clips: every one is decoded or refused in words, in bounded time and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import bombs
import fuzz
import mutants
import numpy as np
import pytest

from iamsb_core.localizer import Localizer
from iamsb_core.media.clip import DecodeError
from iamsb_core.media.isolation import MediaDecoder

SEED = 20
PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return fuzz.draw(tmp_path_factory.mktemp("drawn"))


@pytest.fixture(scope="module")
def media() -> Path | None:
    """The folder of real clips, where there is one: without it the mutants are of drawn clips."""
    folder = Path(os.environ.get("IAMSB_TEST_MEDIA", PROJECT.parent / "shared" / "media"))
    return folder if (folder / "CATALOG.csv").is_file() else None


def check(summary: fuzz.Summary, folder: Path) -> None:
    assert summary.faults == [], f"the mutants lie in {folder}"
    assert sum(summary.probe.values()) == sum(summary.decode.values()) == summary.count
    assert summary.decode["ok"] > summary.count / 10, "some are decoded"
    assert summary.decode["ok"] < summary.count * 0.9, "some are refused"
    assert summary.num_localized >= 1


def test_200_mutants(drawn: Sequence[Path], media: Path | None, untrained_model: Path, tmp_path: Path):
    given = mutants.sources(drawn, media, max_bytes=130_000)
    localizer = Localizer.load(untrained_model, device="cpu")
    check(fuzz.examine(given, tmp_path, seed=SEED, count=200, localizer=localizer, localize_every=40), tmp_path)


@pytest.mark.slow
def test_2000_mutants(drawn: Sequence[Path], media: Path | None, untrained_model: Path):
    """The report stays in build/fuzz."""
    folder = PROJECT / "build" / "fuzz"
    given = mutants.sources(drawn, media, max_bytes=500_000)
    localizer = Localizer.load(untrained_model, device="cpu")
    seed = int(os.environ.get("IAMSB_FUZZ_SEED", "0"))
    check(fuzz.examine(given, folder, seed=seed, count=2000, localizer=localizer, localize_every=20), folder)


def test_a_mutant_can_be_made_again(drawn: Sequence[Path], tmp_path: Path):
    given = mutants.sources(drawn, None, 1 << 20)
    again = mutants.sources(fuzz.draw(tmp_path), None, 1 << 20)
    assert [source.name for source in given] == sorted(fuzz.DRAWN)
    assert [source.data for source in given] == [source.data for source in again], "the drawn ones too"
    some = [mutants.mutant(3, index, given) for index in range(40)]
    assert [mutants.mutant(3, one.index, again).sha256 for one in reversed(some)] == [one.sha256 for one in some[::-1]]
    assert len({one.sha256 for one in some}) > 35
    assert mutants.mutant(4, 0, given).sha256 != some[0].sha256


def test_boxes_are_found_and_lied_in(drawn: Sequence[Path]):
    (clip,) = [source.data for source in mutants.sources(drawn, None, 1 << 20) if source.name == "drawn.mp4"]
    places = {kind: first for kind, first, _ in mutants.boxes(clip)}
    assert {b"moov", b"mvhd", b"tkhd", b"stsd", b"stts", b"stsz"} <= places.keys()
    rng = np.random.default_rng(0)
    (first,) = {first for kind, first, _ in mutants.boxes(clip) if kind == b"mvhd"}
    lied, words = mutants.declare_hours(clip, rng)
    timescale = int.from_bytes(lied[first + 12 : first + 16], "big")
    assert int.from_bytes(lied[first + 16 : first + 20], "big") == 3_600_000 * timescale, words


@pytest.mark.parametrize("name", ["png.mov", "later-png.mov", "jpeg.avi", "vp8.webm", "sps.h264"])
def test_a_bomb_of_dimensions_costs_little(name: str, tmp_path: Path):
    """One that would unpack to hundreds of megabytes is refused, or read without the picture that would."""
    for seed in range(4):
        data, _ = bombs.BOMBS[name](np.random.default_rng(seed))
        (tmp_path / f"{seed}-{name}").write_bytes(data)
    kinds = []
    with MediaDecoder(fuzz.LIMITS) as decoder, fuzz.Peak(decoder) as peak:
        for path in sorted(tmp_path.iterdir()):
            try:
                decoder.decode(path, fuzz.VIEW)
            except DecodeError as error:
                kinds.append(error.kind)
        assert set(kinds) <= {"too-large", "damaged", "truncated"}
        assert peak.look() < 700 << 20
        assert len(peak.pids) == 1, "no process was lost"


def test_the_command_says_what_it_found_and_makes_one_again(tmp_path: Path):
    command = [sys.executable, str(Path(fuzz.__file__)), "--seed", "5", "--first", "7", "--count", "2", "--keep"]
    done = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 mutants of 13 files" in done.stdout
    fates = [json.loads(line) for line in (tmp_path / "fates.jsonl").read_text().splitlines()]
    assert [fate["index"] for fate in fates] == [7, 8]
    assert all((tmp_path / fate["name"]).is_file() for fate in fates)
    assert json.loads((tmp_path / "fuzz.json").read_text())["count"] == 2

"""A dataset in AV-Deepfake1M's layout from joined takes, read back by that benchmark's reader, and its data card."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from iamsb_core.datasets.registry import read_dataset
from iamsb_core.datasets.validation import validate
from iamsb_core.forgery.config import ForgeConfig, SyntheticConfig
from iamsb_core.forgery.forge import forge
from iamsb_core.forgery.names import namer
from iamsb_core.forgery.plan import plan_clips
from iamsb_core.forgery.presets import PRESETS, adjusted, benchmark_forgery, preset, unseen_methods_forgery
from iamsb_core.forgery.recording import Recording
from iamsb_core.forgery.sources import drawn_sources, some_people
from iamsb_core.forgery.synthetic import draw_recording
from iamsb_core.forgery.takes import SourceLength
from iamsb_core.manifest import STREAMS, stream_name
from iamsb_core.media.clip import FrameView
from iamsb_core.media.isolation import MediaDecoder
from iamsb_core.report.data_card import data_card
from iamsb_core.report.data_card_page import write_data_card
from iamsb_core.report.data_card_words import NOT_STATED

CONFIG = ForgeConfig(
    num_clips=(8, 4, 4),
    people_shares=(2.0, 1.0, 1.0),
    layout="av-deepfake1m",
    clip_seconds=(4.4, 4.8),
    join_takes=True,
    placement="asynchronous",
    segment_seconds=(0.16, 1.2),
    difficulty="easy",
    synthetic=SyntheticConfig(num_people=4, seconds_per_person=4.0, takes_per_person=2),
)
FIELDS = {"file", "original", "split", "modify_type", "audio_model", "video_frames", "audio_frames"} | {
    f"{of}fake_segments" for of in ("", "audio_", "visual_")
}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forge(None, tmp_path_factory.mktemp("layouts") / "tiny", CONFIG, seed=4, num_workers=1).out


@pytest.fixture(scope="module")
def streams(dataset: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((dataset / "metadata.streams.json").read_text())
    return document


def entries(dataset: Path, split: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((dataset / f"{split}_metadata.json").read_text())
    return found


# ---- the layout


def test_the_files_are_the_benchmarks(dataset: Path) -> None:
    names = {path.name for path in dataset.iterdir() if not path.name.startswith((".", "data_card"))}
    lists = {f"{split}_metadata.json" for split in ("train", "val", "test")}
    assert names == {"train", "val", "test", "train_metadata", "val_metadata", "test_files.txt"} | lists | {
        "metadata.streams.json"
    }
    train = entries(dataset, "train")
    assert len(train) == 8
    for entry in train:
        assert set(entry) == FIELDS
        assert entry["split"] == "train"
        assert re.fullmatch(
            r"id\d{5}/person_\d{3}/\d{5}/(real|real_video_fake_audio|fake_video_\w+_audio)\.mp4", entry["file"]
        )
        assert (dataset / "train" / entry["file"]).is_file()
        alone = (dataset / "train_metadata" / entry["file"]).with_suffix(".json")
        assert json.loads(alone.read_text()) == entry
        assert entry["audio_frames"] == entry["video_frames"] * 640
    assert [entry["file"] for entry in entries(dataset, "test")] == (dataset / "test_files.txt").read_text().split()
    assert {path.name for path in (dataset / "test").iterdir()} == {f"{i:06d}.mp4" for i in range(12, 16)}


def test_a_window_and_its_versions_lie_side_by_side(dataset: Path) -> None:
    train = {entry["file"]: entry for entry in entries(dataset, "train")}
    by_window: dict[str, dict[str, dict[str, Any]]] = {}
    for file, entry in train.items():
        window, _, name = file.rpartition("/")
        by_window.setdefault(window, {})[name] = entry
    assert len(by_window) == 2  # 8 clips, as 2 real, 2 audio, 2 visual and 2 both
    for window, versions in by_window.items():
        assert {name: entry["modify_type"] for name, entry in versions.items()} == {
            "real.mp4": "real",
            "real_video_fake_audio.mp4": "audio_modified",
            "fake_video_real_audio.mp4": "visual_modified",
            "fake_video_fake_audio.mp4": "both_modified",
        }
        assert len({entry["video_frames"] for entry in versions.values()}) == 1
        assert {entry["original"] for name, entry in versions.items() if name != "real.mp4"} == {f"{window}/real.mp4"}


def test_streams_have_segments_of_their_own_and_the_union_is_theirs(dataset: Path) -> None:
    both = [
        e for split in ("train", "val", "test") for e in entries(dataset, split) if e["modify_type"] == "both_modified"
    ]
    assert both
    assert any(e["audio_fake_segments"] != e["visual_fake_segments"] for e in both)
    for entry in both:
        assert sorted(map(tuple, entry["fake_segments"])) == sorted(
            map(tuple, entry["audio_fake_segments"] + entry["visual_fake_segments"])
        ) or any(a == v for a in entry["audio_fake_segments"] for v in entry["visual_fake_segments"])


def test_the_benchmarks_reader_gives_back_the_truth(dataset: Path, streams: dict[str, Any]) -> None:
    manifest = read_dataset("av-deepfake1m", dataset)
    assert len(manifest.videos) == 16
    assert not any("clear" in line or "drop" in line for line in manifest.repairs)
    for video in manifest.videos:
        made = streams["videos"][video.path.as_posix()]
        assert video.split == made["split"]
        assert video.duration_seconds == made["num_frames"] / 25
        for modality in STREAMS:
            truth = [[span["start"], span["end"]] for span in made[stream_name(modality)]]
            np.testing.assert_allclose(video.truth(modality), np.reshape(truth, (-1, 2)), atol=1e-9)
    assert not [finding for finding in validate(manifest).findings if finding.severity == "error"]


def test_the_number_of_a_test_clip_does_not_tell_what_it_is() -> None:
    sources = [SourceLength(f"s{i}", f"person {i}", 400) for i in range(12)]
    plans = plan_clips(sources, replace(CONFIG, num_clips=(12, 4, 80)), seed=0)
    test = sorted((plan for plan in plans if plan.split == "test"), key=lambda plan: plan.file)
    kinds = ["real" if plan.kind == "real" else "forged" for plan in test]
    assert kinds.count("real") == 20
    assert len({tuple(kinds[i : i + 4]) for i in range(0, 80, 4)}) > 4
    original = {plan.original for plan in test if plan.original is not None}
    assert original <= {plan.file for plan in test if plan.kind == "real"}


def test_names_that_a_file_system_might_mind_are_made_plain() -> None:
    source = SourceLength("s0", "Ann", 100, "a folder/wh\N{LATIN SMALL LETTER A WITH DIAERESIS}t? no.mp4")
    names = namer("av-deepfake1m", [source])
    assert names.file("dev", "real", source, 7, 9) == "val/id00000/wh-t-no/00007/real.mp4"
    assert names.file("test", "real", source, 7, 9) == "test/000009.mp4"


# ---- the truth of joined clips, from the dataset itself


def test_the_genuine_twin_differs_from_its_clip_inside_the_truth_only(dataset: Path, streams: dict[str, Any]) -> None:
    assert len(streams["examples"]) >= 6
    joined = 0
    with MediaDecoder() as decoder:
        for example in streams["examples"][::2]:
            made = streams["videos"][example["file"]]
            forged, genuine = (
                decoder.decode(dataset / example[name], FrameView(crop="centre"), audio=True)
                for name in ("file", "genuine")
            )
            assert forged.frames is not None
            assert genuine.frames is not None
            assert len(forged.frames) == len(genuine.frames) == made["num_frames"]
            change = np.abs(forged.frames.astype(float) - genuine.frames).mean(axis=3)
            blocks = change.reshape(-1, 14, 16, 14, 16).mean(axis=(2, 4)).max(axis=(1, 2))
            inside = np.zeros(len(blocks), dtype=bool)
            for span in made["visual"]:
                inside[round(span["start"] * 25) : round(span["end"] * 25)] = True
            assert blocks[~inside].max() < 9
            if inside.any():
                assert np.median(blocks[inside]) > blocks[~inside].max()
            if not made["audio"]:
                assert np.array_equal(forged.waveform, genuine.waveform)
            joined += len(made["takes"]) > 1
    assert joined


def test_another_take_is_the_same_person_saying_something_else() -> None:
    one, again, other = draw_recording(0, 4.0, 1), draw_recording(0, 4.0, 1, take=1), draw_recording(1, 4.0, 1)
    assert one.person == again.person != other.person
    assert again.name == "drawn/person_000/take_1"
    assert abs(np.corrcoef(one.waveform, again.waveform)[0, 1]) < 0.3

    def skin(person: Recording) -> NDArray[np.float64]:
        """Colour of the middle of the face."""
        x, y = person.faces[:, [0, 2]].mean(axis=1).astype(int), person.faces[:, [1, 3]].mean(axis=1).astype(int)
        patches = [person.frames[i, y[i] - 8 : y[i] + 8, x[i] - 8 : x[i] + 8] for i in range(0, 100, 10)]
        return np.mean(patches, axis=(0, 1, 2))

    assert np.abs(skin(one) - skin(again)).max() < 0.3 * np.abs(skin(one) - skin(other)).max()


# ---- presets


def test_presets_by_name() -> None:
    assert preset("benchmark") == benchmark_forgery()
    assert sum(benchmark_forgery().num_clips) >= 1500
    with pytest.raises(ValueError, match=r"no preset is called 'benchmrk' \(did you mean 'benchmark'\?\)"):
        preset("benchmrk")
    for make in PRESETS.values():
        assert make().clip_seconds[0] >= make().min_source_seconds
    assert preset("long").clip_seconds == (10.0, 30.0)
    assert preset("extended").clip_seconds == (30.0, 300.0)


def test_unseen_methods_share_no_method_between_training_and_test() -> None:
    config = unseen_methods_forgery()
    train, dev, test = (config.methods_of(split) for split in ("train", "dev", "test"))
    assert train == dev
    for seen, unseen in ((train.audio, test.audio), (train.visual, test.visual)):
        assert not set(seen) & set(unseen)
        assert len({*seen, *unseen}) == 6


def test_adjustments_by_hand() -> None:
    # 320 + 48 + 96 clips to 58: one each, and 55 shared as 37.9, 5.7, 11.4
    config = adjusted(preset("real"), num_clips=58, num_people=7, layout="av-deepfake1m", difficulty=None)
    assert config.num_clips == (39, 7, 12)
    assert (config.num_people, config.layout, config.difficulty) == (7, "av-deepfake1m", "medium")
    assert adjusted(preset("real"), given={"max_segments": 4}).max_segments == 4
    with pytest.raises(ValueError, match=r"no layout is called 'lavdv' \(did you mean 'lavdf'\?\)"):
        adjusted(config, layout="lavdv")
    with pytest.raises(ValueError, match=r"no difficulty is called 'heard' \(did you mean 'hard'\?\)"):
        adjusted(config, difficulty="heard")
    with pytest.raises(ValueError, match="no key 'max_segment'; did you mean 'max_segments'"):
        adjusted(config, given={"max_segment": 4})
    with pytest.raises(ValueError, match="2 clips cannot fill 3 splits"):
        adjusted(config, num_clips=2)


def test_only_some_people_are_used_where_so_many_are_asked_for() -> None:
    sources = drawn_sources(replace(CONFIG, num_people=5))
    assert len(sources) == 10
    assert len({source.person for source in sources}) == 5
    chosen = some_people(sources, 3, seed=0)
    assert len(chosen) == 6
    assert len({source.person for source in chosen}) == 3
    assert chosen == some_people(sources, 3, seed=0)
    with pytest.raises(ValueError, match="6 people are wanted and the folder has 5"):
        some_people(sources, 6, seed=0)


# ---- the data card


@pytest.fixture(scope="module")
def page(dataset: Path) -> str:
    return write_data_card(dataset).read_text(encoding="utf-8")


def test_the_card_counts_what_is_there(dataset: Path, streams: dict[str, Any]) -> None:
    card = data_card(dataset)
    assert json.loads(json.dumps(card)) == card
    train = card["splits"]["train"]
    own = [video for video in streams["videos"].values() if video["split"] == "train"]
    assert train["num_clips"] == len(own) == 8
    assert train["num_real"] == 2
    assert train["people"] == sorted({video["identity"] for video in own})
    assert train["duration_seconds"] == pytest.approx(sum(video["num_frames"] for video in own) / 25)
    assert 0 < train["genuine_seconds"] <= 4 * 4 * 2  # two takes of 4 s of each of two people at most
    sound = train["streams"]["audio"]
    assert sound["num_segments"] == sum(len(video["audio"]) for video in own) == sum(sound["length_counts"])
    assert sound["num_segments"] == sum(sound["methods"].values())
    assert card["sources"]["licence"].startswith("none is needed")
    assert {(each["stream"], each["method"]) for each in card["examples"]} == {
        (stream, span["method"])
        for video in streams["videos"].values()
        for stream in ("audio", "visual")
        for span in video[stream]
    }


def test_the_page_shows_every_kind_and_asks_for_nothing(page: str, dataset: Path) -> None:
    card = data_card(dataset)
    for example in card["examples"]:
        assert f'id="{example["stream"]}-{example["method"]}"' in page
        assert example["file"] in page
    num_sounds = sum(example["stream"] == "audio" for example in card["examples"])
    assert page.count('class="spectrogram"') == 2 * num_sounds
    assert page.count('class="strip"') == 3 * (len(card["examples"]) - num_sounds)
    assert "http" not in page.replace('http-equiv="Content-Security-Policy"', "")
    assert "<script" not in page
    assert "Joints between takes" in page
    assert f"CRF {23 - 5}" in page


def test_a_card_is_written_anew_only_where_it_says_something_else(dataset: Path, page: str) -> None:
    path = dataset / "data_card.html"
    before = path.stat().st_mtime_ns
    assert write_data_card(dataset) == path
    assert path.stat().st_mtime_ns == before
    assert path.read_text(encoding="utf-8") == page


def test_a_licence_is_kept_until_another_is_stated(dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    document = json.loads((dataset / "metadata.streams.json").read_text())
    (folder / "metadata.streams.json").write_text(json.dumps({**document, "drawn": False, "examples": []}))

    def licence(stated: str | None) -> str:
        write_data_card(folder, licence=stated)
        text: str = json.loads((folder / "data_card.json").read_text())["sources"]["licence"]
        return text

    assert licence(None) == NOT_STATED
    assert licence("CC BY 4.0") == "CC BY 4.0"
    assert licence(None) == "CC BY 4.0"
    assert "CC BY 4.0" in (folder / "data_card.html").read_text(encoding="utf-8")


def test_only_a_forged_dataset_has_a_card(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a dataset that `iamsb forge` made"):
        data_card(tmp_path)

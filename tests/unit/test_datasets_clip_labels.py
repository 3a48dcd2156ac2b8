"""FakeAVCeleb in both namings, DFDC and its preview: whole-clip labels, drawn splits, partial copies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from iamsb_core.datasets.drawn_splits import drawn_split
from iamsb_core.datasets.registry import read_dataset
from iamsb_core.manifest import Manifest, Modality

BOTH = Modality.AUDIO | Modality.VISUAL
HEADER = "source,target1,target2,method,category,type,race,gender,path,"
CLIPS = (
    "id00076 - - real A RealVideo-RealAudio African men 00109.mp4",
    "id00076 - - rtvc B RealVideo-FakeAudio African men 00109_fake.mp4",
    "id00056 id00597 - wav2lip C FakeVideo-RealAudio Asian+(East) men 00028_id00597_wavtolip.mp4",
    "id00076 id01933 id00781 fsgan-wav2lip D FakeVideo-FakeAudio African men 00109_id01933_I5XX_id00781_wavtolip.mp4",
)
CELLS = [row.replace(" ", ",").replace("+", " ").split(",") for row in CLIPS]
ROWS = "".join(",".join([*row, "/".join(["FakeAVCeleb", *row[5:8], row[0]])]) + "\n" for row in CELLS)
FILES = tuple("/".join([*row[5:8], row[0], row[8]]) for row in CELLS)
DRAWN = "there is no official split: 70/10/20 % drawn by source; splits.csv in the root goes first"


def touch(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def fakeavceleb(root: Path, files: tuple[str, ...] = FILES) -> Manifest:
    touch(root, *files)
    (root / "meta_data.csv").write_text(f"{HEADER}\n{ROWS}")
    return read_dataset("fakeavceleb", root)


def test_fakeavceleb_by_hand(tmp_path: Path) -> None:
    manifest = fakeavceleb(tmp_path)
    assert tuple(video.video_id for video in manifest.videos) == FILES
    assert tuple(video.path.as_posix() for video in manifest.videos) == FILES
    assert {video.label for video in manifest.videos} == {"clip"}
    assert [video.forged_streams for video in manifest.videos] == [
        Modality(0),
        Modality.AUDIO,
        Modality.VISUAL,
        BOTH,
    ]
    assert [video.generator for video in manifest.videos] == [None, "rtvc", "wav2lip", "fsgan-wav2lip"]
    assert [video.identity for video in manifest.videos] == ["id00076", "id00076", "id00056", "id00076"]
    assert [video.original for video in manifest.videos] == [None, FILES[0], None, FILES[0]]
    assert manifest.repairs == (DRAWN,)
    audio_fake = manifest.videos[1]
    assert audio_fake.truth(Modality.AUDIO, duration_seconds=4.0).tolist() == [[0, 4]]
    assert audio_fake.truth(Modality.VISUAL).shape == (0, 2)


@pytest.mark.parametrize("folder", ["Asian_East", "Asian-East", "asian east"])
def test_a_folder_of_another_spelling_is_found(tmp_path: Path, folder: str) -> None:
    files = tuple(f"FakeAVCeleb/{file.replace('Asian (East)', folder)}" for file in FILES)
    manifest = fakeavceleb(tmp_path, files)
    assert [video.video_id for video in manifest.videos] == list(FILES)
    assert [video.path.as_posix() for video in manifest.videos] == list(files)
    assert manifest.repairs == (DRAWN, f"files found in a folder with another spelling: 1 entry, such as {files[2]}")


EARLIER = (
    "REAL_A/Indian/MEN/id07200/quCElxMhW6g/00045.mp4",
    "FAKE_RTVC_B/Indian/MEN/id07200/quCElxMhW6g/00045_fake.mp4",
    "FAKE_FSGAN_C/Indian/MEN/id07200/quCElxMhW6g/00045_id01018_VNPt_GB5QiE.mp4",
    "FAKE_FSGAN_D_W2L/European/WOMEN/id03816/XXD0yTNei50/00093_id01018_VNPt_GB5QiE_id03941_SsYtP8Ze88Q_wavtolip.mp4",
    "org_FAKE_W2L_D/European/WOMEN/id03816/XXD0yTNei50/00093_2_id03941_wavtolip.mp4",
)


@pytest.mark.parametrize("with_csv", [False, True])
def test_the_earlier_naming_is_read_by_its_folders(tmp_path: Path, with_csv: bool) -> None:
    touch(tmp_path, *EARLIER, "notes/x.mp4")
    if with_csv:  # of v1.2, beside files of v1.0
        (tmp_path / "meta_data.csv").write_text(f"{HEADER}\n{ROWS}")
    manifest = read_dataset("fakeavceleb", tmp_path)
    found = {video.video_id: video for video in manifest.videos}
    assert set(found) == set(EARLIER)
    assert [found[file].forged_streams for file in EARLIER] == [
        Modality(0),
        Modality.AUDIO,
        Modality.VISUAL,
        BOTH,
        BOTH,
    ]
    assert [found[file].generator for file in EARLIER] == [None, "rtvc", "fsgan", "fsgan-wav2lip", "wav2lip"]
    assert found[EARLIER[2]].original == EARLIER[0]
    assert found[EARLIER[3]].identity == "id03816"
    said = "names none of the files" if with_csv else "no meta_data.csv: types, people and methods are read"
    assert any(said in text for text in manifest.repairs)


def test_v1_2_without_its_csv_names_the_method_where_the_file_does(tmp_path: Path) -> None:
    touch(tmp_path, *FILES, "FakeVideo-RealAudio/African/men/id00076/00109_id00597_abc_faceswap.mp4", "trash/x.mp4")
    manifest = read_dataset("fakeavceleb", tmp_path)
    methods = {video.video_id: video.generator for video in manifest.videos}
    assert [methods[file] for file in FILES] == [None, "rtvc", "wav2lip", None]  # fsgan or faceswap before wav2lip
    assert sorted(map(str, methods.values())) == ["None", "None", "faceswap", "rtvc", "wav2lip"]
    assert any(
        "in no folder of a type and a person left out: 1 entry, such as trash/x.mp4" in t for t in manifest.repairs
    )


def test_listed_files_that_are_absent_stay_and_are_told(tmp_path: Path) -> None:
    manifest = fakeavceleb(tmp_path, FILES[:2])
    assert len(manifest.videos) == 4
    assert any("files looked for in the" in text and "are absent" in text for text in manifest.repairs)


def test_a_source_is_in_one_split_and_it_is_the_same_everywhere(tmp_path: Path) -> None:
    # sha256("id00076") begins with fb = 251, and 251 / 256 = 0.98 is past the 0.8 of train and dev;
    # "id00056" with cb: 0.79, past the 0.7 of train; "id00001" with 33: 0.2
    manifest = fakeavceleb(tmp_path)
    assert {video.split for video in manifest.videos if video.identity == "id00076"} == {drawn_split("id00076")}
    drawn = [drawn_split(f"id{i:05d}") for i in range(10_000)]
    shares = [drawn.count(split) / len(drawn) for split in ("train", "dev", "test")]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.015)
    assert [drawn_split(name) for name in ("id00076", "id00056", "id00001")] == ["test", "dev", "train"]


@pytest.mark.parametrize("key", ["path", "identity"])
def test_a_splits_file_goes_first(tmp_path: Path, key: str) -> None:
    rows = {"path": [(FILES[0], "train"), (FILES[1], "valid")], "identity": [("id00076", "val")]}[key]
    (tmp_path / "splits.csv").write_text(f"{key},split\n" + "".join(f"{name},{split}\n" for name, split in rows))
    manifest = fakeavceleb(tmp_path)
    assert [video.split for video in manifest.videos] == (["train", "dev"] if key == "path" else ["dev"] * 3)
    assert any("videos that splits.csv does not name left out" in text for text in manifest.repairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,split\nx,train\n", r"must have the columns path \(or identity\) and split"),
        ("identity,split\nid00076,eval\n", "splits.csv:2: split must be one of"),
        ("identity,split\nid99999,test\n", "names none of the 4 videos"),
    ],
)
def test_a_wrong_splits_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "splits.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        fakeavceleb(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "has no column 'source', only a, b"),
        (f"{HEADER}\nid1,-,-,real,A,Real,African,men,1.mp4,x\n", "meta_data.csv:2: type must be one of RealVideo"),
        (f"{HEADER}\nid1,-,-,real,A,RealVideo-RealAudio,African,men,,x\n", "meta_data.csv:2 has no 'path'"),
        (f"{HEADER}\nid1,-,-,real,A,RealVideo-RealAudio,..,men,1.mp4,x\n", "not a path below"),
    ],
)
def test_a_wrong_row_is_told(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "meta_data.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_dataset("fakeavceleb", tmp_path)


PART = {
    "aaa.mp4": {"label": "FAKE", "split": "train", "original": "bbb.mp4"},
    "bbb.mp4": {"label": "REAL", "split": "train", "original": None},
    "ccc.mp4": {"label": "FAKE", "split": "train", "original": "elsewhere.mp4"},
}


def dfdc(root: Path, folder: str = "dfdc_train_part_0", part: Any = PART) -> Path:
    touch(root, f"{folder}/aaa.mp4", f"{folder}/bbb.mp4")
    (root / folder / "metadata.json").write_text(json.dumps(part))
    return root


def test_dfdc_by_hand(tmp_path: Path) -> None:
    dfdc(tmp_path)
    dfdc(tmp_path, "dfdc_train_part_10", {"ddd.mp4": {"label": "FAKE", "split": "train", "original": "bbb.mp4"}})
    for folder, rows in (("validation", "v.mp4,1\n"), ("test", "t.mp4,0\n")):
        touch(tmp_path, f"{folder}/{rows[:5]}")
        (tmp_path / folder / "labels.csv").write_text(f"filename,label\n{rows}")
    manifest = read_dataset("dfdc", tmp_path)
    fake, real, lost, other_part, dev, test = manifest.videos
    assert (fake.video_id, fake.split) == ("dfdc_train_part_0/aaa.mp4", "train")
    assert fake.original == other_part.original == real.video_id == "dfdc_train_part_0/bbb.mp4"
    assert lost.original is None
    assert [video.is_forged for video in manifest.videos] == [True, False, True, True, True, False]
    assert (dev.split, dev.path.as_posix(), test.split) == ("dev", "validation/v.mp4", "test")
    assert fake.truth(duration_seconds=10.0).tolist() == [[0, 10]]
    with pytest.raises(ValueError, match="not in which stream"):
        fake.truth(Modality.AUDIO, duration_seconds=10.0)
    assert real.truth(Modality.AUDIO).shape == (0, 2)
    assert manifest.repairs[:2] == (
        "videos of 'validation' read as the split dev: 1",
        "originals that are not in this copy forgotten: 1 entry, such as dfdc_train_part_0/ccc.mp4",
    )
    assert manifest.repairs[2].startswith("2 of 4 files looked for in the train split are absent, such as dfdc_train_p")


@pytest.mark.parametrize(
    "folder",
    [
        ".",
        "train_sample_videos",
        "dfdc_train_part_00/dfdc_train_part_0",
        "train/dfdc_train_part_3",
        "dfdc_train_part_49",
    ],
)
def test_parts_are_found_as_they_were_unpacked(tmp_path: Path, folder: str) -> None:
    manifest = read_dataset("dfdc", dfdc(tmp_path, folder))
    assert manifest.videos[0].path == Path(folder, "aaa.mp4")


def test_dfdc_is_told_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train_part_0/metadata.json\['aaa.mp4'\]: label must be one of FAKE, REAL"):
        read_dataset("dfdc", dfdc(tmp_path / "a", part={"aaa.mp4": {"label": "maybe"}}))
    touch(tmp_path, "b/test/t.mp4")
    (tmp_path / "b/test/labels.csv").write_text("file,fake\nt.mp4,1\n")
    with pytest.raises(ValueError, match="must have the columns filename and label"):
        read_dataset("dfdc", tmp_path / "b")
    with pytest.raises(ValueError, match="this looks like DFDC; use the name 'dfdc'"):
        read_dataset("lavdf", dfdc(tmp_path / "c"))


PREVIEW = {
    "method_A/1260311/1260311_C/1255229_1260311_C_001.mp4": {
        "label": "fake",
        "set": "train",
        "target_id": 1260311,
        "swapped_id": 1255229,
        "augmentations": [],
    },
    "original_videos/643049/643049_A_001.mp4": {
        "label": "real",
        "set": "test",
        "target_id": 643049,
        "swapped_id": None,
        "augmentations": [],
    },
}


def test_the_dfdc_preview_by_hand(tmp_path: Path) -> None:
    touch(tmp_path, *PREVIEW)
    (tmp_path / "dataset.json").write_text(json.dumps(PREVIEW))
    fake, real = read_dataset("dfdc-preview", tmp_path).videos
    assert (fake.split, fake.identity, fake.generator, fake.forged_streams) == (
        "train",
        "1260311",
        "method_A",
        Modality.VISUAL,
    )
    assert fake.truth(Modality.AUDIO).shape == (0, 2)
    assert (real.split, real.identity, real.generator, real.is_forged) == ("test", "643049", None, False)
    with pytest.raises(ValueError, match="this looks like the DFDC preview; use the name 'dfdc-preview'"):
        read_dataset("dfdc", tmp_path)
    (tmp_path / "dataset.json").write_text('{"method_A/x.mp4": {"label": "fake", "set": "train"}}')
    with pytest.raises(ValueError, match="has no 'target_id'"):
        read_dataset("dfdc-preview", tmp_path)

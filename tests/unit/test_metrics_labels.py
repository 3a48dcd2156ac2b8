"""Label files: every layout, and every fault of one."""

from __future__ import annotations

import numpy as np
import pytest
from lavdf_labels import LAVDF_ENTRY, save

from iamsb_core.manifest import Modality
from iamsb_core.metrics.files import read_labels


def test_lavdf_labels(tmp_path):
    real = LAVDF_ENTRY | {"file": "dev/2.mp4", "split": "dev", "fake_periods": [], "modify_audio": False}
    labels = read_labels(save(tmp_path / "metadata.json", [LAVDF_ENTRY, real]))
    forged, genuine = labels.clips
    assert (forged.video_id, forged.split, forged.duration_seconds) == ("test/000001.mp4", "test", 8.0)
    np.testing.assert_array_equal(forged.fused, [[1.0, 2.0]])
    np.testing.assert_array_equal(forged.audio, [[1.0, 2.0]])
    assert len(forged.visual) == 0
    assert not genuine.is_forged
    assert labels.has_streams
    assert [clip.video_id for clip in read_labels(tmp_path).clips] == ["test/000001.mp4", "dev/2.mp4"]


def test_av_deepfake1m_labels_with_the_known_fault(tmp_path):
    entry = {
        "file": "id/yt/1/real_video_fake_audio.mp4",
        "split": "val",
        "modify_type": "audio_modified",
        "audio_model": "vits",
        "fake_segments": [[3.0, 3.2], [1.0, 1.5]],
        "audio_fake_segments": [[3.0, 3.2], [1.0, 1.5]],
        "visual_fake_segments": [[3.0, 3.2]],
        "video_frames": 250,
    }
    labels = read_labels(save(tmp_path / "val_metadata.json", [entry]))
    clip = labels.clips[0]
    np.testing.assert_array_equal(clip.fused, [[3.0, 3.2], [1.0, 1.5]])  # in the order of the file
    assert len(clip.visual) == 0
    assert (clip.split, clip.duration_seconds, clip.generator) == ("dev", 10.0, "vits")
    assert "1 clips list segments of a stream that was not modified" in labels.warnings[0]


def test_ddl_labels_have_the_union_of_both_streams(tmp_path):
    entry = {
        "file": "fake_audio_fake_visual/x.mp4",
        "audio_fake_segments": [[1.0, 2.0]],
        "visual_fake_segments": [[1.5, 3.0], [5.0, 6.0]],
    }
    clip = read_labels(save(tmp_path / "val.json", [entry])).clips[0]
    np.testing.assert_array_equal(clip.fused, [[1.0, 3.0], [5.0, 6.0]])


def test_tvil_labels_do_not_tell_streams_apart(tmp_path):
    entry = {"file": "0a1b2c3d4e.mp4", "split": "valid", "duration": 4.0, "fake_periods": [[1.0, 2.0]], "n_fakes": 1}
    labels = read_labels(save(tmp_path / "metadata.json", {"0a1b2c3d4e": entry}))
    assert not labels.has_streams
    with pytest.raises(ValueError, match="do not say which stream"):
        labels.clips[0].of(Modality.AUDIO)


def test_one_object_a_file_and_a_folder_of_them(tmp_path):
    entry = {
        "file": "fake_audio_real_visual/x.mp4",
        "split": "val",
        "modify_type": "fake_audio_real_visual",
        "audio_fake_segments": [[1.0, 2.0]],
        "visual_fake_segments": [],
        "video_frames": 100,
    }
    folder = tmp_path / "val_metadata_workshop"
    folder.mkdir()
    (clip,) = read_labels(save(folder / "x.json", entry)).clips
    (media := tmp_path / "val_data" / entry["file"]).parent.mkdir(parents=True)
    media.touch()
    (same,) = read_labels(tmp_path).clips  # the dataset's folder, by its own reader
    for one in (clip, same):
        assert (one.video_id, one.split, one.dataset, one.duration_seconds) == (entry["file"], "dev", "ddl-av", 4.0)
        np.testing.assert_array_equal(one.fused, [[1.0, 2.0]])


def test_a_clips_dataset_is_what_it_says_or_what_it_looks_like(tmp_path):
    entries = [
        LAVDF_ENTRY,
        {"file": "b", "fake_periods": []},
        {"file": "c", "fake_segments": []},
        {"file": "d", "fake_segments": [], "video_model": ""},
        {"file": "e", "fake_segments": [], "dataset": "LRS3"},
    ]
    clips = read_labels(save(tmp_path / "labels.json", entries)).clips
    assert [clip.dataset for clip in clips] == ["lavdf", "tvil", "av-deepfake1m", "av-deepfake1m-plusplus", "LRS3"]


def test_true_segments_that_nothing_can_hit_are_told(tmp_path):
    entries = [{"file": "a", "fake_segments": [[2, 1], [3, 4]]}, {"file": "b", "fake_segments": [[1, 1]]}]
    labels = read_labels(save(tmp_path / "labels.json", entries))
    assert len(labels.clips[0].fused) == 2
    assert "2 clips have true segments that end before they start or have no length, such as a" in labels.warnings[0]


def test_manifest_labels(tmp_path):
    file = save(tmp_path / "manifest.csv", "path,start,end,modality,duration\na.mp4,1,2,audio,5\nb.mp4,,,,5\n")
    for path in (file, tmp_path):
        labels = read_labels(path)
        assert [clip.is_forged for clip in labels.clips] == [True, False]
        assert labels.has_streams


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[", "not valid JSON"),
        ([], "but it is empty"),
        ("1", "no JSON list at all"),
        ([1], r"\[0\] must be an object"),
        ([{"fake_periods": []}], "no 'file'"),
        ([{"file": "a.mp4"}], "unlabelled test files"),
        ([{"file": "a.mp4", "fake_periods": [[1]]}], r"must be a list of \[start, end\]"),
        ([{"file": "a.mp4", "fake_periods": [[1, None]]}], r"must be a list of \[start, end\]"),
        ([{"file": "a.mp4", "fake_periods": []}] * 2, "lists 'a.mp4' twice"),
    ],
)
def test_bad_labels_are_refused(tmp_path, document, message):
    with pytest.raises(ValueError, match=message):
        read_labels(save(tmp_path / "labels.json", document))


def test_labels_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(ValueError, match="there are no labels at"):
        read_labels(tmp_path / "none.json")
    with pytest.raises(ValueError, match=r"holds none of metadata\.min\.json"):
        read_labels(tmp_path)

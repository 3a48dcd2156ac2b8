"""The extraction flow: cached by content, made again where damaged, a bad video costs only itself."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import pytest
from prefect.exceptions import ParameterTypeError
from prefect.settings import PREFECT_API_URL

from flows.cli import main
from flows.extract import ExtractConfig, Extraction, TooManyBadVideosError, extract
from iamsb_core.digest import plain
from storage.feature_store import FeatureStore

pytestmark = pytest.mark.usefixtures("prefect_server", "home")

NUM_CLIPS, NUM_SHARDS = 12, 6


def test_a_second_run_is_cached_and_a_lost_or_damaged_shard_is_made_again(tiny_dataset: Path):
    first = extract(tiny_dataset)
    assert (first.num_videos, first.num_shards, first.num_decoded, first.bad) == (NUM_CLIPS, NUM_SHARDS, NUM_CLIPS, ())
    assert FeatureStore(first.store).verify().num_clips == 2 * NUM_CLIPS, "each in both streams"
    assert counts(extract(tiny_dataset)) == (NUM_SHARDS, 0)

    packs = sorted(first.store.glob("v1/*/*.zarr"))
    assert len(packs) == 2 * NUM_SHARDS
    shutil.rmtree(packs[0])
    assert counts(extract(tiny_dataset)) == (NUM_SHARDS - 1, 2)

    damaged = max((path for path in packs[-1].rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    assert counts(extract(tiny_dataset)) == (NUM_SHARDS - 1, 2)
    assert FeatureStore(first.store).verify().is_sound
    assert counts(extract(tiny_dataset)) == (NUM_SHARDS, 0)


def counts(done: Extraction) -> tuple[int, int]:
    return done.num_cached_shards, done.num_decoded


def broken_copy(tiny_dataset: Path, folder: Path) -> Path:
    """The dataset with one file that is no video and one that is not there."""
    shutil.copytree(tiny_dataset, folder)
    names = [entry["file"] for entry in json.loads((folder / "metadata.min.json").read_text())]
    (folder / names[0]).write_bytes(b"not a video at all")
    (folder / names[1]).unlink()
    return folder


def test_bad_videos_are_listed_with_their_reasons_and_the_rest_goes_on(
    tiny_dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    root = broken_copy(tiny_dataset, tmp_path / "broken")
    done = extract(root)
    assert done.num_bad == 2
    assert done.num_decoded == NUM_CLIPS - 1, "all but the missing one were tried"
    assert {one.kind for one in done.bad} == {"missing", "not-media"}
    assert all(one.reason and one.stream == "" for one in done.bad), "both streams are lost for one reason"
    assert FeatureStore(done.store).missing(done.audio.identity, []) == []
    assert counts(extract(root)) == (done.num_shards, 0), "a video that is bad for good is not tried again"
    message = r"2 of 12 videos cannot be used, more than max_bad_share 0\.1 allows"
    with pytest.raises(TooManyBadVideosError, match=message) as raised:
        extract(root, config=ExtractConfig(max_bad_share=0.1))
    for error in (raised.value, pickle.loads(pickle.dumps(raised.value))):
        assert error.extraction.bad == done.bad, "also from another process"
    check_command(root, done, capfd, monkeypatch)


def check_command(
    root: Path, done: Extraction, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`iamsb extract` shows the whole list, and fails."""
    monkeypatch.setenv("PREFECT_API_URL", PREFECT_API_URL.value())
    capfd.readouterr()
    arguments = ["extract", "lavdf", str(root), "--max-bad-share", "0.1"]
    assert main([*arguments, "--json"]) == 1
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert document["failed"]
    assert document["bad"] == plain(done.bad)
    assert document["error"].startswith("2 of 12 videos cannot be used")
    assert document["error"] in err
    assert main(arguments) == 1
    table = capfd.readouterr().out
    assert all(Path(one.path).name in table for one in done.bad)


def test_only_the_splits_asked_for_are_read(tiny_dataset: Path):
    done = extract(tiny_dataset, config=ExtractConfig(splits=("test",)))
    assert done.num_videos == 3
    assert done.manifest.num_videos == 3


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoder": "handcrafted"}, "encoder"),
        ({"shard_size": 0}, "at least 1 video"),
        ({"max_bad_share": 1.5}, "max_bad_share"),
        ({"splits": ["tset"]}, "splits"),
    ],
)
def test_a_wrong_configuration_is_refused_before_anything_runs(config: dict[str, object], message: str, home: Path):
    with pytest.raises(ParameterTypeError, match=message):
        extract(Path("nowhere"), config=config)
    assert not home.exists()


def test_a_wrong_root_or_name_is_one_clear_error(tmp_path: Path):
    with pytest.raises(ValueError, match="does not exist"):
        extract(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="did you mean 'lavdf'"):
        extract(tmp_path, dataset="lavdv")
    with pytest.raises(ValueError, match="no encoders 'handcraft'"):
        extract(tmp_path, config=ExtractConfig(encoders="handcraft"))

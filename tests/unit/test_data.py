"""From stored features to batches: windows, truth, padding, and epochs that are functions of their seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.data.augment import AugmentConfig, ShiftedRows, augment
from iamsb_core.data.batch import Batch
from iamsb_core.data.collate import collate, gather
from iamsb_core.data.dataset import ClipDataset, Item, LocatedItem, read_item, visible_truth, window_of
from iamsb_core.data.epochs import epoch_order, plain_batches, training_batches
from iamsb_core.data.memory import CachedFeatures
from iamsb_core.data.prefetch import prefetched
from iamsb_core.data.rows import LocatedTrack, Rows, TrackRows, write_float32
from iamsb_core.data.source import LocatedClip, StoredTrack, in_memory
from iamsb_core.encoders.base import EncodedTrack, Streams, StreamSpec
from iamsb_core.localization.proposals import ClipProposals
from iamsb_core.manifest import STREAMS, Forgery, Modality, VideoRecord
from iamsb_core.timeline import FeatureTrack, Segment, TimeGrid
from iamsb_core.training.predict import localize_items

NO_TRUTH = np.zeros((0, 2))
STREAM_SPECS = Streams(
    audio=StreamSpec(encoder_identity="a", dim=3, hop_seconds=0.02, fine_dim=2, fine_hop_seconds=0.005),
    visual=StreamSpec(encoder_identity="v", dim=2, hop_seconds=0.04),
)


def ramp(duration: float, hop: float, dim: int) -> FeatureTrack:
    """Every value is its cell's centre in seconds, so that a value tells where it came from."""
    grid = TimeGrid.covering(duration, hop)
    return FeatureTrack(np.repeat(grid.centres()[:, None], dim, axis=1).astype(np.float32), grid)


class Memory:
    """A FeatureSource of ramps; `silent` videos have no sound."""

    def __init__(self, silent: frozenset[str] = frozenset()) -> None:
        self.silent = silent
        self.num_reads = 0
        self.streams = STREAM_SPECS

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        self.num_reads += 1
        if modality is Modality.AUDIO and video.video_id in self.silent:
            return None
        duration = video.duration_seconds
        assert duration is not None
        spec = STREAM_SPECS.of(modality)
        main = ramp(duration, spec.hop_seconds, spec.dim)
        fine = ramp(duration, spec.fine_hop_seconds, spec.fine_dim) if spec.fine_dim else None
        if window is not None:
            main, fine = main.window(window), None if fine is None else fine.window(window)
        return StoredTrack(EncodedTrack(main, fine), duration)


def video(name: str, duration: float, *forgeries: tuple[float, float, Modality]) -> VideoRecord:
    return VideoRecord(
        video_id=name,
        path=Path(name),
        split="train",
        duration_seconds=duration,
        forgeries=tuple(Forgery(Segment(start, end), modality) for start, end, modality in forgeries),
    )


def located_item(name: str, duration: float, *forgeries: tuple[float, float, Modality]) -> LocatedItem:
    dataset = ClipDataset(Memory(), [video(name, duration, *forgeries)], window_seconds=99.0)
    return dataset.item(0, np.random.default_rng(0))


def written(rows: Rows) -> np.ndarray:
    out = np.full((rows.grid.num_cells, rows.dim), np.nan, np.float32)
    rows.write(out)
    return out


#  truth          [1.0 ======= 2.0)     [2.99 3.5)
#  window              [1.5 ============ 3.0)
#  seen                [0.0 = 0.5)         10 ms: less than a video frame
def test_a_window_shows_the_parts_of_the_truth_that_lie_in_it() -> None:
    seen = visible_truth(np.array([[1.0, 2.0], [2.99, 3.5]]), Segment(1.5, 3.0))
    assert seen.tolist() == [[0.0, 0.5]]


def test_a_window_cuts_both_streams_at_the_same_time() -> None:
    item = read_item(Memory(), video("a", 4.0, (1.0, 2.0, Modality.AUDIO)))
    cut = window_of(item, Segment(1.2, 2.4))
    starts = {m: cut.tracks[m].main.values[0, 0] - cut.tracks[m].main.grid.hop_seconds / 2 for m in STREAMS}
    assert starts[Modality.AUDIO] == pytest.approx(1.2)
    assert starts[Modality.VISUAL] == pytest.approx(1.2)
    assert cut.truth[Modality.AUDIO] == pytest.approx(np.array([[0.0, 0.8]]))
    assert len(cut.truth[Modality.VISUAL]) == 0


#  audio          [=======)                  ends at 1 s, though a forgery is said to reach 2.5 s
#  visual         [========================)
#  window                  [1.5 ==== 2.5)
class ShortSound(Memory):
    """Sound that ends after a second."""

    def read(self, video: VideoRecord, modality: Modality, window: Segment | None = None) -> StoredTrack | None:
        if modality is Modality.VISUAL:
            return super().read(video, modality, window)
        return super().read(replace(video, duration_seconds=1.0), modality, window)


@pytest.mark.parametrize("cut_by_the_source", [True, False])
def test_a_window_past_the_end_of_a_stream_does_not_have_it(cut_by_the_source: bool) -> None:
    both, window = Modality.AUDIO | Modality.VISUAL, Segment(1.5, 2.5)
    source, clip = ShortSound(), video("a", 4.0, (0.5, 2.5, both))
    item = read_item(source, clip, window) if cut_by_the_source else window_of(read_item(source, clip), window)
    assert item.tracks[Modality.AUDIO] is None
    assert len(item.truth[Modality.AUDIO]) == 0
    assert item.truth[Modality.VISUAL].tolist() == [[0.0, 1.0]]
    batch = collate([item], STREAM_SPECS)
    assert (batch.audio.present.tolist(), batch.audio.forged.tolist()) == ([False], [False])


def test_windows_of_a_long_clip_start_on_a_cell_of_the_picture() -> None:
    class Silent:
        """Proposes nothing; merging keeps where its windows lay."""

        def __call__(self, batch: Batch) -> None:
            return None

        def propose(self, _: None, batch: Batch) -> list[ClipProposals]:
            none = np.empty((0, 3), dtype=np.float32)
            return [ClipProposals(name, 1.0, none, none, none, 0.0) for name in batch.video_ids]

    specs = replace(STREAM_SPECS, visual=StreamSpec(encoder_identity="v", dim=2, hop_seconds=0.05))
    tracks = {m: EncodedTrack(ramp(3.0, specs.of(m).hop_seconds, specs.of(m).dim)) for m in STREAMS}
    specs = replace(specs, audio=replace(specs.audio, fine_dim=0, fine_hop_seconds=0.0))
    item = Item("a", 3.0, tracks, {m: np.zeros((0, 2)) for m in STREAMS})
    (found,) = localize_items(Silent(), [item], specs, 1.0)  # type: ignore[arg-type]
    starts = [window["start_seconds"] for window in found.evidence["windows"]]
    assert starts == pytest.approx([0.0, 0.75, 1.5, 2.0])


def test_a_batch_pads_to_the_longest_and_says_what_is_valid() -> None:
    source = Memory(silent=frozenset({"b"}))
    items = [read_item(source, video("a", 1.0, (0.2, 0.6, Modality.VISUAL))), read_item(source, video("b", 0.4))]
    batch = collate(items, STREAM_SPECS)
    assert batch.audio.values.shape == (2, 50, 3)
    assert batch.audio.fine_values is not None
    assert batch.audio.fine_values.shape == (2, 200, 2)
    assert batch.visual.valid.sum(dim=1).tolist() == [25, 10]
    assert batch.audio.present.tolist() == [True, False]
    assert batch.visual.forged.tolist() == [True, False]
    torch.testing.assert_close(batch.visual.truth[0], torch.tensor([[0.2, 0.6]]))
    assert not batch.visual.values[1, 10:].any()


def test_features_of_another_encoder_are_refused() -> None:
    item = Item(
        "a", 1.0, {m: EncodedTrack(ramp(1.0, 0.04, 9)) for m in STREAMS}, {m: np.zeros((0, 2)) for m in STREAMS}
    )
    with pytest.raises(ValueError, match="9 wide, the stream says 3"):
        collate([item], STREAM_SPECS)


@settings(deadline=None)
@given(st.integers(1, 100), st.integers(1, 32), st.integers(0, 5))
def test_an_epoch_shows_every_clip_once(num_items: int, batch_size: int, epoch: int) -> None:
    batches = epoch_order(num_items, batch_size, 7, epoch)
    assert sorted(np.concatenate(batches).tolist()) == list(range(num_items))
    assert len(batches) == 1 or min(map(len, batches)) * 2 >= batch_size


def test_an_epoch_resumed_in_the_middle_shows_what_it_would_have_shown() -> None:
    dataset = ClipDataset(Memory(), [video(str(n), 3.0 + n) for n in range(9)], window_seconds=2.0)
    whole = list(training_batches(dataset, 4, 5, 2, AugmentConfig()))
    rest = list(training_batches(dataset, 4, 5, 2, AugmentConfig(), first_batch=1))
    assert len(whole) == len(rest) + 1
    for expected, found in zip(whole[1:], rest, strict=True):
        assert expected.video_ids == found.video_ids
        assert torch.equal(expected.audio.values, found.audio.values)
    other = list(training_batches(dataset, 4, 5, 3, AugmentConfig()))
    assert [b.video_ids for b in whole] != [b.video_ids for b in other]


def test_augmentation_off_changes_nothing() -> None:
    item = located_item("a", 2.0, (0.5, 1.0, Modality.AUDIO))
    off = AugmentConfig(drop_stream_share=0.0, offset_scale=0.0, gain_scale=0.0)
    same = augment(item, off, np.random.default_rng(0))
    for modality in STREAMS:
        np.testing.assert_allclose(written(same.tracks[modality].main), written(item.tracks[modality].main), atol=1e-6)


def test_augmentation_by_hand() -> None:
    """Two cells, 1 and 5: mean 3, spread 2. A gain of 2 and an offset of half a spread give 3 -+ 4 + 1."""
    track = FeatureTrack(np.array([[1.0], [5.0]], np.float16), TimeGrid(0.02, 2))
    rows = ShiftedRows(TrackRows(track), np.array([2.0], np.float32), np.array([0.5], np.float32))
    assert written(rows).tolist() == [[0.0], [8.0]]
    assert (rows.dim, rows.grid) == (1, track.grid)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 200), st.integers(1, 70), st.sampled_from([np.float16, np.float32]), st.integers(0, 99))
def test_augmentation_in_place_has_the_bits_of_the_formula(num_cells: int, dim: int, dtype: type, seed: int) -> None:
    rng = np.random.default_rng(seed)
    track = FeatureTrack((3.0 * rng.standard_normal((num_cells, dim)) + 1.0).astype(dtype), TimeGrid(0.02, num_cells))
    item = LocatedItem("a", 4.0, {m: LocatedTrack(TrackRows(track)) for m in STREAMS}, dict.fromkeys(STREAMS, NO_TRUTH))
    config = AugmentConfig(drop_stream_share=0.0)
    found = augment(item, config, np.random.default_rng(seed))
    drawn, values = np.random.default_rng(seed), track.values.astype(np.float32)
    for modality in STREAMS:
        gain = np.exp(config.gain_scale * drawn.standard_normal(dim)).astype(np.float32)
        offset = (config.offset_scale * drawn.standard_normal(dim)).astype(np.float32) * values.std(axis=0)
        mean = values.mean(axis=0)
        expected = (values - mean) * gain + mean + offset
        assert written(found.tracks[modality].main).tobytes() == expected.tobytes()


def test_a_dropped_stream_takes_its_truth_along() -> None:
    item = located_item("a", 2.0, (0.5, 1.0, Modality.AUDIO | Modality.VISUAL))
    always = AugmentConfig(drop_stream_share=1.0)
    dropped = augment(item, always, np.random.default_rng(0))
    gone = [modality for modality in STREAMS if dropped.tracks[modality] is None]
    assert len(gone) == 1
    assert len(dropped.truth[gone[0]]) == 0
    assert len(item.truth[gone[0]]) == 1


def test_a_small_dataset_is_read_from_disk_once() -> None:
    memory = Memory()
    cached = CachedFeatures(memory)
    first = cached.read(video("a", 2.0), Modality.AUDIO)
    window = cached.read(video("a", 2.0), Modality.AUDIO, Segment(1.0, 1.5))
    assert memory.num_reads == 1
    assert first is not None
    assert window is not None
    assert np.array_equal(window.track.main.values, first.track.main.values[50:75])


def test_a_full_cache_passes_through() -> None:
    memory = Memory()
    cached = CachedFeatures(memory, max_bytes=0)
    for _ in range(3):
        assert cached.read(video("a", 2.0), Modality.AUDIO) is not None
    assert memory.num_reads == 3


def test_a_clip_held_in_memory_is_located_there() -> None:
    memory = Memory(silent=frozenset("b"))
    cached = CachedFeatures(memory)
    for _ in range(2):
        found = cached.locate(video("a", 2.0), Modality.AUDIO)
        assert found is not None
        assert np.array_equal(written(found.track.main), ramp(2.0, 0.02, 3).values)
        assert cached.locate(video("b", 2.0), Modality.AUDIO) is None
    assert memory.num_reads == 2


def test_located_items_make_the_batch_of_read_ones() -> None:
    clips = [video("a", 2.0, (0.5, 1.0, Modality.AUDIO)), video("b", 0.7), video("c", 3.1)]
    source = Memory(silent=frozenset("b"))
    dataset = ClipDataset(source, clips, window_seconds=99.0)
    read = collate([read_item(source, clip) for clip in clips], STREAM_SPECS)
    found = gather([dataset.item(place, np.random.default_rng(0)) for place in range(3)], STREAM_SPECS)
    for stream in STREAMS:
        one, other = read.stream(stream), found.stream(stream)
        assert torch.equal(one.values, other.values)
        assert torch.equal(one.valid, other.valid)
        assert all(torch.equal(a, b) for a, b in zip(one.truth, other.truth, strict=True))
    assert torch.equal(read.audio.fine_values, found.audio.fine_values)


def test_every_half_becomes_the_float_that_it_is() -> None:
    """All 65,536 of them, but for the bits of what is no number; read-only, as a mapped file is."""
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16).reshape(-1, 64)
    halves.flags.writeable = False
    out = np.empty(halves.shape, np.float32)
    write_float32(halves, out)
    np.testing.assert_array_equal(out, halves.astype(np.float32))
    write_float32(halves[:0], out[:0])


def test_the_next_batch_is_announced_while_one_is_used() -> None:
    class Told(Memory):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[list[str]] = []

        def locate(self, video: VideoRecord, modality: Modality) -> LocatedClip | None:
            return in_memory(self.read(video, modality))

        def expect(self, videos: Sequence[VideoRecord]) -> None:
            self.told.append([video.video_id for video in videos])

    source = Told()
    dataset = ClipDataset(source, [video(str(n), 1.0) for n in range(5)], window_seconds=2.0)
    batches = plain_batches(dataset, 2, 0)
    assert next(batches).video_ids == ("0", "1")
    assert source.told == [["0", "1", "2", "3"]], "the first batch and the second, before any is read"
    assert [batch.video_ids for batch in batches] == [("2", "3"), ("4",)]
    assert source.told[1:] == [["4"], []]


def test_prefetching_leaves_the_threads_of_others_alone() -> None:
    before = torch.get_num_threads()
    ahead = prefetched(torch.get_num_threads() for _ in range(3))
    assert [next(ahead), torch.get_num_threads()] == [1, before]
    assert list(ahead) == [1, 1]
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(torch.get_num_threads).result() == before


def test_prefetching_keeps_the_order_and_raises_in_place() -> None:
    def numbers() -> Iterator[int]:
        yield from range(5)
        raise ValueError("the sixth is broken")

    ahead = prefetched(numbers())
    assert [next(ahead) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="sixth"):
        next(ahead)
    assert list(prefetched(iter(range(7)))) == list(range(7))


def test_prefetching_can_be_left_early() -> None:
    ahead = prefetched(iter(range(1000)))
    assert next(ahead) == 0
    ahead.close()

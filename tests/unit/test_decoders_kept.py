"""Decoders that wait between the shards of an extraction, and end with it."""

from __future__ import annotations

import pytest

from tasks import decoders as module
from tasks.decoders import decoders, decoders_kept


class Decoder:
    """Knows whether it was closed."""

    made = 0

    def __init__(self) -> None:
        Decoder.made += 1
        self.closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MediaDecoder", Decoder)
    monkeypatch.setattr(Decoder, "made", 0)


def test_eight_shards_two_at_a_time_take_two_decoders() -> None:
    with decoders_kept():
        for _ in range(4):
            with decoders(1) as one, decoders(1) as other:
                assert one != other
        assert not any(decoder.closed for decoder in (*one, *other))
    assert Decoder.made == 2
    assert all(decoder.closed for decoder in (*one, *other))


def test_outside_an_extraction_each_shard_ends_its_own() -> None:
    for _ in range(2):
        with decoders(3) as taken:
            assert len(taken) == 3
        assert all(decoder.closed for decoder in taken)
    assert Decoder.made == 6


def test_of_two_extractions_the_last_to_end_ends_them() -> None:
    with decoders_kept():
        with decoders_kept(), decoders(1) as taken:
            pass
        assert not taken[0].closed
        with decoders(2) as again:
            assert taken[0] in again
    assert all(decoder.closed for decoder in again)
    assert Decoder.made == 2


def test_a_shard_that_outlives_its_extraction_ends_its_decoders() -> None:
    with decoders_kept():
        late = decoders(1)
        taken = late.__enter__()
    late.__exit__(None, None, None)
    assert taken[0].closed

"""Pictures onto the grid by presentation time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iamsb_core.media.sampling import on_screen
from iamsb_core.media.video import Picture, Pixels
from iamsb_core.timeline import TimeGrid


def numbered(times: list[float], converted: list[int] | None = None) -> Iterator[Picture]:
    """Pictures of one pixel that shows their number."""
    for number, seconds in enumerate(times):

        def rgb(number: int = number) -> Pixels:
            if converted is not None:
                converted.append(number)
            return np.full((1, 1, 3), number, dtype=np.uint8)

        yield Picture(seconds, rgb)


def shown(times: list[float], seconds: list[float]) -> list[int]:
    return [int(pixels[0, 0, 0]) for pixels in on_screen(numbered(times), np.asarray(seconds))]


def test_a_cell_shows_what_is_on_screen_at_its_centre() -> None:
    # cells of 40 ms, centres 0.02 0.06 0.10 0.14 0.18
    centres = TimeGrid(0.04, 5).centres().tolist()
    assert shown([0.00, 0.04, 0.08, 0.12, 0.16], centres) == [0, 1, 2, 3, 4]  # 25 fps
    assert shown([0.00, 0.05, 0.10, 0.15], centres) == [0, 1, 2, 2, 3]  # 20 fps: picture 2 comes on at 0.10, a centre
    assert shown([0.0, 1 / 15, 2 / 15], centres) == [0, 0, 1, 2, 2]  # 15 fps
    assert shown([i / 60 for i in range(12)], centres) == [1, 3, 6, 8, 10]  # 60 fps


def test_before_the_first_picture_the_first_is_shown_and_after_the_last_the_last() -> None:
    assert shown([0.1, 0.2], [0.0, 0.05, 0.15, 0.25, 9.0]) == [0, 0, 0, 1, 1]


def test_pictures_never_shown_are_never_converted() -> None:
    converted: list[int] = []
    list(on_screen(numbered([i / 60 for i in range(12)], converted), TimeGrid(0.04, 5).centres()))
    assert converted == [1, 3, 6, 8, 10]


def test_a_picture_shown_twice_is_the_same_object() -> None:
    first, second = on_screen(numbered([0.0]), np.asarray([0.0, 1.0]))
    assert first is second


def test_no_pictures_give_no_cells() -> None:
    assert shown([], [0.0, 1.0]) == []


def test_the_reader_is_read_to_its_end() -> None:
    def broken() -> Iterator[Picture]:
        yield from numbered([0.0, 0.1, 0.2])
        raise EOFError("lost pictures")

    with pytest.raises(EOFError, match="lost pictures"):
        list(on_screen(broken(), np.asarray([0.0])))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 3000), min_size=1, max_size=40),
    st.lists(st.integers(0, 3000), max_size=40),
)
def test_agrees_with_a_search_in_the_sorted_times(times: list[int], seconds: list[int]) -> None:
    times, seconds = sorted(times), sorted(seconds)
    expected = np.maximum(np.searchsorted(times, seconds, side="right") - 1, 0)
    assert shown([t / 1000 for t in times], [s / 1000 for s in seconds]) == expected.tolist()

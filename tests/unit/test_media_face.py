"""The steady face crop, and what crops show."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from iamsb_core.media import crop, face
from iamsb_core.media.clip import FrameView
from iamsb_core.media.crop import crop_square, view_cells
from iamsb_core.media.face import Square, SteadyFace
from iamsb_core.media.probe import scan

BLANK = np.zeros((100, 200, 3), dtype=np.uint8)


def follow(monkeypatch: pytest.MonkeyPatch, windows: list[list[list[Square]]]) -> list[tuple[Square | None, bool]]:
    """What SteadyFace says of windows in which these faces are found, look by look."""
    steady, said = SteadyFace(), []
    monkeypatch.setattr(face, "find_small_faces", lambda picture: [])
    for window in windows:
        pictures = [BLANK.copy() for _ in window]
        found = {id(picture): faces for picture, faces in zip(pictures, window, strict=True)}
        monkeypatch.setattr(face, "find_faces", lambda picture, like=None, found=found: found[id(picture)])
        said.append(steady.follow(pictures))
    return said


def test_overlap_by_hand() -> None:
    # 10 x 10 squares, 5 apart: 50 shared of 150
    assert Square(5, 5, 10).overlap(Square(10, 5, 10)) == pytest.approx(1 / 3)
    assert Square(5, 5, 10).overlap(Square(5, 5, 5)) == pytest.approx(0.25)
    assert Square(5, 5, 10).overlap(Square(20, 5, 10)) == 0.0


def test_a_face_that_sways_keeps_one_crop(monkeypatch: pytest.MonkeyPatch) -> None:
    sway = [Square(100 + dx, 50, 40) for dx in (0, 6, -6, 4, -8)]
    said = follow(monkeypatch, [[[square]] * 4 for square in sway])
    assert said == [(Square(100, 50, 64), True)] * 5  # 1.6 times the face


def test_a_face_that_moves_away_takes_the_crop_along(monkeypatch: pytest.MonkeyPatch) -> None:
    said = follow(monkeypatch, [[[Square(100, 50, 40)]] * 4, [[Square(150, 50, 40)]] * 4])
    assert [square.centre_x for square, _ in said if square] == [100, 150]


def test_one_false_sighting_in_four_moves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    true, false = Square(100, 50, 40), Square(20, 20, 60)
    said = follow(monkeypatch, [[[true]] * 4, [[true], [false, true], [false], [true]]])
    assert said[0] == said[1]


def test_the_face_followed_is_preferred_to_a_larger_one(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Square(50, 50, 40), Square(150, 50, 44)
    said = follow(monkeypatch, [[[one]] * 4, [[], [one, other], [one, other], [other]]])
    assert said[1] == said[0]


def test_a_lost_face_keeps_its_crop_but_not_for_ever_its_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said = follow(monkeypatch, [[[Square(100, 50, 40)]] * 4, *[[[]] * 4] * 4])
    assert len({square for square, _ in said}) == 1
    assert [found for _, found in said] == [True, True, True, False, False]


def test_no_face_gives_the_middle() -> None:
    (cells,) = view_cells([BLANK] * 3, FrameView(size_pixels=10))
    assert cells.boxes.tolist() == [[50, 0, 150, 100]] * 3
    assert not cells.face_found.any()


def test_a_real_face_is_found_where_it_is(media_folder: Path) -> None:
    picture = scan(media_folder / "real" / "may_5s.mp4").first_picture
    (square,) = face.find_faces(picture)
    assert 200 < square.centre_x < 312  # of 512: she sits in the middle
    (again,) = face.find_faces(picture, like=square)
    assert again.overlap(square) > 0.7


def test_crops_stay_inside_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    for square in (Square(10, 10, 60), Square(195, 95, 40), Square(100, 50, 90)):
        monkeypatch.setattr(face, "find_faces", lambda picture, like=None, square=square: [square])
        (cells,) = view_cells([BLANK], FrameView(size_pixels=8))
        left, top, right, bottom = cells.boxes[0].tolist()
        assert 0 <= left < right <= 200
        assert 0 <= top < bottom <= 100
        assert right - left == bottom - top == min(100, 1.6 * square.side)


def test_a_crop_of_its_own_size_is_the_picture_itself() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    np.testing.assert_array_equal(crop_square(picture, 7, 5, 20, 20), picture[5:25, 7:27])


def test_a_letterbox_shows_all_and_pads_with_black() -> None:
    # 60 x 40 in a square of 60: 10 black rows above and below
    (cells,) = view_cells([np.full((40, 60, 3), 200, dtype=np.uint8)], FrameView(size_pixels=60, crop="letterbox"))
    assert cells.boxes[0].tolist() == [0, -10, 60, 50]
    assert (cells.frames[0][:10] == 0).all()
    assert (cells.frames[0][10:50] == 200).all()
    assert (cells.frames[0][50:] == 0).all()


def test_windows_are_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crop, "_WINDOW_BYTES", 3 * BLANK.nbytes)
    windows = list(view_cells([BLANK] * 8, FrameView(size_pixels=4, crop="centre")))
    assert [len(window.frames) for window in windows] == [3, 3, 2]


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 300, 3), (23, 23, 3)])
@pytest.mark.parametrize("kind", ["face", "centre", "letterbox"])
def test_tiny_pictures_are_shown_too(shape: tuple[int, int, int], kind: str) -> None:
    (cells,) = view_cells([np.full(shape, 255, dtype=np.uint8)], FrameView(size_pixels=16, crop=kind))
    assert cells.frames.shape == (1, 16, 16, 3)
    assert cells.frames.max() > 0

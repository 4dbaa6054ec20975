"""Pictures in squares and back."""

import numpy as np
import pytest

from contract.ops import tiles


@pytest.mark.parametrize("size", [(256, 256), (100, 300), (257, 255), (640, 250), (700, 1000)])
def test_every_pixel_of_a_picture_lies_in_a_square_as_it_is(size):
    height, width = size
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    lies = tiles.layout(height, width)
    squares = tiles.cut(picture)
    assert squares.shape == (len(lies.down) * len(lies.across), 256, 256, 3)
    seen = np.zeros((height, width), bool)
    places = [(top * 8, left * 8) for top in lies.down for left in lies.across]
    for (top, left), square in zip(places, squares, strict=True):
        part = picture[top : top + 256, left : left + 256]
        np.testing.assert_array_equal(square[: part.shape[0], : part.shape[1]], part)
        seen[top : top + 256, left : left + 256] = True
    assert seen.all()


def test_beyond_the_edge_a_picture_is_mirrored():
    picture = np.arange(200 * 200 * 3).reshape(200, 200, 3) % 251
    (square,) = tiles.cut(picture)
    np.testing.assert_array_equal(square[200], square[198])
    np.testing.assert_array_equal(square[:, 255], square[:, 143])


def test_maps_are_joined_where_their_squares_lay():
    height, width = 600, 300
    lies = tiles.layout(height, width)
    whole = np.random.default_rng(1).normal(size=(75, 38, 2)).astype(np.float32)
    padded = np.pad(whole, ((0, 32), (0, 32), (0, 0)))
    maps = np.stack([padded[t : t + 32, s : s + 32] for t in lies.down for s in lies.across])
    np.testing.assert_allclose(tiles.joined(maps, lies), whole, atol=1e-6)


def test_a_single_square_is_looked_at_twice():
    """A map of what is shown, whose mean over both looks is that of the picture itself."""
    height, width = 200, 240
    picture = np.random.default_rng(2).uniform(0, 255, (height, width, 3)).astype(np.float32)
    shown = tiles.looks(picture)
    assert shown.shape == (2, 256, 256, 3)
    np.testing.assert_array_equal(shown[:1], tiles.cut(picture))
    np.testing.assert_array_equal(shown[1], np.rot90(shown[0], 2))

    def seen(pixels):
        """What does not depend on where it lies, and what does: the latter differs by look."""
        same = pixels.reshape(-1, 32, 8, 32, 8, 3).mean(axis=(2, 4, 5))
        across = np.broadcast_to(np.arange(32.0), same.shape)
        return np.stack([same, across], axis=-1).astype(np.float32)

    found = tiles.joined(seen(shown), tiles.layout(height, width))
    assert found.shape == (25, 30, 2)
    np.testing.assert_allclose(found[..., 0], seen(tiles.cut(picture))[0, :25, :30, 0], rtol=1e-5)
    np.testing.assert_allclose(found[..., 1], 15.5)


def test_squares_of_several_are_looked_at_once():
    picture = np.zeros((300, 256, 3), np.uint8)
    np.testing.assert_array_equal(tiles.looks(picture), tiles.cut(picture))


def test_squares_overlap_so_that_nothing_lies_at_an_edge_alone():
    lies = tiles.layout(2000, 256)
    steps = np.diff(lies.down)
    assert (steps <= 24).all()
    assert lies.down[-1] * 8 + 256 >= 2000


def test_only_a_picture_far_smaller_than_a_square_is_enlarged():
    small = np.zeros((120, 160, 3), np.uint8)
    assert tiles.enlarged(small).shape == (192, 256, 3)
    for size in [(193, 100), (256, 256), (1000, 50)]:
        assert tiles.scale(*size) == 1.0
    mask = np.zeros((120, 160), np.uint8)
    mask[40:60, 70:90] = 1
    grown = tiles.enlarged(mask, is_mask=True)
    assert set(np.unique(grown)) == {0, 1}
    assert grown.mean() == pytest.approx(mask.mean(), rel=0.02)

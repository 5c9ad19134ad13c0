"""Where spots lie: pitch, the eight symmetries of an image, shares of spots on tissue."""

import numpy as np
import pytest
from histocarta.placement import AS_GIVEN, SYMMETRIES, draw_placement, move, on_tissue, pitch_px, place

WIDTH, HEIGHT = 60, 40


def test_the_pitch_of_lattices_is_their_step():
    row, col = (axis.ravel() for axis in np.indices((6, 6)))
    square = np.stack([col, row], axis=1) * 291.5
    assert pitch_px(square, row, col, lattice="square") == pytest.approx(291.5)
    staggered = 2 * col + row % 2
    hexagons = np.stack([staggered * 50, row * np.sqrt(0.75) * 100], axis=1)
    assert pitch_px(hexagons, row, staggered, lattice="hexagonal") == pytest.approx(100)
    assert np.isnan(pitch_px(square[:1], row[:1], col[:1], lattice="square"))


def test_spots_that_stray_and_are_missing_and_a_turned_image_leave_the_pitch_as_it_is():
    rng = np.random.default_rng(0)
    row, col = (axis.ravel() for axis in np.indices((25, 25)))
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    points = (np.stack([col, row], axis=1) * 100 + rng.normal(scale=5, size=(625, 2))) @ turn
    kept = rng.random(625) < 0.6
    found = pitch_px(points[kept], row[kept], col[kept], lattice="square")
    assert found == pytest.approx(100, rel=0.01)
    lone = np.array([0, 7]), np.array([0, 9])  # places that are no neighbours
    assert pitch_px(np.array([[0.0, 0], [3, 4]]), *lone, lattice="square") == pytest.approx(5)


@pytest.mark.parametrize(
    ("symmetry", "picture"),
    [
        ("flipped left to right", np.fliplr),
        ("flipped top to bottom", np.flipud),
        ("turned by 180 degrees", lambda image: np.rot90(image, 2)),
        ("with x and y swapped", np.transpose),
        ("turned by 90 degrees clockwise", lambda image: np.rot90(image, -1)),
        ("turned by 90 degrees anticlockwise", lambda image: np.rot90(image, 1)),
        ("with x and y swapped, turned by 180 degrees", lambda image: np.rot90(image.T, 2)),
    ],
)
def test_a_symmetry_moves_spots_as_numpy_moves_pixels(symmetry, picture):
    y, x = 7, 21
    image = np.zeros((HEIGHT, WIDTH), bool)
    image[y, x] = True
    moved = picture(image)  # of the image as it was when the positions were taken to the slide as it is
    found = move(np.array([[x + 0.5, y + 0.5]]), symmetry, width=moved.shape[1], height=moved.shape[0])
    assert tuple(np.floor(found[0]).astype(int)) == tuple(np.argwhere(moved)[0][::-1])


def test_all_eight_symmetries_are_different():
    points = np.array([[3.0, 5.0], [20.0, 11.0]])
    moved = {move(points, name, width=WIDTH, height=HEIGHT).tobytes() for name in SYMMETRIES}
    assert len(moved) == 8


def test_points_outside_the_mask_are_not_on_tissue():
    mask = np.ones((4, 6), bool)
    mask[0, 0] = False
    points = np.array([[5.0, 5], [15, 5], [59, 39], [60, 39], [59, 40], [-1, 5], [5, -1]])
    assert on_tissue(points, mask, downsample=10).tolist() == [False, True, True, False, False, False, False]


def placed(points, *, whole=True):
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:12, 4:40] = True
    return place(np.array(points, float), mask, downsample=1, width=WIDTH, height=HEIGHT, whole=whole)


def test_a_better_symmetry_is_named():
    spots = [(50.5, 5.5), (41.5, 3.5), (30.5, 10.5), (21.5, 11.5)]  # two on tissue, all when flipped
    found = placed(spots)
    assert found.shares[AS_GIVEN] == 0.5
    assert found.better == "flipped left to right"
    assert found.shares[found.better] == 1.0


def test_of_a_part_of_an_image_no_symmetry_is_tried():
    found = placed([(50.5, 5.5), (41.5, 3.5)], whole=False)
    assert found.shares == {AS_GIVEN: 0.0}
    assert found.better == ""


def test_spots_that_lie_well_or_hardly_worse_are_believed():
    tissue, glass = (38.5, 5.5), (50.5, 5.5)  # flipped, both are on tissue
    assert placed([tissue] * 9 + [glass]).better == ""  # 0.9
    assert placed([tissue] * 8 + [glass]).better == "flipped left to right"
    beyond = (30.5, 30.5)  # on glass as it is and flipped left to right
    assert placed([tissue] * 8 + [glass, *[beyond] * 3]).better == ""  # 8 and 9 of 12: less than 0.1 better


def test_the_picture_shows_every_panel_with_spots_on_and_beside_tissue():
    thumbnail, mask = np.full((300, 600, 3), 235, np.uint8), np.zeros((300, 600), bool)
    mask[:, :300] = True
    points = np.array([[1000.0, 1000.0], [5000.0, 1000.0]])
    picture = draw_placement(thumbnail, {"a": points, "b": points[:1]}, mask, downsample=10, diameter_px=200)
    assert picture.shape[1] == 1200
    blue = (picture == (0, 90, 181)).all(axis=2)
    red = (picture == (220, 50, 32)).all(axis=2)
    assert blue[:, :300].any() and not blue[:, 300:600].any() and blue[:, 600:900].any()
    assert red[:, 300:600].any() and not red[:, 600:].any()

"""Nuclei of windows: drawn ones are found with their size, and every number is scikit-image's or SciPy's."""

import cv2
import numpy as np
import pandas as pd
import pytest
from histocarta import nuclei
from histocarta.nuclei import NAMES, RANGES, describe_nuclei, measure_nuclei, neighbour_distances, segment_nuclei
from histocarta.nuclei import summarise_nuclei as summarise
from scipy import stats
from scipy.spatial import Delaunay
from skimage.measure import regionprops_table

PINK, BLUE = (235, 200, 220), (90, 60, 150)


def window(count=0, *, mpp=0.686, radius=4.0, side=224, seed=0):
    """A pink window with ``count`` blue discs of ``radius`` µm that do not touch, and grain in all of it."""
    rng = np.random.default_rng(seed)
    tile = np.full((side, side, 3), PINK, np.uint8)
    step = int(2.6 * radius / mpp)
    places = [(x, y) for y in range(step, side - step, step) for x in range(step, side - step, step)]
    for place in rng.permutation(places)[:count]:
        cv2.circle(tile, place.tolist(), round(radius / mpp), BLUE, -1)
    return np.clip(tile + rng.normal(0, 4, tile.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("mpp", [0.5, 0.686, 1.0])
@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_drawn_nuclei_are_counted_and_measured_in_micrometres(count, mpp):
    found = pd.Series(measure_nuclei(window(count, mpp=mpp), mpp=mpp), index=NAMES)
    assert found["nuclei_count"] == count
    if count:
        disc = cv2.circle(np.zeros((50, 50), np.uint8), (25, 25), round(4 / mpp), 1, -1)
        drawn = disc.sum() * mpp**2
        assert found["nuclei_area_mean"] == pytest.approx(drawn, rel=0.15)
        assert found["nuclei_major_mean"] == pytest.approx(2 * np.sqrt(drawn / np.pi), rel=0.1)
        assert found["nuclei_ratio_mean"] == pytest.approx(1, abs=0.1)
        colours = found[["nuclei_red_mean", "nuclei_green_mean", "nuclei_blue_mean"]].to_numpy(float)
        np.testing.assert_allclose(colours, BLUE, atol=12)


@pytest.mark.parametrize("colour", [(0, 0, 0), (128, 128, 128), (255, 255, 255), PINK, (200, 120, 180)])
@pytest.mark.filterwarnings("error")
def test_a_window_of_one_colour_or_of_noise_has_no_nuclei_in_numbers(colour):
    rng = np.random.default_rng(0)
    plain = np.full((224, 224, 3), colour, np.uint8)
    for rgb in (plain, np.clip(plain + rng.normal(0, 6, plain.shape), 0, 255).astype(np.uint8)):
        found = pd.Series(measure_nuclei(rgb, mpp=0.5), index=NAMES)
        assert found["nuclei_count"] == 0
        assert (found.filter(like="_bin") == 0).all() and found.filter(regex="_(mean|sd|skew|kurtosis)$").isna().all()


def test_nuclei_that_touch_are_parted_and_what_is_no_nucleus_is_left_out():
    tile = np.full((224, 224, 3), PINK, np.uint8)
    for place in ((50, 50), (62, 50), (56, 61)):  # three discs of 4.8 µm radius that overlap a little
        cv2.circle(tile, place, 7, BLUE, -1)
    cv2.circle(tile, (150, 50), 2, BLUE, -1)  # 6 µm²: debris
    cv2.line(tile, (20, 180), (200, 180), BLUE, 1)  # a fibre
    labels = segment_nuclei(tile, mpp=0.686)
    assert labels.max() == 3 and len({labels[50, 48], labels[50, 64], labels[63, 56]} - {0}) == 3
    assert not labels[50, 150] and not labels[178:183].any()


def test_a_pale_nucleus_counts_whole():
    tile = np.full((224, 224, 3), PINK, np.uint8)
    cv2.circle(tile, (110, 110), 7, BLUE, -1)
    cv2.circle(tile, (110, 110), 2, PINK, -1)
    labels = segment_nuclei(tile, mpp=0.686)
    assert labels.max() == 1 and labels[110, 110] == 1


def test_features_of_nuclei_are_those_of_scikit_image():
    rgb = window(30, seed=3)
    labels = segment_nuclei(rgb, mpp=0.686)
    labels[100:104, 30:60] = labels.max() + 1  # one that is no disc
    cv2.ellipse(labels, (180, 180), (15, 6), 30, 0, 360, int(labels.max()) + 1, -1)
    labels = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
    properties = ("area", "axis_major_length", "axis_minor_length", "intensity_mean")
    wanted = regionprops_table(labels, rgb, properties=properties)
    found = pd.DataFrame(describe_nuclei(rgb, labels, mpp=0.686), columns=list(RANGES))
    np.testing.assert_allclose(found["area"], wanted["area"] * 0.686**2)
    np.testing.assert_allclose(found["major"], wanted["axis_major_length"] * 0.686)
    np.testing.assert_allclose(found["minor"], wanted["axis_minor_length"] * 0.686)
    np.testing.assert_allclose(found["ratio"], wanted["axis_major_length"] / wanted["axis_minor_length"])
    for channel, name in enumerate(("red", "green", "blue")):
        np.testing.assert_allclose(found[name], wanted[f"intensity_mean-{channel}"])


def test_distances_to_delaunay_neighbours():
    square = np.array([[0, 0], [0, 2], [2, 0], [2, 2], [1, 1.0]])  # each corner: two corners at 2, the centre at √2
    found = neighbour_distances(square)
    np.testing.assert_allclose(found[0], [2, (4 + np.sqrt(2)) / 3, np.sqrt(2)])
    np.testing.assert_allclose(found[4], [np.sqrt(2)] * 3)
    points = np.random.default_rng(0).uniform(0, 100, (40, 2))
    edges = {tuple(sorted(pair)) for one in Delaunay(points).simplices for pair in zip(one, np.roll(one, 1))}  # noqa: B905
    lengths = [np.linalg.norm(points[a] - points[b]) for a, b in edges if 7 in (a, b)]
    np.testing.assert_allclose(neighbour_distances(points)[7], [max(lengths), np.mean(lengths), min(lengths)])


@pytest.mark.parametrize("points", [[], [[1, 1]], [[1, 1], [2, 2]], [[0, 0], [1, 1], [2, 2], [5, 5]]])
def test_no_triangulation_no_distance(points):
    found = neighbour_distances(np.array(points, float).reshape(-1, 2))
    assert found.shape == (len(points), 3) and np.isnan(found).all()


def test_statistics_are_those_of_scipy_over_the_nuclei_that_have_the_feature():
    values = np.abs(np.random.default_rng(1).normal(40, 30, (60, 10)))
    values[::3, 7:] = np.nan
    found = pd.Series(summarise(values), index=NAMES)
    for i, name in enumerate(RANGES):
        one = values[~np.isnan(values[:, i]), i]
        wanted = [one.mean(), one.std(), stats.skew(one), stats.kurtosis(one)]
        np.testing.assert_allclose(found[[f"nuclei_{name}_{k}" for k in ("mean", "sd", "skew", "kurtosis")]], wanted)
        assert found.filter(like=f"nuclei_{name}_bin").sum() == pytest.approx(1)
    low, high = RANGES["area"]
    third = (values[:, 0] >= low + 0.2 * (high - low)) & (values[:, 0] < low + 0.3 * (high - low))
    assert found["nuclei_area_bin3"] == pytest.approx(third.mean())


def test_equal_nuclei_have_no_skewness():
    found = pd.Series(summarise(np.full((5, 10), 0.1 + 0.2)), index=NAMES)
    assert found["nuclei_area_sd"] == pytest.approx(0, abs=1e-12) and np.isnan(found["nuclei_area_skew"])


def test_a_turned_window_has_the_same_nuclei():
    rgb = window(40, seed=5)
    one, other = (pd.Series(measure_nuclei(np.rot90(rgb, k).copy(), mpp=0.686), index=NAMES) for k in (0, 1))
    names = ["nuclei_count", "nuclei_area_mean", "nuclei_red_mean", "nuclei_nearest_mean"]
    np.testing.assert_allclose(one[names], other[names], rtol=0.02)


@pytest.mark.real
def test_real_windows_hold_nuclei_of_human_size(real_data):
    """HER2ST C2: carcinoma and stroma at 0.686 µm per pixel, windows of 154 µm at spots."""
    image = cv2.imread(str(real_data / "her2st" / "images" / "C2.jpg"))[:, :, ::-1]
    spots = pd.read_csv(real_data / "her2st" / "spots" / "C2.tsv", sep="\t")[["pixel_x", "pixel_y"]].astype(int)
    rows = [
        measure_nuclei(np.ascontiguousarray(image[y - 112 : y + 112, x - 112 : x + 112]), mpp=0.686)
        for x, y in spots.sample(30, random_state=0).to_numpy()
    ]
    table = pd.DataFrame(rows, columns=NAMES)
    assert table["nuclei_count"].between(20, 200).all() and 70 < table["nuclei_count"].median() < 130
    assert 35 < table["nuclei_area_mean"].mean() < 85  # human nuclei of 7-10 µm across
    assert 6 < table["nuclei_nearest_mean"].mean() < 15


def test_names_are_ten_features_of_fourteen_statistics_and_the_count():
    assert len(NAMES) == len(set(NAMES)) == 1 + 10 * (4 + 10)
    assert len(measure_nuclei(window(3), mpp=0.686)) == len(NAMES)
    assert all(len(edges) == nuclei.BINS + 1 for edges in nuclei.EDGES.values())

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from histocarta import cielab, dyes, stain
from histocarta.errors import InputError
from histocarta.files import read_json, write_json
from histocarta.versions import VERSION
from PIL import Image
from scipy.optimize import nnls
from sklearn.decomposition import DictionaryLearning, sparse_encode
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer
from torchstain.numpy.utils import lab2rgb, rgb2lab

REAL_DATA = os.environ.get("REAL_DATA")
real = [pytest.mark.real, pytest.mark.skipif(not REAL_DATA, reason="REAL_DATA is not set")]
SECTIONS = ("B4", "C2", "C3", "C4", "C5")

REFERENCE = np.array(dyes.HAEMATOXYLIN_EOSIN)
# Haematoxylin of Ruifrok & Johnston 2001; eosin between theirs and the reference's.
BLUER = np.array([[0.65, 0.704, 0.286], [0.16, 0.86, 0.48]])
# What Macenko's method finds in her2st section B4, with its own haematoxylin and eosin further apart.
REDDER = np.array([[0.748, 0.583, 0.317], [0.355, 0.810, 0.467]])
DYES = {"reference": REFERENCE, "bluer": BLUER, "redder": REDDER}


def unit(matrix):
    return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)


def concentrations(*, seed, size=256, haematoxylin=2.0, eosin=1.2):
    """Nuclei in stroma: two smooth fields of dye (H × W × 2)."""
    rng = np.random.default_rng(seed)

    def blobs(width, threshold, most):
        field = cv2.GaussianBlur(rng.random((size, size)), (0, 0), width)
        field = np.clip((field - field.mean()) / field.std() - threshold, 0, None)
        return most * np.clip(field / np.percentile(field, 99), 0, 1)

    nuclei = blobs(3, 0.6, haematoxylin)
    stroma = blobs(10, -0.3, eosin) * np.where(nuclei < 0.3, 1, 0.1)
    return np.stack([nuclei, stroma], axis=-1)


def tissue_like(matrix, *, seed, noise=2.0, **fields):
    """RGB of these fields by Beer-Lambert, with sensor noise in grey levels."""
    density = concentrations(seed=seed, **fields) @ unit(matrix)
    light = dyes.LIGHT * np.exp(-density) - 1 + np.random.default_rng(seed).normal(0, noise, density.shape)
    return np.clip(np.round(light), 0, 255).astype(np.uint8)


def degrees(found, planted):
    return [dyes.degrees_between(one, other) for one, other in zip(found, planted, strict=True)]


def levels(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def torchstain_reinhard(rgb):
    theirs = NumpyReinhardNormalizer()
    theirs.target_means, theirs.target_stds = (np.array(stain.LAB[name], np.float32) for name in ("means", "stds"))
    return theirs.normalize(rgb)


def real_tiles(section, *, number, size=512):
    """Every so many tiles with over 20 % of tissue of a her2st section, at its own 0.686 µm per pixel."""
    path = Path(REAL_DATA) / "her2st" / "images" / f"{section}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    height, width, _ = image.shape
    corners = [(y, x) for y in range(0, height - size, size) for x in range(0, width - size, size)]
    tiles = [image[y : y + size, x : x + size] for y, x in corners]
    tiles = [tile for tile in tiles if (tile[::8, ::8].max(axis=2) < dyes.CLEAR_LEVEL).mean() > 0.2]
    return [np.ascontiguousarray(tile) for tile in tiles[:: len(tiles) // number]]


# --- optical density and CIELAB


def test_optical_density_is_the_published_formula_and_finite():
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)
    np.testing.assert_allclose(dyes.optical_density(grey), -np.log((grey.astype(float) + 1) / 240), atol=1e-6)
    assert np.isfinite(dyes.optical_density(grey)).all()


def test_clear_level_is_where_optical_density_crosses_beta():
    assert -np.log((dyes.CLEAR_LEVEL + 1) / 240) < 0.15 <= -np.log(dyes.CLEAR_LEVEL / 240)


def test_cielab_of_known_colours():
    # Lindbloom's values of the sRGB primaries (D65), as quoted in every colour library's tests.
    colours = np.array([[255, 255, 255], [0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    expected = [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(cielab.rgb_to_lab(colours), expected, atol=0.02)


def test_cielab_there_and_back_loses_nothing_but_the_cut_fraction():
    colours = np.random.default_rng(0).integers(0, 256, (20_000, 3), dtype=np.uint8)
    assert levels(cielab.lab_to_rgb(cielab.rgb_to_lab(colours)), colours).max() <= 1


def test_cielab_agrees_with_torchstain():
    colours = np.random.default_rng(1).integers(0, 256, (5_000, 3), dtype=np.uint8)
    lab = cielab.rgb_to_lab(colours)
    theirs = rgb2lab((colours[None] / 255).astype(np.float32))[0]
    np.testing.assert_allclose(lab * [2.55, 1, 1] + [0, 128, 128], theirs, atol=2e-3)
    moved = lab * [0.9, 1.1, 0.8] + [5, 3, -2]
    back = lab2rgb((moved * [2.55, 1, 1] + [0, 128, 128])[None])[0] * 255
    assert np.abs(cielab.lab_to_rgb(moved) - back).max() < 1 + 1e-6


# --- the dyes


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", DYES)
@pytest.mark.parametrize("method", [dyes.macenko_matrix, dyes.vahadane_matrix])
def test_planted_dyes_are_found_within_five_degrees(method, name, seed):
    planted = unit(DYES[name])
    rgb = tissue_like(planted, seed=seed)
    assert max(degrees(method(rgb), planted)) < 5


@pytest.mark.parametrize("method", [dyes.macenko_matrix, dyes.vahadane_matrix])
def test_jpeg_leaves_the_dyes_within_five_degrees(method):
    planted = unit(REDDER)
    encoded = cv2.imencode(".jpg", tissue_like(planted, seed=4), [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    assert max(degrees(method(cv2.imdecode(encoded, cv2.IMREAD_UNCHANGED)), planted)) < 5


def test_maximum_concentrations_are_the_planted_ones():
    rgb, planted = tissue_like(BLUER, seed=5, noise=0), concentrations(seed=5).reshape(-1, 2)
    found = dyes.max_concentrations(rgb, unit(BLUER))
    np.testing.assert_allclose(found, np.percentile(planted, 99, axis=0), rtol=0.01)


@pytest.mark.parametrize("name", DYES)
def test_vahadanes_dyes_are_scikit_learns_dictionary(name):
    """The same objective and start, lambda 0.1 as StainTools has it; 0.05 or 0.2 would be 0.1 to 0.2 degrees off."""
    pixels = tissue_like(DYES[name], seed=1).reshape(-1, 3)[::16]
    density = np.maximum(dyes.optical_density(dyes.tissue_pixels(pixels)), 0).astype(float)
    start = sparse_encode(density, REFERENCE, algorithm="lasso_cd", alpha=0.1, positive=True)
    model = DictionaryLearning(
        2, alpha=0.1, fit_algorithm="cd", positive_code=True, positive_dict=True, max_iter=300, tol=1e-10,
        dict_init=REFERENCE, code_init=start,
    )  # fmt: skip
    theirs = model.fit(density).components_
    assert max(degrees(dyes.vahadane_matrix(pixels), theirs)) < 0.01


def test_sparse_codes_are_scikit_learns_lasso():
    rng = np.random.default_rng(6)
    density = np.clip(rng.normal(0.5, 0.5, (300, 3)), 0, None)
    matrix = unit(REDDER)
    ours = dyes.sparse_codes(density, matrix, sparsity=0.1)
    theirs = sparse_encode(density, matrix, algorithm="lasso_cd", alpha=0.1, positive=True, max_iter=10_000)
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    assert (ours == 0).any(axis=0).all() and (ours > 0).all(axis=1).any()  # every branch was taken


def test_without_the_penalty_the_codes_are_non_negative_least_squares():
    density = np.random.default_rng(7).random((100, 3))
    matrix = unit(BLUER)
    theirs = [nnls(matrix.T, row)[0] for row in density]
    np.testing.assert_allclose(dyes.sparse_codes(density, matrix, sparsity=0.0), theirs, atol=1e-9)


def test_the_estimate_does_not_depend_on_the_order_of_the_pixels():
    rgb = dyes.tissue_pixels(tissue_like(REDDER, seed=8))
    turned = rgb[::-1].copy()
    for method in (dyes.macenko_matrix, dyes.vahadane_matrix):
        np.testing.assert_allclose(method(rgb), method(turned), atol=1e-4)


# --- agreement with torchstain on one picture


@pytest.mark.parametrize("name", DYES)
def test_macenko_is_torchstains_within_one_grey_level(name):
    rgb = tissue_like(DYES[name], seed=9)
    theirs = NumpyMacenkoNormalizer().normalize(rgb, stains=False)[0]
    difference = levels(stain.macenko(rgb), theirs)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


@pytest.mark.parametrize("name", DYES)
def test_reinhard_is_torchstains_within_one_grey_level(name):
    rgb = tissue_like(DYES[name], seed=10)
    difference = levels(stain.reinhard(rgb), torchstain_reinhard(rgb))
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01


def test_the_reference_is_torchstains():
    theirs = NumpyMacenkoNormalizer()
    np.testing.assert_array_equal(stain.DYES["stain_matrix"], theirs.HERef.T)
    np.testing.assert_array_equal(stain.DYES["max_concentrations"], theirs.maxCRef)


# --- one estimate per slide


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_two_laboratories_look_alike_afterwards(method):
    """The same tissue in two stainings: normalised by their own records, the pictures come much closer."""
    one, other = (tissue_like(matrix, seed=11, haematoxylin=h) for matrix, h in ((BLUER, 1.4), (REDDER, 2.4)))
    records = [stain.estimate(dyes.tissue_pixels(rgb), method=method) for rgb in (one, other)]
    assert [record["status"] for record in records] == ["ok", "ok"]
    normal = [stain.normaliser(record)(rgb) for record, rgb in zip(records, (one, other), strict=True)]
    assert levels(*normal).mean() < 0.4 * levels(one, other).mean()


def test_reinhard_gives_the_tissue_the_references_moments():
    pixels = dyes.tissue_pixels(tissue_like(REDDER, seed=11, haematoxylin=1.2, noise=0))
    normal = stain.normaliser(stain.estimate(pixels, method="reinhard"))(pixels[None])[0]
    lab = cielab.rgb_to_lab(normal)
    # Not exact: what leaves the RGB cube is clipped, and fractions of grey levels are cut off.
    np.testing.assert_allclose(lab.mean(axis=0), stain.LAB["means"], atol=0.7)
    np.testing.assert_allclose(lab.std(axis=0), stain.LAB["stds"], atol=0.7)


@pytest.mark.parametrize("method", ["macenko", "vahadane"])
def test_a_slide_in_the_reference_staining_stays_as_it_is(method):
    rgb = tissue_like(REFERENCE, seed=12, haematoxylin=1.9705, eosin=1.0308, noise=0)
    record = {"method": method, "status": "ok", "reference": stain.DYES} | stain.DYES
    normal = stain.normaliser(record)(rgb)
    assert levels(normal, rgb).mean() < 1.5  # of I + 1 the published code gives back I


def test_a_record_survives_its_file(tmp_path):
    rgb = tissue_like(REDDER, seed=13)
    for method in stain.METHODS:
        record = stain.estimate(dyes.tissue_pixels(rgb), method=method)
        write_json(record, tmp_path / "stain.json")
        np.testing.assert_array_equal(
            stain.normaliser(read_json(tmp_path / "stain.json"))(rgb), stain.normaliser(record)(rgb)
        )


@pytest.mark.parametrize("method", stain.METHODS)
def test_a_tile_is_normalised_alone_or_in_a_crowd_alike(method):
    rgb = tissue_like(BLUER, seed=14)
    record = stain.estimate(dyes.tissue_pixels(rgb), method=method)
    paint, fresh = stain.normaliser(record), stain.normaliser(record)
    other = tissue_like(REDDER, seed=15)
    paint(other)
    whole = paint(rgb)
    np.testing.assert_array_equal(whole, fresh(rgb))
    np.testing.assert_array_equal(whole[40:104, 8:200], fresh(np.ascontiguousarray(rgb[40:104, 8:200])))
    assert whole.dtype == np.uint8 and whole.shape == rgb.shape


@pytest.mark.parametrize("method", stain.METHODS)
@pytest.mark.parametrize("level", [0, 255])
def test_white_and_black_stay_finite_and_grey_glass_stays_light(method, level):
    """Faults N1, N3, N4: a constant tile of an extreme must not become noise, nor glass dark."""
    record = stain.estimate(dyes.tissue_pixels(tissue_like(REDDER, seed=16)), method=method)
    painted = stain.normaliser(record)(np.full((32, 32, 3), level, np.uint8))
    assert len(np.unique(painted.reshape(-1, 3), axis=0)) == 1
    assert painted.min() > 200 if level else painted.max() < 60


# --- estimates that must not be used


def one_dye(dye, *, noise=4.0):
    field = cv2.GaussianBlur(np.random.default_rng(17).random((256, 256)), (0, 0), 3)
    field = 2 * (field - field.min()) / np.ptp(field)
    light = dyes.LIGHT * np.exp(-field[..., None] * dye)
    return np.clip(light + np.random.default_rng(18).normal(0, noise, light.shape), 0, 255).astype(np.uint8)


CASES = {
    "little tissue": (tissue_like(REFERENCE, seed=19)[:64, :64], "N-TISSUE"),
    "glass": (np.full((256, 256, 3), 243, np.uint8), "N-TISSUE"),
    "haematoxylin only": (one_dye(REFERENCE[0]), "N-ONEDYE"),
    "eosin only": (one_dye(REFERENCE[1]), "N-ONEDYE"),
    "green and red ink": (tissue_like(np.array([[0.9, 0.2, 0.7], [0.1, 0.7, 0.7]]), seed=20), "N-COLOUR"),
    "hardly stained": (tissue_like(REFERENCE, seed=21, haematoxylin=0.35, eosin=0.3, noise=0.5), "N-WEAK"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_unreliable_estimate_leaves_the_slide_its_own_colours(case):
    rgb, code = CASES[case]
    record = stain.estimate(dyes.tissue_pixels(rgb), method="macenko")
    assert (record["status"], record["code"]) == ("fallback", code)
    assert record["reason"]
    assert stain.normaliser(record)(rgb) is rgb


def test_reasons_say_what_was_found():
    record = stain.estimate(CASES["little tissue"][0].reshape(-1, 3), method="reinhard")
    assert record["reason"] == "4,096 pixels of tissue, need 10,000"
    record = stain.estimate(CASES["eosin only"][0].reshape(-1, 3), method="macenko")
    assert record["reason"].endswith("degrees apart, need 10: one dye only")


def test_a_grey_slide_has_no_colour_to_standardise():
    grey = np.repeat(np.random.default_rng(22).integers(20, 200, (20_000, 1), dtype=np.uint8), 3, axis=1)
    record = stain.estimate(grey, method="reinhard")
    assert (record["status"], record["code"]) == ("fallback", "N-WEAK")


def test_one_picture_without_two_dyes_raises_instead_of_guessing():
    for rgb in (np.full((64, 64, 3), 255, np.uint8), one_dye(REFERENCE[0])):
        with pytest.raises(dyes.StainFault, match=r"N-TISSUE|N-ONEDYE"):
            stain.macenko(rgb)


# --- a slide's file


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """A surveyed slide of 0.25 µm per pixel: stained in its left half, glass but for ink in its right half."""
    pyvips = pytest.importorskip("pyvips")
    folder = tmp_path_factory.mktemp("slide")
    tissue = np.tile(tissue_like(REDDER, seed=23, size=512), (4, 2, 1))
    tissue = cv2.resize(tissue, (1024, 2048))
    ink = np.full((2048, 1024, 3), 245, np.uint8)
    ink[1024:, 512:] = (20, 160, 60)
    rgb = np.concatenate([tissue, ink], axis=1)
    options = {"tile": True, "pyramid": True, "compression": "jpeg", "Q": 95, "xres": 4000.0, "yres": 4000.0}
    pyvips.Image.new_from_array(rgb).tiffsave(str(folder / "slide.tif"), **options)
    mask = np.zeros((256, 256), np.uint8)
    mask[:, :128] = mask[128:, 192:] = 255
    Image.fromarray(mask).save(folder / "tissue.png")
    record = {
        "slide": "S1", "patient": "P1", "file": str(folder / "slide.tif"), "status": "ok", "code": "", "reason": "",
        "mpp": 0.25, "x": 0, "y": 0, "region_width": 2048, "region_height": 2048, "thumbnail_downsample": 8,
        "level_downsamples": [1.0, 2.0, 4.0, 8.0],
    }  # fmt: skip
    write_json(record, folder / "slide.json")
    return folder


def estimate_of(slide, tmp_path, **changes):
    arguments = {"method": "macenko", "size": 512, "mpp": 0.5, "max_pen": 0.1, "seed": 1}
    file = read_json(slide / "slide.json").get("file", "")
    paths = {"file": file, "survey": str(slide / "slide.json"), "tissue": str(slide / "tissue.png")}
    stain.estimate_stain(**paths | arguments | changes, stain=str(tmp_path / "stain.json"))
    return read_json(tmp_path / "stain.json")


@pytest.mark.parametrize("method", stain.METHODS)
def test_a_slides_record(slide, tmp_path, method):
    record = estimate_of(slide, tmp_path, method=method)
    assert {key: record[key] for key in ("slide", "method", "status", "code", "reason", "version")} == {
        "slide": "S1", "method": method, "status": "ok", "code": "", "reason": "", "version": VERSION["stain"],
    }  # fmt: skip
    assert 50_000 < record["pixels"] <= stain.PIXELS
    if method != "reinhard":
        assert max(degrees(np.array(record["stain_matrix"]), unit(REDDER))) < 5
        assert record["reference"] == stain.DYES


def test_the_seed_decides_the_sample(slide, tmp_path):
    assert estimate_of(slide, tmp_path) == estimate_of(slide, tmp_path)
    assert estimate_of(slide, tmp_path) != estimate_of(slide, tmp_path, seed=2)


def test_ink_is_left_out_of_the_sample(slide, tmp_path):
    clean, inked = estimate_of(slide, tmp_path), estimate_of(slide, tmp_path, max_pen=1.0)
    assert inked["pixels"] != clean["pixels"]
    assert max(degrees(np.array(inked.get("stain_matrix", np.eye(3)[:2])), unit(REDDER))) > 10


def test_only_the_region_is_sampled(slide, tmp_path):
    record = read_json(slide / "slide.json") | {"x": 1024, "region_width": 1024, "region_height": 1024}
    write_json(record, tmp_path / "slide.json")
    Image.fromarray(np.full((128, 128), 255, np.uint8)).save(tmp_path / "tissue.png")
    found = estimate_of(tmp_path, tmp_path)
    assert (found["status"], found["code"], found["pixels"]) == ("fallback", "N-TISSUE", 0)


def test_a_small_region_is_sampled_whole(slide, tmp_path):
    record = read_json(slide / "slide.json") | {"region_width": 300, "region_height": 200}
    write_json(record, tmp_path / "slide.json")
    Image.fromarray(np.full((25, 38), 255, np.uint8)).save(tmp_path / "tissue.png")
    assert estimate_of(tmp_path, tmp_path)["pixels"] > 3_000
    write_json(record | {"region_height": 3}, tmp_path / "slide.json")  # less than a pixel of the mask
    assert estimate_of(tmp_path, tmp_path)["status"] == "fallback"


def test_an_excluded_slide_is_not_opened(tmp_path):
    record = {"slide": "S2", "status": "excluded", "code": "S-OPEN", "reason": "S2: not a slide"}
    write_json(record, tmp_path / "slide.json")
    found = estimate_of(tmp_path, tmp_path)
    assert (found["status"], found["code"], found["reason"]) == ("excluded", "S-OPEN", "S2: not a slide")
    picture = np.zeros((8, 8, 3), np.uint8)
    assert stain.normaliser(found)(picture) is picture


def test_an_unreadable_window_costs_only_itself(slide, tmp_path, monkeypatch):
    """OpenSlide's errors are final for a handle (faults, finding 7): a new one reads on."""
    honest, broken, opened = stain.read_rgb, set(), []
    fail_at = iter([True] + [False] * 1000)

    def failing(handle, **place):
        assert id(handle) not in broken, "a handle was used after its error"
        if next(fail_at):
            broken.add(id(handle))
            raise stain.OpenSlideError("damaged")
        return honest(handle, **place)

    honest_open = stain.open_slide
    monkeypatch.setattr(stain, "open_slide", lambda path: opened.append(handle := honest_open(path)) or handle)
    monkeypatch.setattr(stain, "read_rgb", failing)
    assert estimate_of(slide, tmp_path)["status"] == "ok"
    assert len(opened) == 2


def test_an_unknown_method_is_named(slide, tmp_path):
    with pytest.raises(InputError) as error:
        estimate_of(slide, tmp_path, method="macenco")
    assert str(error.value) == (
        "Expected one of the methods macenko, vahadane, reinhard, found 'macenco'; nearest: macenko"
    )


# --- real tissue


class TestRealTissue:
    pytestmark = real

    @pytest.mark.parametrize("section", SECTIONS)
    def test_torchstain_agrees_on_real_tiles(self, section):
        for tile in real_tiles(section, number=1):
            theirs = NumpyMacenkoNormalizer().normalize(tile, stains=False)[0]
            assert levels(stain.macenko(tile), theirs).max() <= 1
            assert levels(stain.reinhard(tile), torchstain_reinhard(tile)).max() <= 1

    def test_two_patients_stainings_come_closer(self):
        """B4 and C2 are of two patients, stained differently; afterwards the contrast of their tissue is more alike."""
        sections = [
            np.concatenate([dyes.tissue_pixels(tile)[::16] for tile in real_tiles(section, number=8)])
            for section in ("B4", "C2")
        ]

        def apart(pictures):
            one, other = (pixels.std(axis=0) / pixels.mean(axis=0) for pixels in pictures)
            return np.abs(one - other).max()

        for method in stain.METHODS:
            records = [stain.estimate(pixels, method=method) for pixels in sections]
            assert [record["status"] for record in records] == ["ok", "ok"]
            painted = [
                stain.normaliser(record)(pixels[None])[0] for record, pixels in zip(records, sections, strict=True)
            ]
            assert apart(painted) < apart(sections)

    def test_reference_lab_is_that_of_the_stated_slide(self, tmp_path):
        from histocarta.survey import survey_slide

        file = Path(REAL_DATA) / "slides" / "CMU-1-Small-Region.svs"
        survey_slide(
            file=str(file), survey=str(tmp_path / "slide.json"), thumbnail=str(tmp_path / "thumbnail.png"),
            tissue=str(tmp_path / "tissue.png"), slide="CMU-1", patient="CMU-1", sheet_mpp=None, region=None,
            exclude="", default_mpp=None, mpp_from_objective=False,
        )  # fmt: skip
        slide = read_json(tmp_path / "slide.json")
        mask = np.asarray(Image.open(tmp_path / "tissue.png")) > 0
        pixels = stain.sample_tissue(str(file), slide, mask=mask, side=256, mpp=0.5, max_pen=0.1, seed=1)
        painted = stain.normaliser(stain.estimate(pixels, method="macenko"))(pixels[None])[0]
        lab = cielab.rgb_to_lab(painted)
        np.testing.assert_allclose(lab.mean(axis=0), stain.LAB["means"], atol=0.15)
        np.testing.assert_allclose(lab.std(axis=0), stain.LAB["stds"], atol=0.15)

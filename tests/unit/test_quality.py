"""Quality: focus whatever the stain, ink told from stains, folds, and the picture that shows what was dropped."""

import os
from pathlib import Path

import cv2
import numpy as np
import openslide
import pandas as pd
import pytest
from histocarta.quality import (
    COLOURS,
    dark_share,
    draw_quality_picture,
    measure_quality,
    pen_mask,
    pen_share,
    sharpness,
)
from histocarta.slides import read_rgb
from histocarta.tissue import background_share
from slide_kit import GLASS, he_like

TISSUE = he_like(512, 512, seed=5)


def blurred(rgb: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(rgb, (0, 0), sigma)


def pale(rgb: np.ndarray) -> np.ndarray:
    """The same tissue under a third of the stain."""
    return (255 - (255 - rgb.astype(float)) / 3).astype(np.uint8)


def stroke(rgb: np.ndarray, colour: tuple[int, int, int], *, opacity: float = 1.0, width: int = 128) -> np.ndarray:
    """A vertical stroke of ink, ``width`` px wide."""
    marked = rgb.copy()
    marked[:, 100 : 100 + width] = opacity * np.array(colour) + (1 - opacity) * marked[:, 100 : 100 + width]
    return marked


def test_blur_lowers_sharpness_and_weak_stain_does_not():
    sharp = sharpness(TISSUE)
    values = [sharpness(blurred(TISSUE, sigma)) for sigma in (1, 2, 4)]
    assert sharp > values[0] > values[1] > values[2]
    assert values[1] < 0.5 * sharp
    assert sharpness(pale(TISSUE)) > 0.75 * sharp
    # What the variance of one Laplacian does instead: pale but sharp tissue scores lower than blurred tissue.
    variance = [cv2.Laplacian(cv2.cvtColor(x, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var() for x in (pale(TISSUE), TISSUE)]
    assert variance[0] < variance[1] / 5


@pytest.mark.parametrize("sigma", [2, 4, 8, 12, 20])
def test_noise_and_jpeg_on_a_blurred_tile_are_not_focus(sigma):
    noisy = blurred(TISSUE, sigma) + np.random.default_rng(6).normal(0, 2, TISSUE.shape)
    _, encoded = cv2.imencode(".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert sharpness(cv2.imdecode(encoded, cv2.IMREAD_COLOR)) < 0.25 < sharpness(TISSUE)


def test_flat_tiles_have_no_sharpness():
    assert sharpness(np.full((512, 512, 3), 255, np.uint8)) == 0


INKS = {
    "green": (40, 140, 80),
    "light green": (120, 190, 120),
    "blue": (40, 80, 170),
    "dark blue": (20, 50, 110),
    "ballpoint blue": (60, 60, 150),
    "blue-violet": (85, 85, 180),
    "light blue-violet": (100, 110, 200),
    "violet": (100, 60, 200),
    "red": (200, 30, 35),
    "dull red": (190, 70, 75),
    "light red": (232, 118, 120),
    "black": (25, 25, 30),
}


@pytest.mark.parametrize("ink", INKS)
def test_every_ink_is_found_on_glass_and_over_tissue(ink):
    glass = np.full((512, 512, 3), GLASS, np.uint8)
    assert pen_share(stroke(glass, INKS[ink])) == pytest.approx(0.25, abs=0.02)
    assert pen_share(stroke(TISSUE, INKS[ink], opacity=0.9)) > 0.2


@pytest.mark.parametrize(
    "colour",
    [
        # Haematoxylin and eosin of Ruifrok & Johnston 2001, pale to dense.
        *[tuple(round(255 * 10 ** -(d * od)) for od in (0.65, 0.70, 0.29)) for d in (0.3, 0.8, 0.97, 1.5)],
        *[tuple(round(255 * 10 ** -(d * od)) for od in (0.07, 0.99, 0.11)) for d in (0.2, 0.5, 0.8)],
        (60, 35, 75),  # a fold
        (228, 152, 190),
        (150, 40, 70),  # red blood cells
        (185, 70, 95),
        (215, 105, 130),  # eosin at its strongest, hyaline
        (92, 92, 165),  # epithelium of her2st C2, as blue as tissue was seen
        GLASS,
    ],
)
def test_stains_folds_and_blood_are_not_ink(colour):
    assert not pen_mask(np.full((16, 16, 3), colour, np.uint8)).any()


def test_single_bluish_nuclei_are_no_stroke():
    tile = np.full((512, 512, 3), (215, 190, 215), np.uint8)
    for y in range(20, 500, 40):
        for x in range(20, 500, 40):
            cv2.circle(tile, (x, y), 8, (40, 70, 120), -1)  # 8 um: as blue as ink, as wide as a nucleus
    assert pen_share(tile) == 0


def test_dark_counts_folds_and_borders_but_not_nuclei():
    assert dark_share(TISSUE) == 0
    assert dark_share(stroke(TISSUE, (60, 35, 75))) == pytest.approx(0.25, abs=0.02)
    assert dark_share(np.zeros((512, 512, 3), np.uint8)) == 1


def test_one_measurement_equals_the_three():
    tile = stroke(blurred(TISSUE, 1), INKS["blue"], opacity=0.7)
    found = measure_quality(tile)
    assert found == (sharpness(tile), pen_share(tile), dark_share(tile))


@pytest.mark.parametrize("side", [1, 5, 64, 75, 224])
def test_any_tile_size_is_measured(side):
    found = measure_quality(he_like(80, 80)[:side, :side] if side < 80 else he_like(side, side))
    assert 0 <= found.pen <= 1
    assert 0 <= found.dark <= 1
    assert found.sharpness >= 0


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
@pytest.mark.parametrize("section", ["B4", "C2", "C3", "C4", "C5"])
def test_no_ink_is_seen_on_real_breast_tissue(section):
    """Their epithelium is as blue as ink that is thin: red = green, blue 60 to 75 above."""
    image = cv2.imread(f"{os.environ['REAL_DATA']}/her2st/images/{section}.jpg")
    image = cv2.cvtColor(cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
    tissue = image.min(axis=2) < 200
    assert tissue.sum() > 500_000
    assert (pen_mask(image) & tissue).sum() < 0.001 * tissue.sum()


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
def test_real_tissue_is_sharp_without_pen_and_its_blurred_copy_is_not():
    path = Path(os.environ["REAL_DATA"]) / "slides" / "CMU-1-Small-Region.svs"
    with openslide.OpenSlide(path) as handle:
        corners = [(x, y) for y in range(0, 2967 - 512, 512) for x in range(0, 2220 - 512, 512)]
        tiles = [read_rgb(handle, x=x, y=y, level=0, width=512, height=512) for x, y in corners]
    tissue = [tile for tile in tiles if background_share(tile, preset="otsu") <= 0.5]
    assert len(tissue) >= 5
    assert max(map(pen_share, tissue)) < 0.01
    assert max(map(dark_share, tissue)) < 0.25
    assert min(map(sharpness, tissue)) > 0.5
    for sigma in (2, 4, 8, 20):
        assert max(sharpness(blurred(tile, sigma)) for tile in tissue) < 0.25


def test_the_picture_shows_each_reason_in_its_colour_and_counts_them(tmp_path):
    names = ["kept", "background", "pen", "blur", "dark", "unreadable"]
    sites = pd.DataFrame(
        {
            "x": [1000 + 512 * i for i in range(6)],
            "y": 2000,
            "width_px": 512,
            "kept": [name == "kept" for name in names],
            "reason": ["" if name == "kept" else name for name in names],
        }
    )
    thumbnail = np.full((64, 6 * 64, 3), 255, np.uint8)
    out = tmp_path / "qc.png"
    draw_quality_picture(thumbnail=thumbnail, sites=sites, downsample=8, origin=(1000, 2000), path=out)
    picture = cv2.cvtColor(cv2.imread(str(out)), cv2.COLOR_BGR2RGB)
    zoom = round(1000 / (6 * 64))
    for i, name in enumerate(names):
        assert tuple(picture[0, 64 * zoom * i + 5]) == COLOURS[name]  # the outline
        middle = picture[32 * zoom, 64 * zoom * i + 32 * zoom].astype(int)
        assert (tuple(middle) == (255, 255, 255)) == (name == "kept")  # dropped tiles are tinted, kept ones are clear
    legend = picture[:, 6 * 64 * zoom :].reshape(-1, 3)
    for name in names:
        assert (legend == COLOURS[name]).all(axis=1).sum() >= 300
    assert not (legend == COLOURS["edge"]).all(axis=1).any()


def test_a_slide_without_sites_has_a_picture_too(tmp_path):
    empty = pd.DataFrame({"x": [], "y": [], "width_px": [], "kept": [], "reason": []})
    out = tmp_path / "qc.png"
    draw_quality_picture(
        thumbnail=np.full((1, 1, 3), 255, np.uint8), sites=empty, downsample=1, origin=(0, 0), path=out
    )
    assert cv2.imread(str(out)) is not None

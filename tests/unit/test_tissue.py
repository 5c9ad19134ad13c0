"""Tissue: the published background rules on tiles of known make, their boundary, and the mask on glass as it is."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from histocarta.errors import InputError
from histocarta.images import import_image
from histocarta.survey import Region, read_thumbnail
from histocarta.tissue import BACKGROUND, background_share, enough_tissue, stained, tissue_mask
from slide_kit import GLASS, he_like

WHITE = np.full((512, 512, 3), 255, np.uint8)
TISSUE = he_like(512, 512, seed=1)
HALF = np.where(np.arange(512)[None, :, None] < 256, TISSUE, np.uint8(250))
PRESETS = sorted(BACKGROUND)


def flat(*colour: int) -> np.ndarray:
    return np.full((64, 64, 3), colour, np.uint8)


@pytest.mark.parametrize("preset", PRESETS)
def test_white_tissue_and_half_of_each(preset):
    assert background_share(WHITE, preset=preset) == 1
    assert background_share(TISSUE, preset=preset) < 0.12
    assert background_share(HALF, preset=preset) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        # (235, 215, 232): two channels of three above 220, mean 227; He's 220 counts, the code's 200 too.
        ((235, 215, 232), {"released": 2 / 3, "paper": 0, "st-net": 1, "st-net-released": 1}),
        ((220, 220, 220), {"released": 0, "paper": 0, "st-net": 1, "st-net-released": 1}),
        ((221, 221, 221), {"released": 1, "paper": 1, "st-net": 1, "st-net-released": 1}),
        ((219, 220, 220), {"released": 0, "paper": 0, "st-net": 0, "st-net-released": 1}),
        ((200, 200, 200), {"released": 0, "paper": 0, "st-net": 0, "st-net-released": 0}),
        ((255, 200, 146), {"released": 1 / 3, "paper": 0, "st-net": 0, "st-net-released": 1}),
    ],
)
def test_published_rules_by_hand(colour, expected):
    found = {preset: background_share(flat(*colour), preset=preset) for preset in expected}
    assert found == pytest.approx(expected)


def test_released_equals_the_published_line_of_code():
    tile = np.random.default_rng(0).integers(180, 256, (64, 64, 3), dtype=np.uint8)
    assert background_share(tile, preset="released") == pytest.approx((tile > 220).mean(), abs=1e-12)
    assert background_share(tile, preset="st-net-released") == pytest.approx(
        (tile.mean(axis=2) > 200).mean(), abs=1e-12
    )


def test_exactly_half_background_is_kept_by_the_paper_and_dropped_by_its_code():
    assert enough_tissue(0.5, preset="paper", min_tissue=0.5)
    assert not enough_tissue(0.5, preset="released", min_tissue=0.5)
    assert not enough_tissue(0.5001, preset="paper", min_tissue=0.5)
    assert enough_tissue(0.4999, preset="released", min_tissue=0.5)


def test_an_unknown_rule_names_the_nearest():
    with pytest.raises(InputError, match=r"found 'otzu'; nearest: otsu$"):
        background_share(WHITE, preset="otzu")


def smeared_section() -> tuple[np.ndarray, np.ndarray]:
    """Lilac glass below 220 in green with a smooth eosin smear beside pale tissue; and where the tissue is."""
    height, width = 300, 400
    rgb = np.full((height, width, 3), (221, 208, 223), np.float32)
    y, x = np.mgrid[:height, :width]
    smear = np.exp(-((x - 200) ** 2 + (y - 150) ** 2) / (2 * 90**2))[..., None]
    rgb += smear * np.array([15, -25, -5], np.float32)
    truth = np.zeros((height, width), bool)
    truth[60:240, 40:200] = True
    rgb[truth] = he_like(180, 160, seed=3).reshape(-1, 3)
    rgb += np.random.default_rng(4).normal(0, 0.5, rgb.shape)
    return np.clip(rgb, 0, 255).astype(np.uint8), truth


def test_coloured_glass_and_smears_are_not_tissue():
    rgb, truth = smeared_section()
    assert background_share(rgb, preset="paper") < 0.01  # why the rule is needed: no pixel of this glass is above 220
    found = tissue_mask(rgb)
    away = ~cv2.dilate(truth.astype(np.uint8), np.ones((9, 9), np.uint8)).astype(bool)
    assert not found[away].any()
    assert found[truth].mean() > 0.97


@pytest.mark.parametrize(
    "rgb", [WHITE, np.full((80, 90, 3), GLASS, np.uint8), flat(0, 0, 0), flat(128, 128, 128)], ids=str
)
def test_glass_black_borders_and_grey_are_not_tissue(rgb):
    assert not tissue_mask(rgb).any()


def test_smooth_stained_areas_are_tissue():
    rgb = np.full((200, 200, 3), GLASS, np.uint8)
    rgb[50:150, 50:150] = (190, 60, 90)  # a pool of blood: no texture at all
    assert stained(rgb)[60:140, 60:140].all()
    assert not stained(rgb)[:40].any()


def test_pen_is_not_tissue_specks_go_and_pinholes_close():
    rgb = np.full((400, 400, 3), GLASS, np.uint8)
    rgb[100:300, 100:300] = he_like(200, 200)
    rgb[20:60, 20:380] = (30, 90, 170)  # blue pen on glass, with a soft edge
    rgb[10:70] = cv2.GaussianBlur(rgb[10:70], (0, 0), 1)
    rgb[350:353, 350:353] = (120, 60, 140)  # dust
    rgb[200:203, 200:203] = GLASS
    found = tissue_mask(rgb)
    assert not found[:90].any()
    assert not found[340:360, 340:360].any()
    assert found[110:290, 110:290].all()


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 40, 3), (7, 3, 3)])
def test_tiny_pictures_do_not_fail(shape):
    assert tissue_mask(np.full(shape, 255, np.uint8)).shape == shape[:2]
    for preset in PRESETS:
        assert background_share(np.full(shape, 255, np.uint8), preset=preset) == 1


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
@pytest.mark.parametrize(("section", "share"), [("B4", 0.28), ("C4", 0.177)])
def test_on_real_sections_the_mask_is_the_section(tmp_path, section, share):
    image = Path(os.environ["REAL_DATA"]) / "her2st" / "images" / f"{section}.jpg"
    import_image(image=str(image), output=str(tmp_path / "s.tif"), mpp=0.686, quality=90)
    rgb, _, _ = read_thumbnail(tmp_path / "s.tif", region=Region(0, 0, 9272, 9916), downsample=10)
    found = tissue_mask(rgb)
    # The outline was looked at on these sections: one piece, no glass, although 4 of 5 have glass below 220.
    assert found.mean() == pytest.approx(share, abs=0.01)
    _, _, stats, _ = cv2.connectedComponentsWithStats(found.astype(np.uint8))
    assert stats[1:, cv2.CC_STAT_AREA].max() > 0.97 * found.sum()
    assert background_share(rgb[:200, :200], preset="paper") < 0.05  # a corner of bare glass

"""Survey: the record of a slide, its thumbnail and mask in exact register, and a coded reason where there is none."""

import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from histocarta import survey as module
from histocarta.errors import InputError
from histocarta.images import import_image
from histocarta.survey import BLOCK, UNREAD, Region, read_thumbnail, survey_slide
from histocarta.versions import VERSION
from PIL import ImageCms
from slide_kit import EOSIN, damage_tile, say, slide_pixels, write_svs

PIXELS = slide_pixels(900, 1500)
KEYS = {
    "slide", "patient", "file", "status", "code", "reason", "width", "height", "mpp", "mpp_source", "objective",
    "x", "y", "region_width", "region_height", "level_downsamples", "warnings", "thumbnail_downsample", "version",
}  # fmt: skip


def surveyed(file: Path, **changes) -> tuple[dict, np.ndarray, np.ndarray]:
    """The record, the RGB thumbnail and the mask of ``file``."""
    out = file.parent / "out"
    options = {
        "slide": "S1",
        "patient": "P1",
        "sheet_mpp": None,
        "region": None,
        "exclude": "",
        "default_mpp": None,
        "mpp_from_objective": True,
    } | changes
    paths = {
        name: str(out / f"{name}.{end}") for name, end in (("survey", "json"), ("thumbnail", "png"), ("tissue", "png"))
    }
    survey_slide(file=str(file), **paths, **options)
    thumbnail = cv2.cvtColor(cv2.imread(paths["thumbnail"]), cv2.COLOR_BGR2RGB)
    return json.loads(Path(paths["survey"]).read_text()), thumbnail, cv2.imread(paths["tissue"], cv2.IMREAD_GRAYSCALE)


@pytest.fixture
def svs(tmp_path: Path) -> Path:
    return write_svs(tmp_path / "s.svs", PIXELS)


def test_a_good_slide_is_recorded_whole(svs):
    record, thumbnail, mask = surveyed(svs)
    assert set(record) >= KEYS
    assert record["status"] == "ok"
    assert (record["code"], record["reason"], record["warnings"]) == ("", "", [])
    assert (record["width"], record["height"], record["region_width"], record["region_height"]) == (
        1500,
        900,
        1500,
        900,
    )
    assert (record["mpp"], record["mpp_source"], record["objective"]) == (0.5, "vendor", 20)
    assert record["level_downsamples"] == [1.0, 4.0]
    assert record["version"] == VERSION["survey"]
    assert record["thumbnail_downsample"] == 2  # the least whole number that brings 1,500 px under 1,024
    assert thumbnail.shape == (450, 750, 3)
    assert mask.shape == (450, 750)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[5:-5, 5:365] == 255).mean() > 0.97  # the left half is tissue
    assert not mask[:, 385:].any()
    assert record["tissue_share"] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("levels", [(1,), (1, 4), (1, 3, 10), (1, 2, 4, 8)])
def test_the_thumbnail_is_the_mean_of_the_pixels_whatever_levels_there_are(tmp_path, levels):
    path = write_svs(tmp_path / "s.svs", PIXELS, levels=levels)
    rgb, unread, _ = read_thumbnail(path, region=Region(0, 0, 1500, 900), downsample=5)
    assert unread == 0
    truth = cv2.resize(PIXELS, (300, 180), interpolation=cv2.INTER_AREA)
    error = np.abs(rgb.astype(int) - truth)
    assert error.mean() < 3
    edges = [np.abs(np.diff(image[:, 140:160].astype(int).mean(axis=(0, 2)))).argmax() for image in (rgb, truth)]
    assert abs(edges[0] - edges[1]) <= 1  # the edge of the tissue stays where it is


def test_a_region_has_its_own_thumbnail_in_register(svs):
    record, thumbnail, mask = surveyed(svs, region=["650", "100", "203", "301"])
    assert [record[key] for key in ("x", "y", "region_width", "region_height")] == [650, 100, 203, 301]
    assert record["thumbnail_downsample"] == 1
    assert thumbnail.shape == (301, 203, 3)
    assert np.abs(thumbnail.astype(int) - PIXELS[100:401, 650:853]).mean() < 6
    assert (mask[:, :90] == 255).mean() > 0.9
    assert not mask[:, 110:].any()


@pytest.mark.parametrize(("levels", "start"), [((1, 4), 1), ((1, 3, 10), 403), ((1, 2), 1)])
def test_the_far_edge_of_a_region_is_not_faded(tmp_path, levels, start):
    """A level's last pixel lies half beyond it, as the region does not start on one: OpenSlide mixes white into it."""
    path = write_svs(tmp_path / "s.svs", np.full((900, 1500, 3), EOSIN, np.uint8), levels=levels)
    rgb, _, _ = read_thumbnail(path, region=Region(start, start, 1500 - start, 900 - start), downsample=4)
    assert np.abs(rgb[-1] - np.array(EOSIN)).mean() < 10
    assert np.abs(rgb[:, -1] - np.array(EOSIN)).mean() < 10


def test_a_region_beyond_the_slide_is_white_there_and_one_outside_is_a_fault(svs, capsys):
    record, thumbnail, _ = surveyed(svs, region=[-100, 800, 300, 200])
    assert "S1: region [-100, 800, 300, 200] reaches beyond the slide of" in capsys.readouterr().err
    assert "reaches beyond the slide of 1500 × 900 px: white there" in record["warnings"][0]
    assert (thumbnail[:, :98] == 255).all()
    assert (thumbnail[102:] == 255).all()
    assert thumbnail[:98, 102:].mean() < 210
    record, _, _ = surveyed(svs, region=[1500, 0, 10, 10])
    assert (record["status"], record["code"]) == ("excluded", "S-REGION")
    assert record["reason"] == "S1: region [1500, 0, 10, 10] lies outside the slide of 1500 × 900 px"
    with pytest.raises(InputError, match=r"at least 1 px for S1, found \[0, 0, 0, 5\]"):
        surveyed(svs, region=[0, 0, 0, 5])


def test_vendor_bounds_are_the_region_where_the_sheet_has_none(svs):
    stated = {"x": "10", "y": "20", "width": "300", "height": "400"}
    bounds = {f"openslide.bounds-{key}": value for key, value in stated.items()}
    found = module._region(None, bounds, width=1500, height=900, slide="S1", warnings=[])
    assert found == Region(10, 20, 300, 400)
    assert module._region([0, 0, 5, 6], bounds, width=1500, height=900, slide="S1", warnings=[]) == Region(0, 0, 5, 6)


@pytest.mark.parametrize(
    ("spoil", "changes", "code", "reason"),
    [
        (None, {"exclude": "pen over everything"}, "S-SHEET", "S1: excluded by slides.tsv: pen over everything"),
        (
            lambda path: path.write_bytes(b""),
            {},
            "S-OPEN",
            "s.svs: not a slide OpenSlide can read (empty file); file has 0",
        ),
        (
            lambda path: write_svs(path, PIXELS, mpp=None, objective=None),
            {},
            "S-MPP",
            "S1: no microns per pixel in the",
        ),
        (lambda path: write_svs(path, PIXELS, mpp="25"), {}, "S-MPP", "S1: 25 um/px outside 0.1-2 um/px; set mpp in"),
        (lambda path: write_svs(path, PIXELS[..., 0]), {}, "S-COLOUR", "s.svs: 1 channel, need RGB of 8 bits"),
    ],
)
def test_a_fault_ends_well_with_code_reason_and_valid_empty_pictures(svs, spoil, changes, code, reason):
    if spoil:
        spoil(svs)
    record, thumbnail, mask = surveyed(svs, **changes)
    assert (record["status"], record["code"]) == ("excluded", code)
    assert record["reason"].startswith(reason)
    assert set(record) >= KEYS
    assert (thumbnail.tolist(), mask.tolist()) == ([[[255, 255, 255]]], [[0]])


@pytest.mark.parametrize(
    ("pixels", "options", "code", "reason"),
    [
        (PIXELS[..., 0], {}, "S-COLOUR", "photo.png: 1 channel of 8 bits, need RGB of 8 bits; convert it first"),
        (PIXELS, {}, "S-MPP", "S1: no microns per pixel in the file; set mpp in slides.tsv, or default_mpp of"),
        (PIXELS, {"default_mpp": 0.5}, "", ""),
        (PIXELS, {"sheet_mpp": 0.5}, "", ""),
    ],
)  # fmt: skip
def test_a_faulty_photograph_costs_its_slide_and_no_other(tmp_path, pixels, options, code, reason):
    cv2.imwrite(str(tmp_path / "photo.png"), pixels)
    pyramid = tmp_path / "photo-1234abcd.tif"
    import_image(image=str(tmp_path / "photo.png"), output=str(pyramid), mpp="", quality=90)
    record, _, _ = surveyed(pyramid, **options)
    assert (record["status"], record["code"]) == ("excluded" if code else "ok", code)
    assert record["reason"].startswith(reason)


def test_the_sheets_number_mends_a_slide_without_one(svs):
    write_svs(svs, PIXELS, mpp=None, objective=None)
    record, _, _ = surveyed(svs, sheet_mpp="0.25")
    assert (record["status"], record["mpp"], record["mpp_source"]) == ("ok", 0.25, "sheet")


def test_a_file_that_is_gone_fails_the_job(tmp_path):
    with pytest.raises(FileNotFoundError):
        surveyed(tmp_path / "gone.svs")


def test_an_error_costs_one_block_not_the_rest(tmp_path):
    # A single level, so that the damaged tile is one that the thumbnail needs; the fifth column of the first row.
    path = write_svs(tmp_path / "s.svs", slide_pixels(1100, 2100), levels=(1,))
    damage_tile(path, page=0, tile=4)
    record, thumbnail, mask = surveyed(path)
    assert record["status"] == "ok"
    assert record["warnings"] == ["1 of 6 blocks of the thumbnail are unreadable"]
    assert record["thumbnail_downsample"] == 3
    grey = (thumbnail == UNREAD).all(axis=2)
    assert grey[:184, 341:682].all()
    assert not grey[:184, :341].any()
    assert not grey[184:].any()
    assert mask[190:, :340].mean() > 240  # the blocks after it were read: a new handle was opened


@pytest.mark.parametrize(("tile", "corner"), [(0, (0, 0)), (2, (0, 1)), (8, (1, 1))])
def test_one_damaged_tile_of_a_small_region_costs_a_quarter_of_it(tmp_path, tile, corner):
    """A region of 700 px, nine tiles of 256 px; it used to be one block, and the slide was left out."""
    path = write_svs(tmp_path / "s.svs", PIXELS[:700, :700], levels=(1,))
    damage_tile(path, page=0, tile=tile)
    record, thumbnail, _ = surveyed(path)
    assert record["status"] == "ok"
    assert record["warnings"] == ["1 of 4 blocks of the thumbnail are unreadable"]
    grey = (thumbnail == UNREAD).all(axis=2).reshape(2, 350, 2, 350).mean(axis=(1, 3))
    assert np.argwhere(grey == 1).tolist() == [list(corner)] and (grey < 0.01).sum() == 3


def test_a_slide_of_which_nothing_can_be_read_is_excluded(tmp_path):
    path = write_svs(tmp_path / "s.svs", PIXELS[:200, :200], levels=(1,))
    damage_tile(path, page=0, tile=0)
    record, _, _ = surveyed(path)
    assert (record["status"], record["code"]) == ("excluded", "S-READ")


def test_a_single_level_slide_is_read_by_blocks(tmp_path, monkeypatch):
    path = write_svs(tmp_path / "s.svs", slide_pixels(1100, 2600), levels=(1,))
    sizes = []
    read = module.read_rgb
    monkeypatch.setattr(module, "read_rgb", lambda *a, **k: sizes.append((k["width"], k["height"])) or read(*a, **k))
    record, _, _ = surveyed(path)
    assert record["status"] == "ok"
    assert len(sizes) == 6
    assert max(max(size) for size in sizes) <= BLOCK


def test_jpeg_2000_is_read_as_jpeg_is(tmp_path):
    path = write_svs(tmp_path / "s.svs", PIXELS, compression="aperio_jp2000_rgb", levels=(1,))
    record, thumbnail, _ = surveyed(path, region=[0, 0, 900, 600])
    assert (record["status"], record["thumbnail_downsample"]) == ("ok", 1)
    assert np.abs(thumbnail.astype(int) - PIXELS[:600, :900]).mean() < 6


def test_a_colour_profile_is_recorded_and_not_applied(svs):
    plain, pixels, _ = surveyed(svs)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    write_svs(svs, PIXELS, icc=profile)
    profiled, same, _ = surveyed(svs)
    assert (plain["icc_profile"], profiled["icc_profile"]) == (False, True)
    assert (pixels == same).all()


def test_an_all_white_slide_is_ok_with_no_tissue(tmp_path):
    record, _, mask = surveyed(write_svs(tmp_path / "s.svs", np.full((300, 300, 3), 250, np.uint8)))
    assert (record["status"], record["tissue_share"]) == ("ok", 0)
    assert not mask.any()


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
def test_a_real_slide(tmp_path):
    path = tmp_path / "CMU.svs"
    path.symlink_to(Path(os.environ["REAL_DATA"]) / "slides" / "CMU-1-Small-Region.svs")
    record, thumbnail, mask = surveyed(path)
    assert (record["status"], record["mpp"], record["objective"], record["warnings"]) == ("ok", 0.499, 20, [])
    assert (record["width"], record["height"], record["thumbnail_downsample"]) == (2220, 2967, 3)
    assert thumbnail.shape == (989, 740, 3)
    assert 0.3 < (mask > 0).mean() < 0.42  # looked at: skin with dermis, the glass around it left out


@pytest.mark.parametrize(
    ("tiles", "side", "tile", "found"),
    [
        (5, 300_000, 65_520, r"300,000 x 300,000 px, at most 75 billion"),
        (1, 65_520, 65_520, r"tiles of 65,520 x 65,520 px, at most 268 million"),
    ],
)
def test_a_small_file_that_unpacks_to_a_mountain_is_left_out(tmp_path, tiles, side, tile, found):
    bomb = write_svs(tmp_path / "s.svs", slide_pixels(16 * tiles, 16 * tiles), levels=(1,), tile=16)
    say(bomb, ImageWidth=side, ImageLength=side, TileWidth=tile, TileLength=tile)
    record, _, _ = surveyed(bomb)
    assert record["code"] == "S-HUGE"
    assert record["reason"] == f"s.svs: {found}; is this a slide?"


def test_a_picture_that_unpacks_to_a_mountain_is_left_out(tmp_path):
    """A PNG whose header is all there is of it."""
    header = struct.pack(">IIBBBBB", 300_000, 300_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    words = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    ]
    (tmp_path / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(words))
    import_image(image=str(tmp_path / "photo.png"), output=str(tmp_path / "photo.tif"), mpp=0.5, quality=90)
    record, _, _ = surveyed(tmp_path / "photo.tif")
    assert record["code"] == "S-HUGE"

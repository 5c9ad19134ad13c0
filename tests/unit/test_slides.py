"""Slides: the true cause of what does not open, microns per pixel by a stated order, white where there is nothing."""

import os
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from histocarta.cutshort import end_of_tiles, why_cut_short
from histocarta.errors import InputError
from histocarta.slides import SlideFault, check_pixels, objective_power, open_slide, read_rgb, resolve_mpp
from slide_kit import empty_tile, slide_pixels, tile_bytes, write_svs

PIXELS = slide_pixels(600, 800)


@pytest.fixture
def svs(tmp_path: Path) -> Path:
    return write_svs(tmp_path / "s.svs", PIXELS)


def mpp(properties, *, sheet_mpp=None, default_mpp=None, mpp_from_objective=True):
    return resolve_mpp(
        properties, sheet_mpp=sheet_mpp, default_mpp=default_mpp, mpp_from_objective=mpp_from_objective, slide="S1"
    )


def refused(path: Path) -> str:
    with pytest.raises(SlideFault) as fault:
        open_slide(path)
    assert fault.value.code == "S-OPEN"
    return str(fault.value)


# ---- opening -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "empty file"),
        (b"\0" * 4096, "starts with zeros: a download that never finished"),
        (b"<html><body>404</body></html>", 'starts with "<html><body>404</body></": an answer of a server'),
        (b'{"message": "not found"}', "an answer of a server, not a slide"),
        (b"PK\3\4 and more", "unknown format, starts with 50 4b 03 04"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 40, "a plain JPEG, not tiled"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "a plain PNG, not tiled"),
        (b"II*\0\x08\0\0\0", "a TIFF cut short or damaged"),
    ],
)
def test_a_file_that_is_no_slide_is_named_with_its_true_cause(tmp_path, content, cause):
    path = tmp_path / "TCGA-1.svs"
    path.write_bytes(content)
    message = refused(path)
    assert message.startswith("S-OPEN TCGA-1.svs: not a slide OpenSlide can read (")
    assert cause in message
    assert message.endswith(f"file has {len(content):,} bytes")


def test_a_strip_tiff_is_called_not_tiled(tmp_path):
    tifffile.imwrite(tmp_path / "p.svs", PIXELS, photometric="rgb")
    assert "a TIFF that is not tiled: name it .tif and give an mpp, and it is imported" in refused(tmp_path / "p.svs")


def test_a_folder_and_a_dangling_link_are_named(tmp_path):
    (tmp_path / "d.svs").mkdir()
    assert "d.svs: a folder, not a slide" in refused(tmp_path / "d.svs")
    (tmp_path / "l.svs").symlink_to("nowhere.svs")
    assert "l.svs: a link to nowhere.svs, which is not there" in refused(tmp_path / "l.svs")


def test_a_file_without_permission_is_named(svs, monkeypatch):
    def denied(path, *args, **kwargs):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", denied)  # root, who runs the tests in containers, may read every file
    assert "no permission to read it" in refused(svs)


def test_a_file_that_is_gone_is_the_machines_fault_not_the_slides(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found no such file"):
        open_slide(tmp_path / "gone.svs")


def test_an_old_openslide_is_refused(svs, monkeypatch):
    monkeypatch.setattr(openslide, "__library_version__", "3.4.1")
    with pytest.raises(RuntimeError, match=r"Expected OpenSlide 4 or newer, found 3\.4\.1"):
        open_slide(svs)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_slide_cut_short_is_refused_with_its_size(svs, share):
    whole = svs.read_bytes()
    svs.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(SlideFault) as fault:
        open_slide(svs).close()
        check_pixels(svs)
    assert fault.value.code == "S-OPEN"
    assert f"{int(len(whole) * share):,} bytes" in fault.value.reason
    assert "cut short" in fault.value.reason and "fetch it again" in fault.value.reason


@pytest.mark.parametrize("big", [False, True])
def test_a_cut_says_what_lies_behind_the_end(tmp_path, big):
    """Three images of 640 x 480 px, tiled; cut in front of every directory, and in the last one's tiles."""
    path = tmp_path / "t.tif"
    with tifffile.TiffWriter(path, bigtiff=big) as tiff:
        for _ in range(3):
            tiff.write(PIXELS[:480, :640], tile=(256, 256), photometric="rgb", metadata=None)
    assert why_cut_short(path) == ""
    with tifffile.TiffFile(path) as tiff:
        directories, end = [page.offset for page in tiff.pages], end_of_tiles(tiff)
    whole = path.read_bytes()
    assert end == len(whole)
    for offset in directories:
        for size in (offset, offset + 20):
            path.write_bytes(whole[:size])
            assert f"a directory of its images lies at byte {offset:,}" in why_cut_short(path)
    path.write_bytes(whole[:-1])
    assert why_cut_short(path) == f"a TIFF cut short: its tiles reach byte {end:,}"


def test_directories_in_a_circle_are_not_followed_for_ever(tmp_path):
    path = tmp_path / "t.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata=None)
    with tifffile.TiffFile(path) as tiff:
        first, last = tiff.pages[0].offset, tiff.pages[0].offset + 2 + 12 * len(tiff.pages[0].tags)
    content = bytearray(path.read_bytes())
    content[last : last + 4] = first.to_bytes(4, "little")
    path.write_bytes(content)
    assert why_cut_short(path) == f"a TIFF that is damaged: its directories lead back to byte {first:,}"


def test_names_with_spaces_quotes_and_other_alphabets_open(tmp_path):
    path = write_svs(tmp_path / "a b's µ 切片.svs", PIXELS)
    with open_slide(path) as handle:
        assert handle.dimensions == (800, 600)
    check_pixels(path)


# ---- colours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pixels", "options", "found"),
    [
        (PIXELS[..., 0], {"photometric": "minisblack"}, "1 channel, need RGB of 8 bits"),
        (np.dstack([PIXELS, PIXELS[..., :1]]), {"photometric": "separated"}, "CMYK, need RGB of 8 bits"),
        (PIXELS.astype(np.uint16) * 256, {"photometric": "rgb"}, "16 bits per channel, need RGB of 8 bits"),
    ],
)
def test_colours_that_openslide_would_show_wrong_are_refused(tmp_path, pixels, options, found):
    path = tmp_path / "c.tif"
    tifffile.imwrite(path, pixels, tile=(256, 256), **options)
    open_slide(path).close()  # OpenSlide itself says nothing
    with pytest.raises(SlideFault, match=rf"^S-COLOUR c\.tif: {found}"):
        check_pixels(path)


def test_rgb_and_rgba_of_8_bits_pass(tmp_path, svs):
    check_pixels(svs)
    rgba = np.dstack([PIXELS, np.full_like(PIXELS[..., :1], 255)])
    tifffile.imwrite(tmp_path / "a.tif", rgba, tile=(256, 256), photometric="rgb", extrasamples=["unassalpha"])
    check_pixels(tmp_path / "a.tif")


# ---- microns per pixel ---------------------------------------------------------------------------------------------

VENDOR = {"openslide.vendor": "aperio", "openslide.mpp-x": "0.25", "openslide.mpp-y": "0.25"}
TIFF = {"openslide.vendor": "generic-tiff", "tiff.XResolution": "20000", "tiff.YResolution": "20000"}


def test_the_order_is_sheet_vendor_tiff_objective_default():
    everything = VENDOR | {"tiff.XResolution": "20000", "tiff.YResolution": "20000", "openslide.objective-power": "40"}
    everything["tiff.ResolutionUnit"] = "centimeter"
    found = mpp(everything, sheet_mpp=0.26, default_mpp=0.3)
    assert (found.mpp, found.source) == (0.26, "sheet")
    assert (mpp(everything).mpp, mpp(everything).source) == (0.25, "vendor")
    for key in VENDOR:
        everything.pop(key)
    assert (mpp(everything).mpp, mpp(everything).source) == (0.5, "tiff")
    for key in ("tiff.XResolution", "tiff.YResolution"):
        everything.pop(key)
    assert (mpp(everything, default_mpp=0.3).mpp, mpp(everything, default_mpp=0.3).source) == (0.25, "objective")
    found = mpp(everything, default_mpp=0.3, mpp_from_objective=False)
    assert (found.mpp, found.source) == (0.3, "default")


def test_without_any_statement_the_error_names_the_slide_and_the_three_ways():
    with pytest.raises(SlideFault) as fault:
        mpp({})
    assert str(fault.value) == (
        "S-MPP S1: no microns per pixel in the file; set mpp in slides.tsv, or default_mpp of the cohort, "
        "or mpp_from_objective: true where the objective power is known"
    )
    with pytest.raises(SlideFault, match=r"\(objective power 20\); set mpp"):
        mpp({"openslide.objective-power": "20"}, mpp_from_objective=False)


@pytest.mark.parametrize(
    ("unit", "density", "expected"),
    [("centimeter", 10000 / 0.686, 0.686), ("inch", 25400 / 0.686, 0.686), ("centimeter", 20000, 0.5)],
)
def test_the_tiff_resolution_counts_with_its_unit(unit, density, expected):
    found = mpp(
        TIFF | {"tiff.XResolution": str(density), "tiff.YResolution": str(density), "tiff.ResolutionUnit": unit}
    )
    assert found.mpp == pytest.approx(expected, rel=1e-9)
    assert found.source == "tiff"


@pytest.mark.parametrize(
    ("unit", "density", "why"),
    [
        ("inch", "72", "TIFF resolution of 72 per inch is outside 0.1-2 um/px"),
        ("none", "14577", "has no unit of length"),
    ],
)
def test_a_tiff_resolution_that_means_nothing_is_passed_over_with_a_warning(unit, density, why):
    tags = {"tiff.XResolution": density, "tiff.YResolution": density, "tiff.ResolutionUnit": unit}
    # OpenSlide makes 352.8 um/px of 72 dpi in a generic TIFF.
    found = mpp(TIFF | tags | {"openslide.mpp-x": "352.8", "openslide.mpp-y": "352.8"}, default_mpp=0.5)
    assert (found.mpp, found.source) == (0.5, "default")
    assert why in found.warnings[0]


@pytest.mark.parametrize(("stated", "said"), [("0", "0"), ("-0.25", "-0.25"), ("25", "25"), ("25.0", "25")])
def test_a_vendor_tag_outside_the_range_is_a_fault_unless_the_sheet_speaks(stated, said):
    tags = VENDOR | {"openslide.mpp-x": stated, "openslide.mpp-y": stated, "openslide.objective-power": "40"}
    with pytest.raises(SlideFault, match=rf"^S-MPP S1: {said} um/px outside 0\.1-2 um/px; set mpp in slides\.tsv"):
        mpp(tags, default_mpp=0.5)
    assert mpp(tags, sheet_mpp=0.25).mpp == 0.25


def test_text_in_the_vendor_tag_is_a_fault_and_a_decimal_comma_is_not(tmp_path):
    with pytest.raises(SlideFault, match=r'^S-MPP S1: "unknown" outside'):
        mpp({"openslide.vendor": "aperio", "aperio.MPP": "unknown"})
    with open_slide(write_svs(tmp_path / "comma.svs", PIXELS, mpp="0,2500")) as handle:
        assert mpp(dict(handle.properties)).mpp == 0.25
    assert mpp({"openslide.vendor": "aperio", "aperio.MPP": "0,2500"}).mpp == 0.25


def test_axes_2_percent_apart_are_a_fault_and_less_is_averaged():
    assert mpp(VENDOR | {"openslide.mpp-y": "0.254"}).mpp == pytest.approx(0.252)
    with pytest.raises(SlideFault, match=r"0\.25 um/px on one axis, 0\.26 on the other"):
        mpp(VENDOR | {"openslide.mpp-y": "0.26"})


def test_contradictions_are_warned_of():
    found = mpp(VENDOR | {"openslide.mpp-x": "0.5", "openslide.mpp-y": "0.5", "openslide.objective-power": "40"})
    assert found.mpp == 0.5
    assert found.warnings == ("mpp 0.5 does not fit the objective power 40 (about 0.25)",)
    assert "the file says 0.25" in mpp(VENDOR, sheet_mpp=0.5).warnings[0]
    assert mpp(VENDOR | {"openslide.objective-power": "40"}).warnings == ()
    assert "derived from the objective power 20" in mpp({"openslide.objective-power": "20"}).warnings[0]


def test_a_slide_without_objective_power_works_from_its_mpp(tmp_path):
    with open_slide(write_svs(tmp_path / "s.svs", PIXELS, mpp="0.2485", objective=None)) as handle:
        properties = dict(handle.properties)
    assert mpp(properties).mpp == 0.2485
    assert objective_power(properties) is None


def test_a_sheets_number_outside_the_range_is_the_users_error():
    with pytest.raises(InputError, match=r"Expected 0\.1-2 um/px for S1 in slides\.tsv, column mpp, found 20; give"):
        mpp({}, sheet_mpp=20)
    with pytest.raises(InputError, match=r"in default_mpp, found 0;"):
        mpp({}, default_mpp=0)


# ---- pixels --------------------------------------------------------------------------------------------------------


def test_outside_the_slide_is_white_and_inside_is_what_was_written(svs):
    with open_slide(svs) as handle:
        inside = read_rgb(handle, x=100, y=50, level=0, width=64, height=48)
        assert inside.shape == (48, 64, 3)
        assert inside.dtype == np.uint8
        assert np.abs(inside.astype(int) - PIXELS[50:98, 100:164]).mean() < 6  # JPEG, quality 90
        edge = read_rgb(handle, x=-32, y=0, level=0, width=64, height=64)
        assert (edge[:, :31] == 255).all()
        assert (edge[:, 33:].min(axis=(0, 1)) < 200).all()
        assert (read_rgb(handle, x=5000, y=5000, level=0, width=8, height=8) == 255).all()


def test_a_sparse_tile_is_white_never_black(svs):
    with open_slide(svs) as handle:
        assert read_rgb(handle, x=0, y=0, level=0, width=256, height=256).mean() < 220
    empty_tile(svs, page=0, tile=0)
    assert tile_bytes(svs, page=0, tile=0)[1] == 0
    with open_slide(svs) as handle:
        assert (read_rgb(handle, x=0, y=0, level=0, width=250, height=250) == 255).all()
    check_pixels(svs)  # a hole is not a file cut short


def test_half_transparent_pixels_are_mixed_with_white():
    class Handle:
        level_count = 1

        def read_region(self, location, level, size):
            from PIL import Image

            return Image.new("RGBA", size, (100, 0, 200, 128))

    found = read_rgb(Handle(), x=0, y=0, level=0, width=2, height=2)[0, 0]
    assert np.abs(found.astype(int) - [177, 127, 227]).max() <= 1  # 255 + (c - 255) * 128 / 255


def test_a_level_that_does_not_exist_raises_instead_of_reading_white(svs):
    with open_slide(svs) as handle, pytest.raises(ValueError, match=r"Expected a level in 0\.\.1, found 2"):
        read_rgb(handle, x=0, y=0, level=2, width=8, height=8)


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.7, 0.9, 0.99])
def test_a_part_of_a_real_aperio_slide_is_called_that(tmp_path, share):
    """OpenSlide's own word for all of them is «Unsupported or missing image file»."""
    whole = (Path(os.environ["REAL_DATA"]) / "slides" / "CMU-1-Small-Region.svs").read_bytes()
    (tmp_path / "part.svs").write_bytes(whole[: int(share * len(whole))])
    message = refused(tmp_path / "part.svs")
    assert "a TIFF cut short or damaged: a directory of its images lies at byte 1," in message


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
def test_a_real_aperio_slide_states_its_resolution():
    path = Path(os.environ["REAL_DATA"]) / "slides" / "CMU-1-Small-Region.svs"
    check_pixels(path)
    with open_slide(path) as handle:
        found = mpp(dict(handle.properties))
    assert (found.mpp, found.source, found.warnings) == (0.499, "vendor", ())

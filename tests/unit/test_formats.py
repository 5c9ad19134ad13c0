"""Which files are imported as plain images, and that a damaged one is left to OpenSlide, which names it."""

import struct

import numpy as np
import pytest
import pyvips
import tifffile
from histocarta.errors import InputError
from histocarta.formats import is_plain_image, plain_image_named, pyramid_name
from histocarta.sheets import SAFE_NAME

PIXELS = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)


def libvips_tiff(path):
    """A strip TIFF whose directory stands at its end, as libvips writes it."""
    pyvips.Image.new_from_array(PIXELS).tiffsave(str(path))
    return path


def test_strips_are_plain_and_tiles_are_not(tmp_path):
    assert is_plain_image(libvips_tiff(tmp_path / "strips.tif"))
    tifffile.imwrite(tmp_path / "tiles.tif", PIXELS, tile=(128, 128), photometric="rgb")
    tifffile.imwrite(tmp_path / "big.tiff", PIXELS, photometric="rgb", bigtiff=True, byteorder=">")
    assert not is_plain_image(tmp_path / "tiles.tif") and is_plain_image(tmp_path / "big.tiff")
    assert is_plain_image("not there.JPG") and not is_plain_image("not there.tif")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_tiff_cut_short_counts_as_tiled(tmp_path, share):
    whole = libvips_tiff(tmp_path / "whole.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: int(len(whole) * share)])
    assert not is_plain_image(tmp_path / "cut.tif")


@pytest.mark.parametrize("offset", [0, 17, 2**40, 2**63, 2**64 - 1])
def test_a_directory_that_is_not_there_counts_as_tiled(tmp_path, offset):
    (tmp_path / "big.tif").write_bytes(b"II" + struct.pack("<HHHQ", 43, 8, 0, offset) + b"\0")
    assert not is_plain_image(tmp_path / "big.tif")


FILES = ["a/core.jpg", "b/core.jpg", "a/my slide.jpg", "a/Müller µ.png", "a/切片.jpg", "a/...jpg", f"a/{'x' * 300}.png"]


def test_a_pyramid_has_a_name_that_can_be_typed_and_is_its_images_own():
    names = [pyramid_name(file) for file in FILES]
    assert all(SAFE_NAME.fullmatch(name) and len(name) < 80 for name in names) and len(set(names)) == len(FILES)
    assert [name.rsplit("-", 1)[0] for name in names[:6]] == ["core", "core", "my-slide", "Muller", "image", "image"]
    assert names[0] == "core-" + names[0][-8:] == pyramid_name("a/core.jpg")  # the same on every machine and day
    for file, name in zip(FILES, names, strict=True):
        assert plain_image_named(name, FILES) == file


def test_an_image_that_is_not_in_the_sheet_is_named():
    with pytest.raises(
        InputError, match=r"Expected a plain image of the slide sheet, found none called core-00000000;"
    ):
        plain_image_named("core-00000000", FILES)

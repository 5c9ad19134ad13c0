"""Reading tiles against OpenSlide's own pixels: the fast path must see what OpenSlide sees."""

import os
from pathlib import Path

import cv2
import numpy as np
import openslide
import pytest
import pyvips
from histocarta.reader import UnreadableRegion, best_level, largest_step, open_reader, resample, window_width
from histocarta.slides import read_rgb
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from slide_kit import damage_tile, empty_tile, he_like, slide_pixels, write_svs

REAL_DATA = os.environ.get("REAL_DATA")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="REAL_DATA is unset")


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(1e-9, np.mean((a.astype(float) - b) ** 2)))


def truth(path: Path, *, x: int, y: int, level: int, span: int) -> np.ndarray:
    """What OpenSlide reads, on white."""
    with openslide.OpenSlide(path) as slide:
        return read_rgb(slide, x=x, y=y, level=level, width=span, height=span)


def vips_tiff(path: Path, rgb: np.ndarray, *, quality: int = 80) -> Path:
    """A pyramidal YCbCr 4:2:0 TIFF, as import_image writes them."""
    height, width = rgb.shape[:2]
    image = pyvips.Image.new_from_memory(rgb.tobytes(), width, height, 3, "uchar").copy(interpretation="srgb")
    image.tiffsave(path, tile=True, pyramid=True, compression="jpeg", Q=quality, xres=2000, yres=2000)
    return path


@pytest.fixture(scope="module")
def svs(tmp_path_factory):
    return write_svs(tmp_path_factory.mktemp("reader") / "a.svs", slide_pixels(1100, 1400), levels=(1, 4), tile=240)


@pytest.fixture(scope="module")
def tiff(tmp_path_factory):
    return vips_tiff(tmp_path_factory.mktemp("reader") / "a.tif", he_like(1100, 1400))


@given(x=st.integers(-300, 1500), y=st.integers(-300, 1200), span=st.integers(1, 500))
@settings(max_examples=40, deadline=None)
def test_level_0_pixels_are_openslides(svs, tiff, x, y, span):
    for path in (svs, tiff):
        with open_reader(path, decode="exact") as reader:
            assert reader.fast
            found = reader.read(x, y, span, span)
        expected = truth(path, x=x, y=y, level=0, span=span)
        # Both decode with libjpeg-turbo, but each with a build of its own: rounding may differ by a grey level.
        assert np.abs(found.astype(int) - expected).max() <= 2


def test_a_row_by_row_pass_sees_the_same_as_single_reads(tiff):
    """Tiles held for the neighbours must not leak into the wrong place."""
    with open_reader(tiff, decode="exact") as reader:
        for y in range(0, 1100, 199):
            for x in range(0, 1400, 199):
                with open_reader(tiff, decode="exact") as fresh:
                    assert np.array_equal(reader.read(x, y, 199, 199), fresh.read(x, y, 199, 199))


def test_the_best_level_is_read(svs):
    with open_reader(svs, decode="exact") as reader:
        found = reader.read(80, 160, 800, 200)
    assert psnr(found, truth(svs, x=80, y=160, level=1, span=200)) > 45


def test_outside_is_white_not_black(svs):
    with open_reader(svs, decode="exact") as reader:
        beyond = reader.read(1400, 1100, 64, 64)
        corner = reader.read(-32, -32, 64, 64)
    assert (beyond == 255).all()
    assert (corner[:32] == 255).all() and (corner[:, :32] == 255).all() and corner[32:, 32:].mean() < 230


def test_outside_is_white_through_openslide(tmp_path):
    path = tmp_path / "plain.tif"
    vips_tiff(path, he_like(600, 600))
    with open_reader(path, decode="exact") as reader:
        reader._jpeg.close()
        reader._jpeg = None
        assert (reader.read(590, 590, 64, 64)[10:, 10:] == 255).all()


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    """One level, and edges as soft as a lens leaves them."""
    rgb = cv2.GaussianBlur(he_like(1100, 1400), (0, 0), 1.2)
    return write_svs(tmp_path_factory.mktemp("reader") / "flat.svs", rgb, levels=(1,))


@pytest.mark.parametrize("mpp", [0.4536, 0.36, 0.2528, 0.25, 0.2325])
@pytest.mark.parametrize("decode", ["exact", "dct"])
def test_pixels_are_near_the_released_way(flat, mpp, decode):
    """The released code reads level 0 with OpenSlide and shrinks with Pillow's Lanczos: PSNR at least 38 dB."""
    span = window_width(size=256, mpp=0.5, slide_mpp=mpp)
    read = Image.fromarray(truth(flat, x=300, y=300, level=0, span=span))
    with open_reader(flat, decode=decode) as reader:
        found = reader.read(300, 300, span, 256)
    assert psnr(found, np.asarray(read.resize((256, 256), Image.LANCZOS))) > 38


def test_dct_halves_while_decoding(flat):
    with open_reader(flat, decode="exact") as exact, open_reader(flat, decode="dct") as dct:
        full, half = exact.read(256, 256, 512, 256), dct.read(256, 256, 512, 256)
        assert not np.array_equal(full, half)
        assert psnr(full, half) > 40
        # No 2x step is due, or the halved window would not lie on whole pixels.
        for window in ((256, 256, 300), (257, 256, 512), (256, 255, 512)):
            assert np.array_equal(exact.read(*window, 256), dct.read(*window, 256))


def test_a_damaged_tile_costs_its_region_only(tmp_path):
    path = write_svs(tmp_path / "a.svs", he_like(1024, 1024), levels=(1,))
    damage_tile(path, page=0, tile=5)
    readable = 0
    with open_reader(path, decode="exact") as reader:
        for y in range(0, 1024, 256):
            for x in range(0, 1024, 256):
                if (x, y) == (256, 256):
                    with pytest.raises(UnreadableRegion, match="at x=256, y=256, level 0"):
                        reader.read(x, y, 256, 256)
                else:
                    readable += reader.read(x, y, 256, 256).shape == (256, 256, 3)
    assert readable == 15


def test_openslide_is_opened_anew_after_an_error(tmp_path):
    """An OpenSlide handle fails for ever after one error; without a new handle one bad tile of 16 loses them all."""
    path = write_svs(tmp_path / "a.svs", he_like(1024, 1024), levels=(1,))
    damage_tile(path, page=0, tile=0)
    with open_reader(path, decode="exact") as reader:
        reader._jpeg.close()
        reader._jpeg = None
        assert not reader.fast
        with pytest.raises(UnreadableRegion):
            reader.read(0, 0, 256, 256)
        assert reader.read(256, 0, 256, 256).std() > 5


def test_an_absent_tile_is_white(tmp_path):
    path = write_svs(tmp_path / "a.svs", he_like(512, 512), levels=(1,))
    empty_tile(path, page=0, tile=3)
    with open_reader(path, decode="exact") as reader:
        assert (reader.read(256, 256, 256, 256) == 255).all()
        assert (reader.read(0, 0, 256, 256).mean()) < 230


def test_files_without_jpeg_tiles_go_to_openslide(tmp_path):
    rgb = he_like(600, 700)
    image = pyvips.Image.new_from_memory(rgb.tobytes(), 700, 600, 3, "uchar").copy(interpretation="srgb")
    image.tiffsave(tmp_path / "a.tif", tile=True, pyramid=True, compression="lzw")
    with open_reader(tmp_path / "a.tif", decode="exact") as reader:
        assert not reader.fast
        assert np.array_equal(reader.read(13, 57, 300, 300), rgb[57:357, 13:313])


def test_levels():
    downsamples = (1.0, 4.0003, 16.003)
    assert [best_level(downsamples, factor) for factor in (0.7, 1, 2, 3.7, 3.9, 4, 15, 16, 99)] == [
        0,
        0,
        0,
        0,
        1,
        1,
        1,
        2,
        2,
    ]
    assert [largest_step(f) for f in (1, 1.89, 1.98, 2, 2.15, 3.7, 3.9, 8)] == [1, 1, 2, 2, 2, 2, 4, 8]


@pytest.mark.parametrize(
    ("slide_mpp", "width"), [(0.5, 512), (0.4990, 513), (0.25, 1024), (0.2528, 1012), (0.2325, 1102), (0.686, 373)]
)
def test_windows_lie_on_whole_pixels_after_the_2x_step(slide_mpp, width):
    assert window_width(size=512, mpp=0.5, slide_mpp=slide_mpp) == width
    assert abs(width * slide_mpp / 256 - 1) < 0.5 / 512 + 0.5 / 1000


def test_resampling_keeps_the_mean_and_does_not_alias():
    """A checkerboard finer than the output must become grey, whatever the ratio above 2; a constant stays."""
    board = np.indices((1024, 1024)).sum(axis=0) % 2 * 255
    rgb = np.repeat(board.astype(np.uint8)[..., None], 3, axis=2)
    for size in (512, 400, 256, 100):
        assert np.abs(resample(rgb, size).astype(int) - 127).max() <= 8
    flat = np.full((513, 513, 3), (201, 17, 99), np.uint8)
    for size in (700, 512, 300, 100):
        assert np.abs(resample(flat, size).astype(int) - (201, 17, 99)).max() == 0


def test_resampling_does_not_shift():
    """The centre of mass of a blurred dot stays where it was, in units of the side."""
    dot = np.zeros((640, 640), np.float32)
    dot[200, 333] = 1
    dot = cv2.GaussianBlur(dot, (0, 0), 12)
    rgb = np.repeat((dot / dot.max() * 255).astype(np.uint8)[..., None], 3, axis=2)
    for size in (900, 512, 333, 160):
        out = resample(rgb, size)[..., 0].astype(float)
        y, x = (float((axis * out).sum() / out.sum() + 0.5) / size for axis in np.indices(out.shape))
        assert (y, x) == pytest.approx((200.5 / 640, 333.5 / 640), abs=2e-3)


def test_an_unknown_decode_is_refused(svs):
    with (
        pytest.raises(ValueError, match="Expected decode to be one of exact, dct, found 'fast'"),
        open_reader(svs, decode="fast"),
    ):
        pass


@needs_real_data
@pytest.mark.real
def test_a_real_svs_reads_as_openslide_reads_it():
    path = Path(REAL_DATA) / "slides" / "CMU-1-Small-Region.svs"
    with open_reader(path, decode="exact") as reader:
        assert reader.fast and reader.dimensions == (2220, 2967)
        for x, y in ((0, 0), (513, 1026), (1539, 2052), (1900, 2700)):
            expected = truth(path, x=x, y=y, level=0, span=513)
            assert np.abs(reader.read(x, y, 513, 513).astype(int) - expected).max() <= 2

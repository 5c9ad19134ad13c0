"""Plain pictures become slides: what comes out opens, says its mpp, looks the same; what cannot says why."""

import os
from pathlib import Path

import numpy as np
import openslide
import pytest
import pyvips
import tifffile
from histocarta.errors import InputError
from histocarta.images import import_image
from histocarta.slides import SlideFault, check_pixels, open_slide, read_rgb, resolve_mpp
from PIL import Image
from slide_kit import slide_pixels

PIXELS = slide_pixels(700, 1100)


def imported(image: Path, mpp: float = 0.686) -> Path:
    output = image.parent / "out.tif"
    import_image(image=str(image), output=str(output), mpp=mpp, quality=90)
    return output


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_a_picture_becomes_a_tiled_pyramid_with_its_resolution(tmp_path, suffix):
    image = tmp_path / f"section a{suffix}"
    if suffix == ".tif":
        tifffile.imwrite(image, PIXELS, photometric="rgb")
    else:
        Image.fromarray(PIXELS).save(image, quality=95, subsampling=0)
    output = imported(image)
    check_pixels(output)
    with open_slide(output) as handle:
        assert handle.dimensions == (1100, 700)
        assert handle.level_count >= 3
        assert handle.properties["openslide.level[0].tile-width"] == "256"
        found = resolve_mpp(
            dict(handle.properties), sheet_mpp=None, default_mpp=None, mpp_from_objective=False, slide="s"
        )
        assert found.mpp == pytest.approx(0.686, rel=1e-6)
        assert found.source == "tiff"
        rgb = read_rgb(handle, x=0, y=0, level=0, width=1100, height=700)
    error = np.abs(rgb.astype(int) - PIXELS)
    assert error.mean() < 5
    assert error[:, 600:].mean() < 1  # the glass


def test_chroma_is_not_subsampled_at_quality_90(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    with tifffile.TiffFile(imported(tmp_path / "p.png")) as tiff:
        page = tiff.pages[0]
        assert page.compression == tifffile.COMPRESSION.JPEG
        assert page.photometric == tifffile.PHOTOMETRIC.RGB or tuple(page.tags["YCbCrSubSampling"].value) == (1, 1)


def test_transparency_becomes_white(tmp_path):
    rgba = np.dstack([PIXELS, np.zeros_like(PIXELS[..., :1])])
    rgba[:, :550, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "p.png")
    with open_slide(imported(tmp_path / "p.png")) as handle:
        rgb = read_rgb(handle, x=0, y=0, level=0, width=1100, height=700)
    assert rgb[:, 600:].min() >= 248  # JPEG rings
    assert rgb[:, :500].mean() < 220


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("grey.png", "1 channel of 8 bits"),
        ("cmyk.jpg", "CMYK of 8 bits"),
        ("deep.tif", "3 channels of 16 bits"),
        ("grey-alpha.png", "2 channels of 8 bits"),
    ],
)
def test_other_colours_are_refused(tmp_path, name, found):
    image = tmp_path / name
    if name == "grey.png":
        Image.fromarray(PIXELS[..., 0]).save(image)
    elif name == "cmyk.jpg":
        Image.fromarray(PIXELS).convert("CMYK").save(image)
    elif name == "grey-alpha.png":
        Image.fromarray(PIXELS).convert("LA").save(image)
    else:
        tifffile.imwrite(image, PIXELS.astype(np.uint16), photometric="rgb")
    reason = rf"^S-COLOUR {name}: {found}, need RGB of 8 bits; convert it first"
    with pytest.raises(SlideFault, match=reason):
        open_slide(imported(image))


@pytest.mark.parametrize(
    ("mpp", "message"),
    [
        (20, r"Expected 0\.1-2 um/px for the picture p\.png, found 20; mend slides\.tsv"),
        ("half", r"Expected a number of um/px for the picture p\.png, found 'half'; mend slides\.tsv"),
    ],
)
def test_a_resolution_that_cannot_be_is_the_users_error(tmp_path, mpp, message):
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    with pytest.raises(InputError, match=message):
        imported(tmp_path / "p.png", mpp)
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.parametrize("mpp", [None, ""])
def test_without_a_resolution_the_tags_say_nothing_and_the_default_speaks(tmp_path, mpp):
    Image.fromarray(PIXELS).save(tmp_path / "p.png")
    with open_slide(imported(tmp_path / "p.png", mpp)) as handle:
        properties, settings = dict(handle.properties), {"mpp_from_objective": True, "slide": "S1"}
    found = resolve_mpp(properties, sheet_mpp=None, default_mpp=0.5, **settings)
    assert (found.mpp, found.source, found.warnings) == (0.5, "default", ())
    with pytest.raises(
        SlideFault, match=r"^S-MPP S1: no microns per pixel in the file; set mpp in slides\.tsv, or def"
    ):
        resolve_mpp(properties, sheet_mpp=None, default_mpp=None, **settings)


def test_a_rotation_mark_is_a_fault_because_coordinates_would_mean_two_things(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PIXELS).save(tmp_path / "p.jpg", exif=exif)
    with pytest.raises(SlideFault, match=r"^S-TURNED p\.jpg: EXIF orientation 6; turn and save it first"):
        open_slide(imported(tmp_path / "p.jpg"))


def test_a_picture_cut_short_or_no_picture_is_a_fault_of_its_slide(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "p.jpg")
    whole = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "q.png").write_text("<html>")
    for name in ("p.jpg", "q.png"):
        with pytest.raises(
            SlideFault, match=rf"^S-OPEN {name}: not a readable JPEG, PNG or TIFF \(.*\); save it again"
        ):
            open_slide(imported(tmp_path / name))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.tif", "p.jpg", "q.png"]


def test_a_fault_of_the_machine_fails_the_job(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "p.png")

    def full(*_, **__):
        raise pyvips.Error("unable to write: no space left on device")

    monkeypatch.setattr(pyvips.Image, "tiffsave", full, raising=False)
    with pytest.raises(pyvips.Error, match="no space left"):
        imported(tmp_path / "p.png")
    assert not (tmp_path / "out.tif").exists()


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
def test_a_real_section_becomes_a_slide(tmp_path):
    image = Path(os.environ["REAL_DATA"]) / "her2st" / "images" / "C2.jpg"
    import_image(image=str(image), output=str(tmp_path / "C2.tif"), mpp=0.686, quality=90)
    with openslide.OpenSlide(tmp_path / "C2.tif") as handle:
        truth = pyvips.Image.new_from_file(str(image))
        assert handle.dimensions == (truth.width, truth.height)
        found = read_rgb(handle, x=5000, y=5000, level=0, width=512, height=512).astype(float)
        expected = truth.crop(5000, 5000, 512, 512).numpy().astype(float)
    assert 10 * np.log10(255**2 / np.mean((found - expected) ** 2)) > 35

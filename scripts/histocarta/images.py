"""How a plain picture of tissue (JPEG, PNG, TIFF without tiles) becomes a slide that OpenSlide opens."""

from pathlib import Path

import pyvips

from histocarta.errors import InputError
from histocarta.files import replacing
from histocarta.mpp import MPP_WORDS, is_mpp

WHITE = [255, 255, 255]


def import_image(*, image: str, output: str, mpp: float | str | None, quality: int) -> None:
    """Write ``image`` as a pyramidal TIFF of 256-px JPEG tiles whose resolution tags say ``mpp`` um per pixel.

    Pixels stream through libvips, so memory stays bounded. Raises :class:`InputError` for a picture that is not
    RGB of 8 bits, has no mpp, carries a rotation mark, or cannot be read.
    """
    name = Path(image).name
    mpp = _checked_mpp(mpp, name)
    try:
        pixels = pyvips.Image.new_from_file(str(image), access="sequential", fail_on="truncated")
        pixels = _rgb(pixels, name)
        with replacing(output) as temporary:
            pixels.tiffsave(
                str(temporary),
                tile=True,
                tile_width=256,
                tile_height=256,
                pyramid=True,
                compression="jpeg",
                Q=quality,  # 4:4:4 from 90 on
                xres=1000 / mpp,  # libvips counts pixels per mm
                yres=1000 / mpp,
                resunit="cm",
                bigtiff=pixels.width * pixels.height > 1_000_000_000,  # 4 GB is the end of a classic TIFF
                keep="none",
            )
    except pyvips.Error as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"Expected a readable JPEG, PNG or TIFF, found {name}: {said}; save it again, or exclude it"
        ) from None


def _checked_mpp(mpp: float | str | None, name: str) -> float:
    if mpp in (None, ""):
        raise InputError(f"Expected microns per pixel for the picture {name}, found none; set mpp in slides.tsv")
    try:
        mpp = float(mpp)
    except ValueError:
        raise InputError(f"Expected a number of um/px for the picture {name}, found '{mpp}'; mend slides.tsv") from None
    if not is_mpp(mpp):
        raise InputError(f"Expected {MPP_WORDS} for the picture {name}, found {mpp:g}; mend slides.tsv")
    return mpp


def _rgb(pixels: pyvips.Image, name: str) -> pyvips.Image:
    """``pixels`` as plain RGB, an alpha channel composited on white."""
    kind = "CMYK" if pixels.interpretation == "cmyk" else f"{pixels.bands} channel{'s' if pixels.bands > 1 else ''}"
    if pixels.format != "uchar" or pixels.bands not in (3, 4) or pixels.interpretation == "cmyk":
        raise InputError(f"S-COLOUR {name}: expected RGB of 8 bits, found {kind} of {_depth(pixels)}; convert it first")
    turned = pixels.get("orientation") if "orientation" in pixels.get_fields() else 1
    if turned != 1:
        # Viewers turn it, array readers do not: region and spot coordinates would mean two things.
        raise InputError(
            f"Expected upright pixels, found {name} with EXIF orientation {turned}; turn and save it first"
        )
    return pixels.flatten(background=WHITE) if pixels.bands == 4 else pixels


def _depth(pixels: pyvips.Image) -> str:
    return {"uchar": "8 bits", "ushort": "16 bits", "float": "32 bits"}.get(pixels.format, pixels.format)

"""How a plain picture of tissue (JPEG, PNG, TIFF without tiles) becomes a slide that OpenSlide opens."""

import sys
from pathlib import Path

import pyvips

from histocarta.errors import InputError
from histocarta.files import replacing
from histocarta.mpp import MPP_WORDS, is_mpp
from histocarta.slides import SlideFault, check_size, write_fault

WHITE = [255, 255, 255]


def import_image(*, image: str, output: str, mpp: float | str | None, quality: int) -> None:
    """Write ``image`` as a pyramidal TIFF of 256-px JPEG tiles whose resolution tags say ``mpp`` um per pixel.

    Without ``mpp`` the tags say nothing, and the survey takes the cohort's default or leaves the slide out (S-MPP).
    Pixels stream through libvips, so memory stays bounded. A fault in the picture (not RGB of 8 bits, a rotation mark,
    cut short) ends well: in place of the pyramid stands the fault, which is raised where the slide is opened.
    """
    try:
        _convert(image, output=output, mpp=_checked_mpp(mpp, Path(image).name), quality=quality)
    except SlideFault as fault:
        print(fault, file=sys.stderr)
        write_fault(fault, output)


def _convert(image: str, *, output: str, mpp: float | None, quality: int) -> None:
    # libvips counts pixels per mm; one pixel per cm is what writers put who know nothing, and readers take it so.
    density = 1000 / mpp if mpp else 0.1
    try:
        pixels = _rgb(_opened(image), Path(image).name)
        with replacing(output) as temporary:
            pixels.tiffsave(
                str(temporary),
                tile=True,
                tile_width=256,
                tile_height=256,
                pyramid=True,
                compression="jpeg",
                Q=quality,  # 4:4:4 from 90 on
                xres=density,
                yres=density,
                resunit="cm",
                bigtiff=pixels.width * pixels.height > 1_000_000_000,  # 4 GB is the end of a classic TIFF
                keep="none",
            )
    except pyvips.Error:
        _refuse_unreadable(image)
        raise  # the picture can be read, so it is the machine's fault: a full disk, say


def _opened(image: str) -> pyvips.Image:
    return pyvips.Image.new_from_file(str(image), access="sequential", fail_on="truncated")


def _refuse_unreadable(image: str) -> None:
    """Raise :class:`SlideFault` where reading all pixels, and doing nothing else, is an error too."""
    try:
        _opened(image).avg()
    except pyvips.Error as error:
        said = " ".join(str(error).split())
        raise SlideFault(
            "S-OPEN", f"{Path(image).name}: not a readable JPEG, PNG or TIFF ({said}); save it again, or exclude it"
        ) from None


def _checked_mpp(mpp: float | str | None, name: str) -> float | None:
    if mpp in (None, ""):
        return None
    try:
        mpp = float(mpp)
    except ValueError:
        raise InputError(f"Expected a number of um/px for the picture {name}, found '{mpp}'; mend slides.tsv") from None
    if not is_mpp(mpp):
        raise InputError(f"Expected {MPP_WORDS} for the picture {name}, found {mpp:g}; mend slides.tsv")
    return mpp


def _rgb(pixels: pyvips.Image, name: str) -> pyvips.Image:
    """``pixels`` as plain RGB, an alpha channel composited on white."""
    check_size(name, width=pixels.width, height=pixels.height)
    kind = "CMYK" if pixels.interpretation == "cmyk" else f"{pixels.bands} channel{'s' if pixels.bands > 1 else ''}"
    if pixels.format != "uchar" or pixels.bands not in (3, 4) or pixels.interpretation == "cmyk":
        raise SlideFault("S-COLOUR", f"{name}: {kind} of {_depth(pixels)}, need RGB of 8 bits; convert it first")
    turned = pixels.get("orientation") if "orientation" in pixels.get_fields() else 1
    if turned != 1:
        # Viewers turn it, array readers do not: region and spot coordinates would mean two things.
        raise SlideFault("S-TURNED", f"{name}: EXIF orientation {turned}; turn and save it first")
    return pixels.flatten(background=WHITE) if pixels.bands == 4 else pixels


def _depth(pixels: pyvips.Image) -> str:
    return {"uchar": "8 bits", "ushort": "16 bits", "float": "32 bits"}.get(pixels.format, pixels.format)

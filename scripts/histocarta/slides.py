"""What a slide file is: whether it opens, what one pixel measures, and how its pixels come out as plain RGB."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openslide
import tifffile

from histocarta.cutshort import TIFF_MAGIC, end_of_tiles, why_cut_short
from histocarta.errors import InputError
from histocarta.files import replacing
from histocarta.mpp import MPP_WORDS, is_mpp

AXES_AGREE = 0.02  # mpp-x and mpp-y may differ by 2 %: scanners round, real anisotropy is a fault
OBJECTIVE_AGREE = 1.4  # 40x slides measure 0.23-0.28 um/px; a factor of 1.4 from 10 / objective is another objective
MICRONS_PER_UNIT = {"inch": 25400.0, "centimeter": 10000.0}  # TIFF 6.0, ResolutionUnit; "none" has no length
MOST_PIXELS = 75e9  # a whole mount of 75 x 50 mm at 0.25 um/px has 60e9; a small file that says more is a trap
MOST_TILE_PIXELS = 2**28  # decoded whole: 1 GB
FAULT_MARK = b"histocarta found no slide: "


class SlideFault(Exception):
    """A fault in a slide's data, named by a code: its job ends well, with status ``excluded`` and this reason."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


@dataclass(frozen=True)
class Resolution:
    """Microns per level-0 pixel, who said so (sheet, vendor, tiff, objective, default), and what is doubtful."""

    mpp: float
    source: str
    warnings: tuple[str, ...] = ()


def open_slide(path: str | Path) -> openslide.OpenSlide:
    """Open ``path`` with OpenSlide.

    A file that is there but is no readable slide raises :class:`SlideFault` ``S-OPEN`` with the cause found in its
    first bytes, since OpenSlide says "Unsupported or missing image file" to all of them. So does what
    :func:`write_fault` left in a slide's place, with the fault that it holds. A file that is gone raises
    ``FileNotFoundError``: that is the machine's fault, not the data's.
    """
    if int(openslide.__library_version__.split(".")[0]) < 4:
        # openslide#291: 3.4.1 with pixman 0.38 returns wrong pixels from the upper levels.
        raise RuntimeError(
            f"Expected OpenSlide 4 or newer, found {openslide.__library_version__}; install openslide-bin"
        )
    path = Path(path)
    if path.is_symlink() and not path.exists():
        raise SlideFault("S-OPEN", f"{path.name}: a link to {path.readlink()}, which is not there; mend the link")
    if not path.exists():
        raise FileNotFoundError(f"Expected the slide {path}, found no such file; was it moved while the run was on?")
    if path.is_dir():
        raise SlideFault("S-OPEN", f"{path.name}: a folder, not a slide; name the file inside it")
    try:
        with path.open("rb") as stream:
            head = stream.read(512)
    except PermissionError:
        raise SlideFault("S-OPEN", f"{path.name}: no permission to read it; chmod it, or exclude it") from None
    if head.startswith(FAULT_MARK):
        raise _read_fault(path)
    try:
        return openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        cause = _why_unreadable(path, head, str(error))
        raise SlideFault("S-OPEN", f"{path.name}: not a slide OpenSlide can read ({cause}); {_size(path)}") from None


def write_fault(fault: SlideFault, path: str | Path) -> None:
    """Put ``fault`` in the place of a slide that could not be made, so that whoever opens it raises it again."""
    with replacing(path) as temporary:
        temporary.write_bytes(FAULT_MARK + json.dumps([fault.code, fault.reason]).encode())


def _read_fault(path: Path) -> SlideFault:
    return SlideFault(*json.loads(path.read_bytes().removeprefix(FAULT_MARK)))


def check_pixels(path: str | Path) -> None:
    """Refuse a TIFF whose pixels OpenSlide would return wrong without an error.

    Raises :class:`SlideFault`: ``S-COLOUR`` for anything but RGB of 8 bits (OpenSlide shows 16-bit RGB as black and
    CMYK as RGB), ``S-OPEN`` for a file cut short, whose last tiles lie behind its end.
    """
    path = Path(path)
    with path.open("rb") as stream:
        if stream.read(4) not in TIFF_MAGIC:
            return
    try:
        with tifffile.TiffFile(path) as tiff:
            found, end = _colour(tiff.pages[0]), end_of_tiles(tiff)
    except tifffile.TiffFileError:
        return  # a vendor's variant that only OpenSlide reads: OpenSlide has opened it, so it decides
    if found:
        raise SlideFault("S-COLOUR", f"{path.name}: {found}, need RGB of 8 bits")
    if end > path.stat().st_size:
        raise SlideFault(
            "S-OPEN", f"{path.name}: cut short, its tiles reach byte {end:,}; {_size(path)}; fetch it again"
        )


def check_size(name: str, *, width: int, height: int, tile: tuple[int, int] = (0, 0)) -> None:
    """Raise :class:`SlideFault` ``S-HUGE`` where no scanner makes so many px, or tiles that memory may not hold."""
    if width * height > MOST_PIXELS:
        found, most = f"{width:,} x {height:,} px", f"{MOST_PIXELS / 1e9:g} billion"
    elif tile[0] * tile[1] > MOST_TILE_PIXELS:
        found, most = f"tiles of {tile[0]:,} x {tile[1]:,} px", f"{MOST_TILE_PIXELS / 1e6:.0f} million"
    else:
        return
    raise SlideFault("S-HUGE", f"{name}: {found}, at most {most}; is this a slide?")


def resolve_mpp(
    properties: Mapping[str, str],
    *,
    sheet_mpp: float | None,
    default_mpp: float | None,
    mpp_from_objective: bool,
    slide: str,
) -> Resolution:
    """Microns per level-0 pixel by the first that speaks: sheet, vendor's tag, TIFF resolution, objective, default.

    Nothing is assumed (the released PathoMCH assumes 0.254). The vendor's tag outside ``MPP_RANGE``, or with axes more
    than 2 % apart, raises :class:`SlideFault` ``S-MPP`` unless the sheet overrules it; so does a slide that says
    nothing. A TIFF resolution outside the range (72 dpi) is a viewer's default and is passed over with a warning.
    """
    for where, given in (("slides.tsv, column mpp", sheet_mpp), ("default_mpp", default_mpp)):
        if given is not None and not is_mpp(given):
            raise InputError(f"Expected {MPP_WORDS} for {slide} in {where}, found {given:g}; give um per level-0 pixel")
    warnings: list[str] = []
    if sheet_mpp is not None:
        return Resolution(float(sheet_mpp), "sheet", tuple(_disagreement(properties, sheet_mpp)))
    if vendor := _vendor_mpp(properties, slide):
        return Resolution(vendor, "vendor", tuple(_disagreement(properties, vendor)))
    if tiff := _tiff_mpp(properties, slide, warnings):
        return Resolution(tiff, "tiff", (*warnings, *_disagreement(properties, tiff)))
    objective = objective_power(properties)
    if objective and mpp_from_objective and is_mpp(10 / objective):
        warnings.append(f"mpp {10 / objective:g} is derived from the objective power {objective:g}, not measured")
        return Resolution(10 / objective, "objective", tuple(warnings))
    if default_mpp is not None:
        return Resolution(float(default_mpp), "default", tuple(warnings))
    has = f" (objective power {objective:g})" if objective else ""
    raise SlideFault(
        "S-MPP",
        f"{slide}: no microns per pixel in the file{has}; set mpp in slides.tsv, or default_mpp of the cohort, "
        "or mpp_from_objective: true where the objective power is known",
    )


def objective_power(properties: Mapping[str, str]) -> float | None:
    """The objective's magnification, or None where the file does not state a positive number."""
    value = _number(properties.get("openslide.objective-power", ""))
    return value if value and value > 0 else None


def read_rgb(handle: openslide.OpenSlide, *, x: int, y: int, level: int, width: int, height: int) -> np.ndarray:
    """Pixels of ``level`` as uint8 ``height`` × ``width`` × 3; ``x``, ``y`` in level-0 px, sizes in the level's px.

    What OpenSlide leaves transparent (outside the slide, missing tiles) is composited on white: ``convert("RGB")``
    would make it black. A level that does not exist raises, since OpenSlide would return transparency.
    """
    if not 0 <= level < handle.level_count:
        raise ValueError(f"Expected a level in 0..{handle.level_count - 1}, found {level}")
    rgba = np.asarray(handle.read_region((int(x), int(y)), level, (int(width), int(height))))
    alpha = rgba[..., 3:]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    opaque = alpha.astype(np.uint16)
    return ((rgba[..., :3] * opaque + 255 * (255 - opaque) + 127) // 255).astype(np.uint8)


def _why_unreadable(path: Path, head: bytes, said: str) -> str:
    """The true cause behind OpenSlide's message, from the file's first bytes."""
    if not head:
        return "empty file"
    if not head.strip(b"\0"):
        return "starts with zeros: a download that never finished"
    if head.startswith(TIFF_MAGIC):
        return _why_tiff_unreadable(path, said)
    if head.startswith(b"\xff\xd8\xff") or head.startswith(b"\x89PNG"):
        kind = "JPEG" if head.startswith(b"\xff") else "PNG"
        return f"a plain {kind}, not tiled: give it its own suffix and an mpp, and it is imported"
    if head.lstrip()[:1] in (b"<", b"{"):
        return (
            f'starts with "{head.lstrip()[:24].decode("latin-1").splitlines()[0]}": an answer of a server, not a slide'
        )
    return f"unknown format, starts with {head[:8].hex(' ')}"


def _why_tiff_unreadable(path: Path, said: str) -> str:
    try:
        if why := why_cut_short(path):
            return f"{why}; fetch it again"
        with tifffile.TiffFile(path) as tiff:
            if not tiff.pages[0].is_tiled:
                return "a TIFF that is not tiled: name it .tif and give an mpp, and it is imported"
    except (tifffile.TiffFileError, IndexError, ValueError):
        return "a TIFF cut short or damaged: its directory of images cannot be read"
    return said


def _colour(page: tifffile.TiffPage) -> str:
    """What is wrong with the page's colours, or nothing."""
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED:
        return "CMYK"
    if page.samplesperpixel not in (3, 4):
        return f"{page.samplesperpixel} channel{'s' if page.samplesperpixel > 1 else ''}"
    bits = page.bitspersample
    return "" if bits == 8 else f"{bits} bits per channel"


def _size(path: Path) -> str:
    return f"file has {path.stat().st_size:,} bytes"


def _number(text: object) -> float | None:
    """A finite number, with a decimal point or a decimal comma (European scanners), or None."""
    try:
        value = float(str(text).strip().replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _vendor_mpp(properties: Mapping[str, str], slide: str) -> float | None:
    """The scanner's own statement, or None where it makes none; OpenSlide's generic TIFF copies the TIFF tags."""
    if properties.get("openslide.vendor") == "generic-tiff":
        return None
    texts = [properties[key] for key in ("openslide.mpp-x", "openslide.mpp-y") if key in properties]
    # OpenSlide drops an Aperio MPP that is no number; saying nothing and saying nonsense are not the same.
    texts = texts or [properties[key] for key in ("aperio.MPP",) if key in properties]
    if not texts:
        return None
    values = [_number(text) for text in texts]
    for text, value in zip(texts, values, strict=True):
        if value is None or not is_mpp(value):
            said = f'"{text}"' if value is None else f"{value:g} um/px"
            raise SlideFault("S-MPP", f"{slide}: {said} outside {MPP_WORDS}; set mpp in slides.tsv")
    return _mean_of_axes(values, slide)


def _tiff_mpp(properties: Mapping[str, str], slide: str, warnings: list[str]) -> float | None:
    """Microns per pixel by the TIFF resolution and its unit, or None with the reason in ``warnings``."""
    densities = [_number(properties.get(f"tiff.{axis}Resolution", "")) for axis in "XY"]
    if None in densities or densities == [1.0, 1.0]:  # 1 per no unit is what writers put where they know nothing
        return None
    unit = properties.get("tiff.ResolutionUnit", "inch")  # the default of TIFF 6.0
    if unit not in MICRONS_PER_UNIT:
        warnings.append(f"TIFF resolution {densities[0]:g} has no unit of length and is not used")
        return None
    values = [MICRONS_PER_UNIT[unit] / density if density > 0 else 0.0 for density in densities]
    if not all(map(is_mpp, values)):
        warnings.append(f"TIFF resolution of {densities[0]:g} per {unit} is outside {MPP_WORDS} and is not used")
        return None
    return _mean_of_axes(values, slide)


def _mean_of_axes(values: list[float], slide: str) -> float:
    low, high = min(values), max(values)
    if high / low - 1 > AXES_AGREE:
        raise SlideFault("S-MPP", f"{slide}: {low:g} um/px on one axis, {high:g} on the other; set mpp in slides.tsv")
    return sum(values) / len(values)


def _disagreement(properties: Mapping[str, str], mpp: float) -> list[str]:
    """Warnings where the file's other statements contradict the resolution in use."""
    found = []
    stated = _number(properties.get("openslide.mpp-x", ""))
    if stated and stated > 0 and not 1 / 1.05 <= mpp / stated <= 1.05:
        found.append(f"mpp {mpp:g} is used, the file says {stated:g}")
    objective = objective_power(properties)
    if objective and not 1 / OBJECTIVE_AGREE <= mpp * objective / 10 <= OBJECTIVE_AGREE:
        found.append(f"mpp {mpp:g} does not fit the objective power {objective:g} (about {10 / objective:g})")
    return found

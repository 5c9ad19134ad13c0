"""What is known of a slide before any tile is cut: size, resolution, region, tissue, or why it is left out."""

import math
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import openslide

from histocarta.errors import InputError
from histocarta.files import replacing, write_json
from histocarta.progress import progress
from histocarta.slides import SlideFault, check_pixels, check_size, objective_power, open_slide, read_rgb, resolve_mpp
from histocarta.tissue import tissue_mask
from histocarta.versions import VERSION

LONGEST = 1024  # px of the thumbnail's longer side, at most
BLOCK = 1024  # level px read at once: a single-level slide of 20,000 px is 1.6 GB whole, 4 MB by blocks
UNREAD = 128  # grey of blocks that could not be read: neither glass nor tissue to any rule of whiteness


@dataclass(frozen=True)
class Region:
    """A rectangle in level-0 px."""

    x: int
    y: int
    width: int
    height: int


def survey_slide(
    *,
    file: str,
    survey: str,
    thumbnail: str,
    tissue: str,
    slide: str,
    patient: str,
    sheet_mpp: float | str | None,
    region: list | None,
    exclude: str | None,
    default_mpp: float | None,
    mpp_from_objective: bool,
) -> None:
    """Write a slide's record (``survey``, JSON), the RGB ``thumbnail`` and the ``tissue`` mask (255), both PNG.

    ``region`` is x, y, width, height in level-0 px, or None for the whole slide. A fault in the data gives status
    ``excluded`` with its code and reason, a thumbnail of one white pixel and an empty mask of the same size. Warnings
    (a resolution that is not measured, blocks that cannot be read …) stand in the record and in the log.
    """
    record = {"slide": slide, "patient": patient, "file": str(file or ""), "version": VERSION["survey"]}
    try:
        if exclude:
            raise SlideFault("S-SHEET", f"{slide}: excluded by slides.tsv: {exclude}")
        if not file:
            raise SlideFault("S-ABSENT", f"{slide}: no such file; put it where the slide sheet says, or exclude it")
        facts, rgb = _survey(
            file,
            slide=slide,
            sheet_mpp=None if sheet_mpp in (None, "") else float(sheet_mpp),
            region=region,
            default_mpp=default_mpp,
            mpp_from_objective=mpp_from_objective,
        )
        for warning in facts["warnings"]:
            print(f"{slide}: {warning}", file=sys.stderr)
        mask = tissue_mask(rgb)
        record |= {"status": "ok", "code": "", "reason": "", **facts, "tissue_share": float(mask.mean())}
    except SlideFault as fault:
        rgb, mask = np.full((1, 1, 3), 255, np.uint8), np.zeros((1, 1), bool)
        record |= {"status": "excluded", "code": fault.code, "reason": fault.reason, **_no_facts()}
    write_png(rgb, thumbnail)
    write_png(mask.astype(np.uint8) * 255, tissue)
    write_json(record, survey)


def write_png(pixels: np.ndarray, path: str | Path) -> None:
    """Write uint8 pixels, H×W or H×W×3 RGB, as PNG."""
    with replacing(path) as temporary:
        if not cv2.imwrite(str(temporary), pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)):
            raise OSError(f"Expected to write {path}, found that OpenCV could not")


def read_thumbnail(path: str | Path, *, region: Region, downsample: int) -> tuple[np.ndarray, int, int]:
    """The region at 1 / ``downsample``, uint8 H×W×3, by blocks; with the numbers of unreadable and of all blocks.

    Pixel (i, j) averages the level-0 px from (j, i) × downsample on. An error is final for an OpenSlide handle, so a
    new one is opened after each; what could not be read is grey. A block is at most a quarter of the region, so that
    one damaged tile does not take all of a small one.
    """
    shape = (math.ceil(region.height / downsample), math.ceil(region.width / downsample))
    rgb = np.full((*shape, 3), UNREAD, np.uint8)
    handle = open_slide(path)
    level = handle.get_best_level_for_downsample(downsample)
    high, wide = (_block_side(side, handle.level_downsamples[level], downsample) for side in shape)
    corners = [(top, left) for top in range(0, shape[0], high) for left in range(0, shape[1], wide)]
    unread = 0
    for top, left in progress(corners, total=len(corners), what=f"thumbnail of {Path(path).name}"):
        block = Region(left, top, min(wide, shape[1] - left), min(high, shape[0] - top))
        try:
            pixels = _read_block(handle, block, region=region, downsample=downsample, level=level)
        except openslide.OpenSlideError:
            unread += 1
            handle.close()
            handle = open_slide(path)
            continue
        rgb[top : top + block.height, left : left + block.width] = pixels
    handle.close()
    return rgb, unread, len(corners)


def _block_side(side: int, scale: float, downsample: int) -> int:
    """Thumbnail px of a block's side: half of the thumbnail's, at most BLOCK px of the level.

    Blocks start on whole pixels of the level: OpenSlide interpolates between two where they do not.
    """
    unit = round(scale) // math.gcd(round(scale), downsample)
    most = int(BLOCK * scale / downsample)
    return unit * max(1, min(math.ceil(side / 2 / unit), most // unit))


def _read_block(
    handle: openslide.OpenSlide, block: Region, *, region: Region, downsample: int, level: int
) -> np.ndarray:
    """A block of the thumbnail, given in its own px; the last pixel of a row averages what the region still holds."""
    scale = handle.level_downsamples[level]
    ratio = downsample / scale
    x, y = block.x * downsample, block.y * downsample
    height = _level_side(min(block.height * downsample, region.height - y), region.y + y, scale, handle, level, axis=1)
    width = _level_side(min(block.width * downsample, region.width - x), region.x + x, scale, handle, level, axis=0)
    pixels = read_rgb(handle, x=region.x + x, y=region.y + y, level=level, width=width, height=height)
    below, beside = round(block.height * ratio) - height, round(block.width * ratio) - width
    pixels = cv2.copyMakeBorder(pixels, 0, max(0, below), 0, max(0, beside), cv2.BORDER_REPLICATE)
    return cv2.resize(pixels, (block.width, block.height), interpolation=cv2.INTER_AREA)


def _level_side(side: int, start: int, scale: float, handle: openslide.OpenSlide, level: int, *, axis: int) -> int:
    """``side`` level-0 px in the level's px; without a last pixel that the level holds only a part of.

    Levels are rounded down and OpenSlide fades such a pixel out: it would draw a line of false texture on the edge.
    """
    found = max(1, round(side / scale))
    over = start / scale + found - handle.level_dimensions[level][axis]
    return found - 1 if 0 < over < 1 and found > 1 else found


def _survey(
    file: str,
    *,
    slide: str,
    sheet_mpp: float | None,
    region: list | None,
    default_mpp: float | None,
    mpp_from_objective: bool,
) -> tuple[dict, np.ndarray]:
    """The facts of a readable slide, and its thumbnail."""
    with open_slide(file) as handle:
        properties = dict(handle.properties)
        width, height = handle.dimensions
        downsamples = list(handle.level_downsamples)
    tile = tuple(int(properties.get(f"openslide.level[0].tile-{side}", 0)) for side in ("width", "height"))
    check_size(Path(file).name, width=width, height=height, tile=tile)
    check_pixels(file)
    resolution = resolve_mpp(
        properties,
        sheet_mpp=sheet_mpp,
        default_mpp=default_mpp,
        mpp_from_objective=mpp_from_objective,
        slide=slide,
    )
    warnings = list(resolution.warnings)
    area = _region(region, properties, width=width, height=height, slide=slide, warnings=warnings)
    downsample = math.ceil(max(area.width, area.height) / LONGEST)
    rgb, unread, blocks = read_thumbnail(file, region=area, downsample=downsample)
    if unread == blocks:
        raise SlideFault("S-READ", f"{slide}: opens, but none of its {blocks} blocks of pixels can be read")
    if unread:
        warnings.append(f"{unread} of {blocks} blocks of the thumbnail are unreadable")
    return {
        "width": width,
        "height": height,
        "mpp": resolution.mpp,
        "mpp_source": resolution.source,
        "objective": objective_power(properties),
        "x": area.x,
        "y": area.y,
        "region_width": area.width,
        "region_height": area.height,
        "level_downsamples": downsamples,
        "thumbnail_downsample": downsample,
        "vendor": properties.get("openslide.vendor", ""),
        # Recorded, never applied: all slides of a cohort are read the same way.
        "icc_profile": "openslide.icc-size" in properties,
        "warnings": warnings,
    }, rgb


def _region(
    region: list | None, properties: dict, *, width: int, height: int, slide: str, warnings: list[str]
) -> Region:
    """The sheet's region, else the scanned bounds that the vendor states (MIRAX, Hamamatsu), else the whole slide."""
    if region is None:
        keys = [f"openslide.bounds-{name}" for name in ("x", "y", "width", "height")]
        if all(key in properties for key in keys):
            return Region(*(int(properties[key]) for key in keys))
        return Region(0, 0, width, height)
    area = Region(*(int(value) for value in region))
    if area.width < 1 or area.height < 1:
        raise InputError(f"Expected a region x, y, width, height of at least 1 px for {slide}, found {list(region)}")
    if area.x >= width or area.y >= height or area.x + area.width <= 0 or area.y + area.height <= 0:
        raise SlideFault("S-REGION", f"{slide}: region {list(region)} lies outside the slide of {width} × {height} px")
    if area.x < 0 or area.y < 0 or area.x + area.width > width or area.y + area.height > height:
        warnings.append(f"region {list(region)} reaches beyond the slide of {width} × {height} px: white there")
    return area


def _no_facts() -> dict:
    """The keys of :func:`_survey` for a slide that has none, so that every record reads the same."""
    numbers = ("width", "height", "mpp", "objective", "x", "y", "region_width", "region_height", "thumbnail_downsample")
    return {
        **dict.fromkeys(numbers),
        "mpp_source": "",
        "vendor": "",
        "icc_profile": False,
        "level_downsamples": [],
        "warnings": [],
        "tissue_share": 0.0,
    }

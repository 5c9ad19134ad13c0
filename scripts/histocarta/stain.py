"""What a slide's colours are, whether the estimate can be trusted, and how its tiles are moved to the reference's.

An estimate is made once per slide, on a seeded sample of its tissue, and applied to all its tiles.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from openslide import OpenSlideError
from PIL import Image

from histocarta.cielab import lab_to_rgb, rgb_to_lab
from histocarta.dyes import (
    HAEMATOXYLIN_EOSIN,
    LIGHT,
    StainFault,
    degrees_between,
    macenko_matrix,
    max_concentrations,
    optical_density,
    tissue_pixels,
    vahadane_matrix,
)
from histocarta.errors import InputError, nearest
from histocarta.files import read_json, write_json
from histocarta.quality import pen_share
from histocarta.slides import open_slide, read_rgb
from histocarta.versions import VERSION

MIN_PIXELS = 10_000  # 2,500 µm² at 0.5 µm per pixel: some 40 nuclei
MIN_ANGLE = 10.0  # degrees between the dyes: H&E has 15 to 29 per tile (her2st), one dye and 4 levels of noise up to 9
MAX_TURN = 35.0  # degrees between a dye and the reference's: up to 23 per tile (her2st), 30 for Ruifrok's eosin
MAX_GAIN = 5.0  # how much weaker, or less varied, than the reference: beyond it noise is what would be amplified

WINDOWS = 64  # places read per slide
MAX_WINDOW = 256  # their side, pixels
MIN_WINDOW_TISSUE = 0.25
PIXELS = 200_000  # sampled per slide: the first percentile then rests on 2,000

# The concentrations of Macenko's published code (mitkovetta/staining-normalization), which torchstain ships too.
DYES = {"stain_matrix": [list(dye) for dye in HAEMATOXYLIN_EOSIN], "max_concentrations": [1.9705, 1.0308]}
# CIELAB of the tissue of OpenSlide's CMU-1-Small-Region.svs (CC0, 0.5 µm per pixel) brought to DYES: one look for all.
LAB = {"means": [63.2, 20.2, -8.3], "stds": [16.6, 6.8, 5.1]}

Normaliser = Callable[[np.ndarray], np.ndarray]


def macenko(rgb: np.ndarray) -> np.ndarray:
    """Normalise one picture by its own estimate, as torchstain does (equal within one grey level).

    Unlike torchstain, an estimate that must not be used raises :class:`StainFault`.
    """
    return _mixed_anew(_dyes(rgb, matrix=macenko_matrix(rgb)))(rgb)


def reinhard(rgb: np.ndarray) -> np.ndarray:
    """Normalise one picture by its own CIELAB moments (Reinhard 2001), as torchstain does; else as :func:`macenko`."""
    return _lab_move(_lab(rgb))(rgb.reshape(-1, 3)).reshape(rgb.shape)


def estimate(rgb: np.ndarray, *, method: str) -> dict[str, Any]:
    """The record of a slide from its tissue pixels ``rgb`` (N × 3): what :func:`normaliser` needs, status and reason.

    Status ``fallback`` means that the slide keeps its own colours: too little tissue (N-TISSUE), one dye only
    (N-ONEDYE), dyes that are no haematoxylin and eosin (N-COLOUR), or colour so weak that noise would be amplified
    (N-WEAK).
    """
    record = {"method": method, "status": "ok", "code": "", "reason": "", "pixels": len(rgb)}
    try:
        if len(rgb) < MIN_PIXELS:
            raise StainFault("N-TISSUE", f"{len(rgb):,} pixels of tissue, need {MIN_PIXELS:,}")
        return record | METHODS[method][0](rgb)
    except StainFault as fault:
        return record | {"status": "fallback", "code": fault.code, "reason": fault.reason}


def normaliser(record: Mapping[str, Any]) -> Normaliser:
    """What moves a picture (uint8 H × W × 3) of the record's slide to the reference's colours, pixel by pixel.

    A record that is not ``ok`` gives back the picture itself.
    """
    if record["status"] != "ok":
        return lambda rgb: rgb
    return METHODS[record["method"]][1](record)


def estimate_stain(
    *, file: str, survey: str, tissue: str, stain: str, method: str, size: int, mpp: float, max_pen: float, seed: int
) -> None:
    """Estimate the colours of the slide ``file`` once and write the record ``stain`` (JSON).

    ``survey`` is the slide's record, ``tissue`` its mask (PNG, 255 = tissue). Up to 64 windows of tissue are read at
    ``mpp`` µm per pixel, none wider than a tile of ``size`` pixels and none with more than ``max_pen`` of ink.
    """
    if method not in METHODS:
        known = ", ".join(METHODS)
        raise InputError(f"Expected one of the methods {known}, found '{method}'{nearest(method, METHODS)}")
    slide = read_json(survey)
    record = {"method": method, "status": "excluded", "code": slide["code"], "reason": slide["reason"], "pixels": 0}
    if slide["status"] == "ok":
        with Image.open(tissue) as picture:
            mask = np.asarray(picture) > 0
        side = min(size, MAX_WINDOW)
        pixels = sample_tissue(file, slide, mask=mask, side=side, mpp=mpp, max_pen=max_pen, seed=seed)
        record = estimate(pixels, method=method)
    write_json({"slide": slide["slide"], **record, "version": VERSION["stain"]}, stain)


def sample_tissue(
    file: str, slide: Mapping[str, Any], *, mask: np.ndarray, side: int, mpp: float, max_pen: float, seed: int
) -> np.ndarray:
    """Tissue pixels (N × 3, at most 200,000) of a surveyed slide, evenly from up to 64 windows of ``side`` pixels."""
    step = min(side * mpp / slide["mpp"], slide["region_width"], slide["region_height"])
    rows, columns = int(slide["region_height"] // step), int(slide["region_width"] // step)
    reach = step / slide["thumbnail_downsample"]
    covered = mask[: max(1, round(rows * reach)), : max(1, round(columns * reach))].astype(np.float32)
    share = cv2.resize(covered, (columns, rows), interpolation=cv2.INTER_AREA)
    rng = np.random.default_rng(seed)
    corners = rng.permutation(np.argwhere(share >= MIN_WINDOW_TISSUE))[:WINDOWS] * step
    each = -(-PIXELS // max(len(corners), 1))
    found = [np.empty((0, 3), np.uint8)]
    for window in _windows(file, slide, corners=corners, step=step, side=side):
        if pen_share(window) <= max_pen:
            found.append(rng.permutation(tissue_pixels(window))[:each])
    return np.concatenate(found)[:PIXELS]


def _windows(
    file: str, slide: Mapping[str, Any], *, corners: np.ndarray, step: float, side: int
) -> Iterator[np.ndarray]:
    """The windows whose ``corners`` (row, column) are given in level-0 px of the region, at ``side`` pixels or coarser.

    An error is final for an OpenSlide handle: the window is left out and the slide opened again.
    """
    downsamples = np.array(slide["level_downsamples"])
    # One per cent: pyramids of odd sizes have levels at 4.0003.
    level = int(np.flatnonzero(downsamples <= max(1.01 * step / side, downsamples[0]))[-1])
    width = max(1, round(step / downsamples[level]))
    handle = open_slide(file)
    for top, left in corners.tolist():
        x, y = round(slide["x"] + left), round(slide["y"] + top)
        try:
            window = read_rgb(handle, x=x, y=y, level=level, width=width, height=width)
        except OpenSlideError:
            handle.close()
            handle = open_slide(file)
            continue
        # A percentile depends on how far pixels are averaged, so the estimate sees the tiles' own resolution.
        yield cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA) if width > side else window
    handle.close()


def _dyes(rgb: np.ndarray, *, matrix: np.ndarray) -> dict[str, Any]:
    """The record of two dyes, or StainFault where they cannot be haematoxylin and eosin in use."""
    apart = degrees_between(*matrix)
    if apart < MIN_ANGLE:
        raise StainFault("N-ONEDYE", f"the two dyes are {apart:.1f} degrees apart, need {MIN_ANGLE:g}: one dye only")
    for name, dye, expected in zip(("haematoxylin", "eosin"), matrix, HAEMATOXYLIN_EOSIN, strict=True):
        if (turn := degrees_between(dye, np.array(expected))) > MAX_TURN:
            raise StainFault("N-COLOUR", f"{name} is {turn:.0f} degrees from the reference's, at most {MAX_TURN:g}")
    maxima = max_concentrations(rgb, matrix)
    _refuse_gain("maximum concentrations of haematoxylin, eosin", maxima, DYES["max_concentrations"])
    return {"stain_matrix": matrix.tolist(), "max_concentrations": maxima.tolist(), "reference": DYES}


def _lab(rgb: np.ndarray) -> dict[str, Any]:
    """The record of a picture's CIELAB moments, or StainFault where one of them hardly varies."""
    lab = rgb_to_lab(rgb.reshape(-1, 3))
    means, stds = lab.mean(axis=0), lab.std(axis=0)
    _refuse_gain("deviations of L, a, b", stds, LAB["stds"])
    return {"means": means.tolist(), "stds": stds.tolist(), "reference": LAB}


def _refuse_gain(what: str, found: np.ndarray, wanted: list[float]) -> None:
    if np.any(found * MAX_GAIN < wanted):
        shown = ", ".join(f"{value:.2f}" for value in found)
        raise StainFault("N-WEAK", f"{what}: {shown}, over {MAX_GAIN:g} times under the reference's")


def _mixed_anew(record: Mapping[str, Any]) -> Normaliser:
    """Unmix, rescale and mix with the reference dyes: together one 3 × 3 matrix on optical densities."""
    reference = record["reference"]
    gain = np.divide(reference["max_concentrations"], record["max_concentrations"])
    mix = np.linalg.pinv(record["stain_matrix"]) @ np.diag(gain) @ np.array(reference["stain_matrix"])
    mix = np.ascontiguousarray(-mix.T, np.float32)

    def paint(rgb: np.ndarray) -> np.ndarray:
        light = cv2.transform(optical_density(rgb), mix)
        cv2.exp(light, light)
        # The published code cuts fractions off; OpenCV rounds, hence half a level less.
        return cv2.convertScaleAbs(light, alpha=LIGHT, beta=-0.5)

    return paint


def _lab_move(record: Mapping[str, Any]) -> Normaliser:
    """Colours (N × 3) to colours: L, a and b standardised and given the reference's means and deviations.

    Glass is moved with the rest, as in the published method: it takes on a tint where the slide's mean does.
    """
    reference = record["reference"]
    gain = np.divide(reference["stds"], record["stds"])
    shift = np.array(reference["means"]) - gain * record["means"]
    return lambda colours: lab_to_rgb(rgb_to_lab(colours) * gain + shift)


def _remembering(move: Normaliser) -> Normaliser:
    """``move`` (colours N × 3 to colours), worked out once per colour: a slide's tiles share most of theirs.

    The table has a place for each of the 2^24 colours: 64 MiB.
    """
    table = np.zeros(1 << 24, np.uint32)

    def paint(rgb: np.ndarray) -> np.ndarray:
        # Little-endian RGBA of alpha 0 is the colour's place in the table; there, alpha 0 means not worked out yet.
        place = cv2.cvtColor(rgb, cv2.COLOR_RGB2RGBA).view("<u4")[..., 0] & 0xFFFFFF
        moved = table.take(place)
        unknown = moved == 0
        if unknown.any():
            new = np.unique(place[unknown])
            colours = move(new.view(np.uint8).reshape(-1, 4)[:, :3])
            table[new] = cv2.cvtColor(colours[None], cv2.COLOR_RGB2RGBA).view("<u4")[0, :, 0]
            moved[unknown] = table.take(place[unknown])
        return cv2.cvtColor(moved.view(np.uint8).reshape(*rgb.shape[:2], 4), cv2.COLOR_RGBA2RGB)

    return paint


# By method: pixels to record, record to normaliser.
METHODS: dict[str, tuple[Callable[[np.ndarray], dict[str, Any]], Callable[[Mapping[str, Any]], Normaliser]]] = {
    "macenko": (lambda rgb: _dyes(rgb, matrix=macenko_matrix(rgb)), _mixed_anew),
    "vahadane": (lambda rgb: _dyes(rgb, matrix=vahadane_matrix(rgb)), _mixed_anew),
    "reinhard": (_lab, lambda record: _remembering(_lab_move(record))),
}

"""How two latent fields look under the microscope: the mapping from planted biology to H&E pixels.

Field ``A`` drives nuclei (number, size, chromatin), field ``B`` turns pale glandular epithelium into eosinophilic
fibrous stroma. Colour follows Beer-Lambert with two stains (Ruifrok & Johnston 2001; Macenko 2009), so the stain
vectors of a slide are a truth that normalisers can be measured against. Lengths are in µm; ``mpp`` turns them into px.
"""

from dataclasses import dataclass

import cv2
import numpy as np

Image = np.ndarray  # float32 (height, width) or uint8 (height, width, 3)

# Optical density of R, G, B: haematoxylin of Ruifrok & Johnston 2001, eosin of Macenko 2009's implementation.
HAEMATOXYLIN = (0.650, 0.704, 0.286)
EOSIN = (0.2159, 0.8012, 0.5581)
PEN_INKS = {"green": (40, 150, 70), "blue": (30, 90, 185)}  # RGB of the solid ink


@dataclass(frozen=True)
class Stain:
    """A slide's two stain vectors (unit length, OD space) and how strongly each was taken up."""

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    haematoxylin_strength: float
    eosin_strength: float


def draw_stain(rng: np.random.Generator, *, uptake: tuple[float, float] = (1.0, 1.0)) -> Stain:
    """A laboratory's day: stain vectors a few degrees from the reference, uptake within about ±25 % of its habit.

    uptake : the laboratory's habit for haematoxylin and eosin, times the usual.
    """
    vectors = []
    for reference in (HAEMATOXYLIN, EOSIN):
        vector = np.asarray(reference) + rng.normal(0, 0.025, 3)
        vectors.append(tuple(float(value) for value in vector / np.linalg.norm(vector)))
    strengths = np.exp(rng.normal(0, 0.10, 2))
    return Stain(vectors[0], vectors[1], float(strengths[0]) * uptake[0], float(strengths[1]) * uptake[1])


def smooth_noise(rng: np.random.Generator, *, shape: tuple[int, int], length: float) -> Image:
    """Gaussian random field of unit variance, float32; ``length`` is the smoothing sigma in px.

    Drawn on a lattice of ``length / 3`` px and enlarged: the field holds nothing finer, and large sigmas cost little.
    """
    step = max(1.0, length / 3)
    coarse = tuple(int(np.ceil(side / step)) + 2 for side in shape)
    field = cv2.GaussianBlur(rng.standard_normal(coarse).astype(np.float32), (0, 0), length / step)
    size = (int(np.ceil(coarse[1] * step)), int(np.ceil(coarse[0] * step)))
    field = cv2.resize(field, size, interpolation=cv2.INTER_CUBIC)[: shape[0], : shape[1]]
    return (field - field.mean()) / max(float(field.std()), 1e-6)


def tissue_outline(rng: np.random.Generator, *, side: int, rim: float, mpp: float) -> Image:
    """Soft tissue mask (0..1) of a square slide of ``side`` px: a rounded square, torn edge, ``rim`` px of glass."""
    axis = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / (side / 2 - rim)
    radius = (np.abs(axis[:, None]) ** 5 + np.abs(axis[None, :]) ** 5) ** 0.2
    waves = 0.035 * smooth_noise(rng, shape=(side, side), length=25 / mpp)
    fray = 0.012 * smooth_noise(rng, shape=(side, side), length=3 / mpp)
    return np.clip((1.0 + waves + fray - radius) / 0.02, 0, 1)


def fibres(rng: np.random.Generator, *, shape: tuple[int, int], mpp: float, angle: float) -> Image:
    """Wavy fibre texture of unit variance: noise drawn out along ``angle`` (radians) and smoothly bent."""
    height, width = shape
    span = int(1.6 * max(shape))
    streaks = cv2.GaussianBlur(
        rng.standard_normal((span, span)).astype(np.float32), (0, 0), sigmaX=14 / mpp, sigmaY=0.9 / mpp
    )
    streaks = (streaks - streaks.mean()) / streaks.std()
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = 7 / mpp * smooth_noise(rng, shape=shape, length=22 / mpp)
    along = np.cos(angle) * (x - width / 2) + np.sin(angle) * (y - height / 2) + span / 2
    across = -np.sin(angle) * (x - width / 2) + np.cos(angle) * (y - height / 2) + span / 2 + bend
    along, across = along.astype(np.float32), across.astype(np.float32)
    return cv2.remap(streaks, along, across, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def paint_tissue(*, field_a: Image, field_b: Image, mask: Image, mpp: float, rng: np.random.Generator) -> np.ndarray:
    """Concentrations of haematoxylin and eosin, float32 (height, width, 2), for fields in 0..1 of the same shape."""
    shape = mask.shape
    angle = rng.uniform(0, np.pi)
    texture = fibres(rng, shape=shape, mpp=mpp, angle=angle)
    patchy = smooth_noise(rng, shape=shape, length=4 / mpp)
    fine = smooth_noise(rng, shape=shape, length=0.8 / mpp)
    collagen = np.clip(10 * (field_b - 0.5) + 0.8 * patchy, -30, 30)
    collagen = 1 / (1 + np.exp(-collagen))
    fibrous = np.clip(0.80 + 0.30 * texture, 0.25, None) * np.clip((texture + 1.45) / 0.35, 0.05, 1)
    epithelial = 0.42 + 0.07 * patchy
    eosin = collagen * fibrous + (1 - collagen) * epithelial
    haematoxylin = collagen * 0.04 + (1 - collagen) * (0.19 + 0.04 * patchy)
    layers = np.stack([haematoxylin, eosin], axis=-1) * (1 + 0.09 * fine[..., None])
    layers = layers.astype(np.float32)
    glands = _place_glands(field_b, mpp=mpp, rng=rng)
    for gland in glands:
        _carve_gland(layers, gland, patchy, mpp=mpp)
    for nucleus in _place_nuclei(field_a, collagen, glands, angle=angle, mpp=mpp, rng=rng):
        _stamp_nucleus(layers, nucleus, fine, mpp=mpp)
    return np.clip(layers, 0, None) * mask[..., None]


def develop(layers: np.ndarray, *, stain: Stain, mpp: float, rng: np.random.Generator) -> Image:
    """RGB uint8 of stain concentrations by Beer-Lambert, with the blur of the optics, lamp tint and sensor noise."""
    layers = cv2.GaussianBlur(layers, (0, 0), 0.3 / mpp)
    vectors = np.array([stain.haematoxylin, stain.eosin], np.float32)
    strengths = np.array([stain.haematoxylin_strength, stain.eosin_strength], np.float32)
    lamp = np.float32(243) + rng.normal(0, 1.0, 3).astype(np.float32)
    rgb = lamp * np.exp(-(layers * strengths) @ vectors)
    rgb += rng.standard_normal(rgb.shape, dtype=np.float32) * np.float32(1.2)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def draw_pen(rgb: Image, *, colour: str, mpp: float, rng: np.random.Generator) -> tuple[Image, np.ndarray]:
    """``rgb`` with a felt-pen stroke across it, and the boolean mask of the ink."""
    side = rgb.shape[0]
    start, end = rng.uniform(0.2, 0.4) * side, rng.uniform(0.6, 0.8) * side
    x = np.linspace(0.05 * side, 0.95 * side, 60)
    y = np.interp(x, [0, side], [start, end]) + 0.05 * side * np.sin(x / side * 7)
    ink = np.zeros(rgb.shape[:2], np.float32)
    points = np.stack([x, y], axis=-1).round().astype(np.int32)[None]
    cv2.polylines(ink, points, False, 1.0, round(22 / mpp), cv2.LINE_AA)
    opacity = 0.88 * cv2.GaussianBlur(ink, (0, 0), 0.6 / mpp)[..., None]
    inked = rgb * (1 - opacity) + opacity * (np.array(PEN_INKS[colour], np.float32) * (0.75 + 0.25 * rgb / 255))
    return np.clip(np.rint(inked), 0, 255).astype(np.uint8), ink > 0.5


def blur_right_half(rgb: Image, *, mpp: float) -> tuple[Image, np.ndarray]:
    """``rgb`` with its right half out of focus (sigma 3 µm), and the boolean mask of that half."""
    blurred = rgb.copy()
    middle = rgb.shape[1] // 2
    blurred[:, middle:] = cv2.GaussianBlur(rgb, (0, 0), 3.0 / mpp)[:, middle:]
    mask = np.zeros(rgb.shape[:2], bool)
    mask[:, middle:] = True
    return blurred, mask


@dataclass(frozen=True)
class _Gland:
    x: float  # px
    y: float
    lumen: float  # radius, px
    wall: float  # thickness, px


@dataclass(frozen=True)
class _Nucleus:
    x: float  # px
    y: float
    major: float  # semi-axes, px
    minor: float
    angle: float
    chromatin: float  # haematoxylin concentration


def _jittered_lattice(rng: np.random.Generator, *, shape: tuple[int, int], pitch: float, jitter: float) -> np.ndarray:
    """Points (n, 2) as x, y on a hexagonal lattice of ``pitch`` px, each moved by up to ``jitter`` pitches."""
    rows = np.arange(0, shape[0] + pitch, pitch * 0.87)
    columns = np.arange(0, shape[1] + pitch, pitch)
    x = columns[None, :] + np.where(np.arange(len(rows)) % 2, pitch / 2, 0.0)[:, None]
    points = np.stack([x, np.broadcast_to(rows[:, None], x.shape)], axis=-1).reshape(-1, 2)
    points = points + rng.uniform(-jitter, jitter, points.shape) * pitch
    inside = (points >= 0).all(axis=1) & (points[:, 0] < shape[1] - 1) & (points[:, 1] < shape[0] - 1)
    return points[inside]


def _place_glands(field_b: Image, *, mpp: float, rng: np.random.Generator) -> list[_Gland]:
    points = _jittered_lattice(rng, shape=field_b.shape, pitch=40 / mpp, jitter=0.13)
    epithelial = field_b[points[:, 1].astype(int), points[:, 0].astype(int)] < 0.45
    return [
        _Gland(x, y, lumen=rng.uniform(4.0, 7.0) / mpp, wall=rng.uniform(8.0, 9.5) / mpp)
        for x, y in points[epithelial]
        if rng.uniform() < 0.9
    ]


def _window(shape: tuple[int, ...], x: float, y: float, reach: float) -> tuple[slice, slice, np.ndarray, np.ndarray]:
    """The part of an image within ``reach`` px of a point, and that part's x and y offsets from the point."""
    rows = slice(max(0, int(y - reach)), min(shape[0], int(y + reach) + 2))
    columns = slice(max(0, int(x - reach)), min(shape[1], int(x + reach) + 2))
    dy = (np.arange(rows.start, rows.stop, dtype=np.float32) - y)[:, None]
    dx = (np.arange(columns.start, columns.stop, dtype=np.float32) - x)[None, :]
    return rows, columns, dx, dy


def _carve_gland(layers: np.ndarray, gland: _Gland, patchy: Image, *, mpp: float) -> None:
    """Open an irregular pale lumen with a dense apical border in a collar of cytoplasm."""
    outer = gland.lumen + gland.wall
    rows, columns, dx, dy = _window(layers.shape, gland.x, gland.y, 1.4 * outer)
    distance = np.hypot(dx, dy) * (1 + 0.10 * patchy[rows, columns])
    lumen = np.clip((gland.lumen - distance) * mpp / 0.8 + 0.5, 0, 1)
    collar = np.clip((outer - distance) * mpp / 1.5 + 0.5, 0, 1) - lumen
    border = np.exp(-(((distance - gland.lumen) * mpp / 0.9) ** 2))
    part = layers[rows, columns]
    part[..., 0] = part[..., 0] * (1 - lumen) + 0.06 * collar + 0.01 * lumen
    part[..., 1] = part[..., 1] * (1 - lumen) + 0.06 * collar + 0.25 * border + 0.05 * lumen


def _place_nuclei(
    field_a: Image, collagen: Image, glands: list[_Gland], *, angle: float, mpp: float, rng: np.random.Generator
) -> list[_Nucleus]:
    """Nuclei between the glands, as many and as large as field ``A`` says, and one ring of them round every lumen."""
    nuclei = []
    points = _jittered_lattice(rng, shape=field_a.shape, pitch=8.6 / mpp, jitter=0.27)
    if glands:
        centres = np.array([(gland.x, gland.y) for gland in glands])
        reach = np.array([gland.lumen + gland.wall for gland in glands])
        distance = np.hypot(*(points[:, None, :] - centres[None, :, :]).transpose(2, 0, 1))
        points = points[(distance > reach).all(axis=1)]
    for x, y in points:
        crowding = float(field_a[int(y), int(x)])
        if rng.uniform() < 0.12 + 0.68 * crowding:
            spindle = rng.uniform() < collagen[int(y), int(x)]
            nuclei.append(_draw_nucleus(x, y, crowding, angle if spindle else None, mpp=mpp, rng=rng))
    for gland in glands:
        nuclei.extend(_ring(gland, field_a, mpp=mpp, rng=rng))
    return nuclei


def _ring(gland: _Gland, field_a: Image, *, mpp: float, rng: np.random.Generator) -> list[_Nucleus]:
    """Basal nuclei of a gland; crowded (more of them, larger) where field ``A`` is high."""
    height, width = field_a.shape
    crowding = float(field_a[int(gland.y), int(gland.x)])
    radius = gland.lumen + 0.68 * gland.wall
    count = max(5, round(2 * np.pi * radius * mpp / (11.0 - 3.5 * crowding)))
    ring = []
    for turn in 2 * np.pi * (np.arange(count) + rng.uniform(-0.25, 0.25, count)) / count:
        x, y = gland.x + radius * np.cos(turn), gland.y + radius * np.sin(turn)
        if 0 <= x < width - 1 and 0 <= y < height - 1:
            ring.append(_draw_nucleus(x, y, float(field_a[int(y), int(x)]), turn, mpp=mpp, rng=rng))
    return ring


def _draw_nucleus(
    x: float, y: float, crowding: float, along: float | None, *, mpp: float, rng: np.random.Generator
) -> _Nucleus:
    """A nucleus of 2.2 µm (``A`` = 0) to 4.1 µm (``A`` = 1) radius; a spindle where the angle ``along`` is given."""
    radius = (2.2 + 1.9 * crowding) * np.exp(rng.normal(0, 0.12)) / mpp
    stretch = rng.uniform(1.5, 2.3) if along is not None else rng.uniform(1.0, 1.35)
    angle = along + rng.normal(0, 0.2) if along is not None else rng.uniform(0, np.pi)
    chromatin = (0.95 + 0.45 * crowding) * np.exp(rng.normal(0, 0.10))
    return _Nucleus(x, y, radius * np.sqrt(stretch), radius / np.sqrt(stretch), angle, chromatin)


def _stamp_nucleus(layers: np.ndarray, nucleus: _Nucleus, fine: Image, *, mpp: float) -> None:
    """Add one nucleus: chromatin with clumps, a darker membrane, and less eosin than the cytoplasm it displaces."""
    rows, columns, dx, dy = _window(layers.shape, nucleus.x, nucleus.y, 1.25 * nucleus.major)
    cosine, sine = np.cos(nucleus.angle), np.sin(nucleus.angle)
    clumps = fine[rows, columns]
    distance = np.hypot((cosine * dx + sine * dy) / nucleus.major, (cosine * dy - sine * dx) / nucleus.minor)
    body = np.clip((1 - distance) * (nucleus.minor * mpp / 0.5), 0, 1)
    membrane = np.exp(-(((distance - 0.86) / 0.16) ** 2))
    chromatin = nucleus.chromatin * (0.80 + 0.16 * clumps + 0.30 * membrane)
    part = layers[rows, columns]
    part[..., 0] = part[..., 0] * (1 - body) + np.clip(chromatin, 0.2, None) * body
    part[..., 1] *= 1 - 0.55 * body

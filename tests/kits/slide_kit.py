"""Slides made to measure for tests: Aperio SVS by tifffile, with chosen tags, levels and damage."""

from pathlib import Path

import cv2
import numpy as np
import tifffile

GLASS = (243, 243, 243)
EOSIN = (200, 132, 175)  # pink stroma, no channel near the published rules' 220
NUCLEI = (92, 60, 140)  # haematoxylin


def he_like(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Textured pink stroma with purple nuclei, uint8 H×W×3, everywhere."""
    rng = np.random.default_rng(seed)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (height, width)).astype(np.float32), (0, 0), 2)
    grain /= grain.std()
    rgb = np.array(EOSIN, np.float32) + 9 * grain[..., None]
    for y, x in zip(
        rng.integers(0, height, height * width // 600), rng.integers(0, width, height * width // 600), strict=True
    ):
        cv2.ellipse(rgb, (int(x), int(y)), (5, 4), float(rng.uniform(0, 180)), 0, 360, [float(c) for c in NUCLEI], -1)
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def slide_pixels(height: int, width: int, *, seed: int = 0) -> np.ndarray:
    """Glass with tissue in the left half, uint8 H×W×3."""
    rgb = np.full((height, width, 3), GLASS, np.uint8)
    rgb[:, : width // 2] = he_like(height, width // 2, seed=seed)
    return rgb


def write_svs(
    path: Path,
    rgb: np.ndarray,
    *,
    mpp: str | None = "0.5",
    objective: str | None = "20",
    levels: tuple[int, ...] = (1, 4),
    tile: int = 256,
    icc: bytes | None = None,
    compression: str = "jpeg",
) -> Path:
    """Write ``rgb`` as a tiled Aperio SVS (jpeg, aperio_jp2000_rgb) whose level i is reduced ``levels[i]`` times."""
    height, width = rgb.shape[:2]
    words = [f"Aperio Image Library v11.2.1\r\n{width}x{height} [0,0 {width}x{height}] ({tile}x{tile}) JPEG/RGB Q=90"]
    words += [f"AppMag = {objective}"] if objective is not None else []
    words += [f"MPP = {mpp}"] if mpp is not None else []
    with tifffile.TiffWriter(path) as tiff:
        for number, factor in enumerate(levels):
            size = (max(1, width // factor), max(1, height // factor))
            level = rgb if factor == 1 else cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
            tiff.write(
                level,
                tile=(tile, tile),
                photometric="rgb" if rgb.ndim == 3 else "minisblack",
                compression=compression,
                compressionargs={"level": 90},
                subfiletype=0 if number == 0 else 1,
                description="|".join(words),
                metadata=None,
                iccprofile=icc if number == 0 else None,
            )
    return path


def tile_bytes(path: Path, *, page: int, tile: int) -> tuple[int, int, int]:
    """Where a tile lies in the file: its first byte, its length, and where the length itself is stored."""
    with tifffile.TiffFile(path) as tiff:
        found = tiff.pages[page]
        counts = found.tags["TileByteCounts"]
        size = counts.valueoffset + tile * {3: 2, 4: 4, 16: 8}[int(counts.dtype)]
        return found.dataoffsets[tile], found.databytecounts[tile], size


def say(path: Path, **tags: int) -> Path:
    """Overwrite tags of the first page, such as ImageWidth: what a file says need not be what it holds."""
    with tifffile.TiffFile(path) as tiff:
        found = {name: tiff.pages[0].tags[name] for name in tags}
    with path.open("r+b") as stream:
        for name, value in tags.items():
            stream.seek(found[name].valueoffset)
            stream.write(value.to_bytes(found[name].valuebytecount, "little"))
    return path


def damage_tile(path: Path, *, page: int, tile: int) -> None:
    """Overwrite a JPEG tile's header, so that reading it is an error."""
    start, count, _ = tile_bytes(path, page=page, tile=tile)
    with path.open("r+b") as stream:
        stream.seek(start)
        stream.write(b"\xa5" * min(count, 400))


def empty_tile(path: Path, *, page: int, tile: int) -> None:
    """Set a tile's length to 0: a sparse tile, which OpenSlide returns as transparent."""
    _, _, size = tile_bytes(path, page=page, tile=tile)
    with tifffile.TiffFile(path) as tiff:
        width = {3: 2, 4: 4, 16: 8}[int(tiff.pages[page].tags["TileByteCounts"].dtype)]
    with path.open("r+b") as stream:
        stream.seek(size)
        stream.write(b"\0" * width)

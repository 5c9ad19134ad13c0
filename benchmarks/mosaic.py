"""Two whole slides for benchmarks: a mosaic of four real H&E sections (her2st) as a "20x" and a "40x" tiled-JPEG SVS.

    REAL_DATA=<folder> python benchmarks/mosaic.py <folder to write>

256 px tiles, quality 80, 4:2:0, levels 1/4/16, as TCGA's. The 40x slide holds the same pixels called 0.25 um, so it is
denser than a true one. Beside each lies what the survey says of it.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
import tifffile
from histocarta.survey import survey_slide

SECTIONS = (("B4", "C2"), ("C3", "C4"))
LEVELS, TILE = (1, 4, 16), 256


def slides_in(folder: Path, *, data: Path) -> list[Path]:
    """The 20x and the 40x slide in ``folder``, written if need be, by a process whose 2 GB go with it."""
    folder.mkdir(exist_ok=True)
    slides = [folder / "20x.svs", folder / "40x.svs"]
    if not all(path.with_suffix(".json").exists() for path in slides):
        environment = os.environ | {"REAL_DATA": str(data)}
        command = [sys.executable, __file__, str(folder)]
        subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
    return slides


def write_slides(data: Path, folder: Path) -> None:
    """The two slides and what the survey says of them."""
    files = [[(data / "her2st" / "images" / f"{name}.jpg").read_bytes() for name in row] for row in SECTIONS]
    sizes = [simplejpeg.decode_jpeg_header(file)[:2] for row in files for file in row]
    height, width = (min(side) for side in zip(*sizes, strict=True))
    mosaic = np.empty((2 * height, 2 * width, 3), np.uint8)
    for row, names in enumerate(files):
        for column, file in enumerate(names):
            place = mosaic[row * height : (row + 1) * height, column * width : (column + 1) * width]
            place[:] = simplejpeg.decode_jpeg(file)[:height, :width]
    sizes = [(mosaic.shape[1] // factor, mosaic.shape[0] // factor) for factor in LEVELS]
    images = [mosaic] + [cv2.resize(mosaic, size, interpolation=cv2.INTER_AREA) for size in sizes[1:]]
    jpegs = [list(jpeg_tiles(image)) for image in images]
    for objective in (20, 40):
        path = folder / f"{objective}x.svs"
        with tifffile.TiffWriter(path) as tiff:
            for number, image in enumerate(images):
                tiff.write(
                    iter(jpegs[number]),
                    shape=image.shape,
                    dtype=np.uint8,
                    tile=(TILE, TILE),
                    photometric="ycbcr",
                    compression="jpeg",
                    subsampling=(2, 2),
                    subfiletype=int(number > 0),
                    description=f"Aperio Image Library v11.2.1|AppMag = {objective}|MPP = {10 / objective}",
                    metadata=None,
                )
        outputs = {"survey": "json", "thumbnail": "thumbnail.png", "tissue": "tissue.png"}
        survey_slide(
            file=str(path),
            slide=path.stem,
            patient="mosaic",
            sheet_mpp=None,
            region=None,
            exclude=None,
            default_mpp=None,
            mpp_from_objective=False,
            **{name: str(path.with_suffix(f".{suffix}")) for name, suffix in outputs.items()},
        )


def jpeg_tiles(image: np.ndarray) -> Iterator[bytes]:
    """The image's tiles row by row, those on the edges filled up with their last pixels."""
    for top in range(0, image.shape[0], TILE):
        for left in range(0, image.shape[1], TILE):
            tile = image[top : top + TILE, left : left + TILE]
            missing = [(0, TILE - side) for side in tile.shape[:2]]
            tile = np.pad(tile, [*missing, (0, 0)], mode="edge")
            yield simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=80, colorsubsampling="420")


if __name__ == "__main__":
    write_slides(Path(os.environ["REAL_DATA"]), Path(sys.argv[1]))

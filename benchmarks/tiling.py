"""Tiles per second of histocarta against the released way, cuCIM and the decoder's limit, on one core.

    REAL_DATA=<folder> python benchmarks/tiling.py [--repeats 3]

Writes a mosaic of four real H&E sections (her2st) as a "20x" and a "40x" tiled-JPEG SVS (256 px, quality 80, 4:2:0,
levels 1/4/16, as TCGA's) and cuts both into 512 px tiles at 0.5 um. The 40x slide holds the same pixels called 0.25 um,
so it is denser than a true one. Every side reads all cells of the grid, drops background by the released rule (half of
the values over 220, or more) and writes JPEG of quality 90, 4:4:4. Sides run in turn (A/B/A/B), each in a process of
its own on one core with the file in the page cache; figures are medians, without imports. On a shared machine CPU time
is the robust figure: where a wall time is over 1.15 of it, the line says "contended".
"""

import argparse
import importlib.util
import io
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import openslide
import simplejpeg
import tifffile
from histocarta import tiling
from histocarta.glass import MASK_SHARE, surely_background
from histocarta.survey import survey_slide
from histocarta.tissue import background_share, enough_tissue
from PIL import Image

SECTIONS = (("B4", "C2"), ("C3", "C4"))
SIZE, MPP, QUALITY = 512, 0.5, 90
LEVELS, TILE = (1, 4, 16), 256
LIMIT_RSS = 150
CONTENDED = 1.15
TARGETS = {"20x": 5.0, "40x": 15.0}


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


def jpeg_tiles(image: np.ndarray):
    """The image's tiles row by row, those on the edges filled up with their last pixels."""
    for top in range(0, image.shape[0], TILE):
        for left in range(0, image.shape[1], TILE):
            tile = image[top : top + TILE, left : left + TILE]
            missing = [(0, TILE - side) for side in tile.shape[:2]]
            tile = np.pad(tile, [*missing, (0, 0)], mode="edge")
            yield simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=80, colorsubsampling="420")


def windows(path: Path):
    """Corners and width of all whole cells, in level-0 px."""
    slide = openslide.OpenSlide(path)
    width = round(SIZE * MPP / float(slide.properties["openslide.mpp-x"]))
    corners = [
        (x, y)
        for y in range(0, slide.dimensions[1] - width + 1, width)
        for x in range(0, slide.dimensions[0] - width + 1, width)
    ]
    return slide, corners, width


# The sides. Each returns how many cells it looked at and how many tiles it kept.


def released(path: Path) -> tuple[int, int]:
    """As PathoMCH's deep_zoom.py: every cell by read_region, Pillow's Lanczos (ANTIALIAS by its former name), JPEG."""
    slide, corners, width = windows(path)
    kept = 0
    with tempfile.TemporaryFile() as out:
        for corner in corners:
            tile = slide.read_region(corner, 0, (width, width)).convert("RGB")
            tile = tile if width == SIZE else tile.resize((SIZE, SIZE), Image.LANCZOS)
            if np.mean(np.asarray(tile) > 220) < 0.5:
                kept += 1
                jpeg = io.BytesIO()
                tile.save(jpeg, "JPEG", quality=QUALITY, subsampling=0)
                out.write(jpeg.getvalue())
    return len(corners), kept


class TissueOnly(tiling.Rules):
    """The background rule without pen, fold and blur, which the other sides do not look for either."""

    def judge(self, rgb: np.ndarray) -> dict:
        background = background_share(rgb, preset=self.background)
        enough = enough_tissue(background, preset=self.background, min_tissue=self.min_tissue)
        return {"tissue": 1 - background, "reason": "" if enough else "background"}


def cut(path: Path, *, decode: str, rules: type[tiling.Rules] = TissueOnly) -> tuple[int, int]:
    """histocarta.tiling, without the tables and the picture that it writes at the end."""
    record = json.loads(path.with_suffix(".json").read_text())
    mask = cv2.imread(str(path.with_suffix(".tissue.png")), cv2.IMREAD_GRAYSCALE) > 0
    width_px = tiling.window_width(size=SIZE, mpp=MPP, slide_mpp=record["mpp"])
    height, width = record["height"], record["width"]
    sites = tiling.lay_grid(x=0, y=0, width=width, height=height, mpp=record["mpp"], width_px=width_px)
    judge = rules("released", 0.5, None, 0.1, 0.5)
    cutter = tiling.Cutter(record, mask, rules=judge, size=SIZE, quality=QUALITY, decode=decode, stain=None)
    with tempfile.TemporaryDirectory() as folder:
        kept = tiling.write_shard(f"{folder}/tiles.tfrecord", cutter.tiles(sites, []))
    return int((sites["reason"] != "edge").sum()), kept


def exact(path: Path) -> tuple[int, int]:
    return cut(path, decode="exact")


def dct(path: Path) -> tuple[int, int]:
    return cut(path, decode="dct")


def checked(path: Path) -> tuple[int, int]:
    """With sharpness, pen and folds, as the workflow runs it."""
    return cut(path, decode="exact", rules=tiling.Rules)


def job(path: Path) -> tuple[int, int]:
    """The whole job: with the tables and the picture that it writes at the end."""
    with tempfile.TemporaryDirectory() as folder:
        outputs = {"sites": "sites.parquet", "shard": "tiles.tfrecord", "summary": "tiles.json", "picture": "tiles.png"}
        tiling.tile_slide(
            survey=str(path.with_suffix(".json")),
            tissue=str(path.with_suffix(".tissue.png")),
            thumbnail=str(path.with_suffix(".thumbnail.png")),
            **{name: f"{folder}/{file}" for name, file in outputs.items()},
            size=SIZE,
            mpp=MPP,
            background="released",
            min_tissue=0.5,
            min_sharpness=None,
            max_pen=0.1,
            max_dark=0.5,
            quality=QUALITY,
            decode="exact",
        )
        summary = json.loads(Path(f"{folder}/tiles.json").read_text())
    return summary["n_cells"] - summary["counts"]["edge"], summary["n_tiles"]


def limit(path: Path) -> tuple[int, int]:
    """libjpeg-turbo decoding every JPEG tile of level 0 at full size, and nothing else."""
    with tifffile.TiffFile(path) as tiff, path.open("rb") as stream:
        page = tiff.pages[0]
        head = page.jpegtables[:-2] if page.jpegtables else b"\xff\xd8"
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=True):
            stream.seek(offset)
            simplejpeg.decode_jpeg(head + stream.read(size)[2:])
    return len(windows(path)[1]), 0


def cucim(path: Path, *, batch: int = 16) -> tuple[int, int]:
    """cuCIM on the CPU, given the same mask and look at the 16x level first, and the same halving and encoding."""
    from cucim import CuImage

    _, corners, width = windows(path)
    image, mask = CuImage(str(path)), cv2.imread(str(path.with_suffix(".tissue.png")), cv2.IMREAD_GRAYSCALE) > 0
    level = len(LEVELS) - 1
    side, scale = width // LEVELS[level], mask.shape[0] / image.size("Y")[0]

    def glass(corner: tuple[int, int]) -> bool:
        left, top = (int(value * scale) for value in corner)
        reach = int(np.ceil(width * scale))
        if mask[top : top + reach, left : left + reach].mean() > MASK_SHARE:
            return False
        look = np.asarray(image.read_region(corner, (side, side), level))
        return surely_background(look, preset="released", min_tissue=0.5)

    wanted = [corner for corner in corners if not glass(corner)]
    kept = 0
    with tempfile.TemporaryFile() as out:
        regions = image.read_region(wanted, (width, width), 0, batch_size=batch, num_workers=1)
        for pixels in regions if len(wanted) > 1 else [regions]:
            for tile in np.asarray(pixels).reshape(-1, width, width, 3):
                tile = tile if width == SIZE else cv2.resize(tile, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                if background_share(tile, preset="released") < 0.5:
                    kept += 1
                    out.write(simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=QUALITY))
    return len(corners), kept


SIDES = {side.__name__: side for side in (released, exact, dct, checked, job, limit, cucim)}


def run_side(name: str, path: Path, core: int) -> None:
    """One measurement in this process, printed as JSON."""
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    with path.open("rb") as stream:
        while stream.read(1 << 20):  # into the page cache, not into this process
            pass
    wall, cpu = time.perf_counter(), time.process_time()
    cells, kept = SIDES[name](path)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    print(
        json.dumps(
            {"cells": cells, "kept": kept, "wall": wall, "cpu": cpu, "rss": int(status["VmHWM"].split()[0]) >> 10}
        )
    )


def start(name: str, path: Path, core: int) -> subprocess.Popen:
    command = [sys.executable, __file__, "--side", name, "--slide", str(path), "--core", str(core)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def result(process: subprocess.Popen) -> dict:
    out, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args} failed")
    return json.loads(out)


def median(runs: list[dict]) -> dict:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def compare(path: Path, sides: list[str], *, repeats: int, core: int) -> None:
    """Print the sides' figures on one slide and their ratios to the released way."""
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name in sides:
            runs[name].append(result(start(name, path, core)))
    found = {name: median(values) for name, values in runs.items()}
    cells = found["released"]["cells"]
    print(f"\n{path.stem}: {cells:.0f} cells, {path.stat().st_size / 1e6:.0f} MB, medians of {repeats}")
    print(f"{'side':10} {'cells/s':>8} {'CPU ms':>7} {'kept':>5} {'x released':>11} {'of limit':>8} {'MB':>4}")
    for name, one in found.items():
        note = "  contended" if one["wall"] > CONTENDED * one["cpu"] else ""
        ratio, share = (found[other]["cpu"] / one["cpu"] for other in ("released", "limit"))
        speed, each = cells / one["wall"], 1e3 * one["cpu"] / cells
        print(
            f"{name:10} {speed:8.0f} {each:7.2f} {one['kept']:5.0f} {ratio:10.1f}x {share:8.2f} {one['rss']:4.0f}{note}"
        )
    target = TARGETS[path.stem]
    for name in ("exact", "dct"):
        ratio = found["released"]["cpu"] / found[name]["cpu"]
        print(
            f"{path.stem} {name}: {ratio:.1f} times the released way (target {target:g}): {_verdict(ratio >= target)}"
        )
    worker, whole = found["exact"]["rss"], found["job"]["rss"]
    print(f"{path.stem} memory: {worker:.0f} MB (at most {LIMIT_RSS}): {_verdict(worker <= LIMIT_RSS)}; ", end="")
    print(f"{whole:.0f} MB when the tables and the picture are written")
    if "cucim" in found:
        print(
            f"{path.stem} dct: {found['cucim']['cpu'] / found['dct']['cpu']:.2f} times cuCIM with the same look first"
        )


def compare_two(path: Path, *, repeats: int, cores: list[int]) -> None:
    """Two slides in two processes against one after the other."""
    ratios, contended = [], False
    for _ in range(repeats):
        one = [result(start("exact", path, core)) for core in cores]
        both = [result(process) for process in [start("exact", path, core) for core in cores]]
        ratios.append(sum(run["wall"] for run in one) / max(run["wall"] for run in both))
        contended |= any(run["wall"] > CONTENDED * run["cpu"] for run in one + both)
    ratio = statistics.median(ratios)
    note = ", contended: other work shared the cores, measure again on a quiet machine" if contended else ""
    print(f"{path.stem}: two processes {ratio:.2f} times one (target 1.7): {_verdict(ratio >= 1.7)}{note}")


def _verdict(met: bool) -> str:
    return "met" if met else "NOT met"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--folder", type=Path, help="where to write the slides (about 120 MB); default: a temporary one"
    )
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--write", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return run_side(arguments.side, arguments.slide, arguments.core)
    data = os.environ.get("REAL_DATA")
    if not data:
        sys.exit("Expected the environment variable REAL_DATA to name the folder with her2st/; it is unset.")
    if arguments.write:
        return write_slides(Path(data), arguments.write)
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(exist_ok=True)
        slides = [folder / "20x.svs", folder / "40x.svs"]
        if not all(path.with_suffix(".json").exists() for path in slides):
            subprocess.run([sys.executable, __file__, "--write", str(folder)], check=True)  # its 2 GB go with it
        print(f"{time.strftime('%Y-%m-%d')}, {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
        sides = ["released", "exact", "dct", "checked", "job", "limit"]
        if importlib.util.find_spec("cucim"):
            sides.append("cucim")
        else:
            print("cuCIM is not installed here: not compared.")
        cores = sorted(os.sched_getaffinity(0))
        for path in slides:
            compare(path, sides, repeats=arguments.repeats, core=cores[-1])
        if len(cores) > 1:
            compare_two(slides[-1], repeats=arguments.repeats, cores=cores[:2])


if __name__ == "__main__":
    main()

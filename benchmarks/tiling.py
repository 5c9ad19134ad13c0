"""Tiles per second of histocarta against the released way, cuCIM and the decoder's limit, on one core.

    REAL_DATA=<folder> python benchmarks/tiling.py [--repeats 3]

Cuts the two slides of mosaic.py into 512 px tiles at 0.5 um. Every side reads all cells of the grid, drops background
by the released rule (half of the values over 220, or more) and writes JPEG of quality 90, 4:4:4. Sides run in turn
(A/B/A/B), each in a process of its own on one core with all files in memory; figures are medians, without imports. On
a shared machine CPU time is the robust figure, and the ratios are its: where a wall time is over 1.15 of it, the line
says "contended".

cuCIM is compared where it is installed. Reading on the CPU needs neither a GPU nor CuPy, so this is enough:

    .venv/bin/uv pip install --python .venv/bin/python --no-deps cucim-cu12==26.10.0 lazy-loader

It is given the same look at the thumbnail first, and of three batch sizes the best one counts.
"""

import argparse
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import openslide
import simplejpeg
import tifffile
from histocarta import tiling
from histocarta.glass import MASK_SHARE, surely_background
from histocarta.tissue import background_share, enough_tissue
from machine import finding, machine, verdict
from mosaic import LEVELS, slides_in
from PIL import Image

SIZE, MPP, QUALITY = 512, 0.5, 90
LIMIT_RSS = 150
CONTENDED = 1.15
RELEASED = {"20x": 5.0, "40x": 15.0}  # times the released way
CUCIM = {"20x": ("exact", 0.95), "40x": ("dct", 1.3)}  # which way, and how many times cuCIM
BATCHES = (4, 16, 64)  # cuCIM's
PASSES = 4  # over the slide, where two processes are compared: they must overlap nearly all of their time
if os.access("/dev/shm", os.W_OK):
    tempfile.tempdir = "/dev/shm"  # a disk is another benchmark


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
    cutter = tiling.Cutter(str(path), record, mask, rules=judge, size=SIZE, quality=QUALITY, decode=decode, stain=None)
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
    """The whole job: with the tables and the picture that it writes at the end, and what Snakemake loads into it."""
    import snakemake.iocontainers
    import snakemake.logging  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        outputs = {"sites": "sites.parquet", "shard": "tiles.tfrecord", "summary": "tiles.json", "picture": "tiles.png"}
        tiling.tile_slide(
            file=str(path),
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


def cucim(path: Path, *, batch: int) -> tuple[int, int]:
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


SIDES = {side.__name__: side for side in (released, exact, dct, checked, job, limit)}
PEERS = {f"cucim-{batch}": partial(cucim, batch=batch) for batch in BATCHES}


def run_side(name: str, path: Path, *, core: int, passes: int) -> None:
    """One measurement in this process: it says "ready", begins at a line of input and prints what it took as JSON."""
    os.sched_setaffinity(0, {core})
    cv2.setNumThreads(1)
    with path.open("rb") as stream:
        while stream.read(1 << 20):  # into the page cache, not into this process
            pass
    print("ready", flush=True)
    sys.stdin.readline()
    began, used = time.monotonic(), time.process_time()
    for _ in range(passes):
        cells, kept = (SIDES | PEERS)[name](path)
    ended, used = time.monotonic(), time.process_time() - used
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    found = {"cells": cells * passes, "kept": kept, "wall": ended - began, "cpu": used}
    print(json.dumps(found | {"began": began, "ended": ended, "rss": int(status["VmHWM"].split()[0]) / 1024}))


def start(name: str, path: Path, *, core: int, passes: int = 1) -> subprocess.Popen:
    """A side's process, ready to begin."""
    options = {"--side": name, "--slide": path, "--core": core, "--passes": passes}
    command = [sys.executable, __file__, *(str(word) for option in options.items() for word in option)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, text=True, **pipes)
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{' '.join(command)} failed")
    return process


def results(*processes: subprocess.Popen) -> list[dict]:
    """Let all begin at once, and wait for what they found."""
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    found = [json.loads(process.stdout.readline() or "null") for process in processes]
    if any(process.wait() for process in processes):
        raise RuntimeError(f"{' '.join(processes[0].args)} failed")
    return found


def contended(*runs: dict) -> bool:
    """Whether a process waited: on one core and without a disk, its wall time is its CPU time."""
    return any(run["wall"] > CONTENDED * run["cpu"] for run in runs)


def median(runs: list[dict]) -> dict:
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def compare(path: Path, sides: list[str], *, repeats: int, core: int) -> dict[str, dict]:
    """Print the sides' figures on one slide; medians by side."""
    runs: dict[str, list[dict]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name in sides:
            runs[name] += results(start(name, path, core=core))
    found = {name: median(values) for name, values in runs.items()}
    cells = found["released"]["cells"]
    print(f"\n{path.stem}: {cells:.0f} cells, {path.stat().st_size / 1e6:.0f} MB, medians of {repeats}")
    print(f"{'side':10} {'cells/s':>8} {'CPU ms':>7} {'kept':>5} {'x released':>11} {'of limit':>8} {'MB':>4}")
    for name, one in found.items():
        ratio, share = (found[other]["cpu"] / one["cpu"] for other in ("released", "limit"))
        speed, each = cells / one["wall"], 1e3 * one["cpu"] / cells
        note = "  contended" if contended(one) else ""
        print(
            f"{name:10} {speed:8.0f} {each:7.2f} {one['kept']:5.0f} {ratio:10.1f}x {share:8.2f} {one['rss']:4.0f}{note}"
        )
    return found


def judge(slide: str, found: dict[str, dict]) -> None:
    """The verdicts on one slide."""
    for name in ("exact", "dct"):
        verdict(f"{slide}, {name}, times the released way", _times(found, name, "released"), least=RELEASED[slide])
    way, least = CUCIM[slide]
    if peers := [name for name in found if name in PEERS]:
        best = min(peers, key=lambda name: found[name]["cpu"])
        verdict(f"{slide}, {way}, times {best}", _times(found, way, best), least=least)
    else:
        finding(f"{slide}, {way}, times cuCIM: not measured, as cuCIM is not installed")
    verdict(f"{slide}, MB of a worker, the loop alone", found["exact"]["rss"], most=LIMIT_RSS)
    verdict(f"{slide}, MB of a worker, the whole job", found["job"]["rss"], most=LIMIT_RSS)


def _times(found: dict[str, dict], name: str, other: str) -> float:
    return found[other]["cpu"] / found[name]["cpu"]


def compare_two(path: Path, *, repeats: int, cores: list[int], tries: int = 2) -> None:
    """Two slides in two processes that begin together against one after the other.

    A round in which a process waited for its core says nothing of two cores: it is repeated, ``tries`` times at most.
    Where none was quiet the CPU times are judged. They show what the two do to each other (caches, memory, clock),
    and nothing of what others do.
    """
    walls, cpus = [], []
    for _ in range(repeats * tries):
        one = [run for core in cores for run in results(start("exact", path, core=core, passes=PASSES))]
        both = results(*[start("exact", path, core=core, passes=PASSES) for core in cores])
        cpus.append(sum(run["cpu"] for run in one) / max(run["cpu"] for run in both))
        if not contended(*one, *both):
            together = max(run["ended"] for run in both) - min(run["began"] for run in both)
            walls.append(sum(run["wall"] for run in one) / together)
        if len(walls) == repeats:
            break
    ratios = walls or cpus
    note = f"median of {len(walls)} quiet rounds of {len(cpus)}" if walls else "by CPU time: no round was quiet"
    print(f"\n{path.stem}: two processes against one, by round: wall {_row(walls)}; CPU {_row(cpus)}")
    verdict(f"{path.stem}, exact, two cores, times one", statistics.median(ratios), least=1.7, note=note)


def _row(values: list[float]) -> str:
    return " ".join(f"{value:.2f}" for value in values) or "none quiet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where to write the slides (about 60 MB); default: a temporary one")
    parser.add_argument("--side", choices=SIDES | PEERS, help=argparse.SUPPRESS)
    parser.add_argument("--slide", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--core", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--passes", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        return run_side(arguments.side, arguments.slide, core=arguments.core, passes=arguments.passes)
    data = os.environ.get("REAL_DATA")
    if not data:
        sys.exit("Expected the environment variable REAL_DATA to name the folder with her2st/; it is unset.")
    with tempfile.TemporaryDirectory() as temporary:
        benchmark(slides_in(arguments.folder or Path(temporary), data=Path(data)), repeats=arguments.repeats)


def benchmark(slides: list[Path], *, repeats: int) -> None:
    """Everything, on a 20x and a 40x slide."""
    print(machine())
    sides = [*SIDES, *(PEERS if importlib.util.find_spec("cucim") else ())]
    cores = sorted(os.sched_getaffinity(0))
    for path in slides:
        judge(path.stem, compare(path, sides, repeats=repeats, core=cores[-1]))
    if len(cores) > 1:
        compare_two(slides[-1], repeats=repeats, cores=cores[:2])
    else:
        finding("two cores, times one: not measured, as there is only one here")


if __name__ == "__main__":
    main()

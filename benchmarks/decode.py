"""What halving while decoding (decode: dct), and what bfloat16, does to the tile scores of a trained model.

    REAL_DATA=<folder> python benchmarks/decode.py [--model results/demo/traits/B/extremes/round-1/model.keras]

Takes the "40x" mosaic of real H&E that benchmarks/tiling.py writes (0.25 um) and cuts cells that hold tissue into tiles
of the model's size at 0.5 um: once decoding all pixels and averaging them (exact), once halving in the DCT (dct). Both
are stored as the workflow stores them (JPEG, quality 90) and scored. Mirrored tiles are the yardstick: they show the
same tissue, and models are trained on flipped tiles. The default model is one that `make demo` leaves.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from histocarta.reader import open_reader, window_width
from histocarta.tissue import background_share
from machine import finding, machine
from mosaic import slides_in
from scipy.stats import spearmanr
from tiling import MPP, QUALITY

MODEL = Path("results/demo/traits/B/extremes/round-1/model.keras")
BATCH = 64


def cut_both_ways(slide: Path, *, size: int, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The same ``number`` cells with tissue, drawn at random, as exact and as dct tiles (uint8 N x H x W x 3)."""
    record = json.loads(slide.with_suffix(".json").read_text())
    width_px = window_width(size=size, mpp=MPP, slide_mpp=record["mpp"])
    cells = np.argwhere(np.ones((record["height"] // width_px, record["width"] // width_px)))
    tiles = {"exact": [], "dct": []}
    with open_reader(slide, decode="exact") as exact, open_reader(slide, decode="dct") as dct:
        for row, col in np.random.default_rng(1).permutation(cells).tolist():
            window = (col * width_px, row * width_px, width_px, size)
            rgb = exact.read(*window)
            if background_share(rgb, preset="released") < 0.5:
                tiles["exact"].append(_as_stored(rgb))
                tiles["dct"].append(_as_stored(dct.read(*window)))
            if len(tiles["exact"]) == number:
                break
    return np.array(tiles["exact"]), np.array(tiles["dct"])


def _as_stored(rgb: np.ndarray) -> np.ndarray:
    jpeg = simplejpeg.encode_jpeg(np.ascontiguousarray(rgb), quality=QUALITY, colorsubsampling="444")
    return simplejpeg.decode_jpeg(jpeg)


def psnr(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of each pair of tiles, in dB."""
    error = np.square(one.astype(np.float32) - other).mean(axis=(1, 2, 3))
    return 20 * np.log10(255) - 10 * np.log10(np.maximum(error, 1e-9))


def score_all(tiles: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The model's score of each tile."""
    return np.concatenate([score(tiles[first : first + BATCH])[:, 0] for first in range(0, len(tiles), BATCH)])


def describe(what: str, one: np.ndarray, other: np.ndarray) -> str:
    """How far two scores of each tile are apart."""
    apart = np.abs(one - other)
    return (
        f"{what}: |difference of scores| mean {apart.mean():.4f}, 99th percentile {np.percentile(apart, 99):.4f}, "
        f"most {apart.max():.4f}; {np.mean((one > 0.5) != (other > 0.5)):.2%} of tiles change sides of 0.5; "
        f"Spearman {spearmanr(one, other).statistic:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--tiles", type=int, default=3000)
    parser.add_argument("--folder", type=Path, help="as of tiling.py")
    options = parser.parse_args()
    print(machine())
    if not options.model.exists():
        finding(f"dct, effect on scores: not measured, as there is no model {options.model} (make demo, or --model)")
        return
    if "REAL_DATA" not in os.environ:
        sys.exit("Expected the environment variable REAL_DATA to name the folder with her2st/; it is unset.")
    from histocarta.inference import load_scorer  # TensorFlow

    # bfloat16 belongs here too: its effect on the scores of a model that was trained, on tissue.
    low, _ = load_scorer([str(options.model)], precision="mixed_bfloat16")
    score, size = load_scorer([str(options.model)], precision="float32")
    with tempfile.TemporaryDirectory() as temporary:
        slide = slides_in(options.folder or Path(temporary), data=Path(os.environ["REAL_DATA"]))[-1]
        exact, dct = cut_both_ways(slide, size=size, number=options.tiles)
    sides = {"exact": exact, "dct": dct, "mirrored": np.ascontiguousarray(exact[:, :, ::-1])}
    scores = {name: score_all(tiles, score) for name, tiles in sides.items()}
    scores["bfloat16"] = score_all(exact, low)
    spread = np.percentile(scores["exact"], [5, 50, 95])
    print(f"{options.model}: {len(exact)} tiles of {size} px; scores {spread.round(3)} (5, 50, 95 %)")
    print(describe("exact and mirrored", scores["exact"], scores["mirrored"]))
    finding(describe("mixed_bfloat16 against float32, the same tiles", scores["exact"], scores["bfloat16"]))
    values = psnr(exact, dct)
    finding(
        describe(f"dct against exact, {len(exact)} tiles of {size} px", scores["exact"], scores["dct"])
        + f"; PSNR of the stored tiles {np.median(values):.1f} dB (median), {values.min():.1f} (worst)"
    )


if __name__ == "__main__":
    main()

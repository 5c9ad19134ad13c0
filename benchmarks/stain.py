"""Colour normalisation of real 512 px tiles against torchstain's NumPy backend, one thread.

Usage: python benchmarks/stain.py --data $REAL_DATA [--section C3] [--tiles 40] [--rounds 3]

Two different things are timed. Per tile: each tile's own dyes are estimated, which is what torchstain does; same
output, so there is a ratio. Per slide: the dyes are estimated once, on a sample of the whole slide, and only applied
to the tile, which is what the workflow does; another estimator with another output, so its time is no speed-up of
torchstain's, and how far the two outputs differ is printed instead. The sides take turns on every tile.
"""

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
from histocarta import dyes, stain
from machine import finding, machine, verdict
from threadpoolctl import threadpool_limits
from torchstain.numpy.normalizers import NumpyMacenkoNormalizer, NumpyReinhardNormalizer

SIZE = 512


def read_tiles(data, section, number):
    """Tiles with at least a fifth of tissue, spread over a her2st section."""
    image = cv2.imread(str(Path(data) / "her2st" / "images" / f"{section}.jpg"), cv2.IMREAD_COLOR_RGB)
    height, width, _ = image.shape
    corners = [(y, x) for y in range(0, height - SIZE, SIZE) for x in range(0, width - SIZE, SIZE)]
    tiles = [np.ascontiguousarray(image[y : y + SIZE, x : x + SIZE]) for y, x in corners]
    tiles = [tile for tile in tiles if (tile.max(axis=2) < dyes.CLEAR_LEVEL).mean() > 0.2]
    return tiles[:: max(1, len(tiles) // number)][:number]


def take_turns(sides, tiles, rounds):
    """Wall and CPU milliseconds (side → tiles × rounds) of functions that take turns on each tile."""
    spent = {name: [] for name in sides}
    for _ in range(rounds):
        for tile in tiles:
            for name, work in sides.items():
                wall, own = time.perf_counter(), time.thread_time()
                work(tile)
                spent[name].append((1000 * (time.perf_counter() - wall), 1000 * (time.thread_time() - own)))
    return {name: np.array(values) for name, values in spent.items()}


def report(title, spent):
    """Median times; the ratio of the first side's CPU time to the second's, with its quartiles over the turns."""
    (slow, theirs), (fast, ours) = spent.items()
    wall, own = np.median(theirs / ours, axis=0)
    low, high = np.percentile(theirs[:, 1] / ours[:, 1], [25, 75])
    print(f"{title}")
    for name, values in spent.items():
        middle, best = np.median(values, axis=0), values.min(axis=0)
        print(f"  {name:28s} {middle[0]:7.2f} ms wall, {middle[1]:7.2f} ms CPU (least {best[1]:.2f})")
    print(f"  {slow} / {fast}: {wall:.2f} wall, {own:.2f} CPU (quartiles {low:.2f} to {high:.2f})")
    return own


def levels(one, other):
    return np.abs(one.astype(int) - other.astype(int))


def per_tile(tiles, rounds):
    macenko, reinhard = NumpyMacenkoNormalizer(), NumpyReinhardNormalizer()
    reinhard.target_means, reinhard.target_stds = (np.array(stain.LAB[name], np.float32) for name in ("means", "stds"))
    pairs = {
        "Macenko": (lambda tile: macenko.normalize(tile, stains=False)[0], stain.macenko),
        "Reinhard": (reinhard.normalize, stain.reinhard),
    }
    for method, (theirs, ours) in pairs.items():
        apart = [levels(theirs(tile), ours(tile)) for tile in tiles]
        spent = take_turns({"torchstain": theirs, "histocarta": ours}, tiles, rounds)
        ratio = report(f"{method}, per tile, {len(tiles)} tiles × {rounds} rounds", spent)
        differing = np.mean([(difference > 0).mean() for difference in apart])
        print(f"  outputs differ by {max(d.max() for d in apart)} grey level at most, in {differing:.2%} of the values")
        assert max(difference.max() for difference in apart) <= 1
        if method == "Macenko":
            verdict("Macenko per tile, same output, times torchstain (CPU)", ratio, least=1.8)
        else:
            finding(f"{method} per tile, same output, times torchstain (CPU): {ratio:.3g} (no target)")


def per_slide(tiles, rounds):
    pixels = np.concatenate([dyes.tissue_pixels(tile) for tile in tiles])
    pixels = np.random.default_rng(1).permutation(pixels)[: stain.PIXELS]
    for method in stain.METHODS:
        start = time.perf_counter()
        record = stain.estimate(pixels, method=method)
        seconds = time.perf_counter() - start
        paint = stain.normaliser(record)
        spent = take_turns({"first": paint}, tiles, 1)["first"]
        again = take_turns({"again": paint}, tiles, rounds)["again"]
        line = f"{method}, per slide: estimate {seconds:.2f} s on {len(pixels):,} pixels; per tile median "
        line += (
            f"{np.median(again[:, 0]):.2f} ms wall, {np.median(again[:, 1]):.2f} ms CPU (least {again[:, 1].min():.2f})"
        )
        print(f"{line}; first pass {np.median(spent[:, 1]):.2f} ms CPU")
        if method == "macenko":
            verdict("Macenko per slide, another estimator, CPU ms per tile", np.median(again[:, 1]), most=1)
            apart = [levels(paint(tile), stain.macenko(tile)).mean() for tile in tiles]
            print(f"  another estimator: differs from per-tile by {np.median(apart):.1f} grey levels (median tile), "
                  f"{max(apart):.1f} (worst tile)")  # fmt: skip


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--data", default=os.environ.get("REAL_DATA"), help="folder with her2st/images")
    options.add_argument("--section", default="C3")
    options.add_argument("--tiles", type=int, default=40)
    options.add_argument("--rounds", type=int, default=3)
    chosen = options.parse_args()
    if not chosen.data:
        options.error("say where the real data is: --data, or the environment variable REAL_DATA")
    cv2.setNumThreads(1)
    tiles = read_tiles(chosen.data, chosen.section, chosen.tiles)
    print(f"{machine()}; {len(tiles)} tiles of {SIZE} px, her2st {chosen.section}")
    with threadpool_limits(1):
        per_tile(tiles, chosen.rounds)
        per_slide(tiles, chosen.rounds)


if __name__ == "__main__":
    main()

"""HTI of 1,000 slides × 4,000 tiles against the released way, HTA per slide, a map picture against a 300-dpi figure.

Usage: python benchmarks/heterogeneity.py [--slides 1000] [--tiles 4000]. One core; the input is random: only its size
counts. The released way is rewritten from its description: one pass in Python per combination, SciPy's entropy, one
slide at a time. It takes two traits only; more traits have no peer.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from histocarta.cartography import state_colours
from histocarta.heterogeneity import combination_codes, combination_counts, hti
from histocarta.hta import regional_heterogeneity
from histocarta.overlays import GLASS, NEGATIVE, paint, with_legend, write_picture
from machine import finding, machine, verdict
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from scipy.stats import entropy

REPEATS = 5


def median_seconds(work, repeats=REPEATS):
    """Median wall time of ``work()`` and its last result."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds)), result


def released_way(slides):
    """HTI of each slide, (tiles, 2) bool, base 3; 0 where nothing is positive."""
    found = []
    for slide in slides:
        a, b = slide[:, 0].astype(int), slide[:, 1].astype(int)
        groups = (
            [1 for x, y in zip(a, b, strict=True) if x == 1 and y == 0],
            [1 for x, y in zip(a, b, strict=True) if y == 1 and x == 0],
            a & b,
        )
        either = np.count_nonzero(a | b)
        found.append(entropy([np.count_nonzero(group) / either for group in groups], base=3) if either else 0)
    return np.array(found)


def benchmark_hti(n_slides, n_tiles):
    rng = np.random.default_rng(0)
    lengths = rng.integers(n_tiles // 2, n_tiles * 3 // 2, n_slides)
    starts = np.cumsum([0, *lengths])
    for traits in (2, 3, 4, 6):
        positive = [rng.random(starts[-1]) < share for share in rng.uniform(0.1, 0.9, traits)]

        def ours(positive=positive, traits=traits):
            return hti(combination_counts(combination_codes(positive), starts, n_codes=2**traits))

        seconds, index = median_seconds(ours)
        line = f"HTI, {traits} traits, {n_slides} slides, {starts[-1]:,} tiles: {seconds:.3f} s"
        if traits == 2:
            tensors = np.split(np.stack(positive, axis=1), starts[1:-1])
            slow, theirs = median_seconds(lambda tensors=tensors: released_way(tensors), repeats=1)
            difference = np.abs(index - theirs).max()
            line += f"; released way {slow:.2f} s, ratio {slow / seconds:.0f}; largest difference {difference:.1e}"
            verdict("HTI of two traits, largest difference to the released way", difference, most=1e-12)
        print(line)
        verdict(f"HTI of {traits} traits, {n_slides} slides, s", seconds, most=0.1)


def benchmark_hta(n_tiles):
    rng = np.random.default_rng(0)
    side = int(np.sqrt(n_tiles))
    rows, cols = np.divmod(np.arange(side * side), side)
    codes = rng.integers(0, 4, side * side)
    seconds, _ = median_seconds(
        lambda: regional_heterogeneity(
            codes, rows, cols, combinations=3, region=4, permutations=1000, bootstraps=200, permute="tissue", rng=rng
        )
    )
    print(f"HTA, {side * side} tiles, 1,000 permutations, 200 bootstraps: {seconds * 1000:.0f} ms per slide")


def benchmark_picture(n_tiles, folder):
    """The same states over the same thumbnail, with a legend each: palette PNG against a 300-dpi matplotlib figure."""
    rng = np.random.default_rng(0)
    side = int(np.sqrt(n_tiles))
    rows, cols = np.divmod(np.arange(side * side), side)
    sites = pd.DataFrame({"row": rows, "col": cols, "x": cols * 1024, "y": rows * 1024, "width_px": 1024})
    states = rng.integers(GLASS, NEGATIVE + 4, (side, side))
    thumbnail = rng.integers(120, 255, (1024, 1024, 3)).astype(np.uint8)
    labels = {GLASS: "glass", NEGATIVE: "negative", **{NEGATIVE + code: f"combination {code}" for code in (1, 2, 3)}}

    def ours():
        picture = paint(states, sites=sites, thumbnail=thumbnail, origin=(0, 0), downsample=side, colours=state_colours)
        whole = with_legend(picture, title="A + B on S1", notes=["HTI 0.50"], labels=labels, mpp=0.25)
        write_picture(whole, folder / "ours.png")

    def figure():
        drawing = Figure(figsize=(6, 6), dpi=300)
        axes = drawing.subplots()
        axes.imshow(thumbnail, extent=(0, side, side, 0))
        colours = ListedColormap(["white", "grey", "silver", "tomato", "navy", "violet"])
        image = axes.imshow(states, cmap=colours, alpha=0.7, extent=(0, side, side, 0), vmin=0, vmax=5)
        drawing.colorbar(image)
        drawing.savefig(folder / "figure.png")

    seconds, _ = median_seconds(ours)
    slow, _ = median_seconds(figure)
    sizes = [(folder / name).stat().st_size / 1000 for name in ("ours.png", "figure.png")]
    finding(
        f"map picture: palette {seconds * 1000:.0f} ms, {sizes[0]:.0f} kB; 300-dpi figure {slow * 1000:.0f} ms, "
        f"{sizes[1]:.0f} kB; ratio {slow / seconds:.1f}"
    )


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--slides", type=int, default=1000)
    options.add_argument("--tiles", type=int, default=4000)
    chosen = options.parse_args()
    print(machine())
    benchmark_hti(chosen.slides, chosen.tiles)
    benchmark_hta(chosen.tiles)
    with tempfile.TemporaryDirectory() as folder:
        benchmark_picture(chosen.tiles, Path(folder))


if __name__ == "__main__":
    main()

"""Windows on the spots of a real section: cut, judged and stored, beside OpenSlide's read_region spot by spot.

Usage: REAL_DATA=<folder> python benchmarks/spots.py [--section B4] [--turns 5]

The peer reads each window at level 0, as ST-Net's code does, and encodes it as JPEG with Pillow; the workflow's side
also judges each window and writes the shard. The whole job, which draws the slide's picture and writes tables too, is
timed beside. They take turns, on one core each.
"""

import argparse
import io
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import openslide
import pandas as pd
from histocarta.files import read_json, write_json, write_table
from histocarta.images import import_image
from histocarta.sites import sites_of
from histocarta.survey import survey_slide
from histocarta.tilestore import write_shard
from histocarta.tiling import Cutter, Rules, tile_slide
from machine import finding, machine, verdict

SIZE, MPP = 224, 0.686


def prepare(data, section, folder):
    """Pyramid, survey and spots of a section; arguments of ``tile_slide`` and the spots' centres."""
    pyramid = str(folder / "slide.tif")
    import_image(image=str(Path(data) / "her2st/images" / f"{section}.jpg"), output=pyramid, mpp=MPP, quality=90)
    names = {key: str(folder / name) for key, name in
             (("survey", "slide.json"), ("thumbnail", "thumbnail.png"), ("tissue", "tissue.png"))}  # fmt: skip
    survey_slide(file=pyramid, slide="s", patient="p", sheet_mpp=None, region=None, exclude=None, default_mpp=None,
                 mpp_from_objective=False, **names)  # fmt: skip
    spots = pd.read_csv(Path(data) / "her2st/spots" / f"{section}.tsv", sep="\t")
    table = pd.DataFrame({"row": spots["y"], "col": spots["x"], "x_px": spots["pixel_x"], "y_px": spots["pixel_y"]})
    write_table(table, folder / "spots.parquet")
    write_json({"status": "ok", "code": "", "reason": ""}, folder / "section.json")
    files = {"spots": str(folder / "spots.parquet"), "section": str(folder / "section.json"), "file": pyramid, **names}
    return files, table[["x_px", "y_px"]].to_numpy(float)


def ours(files, folder):
    """The windows alone."""
    record = read_json(files["survey"])
    mask = cv2.imread(files["tissue"], cv2.IMREAD_GRAYSCALE) > 0
    rules = Rules("st-net", 0.0, None, None, None)
    cutter = Cutter(files["file"], record, mask, rules=rules, size=SIZE, quality=90, decode="exact", stain=None)
    found = sites_of(record, size=SIZE, mpp=MPP, spots=files["spots"])
    write_shard(folder / "windows.tfrecord", cutter.tiles(found, []))


def whole_job(files, folder):
    """All that the workflow does of one slide."""
    outputs = {"sites": "sites.parquet", "shard": "tiles.tfrecord", "summary": "tiles.json", "picture": "tiles.png"}
    tile_slide(
        **files, **{key: str(folder / name) for key, name in outputs.items()}, sites_are="spots", size=SIZE, mpp=MPP,
        background="st-net", min_tissue=0.0, min_sharpness=None, max_pen=None, max_dark=None, quality=90,
        decode="exact",
    )  # fmt: skip


def theirs(files, centres):
    """Each window by itself."""
    with openslide.OpenSlide(files["file"]) as slide:
        for x, y in centres:
            window = slide.read_region((round(x) - SIZE // 2, round(y) - SIZE // 2), 0, (SIZE, SIZE)).convert("RGB")
            window.save(io.BytesIO(), "JPEG", quality=90, subsampling=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("REAL_DATA"))
    parser.add_argument("--section", default="B4")
    parser.add_argument("--turns", type=int, default=5)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files, centres = prepare(given.data, given.section, folder)
        works = {
            "OpenSlide": lambda: theirs(files, centres),
            "windows": lambda: ours(files, folder),
            "whole job": lambda: whole_job(files, folder),
        }
        spent = {side: [] for side in works}
        for _ in range(given.turns):
            for side, work in works.items():
                start = time.process_time()
                work()
                spent[side].append(time.process_time() - start)
    rates = ", ".join(f"{side} {len(centres) / np.median(seconds):.0f}" for side, seconds in spent.items())
    print(f"{len(centres)} windows of {SIZE} px, a second of CPU: {rates}")
    ratios, whole = (np.array(spent["OpenSlide"]) / np.array(spent[side]) for side in ("windows", "whole job"))
    note = f"turns {ratios.min():.2f} to {ratios.max():.2f}"
    verdict("windows on spots beside OpenSlide and Pillow", float(np.median(ratios)), least=1.0, note=note)
    finding(f"the whole job, with the slide's picture, beside the same: {np.median(whole):.2f}")


if __name__ == "__main__":
    main()

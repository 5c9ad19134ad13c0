"""What a spot's window shows without any network: its mean colour and the statistics of its nuclei."""

import numpy as np
import pandas as pd
import simplejpeg
from joblib import Parallel, delayed

from histocarta import nuclei
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.nuclei import measure_nuclei
from histocarta.progress import progress
from histocarta.tilestore import read_shard

KEYS = ["slide", "row", "col"]
COLOUR = ("mean_red", "mean_green", "mean_blue")
NUCLEI = nuclei.NAMES
COLUMNS = (*KEYS, *COLOUR, *NUCLEI)


def measure_spots(*, manifest: str, features: str, processes: int = 1) -> None:
    """Write ``features``: slide, row, col of every window, its mean COLOUR (grey levels) and its NUCLEI, float32.

    manifest : slide, shard, n_tiles and mpp (µm per pixel of the windows). Rows are in the order of the manifest and of
    the shards. The result does not depend on ``processes``. Raises InputError for a damaged shard, and where a shard
    holds another number of windows than the manifest says.
    """
    slides = read_table(manifest)
    slides = slides[slides["n_tiles"].astype(int) > 0]
    jobs = list(zip(slides["slide"], slides["shard"], slides["n_tiles"].astype(int), slides["mpp"].astype(float)))  # noqa: B905
    what = {"total": len(jobs), "what": "slides measured"}
    pool = Parallel(n_jobs=processes, return_as="generator")  # of the standard library's, none starts inside a script
    found = list(progress(pool(map(delayed(_measure_slide), jobs)), **what))
    empty = pd.DataFrame({name: pd.Series(dtype=object if name == "slide" else "float32") for name in COLUMNS})
    table = pd.concat(found, ignore_index=True) if found else empty.astype({"row": "int64", "col": "int64"})
    write_table(table, features)


def measure_window(rgb: np.ndarray, *, mpp: float) -> np.ndarray:
    """COLOUR and NUCLEI of one window (uint8, H × W × 3, ``mpp`` µm per pixel)."""
    return np.concatenate([rgb.reshape(-1, 3).mean(axis=0), measure_nuclei(rgb, mpp=mpp)])


def _measure_slide(job: tuple[str, str, int, float]) -> pd.DataFrame:
    slide, shard, n_tiles, mpp = job
    places, rows = [], []
    for row, col, jpeg in read_shard(shard):
        places.append((row, col))
        rows.append(measure_window(simplejpeg.decode_jpeg(jpeg), mpp=mpp))
    if len(rows) != n_tiles:
        raise InputError(
            f"Expected {n_tiles} windows in {shard} (manifest, slide {slide}), found {len(rows)}; tile the slide again."
        )
    table = pd.DataFrame(np.array(rows, np.float32), columns=[*COLOUR, *NUCLEI])
    place = pd.DataFrame(places, columns=["row", "col"], dtype="int64")
    return pd.concat([place.assign(slide=slide)[KEYS], table], axis=1)

"""What a slide shows without any network: its colour, its nuclei and its size, against which predictions are held."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pandas as pd
import simplejpeg

from histocarta.dyes import HAEMATOXYLIN_EOSIN, optical_density
from histocarta.files import read_table, write_table
from histocarta.progress import progress
from histocarta.tilestore import read_shard

NUCLEUS_UM2 = (12.0, 250.0)  # area of what counts as a nucleus
BLUR_UM = 0.7  # chromatin is grainy below it
STAINED = 0.5  # concentration of haematoxylin, in optical densities of the reference dye, from which on it is a nucleus
UNMIX = np.linalg.pinv(np.array(HAEMATOXYLIN_EOSIN)).astype(np.float32)
FEATURES = {"colour": 6, "nuclei": 2, "tiles": 1}


def measure_slides(*, manifest: str, plain: str, threads: int = 1) -> None:
    """Write, per slide with tiles, the lists ``colour``, ``nuclei`` and ``tiles`` (means over its tiles' pixels).

    colour : mean of red, green and blue, and their standard deviation between tiles, grey levels; nuclei : their number
    per mm² and share of the area; tiles : the logarithm of their number, the size of the tissue. Raises InputError for
    a damaged shard.
    """
    slides = read_table(manifest)
    slides = slides[slides["n_tiles"].astype(int) > 0]
    jobs = list(zip(slides["shard"], slides["mpp"].astype(float), strict=True))
    with ThreadPoolExecutor(max(1, threads)) as pool:
        found = list(progress(pool.map(lambda job: _measure(*job), jobs), total=len(jobs), what="slides measured"))
    write_table(pd.DataFrame(found).assign(slide=slides["slide"].to_numpy())[["slide", *FEATURES]], plain)


def count_nuclei(rgb: np.ndarray, *, mpp: float) -> tuple[int, float]:
    """Blobs of haematoxylin of a nucleus' size in ``rgb`` (H × W × 3, ``mpp`` µm per pixel), and their share of it.

    A coarse measure: nuclei that touch are one. It is a control, not a segmentation.
    """
    strength = (optical_density(rgb).reshape(-1, 3) @ UNMIX)[:, 0].reshape(rgb.shape[:2])
    smooth = cv2.GaussianBlur(strength, (0, 0), max(0.3, BLUR_UM / mpp))
    count, _, stats, _ = cv2.connectedComponentsWithStats((smooth > STAINED).astype(np.uint8), connectivity=8)
    area = stats[1:count, cv2.CC_STAT_AREA] * mpp**2
    fits = (area >= NUCLEUS_UM2[0]) & (area <= NUCLEUS_UM2[1])
    return int(fits.sum()), float(area[fits].sum() / (rgb.shape[0] * rgb.shape[1] * mpp**2))


def _measure(shard: str, mpp: float) -> dict[str, list[float]]:
    colours, counts, shares, area = [], [], [], 0.0
    for _, _, jpeg in read_shard(shard):
        rgb = simplejpeg.decode_jpeg(jpeg)
        colours.append(rgb.reshape(-1, 3).mean(axis=0))
        count, share = count_nuclei(rgb, mpp=mpp)
        counts.append(count)
        shares.append(share)
        area += rgb.shape[0] * rgb.shape[1] * mpp**2 * 1e-6
    return {
        "colour": [*np.mean(colours, axis=0), *np.std(colours, axis=0)],
        "nuclei": [sum(counts) / area, float(np.mean(shares))],
        "tiles": [float(np.log(len(colours)))],
    }

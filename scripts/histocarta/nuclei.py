"""What the nuclei of one window look like: their size, colour and distance to their neighbours, by classical means.

The features are those of He 2020's hand-crafted baseline: ten per nucleus, of each the mean, standard deviation,
skewness, kurtosis and a histogram of ten bins over the window's nuclei, and their count. The paper took nuclei from
HistomicsTK; here scikit-image finds them in the haematoxylin of a colour deconvolution. It is a baseline, not a
segmentation for its own sake: it needs no weights and no training.
"""

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import Delaunay, QhullError
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from histocarta.dyes import HAEMATOXYLIN_EOSIN, optical_density

UNMIX = np.linalg.pinv(np.array(HAEMATOXYLIN_EOSIN)).astype(np.float32)
BLUR_UM = 0.7  # chromatin is grainy below it
STAINED = 0.5  # least concentration of haematoxylin of a nucleus: what Otsu finds in a window without nuclei lies below
DARKEST = 16  # grey level: below it the logarithm makes nuclei of the noise of a black border
CONTRAST = 0.3  # least difference of haematoxylin, of what is stained from the rest: Otsu parts even noise in two
SMOOTH_UM = 1.0  # radius of the disc that must fit inside: bridges and fibres are thinner
RADIUS_UM = 4.0  # of the blobs that a Laplacian of a Gaussian looks for: a nucleus of 8 µm
APART_UM = 3.5  # centres of nuclei that touch are at least this far apart: smaller than the radius of most
NUCLEUS_UM2 = (12.0, 400.0)  # smaller: debris and nuclei cut by the window's edge; larger: ink, folds, uncut clumps
ZERO_SPREAD = 1e-9  # relative: of values that are all the same, skewness and kurtosis would be rounding errors

# Of each feature the edges of ten equal bins; what lies outside counts in the first or the last. µm², µm, none, grey
# levels, µm. They are constants, so that windows of all slides and studies share one scale.
RANGES = {
    "area": (0.0, 200.0),
    "major": (0.0, 25.0),
    "minor": (0.0, 15.0),
    "ratio": (1.0, 4.0),
    "red": (0.0, 255.0),
    "green": (0.0, 255.0),
    "blue": (0.0, 255.0),
    "farthest": (0.0, 60.0),
    "neighbours": (0.0, 40.0),
    "nearest": (0.0, 25.0),
}
BINS = 10
EDGES = {name: np.linspace(low, high, BINS + 1) for name, (low, high) in RANGES.items()}
STATISTICS = ("mean", "sd", "skew", "kurtosis", *(f"bin{number}" for number in range(1, BINS + 1)))
NAMES = ("nuclei_count", *(f"nuclei_{feature}_{statistic}" for feature in RANGES for statistic in STATISTICS))


def measure_nuclei(rgb: np.ndarray, *, mpp: float) -> np.ndarray:
    """The features NAMES of the window ``rgb`` (uint8, H × W × 3, ``mpp`` µm per pixel) as a float64 vector.

    Histograms are shares of the nuclei that have the feature, all 0 where none has. A statistic that too few nuclei
    define is NaN: the mean and deviation of none, skewness and kurtosis of fewer than two or of equal values.
    """
    return summarise_nuclei(describe_nuclei(rgb, segment_nuclei(rgb, mpp=mpp), mpp=mpp))


def segment_nuclei(rgb: np.ndarray, *, mpp: float) -> np.ndarray:
    """int32 labels (H × W) of the nuclei in ``rgb`` (uint8, H × W × 3, ``mpp`` µm per pixel); 0 is no nucleus.

    Haematoxylin above Otsu's threshold of the window (at least STAINED), holes filled, opened by a disc; nuclei that
    touch are parted by a watershed from the peaks of a Laplacian of a Gaussian. Nuclei cut by the edge count; one
    of evenly dark pixels and more than about 12 µm across may be parted in two.
    """
    density = optical_density(np.maximum(rgb, DARKEST))
    haematoxylin = (density.reshape(-1, 3) @ UNMIX)[:, 0].reshape(rgb.shape[:2])
    smooth = cv2.GaussianBlur(haematoxylin, (0, 0), max(0.3, BLUR_UM / mpp))
    mask = smooth > max(STAINED, threshold_otsu(smooth))
    if not mask.any() or smooth[mask].mean() - smooth[~mask].mean() < CONTRAST:
        return np.zeros(mask.shape, np.int32)
    reach = max(1, round(SMOOTH_UM / mpp))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    holes = _small_holes(mask, mpp=mpp)
    haematoxylin[holes] = haematoxylin[mask].mean()
    mask = cv2.morphologyEx((mask | holes).astype(np.uint8), cv2.MORPH_OPEN, disc)
    if not mask.any():
        return np.zeros(mask.shape, np.int32)
    # Blobs of a nucleus' radius; the distance to the mask's edge finds none in the packed nests of carcinoma.
    blobs = -cv2.Laplacian(cv2.GaussianBlur(haematoxylin, (0, 0), RADIUS_UM / mpp / np.sqrt(2)), cv2.CV_32F)
    peaks = peak_local_max(blobs, min_distance=max(1, round(APART_UM / mpp)), labels=mask, exclude_border=False)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    labels = watershed(-blobs, markers, mask=mask.astype(bool))
    area = np.bincount(labels.ravel()) * mpp**2
    kept = (area >= NUCLEUS_UM2[0]) & (area <= NUCLEUS_UM2[1])
    kept[0] = False
    return np.where(kept, np.cumsum(kept), 0)[labels].astype(np.int32)


def describe_nuclei(rgb: np.ndarray, labels: np.ndarray, *, mpp: float) -> np.ndarray:
    """Nuclei × the ten features of RANGES, in its order: µm², µm, grey levels; NaN where no neighbour is defined.

    Axes are those of the ellipse with the same second moments (scikit-image). Distances run from centre to centre along
    the Delaunay triangulation, which needs three nuclei that do not lie on one line.
    """
    inside = np.flatnonzero(labels)
    if not len(inside):
        return np.empty((0, len(RANGES)))
    # All at once: scikit-image's regionprops loops over the nuclei, 30 ms a window.
    which, (y, x) = labels.ravel()[inside] - 1, np.divmod(inside, labels.shape[1])
    area = np.bincount(which)
    colours = [np.bincount(which, channel) / area for channel in rgb.reshape(-1, 3)[inside].T]
    centres = np.stack([np.bincount(which, y) / area, np.bincount(which, x) / area], axis=1)
    y, x = y - centres[which, 0], x - centres[which, 1]
    yy, xx = (np.bincount(which, one**2) / area for one in (y, x))
    xy = np.bincount(which, x * y) / area
    apart = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    major, minor = (4 * mpp * np.sqrt(np.maximum(xx + yy + sign * apart, 0) / 2) for sign in (1, -1))
    return np.column_stack(
        [area * mpp**2, major, minor, major / np.maximum(minor, mpp), *colours, neighbour_distances(centres * mpp)]
    )


def neighbour_distances(centres: np.ndarray) -> np.ndarray:
    """Maximum, mean and minimum distance (N × 3) of each of ``centres`` (N × 2) to its Delaunay neighbours.

    NaN where there is no triangulation: fewer than three points, or all on one line.
    """
    none = np.full((len(centres), 3), np.nan)
    if len(centres) < 3:
        return none
    try:
        starts, ends = Delaunay(centres).vertex_neighbor_vertices
    except QhullError:  # on one line
        return none
    length = np.linalg.norm(centres[ends] - np.repeat(centres, np.diff(starts), axis=0), axis=1)
    has = np.flatnonzero(np.diff(starts))  # Qhull leaves out a point that coincides with another
    first = starts[has]
    total = np.add.reduceat(length, first)
    none[has] = np.column_stack(
        [np.maximum.reduceat(length, first), total / np.diff(starts)[has], np.minimum.reduceat(length, first)]
    )
    return none


def summarise_nuclei(nuclei: np.ndarray) -> np.ndarray:
    """The features NAMES of a window from those of its ``nuclei`` (N × the ten of RANGES, NaN where one has none)."""
    has = ~np.isnan(nuclei)
    count = has.sum(axis=0)
    values = np.where(has, nuclei, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):  # of no nucleus
        mean = values.sum(axis=0) / count
        second, third, fourth = (
            (np.where(has, nuclei - mean, 0.0) ** power).sum(axis=0) / count for power in (2, 3, 4)
        )
        spread = np.sqrt(second)
        equal = ~(spread > ZERO_SPREAD * np.maximum(1.0, np.abs(mean)))
        skew, kurtosis = (np.where(equal, np.nan, one) for one in (third / spread**3, fourth / second**2 - 3))
    shares = [
        np.histogram(np.clip(nuclei[has[:, i], i], edges[0], edges[-1]), bins=edges)[0] / max(count[i], 1)
        for i, edges in enumerate(EDGES.values())
    ]
    table = np.column_stack([mean, spread, skew, kurtosis, shares])
    return np.concatenate([[len(nuclei)], table.ravel()])


def _small_holes(mask: np.ndarray, *, mpp: float) -> np.ndarray:
    """The holes of ``mask`` smaller than the smallest nucleus: large nuclei are pale inside."""
    holes = ndimage.label(~mask)[0]
    small = np.bincount(holes.ravel()) * mpp**2 < NUCLEUS_UM2[0]
    small[0] = False  # the mask itself
    return small[holes]

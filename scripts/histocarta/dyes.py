"""How haematoxylin and eosin colour light: optical densities, the two dyes found in pixels, and their strengths.

Pictures are RGB of 8 bits. Optical density is the natural logarithm -ln((I + 1) / 240) of Macenko's published code. A
stain matrix is 2 × 3: its rows are the unit densities (red, green, blue) of haematoxylin and of eosin.
"""

import cv2
import numpy as np

LIGHT = 240.0  # transmitted light of empty glass, as in Macenko's published code and torchstain
CLEAR = 0.15  # optical density below which the light passed unstained (their beta)
PURE = 1.0  # percentile of the angles that counts as one pure dye (their alpha)
STRONGEST = 99.0  # percentile of the concentrations that counts as the maximum
SPARSITY = 0.1  # weight of the L1 penalty in Vahadane 2016, equation 3; StainTools' value
DENSITY = -np.log((np.arange(256) + 1) / LIGHT).astype(np.float32)
CLEAR_LEVEL = int(np.count_nonzero(DENSITY >= CLEAR))  # the darkest channel value that counts as clear

# The numbers of Macenko's published code (mitkovetta/staining-normalization), which torchstain ships too.
HAEMATOXYLIN_EOSIN = ((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581))


class StainFault(Exception):
    """An estimate that must not be used: ``code`` and ``reason`` go to the ledger, the slide keeps its own colours."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


def optical_density(rgb: np.ndarray) -> np.ndarray:
    """Optical density, float32 of the same shape; finite at 0, slightly negative above 239."""
    return cv2.LUT(rgb, DENSITY)


def tissue_pixels(rgb: np.ndarray) -> np.ndarray:
    """The pixels (N × 3) of ``rgb`` (… × 3) in which at least one channel is stained."""
    red, green, blue = (pixels := rgb.reshape(-1, 3)).T
    return np.compress(np.minimum(np.minimum(red, green), blue) < CLEAR_LEVEL, pixels, axis=0)


def macenko_matrix(rgb: np.ndarray) -> np.ndarray:
    """Stain matrix of the pixels ``rgb`` (… × 3): the extreme angles in the plane of most variance (Macenko 2009).

    Only pixels stained in all channels count, as in the published code. Fewer than three raise :class:`StainFault`.
    """
    red, green, blue = (pixels := rgb.reshape(-1, 3)).T
    palest = np.maximum(np.maximum(red, green), blue)  # several times as fast as pixels.max(axis=1)
    stained = np.compress(palest < CLEAR_LEVEL, optical_density(pixels), axis=0)
    if len(stained) < 3:
        raise StainFault("N-TISSUE", f"{len(stained)} pixels are stained in all three channels")
    centred = stained - np.full(len(stained), 1 / len(stained), np.float32) @ stained  # BLAS, not mean(axis=0)
    plane = np.linalg.eigh((centred.T @ centred).astype(np.float64))[1][:, 1:]
    second, first = (stained @ plane.astype(np.float32)).T
    # The angle from the second axis: its jump from pi to -pi lies where no optical density does.
    angle = np.arctan2(first, second)
    angles = np.array([percentile(angle, PURE), percentile(angle, 100 - PURE)])
    return _haematoxylin_first(np.stack([np.cos(angles), np.sin(angles)], axis=1) @ plane.T)


def vahadane_matrix(rgb: np.ndarray, *, rounds: int = 200, tolerance: float = 1e-4) -> np.ndarray:
    """Stain matrix of the pixels ``rgb`` (… × 3) by sparse non-negative factorisation (Vahadane 2016, equation 3).

    Alternates the exact non-negative lasso of two dyes with Mairal's dictionary step (Mairal 2010, algorithm 2), from
    the reference dyes, until no entry moves by ``tolerance``. Deterministic. Raises :class:`StainFault` where a dye
    takes part in no pixel.
    """
    density = np.maximum(optical_density(tissue_pixels(rgb)), 0)
    matrix = np.array(HAEMATOXYLIN_EOSIN)
    for _ in range(rounds):
        codes = sparse_codes(density, matrix).astype(np.float64)
        weights, sums = codes.T @ codes, codes.T @ density
        previous = matrix.copy()
        for dye, name in enumerate(("haematoxylin", "eosin")):
            if weights[dye, dye] <= 0:
                raise StainFault("N-ONEDYE", f"{name} takes part in no pixel")
            step = np.maximum(matrix[dye] + (sums[dye] - weights[dye] @ matrix) / weights[dye, dye], 0)
            matrix[dye] = step / np.linalg.norm(step)
        if np.abs(matrix - previous).max() < tolerance:
            break
    return _haematoxylin_first(matrix)


def sparse_codes(density: np.ndarray, matrix: np.ndarray, *, sparsity: float = SPARSITY) -> np.ndarray:
    """Concentrations h ≥ 0 (N × 2) that minimise ½ ‖density - h · matrix‖² + sparsity · ‖h‖₁, for unit dyes.

    With two dyes the lasso has a closed form: where the unconstrained solution is negative in one dye, that dye is 0.
    """
    matrix = matrix.astype(density.dtype)
    gram = matrix[0] @ matrix[1]
    wanted = density @ matrix.T - density.dtype.type(sparsity)
    haematoxylin, eosin = wanted[:, 0] - gram * wanted[:, 1], wanted[:, 1] - gram * wanted[:, 0]
    codes = np.stack([haematoxylin, eosin], axis=1) / (1 - gram**2)
    codes[eosin < 0, 0] = wanted[eosin < 0, 0]
    codes[haematoxylin < 0, 1] = wanted[haematoxylin < 0, 1]
    return np.maximum(codes, 0)


def max_concentrations(rgb: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The 99th percentile of each dye's concentration, least squares, over the pixels ``rgb`` (… × 3)."""
    unmix = np.linalg.pinv(matrix).astype(np.float32)
    concentrations = unmix.T @ optical_density(rgb.reshape(-1, 3)).T
    return np.array([percentile(dye, STRONGEST) for dye in concentrations])


def percentile(values: np.ndarray, share: float) -> float:
    """numpy.percentile (linear) of a vector; faster, since it sorts out two places and looks for no NaN."""
    place = share / 100 * (len(values) - 1)
    below = int(place)
    above = min(below + 1, len(values) - 1)
    low, high = np.partition(values, [below, above])[[below, above]].astype(float)
    return low + (place - below) * (high - low)


def degrees_between(one: np.ndarray, other: np.ndarray) -> float:
    """The angle between two vectors in degrees."""
    cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def _haematoxylin_first(matrix: np.ndarray) -> np.ndarray:
    """Haematoxylin takes more of the red light than eosin does: the published code's rule."""
    return matrix if matrix[0, 0] > matrix[1, 0] else matrix[::-1]

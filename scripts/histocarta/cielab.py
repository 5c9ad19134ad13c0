"""How an 8-bit sRGB colour and a CIELAB colour (L 0..100, a, b; white point D65) become each other.

Formulas and constants are those of scikit-image and torchstain (ITU-R BT.709 primaries, CIE 1931 2° observer). OpenCV's
own conversion is not used: it approximates the curves and is up to nine grey levels off after a normalisation.
"""

import numpy as np

TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
FROM_XYZ = np.linalg.inv(TO_XYZ)
WHITE = np.array([0.95047, 1.0, 1.08883])
TO_LAB = np.array([[0, 116, 0], [500, -500, 0], [0, 200, -200]])  # of the cube roots of X, Y, Z; L also less 16


def rgb_to_lab(rgb: np.ndarray) -> np.ndarray:
    """CIELAB (float64, N × 3) of 8-bit colours ``rgb`` (N × 3)."""
    grey = np.arange(256) / 255
    linear = np.where(grey > 0.04045, ((grey + 0.055) / 1.055) ** 2.4, grey / 12.92)
    xyz = linear[rgb] @ TO_XYZ.T / WHITE
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return roots @ TO_LAB.T - (16, 0, 0)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """8-bit colours (N × 3) of CIELAB ``lab`` (N × 3); what no screen can show is clipped, fractions are cut off."""
    middle = (lab[:, 0] + 16) / 116
    roots = np.stack([lab[:, 1] / 500 + middle, middle, middle - lab[:, 2] / 200], axis=1)
    xyz = np.where(roots > 0.2068966, roots**3, (roots - 16 / 116) / 7.787) * WHITE
    linear = xyz @ FROM_XYZ.T
    curved = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    rgb = np.where(linear > 0.0031308, curved, 12.92 * linear)
    return (np.clip(rgb, 0, 1) * 255).astype(np.uint8)

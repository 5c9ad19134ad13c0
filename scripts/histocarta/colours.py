"""Which colour stands for which combination of traits: one per combination for ever, whatever else a slide shows."""

from functools import cache

import numpy as np

from histocarta.cielab import rgb_to_lab
from histocarta.errors import InputError

# Additive mnemonic in the colour-blind-safe palette of Okabe and Ito (2008): red + blue = purple, red + green = yellow,
# green + blue = sky, all = black. Combinations of the same code have the same colour for any number of traits.
FIRST_COLOURS = (
    (213, 94, 0), (0, 114, 178), (204, 121, 167), (0, 158, 115), (240, 228, 66), (86, 180, 233), (20, 20, 20),
)  # fmt: skip
NEGATIVE_COLOUR = (178, 182, 194)
WHITE_COLOUR = (255, 255, 255)
MIN_CHROMA = 25.0  # CIELAB; less is a grey, and greys belong to the slide under the map


@cache
def combination_colours(n: int) -> np.ndarray:
    """Colours of the combination codes 1..``n``, uint8 (n, 3) RGB; a code keeps its colour for any number of traits.

    Beyond the palette's seven, each next colour is the one farthest (CIELAB) from all before it, from white and from
    negative tissue. Raises InputError where the colours run out (beyond eleven traits).
    """
    chosen = np.array([*FIRST_COLOURS, WHITE_COLOUR, NEGATIVE_COLOUR], dtype=np.uint8)
    steps = np.arange(0, 256, 17)
    candidates = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(-1, 3).astype(np.uint8)
    lab = rgb_to_lab(candidates)
    vivid = np.hypot(lab[:, 1], lab[:, 2]) >= MIN_CHROMA
    candidates, lab = candidates[vivid], lab[vivid]
    if n > len(FIRST_COLOURS) + len(candidates):
        raise InputError(f"Expected at most 11 traits in one heterogeneity map, found combination {n}; list fewer.")
    distance = np.linalg.norm(lab[:, None] - rgb_to_lab(chosen)[None], axis=2).min(axis=1)
    more = []
    while len(FIRST_COLOURS) + len(more) < n:
        more.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(lab - lab[more[-1]], axis=1))
    return np.vstack([chosen[: len(FIRST_COLOURS)], candidates[more]])[:n]

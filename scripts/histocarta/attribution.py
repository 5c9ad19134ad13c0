"""Which pixels of a window a model's output comes from: integrated gradients, whose sum is what there is to explain."""

from dataclasses import dataclass

import keras
import numpy as np

from histocarta import models as networks
from histocarta.backends import backend_in_use

WHITE = 1.0  # of pixels in 0..1: glass, where there is no tissue
AT_ONCE = 32  # pictures in one pass through the network


@dataclass(frozen=True)
class Attribution:
    """Attributions (pictures × height × width × 3), and the output of the pictures and of the baseline."""

    values: np.ndarray
    output: np.ndarray
    baseline: float

    @property
    def error(self) -> np.ndarray:
        """By how much each picture's attributions miss what they add up to: its output less the baseline's."""
        return self.values.sum(axis=(1, 2, 3)) - (self.output - self.baseline)


def integrated_gradients(
    model: keras.Model, tiles: np.ndarray, *, output: int = 0, steps: int = 64, baseline: float = WHITE
) -> Attribution:
    """Attribute one ``output`` of ``model`` to the pixels of ``tiles`` (Sundararajan 2017, eq. 1; He 2020, Fig. 3).

    tiles : uint8, n × size × size × 3, as the model takes them; the path runs in pixels of 0..1, before the model's own
    normalisation, from a picture that is ``baseline`` all over. The integral is Gauss–Legendre's with ``steps`` points.
    Completeness: the attributions of a picture add up to its output less the baseline's (``Attribution.error``).
    """
    inner = pixels_model(model)
    gradient = backend_in_use().gradient(inner, output)
    nodes, weights = np.polynomial.legendre.leggauss(steps)
    nodes, weights = (nodes + 1) / 2, weights / 2
    start = np.full((1, *model.input_shape[1:]), baseline, np.float32)
    values = []
    for tile in np.asarray(tiles, np.float32) / 255:
        total = np.zeros(tile.shape, np.float64)
        for at in range(0, steps, AT_ONCE):
            share = nodes[at : at + AT_ONCE].astype(np.float32)[:, None, None, None]
            _, found = gradient(start + share * (tile - start))
            total += np.tensordot(weights[at : at + AT_ONCE], found.astype(np.float64), axes=1)
        values.append(total * (tile - start[0]))
    ends = np.concatenate([np.asarray(tiles, np.float32) / 255, start])
    found = np.concatenate([gradient(ends[at : at + AT_ONCE])[0] for at in range(0, len(ends), AT_ONCE)])
    whole = np.array(values).reshape(len(tiles), *model.input_shape[1:])
    return Attribution(whole, found[:-1].astype(np.float64), float(found[-1]))


def pixels_model(model: keras.Model) -> keras.Model:
    """``model`` from its pixels in 0..1 on: without the layer that scales the bytes of a tile."""
    return keras.Model(model.get_layer(networks.SCALE).output, model.output)

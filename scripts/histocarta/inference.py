"""How every tile of a cohort gets a score from every round's model in one pass over the pixels."""

from collections.abc import Callable

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from histocarta import models as networks
from histocarta import pipeline
from histocarta.files import read_json, read_table, write_table
from histocarta.progress import progress

COLUMNS = {"slide": "object", "row": "int32", "col": "int32", "score": "float32"}


def score_tiles(
    *, manifest: str, summary: str, models: list[str], scores: list[str], batch: int, precision: str
) -> None:
    """Write the scores of all tiles of the cohort (slide, row, col, score), one file per model.

    Slides come in the manifest's order and tiles row by row. A model that is an empty archive (an excluded round)
    gives a table without rows. Raises InputError for a damaged model or shard, ArithmeticError for a score that is
    not a number.
    """
    excluded = read_json(summary)["status"] != "ok"
    usable = [not excluded and networks.holds_model(path) for path in models]
    chosen = [path for path, use in zip(models, usable, strict=True) if use]
    tables = iter(score_cohort(read_table(manifest), chosen, batch=batch, precision=precision) if chosen else [])
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    for path, use in zip(scores, usable, strict=True):
        write_table(next(tables) if use else empty, path)


def score_cohort(manifest: pd.DataFrame, paths: list[str], *, batch: int, precision: str) -> list[pd.DataFrame]:
    """One table of scores per model; tiles are read and decoded once for all of them."""
    slides = manifest.assign(n_tiles=manifest["n_tiles"].astype(int))
    slides = slides[slides["n_tiles"] > 0].reset_index(drop=True)
    pipeline.check_shards(slides)
    networks.check_same(paths)
    model = networks.load_model(paths[0], precision=precision)
    weights = [_weights(model, path) for path in paths]
    score = _compiled(model)
    size = model.input_shape[1]
    total = int(slides["n_tiles"].sum())
    places, values = [], []
    batches = pipeline.ordered_batches(slides, size=size, batch=batch)
    for tiles, where in progress(
        batches, total=-(-total // batch), what=f"score {total} tiles with {len(paths)} models, batches"
    ):
        places.append(where.numpy())
        values.append(np.concatenate([keras.ops.convert_to_numpy(score(each, tiles)) for each in weights], axis=1))
    where, value = np.concatenate(places), np.concatenate(values)
    if not np.isfinite(value).all():
        raise ArithmeticError(
            f"I-NAN {int((~np.isfinite(value)).sum())} scores of {', '.join(paths)} are not numbers; train again"
        )
    table = pd.DataFrame(
        {
            "slide": slides["slide"].to_numpy()[where[:, 0]],
            "row": where[:, 1].astype(np.int32),
            "col": where[:, 2].astype(np.int32),
        }
    )
    return [table.assign(score=value[:, number]) for number in range(len(paths))]


def _weights(model: keras.Model, path: str) -> tuple[list, list]:
    model.load_weights(path)
    return tuple(
        [keras.ops.copy(v.value) for v in group] for group in (model.trainable_variables, model.non_trainable_variables)
    )


def _compiled(model: keras.Model) -> Callable:
    @tf.function(reduce_retracing=True, autograph=False)
    def score(weights: tuple[list, list], tiles: tf.Tensor) -> tf.Tensor:
        return model.stateless_call(*weights, tiles, training=False)[0]

    return score

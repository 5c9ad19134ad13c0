"""How every tile of a cohort gets a score from every round's model in one pass over the pixels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from histocarta import models as networks
from histocarta import pipeline
from histocarta.backends import Weights, backend_in_use, check_gpus
from histocarta.files import read_json, read_table, write_table
from histocarta.progress import progress

Scorer = Callable[[tf.Tensor], np.ndarray]
COLUMNS = {"slide": "object", "row": "int32", "col": "int32", "score": "float32"}


def score_tiles(
    *,
    manifest: str,
    summary: str,
    models: list[str],
    scores: list[str],
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
    splits: list[str] | None = None,
    symmetric: bool = False,
) -> None:
    """Write the scores of all tiles of the cohort (slide, row, col, score), one file per model.

    Slides come in the manifest's order and tiles row by row. A model that is an empty archive (an excluded round)
    gives a table without rows. With ``splits``, a table per model, each scores only the slides that it tests, and a
    score is the list of all its outputs. symmetric : a score is the mean over a tile's eight symmetries. With ``gpus``
    0 those that there are stay hidden; ``threads`` are those of the CPU that the job may use (None: all). Raises
    InputError for a damaged model or shard, and where a GPU was given that cannot be seen (unless ``require_gpu`` is
    off); ArithmeticError for a score that is not a number.
    """
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    excluded = read_json(summary)["status"] != "ok"
    usable = [not excluded and networks.holds_model(path) for path in models]
    how, slides = {"batch": batch, "precision": precision, "symmetric": symmetric}, read_table(manifest)
    if splits:
        tables = iter([score_tested(slides, path, split, **how) for path, split in zip(models, splits, strict=True)
                       if networks.holds_model(path) and not excluded])  # fmt: skip
    else:
        chosen = [path for path, use in zip(models, usable, strict=True) if use]
        tables = iter(score_cohort(slides, chosen, **how) if chosen else [])
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    for path, use in zip(scores, usable, strict=True):
        write_table(next(tables) if use else empty, path)


def score_together(
    *,
    manifest: str,
    models: list[str],
    scores: str,
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Write the mean of all ``models``' scores of the tiles of a cohort that none of them has seen: one table.

    Settings and errors are those of :func:`score_tiles`; an empty archive says nothing, and of none but those there is
    a table without rows.
    """
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    chosen = [path for path in models if networks.holds_model(path)]
    tables = score_cohort(read_table(manifest), chosen, batch=batch, precision=precision) if chosen else []
    mean = np.mean([table["score"] for table in tables], axis=0, dtype=float) if tables else np.zeros(0)
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in COLUMNS.items()})
    write_table(tables[0].assign(score=mean.astype(np.float32)) if tables else empty, scores)


def score_tested(manifest: pd.DataFrame, path: str, split: str, **how: Any) -> pd.DataFrame:
    """The scores of one model, lists of all its outputs, of the slides that its split tests; maybe none."""
    parts = read_table(split).set_index("slide")["part"]
    tested = manifest[manifest["slide"].map(parts).eq("test")]
    if not tested["n_tiles"].astype(int).any():
        return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in (COLUMNS | {"score": "object"}).items()})
    (table,) = score_cohort(tested, [path], **how)
    return table


def score_cohort(
    manifest: pd.DataFrame, paths: list[str], *, batch: int, precision: str, symmetric: bool = False
) -> list[pd.DataFrame]:
    """One table of scores per model; tiles are read and decoded once for all of them.

    A score is a number, or the list of the outputs of a model that has many.
    """
    slides = manifest.assign(n_tiles=manifest["n_tiles"].astype(int))
    slides = slides[slides["n_tiles"] > 0].reset_index(drop=True)
    pipeline.check_shards(slides)
    score, size = load_scorer(paths, precision=precision)
    places, values = score_slides(slides, mean_of_symmetries(score) if symmetric else score, size=size, batch=batch)
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values)).sum())
        raise ArithmeticError(f"I-NAN {wrong} scores of {', '.join(paths)} are not numbers; train these rounds again")
    slide, row, col = places.T
    names = slides["slide"].to_numpy(object)[slide]
    table = pd.DataFrame({"slide": names, "row": row.astype(np.int32), "col": col.astype(np.int32)})
    each = np.split(values, len(paths), axis=1)
    return [table.assign(score=value[:, 0] if value.shape[1] == 1 else list(value)) for value in each]


def mean_of_symmetries(score: Scorer) -> Scorer:
    """``score`` as the mean over the eight ways to turn and flip a tile (He 2020)."""

    def mean(tiles: tf.Tensor) -> np.ndarray:
        ways = [tf.image.rot90(side, turns) for side in (tiles, tf.reverse(tiles, [2])) for turns in range(4)]
        return np.mean([score(way) for way in ways], axis=0, dtype=np.float64).astype(np.float32)

    return mean


def load_scorer(paths: list[str], *, precision: str) -> tuple[Scorer, int]:
    """A function from tiles (uint8 N x size x size x 3) to the scores of all models (float32 N x models), and ``size``.

    The graph is traced once and each model's weights are handed to it: tracing Inception v3 for each would cost more
    than scoring a small cohort.
    """
    backend = backend_in_use()
    networks.check_same(paths)
    model = networks.load_model(paths[0], precision=precision)
    weights = [_weights_of(model, path) for path in paths]
    compiled = backend.compile(model)

    def score(tiles: tf.Tensor) -> np.ndarray:
        return np.concatenate([compiled(each, tiles) for each in weights], axis=1)

    return score, model.input_shape[1]


def score_slides(slides: pd.DataFrame, score: Scorer, *, size: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Place (number of the slide, row, col) and scores of every tile of ``slides``, in order."""
    batches = pipeline.ordered_batches(slides, size=size, batch=batch, fill=backend_in_use().one_size)
    total = int(batches.cardinality())
    found = [
        (places.numpy(), score(tiles)[: len(places)])  # without what fills the last batch
        for tiles, places in progress(batches, total=total, what="score, batches of tiles")
    ]
    places, values = zip(*found, strict=True)
    return np.concatenate(places), np.concatenate(values)


def _weights_of(model: keras.Model, path: str) -> Weights:
    """The weights of one file, trainable ones and others, as ``stateless_call`` wants them."""
    model.load_weights(path)
    groups = (model.trainable_variables, model.non_trainable_variables)
    return tuple([keras.ops.convert_to_tensor(variable.numpy()) for variable in group] for group in groups)

"""What a network sees in every tile before its last layer, kept so that any number of genes can be read from it."""

from typing import Any

import keras
import numpy as np
import pandas as pd

from histocarta import models as networks
from histocarta import pipeline
from histocarta.backends import backend_in_use, check_gpus
from histocarta.files import read_table, replacing, sha256, write_json, write_table
from histocarta.inference import score_slides
from histocarta.tasks import TASKS

EMPTY = {"slide": "object", "n_tiles": "int64", "features": "object"}


def extract_features(
    *,
    manifest: str,
    model: str | None,
    tiles: str,
    places: str,
    slides: str,
    head: str,
    record: str,
    network: dict[str, Any],
    pooling: str,
    seed: int,
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Write the features of all tiles of a cohort: a network's activations after its pooling.

    model : a ``.keras`` file with one scale, one pooling and one linear head; None: the study's ``network`` (its
    ``model`` section, ``pooling`` standing in where that names none), from its weights or, where it names none, from
    the random start that ``seed`` gives: an untrained network. ``tiles``: float16, tiles × features (.npy), in the
    order of ``places`` (slide, row, col); ``slides``: each slide's number of tiles and its mean, float32, taken before
    they were rounded; ``head``: weights and intercept of the model's own head (.npz), empty for an untrained network;
    ``record``: what network it was. An empty archive (an excluded round) gives empty tables. Errors are those of
    :func:`histocarta.inference.score_tiles`.
    """
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    whole = None
    if model is not None and networks.holds_model(model):
        whole = networks.load_model(model, precision=precision)
    elif model is None:
        built = {key: value for key, value in network.items() if not key.startswith("weights")}
        # No tile is learnt from that pixels could be normalised by.
        built |= {"pooling": built["pooling"] or pooling, "normalise": "unit"}
        whole = networks.build_model(TASKS["regression"], precision=precision, **built)
        files = {key: network[key] for key in ("weights", "weights_sha256")}
        networks.initialise(whole, seed=seed, **files)
    table = read_table(manifest)
    table = table.assign(n_tiles=table["n_tiles"].astype(int)).query("n_tiles > 0").reset_index(drop=True)
    found, where = features_of_tiles(whole, table, batch=batch)
    means = _slide_means(table, found, where["slide"].to_numpy()) if len(found) else pd.DataFrame(EMPTY, index=[])
    with replacing(tiles) as temporary, temporary.open("wb") as stream:
        np.save(stream, found.astype(np.float16))
    write_table(where.assign(slide=table["slide"].to_numpy(object)[where["slide"]]), places)
    write_table(means, slides)
    own = whole.get_layer(networks.HEAD).get_weights() if model is not None and whole is not None else []
    weights, intercept = own or (np.zeros((0, 0)), np.zeros(0))
    with replacing(head) as temporary, temporary.open("wb") as stream:
        np.savez(stream, weights=weights, intercept=intercept)
    write_json(
        {
            "model": model, "model_sha256": sha256(model) if model else None, "network": network, "seed": seed,
            "untrained": model is None and network["weights"] is None, "width": int(found.shape[1]),
            "tiles": len(found),
        },
        record,
    )  # fmt: skip


def features_of_tiles(
    model: keras.Model | None, slides: pd.DataFrame, *, batch: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """float32 tiles × features, and each tile's place (number of the slide, row, col)."""
    if model is None or slides.empty:
        return np.zeros((0, 0), np.float32), pd.DataFrame({name: np.zeros(0, int) for name in ("slide", "row", "col")})
    pipeline.check_shards(slides)
    trunk = keras.Model(model.input, model.get_layer(networks.POOL).output)
    compiled = backend_in_use().compile(trunk)
    groups = (trunk.trainable_variables, trunk.non_trainable_variables)
    weights = tuple([keras.ops.convert_to_tensor(variable.numpy()) for variable in group] for group in groups)
    size = model.input_shape[1]
    places, found = score_slides(slides, lambda tiles: compiled(weights, tiles), size=size, batch=batch)
    if not np.isfinite(found).all():
        raise ArithmeticError("I-NAN features that are not numbers; train the model again")
    return found, pd.DataFrame(places.astype(np.int32), columns=["slide", "row", "col"])


def _slide_means(slides: pd.DataFrame, found: np.ndarray, slide: np.ndarray) -> pd.DataFrame:
    """Each slide's mean features; its tiles stand beside each other."""
    starts = np.flatnonzero(np.diff(slide, prepend=-1))
    count = np.diff([*starts, len(slide)])
    mean = np.add.reduceat(found, starts, axis=0, dtype=np.float64) / count[:, None]
    return pd.DataFrame(
        {
            "slide": slides["slide"].to_numpy(object)[slide[starts]],
            "n_tiles": count,
            "features": list(mean.astype(np.float32)),
        }
    )

"""What models of spots see in windows of patients whom they did not learn from, before their last layer."""

import numpy as np
import pandas as pd

from histocarta import models as networks
from histocarta.backends import backend_in_use, check_gpus
from histocarta.features import features_of_tiles
from histocarta.files import read_json, read_table, write_table


def embed_spots(
    *,
    manifest: str,
    summary: str,
    models: list[str],
    splits: list[str],
    latent: str,
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Write ``latent``: slide, row, col, round and features (a list, float32), of the windows that each round tests.

    The features are the network's after its pooling (DenseNet-121: 1,024), of the window as it is, not the mean over
    its symmetries. Each round has a space of its own. A round without a model, and a trait that was left out, has no
    rows.
    """
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    slides, parts = read_table(manifest), []
    slides = slides.assign(n_tiles=slides["n_tiles"].astype(int)).query("n_tiles > 0")
    usable = read_json(summary)["status"] == "ok"
    for number, (path, split) in enumerate(zip(models, splits, strict=True), start=1):
        tested = read_table(split).query("part == 'test'")["slide"]
        own = slides[slides["slide"].isin(tested)].reset_index(drop=True)
        if not usable or own.empty or not networks.holds_model(path):
            continue
        found, where = features_of_tiles(networks.load_model(path, precision=precision), own, batch=batch)
        names = own["slide"].to_numpy(object)[where["slide"]]
        parts.append(where.assign(slide=names, round=number, features=list(found.astype(np.float32))))
    empty = pd.DataFrame(
        {"slide": pd.Series(dtype=object), "row": pd.Series(dtype=np.int32), "col": pd.Series(dtype=np.int32),
         "round": pd.Series(dtype=np.int64), "features": pd.Series(dtype=object)}
    )  # fmt: skip
    write_table(pd.concat(parts, ignore_index=True) if parts else empty, latent)

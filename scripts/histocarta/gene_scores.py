"""How every slide is scored by the networks of one job's genes, in one pass over the pixels."""

import numpy as np
import pandas as pd

from histocarta import pipeline
from histocarta.backends import backend_in_use, check_gpus
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.inference import load_scorer, score_slides
from histocarta.model_archives import unpacked
from histocarta.models import holds_model
from histocarta.values import UNSCALED


def score_genes(
    *,
    manifest: str,
    models: list[str],
    sidecars: list[str],
    scores: str,
    fates: str,
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Write each slide's mean prediction (in units of what was learnt) of one job's genes, in all rounds.

    models, sidecars : what :func:`histocarta.gene_jobs.train_genes` writes in every round. ``scores``: round, slide,
    n_tiles, and a column per gene, NaN where it has no network; ``fates``: what became of each gene in each round, and
    the archives' SHA-256.
    Errors are those of :func:`histocarta.inference.score_tiles`.
    """
    slides = _make_ready(manifest, gpus=gpus, require_gpu=require_gpu, threads=threads)
    told, tables = {"models_sha256": [sha256(path) for path in models], "genes": []}, []
    for archive, sidecar in zip(models, sidecars, strict=True):
        facts = read_json(sidecar)
        names = [gene["trait"] for gene in facts["genes"] if gene["status"] == "ok"]
        means = np.zeros((len(slides), 0), np.float32)
        if names:
            with unpacked(archive, names=names, near=scores) as paths:
                means = score_means(slides, paths, batch=batch, precision=precision)
        tables.append(
            slides[["slide", "n_tiles"]].assign(round=facts["round"]).join(pd.DataFrame(means, columns=names))
        )
        keys = ("trait", "status", "code", "reason")
        told["genes"] += [{"round": facts["round"]} | {key: gene[key] for key in keys} for gene in facts["genes"]]
    write_table(pd.concat(tables, ignore_index=True), scores)
    write_json(told, fates)


def score_gene(
    *,
    manifest: str,
    summary: str,
    models: list[str],
    scores: str,
    trait: str,
    batch: int,
    precision: str,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """The table of :func:`score_genes` for one gene with models of its own, on the scale of its expression.

    summary : its labels.json. A round without a model (an empty archive) has no rows.
    """
    slides = _make_ready(manifest, gpus=gpus, require_gpu=require_gpu, threads=threads)
    facts = read_json(summary)
    usable = [facts["status"] == "ok" and holds_model(path) for path in models]
    chosen = [path for path, use in zip(models, usable, strict=True) if use]
    rows = slides[["slide", "n_tiles"]]
    means = score_means(slides, chosen, batch=batch, precision=precision).T if chosen else np.zeros((0, len(slides)))
    scale = facts.get("scale") or UNSCALED
    tables = [
        rows.assign(round=number, **{trait: column * scale["sd"] + scale["mean"]})
        for number, column in zip(1 + np.flatnonzero(usable), means, strict=True)
    ]
    write_table(pd.concat(tables, ignore_index=True) if tables else rows.iloc[:0].assign(round=0), scores)


def _make_ready(manifest: str, *, gpus: int, require_gpu: bool, threads: int | None) -> pd.DataFrame:
    """Hold the process to its share of the machine; the slides that have tiles, whose shards are whole."""
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    table = read_table(manifest)
    slides = table.assign(n_tiles=table["n_tiles"].astype(int)).query("n_tiles > 0").reset_index(drop=True)
    pipeline.check_shards(slides)
    return slides


def score_means(slides: pd.DataFrame, paths: list[str], *, batch: int, precision: str) -> np.ndarray:
    """float32, slides × models: the mean score of each slide's tiles, which are read and decoded once for all."""
    score, size = load_scorer(paths, precision=precision)
    places, values = score_slides(slides, score, size=size, batch=batch)
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values)).any(axis=0).sum())
        raise ArithmeticError(f"I-NAN scores of {wrong} of {len(paths)} genes are not numbers; train them again")
    starts = np.flatnonzero(np.diff(places[:, 0], prepend=-1))
    sums = np.add.reduceat(values, starts, axis=0, dtype=np.float64)
    return (sums / slides["n_tiles"].to_numpy()[:, None]).astype(np.float32)

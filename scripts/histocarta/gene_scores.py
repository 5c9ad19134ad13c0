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
    placed: str | list[str] = (),
    regions: str | None = None,
) -> None:
    """Write each slide's mean prediction (in units of what was learnt) of one job's genes, in all rounds.

    placed : the tiles of regions in which expression was measured (:func:`histocarta.rois.place_rois`), if any;
    ``regions`` then holds their mean predictions: round, roi, and a column per gene.

    models, sidecars : what :func:`histocarta.gene_jobs.train_genes` writes in every round. ``scores``: round, slide,
    n_tiles, and a column per gene, NaN where it has no network; ``fates``: what became of each gene in each round, and
    the archives' SHA-256.
    Errors are those of :func:`histocarta.inference.score_tiles`.
    """
    slides = _make_ready(manifest, gpus=gpus, require_gpu=require_gpu, threads=threads)
    told, tables, parts = {"models_sha256": [sha256(path) for path in models], "genes": []}, [], []
    where = read_table(placed) if placed else None
    for archive, sidecar in zip(models, sidecars, strict=True):
        facts = read_json(sidecar)
        names = [gene["trait"] for gene in facts["genes"] if gene["status"] == "ok"]
        means, inside = np.zeros((len(slides), 0), np.float32), pd.DataFrame()
        if names:
            with unpacked(archive, names=names, near=scores) as paths:
                places, values = score_all(slides, paths, batch=batch, precision=precision)
            means = mean_by_slide(slides, places, values)
            inside = mean_by_region(slides, places, values, where=where, names=names)
        parts.append(inside.assign(round=facts["round"]))
        tables.append(
            slides[["slide", "n_tiles"]].assign(round=facts["round"]).join(pd.DataFrame(means, columns=names))
        )
        keys = ("trait", "status", "code", "reason")
        told["genes"] += [{"round": facts["round"]} | {key: gene[key] for key in keys} for gene in facts["genes"]]
    write_table(pd.concat(tables, ignore_index=True), scores)
    write_json(told, fates)
    if regions:
        write_table(pd.concat(parts, ignore_index=True), regions)


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
    means = np.zeros((0, len(slides)))
    if chosen:
        means = mean_by_slide(slides, *score_all(slides, chosen, batch=batch, precision=precision)).T
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


def score_all(slides: pd.DataFrame, paths: list[str], *, batch: int, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """Place (number of the slide, row, col) of every tile, and its scores: float32, tiles × models; decoded once."""
    score, size = load_scorer(paths, precision=precision)
    places, values = score_slides(slides, score, size=size, batch=batch)
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values)).any(axis=0).sum())
        raise ArithmeticError(f"I-NAN scores of {wrong} of {len(paths)} genes are not numbers; train them again")
    return places, values


def mean_by_slide(slides: pd.DataFrame, places: np.ndarray, values: np.ndarray) -> np.ndarray:
    """float32, slides × models: the mean of each slide's tiles."""
    starts = np.flatnonzero(np.diff(places[:, 0], prepend=-1))
    sums = np.add.reduceat(values, starts, axis=0, dtype=np.float64)
    return (sums / slides["n_tiles"].to_numpy()[:, None]).astype(np.float32)


def mean_by_region(
    slides: pd.DataFrame, places: np.ndarray, values: np.ndarray, *, where: pd.DataFrame | None, names: list[str]
) -> pd.DataFrame:
    """roi and a column per model: the mean of each region's tiles; ``where``: roi, slide, row and col of them."""
    if where is None:
        return pd.DataFrame()
    tiles = pd.DataFrame(places[:, 1:], columns=["row", "col"]).assign(at=np.arange(len(places)))
    tiles["slide"] = slides["slide"].to_numpy()[places[:, 0]]
    inside = where.merge(tiles, on=["slide", "row", "col"])
    means = pd.DataFrame(values[inside["at"].to_numpy()], columns=names).groupby(inside["roi"].to_numpy()).mean()
    return means.rename_axis("roi").reset_index()

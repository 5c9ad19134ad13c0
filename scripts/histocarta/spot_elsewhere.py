"""What models of spots say, unchanged, of tiles that they were not made for: of another cohort, or of a grid."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from histocarta import models as networks
from histocarta.backends import backend_in_use, check_gpus
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.inference import score_cohort
from histocarta.progress import progress

PLACE = ["slide", "row", "col"]
SAME = ("size", "mpp", "stain")  # of a layout, that a model depends on


def predict_elsewhere(
    *,
    manifest: str,
    summary: str,
    models: list[str],
    sidecars: list[str],
    splits: list[str],
    scores: str,
    record: str,
    windows: Mapping[str, Any],
    learnt: Mapping[str, Any],
    batch: int,
    precision: str,
    symmetric: bool,
    gpus: int = 1,
    require_gpu: bool = True,
    threads: int | None = None,
) -> None:
    """Write ``scores``: slide, row, col and a column per gene of labels.json (``summary``), a row per tile.

    manifest : of the tiles' cohort. windows, learnt : the layouts of its tiles and of the models' own, which must show
    as much tissue as finely. splits : who learnt in each round. A slide is scored by the rounds that did not learn from
    its patient (all of them, where the patient is foreign); a gene by those of them that chose it: the mean. A slide
    that every round learnt from is left out; ``record`` names it, and the models by their SHA-256. A trait that was
    left out, or has no model, gets a table without rows.
    """
    check_windows(windows, learnt=learnt)
    backend_in_use().limit(gpus=gpus, threads=threads)
    check_gpus(gpus=gpus, required=require_gpu)
    facts, slides = read_json(summary), read_table(manifest)
    genes, parts = facts["genes"], []
    usable = [networks.holds_model(path) and facts["status"] == "ok" for path in models]
    may = unseen_by(slides["patient"], splits) & np.array(usable)
    numbers = [read_json(path)["round"] for path in sidecars]
    chosen = [facts["chosen"].get(str(number), []) for number in numbers]
    patterns, pattern = np.unique(may, axis=0, return_inverse=True)
    for number, rounds in enumerate(progress(patterns, total=len(patterns), what="groups of slides scored")):
        heard, own = np.flatnonzero(rounds), slides[pattern.ravel() == number]
        if len(heard) and own["n_tiles"].astype(int).any():
            tables = score_cohort(
                own, [models[k] for k in heard], batch=batch, precision=precision, symmetric=symmetric
            )
            values = mean_by_gene(
                [outputs(one["score"]) for one in tables], chosen=[chosen[k] for k in heard], n_genes=len(genes)
            )
            parts.append(pd.concat([tables[0][PLACE], pd.DataFrame(values, columns=genes)], axis=1))
    kinds = {"slide": object, "row": np.int32, "col": np.int32} | dict.fromkeys(genes, np.float32)
    empty = pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()})
    write_table(pd.concat(parts, ignore_index=True) if parts else empty, scores)
    told = {str(number): sha256(path) for number, path, use in zip(numbers, models, usable, strict=True) if use}
    left_out = slides.loc[~may.any(axis=1), "slide"].tolist()
    write_json({"trait": facts["trait"], "models": told, "left_out": left_out, "slides": len(slides)}, record)


def unseen_by(patients: pd.Series, splits: Sequence[str]) -> np.ndarray:
    """Whether each round learnt from nobody of the slide's patient: bool, slides × rounds.

    patients : of the slides. splits : tables with patient and part of each round. Learning is training and choosing
    when to stop: every part but the test.
    """
    seen = []
    for path in splits:
        split = read_table(path)
        seen.append(patients.isin(split.loc[split["part"] != "test", "patient"]).to_numpy())
    return ~np.array(seen).T.reshape(len(patients), len(splits))


def outputs(scores: pd.Series) -> np.ndarray:
    """A column of scores, numbers or lists of as many, as an array: tiles × outputs."""
    return np.stack(scores.to_list()).reshape(len(scores), -1)


def mean_by_gene(scores: Sequence[np.ndarray], *, chosen: Sequence[Sequence[int]], n_genes: int) -> np.ndarray:
    """The mean over rounds (each tiles × its ``chosen`` genes) of every gene: float32, tiles × genes; NaN of none."""
    total, count = np.zeros((len(scores[0]), n_genes)), np.zeros(n_genes)
    for values, genes in zip(scores, chosen, strict=True):
        total[:, genes] += values
        count[genes] += 1
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0).astype(np.float32)


def check_windows(windows: Mapping[str, Any], *, learnt: Mapping[str, Any]) -> None:
    """InputError unless a layout's tiles show as much tissue, as finely, in the same stain, as those learnt from."""
    for key in SAME:
        if windows[key] != learnt[key]:
            raise InputError(
                f"Expected tiles of {key} {learnt[key]}, as the models learnt from, found {windows[key]}; give the "
                "layout the same size, mpp and stain"
            )

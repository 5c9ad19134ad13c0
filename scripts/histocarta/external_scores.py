"""What models of one cohort predict of another's slides, in one form for all ways: a row per slide and round."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.files import read_table, write_table
from histocarta.predictions import MEAN, predict_round
from histocarta.rounds import read_fates
from histocarta.values import UNSCALED


def score_by_heads(
    *, features: list[str], heads: list[str], sidecars: list[str], genes: str, scores: str, standardise: bool
) -> None:
    """By the rounds' linear ``heads`` on the mean ``features`` (one file for all rounds, or one of each) of the slides.

    ``genes`` : the training cohort's genes.tsv. ``scores``: slide, round (0: the mean of all rounds with a model), and
    a column per gene, on the scale of the training cohort's expression.
    """
    scale = _scale(genes, standardise=standardise)
    paths = features * (len(heads) if len(features) == 1 else 1)
    found = {}
    for fate, path, head in zip(read_fates(sidecars), paths, heads, strict=True):
        if not fate.code:
            slides = read_table(path)[["slide"]]
            found[fate.number] = slides.join(
                pd.DataFrame(predict_round(slides, path, head, scale=scale), columns=scale["trait"])
            )
    _write(found, names=scale["trait"], path=scores)


def gather_scores(*, tables: list[str], scores: str, genes: str | list[str], standardise: bool) -> None:
    """The same table from ``tables`` of :mod:`histocarta.gene_scores`, each with some genes.

    ``genes`` : genes.tsv, where they are in units of what was learnt; none where they are on the scale already.
    """
    every = [read_table(path) for path in tables]
    rounds = sorted({number for table in every for number in table["round"]})
    found = {}
    for number in rounds:
        here = [
            table[table["round"] == number].set_index("slide").drop(columns=["round", "n_tiles"]) for table in every
        ]
        found[number] = pd.concat(here, axis=1).dropna(axis=1, how="all")
    if genes:
        scale = _scale(genes, standardise=standardise).set_index("trait")
        found = {
            number: table * scale.loc[table.columns, "sd"] + scale.loc[table.columns, "mean"]
            for number, table in found.items()
        }
    names = list(dict.fromkeys(name for table in found.values() for name in table.columns))
    _write({number: table.reset_index() for number, table in found.items()}, names=names, path=scores)


def _scale(genes: str, *, standardise: bool) -> pd.DataFrame:
    told = read_table(genes)
    known = told[told["status"] == "ok"].astype({"mean": float, "sd": float})
    return known if standardise else known.assign(**UNSCALED)


def _write(rounds: dict[int, pd.DataFrame], *, names: Sequence[str], path: str) -> None:
    """The rounds' tables below that of their mean, in which every round with a model of a gene counts alike."""
    tables = [table.assign(round=number) for number, table in rounds.items()]
    if tables:
        every = pd.concat(tables).reindex(columns=["slide", "round", *names])
        mean = every.groupby("slide", sort=True)[list(names)].mean().reset_index().assign(round=MEAN)
        every = pd.concat([mean, every], ignore_index=True)[["slide", "round", *names]]
        every = every.astype(dict.fromkeys(names, np.float32))
    else:
        every = pd.DataFrame(columns=["slide", "round"])
    write_table(every, path)

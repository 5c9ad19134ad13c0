"""Which training spots are held out in turn to choose how long a model learns: patients, sections or stripes."""

from dataclasses import replace

import numpy as np
import pandas as pd

from histocarta.training_records import Round


def with_folds(plan: Round, manifest: pd.DataFrame, *, folds: int) -> Round:
    """``plan`` with its training tiles (of ``pipeline.select_tiles``) divided into at most ``folds`` that take turns.

    Names of units are sorted and dealt out in turn, as ST-Net's code does with patients. Where there is one patient
    only, sections (files) are dealt out; where there is one section only, stripes across its longer side. Folds of
    neighbouring tissue choose more epochs than independent ones would: what the unit was stands in the model's record.
    """
    told = manifest.set_index("slide").loc[plan.train["slide"]]
    names = {unit: told[column].to_numpy() for unit, column in (("patient", "patient"), ("section", "file"))}
    unit = next((unit for unit, name in names.items() if len(set(name)) > 1), "stripe")
    if unit == "stripe":
        number, owner = folds, _stripes(plan.train, folds=folds)
    else:
        known = sorted(set(names[unit]))
        number = min(folds, len(known))
        fold_of = {name: place % number for place, name in enumerate(known)}
        counts = plan.train["n_tiles"]
        owner = [np.full(count, fold_of[name]) for name, count in zip(names[unit], counts, strict=True)]
    rounds = [
        replace(
            plan,
            train=_only(plan.train, [fold != held for fold in owner]),
            validation=_only(plan.train, [fold == held for fold in owner]),
        )
        for held in range(number)
    ]
    return replace(plan, folds=tuple(rounds), fold_unit=unit)


def _stripes(slides: pd.DataFrame, *, folds: int) -> list[np.ndarray]:
    """Of every tile its stripe: as many tiles in each, across the longer side of the one section (all its slides)."""
    places = np.concatenate(list(slides["places"]))
    axis = int(np.ptp(places[:, 1]) >= np.ptp(places[:, 0]))
    rank = np.lexsort((places[:, 1 - axis], places[:, axis])).argsort()
    return np.split(rank * folds // len(places), np.cumsum(slides["n_tiles"])[:-1])


def _only(slides: pd.DataFrame, chosen: list[np.ndarray]) -> pd.DataFrame:
    """The rows of ``slides`` with those of their tiles that are ``chosen``, without slides that have none."""
    table = slides.assign(
        label=[label[use] for label, use in zip(slides["label"], chosen, strict=True)],
        places=[place[use] for place, use in zip(slides["places"], chosen, strict=True)],
        at=[at[use] for at, use in zip(slides["at"], chosen, strict=True)],
        n_tiles=[int(use.sum()) for use in chosen],
    )
    return table[table["n_tiles"] > 0].reset_index(drop=True)

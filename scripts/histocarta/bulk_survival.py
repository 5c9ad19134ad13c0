"""What bulk expression alone says of survival: patients by a trait's median, by its extremes, and by pairs of traits.

The baselines that heterogeneity is held against (Levy-Jurgenson 2020, Fig. 5a; released code: first_hi_lo,
second_hi_lo, both_hi_lo, one_hi_other_lo), on every patient with follow-up and a measured value: no slide is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.expression import trait_columns
from histocarta.files import read_table, write_json
from histocarta.hazards import MIN_GROUP
from histocarta.labels import Scale, extremes, fit_scale
from histocarta.survival import MEDIAN_OF, compare, covariate_columns, panel, to_horizon, with_holm
from histocarta.survival_groups import Split, bulk_splits
from histocarta.survival_patients import as_events
from histocarta.survival_pictures import draw_curves, in_rows
from histocarta.versions import VERSION


@dataclass(frozen=True)
class Comparison:
    """Two groups of patients by the bulk expression of one trait or a pair.

    kind : median (released code: first_hi_lo, second_hi_lo), extremes (the labels' percentiles), both (both_hi_lo) or
    sides (one_hi_other_lo: opposite sides of the medians against the same side).
    """

    kind: str
    traits: tuple[str, ...]
    split: Split


def analyse_bulk_survival(
    *,
    clinical: str,
    expression: str,
    summary: str,
    picture: str,
    traits: Sequence[str],
    horizon_years: float | None = None,
    covariates: Sequence[str] = (),
    low: float = 20.0,
    high: float = 80.0,
    min_group: int = MIN_GROUP,
) -> None:
    """Write Kaplan-Meier groups, log-rank tests and Cox models by bulk expression: ``summary`` (JSON), ``picture``.

    ``clinical``, ``expression``: the cohort's cleaned sheets, patients by name; ``horizon_years``: later times are
    censored there; ``covariates``: columns of the clinical sheet for a second, adjusted Cox model; ``low``, ``high``:
    percentiles of the extremes. Thresholds are those of all samples of the expression table, as in the paper's code and
    whatever the labels of a study are fitted on: nothing is learnt here. p also adjusted by Holm over all comparisons;
    none where a group has fewer than ``min_group`` patients.

    Raises InputError for an unknown or repeated trait, an unknown covariate, and tables without a patient in common.
    """
    records = read_table(clinical).sort_values("patient", ignore_index=True)
    records["event"] = as_events(records["event"])
    values = _read_values(expression, traits)
    if not records["patient"].isin(values.index).any():
        raise InputError(
            f"Expected the patients of {clinical} among the samples of {expression}, found none in common; both tables "
            "need the patients' own names."
        )
    own = values.reindex(records["patient"]).set_axis(records.index)
    frame = to_horizon(records[["time", "event"]], horizon_years)
    beside = covariate_columns(records.drop(columns=["patient", "time", "event"]), covariates, source=clinical)
    scales = {
        trait: fit_scale(values[trait].dropna(), low=low, high=high, near=0)
        for trait in traits
        if values[trait].notna().any()
    }
    comparisons = list_comparisons(own, scales, low=low, high=high)
    found = with_holm([compare(frame, one.split, min_group=min_group, beside=beside) for one in comparisons])
    named = [{"kind": one.kind, "traits": one.traits} | record for one, record in zip(comparisons, found, strict=True)]
    settings = {"traits": traits, "horizon_years": horizon_years, "covariates": covariates, "min_group": min_group}
    settings |= {"thresholds_of": {"of": MEDIAN_OF, "samples": {name: int(n) for name, n in values.count().items()}}}
    write_json(_head(frame, own, scales, low=low, high=high, **settings) | {"comparisons": named}, summary)
    panels = [
        panel(frame, one.split, record, title=f"bulk {one.split.name}")
        for one, record in zip(comparisons, found, strict=True)
    ]
    draw_curves(in_rows(panels, across=2), picture)


def list_comparisons(values: pd.DataFrame, scales: Mapping[str, Scale], *, low: float, high: float) -> list[Comparison]:
    """Each trait by its median and by its extremes, then each pair: both high against both low, and unequal sides.

    values : patients × traits, NaN not measured; scales : by trait, those without a measured value are absent. Where
    P_low = P_high the extremes are nobody's.
    """
    graded = {trait: _graded(values[trait], scales.get(trait)) for trait in values}
    above = pd.DataFrame({trait: table["above_median"] for trait, table in graded.items()}, index=values.index)
    found = []
    for trait, table in graded.items():
        (median,) = bulk_splits(above[[trait]])
        ends = Split(f"{trait}, extremes", table["label"], (f"{trait} ≤ P{low:g}", f"{trait} ≥ P{high:g}"))
        found.append(Comparison("median", (trait,), replace(median, name=f"{trait}, median")))
        found.append(Comparison("extremes", (trait,), ends))
    for pair in combinations(values.columns, 2):
        for kind, split in zip(("both", "sides"), bulk_splits(above[list(pair)])[2:], strict=True):
            found.append(Comparison(kind, pair, replace(split, name=f"{' and '.join(pair)}, {kind}")))
    return found


def _graded(values: pd.Series, scale: Scale | None) -> pd.DataFrame:
    """above_median and label (1 high, 0 low, NaN between) of each patient."""
    if scale is None:
        return pd.DataFrame(np.nan, index=values.index, columns=["above_median", "label"])
    table = extremes(values, scale=scale)[["above_median", "label"]]
    return table.assign(label=np.nan) if scale.tied else table


def _read_values(expression: str, traits: Sequence[str]) -> pd.DataFrame:
    """Samples × traits, under the names asked for."""
    if len(set(traits)) < len(traits):
        raise InputError(f"Expected every trait once, found {'+'.join(traits)}; name each once.")
    columns = trait_columns(expression, traits)
    return pd.read_parquet(expression, columns=columns)[columns].set_axis(list(traits), axis=1).astype(float)


def _head(frame: pd.DataFrame, own: pd.DataFrame, scales: Mapping[str, Scale], **settings: object) -> dict:
    """Settings, sizes and thresholds of an analysis."""
    return settings | {
        "version": VERSION["survival"],
        "patients": len(frame),
        "events": int(frame["event"].sum()),
        "measured": {trait: int(own[trait].notna().sum()) for trait in own},
        "thresholds": {
            trait: {"low": scale.low, "median": scale.median, "high": scale.high} for trait, scale in scales.items()
        },
    }

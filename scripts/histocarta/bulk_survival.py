"""What bulk expression alone says of survival: patients by a trait's median, by its extremes, and by pairs of traits.

The baselines that heterogeneity is held against (Levy-Jurgenson 2020, Fig. 5a; released code: first_hi_lo,
second_hi_lo, both_hi_lo, one_hi_other_lo), on every patient with follow-up and a measured value: no slide is needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
from statsmodels.stats.multitest import multipletests

from histocarta.errors import InputError, nearest
from histocarta.expression import find_trait
from histocarta.files import read_table, write_json
from histocarta.hazards import MIN_GROUP, censored_at, design
from histocarta.labels import Scale, extremes, fit_scale
from histocarta.survival import MEDIAN_OF, compare
from histocarta.survival_groups import Split, bulk_splits
from histocarta.survival_patients import as_events
from histocarta.survival_pictures import Panel, draw_curves
from histocarta.versions import VERSION

MONTHS = 12


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
    frame = _followed(records, horizon_years)
    beside = _beside(records, covariates, source=clinical)
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
    panels = [_panel(frame, one.split, record) for one, record in zip(comparisons, found, strict=True)]
    draw_curves([panels[start : start + 2] for start in range(0, len(panels), 2)], picture)


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


def with_holm(found: Sequence[Mapping]) -> list[dict]:
    """Each comparison with its log-rank p adjusted for all that have one (Holm), and how many those are."""
    p = np.array([record["logrank"]["p"] for record in found], dtype=float)
    known = ~np.isnan(p)
    if known.any():
        p[known] = multipletests(p[known], method="holm")[1]
    tests = int(known.sum())
    return [
        {**record, "logrank": {**record["logrank"], "p_holm": float(adjusted), "tests": tests}}
        for record, adjusted in zip(found, p, strict=True)
    ]


def _read_values(expression: str, traits: Sequence[str]) -> pd.DataFrame:
    """Samples × traits, under the names asked for."""
    if len(set(traits)) < len(traits):
        raise InputError(f"Expected every trait once, found {'+'.join(traits)}; name each once.")
    names = [name for name in parquet.read_schema(expression).names if name != "sample"]
    columns = [find_trait(trait, names=names, table=expression) for trait in traits]
    return pd.read_parquet(expression, columns=columns)[columns].set_axis(list(traits), axis=1).astype(float)


def _followed(records: pd.DataFrame, horizon_years: float | None) -> pd.DataFrame:
    """Time (months) and event of every patient, censored at the horizon."""
    horizon = None if horizon_years is None else horizon_years * MONTHS
    time, event = censored_at(records["time"].to_numpy(float), records["event"].to_numpy(bool), horizon)
    return pd.DataFrame({"time": time, "event": event}, index=records.index)


def _beside(records: pd.DataFrame, covariates: Sequence[str], *, source: str) -> pd.DataFrame:
    """The covariates as numbers, one row per patient."""
    known = records.drop(columns=["patient", "time", "event"])
    for name in covariates:
        if name not in known:
            raise InputError(
                f"Expected covariate {name!r} among the columns of {source} ({', '.join(known)}), found none of that "
                f"name{nearest(name, known)}; correct survival.covariates in the config."
            )
    return design(known[list(covariates)])


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


def _panel(frame: pd.DataFrame, split: Split, record: Mapping) -> Panel:
    """What the picture shows of one comparison."""
    sides = [frame[split.high == side] for side in (0.0, 1.0)]
    groups = [(label, side["time"], side["event"]) for label, side in zip(split.labels, sides, strict=True)]
    return Panel(f"bulk {split.name}", groups, record["logrank"], record["cox"])

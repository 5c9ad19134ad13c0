"""Which slides are high in a trait, which are low and which lie between: labels from the percentiles of bulk values."""

import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.samples import centred, fitted_samples, join_samples, read_trait, tiled_slides
from histocarta.versions import VERSION

COLUMNS = {
    "slide": str, "patient": str, "value": float, "label": float, "above_median": float, "decile": np.int8,
    "percentile": float, "ood": str, "reason": str, "sample": str,
}  # fmt: skip
THRESHOLDS = ("low", "high", "median")
MIN_PER_CLASS = 5  # fewer patients of a class cannot fill training and validation


@dataclass(frozen=True)
class Scale:
    """Where a trait's thresholds lie, fitted on one set of samples and applied to any other.

    low, high, median, near_low, near_high : values at the percentiles that bound the classes; deciles : P10 … P90.
    values, percentiles : distinct fitted values in rising order and the percentile of each.
    at_median : one cut instead of two (low and high are the same percentile), so nothing lies between.
    """

    low: float
    high: float
    median: float
    near_low: float
    near_high: float
    deciles: np.ndarray
    values: np.ndarray
    percentiles: np.ndarray
    at_median: bool

    @property
    def tied(self) -> bool:
        """Whether the thresholds cannot tell high from low (checklist B.7: everything would be low)."""
        return bool(self.high >= self.values[-1]) if self.at_median else bool(self.low == self.high)


def fit_scale(values: np.ndarray, *, low: float, high: float, near: float) -> Scale:
    """Fit a scale on measured values (no NaN, one per sample); ``low``, ``high``, ``near`` in percent.

    Percentiles interpolate linearly between order statistics (NumPy's default; the released code's np.percentile).
    """
    values = np.sort(np.asarray(values, dtype=float))
    at = np.percentile(values, [low, high, 50, low + near, high - near, *range(10, 100, 10)])
    distinct, first, count = np.unique(values, return_index=True, return_counts=True)
    # The inverse of that interpolation: the k-th of n values stands at 100 k / (n - 1); ties share their mean.
    place = (first + (count - 1) / 2) / max(len(values) - 1, 1) * 100
    return Scale(*at[:5], deciles=at[5:], values=distinct, percentiles=place, at_median=low == high)


def extremes(values: pd.Series, *, scale: Scale) -> pd.DataFrame:
    """Labels of ``values`` (NaN = not measured): columns label, above_median, decile, percentile, ood; same index.

    Levy-Jurgenson 2020: low iff v <= P_low, high iff v >= P_high (low wins a tie), the rest is out of distribution,
    near where it lies within ``near`` percent of a threshold. Above median is v > median (the released code asks for
    v >= median + 1, a fault). decile is the smallest d with v <= P(10 d), 0 where not measured.
    """
    v = values.to_numpy(dtype=float)
    measured = ~np.isnan(v)
    low = v <= scale.low
    high = (v > scale.high if scale.at_median else v >= scale.high) & ~low
    between = measured & ~low & ~high
    near = between & ((v <= scale.near_low) | (v > scale.near_high))
    return pd.DataFrame(
        {
            "label": np.where(low | high, high.astype(float), np.nan),
            "above_median": np.where(measured, (v > scale.median).astype(float), np.nan),
            "decile": np.where(measured, np.searchsorted(scale.deciles, v) + 1, 0).astype(np.int8),
            "percentile": np.where(measured, np.interp(v, scale.values, scale.percentiles), np.nan),
            "ood": np.select([near, between], ["near", "far"], default=""),
        },
        index=values.index,
    )


def label_extremes(
    *,
    expression: str,
    manifest: str,
    split: str | list[str],
    labels: str,
    summary: str,
    trait: str,
    low: float,
    high: float,
    near: float,
    centre: str | None,
    fitted_on: str,
    min_per_class: int = MIN_PER_CLASS,
) -> None:
    """Label every slide that has tiles by its sample's value of ``trait`` (labels.parquet) and sum it up (labels.json).

    A slide's sample is the row of ``expression`` named like the slide (a virtual core) or else like its patient.
    split : the scheme's rounds (the first is enough where the test part is one for all rounds).
    low, high, near : percentiles; low = high is one cut. centre : None or "patient".
    fitted_on : "non_test", the split's samples without a slide in the test part; or "all", every sample of the table.
    min_per_class : samples outside the test part that each class needs, in every round.

    A trait that no table has (B-NOTRAIT), or that its values cannot label (B-NOVALUE, B-TIES: P20 = P80, or B-FEW), is
    "excluded", with an empty table: slides are tiled by then, and one trait must not cost the table and the report of
    the others. The log says so too, where a trait was asked for by its path and the list of traits does not name it.
    Raises InputError for no sample in common, or a split that does not fit the manifest.
    """
    rule = {"low": low, "high": high, "near": near, "centre": centre}
    about = {"trait": trait, "rule": rule, "fitted_on": fitted_on, "version": VERSION["label"]}
    slides = tiled_slides(manifest=manifest, split=split)
    try:
        values, column = read_trait(expression, trait=trait)
    except InputError as error:
        print(f"B-NOTRAIT {error}", file=sys.stderr)
        write_table(slides.iloc[:0].reindex(columns=list(COLUMNS)).astype(COLUMNS), labels)
        write_json(_NOTHING | about | {"code": "B-NOTRAIT", "reason": str(error)}, summary)
        return
    table = join_samples(slides, values, expression=expression)
    labelled, scale, fitted = _label(table, values, **rule, fitted_on=fitted_on)
    code, reason = _fault(labelled, scale, low=low, high=high, min_per_class=min_per_class)
    kept = labelled.iloc[:0] if code else labelled
    write_table(kept.reindex(columns=list(COLUMNS)).astype(COLUMNS), labels)
    record = about | {
        "column": column, "status": "excluded" if code else "ok", "code": code, "reason": reason,
        "thresholds": {key: getattr(scale, key, None) for key in THRESHOLDS},
        "fitted_samples": fitted, "n": _count(labelled),
        # Slides whose label fitting outside the test part changes (0 where fitted_on is "all").
        "changed_against_all": _changed(labelled, _label(table, values, **rule, fitted_on="all")[0]),
    }  # fmt: skip
    write_json(record, summary)


def _label(
    table: pd.DataFrame,
    values: pd.Series,
    *,
    low: float,
    high: float,
    near: float,
    centre: str | None,
    fitted_on: str,
) -> tuple[pd.DataFrame, Scale | None, int]:
    """``table`` with labels, their scale (no labels where it is None or tied) and the number of samples in its fit."""
    fitted = _fitted_values(table, values, centre=centre, fitted_on=fitted_on)
    if centre == "patient":
        table = centred(table, fitted_on=fitted_on)
    if not len(fitted):
        return table, None, 0
    scale = fit_scale(fitted, low=low, high=high, near=near)
    labelled = table if scale.tied else pd.concat([table, extremes(table["value"], scale=scale)], axis=1)
    return labelled, scale, len(fitted)


def _changed(table: pd.DataFrame, other: pd.DataFrame) -> int | None:
    """Slides whose label differs; None where one of the two has no labels."""
    if "label" not in table or "label" not in other:
        return None
    return int((table["label"].fillna(-1) != other["label"].fillna(-1)).sum())


def _fitted_values(table: pd.DataFrame, values: pd.Series, *, centre: str | None, fitted_on: str) -> np.ndarray:
    """Measured values that the percentiles are fitted on, one per sample."""
    if fitted_on == "all" and centre is None:
        # Levy-Jurgenson 2020, released: every patient of the expression table, those without slides too.
        return values.dropna().to_numpy()
    fitted = fitted_samples(table, fitted_on=fitted_on)
    rows = centred(table, fitted_on=fitted_on) if centre == "patient" else table
    return rows[fitted].drop_duplicates("sample")["value"].dropna().to_numpy()


def _fault(table: pd.DataFrame, scale: Scale | None, *, low: float, high: float, min_per_class: int) -> tuple[str, str]:
    """Code and reason why the values cannot label the slides; two blanks where they can."""
    if scale is None:
        return (
            "B-NOVALUE",
            f"no measured value among the samples of {len(table)} slides that the percentiles are fitted on",
        )
    if scale.tied:
        bounds = f"P{high:g} = maximum" if scale.at_median else f"P{low:g} = P{high:g}"
        return "B-TIES", f"{bounds} = {scale.high:g}; no labels"
    # Where every slide is tested once (leave-one-out), each round has other samples to train on.
    for number in sorted(frozenset().union(*table["tested_in"])) or [0]:
        held_out = table["tested_in"].map(lambda rounds, number=number: number in rounds)
        samples = table[~held_out].drop_duplicates("sample")["label"]
        for name, label in (("low", 0), ("high", 1)):
            if (found := int((samples == label).sum())) < min_per_class:
                where = f" of round {number}" if table["tested"].all() else ""
                return "B-FEW", f"{found} {name} samples outside the test part{where}, need {min_per_class}"
    return "", ""


def _count(table: pd.DataFrame) -> dict[str, int]:
    """Slides per class. The first five sum to all slides with tiles; not_measured holds the last two."""
    label, ood = (table.get(name, pd.Series(dtype=object)) for name in ("label", "ood"))
    counts = {"high": label == 1, "low": label == 0, "ood_near": ood == "near", "ood_far": ood == "far"}
    counts["not_measured"] = table["reason"] != ""
    counts |= {name: table["reason"] == name for name in ("no_expression", "one_sample")}
    return {name: int(rows.sum()) for name, rows in counts.items()}


# What a summary says of a trait that has no values at all.
_NOTHING = {
    "column": None, "status": "excluded", "thresholds": dict.fromkeys(THRESHOLDS), "fitted_samples": 0,
    "n": _count(pd.DataFrame({"reason": []})), "changed_against_all": None,
}  # fmt: skip

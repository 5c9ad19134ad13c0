"""What is compared in the survival analysis: patients by heterogeneity, and the same patients by bulk expression.

Levy-Jurgenson 2020, Figs 4 and 5: HTI > 0.5 against <= 0.5 and > 0.7 against <= 0.3; bulk expression at its median.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from histocarta.cut_search import search_cut
from histocarta.errors import InputError, nearest
from histocarta.expression import trait_columns
from histocarta.files import read_table, write_json
from histocarta.hazards import MIN_GROUP, Cox, censored_at, cox, design, group, log_rank
from histocarta.survival_groups import LevelTest, Split, bulk_splits, compare_levels, groupings, hti_split
from histocarta.survival_patients import select_patients
from histocarta.survival_pictures import Boxes, Panel, draw_boxes, draw_curves, in_rows
from histocarta.versions import VERSION

MONTHS = 12
HTI_STEP = 0.1  # the continuous hazard ratio is per 0.1 of the index: no patient moves from 0 to 1
MEDIAN_OF = "all samples of the expression table"
NO_PATIENTS = "no patient has all that the analysis needs"


def analyse_survival(
    *,
    heterogeneity: str,
    clinical: str,
    expression: str,
    slides: str,
    summary: str,
    picture: str,
    groups: str,
    traits: list[str],
    cuts: list[list[float]],
    seed: int,
    horizon_years: float | None = None,
    covariates: Sequence[str] = (),
    hti_zero: str = "kept",
    cut_boundary: str = "inclusive",
    min_group: int = MIN_GROUP,
) -> None:
    """Write the survival analysis of one set of traits: ``summary`` (JSON), ``picture`` (curves), ``groups`` (boxes).

    ``heterogeneity``: hti.tsv; ``clinical``, ``expression``, ``slides``: the cohort's cleaned sheets; ``cuts``: pairs
    (low, high) of HTI, stated beforehand, their p also adjusted by Holm; ``seed`` of the permutations that correct the
    search for another cut; ``horizon_years``: later times are censored there; ``covariates``: columns of the clinical
    sheet in the adjusted Cox models; ``min_group``: no p below it.
    """
    records = read_table(clinical)
    frame, steps = select_patients(read_table(heterogeneity), read_table(slides), records, hti_zero=hti_zero)
    frame = to_horizon(frame, horizon_years)
    known = _rows_of(records, frame)
    beside = covariate_columns(known, covariates, source=clinical)
    above, medians = above_median(expression, traits, frame)
    splits = [hti_split(frame["hti"], low=low, high=high, boundary=cut_boundary) for low, high in cuts]
    compared = with_holm([compare(frame, split, min_group=min_group, beside=beside) for split in splits])
    pairs = [_baselines(frame, split, above, min_group=min_group) for split in splits]
    by = groupings(above, known, covariates=covariates)
    levels = compare_levels(frame["hti"], by, min_group=min_group)
    settings = {"hti_zero": hti_zero, "cut_boundary": cut_boundary, "covariates": list(covariates)}
    settings |= {"bulk_medians": {"of": MEDIAN_OF, "traits": medians}}
    report = {
        "selection": [asdict(step) for step in steps],
        "cuts": [cut | {"baselines": pair} for cut, pair in zip(compared, pairs, strict=True)],
        "continuous": _continuous(frame, beside, min_group=min_group),
        "cut_search": asdict(search_cut(frame["hti"], frame["time"], frame["event"], min_group=min_group, seed=seed)),
        "levels": [asdict(level) for level in levels],
    }
    head = _head(frame, traits=traits, horizon_years=horizon_years, min_group=min_group)
    write_json(head | settings | report, summary)
    title = f"HTI of {' + '.join(traits)}"
    rows = []
    for split, cut, pair in zip(splits, compared, pairs, strict=True):
        rows += in_rows([panel(frame, split, cut, title=title), *_bulk_panels(frame, split, above, pair)])
    draw_curves(rows, picture)
    draw_boxes([_boxes(frame["hti"], by[test.by], test) for test in levels], groups, what=title)


def above_median(expression: str, traits: Sequence[str], frame: pd.DataFrame) -> tuple[pd.DataFrame, dict]:
    """Per row of ``frame`` and trait: 1.0 where the bulk value is above the median, 0.0 not, or NaN; and the medians.

    The median is that of all samples of the table, as in the paper's code, also where labels take theirs from the
    patients outside the test: no model learns from these groups, and who is above must not depend on how a study was
    split. A sample is named after the slide where slides were measured one by one, else after the patient.
    """
    columns = trait_columns(expression, traits)
    values = pd.read_parquet(expression, columns=columns)
    sample = frame["slide"].where(frame["slide"].isin(values.index), frame["patient"])
    own = values.reindex(sample).set_axis(frame.index)
    above = (own > values.median()).astype(float).where(own.notna()).set_axis(list(traits), axis=1)
    medians = zip(traits, values[columns].median(), values[columns].count(), strict=True)
    return above, {trait: {"median": float(median), "samples": int(n)} for trait, median, n in medians}


def compare(frame: pd.DataFrame, split: Split, *, min_group: int, beside: pd.DataFrame | None = None) -> dict:
    """Groups, log-rank test and Cox model of a split, as plain values; patients in neither group are left out.

    ``frame``: time (months) and event per patient; ``beside``: covariates (numbers) of a second, adjusted Cox model.
    """
    record, time, event, high = _tested(frame, split, min_group=min_group)
    term = pd.DataFrame({split.labels[1]: high.astype(float)}, index=high.index)
    return record | _models(time, event, term, beside, too_small=record["logrank"]["reason"])


def with_holm(compared: Sequence[Mapping]) -> list[dict]:
    """Each comparison with its log-rank p adjusted for all that have one (Holm), and how many those are."""
    p = np.array([record["logrank"]["p"] for record in compared], dtype=float)
    known = ~np.isnan(p)
    if known.any():
        p[known] = multipletests(p[known], method="holm")[1]
    tests = int(known.sum())
    return [
        {**record, "logrank": {**record["logrank"], "p_holm": float(adjusted), "tests": tests}}
        for record, adjusted in zip(compared, p, strict=True)
    ]


def to_horizon(frame: pd.DataFrame, horizon_years: float | None) -> pd.DataFrame:
    """``frame`` with time (months) and event censored at the horizon, where there is one."""
    horizon = None if horizon_years is None else horizon_years * MONTHS
    time, event = censored_at(frame["time"].to_numpy(float), frame["event"].to_numpy(bool), horizon)
    return frame.assign(time=time, event=event)


def covariate_columns(known: pd.DataFrame, names: Sequence[str], *, source: str) -> pd.DataFrame:
    """The clinical columns ``names`` of ``known`` (a row per patient) as numbers for a Cox model."""
    for name in names:
        if name not in known:
            raise InputError(
                f"Expected covariate {name!r} among the columns of {source} ({', '.join(known)}), found none of that "
                f"name{nearest(name, known)}; correct survival.covariates in the config."
            )
    return design(known[list(names)])


def panel(frame: pd.DataFrame, split: Split, compared: Mapping, *, title: str) -> Panel:
    """What the picture shows of one comparison: the curves of low and high, and what the tests said."""
    sides = [frame[split.high == side] for side in (0.0, 1.0)]
    groups = [(label, side["time"], side["event"]) for label, side in zip(split.labels, sides, strict=True)]
    return Panel(title, groups, compared["logrank"], compared["cox"])


def _tested(frame: pd.DataFrame, split: Split, *, min_group: int) -> tuple[dict, np.ndarray, np.ndarray, pd.Series]:
    """Groups and log-rank test of a split; and time, event and group of the patients compared."""
    inside = split.high.notna()
    time, event = frame.loc[inside, "time"].to_numpy(float), frame.loc[inside, "event"].to_numpy(bool)
    high = split.high[inside].astype(bool)
    sides = [group(split.labels[side], time[high == side], event[high == side]) for side in (False, True)]
    test = log_rank(time, event, high, labels=split.labels, min_group=min_group)
    record = {"name": split.name, "groups": [asdict(one) for one in sides], "in_neither": int((~inside).sum())}
    return record | {"logrank": asdict(test)}, time, event, high


def _baselines(frame: pd.DataFrame, split: Split, above: pd.DataFrame, *, min_group: int) -> list[dict]:
    """Each bulk split on the patients of an HTI split, beside that HTI split on the patients of the bulk split."""
    pairs = []
    for bulk in bulk_splits(above.where(split.high.notna())):
        same = replace(split, high=split.high.where(bulk.high.notna()))
        pairs.append(
            {
                "bulk": compare(frame, bulk, min_group=min_group),
                "hti_same_patients": _tested(frame, same, min_group=min_group)[0],
            }
        )
    return pairs


def _models(
    time: np.ndarray, event: np.ndarray, term: pd.DataFrame, beside: pd.DataFrame | None, *, too_small: str = ""
) -> dict:
    """Cox models of ``term`` alone and with the covariates; not fitted where the groups are too small for a p."""
    tables = {"cox": term}
    if beside is not None and beside.shape[1]:
        tables["cox_adjusted"] = term.join(beside)
    if too_small:
        return {name: asdict(Cox(len(time), int(event.sum()), 0, reason=too_small)) for name in tables}
    return {name: asdict(cox(time, event, table)) for name, table in tables.items()}


def _continuous(frame: pd.DataFrame, beside: pd.DataFrame, *, min_group: int) -> dict:
    """Hazard per 0.1 of HTI, which needs no cut; its concordance is that of the risk, whichever way it points.

    Not fitted on fewer patients than two groups would need, nor on fewer than ``min_group`` events.
    """
    events, too_small = int(frame["event"].sum()), ""
    if len(frame) < 2 * min_group:
        too_small = f"{len(frame)} patients, fewer than {2 * min_group}"
    elif events < min_group:
        too_small = f"{events} events among {len(frame)} patients, fewer than {min_group}"
    term = pd.DataFrame({f"HTI per {HTI_STEP}": frame["hti"] / HTI_STEP})
    return _models(frame["time"].to_numpy(), frame["event"].to_numpy(bool), term, beside, too_small=too_small)


def _rows_of(records: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Covariates of the clinical sheet, one row per row of ``frame``."""
    known = records.set_index("patient").drop(columns=["time", "event"])
    return known.reindex(frame["patient"]).set_axis(frame.index)


def _head(frame: pd.DataFrame, **settings: object) -> dict:
    """Status, settings and size of an analysis."""
    reason = "" if len(frame) else NO_PATIENTS
    sizes = {"patients": len(frame), "events": int(frame["event"].sum())}
    return {
        "status": "excluded" if reason else "ok",
        "reason": reason,
        "version": VERSION["survival"],
        **settings,
        **sizes,
    }


def _bulk_panels(frame: pd.DataFrame, split: Split, above: pd.DataFrame, pairs: list[dict]) -> list[Panel]:
    inside = split.high.notna()
    whom = "" if inside.all() else f" ({' or '.join(split.labels)} only)"
    bulk = bulk_splits(above.where(inside))
    return [
        panel(frame, one, pair["bulk"], title=f"bulk expression: {one.name}{whom}")
        for one, pair in zip(bulk, pairs, strict=True)
    ]


def _boxes(index: pd.Series, levels: pd.Series, test: LevelTest) -> Boxes:
    return Boxes(test.by, [(level.label, index[levels == level.label]) for level in test.levels], test)

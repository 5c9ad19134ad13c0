"""How patients are divided: by cuts of HTI, by bulk expression at its median, by clinical status; and their HTI."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.errors import InputError
from histocarta.evaluation import benjamini_hochberg

NAN = float("nan")
BELOW, ABOVE = "≤ median", "> median"
# Levy-Jurgenson 2020, Fig. 6: ER status and PAM50 type, under the names of cBioPortal, GDC, Xena and plain sheets.
STATUS_NAMES = re.compile(r"\ber status\b|^er$|\b(o?estrogen receptor|pam ?50(call)?)\b")
MOST_LEVELS = 12  # a column with more is no grouping


@dataclass(frozen=True)
class Split:
    """Two groups of patients: ``high`` is 1.0, 0.0, or NaN for a patient in neither; ``labels`` name low and high."""

    name: str
    high: pd.Series
    labels: tuple[str, str]


@dataclass(frozen=True)
class Level:
    """HTI of the patients of one level of a grouping."""

    label: str
    n: int
    median: float = NAN
    q1: float = NAN
    q3: float = NAN


@dataclass(frozen=True)
class LevelTest:
    """HTI compared over the levels of one grouping: Mann-Whitney U for two levels, Kruskal-Wallis for more.

    p_adjusted: Benjamini-Hochberg over the ``tests`` groupings that have a p.
    """

    by: str
    levels: tuple[Level, ...]
    test: str = ""
    p: float = NAN
    p_adjusted: float = NAN
    tests: int = 0
    reason: str = ""


def hti_split(index: pd.Series, *, low: float, high: float, boundary: str) -> Split:
    """HTI > ``high`` against <= ``low``; patients between are in neither group.

    ``boundary`` ``exclusive`` follows the released code, which also removes an HTI equal to a cut.
    """
    if boundary not in ("inclusive", "exclusive"):
        raise InputError(f"Expected cut_boundary inclusive or exclusive, found {boundary!r}.")
    if not (isinstance(low, int | float) and isinstance(high, int | float) and 0 <= low <= high <= 1):
        raise InputError(
            f"Expected a cut as two numbers 0 <= low <= high <= 1, found {[low, high]}; cuts are stated beforehand, "
            "and the best of all cuts is reported with its corrected p anyway."
        )
    below = index <= low if boundary == "inclusive" else index < low
    values = np.where(index > high, 1.0, np.where(below, 0.0, NAN))
    sign = "≤" if boundary == "inclusive" else "<"
    return Split(f"HTI {low:g}/{high:g}", pd.Series(values, index.index), (f"HTI {sign} {low:g}", f"HTI > {high:g}"))


def bulk_splits(above: pd.DataFrame) -> list[Split]:
    """The paper's baselines: each trait above its median or not, all above or none, opposite sides or the same side.

    ``above``: patients × traits, 1.0 above the median, 0.0 not, NaN not measured.
    """
    splits = [Split(trait, above[trait], (f"{trait} {BELOW}", f"{trait} {ABOVE}")) for trait in above]
    if above.shape[1] > 1:
        word = "both traits" if above.shape[1] == 2 else "all traits"
        share = above.mean(axis=1, skipna=False)
        mixed = ((share > 0) & (share < 1)).astype(float).where(share.notna())
        splits.append(Split(word, share.where(share.isin([0, 1])), (f"{word} {BELOW}", f"{word} {ABOVE}")))
        splits.append(Split("sides of the medians", mixed, ("same side of median", "opposite sides of median")))
    return splits


def groupings(above: pd.DataFrame, clinical: pd.DataFrame, *, covariates: Sequence[str]) -> dict[str, pd.Series]:
    """What HTI is compared over: each trait's median (their Fig. 5b), ER status and PAM50 type (their Fig. 6), and the
    configured covariates that are categories. Values are the level's name, or missing.
    """
    found = {f"bulk {trait}": above[trait].map({1.0: ABOVE, 0.0: BELOW}).astype(object) for trait in above}
    for name in clinical:
        plain = re.sub(r"[^a-z0-9]+", " ", name.lower()).strip()
        values = clinical[name]
        status = bool(STATUS_NAMES.search(plain))
        if not status and (name not in covariates or pd.api.types.is_numeric_dtype(values)):
            continue
        if 2 <= values.nunique() <= MOST_LEVELS:
            words = values.map(lambda value: f"{value:g}" if isinstance(value, float) else str(value))
            found[name] = words.where(values.notna())
    return found


def compare_levels(index: pd.Series, groups: Mapping[str, pd.Series], *, min_group: int) -> list[LevelTest]:
    """Test HTI over the levels of each grouping; p adjusted over the groupings tested (Benjamini-Hochberg).

    Levels with fewer than ``min_group`` patients are listed but not tested; a grouping without p is no member of the
    family, whose size each result states.
    """
    tests = [_compare(index, by, levels, min_group=min_group) for by, levels in groups.items()]
    p = np.array([test["p"] for test in tests], dtype=float)
    known = ~np.isnan(p)
    adjusted, family = np.full(len(p), NAN), int(known.sum())
    adjusted[known] = benjamini_hochberg(p[known])
    return [LevelTest(**test, p_adjusted=float(q), tests=family) for test, q in zip(tests, adjusted, strict=True)]


def _compare(index: pd.Series, by: str, groups: pd.Series, *, min_group: int) -> dict:
    names = sorted(groups.dropna().unique(), key=lambda level: (level == ABOVE, level))
    values = [index[groups == level].to_numpy() for level in names]
    levels = tuple(
        Level(label, len(x), *np.percentile(x, [50, 25, 75])) for label, x in zip(names, values, strict=True)
    )
    tested = [x for x in values if len(x) >= min_group]
    record = {"by": by, "levels": levels, "test": "", "p": NAN, "reason": ""}
    if len(tested) < 2:
        return record | {"reason": f"fewer than two levels with {min_group} patients"}
    if np.ptp(np.concatenate(tested)) == 0:
        return record | {"reason": "HTI is the same for all patients"}
    if len(tested) == 2:
        return record | {"test": "Mann-Whitney U", "p": float(stats.mannwhitneyu(*tested).pvalue)}
    return record | {"test": "Kruskal-Wallis", "p": float(stats.kruskal(*tested).pvalue)}

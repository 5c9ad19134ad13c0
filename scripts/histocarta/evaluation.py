"""How good scores are and how sure that is: AUC, rank correlation, intervals, many tests; and why a figure is not."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.files import read_json, write_table

MIN_FOR_P = (
    10  # observations; SciPy's p of a rank correlation rests on a t distribution that small samples do not follow
)
SETS = ("test", "ood_near", "ood_all")
NAN = float("nan")
_EMPTY = dict.fromkeys(("trait", "status", "code", "reason", "unit", "independent"))
TEXT = (*_EMPTY, *(f"{name}_{key}" for name in SETS for key in ("reason", "interval_reason")))


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve of ``n_high`` against ``n_low``; NaN with the reason where it is not defined."""

    auc: float
    n_high: int
    n_low: int
    reason: str = ""


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho, its two-sided p and the number of pairs; NaN with the reason where one is not defined."""

    rho: float
    p: float
    n: int
    reason: str = ""


def auc(truth: np.ndarray, score: np.ndarray) -> Auc:
    """Probability that a high one scores above a low one, ties counted half (Mann–Whitney U / n1 n0).

    truth : 1 high, 0 low, NaN not in the set; score : any scale, NaN = no score (left out as well).
    """
    truth, score = (np.asarray(values, dtype=float) for values in (truth, score))
    use = ~np.isnan(truth) & ~np.isnan(score)
    truth, score = truth[use] == 1, score[use]
    high, low = int(truth.sum()), int((~truth).sum())
    if not high or not low:
        return Auc(NAN, high, low, f"only one class: {high} high, {low} low" if high + low else "no labelled slide")
    ranks = stats.rankdata(score)
    area = (ranks[truth].sum() - high * (high + 1) / 2) / (high * low)
    return Auc(float(area), high, low, "all scores are equal" if np.ptp(score) == 0 else "")


def bootstrap_auc(
    truth: np.ndarray,
    score: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    seed: int,
    resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float, str]:
    """Percentile bootstrap interval of the AUC: (low, high, reason where there is none).

    ``groups`` (patients, or blocks) are drawn with replacement, each with all its slides, because slides of one patient
    are not independent. A resample without both classes has no AUC and is left out. No interval is given where a class
    has fewer than two groups.
    """
    truth, score = (np.asarray(values, dtype=float) for values in (truth, score))
    use = ~np.isnan(truth) & ~np.isnan(score)
    truth, score = truth[use] == 1, score[use]
    code, names = pd.factorize(np.asarray(groups, dtype=object)[use])
    per_class = [len(np.unique(code[truth == label])) for label in (True, False)]
    if min(per_class) < 2:
        return NAN, NAN, f"no interval: {per_class[0]} independent units are high, {per_class[1]} low, need 2 of each"
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples).astype(float)
    area = _resampled_auc(truth, score, code, drawn)
    tail = (1 - level) / 2
    low, high = np.nanquantile(area, [tail, 1 - tail])
    reason = "no resample differs: the doubt that is left cannot be seen by resampling" if low == high else ""
    return float(low), float(high), reason


def _resampled_auc(truth: np.ndarray, score: np.ndarray, code: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC of each row of ``weights`` (resamples × groups, ``code`` of every observation); NaN where a class has none.

    Of every two groups the pairs that the high one wins are counted once (ties half): the memory is that of the
    groups, not of the observations, which may be a million tiles.
    """
    count = weights.shape[1]
    high, wins = np.sort(score[truth]), np.zeros((count, count))
    owner = code[truth][np.argsort(score[truth], kind="stable")]
    for group in np.unique(code[~truth]):
        low = np.sort(score[~truth & (code == group)])
        below = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / 2
        wins[:, group] = np.bincount(owner, weights=below, minlength=count)
    per_class = [weights @ np.bincount(code[chosen], minlength=count) for chosen in (truth, ~truth)]
    pairs = per_class[0] * per_class[1]
    won = ((weights @ wins) * weights).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(weights), NAN), where=pairs > 0)


def spearman(x: np.ndarray, y: np.ndarray) -> Correlation:
    """Spearman's rank correlation of the pairs in which both are defined.

    p is two-sided by the t distribution as in SciPy (and the released code), never below 2 / n!, what the permutation
    test can reach; none is given below ``MIN_FOR_P`` pairs.
    """
    x, y = (np.asarray(values, dtype=float) for values in (x, y))
    use = ~np.isnan(x) & ~np.isnan(y)
    x, y, n = x[use], y[use], int(use.sum())
    if n < 3:
        return Correlation(NAN, NAN, n, f"{n} pairs, need 3")
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return Correlation(NAN, NAN, n, "one of the two is constant")
    rho, p = stats.spearmanr(x, y)
    if n < MIN_FOR_P:
        return Correlation(float(rho), NAN, n, f"no p below {MIN_FOR_P} pairs")
    return Correlation(float(rho), float(max(p, 2 / math.factorial(min(n, 170)))), n)


def r_squared(truth: np.ndarray, score: np.ndarray) -> float:
    """Coefficient of determination, 1 - SS_res / SS_tot (scikit-learn's r2_score): below 0 where the mean fits better.

    NaN for fewer than two pairs or a constant ``truth``.
    """
    truth, score = (np.asarray(values, dtype=float) for values in (truth, score))
    use = ~np.isnan(truth) & ~np.isnan(score)
    truth, score = truth[use], score[use]
    if len(truth) < 2 or np.ptp(truth) == 0:
        return NAN
    return float(1 - np.sum((truth - score) ** 2) / np.sum((truth - truth.mean()) ** 2))


def associate(slides: pd.DataFrame) -> dict[str, float | int | str]:
    """Spearman (rho, p, n, reason) and R² of ``score`` with ``value`` over slides, and over their samples' mean scores.

    The slide-level figures count a sample as often as it has slides; ``sample_…`` count each once.
    """
    samples = slides.groupby("sample").agg(score=("score", "mean"), value=("value", "mean"))
    found: dict[str, float | int | str] = {}
    for prefix, rows in (("", slides), ("sample_", samples)):
        figures = asdict(spearman(rows["score"], rows["value"])) | {"r2": r_squared(rows["value"], rows["score"])}
        found |= {f"{prefix}{key}": value for key, value in figures.items()}
    return found


def benjamini_hochberg(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Benjamini–Hochberg adjusted p-values (false discovery rate), in the order given.

    A NaN stays NaN but counts as p = 1 in the family: a trait whose scores are constant was tested as well (B.14).
    """
    p = np.asarray(p, dtype=float)
    filled = np.where(np.isnan(p), 1.0, p)
    order = np.argsort(filled)[::-1]
    m = len(p)
    adjusted = np.empty(m)
    adjusted[order] = np.minimum.accumulate(filled[order] * m / np.arange(m, 0, -1)).clip(max=1) if m else []
    return np.where(np.isnan(p), NAN, adjusted)


def evaluate(slides: pd.DataFrame, *, truth: pd.Series, seed: int) -> dict[str, float | int | str]:
    """AUC of ``score`` against ``truth`` (NaN = not in the set) by slide and by patient, with a bootstrap interval.

    slides : score, patient, unit (what is resampled). The patient-level AUC takes the mean score of a patient's slides;
    it is not defined where slides of one patient carry different labels.
    """
    by_slide = auc(truth, slides["score"])
    low, high, missing = bootstrap_auc(truth, slides["score"], slides["unit"], seed=seed)
    used = slides.assign(truth=truth)[truth.notna() & slides["score"].notna()]
    patients = used.groupby("patient").agg(score=("score", "mean"), truth=("truth", "mean"))
    by_patient = auc(patients["truth"], patients["score"])
    reason = by_patient.reason
    if not patients["truth"].isin([0, 1]).all():
        by_patient, reason = Auc(NAN, 0, 0), "slides of one patient carry different labels"
    return {
        **asdict(by_slide),
        "low": low,
        "high": high,
        "interval_reason": "" if by_slide.n_high * by_slide.n_low == 0 else missing,
        "n_units": used["unit"].nunique(),
        "n_patients": len(patients),
        "patient_auc": by_patient.auc,
        "patient_reason": reason,
    }


def correlate(slides: pd.DataFrame, *, chosen: pd.Series) -> dict[str, float | int | str]:
    """Spearman of ``score`` against ``percentile`` over the ``chosen`` slides, and over their samples' mean scores.

    The slide-level p is the published one (Levy-Jurgenson 2020, Supplementary S1) and counts a patient as often as it
    has slides; ``sample_rho`` and ``sample_p`` count each measured sample once.
    """
    used = slides[chosen]
    samples = used.groupby("sample").agg(score=("score", "mean"), percentile=("percentile", "mean"))
    by_sample = spearman(samples["score"], samples["percentile"])
    return {
        **asdict(spearman(used["score"], used["percentile"])),
        **{f"sample_{key}": value for key, value in asdict(by_sample).items()},
    }


def tabulate_cohort(*, metrics: list[str], table: str, parquet: str) -> None:
    """Write the cohort table (their Table 1): one row per trait, in the order given, as .tsv and .parquet.

    Traits without scores keep their row with status and reason. The false discovery rate of each set's Spearman p
    (``…_fdr``) is taken over the traits that were tested, ``n_tests`` of them.
    """
    rows = [_row(read_json(path)) for path in metrics]
    frame = pd.DataFrame(rows, columns=list(_row(_EMPTY)))
    numbers = [name for name in frame.columns if name not in TEXT]
    frame = frame.astype({name: "Int64" if "_n_" in name else float for name in numbers})
    tested = frame["status"] == "ok"
    for name in [name for name in numbers if name.endswith("_p")]:
        place = frame.columns.get_loc(name) + 1
        frame.insert(place, name.removesuffix("_p") + "_fdr", NAN)
        frame.loc[tested, frame.columns[place]] = benjamini_hochberg(frame.loc[tested, name])
    frame["n_tests"] = int(tested.sum())
    write_table(frame, table)
    write_table(frame, parquet)


def _row(metrics: dict) -> dict:
    """One trait's metrics as a flat row; figures that it lacks are None."""
    row = {key: metrics.get(key) for key in _EMPTY}
    row |= {f"test_rounds_{key}": (metrics.get("test") or {}).get(key) for key in ("mean", "min", "max")}
    for name in SETS:
        found = (metrics.get("ensemble") or {}).get(name, {})
        row |= {f"{name}_{key}": found.get(key) for key in ("auc", "low", "high", "patient_auc", "n_high", "n_low")}
        row |= {f"{name}_{key}": found.get(key) for key in ("n_patients", "reason", "interval_reason")}
        ranks = (metrics.get("spearman") or {}).get(name, {})
        row |= {f"{name}_{key}": ranks.get(key) for key in ("rho", "p", "sample_rho", "sample_p")}
        row[f"{name}_identity_auc"] = (metrics.get("control_patient_identity") or {}).get(name)
    return row

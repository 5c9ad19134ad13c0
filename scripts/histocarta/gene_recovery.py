"""Whether all genes at once find the planted ones and no other: what a probe says of genes that follow nothing."""

from collections.abc import Sequence

import pandas as pd
from scipy.stats import binom

from histocarta.recovery_figures import NAN, Check, Figure

PROBE, NULLS, FALSE = "probe Spearman", "null genes with p < .05", "false discovery proportion at q .05"
LEVEL = 0.99  # of the interval in which the share of null genes with a small p lies
P, Q = 0.05, 0.05
FIT = 0.5


def gene_figures(table: pd.DataFrame, *, planted: Sequence[str], cohort: str) -> list[Figure]:
    """Of tables/regression-probe: rho of planted genes, share of the others with p < .05, and the false discoveries.

    low, high of the share: the binomial interval at 99 %, for a null gene's values are independent of its predictions
    and of other genes', whatever the probe has learnt.
    """
    tested = table[table["status"] == "ok"].set_index("trait")
    figures = [
        Figure(
            cohort, trait, True, PROBE, float(tested.loc[trait, "test_rho"]), NAN, NAN, int(tested.loc[trait, "test_n"])
        )
        for trait in planted
        if trait in tested.index
    ]
    nulls = tested.drop(index=list(planted), errors="ignore")
    if len(nulls):
        low, high = binom.interval(LEVEL, len(nulls), P)
        share = float((nulls["test_p"] < P).mean())
        figures.append(
            Figure(cohort, "null genes", False, NULLS, share, low / len(nulls), high / len(nulls), len(nulls))
        )
        found = tested["test_fdr"] < Q
        wrong = int((nulls["test_fdr"] < Q).sum())
        figures.append(
            Figure(cohort, "all genes", False, FALSE, wrong / max(1, int(found.sum())), NAN, NAN, int(found.sum()))
        )
    return figures


def gene_checks(figures: Sequence[Figure]) -> list[Check]:
    """Planted genes are found, null ones below .05 as often as chance has it, false discoveries average q or less."""
    checks = [
        Check(f"{one.cohort}: {PROBE} of {one.trait} >= {FIT}", f"{one.value:.3f} on {one.n}", one.value >= FIT)
        for one in figures
        if one.figure == PROBE
    ]
    checks += [
        Check(
            f"{one.cohort}: {NULLS} in {one.low:.3f} to {one.high:.3f}",
            f"{one.value:.3f} of {one.n}",
            one.low <= one.value <= one.high,
        )
        for one in figures
        if one.figure == NULLS
    ]
    false = [one for one in figures if one.figure == FALSE]
    if false:
        mean = sum(one.value for one in false) / len(false)
        each = ", ".join(f"{one.value:.3f} of {one.n}" for one in false)
        checks.append(Check(f"mean {FALSE} <= {Q}", f"{mean:.3f} ({each})", mean <= Q))
    return checks

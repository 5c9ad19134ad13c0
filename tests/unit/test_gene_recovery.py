"""What is asked of all genes at once on synthetic slides: that the planted are found, and chance is not."""

import pandas as pd
import pytest
from histocarta.gene_recovery import FALSE, NULLS, PROBE, gene_checks, gene_figures
from scipy.stats import binom


def table(*, rho=0.8, small=10, nulls=200, false=0):
    """Two planted genes and ``nulls`` others, ``small`` of them with p < .05 and ``false`` with an FDR below."""
    rows = [{"trait": trait, "status": "ok", "test_rho": rho, "test_p": 1e-6, "test_fdr": 1e-4} for trait in "AB"]
    rows += [
        {
            "trait": f"null{n}", "status": "ok", "test_rho": 0.1,
            "test_p": 0.01 if n < small else 0.5, "test_fdr": 0.04 if n < false else 0.9,
        }
        for n in range(nulls)
    ]  # fmt: skip
    return pd.DataFrame([*rows, {"trait": "flat", "status": "excluded"}]).assign(test_n=24)


def holds(*tables):
    figures = [one for n, each in enumerate(tables) for one in gene_figures(each, planted=["A", "B"], cohort=f"c{n}")]
    return {check.bound: check.holds for check in gene_checks(figures)}


def test_the_figures_of_a_cohort():
    found = {one.figure: one for one in gene_figures(table(false=1), planted=["A", "B"], cohort="c")}
    assert (found[PROBE].value, found[PROBE].n) == (0.8, 24)
    assert (found[NULLS].value, found[NULLS].n) == (0.05, 200)
    assert (found[NULLS].low * 200, found[NULLS].high * 200) == pytest.approx((3, 19))  # SciPy's binom.interval
    assert binom.cdf(19, 200, 0.05) - binom.cdf(2, 200, 0.05) >= 0.99
    assert found[FALSE].value == pytest.approx(1 / 3)


def test_what_is_planted_and_by_chance_holds():
    assert all(holds(table()).values()) and len(holds(table())) == 4


@pytest.mark.parametrize(
    ("change", "which"),
    [({"rho": 0.4}, PROBE), ({"small": 20}, NULLS), ({"small": 2}, NULLS), ({"false": 1}, FALSE)],
)
def test_each_bound_can_fail(change, which):
    failed = [bound for bound, held in holds(table(**change)).items() if not held]
    assert failed and all(which in bound for bound in failed)


def test_false_discoveries_are_averaged_over_the_seeds():
    assert all(holds(table(false=1), *[table()] * 9).values())  # 1/3 over ten seeds
    assert not all(holds(table(false=1), *[table()] * 3).values())


def test_a_study_without_genes_at_once_has_no_such_bound():
    assert gene_checks([]) == []

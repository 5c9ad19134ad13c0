"""Survival by bulk expression alone, against statsmodels (a library of its own) and groups counted by hand."""

import numpy as np
import pandas as pd
import pytest
from histocarta.bulk_survival import analyse_bulk_survival, list_comparisons
from histocarta.errors import InputError
from histocarta.files import read_json, write_table
from histocarta.labels import fit_scale
from PIL import Image
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import survdiff

NAN = float("nan")


def scales_of(values, *, low=20, high=80):
    return {trait: fit_scale(values[trait].dropna(), low=low, high=high, near=0) for trait in values}


def groups_of(comparison):
    """Patients in the low and in the high group."""
    high = comparison.split.high
    return list(high.index[high == 0]), list(high.index[high == 1])


def test_a_trait_is_cut_at_its_median_and_its_extremes():
    """Of 0 … 10: median 5 (itself below), P20 = 2 and P80 = 8 by linear interpolation, both ends in."""
    values = pd.DataFrame({"A": np.arange(11.0)})
    median, ends = list_comparisons(values, scales_of(values), low=20, high=80)
    assert (median.kind, ends.kind) == ("median", "extremes")
    assert groups_of(median) == ([0, 1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert groups_of(ends) == ([0, 1, 2], [8, 9, 10])
    assert ends.split.labels == ("A ≤ P20", "A ≥ P80")


def test_every_pair_has_the_two_baselines_of_the_released_code():
    """both_hi_lo: high in both against low in both; one_hi_other_lo: unequal against equal (released heterogeneity.py).

    A patient without one of the values is in no group of a pair.
    """
    values = pd.DataFrame({"A": [1, 1, 9, 9, 9.0], "B": [1, 9, 1, 9, NAN], "C": [9, 1, 1, 9, 9.0]}, index=list("pqrst"))
    scales = scales_of(values)
    found = {(one.kind, one.traits): one for one in list_comparisons(values, scales, low=20, high=80)}
    assert [traits for kind, traits in found if kind == "both"] == [("A", "B"), ("A", "C"), ("B", "C")]
    # Medians: A 9, so nobody is above it; B 5; C 9.
    assert groups_of(found["median", ("A",)]) == (list("pqrst"), [])
    assert groups_of(found["median", ("B",)]) == (["p", "r"], ["q", "s"])
    assert groups_of(found["both", ("A", "B")]) == (["p", "r"], [])
    assert groups_of(found["sides", ("A", "B")]) == (["p", "r"], ["q", "s"])
    assert groups_of(found["sides", ("A", "C")]) == (list("pqrst"), [])


def test_extremes_that_are_tied_and_traits_never_measured_have_nobody():
    values = pd.DataFrame({"A": [0.0] * 9 + [5.0], "B": [NAN] * 10})
    scales = scales_of(values[["A"]])
    found = {(one.kind, one.traits): groups_of(one) for one in list_comparisons(values, scales, low=20, high=80)}
    assert found["median", ("A",)] == (list(range(9)), [9])
    assert found["extremes", ("A",)] == ([], [])  # P20 = P80 = 0
    assert found["median", ("B",)] == found["extremes", ("B",)] == found["both", ("A", "B")] == ([], [])


def write_cohort(folder, *, n=200, seed=0):
    """Patients whose hazard grows with A (log hazard 0.8 per sd); B and age are unrelated; P000 lacks B."""
    rng = np.random.default_rng(seed)
    patients = [f"P{number:03d}" for number in range(n)]
    values = pd.DataFrame(rng.normal(size=(n, 2)), columns=["A|7", "B"], index=pd.Index(patients, name="sample"))
    values.loc["P000", "B"] = NAN
    time, end = rng.exponential(60 * np.exp(-0.8 * values["A|7"].to_numpy())), rng.uniform(20, 180, n)
    clinical = pd.DataFrame({"patient": patients, "time": np.minimum(time, end), "event": (time <= end) * 1})
    clinical["age"] = rng.normal(60, 9, n)
    write_table(clinical.iloc[::-1], folder / "clinical.parquet")
    write_table(values, folder / "expression.parquet", index=True)
    return clinical, values.rename(columns={"A|7": "A"}).reset_index(drop=True)


def analyse(folder, *, traits=("A", "B"), **settings):
    analyse_bulk_survival(
        clinical=str(folder / "clinical.parquet"), expression=str(folder / "expression.parquet"),
        summary=str(folder / "bulk.json"), picture=str(folder / "bulk.png"), traits=list(traits), **settings,
    )  # fmt: skip
    found = read_json(folder / "bulk.json")
    return found, {(one["kind"], "+".join(one["traits"])): one for one in found["comparisons"]}


def test_every_figure_is_statsmodels(tmp_path):
    clinical, values = write_cohort(tmp_path)
    found, by_kind = analyse(tmp_path, covariates=["age"], horizon_years=5)
    time = np.minimum(clinical["time"], 60)
    event = (clinical["event"] == 1) & (clinical["time"] <= 60)
    assert (found["patients"], found["events"], found["measured"]) == (200, int(event.sum()), {"A": 200, "B": 199})
    low, high = np.percentile(values["A"], [20, 80])
    fitted_on = {"of": "all samples of the expression table", "samples": {"A": 200, "B": 199}}
    assert found["thresholds_of"] == fitted_on
    assert found["thresholds"]["A"] == pytest.approx({"low": low, "median": values["A"].median(), "high": high})
    a, b = ((values[trait] > values[trait].median()).where(values[trait].notna()) for trait in ("A", "B"))
    truth = {
        ("median", "A"): a,
        ("extremes", "A"): (values["A"] >= high).where((values["A"] <= low) | (values["A"] >= high)),
        ("median", "B"): b,
        ("both", "A+B"): a.where((a == b) & b.notna()),
        ("sides", "A+B"): (a != b).where(b.notna()),
    }
    assert set(by_kind) == {*truth, ("extremes", "B")}
    for key, group in truth.items():
        record, inside = by_kind[key], group.notna()
        group = group[inside].astype(float)
        chi2, p = survdiff(time[inside], event[inside].astype(int), group)
        assert (record["logrank"]["statistic"], record["logrank"]["p"]) == pytest.approx((chi2, p), rel=1e-9)
        assert [side["n"] for side in record["groups"]] == [(group == 0).sum(), (group == 1).sum()]
        assert record["in_neither"] == (~inside).sum()
        table = np.column_stack([group, clinical.loc[inside, "age"]])
        fitted = PHReg(time[inside], table, status=event[inside].astype(int), ties="efron").fit()
        ratios = [term["hazard_ratio"] for term in record["cox_adjusted"]["terms"]]
        assert np.log(ratios) == pytest.approx(fitted.params, abs=1e-5)
    assert by_kind["extremes", "A"]["logrank"]["p_holm"] < 0.001 < by_kind["median", "B"]["logrank"]["p"]
    width, height = Image.open(tmp_path / "bulk.png").size  # two panels per trait and per pair
    assert height == pytest.approx(1.5 * width, rel=0.01)


def test_the_order_of_rows_changes_no_byte(tmp_path):
    write_cohort(tmp_path, n=60)
    analyse(tmp_path, traits=["A"])
    first = [(tmp_path / name).read_bytes() for name in ("bulk.json", "bulk.png")]
    table = pd.read_parquet(tmp_path / "clinical.parquet")
    write_table(table.sort_values("time"), tmp_path / "clinical.parquet")
    analyse(tmp_path, traits=["A"])
    assert first == [(tmp_path / name).read_bytes() for name in ("bulk.json", "bulk.png")]


def test_events_written_as_text_are_the_same_events(tmp_path):
    write_cohort(tmp_path, n=60)
    found, _ = analyse(tmp_path, traits=["A"])
    table = pd.read_parquet(tmp_path / "clinical.parquet")
    write_table(table.astype({"event": str}), tmp_path / "clinical.parquet")
    assert analyse(tmp_path, traits=["A"])[0] == found


def test_one_trait_has_no_pair_and_few_patients_have_no_p(tmp_path):
    write_cohort(tmp_path, n=8)
    _, by_kind = analyse(tmp_path, traits=["A"])
    assert set(by_kind) == {("median", "A"), ("extremes", "A")}
    assert by_kind["extremes", "A"]["logrank"]["reason"] == "group 'A ≤ P20' has 2 patients, fewer than 5"
    assert by_kind["extremes", "A"]["cox"]["reason"] == by_kind["extremes", "A"]["logrank"]["reason"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"traits": ["A", "C"]}, r"Expected trait 'C' among the 2 traits of .*expression.parquet, found none"),
        ({"traits": ["A", "A"]}, r"Expected every trait once, found A\+A; name each once\."),
        ({"covariates": ["agee"]}, r"Expected covariate 'agee' among the columns of .*; nearest: age; correct"),
    ],
)
def test_unknown_names_are_told(tmp_path, settings, message):
    write_cohort(tmp_path, n=20)
    with pytest.raises(InputError, match=message):
        analyse(tmp_path, **settings)


def test_tables_of_other_patients_are_told(tmp_path):
    write_cohort(tmp_path, n=20)
    values = pd.read_parquet(tmp_path / "expression.parquet").rename(index=lambda name: f"{name}-1")
    write_table(values.rename_axis("sample"), tmp_path / "expression.parquet", index=True)
    with pytest.raises(InputError, match=r"Expected the patients of .* among the samples of .*, found none in common"):
        analyse(tmp_path)

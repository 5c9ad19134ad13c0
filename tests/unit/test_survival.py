"""Survival against textbook and R figures, an independent library (statsmodels), and cohorts with a known answer.

R figures: survival package, data sets gehan (MASS; Freireich 1963), ovarian and lung, as its documentation prints them.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, write_table
from histocarta.hazards import (
    MIN_GROUP,
    censored_at,
    cox,
    design,
    group,
    kaplan_meier,
    log_rank,
)
from histocarta.survival import above_median, analyse_survival, with_holm
from histocarta.survival_groups import bulk_splits, compare_levels, groupings, hti_split
from histocarta.survival_patients import select_patients
from lifelines.datasets import load_lung
from PIL import Image
from scipy.stats import kstest
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.duration.survfunc import survdiff

# Freireich et al. 1963, weeks in remission; + censored.
MERCAPTOPURINE = "6 6 6 6+ 7 9+ 10 10+ 11+ 13 16 17+ 19+ 20+ 22 23 25+ 32+ 32+ 34+ 35+"
PLACEBO = "1 1 2 2 3 4 4 5 5 8 8 8 8 11 11 12 12 15 17 22 23"
# R survival::ovarian: futime, fustat, age, ecog.ps.
OVARIAN = """59 1 72.3315 1;115 1 74.4932 1;156 1 66.4658 2;421 0 53.3644 1;431 1 50.3397 1;448 0 56.4301 2;
464 1 56.9370 2;475 1 59.8548 2;477 0 64.1753 1;563 1 55.1781 2;638 1 56.7562 2;744 0 50.1096 1;769 0 59.6301 2;
770 0 57.0521 1;803 0 39.2712 1;855 0 43.1233 2;1040 0 38.8932 2;1106 0 44.6000 1;1129 0 53.9068 1;1206 0 44.2055 1;
1227 0 59.5890 2;268 1 74.5041 2;329 1 43.1370 1;353 1 63.2192 2;365 1 64.4247 1;377 0 58.3096 1"""


def arm(text):
    words = text.split()
    return np.array([float(word.rstrip("+")) for word in words]), np.array([not word.endswith("+") for word in words])


def freireich():
    """time, event, and 1 for placebo."""
    (drug, drug_event), (placebo, placebo_event) = arm(MERCAPTOPURINE), arm(PLACEBO)
    return np.concatenate([drug, placebo]), np.concatenate([drug_event, placebo_event]), np.repeat([0.0, 1.0], 21)


# --- curves and tests against outside truth -------------------------------------------------------------------------


def test_kaplan_meier_of_the_freireich_trial():
    """Survival at 6, 7, 10, 13, 16, 22, 23 weeks; log(-log) interval at 10 weeks (SAS LIFETEST; R conf.type)."""
    fitted = kaplan_meier(*arm(MERCAPTOPURINE))
    expected = [0.8571, 0.8067, 0.7529, 0.6902, 0.6275, 0.5378, 0.4482]
    assert fitted.survival_function_at_times([6, 7, 10, 13, 16, 22, 23]).tolist() == pytest.approx(expected, abs=5e-5)
    assert fitted.confidence_interval_.loc[10].tolist() == pytest.approx([0.5032, 0.8894], abs=5e-5)


def test_median_survival_of_the_freireich_trial():
    """23 weeks with the drug, 8 with placebo."""
    drug, placebo = group("drug", *arm(MERCAPTOPURINE)), group("placebo", *arm(PLACEBO))
    assert (drug.n, drug.events, drug.median) == (21, 9, 23)
    assert (placebo.n, placebo.events, placebo.median) == (21, 21, 8)
    assert np.isnan(drug.median_high)  # the upper limit is not reached


def test_log_rank_of_the_freireich_trial():
    """R survdiff: chi-squared 16.8 on 1 degree of freedom, p = 4e-05."""
    time, event, placebo = freireich()
    found = log_rank(time, event, placebo, labels=("drug", "placebo"), min_group=MIN_GROUP)
    assert found.statistic == pytest.approx(16.793, abs=5e-4)
    assert found.p == pytest.approx(4.17e-5, rel=2e-3)


def test_cox_of_the_freireich_trial():
    """R coxph (Efron): coefficient 1.5721, standard error 0.4124: hazard ratio 4.817 (2.147 to 10.81)."""
    time, event, placebo = freireich()
    (term,) = cox(time, event, pd.DataFrame({"placebo": placebo})).terms
    assert (term.hazard_ratio, term.low, term.high) == pytest.approx((4.817, 2.147, 10.81), abs=5e-3)


def test_lung_by_sex():
    """R survdiff(~ sex, lung): 10.3, p = 0.0013; coxph(~ age + sex): 1.0172 (p .0646), 0.5986 (p .0022)."""
    lung = load_lung()
    female = (lung["sex"] == 2).to_numpy()
    found = log_rank(lung["time"], lung["status"], female, labels=("male", "female"), min_group=5)
    assert (found.statistic, found.p) == pytest.approx((10.3267, 0.0013112), rel=1e-4)
    model = cox(lung["time"], lung["status"], lung[["sex", "age"]])
    sex, age = model.terms
    assert (sex.hazard_ratio, sex.p) == pytest.approx((0.5986, 0.00218), rel=2e-3)
    assert (age.hazard_ratio, age.p) == pytest.approx((1.0172, 0.0646), rel=1e-3)
    assert model.concordance == pytest.approx(0.603, abs=5e-4)
    assert (model.n, model.events, model.incomplete, model.caution) == (228, 165, 0, "")


def test_proportional_hazards_test_of_the_ovarian_trial():
    """R cox.zph(coxph(~ age + ecog.ps, ovarian)), documentation before survival 3.0: p .355 and .111."""
    rows = [[float(word) for word in row.split()] for row in OVARIAN.split(";")]
    table = pd.DataFrame(rows, columns=["time", "event", "age", "ecog"])
    age, ecog = cox(table["time"], table["event"], table[["age", "ecog"]]).terms
    assert np.log(age.hazard_ratio) == pytest.approx(0.1615, abs=5e-5)
    assert (age.proportional_p, ecog.proportional_p) == pytest.approx((0.355, 0.111), abs=2e-3)


def test_concordance_points_where_the_risk_points():
    """A covariate that shortens life and its negative have the same concordance: it is that of the fitted risk."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    time = rng.exponential(np.exp(-x))
    one, other = (cox(time, np.ones(300), pd.DataFrame({"x": sign * x})) for sign in (1, -1))
    assert one.concordance == pytest.approx(other.concordance, abs=1e-12)
    assert one.concordance > 0.7


def test_horizon_cuts_and_censors_later_times_only():
    time, event = censored_at(np.array([5.0, 120.0, 120.1]), np.array([1, 1, 1]), 120.0)
    assert time.tolist() == [5.0, 120.0, 120.0]
    assert event.tolist() == [True, True, False]
    assert censored_at(np.array([500.0]), np.array([1]), None)[0].tolist() == [500.0]


# --- figures that cannot be had ---------------------------------------------------------------------------------------


def test_no_p_for_small_groups_or_without_events():
    time, event, high = np.arange(1.0, 13.0), np.ones(12), np.r_[np.zeros(10), np.ones(2)]
    small = log_rank(time, event, high, labels=("low", "high"), min_group=5)
    assert np.isnan(small.p) and small.reason == "group 'high' has 2 patients, fewer than 5"
    empty = log_rank(time, event, np.ones(12), labels=("low", "high"), min_group=1)
    assert empty.reason == "group 'low' has 0 patients, fewer than 1"
    censored = log_rank(time, event * 0, high, labels=("low", "high"), min_group=1)
    assert np.isnan(censored.p) and censored.reason == "0 events among 12 patients"  # lifelines says p = 1
    assert group("none", time[:0], event[:0]).n == 0


def test_complete_separation_is_not_estimable():
    """lifelines gives a coefficient of 19 with p 0.995."""
    time, event, exposed = np.arange(1.0, 21.0), np.repeat([1, 0], 10), np.repeat([1.0, 0.0], 10)
    found = cox(time, event, pd.DataFrame({"exposed": exposed}))
    assert not found.terms
    assert found.reason == "not estimable: complete separation by 'exposed', one level of which has no event"


def test_separation_by_a_number_is_not_estimable():
    """The later the event the higher the covariate, without exception: steeper always fits better (lifelines: 0.1)."""
    time = np.arange(1.0, 21.0)
    found = cox(time, np.ones(20), pd.DataFrame({"dose": time}))
    assert found.reason == "not estimable: complete separation, dose order all events"


def test_holm_by_hand():
    """Holm 1979 on .01, .04, .03 and one without p: 3 × .01, then 2 × .03, then .04, never falling."""
    found = with_holm([{"logrank": {"p": p, "reason": ""}} for p in (0.01, np.nan, 0.04, 0.03)])
    adjusted = [record["logrank"]["p_holm"] for record in found]
    assert adjusted == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)
    assert {record["logrank"]["tests"] for record in found} == {3}


def test_constant_covariates_are_left_out_and_named():
    time, event, placebo = freireich()
    both = cox(time, event, pd.DataFrame({"placebo": placebo, "site": 1.0}))
    assert both.constant == ("site",) and [term.name for term in both.terms] == ["placebo"]
    asked = cox(time, event, pd.DataFrame({"site": np.ones(42), "placebo": placebo}))
    assert asked.reason == "not estimable: 'site' is the same for all 42 patients"


def test_collinear_covariates_too_few_events_and_no_event():
    time, event, placebo = freireich()
    collinear = cox(time, event, pd.DataFrame({"placebo": placebo, "drug": 1 - placebo}))
    assert collinear.reason == "not estimable: placebo, drug are collinear"
    one = np.zeros(42)
    one[[0, 30]] = 1
    noise = np.random.default_rng(0).normal(size=(42, 3))
    assert cox(time, one, pd.DataFrame(noise, columns=list("abc"))).reason == "not estimable: 2 events for 3 terms"
    assert cox(time, one * 0, pd.DataFrame({"placebo": placebo})).reason == "0 events among 42 patients"


def test_few_events_per_term_are_a_caution():
    """Vittinghoff and McCulloch 2007 (Am J Epidemiol 165:710): at least 5 events per term."""
    time, event, placebo = freireich()
    age = pd.DataFrame({"placebo": placebo, "age": np.random.default_rng(1).normal(size=42)})
    few = event & (np.cumsum(event) % 3 == 0)
    assert few.sum() == 10 and cox(time, few, age).caution == ""
    few[np.flatnonzero(few)[0]] = False
    model = cox(time, few, age)
    assert len(model.terms) == 2
    assert model.caution == "9 events for 2 terms, fewer than 5 each: ratios and p are unsteady"


def test_incomplete_cases_are_counted():
    time, event, placebo = freireich()
    age = np.random.default_rng(1).normal(size=42)
    age[:4] = np.nan
    found = cox(time, event, pd.DataFrame({"placebo": placebo, "age": age}))
    assert (found.n, found.incomplete, len(found.terms)) == (38, 4, 2)


def test_categories_become_levels_against_the_most_frequent():
    table = design(pd.DataFrame({"stage": ["II", "I", "II", None, "III"], "age": [1.0, 2, 3, 4, np.nan], "sex": "f"}))
    assert list(table) == ["stage: I", "stage: III", "age", "sex"]
    assert table["stage: I"].tolist()[:3] == [0, 1, 0] and np.isnan(table["stage: I"][3])
    assert design(pd.DataFrame({"grade": [None, None]}, dtype=object))["grade"].isna().all()


# --- groups -----------------------------------------------------------------------------------------------------------


def test_boundaries_of_the_cuts():
    """Checklist B.11: HTI <= low is low and > high is high; the released code removes both ends."""
    index = pd.Series([0.0, 0.3, 0.5, 0.7, 0.71])
    assert hti_split(index, low=0.5, high=0.5, boundary="inclusive").high.tolist() == [0, 0, 0, 1, 1]
    inclusive = hti_split(index, low=0.3, high=0.7, boundary="inclusive")
    assert inclusive.labels == ("HTI ≤ 0.3", "HTI > 0.7")
    assert inclusive.high.tolist() == pytest.approx([0, 0, np.nan, np.nan, 1], nan_ok=True)
    exclusive = hti_split(index, low=0.3, high=0.7, boundary="exclusive")
    assert exclusive.high.tolist() == pytest.approx([0, np.nan, np.nan, np.nan, 1], nan_ok=True)


@pytest.mark.parametrize(("low", "high"), [(0.7, 0.3), ("search", "search"), (0.5, 1.5)])
def test_cuts_that_are_none_are_refused(low, high):
    with pytest.raises(InputError, match=r"Expected a cut as two numbers 0 <= low <= high <= 1, found .* corrected p"):
        hti_split(pd.Series([0.1]), low=low, high=high, boundary="inclusive")


def test_unknown_choices_are_refused():
    with pytest.raises(InputError, match="Expected cut_boundary inclusive or exclusive, found 'open'"):
        hti_split(pd.Series([0.1]), low=0.5, high=0.5, boundary="open")
    with pytest.raises(InputError, match="Expected hti_zero kept or dropped, found 'no'"):
        select_patients(pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), hti_zero="no")


def test_bulk_baselines_of_the_released_code():
    """Patients above/above, above/below, below/below, and one with a missing value: the four baselines."""
    above = pd.DataFrame({"A": [1, 1, 0, 1], "B": [1, 0, 0, np.nan]}, dtype=float)
    splits = {split.name: split.high.tolist() for split in bulk_splits(above)}
    nan = pytest.approx(np.nan, nan_ok=True)
    assert splits["A"] == [1, 1, 0, 1]
    assert splits["B"][:3] == [1, 0, 0] and splits["B"][3] == nan
    assert splits["both traits"] == pytest.approx([1, np.nan, 0, np.nan], nan_ok=True)
    assert splits["sides of the medians"] == pytest.approx([0, 1, 0, np.nan], nan_ok=True)
    assert [split.name for split in bulk_splits(above[["A"]])] == ["A"]


def test_status_columns_are_found_by_their_usual_names():
    """cBioPortal, plain sheets, TCGAbiolinks, and Xena (PAM50Call_RNAseq …); not every status, nor HER2's."""
    names = ["ER Status By IHC", "er_status", "PAM50", "pam50_subtype", "Estrogen Receptor Status"]
    names += ["PAM50Call_RNAseq", "PAM50_mRNA_nature2012", "ER_Status_nature2012", "paper_BRCA_Subtype_PAM50"]
    names += ["breast_carcinoma_estrogen_receptor_status", "stage", "age"]
    others = ["gender_status", "HER2_Final_Status_nature2012", "lab_proc_her2_neu_status", "PAM500"]
    table = pd.DataFrame({name: ["a", "b"] for name in [*names, *others]}).assign(age=[1.0, 2.0])
    found = groupings(pd.DataFrame({"A": [1.0, 0.0]}), table, covariates=["stage", "age"])
    assert list(found) == ["bulk A", *names[:-1]]
    assert found["bulk A"].tolist() == ["> median", "≤ median"]


def test_index_by_levels():
    """Mann-Whitney of complete order, 6 against 6: exact p = 2 / C(12, 6) = 2 / 924; three levels: Kruskal-Wallis."""
    index = pd.Series(np.arange(12) / 12)
    two = pd.Series(np.repeat(["x", "y"], 6))
    three = pd.Series(np.tile(["a", "b", "c"], 4))
    small = pd.Series(["p"] * 11 + ["q"])
    tests = compare_levels(index, {"two": two, "three": three, "small": small}, min_group=4)
    assert (tests[0].test, tests[0].p) == ("Mann-Whitney U", pytest.approx(2 / 924))
    # H of ranks 1 4 7 10, 2 5 8 11, 3 6 9 12: 12/(12*13) * (22² + 26² + 30²)/4 - 3*13 = 0.6154, chi-squared 2 df
    assert (tests[1].test, tests[1].p) == ("Kruskal-Wallis", pytest.approx(np.exp(-0.615385 / 2), rel=1e-5))
    assert np.isnan(tests[2].p) and tests[2].reason == "fewer than two levels with 4 patients"
    assert tests[0].p_adjusted == pytest.approx(2 * 2 / 924)  # Benjamini-Hochberg over the two that are tested
    assert np.isnan(tests[2].p_adjusted) and {test.tests for test in tests} == {2}
    assert [level.n for level in tests[2].levels] == [11, 1]


def test_groupings_that_are_not_tested_correct_nothing():
    """One tested grouping keeps its p, however many stand beside it whose levels are too small."""
    index, two = pd.Series(np.arange(12) / 12), pd.Series(np.repeat(["x", "y"], 6))
    small = {f"small {n}": pd.Series(["p"] * 10 + ["q"] * 2) for n in range(3)}
    first, *others = compare_levels(index, {"two": two, **small}, min_group=5)
    assert first.p == first.p_adjusted == pytest.approx(2 / 924)
    assert (first.tests, len(others)) == (1, 3) and all(np.isnan(test.p_adjusted) for test in others)
    (nothing,) = compare_levels(index, {"small": small["small 0"]}, min_group=5)
    assert nothing.tests == 0 and np.isnan(nothing.p_adjusted)


# --- who enters -------------------------------------------------------------------------------------------------------

INDEX = pd.DataFrame(
    [
        ("T-1-DX1", "P1", "test", "", "0.2", ""),
        ("T-1-DX10", "P1", "test", "", "0.9", ""),
        ("T-2-DX3", "P2", "train", "far", "0.0", ""),
        ("T-2-DX2", "P2", "train", "near", "0.4", ""),
        ("T-3", "P3", "train", "", "0.5", ""),
        ("T-4", "P4", "test", "near", "", "no_positive"),
        ("T-5b", "P5", "validation", "far", "0.6", ""),
        ("T-5a", "P5", "validation", "far", "0.0", ""),
        ("T-6", "P6", "test", "", "0.7", ""),
    ],
    columns=["slide", "patient", "part", "ood", "hti", "reason"],
)
SHEET = pd.DataFrame({"slide": INDEX["slide"], "dx": ["1", "10", "3", "2", "", "", "", "", ""]})
RECORDS = pd.DataFrame({"patient": [f"P{n}" for n in range(1, 6)], "time": 10.0, "event": 1})


def test_one_slide_per_patient_of_those_that_trained_no_model():
    """DX1 and DX10 stay apart; without DX1 the lowest number; without numbers the first by name."""
    frame, steps = select_patients(INDEX, SHEET, RECORDS, hti_zero="kept")
    assert dict(zip(frame["patient"], frame["slide"], strict=True)) == {"P1": "T-1-DX1", "P2": "T-2-DX2", "P5": "T-5a"}
    assert frame["hti"].tolist() == [0.2, 0.4, 0.0]  # homogeneous, and kept
    assert [step.slides for step in steps] == [9, 8, 7, 4, 3]
    assert [step.patients for step in steps] == [6, 5, 4, 4, 3]
    words = " | ".join(step.left_out for step in steps)
    for part in ("1 no_positive", "1 slides that trained", "no DX1 slide with an HTI, lowest taken: P2", "data: P6"):
        assert part in words
    assert [[(row["slide"], row["patient"], row["code"]) for row in step.excluded] for step in steps] == [
        [],
        [("T-4", "P4", "no_positive")],
        [("T-3", "P3", "V-SEEN")],
        [("T-1-DX10", "P1", "V-FURTHER"), ("T-2-DX3", "P2", "V-FURTHER"), ("T-5b", "P5", "V-FURTHER")],
        [("T-6", "P6", "V-NODATA")],
    ]


def test_homogeneous_slides_leave_by_setting_and_before_one_is_chosen():
    frame, steps = select_patients(INDEX, SHEET, RECORDS, hti_zero="dropped")
    assert frame.set_index("patient")["slide"].to_dict() == {"P1": "T-1-DX1", "P2": "T-2-DX2", "P5": "T-5b"}
    assert any("2 homogeneous slides" in step.left_out for step in steps)
    assert [row["slide"] for step in steps for row in step.excluded if row["code"] == "V-ZERO"] == ["T-2-DX3", "T-5a"]


def test_order_of_rows_changes_nothing():
    frame, steps = select_patients(INDEX, SHEET, RECORDS, hti_zero="kept")
    again, same = select_patients(INDEX.iloc[::-1], SHEET.iloc[::-1], RECORDS.iloc[::-1], hti_zero="kept")
    assert frame.equals(again) and steps == same


@pytest.mark.parametrize(
    "written", [[0, 1, 1], ["0", "1", "1"], [0.0, 1.0, 1.0], [False, True, True]], ids=["int", "text", "float", "bool"]
)
def test_an_event_is_what_is_1(written):
    """The text 0 is nobody's death."""
    records = pd.DataFrame({"patient": ["P1", "P2", "P5"], "time": 10.0, "event": written})
    frame, _ = select_patients(INDEX, SHEET, records, hti_zero="kept")
    assert frame["event"].tolist() == [False, True, True]


@pytest.mark.parametrize("strange", [2, "DECEASED", None, ""])
def test_an_event_that_is_neither_is_told(strange):
    records = pd.DataFrame({"patient": ["P1", "P2", "P5"], "time": 10.0, "event": [0, strange, 1]})
    with pytest.raises(InputError, match=r"Expected event 0 or 1 for every patient, found .* \(1 such\); write 0"):
        select_patients(INDEX, SHEET, records, hti_zero="kept")


def test_above_the_median_of_all_samples(tmp_path):
    """v > median, ties below; found by symbol; a slide's own value before its patient's; missing stays missing."""
    values = pd.DataFrame(
        {"MKI67|4288": [1, 3, 3, np.nan, 9.0]}, index=pd.Index(["P1", "P2", "P3", "P4", "S5"], name="sample")
    )
    write_table(values, tmp_path / "expression.parquet", index=True)
    frame = pd.DataFrame({"patient": ["P3", "P4", "P1", "P1", "P9"], "slide": ["S3", "S4", "S1", "S5", "S9"]})
    above, medians = above_median(str(tmp_path / "expression.parquet"), ["MKI67"], frame)
    assert medians == {"MKI67": {"median": 3.0, "samples": 4}}
    assert above["MKI67"].tolist() == pytest.approx([0, np.nan, 0, 1, np.nan], nan_ok=True)  # median 3


# --- whole analyses ---------------------------------------------------------------------------------------------------


def write_cohort(folder, *, n=240, effect=2.0, seed=0):
    """Patients whose hazard grows with HTI (log hazard ``effect`` per unit), expression and ER status unrelated."""
    rng = np.random.default_rng(seed)
    patients = [f"P{number:03d}" for number in range(n)]
    index, censoring = rng.random(n), rng.uniform(20, 150, n)
    time = rng.exponential(60 * np.exp(-effect * (index - 0.5)))
    sheet = pd.DataFrame({"slide": [f"{p}-DX1" for p in patients], "patient": patients, "dx": "1"})
    table = sheet[["slide", "patient"]].assign(part="test", ood="", n_tiles=9, n_positive=9, hti=index, reason="")
    clinical = pd.DataFrame(
        {"patient": patients, "time": np.minimum(time, censoring), "event": (time <= censoring) * 1}
    )
    clinical = clinical.assign(age=rng.normal(60, 9, n), er_status=rng.choice(["Positive", "Negative"], n))
    expression = pd.DataFrame(rng.normal(size=(n, 2)), columns=["A", "B"], index=pd.Index(patients, name="sample"))
    write_table(table, folder / "hti.tsv")
    write_table(sheet, folder / "slides.tsv")
    write_table(clinical, folder / "clinical.parquet")
    write_table(expression, folder / "expression.parquet", index=True)
    return index, clinical


def analyse(folder, **settings):
    sheets = {name: str(folder / f"{name}.parquet") for name in ("clinical", "expression")}
    outputs = {"summary": "survival.json", "picture": "survival.png", "groups": "groups.png"}
    analyse_survival(
        heterogeneity=str(folder / "hti.tsv"),
        slides=str(folder / "slides.tsv"),
        **sheets,
        **{name: str(folder / file) for name, file in outputs.items()},
        **{"traits": ["A", "B"], "cuts": [[0.5, 0.5]], "seed": 1, **settings},
    )
    return read_json(folder / "survival.json")


def test_planted_hazard_is_found_and_bulk_expression_is_not(tmp_path):
    index, clinical = write_cohort(tmp_path)
    found = analyse(tmp_path, cuts=[[0.5, 0.5], [0.3, 0.7]], covariates=["age"])
    assert (found["status"], found["patients"]) == ("ok", 240)
    medians = pd.read_parquet(tmp_path / "expression.parquet").median()
    assert found["bulk_medians"] == {
        "of": "all samples of the expression table",
        "traits": {trait: {"median": pytest.approx(medians[trait]), "samples": 240} for trait in "AB"},
    }
    for cut, (low, high) in zip(found["cuts"], ((0.5, 0.5), (0.3, 0.7)), strict=True):
        inside = (index <= low) | (index > high)
        chi2, p = survdiff(clinical["time"][inside], clinical["event"][inside], index[inside] > high)
        assert cut["logrank"]["statistic"] == pytest.approx(chi2, rel=1e-9)
        assert cut["logrank"]["p"] == pytest.approx(p, rel=1e-9)
        assert [group["n"] for group in cut["groups"]] == [(index <= low).sum(), (index > high).sum()]
        assert cut["cox_adjusted"]["terms"][0]["hazard_ratio"] > 1.4
        assert len(cut["baselines"]) == 4
        for pair in cut["baselines"]:
            assert sum(g["n"] for g in pair["bulk"]["groups"]) == sum(
                g["n"] for g in pair["hti_same_patients"]["groups"]
            )
        assert min(pair["bulk"]["logrank"]["p"] for pair in cut["baselines"]) > 0.01
    first, second = (cut["logrank"] for cut in found["cuts"])
    assert max(first["p_holm"], second["p_holm"]) == max(first["p"], second["p"])
    assert min(first["p_holm"], second["p_holm"]) == pytest.approx(2 * min(first["p"], second["p"]))
    per_tenth = found["continuous"]["cox"]["terms"][0]
    assert per_tenth["low"] < np.exp(0.2) < per_tenth["high"]  # planted: 2.0 per unit
    assert per_tenth["proportional_p"] > 0.01
    assert [level["by"] for level in found["levels"]] == ["bulk A", "bulk B", "er_status"]
    for name, least in (("survival.png", (1400, 1500)), ("groups.png", (500, 300))):
        size = Image.open(tmp_path / name).size
        assert size[0] >= least[0] and size[1] >= least[1]


def test_no_hazard_no_finding_and_same_files_again(tmp_path):
    write_cohort(tmp_path, n=80, effect=0.0, seed=5)
    found = analyse(tmp_path, horizon_years=10)
    assert min(cut["logrank"]["p_holm"] for cut in found["cuts"]) > 0.05
    first = [(tmp_path / name).read_bytes() for name in ("survival.json", "survival.png", "groups.png")]
    table = pd.read_csv(tmp_path / "hti.tsv", sep="\t", dtype=str, keep_default_na=False)
    write_table(table.iloc[::-1], tmp_path / "hti.tsv")
    analyse(tmp_path, horizon_years=10)
    assert first == [(tmp_path / name).read_bytes() for name in ("survival.json", "survival.png", "groups.png")]


def test_nobody_to_analyse_still_writes_everything(tmp_path):
    write_cohort(tmp_path, n=12)
    table = pd.read_csv(tmp_path / "hti.tsv", sep="\t", dtype=str, keep_default_na=False)
    write_table(table.assign(hti="", reason="trait_excluded: B"), tmp_path / "hti.tsv")
    found = analyse(tmp_path)
    assert (found["status"], found["patients"]) == ("excluded", 0)
    assert found["reason"] == "no patient has all that the analysis needs"
    assert "12 trait_excluded: B" in found["selection"][1]["left_out"]
    assert found["cuts"][0]["logrank"]["p"] is None
    assert Image.open(tmp_path / "survival.png").size[0] > 300 and (tmp_path / "groups.png").stat().st_size > 0


def test_few_patients_get_curves_but_no_p(tmp_path):
    write_cohort(tmp_path, n=6)
    found = analyse(tmp_path)
    assert "fewer than 5" in found["cuts"][0]["logrank"]["reason"]
    assert found["cuts"][0]["cox"]["reason"] == found["cuts"][0]["logrank"]["reason"]
    model = found["continuous"]["cox"]
    assert (model["terms"], model["concordance"], model["reason"]) == ([], None, "6 patients, fewer than 10")


def test_few_events_give_no_hazard_per_tenth(tmp_path):
    """lifelines fits a Cox model to four deaths without a word."""
    _, clinical = write_cohort(tmp_path, n=40)
    write_table(clinical.assign(event=[1] * 4 + [0] * 36), tmp_path / "clinical.parquet")
    found = analyse(tmp_path, covariates=["age"])["continuous"]
    for model in (found["cox"], found["cox_adjusted"]):
        assert (model["terms"], model["events"]) == ([], 4)
        assert model["reason"] == "4 events among 40 patients, fewer than 5"
    write_table(clinical.assign(event=[1] * 5 + [0] * 35), tmp_path / "clinical.parquet")
    assert analyse(tmp_path)["continuous"]["cox"]["terms"]


def test_unknown_covariate_names_the_nearest(tmp_path):
    write_cohort(tmp_path, n=20)
    with pytest.raises(InputError, match=r"Expected covariate 'agee' among the columns of .*; nearest: age; correct"):
        analyse(tmp_path, covariates=["agee"])


# --- real patients ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def luad(tmp_path_factory):
    """Folder with clinical and expression sheets of the TCGA-LUAD patients of REAL_DATA, one row per patient."""
    if not os.environ.get("REAL_DATA"):
        pytest.skip("REAL_DATA is not set")
    with zipfile.ZipFile(Path(os.environ["REAL_DATA"]) / "tcga_luad" / "tcga_luad_all_clean.csv.zip") as packed:
        wanted = ["case_id", "slide_id", "age", "is_female", "survival_months", "censorship"]
        wanted += [f"{gene}_rnaseq" for gene in ("KRAS", "EGFR", "CD274")]
        table = pd.read_csv(packed.open(packed.namelist()[0]), usecols=wanted)
    table = table.sort_values("slide_id").drop_duplicates("case_id").reset_index(drop=True)
    folder = tmp_path_factory.mktemp("luad")
    clinical = table[["case_id", "survival_months", "age", "is_female"]].assign(
        event=1 - table["censorship"].astype(int)
    )
    names = {"case_id": "patient", "survival_months": "time"}
    clinical = clinical.rename(columns=names)[["patient", "time", "event", "age", "is_female"]]
    expression = table.set_index("case_id").filter(like="_rnaseq").rename(columns=lambda name: name.split("_")[0])
    write_table(clinical, folder / "clinical.parquet")
    write_table(expression.rename_axis("sample"), folder / "expression.parquet", index=True)
    return folder, clinical, expression


@pytest.mark.real
def test_real_patients_with_an_index_without_meaning(luad):
    """TCGA-LUAD, 453 patients. HTI drawn at random finds nothing: 40 p are uniform (Kolmogorov-Smirnov). The baselines
    by bulk KRAS, EGFR and CD274 are log-rank and adjusted Cox as statsmodels computes them; counts add up."""
    folder, clinical, expression = luad
    rng = np.random.default_rng(0)
    drawn = [rng.random(len(clinical)) for _ in range(40)]
    time, event = censored_at(clinical["time"].to_numpy(), clinical["event"].to_numpy(), 120.0)
    p = [log_rank(time, event, index > 0.5, labels=("low", "high"), min_group=5).p for index in drawn]
    assert kstest(p, "uniform").pvalue > 0.01
    sheet = pd.DataFrame({"slide": clinical["patient"] + "-01Z-00-DX1", "patient": clinical["patient"], "dx": "1"})
    table = sheet[["slide", "patient"]].assign(part="test", ood="", n_tiles=9, n_positive=9, hti=drawn[0], reason="")
    write_table(sheet, folder / "slides.tsv")
    write_table(table, folder / "hti.tsv")
    found = analyse(folder, traits=["KRAS", "EGFR", "CD274"], horizon_years=10, covariates=["age", "is_female"])
    assert found["selection"][-1]["patients"] == found["patients"] == 453
    assert found["events"] == event.sum()
    (cut,) = found["cuts"]
    assert sum(group["n"] for group in cut["groups"]) + cut["in_neither"] == 453
    assert cut["logrank"]["p"] == pytest.approx(p[0], rel=1e-9)
    for pair, gene in zip(cut["baselines"], ("KRAS", "EGFR", "CD274"), strict=False):
        above = (expression[gene] > expression[gene].median()).to_numpy()
        chi2, expected = survdiff(time, event.astype(int), above)
        assert pair["bulk"]["logrank"]["statistic"] == pytest.approx(chi2, rel=1e-9)
        assert pair["bulk"]["logrank"]["p"] == pytest.approx(expected, rel=1e-9)
        fitted = PHReg(time, above[:, None].astype(float), status=event.astype(int), ties="efron").fit()
        (term,) = pair["bulk"]["cox"]["terms"]
        assert np.log(term["hazard_ratio"]) == pytest.approx(fitted.params[0], abs=1e-5)
    beside = clinical[["age", "is_female"]].to_numpy(float)
    complete = ~np.isnan(beside).any(axis=1)
    table = np.column_stack([drawn[0] > 0.5, beside])[complete].astype(float)
    fitted = PHReg(time[complete], table, status=event[complete].astype(int), ties="efron").fit()
    ratios = [term["hazard_ratio"] for term in cut["cox_adjusted"]["terms"]]
    assert np.log(ratios) == pytest.approx(fitted.params, abs=1e-5)
    assert cut["cox_adjusted"]["incomplete"] == (~complete).sum()

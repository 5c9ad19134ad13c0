"""What was planted against what was found, on results made up so that every figure is known beforehand."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from histocarta import simulate
from histocarta.config import read_study
from histocarta.errors import InputError
from histocarta.files import read_table, write_json, write_table
from histocarta.recovery import (
    AUC,
    HTI,
    MAP,
    Figure,
    demo_checks,
    fewest_covering,
    main,
    map_figure,
    read_cohort,
    study_checks,
    unseen,
)
from scipy import stats

NAN = float("nan")
ROOT = Path(__file__).parents[2]
SLIDES = [f"S{number:02d}" for number in range(10)]
PARTS = ["test"] * 6 + ["train"] * 3 + ["validation"]
OOD = [""] * 8 + ["far", ""]


def write_truth(folder, *, seed=0):
    """Ten slides of 4 × 4 cells with two smooth fields, and the HTI 0, 0.1 … 0.9; the last slide has none."""
    rng = np.random.default_rng(seed)
    cells = pd.DataFrame(
        [(s, r, c) for s in SLIDES for r in range(4) for c in range(4)], columns=["slide", "row", "col"]
    )
    for field in "AB":
        cells[field] = rng.random(len(cells)).round(4)
        cells[f"positive_{field}"] = (cells[field] > 0.5).astype(int)
    write_table(cells, folder / "truth" / "cells.tsv")
    hti = [*np.arange(9) / 10, NAN]
    write_table(pd.DataFrame({"slide": SLIDES, "hti": hti}), folder / "truth" / "slides.tsv")
    write_json({"cell_um": 37.5, "null_traits": ["noise"]}, folder / "truth" / "recipe.json")
    return cells


def metrics(auc, *, low=0.4, high=0.9, n=(12, 12), reason=""):
    test = {"auc": auc, "low": low, "high": high, "n_high": n[0], "n_low": n[1], "reason": reason}
    return {"status": "ok", "reason": "", "ensemble": {"test": test | {"interval_reason": ""}}}


def write_results(folder, cells, *, auc=0.9, null=(0.45, 0.3, 0.6), noise=0.0, hti_sign=1.0):
    """Tile scores = field + ``noise``; predicted HTI = ``hti_sign`` times the true one."""
    rng = np.random.default_rng(1)
    write_table(pd.DataFrame({"slide": SLIDES, "size": 75, "mpp": 0.5}), folder / "grid" / "manifest.tsv")
    slides = pd.DataFrame({"slide": SLIDES, "part": PARTS, "ood": OOD})
    for trait in ("A", "B", "noise"):
        consensus = folder / "traits" / trait / "extremes" / "consensus"
        write_json(metrics(auc) if trait != "noise" else metrics(null[0], low=null[1], high=null[2]),
                   consensus / "metrics.json")  # fmt: skip
        score = cells[trait] + noise * rng.normal(size=len(cells)) if trait != "noise" else 0.5
        write_table(cells[["slide", "row", "col"]].assign(score=score), consensus / "scores.parquet")
        write_table(slides, consensus / "slides.parquet")
    index = hti_sign * np.arange(10) / 10
    write_table(slides.assign(hti=index), folder / "heterogeneity" / "extremes" / "A+B" / "hti.tsv")


@pytest.fixture
def demo(tmp_path):
    cells = write_truth(tmp_path / "data" / "demo")
    write_results(tmp_path / "results" / "demo", cells)
    return tmp_path


def run(folder, *arguments):
    return main(["--demo", str(folder / "results/demo"), "--truth", str(folder / "data/demo"), *arguments])


def test_the_figures_of_a_cohort(demo):
    found = {(one.figure, one.trait): one for one in read_cohort(demo / "results/demo", demo / "data/demo")}
    assert set(found) == {(AUC, "A"), (AUC, "B"), (AUC, "noise"), (MAP, "A"), (MAP, "B"), (HTI, "A+B")}
    assert (found[AUC, "A"].value, found[AUC, "A"].n, found[AUC, "A"].planted) == (0.9, 24, True)
    null = found[AUC, "noise"]
    assert (null.value, null.low, null.high, null.planted) == (0.45, 0.3, 0.6, False)
    # Scores are the field itself; six test slides and one between the classes trained no model.
    assert (found[MAP, "A"].value, found[MAP, "A"].n) == (pytest.approx(1.0), 7)
    assert (found[HTI, "A+B"].value, found[HTI, "A+B"].n) == (pytest.approx(1.0), 7)


def test_slides_that_trained_no_model():
    table = pd.DataFrame(
        {"slide": list("abcd"), "part": ["train", "test", "train", "validation"], "ood": ["", "", "near", ""]}
    )
    assert unseen(table) == {"b", "c"}


def test_a_map_is_judged_within_its_slide():
    """SciPy per slide. Scores that only know the slide's level, which separates the slides, reach nothing."""
    rng = np.random.default_rng(3)
    cells = pd.DataFrame({"slide": np.repeat(["s", "t"], 16), "row": np.tile(np.arange(16), 2), "col": 0})
    cells["A"] = rng.random(32) + np.repeat([0, 5], 16)
    scores = cells[["slide", "row", "col"]].assign(score=cells["A"] + rng.normal(0, 0.3, 32))
    each = [stats.spearmanr(scores["score"][part], cells["A"][part])[0] for part in (slice(0, 16), slice(16, 32))]
    found = map_figure(scores, cells, unseen={"s", "t"}, cohort="c", trait="A")
    assert (found.value, found.n) == (pytest.approx(np.mean(each)), 2)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(each, [0.25, 0.75])))
    level = scores.assign(score=np.repeat([0.1, 0.9], 16))
    constant = map_figure(level, cells, unseen={"s", "t"}, cohort="c", trait="A")
    assert math.isnan(constant.value) and constant.reason == "none of 2 maps varies"
    one = map_figure(scores.assign(score=scores["score"].where(scores["slide"] == "s", 0.9)), cells,
                     unseen={"s", "t"}, cohort="c", trait="A")  # fmt: skip
    assert (one.value, one.reason) == (pytest.approx(each[0]), "1 of 2 maps are constant")


def test_the_demo_passes_and_prints_what_it_only_reports(demo, capsys):
    assert run(demo) == 0
    printed = capsys.readouterr().out
    assert "holds  test AUC of A >= 0.75 on >= 20 test slides: 0.900 on 24" in printed
    assert printed.count("holds") == 2 and "FAILS" not in printed
    for words in ("noise", MAP, HTI, "0.45"):
        assert words in printed


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (metrics(0.7499), "FAILS  test AUC of B >= 0.75 on >= 20 test slides: 0.750 on 24"),
        (metrics(0.9, n=(10, 9)), "0.900 on 19"),
        (
            metrics(None, n=(0, 24), reason="only one class: 0 high, 24 low"),
            "none on 24 (only one class: 0 high, 24 low)",
        ),
        ({"status": "excluded", "reason": "P50 = maximum = 1"}, "none on 0 (P50 = maximum = 1)"),
    ],
)
def test_the_demo_fails_by_the_trait_that_was_not_found(demo, capsys, changed, words):
    write_json(changed, demo / "results/demo/traits/B/extremes/consensus/metrics.json")
    assert run(demo) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(("rho", "n", "status"), [(0.6, 24, 0), (0.4, 24, 1), (0.6, 12, 1), (None, 0, 1)])
def test_a_regression_has_its_bound_where_the_demo_has_one(demo, capsys, rho, n, status):
    for trait in "AB":
        test = {} if rho is None else {"test": {"rho": rho if trait == "B" else 0.9, "n": n, "reason": ""}}
        record = {"status": "ok" if test else "excluded", "reason": "" if test else "M-NAN"}
        write_json(
            record | test, demo / "results" / "demo" / "traits" / trait / "regression" / "consensus" / "metrics.json"
        )
    assert run(demo) == status
    said = "none on 0 (M-NAN)" if rho is None else f"{rho:.3f} on {n}"
    assert f"regression Spearman of B >= 0.5 on >= 20 test slides: {said}" in capsys.readouterr().out


def test_the_null_trait_fails_no_demo(demo):
    write_json(metrics(0.9, low=0.8, high=1.0), demo / "results/demo/traits/noise/extremes/consensus/metrics.json")
    assert run(demo) == 0


def test_tiles_that_are_not_the_truths_cells_are_told(demo):
    path = demo / "results/demo/traits/A/extremes/consensus/scores.parquet"
    scores = read_table(path)
    write_table(scores.assign(row=scores["row"] + 3), path)
    with pytest.raises(InputError, match=r"Expected the tiles of demo to be cells of the truth, found 84 that are not"):
        run(demo)
    write_table(pd.DataFrame({"slide": SLIDES, "size": 64, "mpp": 0.5}), demo / "results/demo/grid/manifest.tsv")
    with pytest.raises(InputError, match=r"Expected tiles of 37.5 um in .*manifest.tsv, .* found 32 um"):
        run(demo)


def test_a_missing_result_is_told_with_what_to_do(demo):
    (demo / "results/demo/traits/B/extremes/consensus/metrics.json").unlink()
    with pytest.raises(InputError, match=r"Expected .*B/extremes/consensus/metrics.json, found no such file; run the"):
        run(demo)
    with pytest.raises(InputError, match=r"Expected .*recipe.json, found no such file; simulate the cohort first"):
        read_cohort(demo / "results/demo", demo / "data")


@pytest.fixture
def study(tmp_path):
    """Five seeds; the first one's null interval misses 0.5."""
    for seed in range(1, 6):
        cells = write_truth(tmp_path / f"data/recovery-{seed}", seed=seed)
        null = (0.7, 0.55, 0.8) if seed == 1 else (0.45, 0.3, 0.6)
        write_results(tmp_path / f"results/recovery-{seed}", cells, auc=0.82 + 0.02 * seed, null=null, noise=0.2)
    return tmp_path


def run_study(folder, *arguments):
    results, truth = ([str(folder / f"{kind}/recovery-{seed}") for seed in range(1, 6)] for kind in ("results", "data"))
    return main(["--study", *results, "--truth", *truth, *arguments])


def test_a_study_passes_on_its_means(study, capsys):
    """AUC .84 … .92: the first seed alone would fail; one null interval of five may miss 0.5."""
    assert run_study(study, "--table", str(study / "recovery.tsv")) == 0
    printed = capsys.readouterr().out
    assert "mean test AUC of A over seeds >= 0.85: 0.880 (0.840, 0.860, 0.880, 0.900, 0.920)" in printed
    assert "95 % intervals of null traits that cover 0.5: >= 4 of 5: 4 (0.550 to 0.800, 0.300 to 0.600" in printed
    table = read_table(study / "recovery.tsv")
    assert len(table) == 5 * 6 and set(table["cohort"]) == {f"recovery-{seed}" for seed in range(1, 6)}


def test_a_study_fails_where_one_seed_has_no_figure(study, capsys):
    write_json(
        {"status": "excluded", "reason": "no model"},
        study / "results/recovery-3/traits/A/extremes/consensus/metrics.json",
    )
    assert run_study(study) == 1
    assert "FAILS  mean test AUC of A over seeds >= 0.85: none" in (printed := capsys.readouterr().out)
    assert "(recovery-3: no model)" in printed and "holds  mean test AUC of B" in printed


def figure(kind, value, *, trait="A", planted=True, low=NAN, high=NAN):
    return Figure("c", trait, planted, kind, value, low, high, 30)


def passing():
    """Figures of five seeds that are just good enough."""
    seeds = [figure(AUC, 0.85), figure(MAP, 0.3), figure(HTI, 0.7, trait="A+B")] * 5
    return seeds + [figure(AUC, 0.5, trait="noise", planted=False, low=0.5, high=0.6)] * 5


@pytest.mark.parametrize(
    ("kind", "least"), [(AUC, "A over seeds >= 0.85"), (MAP, "A over seeds >= 0.3"), (HTI, r"A+B over seeds >= 0.7")]
)
def test_each_mean_has_its_bound(kind, least):
    assert all(check.holds for check in study_checks(passing()))
    worse = [figure(kind, one.value - 1e-3, trait=one.trait) if one.figure == kind and one.planted else one
             for one in passing()]  # fmt: skip
    failed = [check.bound for check in study_checks(worse) if not check.holds]
    assert failed == [f"mean {kind} of {least}"]


@pytest.mark.parametrize(("missing", "holds"), [(0, True), (1, True), (2, False)])
def test_intervals_that_miss_one_half_are_counted(missing, holds):
    away = figure(AUC, 0.7, trait="noise", planted=False, low=0.501, high=0.9)
    none = figure(AUC, NAN, trait="noise", planted=False)
    for kind in (away, none):
        figures = passing()[: -missing or None] + [kind] * missing
        assert study_checks(figures)[-1].holds is holds


def test_no_null_trait_is_no_proof():
    assert not study_checks([one for one in passing() if one.planted])[-1].holds


@pytest.mark.parametrize(("intervals", "least"), [(2, 1), (5, 4), (10, 8), (20, 17)])
def test_fewest_intervals_that_may_cover(intervals, least):
    """Binomial by hand: of 5 intervals at 95 %, at most 3 cover in 2.3 % of studies, at most 4 in 22.6 %."""
    below = [math.comb(intervals, k) * 0.95**k * 0.05 ** (intervals - k) for k in range(least + 1)]
    assert sum(below[:-1]) < 0.05 <= sum(below)
    assert fewest_covering(intervals) == least


def test_demo_checks_look_at_planted_traits_only():
    assert [check.bound.split()[3] for check in demo_checks(passing()[:1])] == ["A"]
    assert demo_checks([one for one in passing() if not one.planted]) == []


def test_a_truth_per_cohort(demo, capsys):
    with pytest.raises(SystemExit):
        run(demo, "--truth", "one", "two")
    assert "--truth: expected a folder per cohort (1), found 2" in capsys.readouterr().err


def test_the_shipped_study_has_a_cohort_per_seed_with_the_planted_traits():
    study = read_study(yaml.safe_load((ROOT / "config" / "recovery.yaml").read_text()))
    assert list(study.cohorts) == [f"recovery-{seed}" for seed in range(1, 6)]
    assert {cohort.slides for cohort in study.cohorts.values()} == {f"data/{name}/slides.tsv" for name in study.cohorts}
    layout, recipe = study.layouts["grid"], simulate.PRESETS["recovery"]
    assert layout.size * layout.mpp == recipe.cell_um
    assert study.tasks["extremes"].traits == list(simulate.TRAITS)

"""The table of how well many traits are predicted: the family of tests, and rows without a figure."""

import math

import numpy as np
import pytest
from histocarta.associations import tabulate_associations
from histocarta.evaluation import r_squared
from histocarta.files import read_table, write_json
from sklearn.metrics import r2_score
from statsmodels.stats.multitest import multipletests


def metrics(folder, trait, *, p, rho=0.5, status="ok"):
    head = {"trait": trait, "unit": "patient", "independent": True, "status": status}
    head |= {"code": "" if status == "ok" else "B-VARIANCE", "reason": "" if status == "ok" else "hardly varies"}
    figures = {"rho": rho, "p": p, "n": 20, "r2": 0.2, "reason": "" if p == p else "one of the two is constant"}
    test = figures | {f"sample_{key}": value for key, value in figures.items()}
    rounds = [{"round": k, "test_rho": rho + k / 10, "test_r2": 0.1} for k in (1, 2)]
    write_json(head | {"rounds": rounds} | ({"test": test} if status == "ok" else {}), folder / f"{trait}.json")
    return str(folder / f"{trait}.json")


def test_every_trait_that_was_tried_counts_in_the_family(tmp_path):
    nan = float("nan")
    paths = [metrics(tmp_path, "A", p=0.001), metrics(tmp_path, "B", p=0.03), metrics(tmp_path, "C", p=nan, rho=nan)]
    paths.append(metrics(tmp_path, "D", p=nan, status="excluded"))
    tabulate_associations(metrics=paths, table=str(tmp_path / "t.tsv"), parquet=str(tmp_path / "t.parquet"))
    table = read_table(tmp_path / "t.parquet").set_index("trait")
    expected = multipletests([0.001, 0.03, 1.0], method="fdr_bh")[1]
    np.testing.assert_allclose(table.loc[["A", "B"], "test_fdr"], expected[:2])
    assert math.isnan(table.loc["C", "test_fdr"]) and math.isnan(table.loc["D", "test_fdr"])
    assert set(table["n_tests"]) == {3}
    assert table.loc["A", "test_rounds_rho"] == pytest.approx(0.65) and table.loc["A", "test_n"] == 20
    assert (table.loc["D", "code"], table.loc["D", "reason"]) == ("B-VARIANCE", "hardly varies")
    assert list(read_table(tmp_path / "t.tsv")["trait"]) == ["A", "B", "C", "D"]


def test_r_squared_is_scikit_learns_and_says_nothing_of_a_constant():
    rng = np.random.default_rng(1)
    truth, score = rng.normal(size=(2, 50))
    assert r_squared(truth, score) == pytest.approx(r2_score(truth, score), abs=1e-12)
    holes = np.where(np.arange(50) % 7 == 0, np.nan, truth)
    assert r_squared(holes, score) == pytest.approx(r2_score(holes[~np.isnan(holes)], score[~np.isnan(holes)]))
    assert math.isnan(r_squared([2.0, 2.0], [1.0, 3.0])) and math.isnan(r_squared([2.0], [1.0]))

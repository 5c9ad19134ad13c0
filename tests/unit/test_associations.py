"""The table of how well many traits are predicted: the family of tests, rounds and samples, rows without a figure."""

import numpy as np
import pandas as pd
import pytest
from histocarta.associations import tabulate_associations
from histocarta.errors import InputError
from histocarta.evaluation import r_squared
from histocarta.files import read_table, write_table
from scipy import stats
from sklearn.metrics import r2_score
from statsmodels.stats.multitest import multipletests

NAMES, N = ["A", "B", "C"], 40


def study(folder, *, rounds=2, samples=None):
    """Predictions of three genes, the last constant, and of a fourth none; slides 0-19 test, 20-29 validate."""
    rng = np.random.default_rng(8)
    slides = [f"s{n:02d}" for n in range(N)]
    truth = rng.normal(size=(N, 3))
    part = ["test"] * 20 + ["validation"] * 10 + ["train"] * 10
    keys = pd.DataFrame({"slide": slides, "patient": slides, "sample": samples or slides, "unit": slides, "part": part})
    tables = []
    for number in range(rounds + 1):
        score = truth + rng.normal(0, 1, (N, 3))
        score[:, 2] = 1.0
        tables.append(pd.concat([keys.assign(round=number), pd.DataFrame(score, columns=NAMES)], axis=1))
    write_table(pd.concat(tables), folder / "predictions.parquet")
    write_table(pd.concat([keys[["slide"]], pd.DataFrame(truth, columns=NAMES)], axis=1), folder / "measured.parquet")
    fates = pd.DataFrame({"trait": [*NAMES, "D"], "status": "ok", "code": "", "reason": ""})
    fates.loc[3, ["status", "code", "reason"]] = ["excluded", "B-VARIANCE", "hardly varies"]
    write_table(fates, folder / "fates.tsv")
    splits = []
    for number in range(1, rounds + 1):
        write_table(keys.assign(scheme="s", round=number), folder / f"round-{number}.tsv")
        splits.append(str(folder / f"round-{number}.tsv"))
    paths = {"predictions": "predictions.parquet", "measured": "measured.parquet", "fates": "fates.tsv"}
    paths |= {"table": "t.tsv", "parquet": "t.parquet"}
    tabulate_associations(**{key: str(folder / name) for key, name in paths.items()}, splits=splits, unit="patient")
    return read_table(folder / "t.parquet").set_index("trait"), tables, truth


def test_figures_are_scipys_and_every_trait_that_was_tried_counts(tmp_path):
    table, scores, truth = study(tmp_path)
    p = []
    for gene, name in enumerate("AB"):
        rho, one = stats.spearmanr(scores[0][name][:20], truth[:20, gene])
        p.append(one)
        assert table.loc[name, "test_rho"] == pytest.approx(rho, abs=1e-12)
        assert table.loc[name, "test_p"] == pytest.approx(one, rel=1e-9)
        assert table.loc[name, "test_r2"] == pytest.approx(
            r2_score(truth[:20, gene], scores[0][name][:20].astype(float))
        )
        by_round = [stats.spearmanr(scores[k][name][:20], truth[:20, gene])[0] for k in (1, 2)]
        assert table.loc[name, "test_rounds_rho"] == pytest.approx(np.mean(by_round))
        assert table.loc[name, "variance"] == pytest.approx(truth[:, gene].var())
    expected = multipletests([*p, 1.0], method="fdr_bh")[1]
    np.testing.assert_allclose(table.loc[["A", "B"], "test_fdr"], expected[:2])
    assert np.isnan(table.loc["C", "test_fdr"]) and table.loc["C", "test_reason"] == "one of the two is constant"
    assert set(table["n_tests"]) == {3} and table.loc["A", "test_n"] == 20
    assert (table.loc["D", "code"], table.loc["D", "reason"]) == ("B-VARIANCE", "hardly varies")
    assert np.isnan(table.loc["D", "test_rho"]) and table.loc["D", "test_reason"] == ""
    assert list(read_table(tmp_path / "t.tsv")["trait"]) == ["A", "B", "C", "D"]


def test_with_several_rounds_validation_has_means_only(tmp_path):
    table, scores, truth = study(tmp_path)
    assert table["validation_rho"].isna().all()
    by_round = [stats.spearmanr(scores[k]["A"][20:30], truth[20:30, 0])[0] for k in (1, 2)]
    assert table.loc["A", "validation_rounds_rho"] == pytest.approx(np.mean(by_round))


def test_with_one_round_validation_is_tested_as_the_test_is(tmp_path):
    table, scores, truth = study(tmp_path, rounds=1)
    rho, p = stats.spearmanr(scores[0]["B"][20:30], truth[20:30, 1])
    assert table.loc["B", "validation_rho"] == pytest.approx(rho) and table.loc["B", "validation_p"] == pytest.approx(p)
    assert table.loc["B", "validation_n"] == 10


def test_a_sample_with_several_slides_counts_once(tmp_path):
    samples = [f"p{n // 2}" for n in range(N)]
    table, scores, truth = study(tmp_path, samples=samples)
    pairs = pd.DataFrame({"score": scores[0]["A"][:20].to_numpy(), "value": truth[:20, 0]})
    means = pairs.groupby(np.arange(20) // 2).mean()
    assert table.loc["A", "test_sample_n"] == 10
    assert table.loc["A", "test_sample_rho"] == pytest.approx(stats.spearmanr(means["score"], means["value"])[0])
    assert table.loc["A", "test_n"] == 20


def test_genes_are_brought_forward_by_a_validation_part_that_chose_nothing(tmp_path):
    """A is well predicted, B on the validation part alone: two are brought forward, the test's price is 2."""
    study(tmp_path, rounds=1)
    scores = read_table(tmp_path / "predictions.parquet")
    truth = read_table(tmp_path / "measured.parquet").set_index("slide").loc[scores["slide"]]
    rng = np.random.default_rng(0)
    scores["A"] = truth["A"].to_numpy() + rng.normal(0, 0.1, len(scores))
    validated = scores["part"] == "validation"
    scores["B"] = np.where(validated, truth["B"].to_numpy(), rng.normal(size=len(scores)))
    write_table(scores, tmp_path / "predictions.parquet")
    paths = {"predictions": "predictions.parquet", "measured": "measured.parquet", "fates": "fates.tsv"}
    paths |= {"table": "t.tsv", "parquet": "t.parquet"}
    arguments = {key: str(tmp_path / name) for key, name in paths.items()}
    arguments |= {"splits": [str(tmp_path / "round-1.tsv")], "unit": "patient"}
    tabulate_associations(**arguments, selection={"min_r2": 0.2, "max_fdr": 0.001})
    table = read_table(tmp_path / "t.parquet").set_index("trait")
    assert table["brought_forward"].to_dict() == {"A": True, "B": True, "C": False, "D": False}
    assert table.loc["A", "test_bonferroni"] == pytest.approx(2 * table.loc["A", "test_p"])
    assert table["validated"].to_dict() == {"A": True, "B": False, "C": False, "D": False}
    assert np.isnan(table.loc["C", "test_bonferroni"])
    tabulate_associations(**arguments)
    assert "brought_forward" not in read_table(tmp_path / "t.parquet")
    # The test part is opened for these models; a table of others is refused before anything is computed.
    opened = {"selection": {"min_r2": 0.2, "max_fdr": 0.001}, "register": str(tmp_path / "test-probe.json")}
    (tmp_path / "head").write_text("one")
    tabulate_associations(**arguments, **opened, models=[str(tmp_path / "head")])
    tabulate_associations(**arguments, **opened, models=[str(tmp_path / "head")])
    (tmp_path / "head").write_text("another")
    with pytest.raises(InputError, match="E-OPENED Expected the models for which the test part was opened on"):
        tabulate_associations(**arguments, **opened, models=[str(tmp_path / "head")])
    tabulate_associations(**arguments, **opened, models=[str(tmp_path / "head")], reopen=True)


def test_where_nothing_could_be_learnt_every_row_says_so(tmp_path):
    study(tmp_path)
    write_table(pd.DataFrame(columns=["slide", "patient", "sample", "unit", "round", "part"]), tmp_path / "p.parquet")
    write_table(pd.DataFrame(columns=["slide"]), tmp_path / "m.parquet")
    fates = read_table(tmp_path / "fates.tsv").assign(status="excluded", code="E-NO-MODEL", reason="M-EMPTY")
    write_table(fates, tmp_path / "fates.tsv")
    tabulate_associations(
        predictions=str(tmp_path / "p.parquet"),
        measured=str(tmp_path / "m.parquet"),
        fates=str(tmp_path / "fates.tsv"),
        splits=[str(tmp_path / "round-1.tsv")],
        table=str(tmp_path / "t.tsv"),
        parquet=str(tmp_path / "t.parquet"),
        unit="patient",
    )
    table = read_table(tmp_path / "t.parquet")
    assert set(table["code"]) == {"E-NO-MODEL"} and table["test_rho"].isna().all() and set(table["n_tests"]) == {0}


def test_r_squared_is_scikit_learns_and_says_nothing_of_a_constant():
    rng = np.random.default_rng(1)
    truth, score = rng.normal(size=(2, 50))
    assert r_squared(truth, score) == pytest.approx(r2_score(truth, score), abs=1e-12)
    holes = np.where(np.arange(50) % 7 == 0, np.nan, truth)
    assert r_squared(holes, score) == pytest.approx(r2_score(holes[~np.isnan(holes)], score[~np.isnan(holes)]))
    assert np.isnan(r_squared([2.0, 2.0], [1.0, 3.0])) and np.isnan(r_squared([2.0], [1.0]))

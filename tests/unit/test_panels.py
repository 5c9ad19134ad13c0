"""Panels of genes: their counts, their score, and patients that fall into the same groups."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.panels import summarise_panels
from histocarta.report_panels import panel_section
from histocarta.sheets import read_traits
from scipy import stats
from sklearn.metrics import adjusted_rand_score

ROOT = Path(__file__).parents[2]


@pytest.fixture
def study(tmp_path):
    """40 test samples in four groups by the genes G0-G9, which are predicted well; N0-N4 are not; 10 slides train."""
    rng = np.random.default_rng(0)
    samples, names = [f"p{n:02d}" for n in range(50)], [*(f"G{n}|{n}" for n in range(10)), *(f"N{n}" for n in range(5))]
    centres = rng.normal(0, 2, (4, 15))
    truth = centres[np.arange(50) % 4] + rng.normal(0, 0.5, (50, 15))
    score = truth + rng.normal(0, 0.5, truth.shape)
    score[:, 10:] = rng.normal(size=(50, 5))
    keys = pd.DataFrame({"slide": samples, "patient": samples, "sample": samples, "unit": samples, "round": 0})
    keys["part"] = ["test"] * 40 + ["train"] * 10
    write_table(pd.concat([keys, pd.DataFrame(score, columns=names)], axis=1), tmp_path / "predictions.parquet")
    write_table(pd.concat([keys[["slide"]], pd.DataFrame(truth, columns=names)], axis=1), tmp_path / "measured.parquet")
    table = pd.DataFrame({"trait": [*names, "gone"], "status": "ok", "test_rho": [0.8] * 10 + [0.0] * 6})
    table["test_fdr"] = [0.01] * 10 + [0.9] * 6
    table.loc[15, "status"] = "excluded"
    write_table(table, tmp_path / "associations.parquet")
    (tmp_path / "good.txt").write_text("trait\n" + "\n".join(f"G{n}" for n in range(10)) + "\nABSENT\ngone\n")
    (tmp_path / "null.txt").write_text("trait\n" + "\n".join(f"N{n}" for n in range(5)) + "\n")
    (tmp_path / "few.txt").write_text("trait\nG0\nG1\n")
    return tmp_path, truth, score


def summarised(folder, **more):
    names = {"associations": "associations.parquet", "predictions": "predictions.parquet"}
    names |= {"measured": "measured.parquet", "table": "panels-probe.tsv", "patients": "p.parquet"}
    panels = {name: str(folder / f"{name}.txt") for name in ("good", "null", "few")}
    summarise_panels(**{key: str(folder / name) for key, name in names.items()}, panels=panels, seed=1, **more)
    return read_table(folder / "panels-probe.tsv").set_index("panel"), read_table(folder / "p.parquet")


def test_counts_score_and_clusters_of_each_panel(study):
    folder, truth, score = study
    table, people = summarised(folder)
    good, null = table.loc["good"], table.loc["null"]
    assert (good["genes"], good["tried"], good["significant"]) == ("12", "10", "10")
    assert (null["genes"], null["tried"], null["significant"]) == ("5", "5", "0")
    expected = stats.spearmanr(truth[:40, :10].mean(axis=1), score[:40, :10].mean(axis=1))
    assert float(good["score_rho"]) == pytest.approx(expected[0]) and good["score_n"] == "40"
    assert float(good["cluster_ari"]) > 0.8 and float(good["cluster_p"]) < 0.01
    assert abs(float(null["cluster_ari"])) < 0.3 and float(null["cluster_p"]) > 0.05
    assert good["predictable"] == ""  # the table of associations does not say
    mine = people[people["panel"] == "good"]
    assert len(mine) == 40 and mine["measured_cluster"].nunique() == 4


def test_two_genes_make_no_clusters(study):
    table, _ = summarised(study[0])
    assert table.loc["few", "cluster_reason"] == "40 samples and 2 genes that vary, need 8 and 3"
    assert table.loc["few", "cluster_ari"] == "" and float(table.loc["few", "score_rho"]) > 0.5


def test_the_report_has_a_row_per_panel(study):
    summarised(study[0])
    section = panel_section(str(study[0] / "panels-probe.tsv"), str(study[0]), {})
    assert [row[0] for row in section.blocks[1].rows] == ["good", "null", "few"]
    assert section.title == "Gene panels (regression, probe)"


@pytest.mark.parametrize(
    ("panel", "genes"), [("pam50", 50), ("oncotype-dx", 21), ("endopredict", 12), ("proliferation", 11)]
)
def test_the_shipped_panels_have_their_genes(panel, genes):
    """Wang 2021 counts 12 genes of EndoPredict, 21 of Oncotype DX, 50 of PAM50, and 11 of its proliferation score."""
    names = read_traits(ROOT / "config" / "panels" / f"{panel}.txt")
    assert len(names) == genes
    if panel == "proliferation":
        assert set(names) < set(read_traits(ROOT / "config" / "panels" / "pam50.txt"))


def test_genes_fall_into_the_clusters_that_they_were_planted_in(tmp_path):
    """Nine genes in three groups of one factor each: found as measured, and as predicted with some noise."""
    rng = np.random.default_rng(1)
    samples, names = [f"p{n:02d}" for n in range(60)], [f"G{n}" for n in range(9)]
    truth = rng.normal(size=(60, 3))[:, np.arange(9) % 3] + rng.normal(0, 0.3, (60, 9))
    keys = pd.DataFrame({"slide": samples, "patient": samples, "sample": samples, "unit": samples, "round": 0})
    keys["part"] = "test"
    score = truth + rng.normal(0, 0.3, truth.shape)
    write_table(keys.join(pd.DataFrame(score, columns=names)), tmp_path / "predictions.parquet")
    write_table(keys[["slide"]].join(pd.DataFrame(truth, columns=names)), tmp_path / "measured.parquet")
    write_table(
        pd.DataFrame({"trait": names, "status": "ok", "test_rho": 0.5, "test_fdr": 0.01}),
        tmp_path / "associations.parquet",
    )
    for panel, count in (("good", 9), ("null", 5), ("few", 2)):
        (tmp_path / f"{panel}.txt").write_text("trait\n" + "\n".join(names[:count]) + "\n")
    table, _ = summarised(tmp_path)
    assert float(table.loc["good", "gene_ari"]) == 1.0 and float(table.loc["good", "gene_p"]) < 0.05
    assert table.loc["null", "gene_reason"] == "5 genes, need 6"


def test_clusters_are_held_against_a_subtype_of_the_clinical_sheet(study):
    """The planted group as subtype: both ends find it; without a sheet or a column there is no such figure."""
    folder, _, _ = study
    patients = [f"p{n:02d}" for n in range(50)]
    clinical = pd.DataFrame({"patient": patients, "pam50": [f"type {n % 4}" for n in range(50)]})
    clinical.loc[3, "pam50"] = ""
    write_table(clinical, folder / "clinical.parquet")
    table, people = summarised(folder, clinical=str(folder / "clinical.parquet"), subtype="pam50")
    mine = people[people["panel"] == "good"]
    known = mine["sample"].ne("p03").to_numpy()
    expected = adjusted_rand_score((np.arange(40) % 4)[known], mine["measured_cluster"][known])
    assert float(table.loc["good", "measured_subtype_ari"]) == pytest.approx(expected) and expected > 0.9
    assert (
        float(table.loc["good", "predicted_subtype_ari"]) > 0.8 > abs(float(table.loc["null", "predicted_subtype_ari"]))
    )
    section = panel_section(str(folder / "panels-probe.tsv"), str(folder), {})
    assert any("predicted clusters and subtype" in str(block) for block in section.blocks)
    with pytest.raises(InputError, match=r"Expected the column 'type' \(subtype\) .*found .*pam50"):
        summarised(folder, clinical=str(folder / "clinical.parquet"), subtype="type")
    assert "measured_subtype_ari" not in summarised(folder, subtype="pam50")[0]

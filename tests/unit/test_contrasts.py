"""Groups of patients, covariates and the genes that differ, as measured and as predicted."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from histocarta.contrasts import compare_groups, compare_predicted_groups
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.report_contrasts import common_section, contrast_section
from histocarta.report_page import Table

N = 60
BY_STATUS = {"column": "er", "gene": None, "high": "positive", "low": "negative", "covariates": ["age", "node"]}
BY_GENE = {"column": None, "gene": "G0", "high": None, "low": None, "covariates": []}


@pytest.fixture
def study(tmp_path):
    rng = np.random.default_rng(0)
    names = pd.Index([f"p{n:02d}" for n in range(N)], name="sample")
    er = np.where(np.arange(N) % 3 == 0, "negative", "positive")
    clinical = pd.DataFrame(
        {"patient": names, "er": er, "age": rng.normal(60, 9, N), "node": rng.choice(["n0", "n1", "n2"], N)}
    )
    clinical["female"] = (np.arange(N) % 2).astype(float)
    clinical.loc[5, "er"], clinical.loc[7, "age"] = "unknown", np.nan
    genes = pd.DataFrame(rng.normal(5, 1, (N, 6)), index=names, columns=["G0|12", *(f"G{n}" for n in range(1, 6))])
    genes["G1"] += 2.0 * (er == "positive")
    write_table(clinical, tmp_path / "clinical.parquet")
    write_table(genes, tmp_path / "expression.parquet", index=True)
    return tmp_path, clinical, genes


def compared(folder, contrast):
    paths = {name: str(folder / f"{name}.parquet") for name in ("expression", "clinical")}
    compare_groups(**paths, table=str(folder / "t.tsv"), **contrast)
    return read_table(folder / "t.tsv").set_index("trait").apply(pd.to_numeric)


def test_each_gene_is_a_linear_model_of_the_complete_patients(study):
    folder, clinical, genes = study
    table = compared(folder, BY_STATUS)
    rows = clinical.set_index("patient").join(genes)
    rows = rows[(rows["er"] != "unknown") & rows["age"].notna()]
    rows["group"] = (rows["er"] == "positive").astype(float)
    for gene in ("G1", "G2"):
        expected = smf.ols(f"{gene} ~ group + age + node", rows).fit()
        assert table.loc[gene, "effect"] == pytest.approx(expected.params["group"])
        assert table.loc[gene, "p"] == pytest.approx(expected.pvalues["group"])
    assert table.loc["G1", "n_high"] + table.loc["G1", "n_low"] == N - 2
    assert table["fdr"].idxmin() == "G1" and table.loc["G1", "effect"] == pytest.approx(2, abs=0.7)


def test_a_genes_median_makes_groups_and_leaves_the_gene_out(study):
    folder, _, genes = study
    table = compared(folder, BY_GENE)
    assert "G0|12" not in table.index and table["n_high"].iloc[0] == table["n_low"].iloc[0] == 30
    high = genes["G0|12"] > genes["G0|12"].median()
    difference = genes.loc[high, "G3"].mean() - genes.loc[~high, "G3"].mean()
    assert table.loc["G3", "effect"] == pytest.approx(difference)


def test_numbers_are_named_as_they_are_written(study):
    table = compared(study[0], BY_STATUS | {"column": "female", "high": "1", "low": "0", "covariates": []})
    assert table["n_high"].iloc[0] == 30


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"column": "err"}, "Expected the column 'err' in the clinical sheet, found patient, er.*nearest: er"),
        ({"high": "Positive"}, "Expected 'Positive' and 'negative' among the values of er .* found no 'Positive'"),
        ({"covariates": ["size"]}, "Expected the column 'size'"),
        ({"low": "unknown"}, "at least 5 patients in each group .* found .* high and 1 low"),
    ],
)
def test_what_is_not_there_is_named(study, change, said):
    with pytest.raises(InputError, match=said):
        compared(study[0], BY_STATUS | change)


def test_a_cohort_without_a_clinical_sheet_is_told(study):
    folder, _, _ = study
    with pytest.raises(InputError, match="Expected a clinical sheet with er, found none"):
        compare_groups(
            expression=str(folder / "expression.parquet"), clinical=[], table=str(folder / "t.tsv"), **BY_STATUS
        )


def test_predicted_and_measured_genes_are_held_together_on_the_test_part(study):
    folder, _, genes = study
    rng = np.random.default_rng(3)
    slides = pd.DataFrame({"slide": genes.index + "-1", "patient": genes.index, "sample": genes.index})
    slides["unit"], slides["part"] = genes.index, ["train"] * 10 + ["test"] * 50
    predicted = genes + rng.normal(0, 0.3, genes.shape)
    tables = [pd.concat([slides.assign(round=r), predicted.reset_index(drop=True)], axis=1) for r in (0, 1)]
    write_table(pd.concat(tables), folder / "predictions.parquet")
    write_table(pd.concat([slides[["slide"]], genes.reset_index(drop=True)], axis=1), folder / "measured.parquet")
    paths = {name: str(folder / f"{name}.parquet") for name in ("predictions", "measured", "expression", "clinical")}
    (folder / "er").mkdir()
    compare_predicted_groups(**paths, table=str(folder / "er" / "probe.tsv"), **BY_STATUS)
    table = read_table(folder / "er" / "probe.tsv").set_index("trait")
    assert int(table.loc["G1", "measured_n_high"]) + int(table.loc["G1", "measured_n_low"]) == 50
    assert table["common"].to_dict() == {gene: str(gene == "G1") for gene in genes.columns}
    counts = next(
        block for block in common_section(str(folder / "er" / "probe.tsv")).blocks if isinstance(block, Table)
    )
    assert [count for _, count in counts.rows] == [1, 1, 1]


def test_the_report_counts_what_is_higher_and_lower(study):
    folder, _, _ = study
    compared(folder, BY_STATUS)
    section = contrast_section(str(folder / "t.tsv"))
    counts = [block for block in section.blocks if isinstance(block, Table)]
    assert [count for _, count in counts[0].rows] == [6, 1, 0] and counts[1].rows[0][0] == "G1"

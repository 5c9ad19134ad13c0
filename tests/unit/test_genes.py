"""What all genes are given to learn at once: gene by gene what a gene alone is given."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.genes import label_genes
from histocarta.leaks import LeakError, audit_leaks
from histocarta.values import label_regression

RULE = {"centre": None, "standardise": True, "min_variance": 0.01, "fitted_on": "non_test"}
N = 40


@pytest.fixture
def study(tmp_path):
    """40 slides, two of each patient; every fourth patient tests. Genes: three whole ones and one of each fault."""
    rng = np.random.default_rng(0)
    slides, patients = [f"s{n:02d}" for n in range(N)], [f"p{n // 2:02d}" for n in range(N)]
    values = pd.DataFrame(rng.normal(5, 2, (N, 3)), columns=["A|1", "B", "C"], index=pd.Index(slides, name="sample"))
    values["flat"], values["absent"] = 3.0, np.nan
    values["partial"] = np.where(np.arange(N) == 5, np.nan, values["B"])
    values["untested"] = np.where(np.arange(N) == 0, np.nan, values["C"])  # s00 tests: all others have it
    write_table(values, tmp_path / "expression.parquet", index=True)
    table = pd.DataFrame({"slide": slides, "patient": patients, "file": slides, "block": "", "n_tiles": 3})
    for name in ("x", "y", "width", "height"):
        table[name] = ""
    write_table(table, tmp_path / "manifest.tsv")
    batch = np.where(np.arange(N) // 2 % 3 == 0, "two", "one")
    write_table(table[["slide"]].assign(batch=batch), tmp_path / "slides.tsv")
    part = ["test" if n // 2 % 4 == 0 else "validation" if n // 2 % 4 == 1 else "train" for n in range(N)]
    write_table(table.assign(unit=patients, part=part, scheme="s", round=1), tmp_path / "round-1.tsv")
    return tmp_path


def files(folder, **more):
    names = {"expression": "expression.parquet", "manifest": "manifest.tsv", "labels": "labels.parquet"}
    names |= {"summary": "labels.json"} | more
    return {key: str(folder / name) for key, name in names.items()} | {"split": [str(folder / "round-1.tsv")]}


def labelled(folder, *, wanted=None, **changes):
    label_genes(**files(folder, genes="genes.tsv"), wanted=wanted, **RULE | changes)
    genes = read_table(folder / "genes.tsv").set_index("trait")
    return read_table(folder / "labels.parquet").set_index("slide"), genes, read_json(folder / "labels.json")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"centre": "patient"},
        {"standardise": False},
        {"fitted_on": "all"},
        {"min_variance": 3.9},
        {"reference_batch": "one"},
        {"reference_batch": "one", "test_shift": "own"},
    ],
)
def test_every_gene_is_labelled_as_it_would_be_alone(study, changes):
    changes |= {"sheet": str(study / "slides.tsv")}
    table, genes, summary = labelled(study, **changes)
    chosen = genes.index[genes["status"] == "ok"].tolist()
    assert chosen and summary["status"] == "ok"
    for number, gene in enumerate(chosen):
        alone = files(study, labels="alone.parquet", summary="alone.json")
        label_regression(**alone, trait=gene, **RULE | changes)
        expected = read_table(study / "alone.parquet").set_index("slide").loc[table.index]
        np.testing.assert_allclose([row[number] for row in table["value"]], expected["value"], atol=1e-12)
        np.testing.assert_allclose([row[number] for row in table["target"]], expected["target"], rtol=1e-5, atol=1e-6)
    for gene in ("flat", "absent"):
        label_regression(**alone, trait=gene, **RULE | changes)
        assert genes.loc[gene, "code"] == read_json(study / "alone.json")["code"]


def test_each_gene_that_is_left_out_has_its_reason(study):
    table, genes, summary = labelled(study)
    assert genes.index[genes["status"] == "ok"].tolist() == ["A|1", "B", "C", "untested"]
    assert dict(genes["code"]) == {
        "A|1": "", "B": "", "C": "", "untested": "",
        "flat": "B-VARIANCE", "absent": "B-NOVALUE", "partial": "B-PARTIAL",
    }  # fmt: skip
    assert genes.loc["partial", "reason"] == "measured in 29 of 30 samples"
    assert summary["genes"] == {"ok": 4, "B-VARIANCE": 1, "B-NOVALUE": 1, "B-PARTIAL": 1}
    assert np.isnan(table.loc["s00", "target"][3]) and len(table) == N


def test_genes_are_found_by_their_symbols_and_absent_ones_named(study):
    _, genes, summary = labelled(study, wanted=["A", "Z", "B"])
    assert genes["status"].to_dict() == {"A": "ok", "B": "ok", "Z": "excluded"}
    assert genes.loc["Z", "code"] == "B-NOTRAIT" and "'Z'" in genes.loc["Z", "reason"]
    assert len(summary["fit"]["mean"]) == 2


def test_where_no_gene_can_be_learnt_all_together_are_left_out(study):
    table, _, summary = labelled(study, wanted=["flat", "Z", "Y"])
    assert table.empty
    assert (summary["status"], summary["code"]) == ("excluded", "B-NOTRAIT")
    assert summary["reason"] == "none of 3 genes can be learnt"


def test_the_audit_fits_all_genes_again(study):
    labelled(study)
    paths = files(study, audit="leaks.json")
    paths = {key: paths[key] for key in ("manifest", "labels", "summary", "audit")} | {"splits": paths["split"]}
    audit_leaks(**paths, unit="patient", fitted_on="non_test")
    assert read_json(paths["audit"])["trait"] == "transcriptome"
    labelled(study, fitted_on="all")
    facts = read_json(paths["summary"]) | {"fitted_on": "non_test"}
    write_json(facts, paths["summary"])
    with pytest.raises(LeakError, match="test samples took part"):
        audit_leaks(**paths, unit="patient", fitted_on="non_test")


def test_a_gene_that_a_slide_to_learn_from_lacks_is_left_out(study):
    """Split by section: p00 has a slide in the test part and one in training, and «untested» lacks its sample."""
    values = pd.read_parquet(study / "expression.parquet")
    values = values.groupby([f"p{n // 2:02d}" for n in range(N)]).first()
    values["untested"] = values["C"].where(values.index != "p00")
    write_table(values.rename_axis("sample"), study / "expression.parquet", index=True)
    split = read_table(study / "round-1.tsv")
    split.loc[1, "part"] = "train"
    write_table(split, study / "round-1.tsv")
    _, genes, _ = labelled(study)
    assert genes.loc["untested", ["code", "reason"]].tolist() == ["B-PARTIAL", "measured in 15 of 16 samples"]

"""Gene sets that hold many genes which vary and are not predicted: counted, tested, and named."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.overrepresentation import represent_unpredicted
from histocarta.report_contrasts import unpredicted_section
from scipy import stats


@pytest.fixture
def study(tmp_path):
    """400 genes; the last 200 vary more, and of these the last 100 are not predicted. MISSED holds 18 of them."""
    names = [f"GENE{n:03d}" for n in range(400)]
    table = pd.DataFrame({"trait": [f"{name}|{n}" for n, name in enumerate(names)], "status": "ok"})
    table["test_fdr"] = np.where(np.arange(400) < 300, 0.01, 0.4)
    table.loc[350, "test_fdr"] = np.nan  # a constant prediction predicts nothing
    table["variance"] = np.arange(400.0)
    excluded = pd.DataFrame({"trait": ["GONE"], "status": "excluded", "test_fdr": np.nan, "variance": np.nan})
    write_table(pd.concat([table, excluded]), tmp_path / "regression-probe.parquet")
    sets = {"MISSED": [*names[:2], *names[340:358]], "EVEN": names[::10], "SMALL": names[:3], "GONE": ["GONE"] * 20}
    lines = ["\t".join([name, "note", *genes]) for name, genes in sets.items()]
    (tmp_path / "sets.gmt").write_text("\n".join(lines) + "\n")
    return tmp_path


def represented(folder):
    paths = {"associations": "regression-probe.parquet", "sets": "sets.gmt", "table": "unpredicted-probe-hallmark.tsv"}
    represent_unpredicted(**{key: str(folder / name) for key, name in paths.items()})
    return read_table(folder / paths["table"]).set_index("set")


def test_counts_and_p_are_those_of_the_two_by_two_table(study):
    """Outside truth: Fisher's exact test, one-sided, of 18 of 20 against 82 of 380."""
    table = represented(study)
    assert table.loc["MISSED", ["genes", "unpredicted", "expected"]].tolist() == ["20", "18", "5.0"]
    fisher = stats.fisher_exact([[18, 2], [82, 298]], alternative="greater").pvalue
    assert float(table.loc["MISSED", "p"]) == pytest.approx(fisher, rel=1e-9)
    assert float(table.loc["MISSED", "fdr"]) == pytest.approx(2 * fisher, rel=1e-9)
    assert table.loc["EVEN", ["genes", "unpredicted"]].tolist() == ["40", "10"] and float(table.loc["EVEN", "p"]) > 0.5
    assert list(table.index) == ["MISSED", "EVEN"] and "GENE350" in table.loc["MISSED", "members"]


def test_genes_that_hardly_vary_are_not_missed(study):
    table = read_table(study / "regression-probe.parquet")
    write_table(table.assign(variance=table["variance"].max() - table["variance"]), study / "regression-probe.parquet")
    assert set(represented(study)["unpredicted"]) == {"0"}


def test_sets_of_other_names_are_an_error(study):
    (study / "sets.gmt").write_text("\t".join(["A", "note", *(f"X{n}" for n in range(30))]) + "\n")
    with pytest.raises(InputError, match=r"Expected sets of 15 to 500 of the 400 genes tried in .*sets\.gmt"):
        represented(study)


def test_the_report_shows_the_first_sets(study):
    represented(study)
    section = unpredicted_section(str(study / "unpredicted-probe-hallmark.tsv"))
    assert section.title == "Genes that are not predicted (probe, hallmark)"
    assert section.blocks[1].rows[0][:3] == ["MISSED", "20", "18"]

"""Predicted expression by clinical status: the tests are SciPy's, groups that are too small are left out and said."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.report_statuses import status_section
from histocarta.statuses import compare_statuses
from scipy import stats


@pytest.fixture
def study(tmp_path):
    """40 test samples, half positive: ESR1 tells them apart at both ends, ERBB2 only as measured; four subtypes."""
    rng = np.random.default_rng(2)
    samples = [f"p{n:02d}" for n in range(50)]
    positive = np.arange(50) % 2 == 0
    truth = pd.DataFrame({name: rng.normal(size=50) + 3 * positive for name in ("ESR1|2099", "ERBB2|2064")})
    score = truth + rng.normal(0, 0.5, truth.shape)
    score["ERBB2|2064"] = rng.normal(size=50)
    keys = pd.DataFrame({"slide": samples, "patient": samples, "sample": samples, "unit": samples, "round": 0})
    keys["part"] = ["test"] * 40 + ["train"] * 10
    folder = tmp_path / "transcriptome" / "probe"
    write_table(keys.join(score), folder / "predictions.parquet")
    write_table(keys[["slide"]].join(truth), folder / "measured.parquet")
    clinical = pd.DataFrame({"patient": samples, "er": np.where(positive, "positive", "negative")})
    clinical["pam50"] = ["rare"] * 2 + [("LumA", "LumB", "Her2")[n % 3] for n in range(2, 50)]
    clinical.loc[5, "er"] = ""
    write_table(clinical, tmp_path / "clinical.parquet")
    (tmp_path / "both.txt").write_text("trait\nESR1\nERBB2\nGONE\n")
    return tmp_path, truth[:40], score[:40], clinical[:40]


def compared(folder, statuses):
    ways = folder / "transcriptome" / "probe"
    compare_statuses(
        predictions=str(ways / "predictions.parquet"), measured=str(ways / "measured.parquet"),
        clinical=str(folder / "clinical.parquet"), table=str(folder / "tables" / "statuses-probe.tsv"),
        samples=str(ways / "statuses.parquet"), statuses=statuses, panels={"both": str(folder / "both.txt")},
    )  # fmt: skip
    return read_table(folder / "tables" / "statuses-probe.tsv").set_index("name")


def test_two_statuses_are_compared_by_mann_whitney_at_both_ends(study):
    folder, truth, score, clinical = study
    table = compared(folder, {"ESR1": "er", "ERBB2": "er"})
    known = clinical["er"] != ""
    for gene in ("ESR1|2099", "ERBB2|2064"):
        row = table.loc[gene.split("|")[0]]
        for end, values in (("measured", truth), ("predicted", score)):
            groups = [values.loc[known & (clinical["er"] == status), gene] for status in ("negative", "positive")]
            assert float(row[f"{end}_p"]) == pytest.approx(stats.mannwhitneyu(*groups).pvalue)
        assert (row["test"], row["n"], row["statuses"]) == ("Mann-Whitney U", "39", "2")
    assert float(table.loc["ESR1", "predicted_p"]) < 1e-4 < float(table.loc["ERBB2", "predicted_p"])


def test_a_panel_is_its_mean_and_a_rare_status_is_left_out(study):
    folder, truth, _, clinical = study
    row = compared(folder, {"both": "pam50"}).loc["both"]
    groups = [part.mean(axis=1) for name, part in truth.groupby(clinical["pam50"]) if name != "rare"]
    assert float(row["measured_p"]) == pytest.approx(stats.kruskal(*groups).pvalue)
    assert (row["test"], row["n"], row["statuses"]) == ("Kruskal-Wallis", "38", "3")
    drawn = read_table(folder / "transcriptome" / "probe" / "statuses.parquet")
    assert set(drawn["status"]) == {"LumA", "LumB", "Her2"} and len(drawn) == 38


def test_a_gene_may_be_named_as_its_table_names_it(study):
    assert compared(study[0], {"ESR1|2099": "er"}).loc["ESR1|2099", "n"] == "39"


def test_what_cannot_be_compared_says_why(study):
    folder, _, _, clinical = study
    write_table(clinical.assign(er="positive"), folder / "clinical.parquet")
    table = compared(folder, {"ESR1": "er", "MKI67": "er"})
    assert table.loc["ESR1", "reason"] == "1 statuses with at least 3 test samples, need 2"
    assert table.loc["MKI67", "reason"] == "no gene of it is predicted"
    with pytest.raises(InputError, match=r"Expected the column 'grade' \(statuses\.ESR1\) .*found er, pam50"):
        compared(folder, {"ESR1": "grade"})


def test_the_report_draws_what_was_compared(study):
    folder, *_ = study
    compared(folder, {"ESR1": "er", "MKI67": "er", "both": "pam50"})
    section = status_section(str(folder / "tables" / "statuses-probe.tsv"), str(folder))
    assert section.title == "Clinical status (regression, probe)"
    assert [picture.caption for picture in section.blocks[2].pictures] == ["ESR1 by er", "both by pam50"]

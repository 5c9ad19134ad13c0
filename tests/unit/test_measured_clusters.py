"""Groups of patients by a panel's measured genes: planted ones are found, and what cannot be grouped is refused."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table
from histocarta.measured_clusters import cluster_measured
from sklearn.metrics import adjusted_rand_score


@pytest.fixture
def arguments(tmp_path):
    """60 samples of four planted groups that twelve genes tell apart, with a subtype for all but one."""
    rng = np.random.default_rng(0)
    group = np.arange(60) % 4
    centres = rng.normal(0, 3, (4, 12))
    samples = [f"p{n:02d}" for n in range(60)]
    table = pd.DataFrame(centres[group] + rng.normal(0, 0.5, (60, 12)), columns=[f"G{n}|{n}" for n in range(12)])
    table = table.assign(flat=1.0, other=rng.normal(size=60)).set_axis(pd.Index(samples, name="sample"))
    table.to_parquet(tmp_path / "expression.parquet")
    (tmp_path / "panel.txt").write_text("trait\n" + "\n".join([f"G{n}" for n in range(12)] + ["flat", "absent"]) + "\n")
    kinds = [f"type {n}" for n in group]
    kinds[7] = ""
    write_table(pd.DataFrame({"patient": samples, "pam50": kinds}), tmp_path / "clinical.parquet")
    return {
        "expression": str(tmp_path / "expression.parquet"), "sheet": str(tmp_path / "panel.txt"),
        "clinical": str(tmp_path / "clinical.parquet"), "clusters": str(tmp_path / "clusters.tsv"),
        "summary": str(tmp_path / "clusters.json"), "seed": 1, "subtype": "pam50",
    }  # fmt: skip


def test_planted_groups_are_found_whatever_the_seed(arguments):
    cluster_measured(**arguments)
    found, table = read_json(arguments["summary"]), read_table(arguments["clusters"])
    assert (found["genes"], found["genes_found"], found["samples"], sorted(found["sizes"])) == (14, 12, 60, [15] * 4)
    assert adjusted_rand_score(np.arange(60) % 4, table["cluster"]) == 1.0 == found["seeds_ari"]
    assert found["subtype_ari"] == 1.0 and found["subtype_n"] == 59 and found["subtype_p"] < 0.01


def test_without_a_subtype_the_groups_stand_alone(arguments):
    cluster_measured(**arguments | {"subtype": None})
    assert not [key for key in read_json(arguments["summary"]) if key.startswith("subtype")]
    assert list(read_table(arguments["clusters"])) == ["sample", "cluster"]


def test_too_few_genes_and_an_unknown_column_are_refused(arguments, tmp_path):
    with pytest.raises(InputError, match=r"Expected the column 'type' \(subtype\) .*found pam50"):
        cluster_measured(**arguments | {"subtype": "type"})
    (tmp_path / "panel.txt").write_text("trait\nG1\nG2\nflat\n")
    with pytest.raises(
        InputError, match=r"Expected at least 3 genes of .*panel.txt that vary and 8 samples .*found 2 and"
    ):
        cluster_measured(**arguments)

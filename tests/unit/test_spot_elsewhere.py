"""Models of spots in another cohort: who may be scored by which round, what a gene's mean is, and on which scale."""

import anndata
import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_elsewhere import check_windows, mean_by_gene, outputs, unseen_by
from histocarta.spot_transfer import compare_transfer, label_elsewhere
from scipy import sparse


def test_a_round_scores_only_patients_whom_it_did_not_learn_from(tmp_path):
    paths = []
    for number, parts in enumerate((["train", "validation", "test"], ["test", "train", "tuning"])):
        paths.append(str(tmp_path / f"{number}.tsv"))
        write_table(pd.DataFrame({"slide": list("abc"), "patient": ["P", "Q", "R"], "part": parts}), paths[-1])
    may = unseen_by(pd.Series(["P", "P", "Q", "R", "foreign"]), paths)
    assert may.tolist() == [[False, True], [False, True], [False, False], [True, False], [True, True]]


def test_a_genes_score_is_the_mean_of_the_rounds_that_chose_it():
    scores = [np.array([[1.0, 2.0]]), np.array([[5.0, 8.0]])]
    found = mean_by_gene(scores, chosen=[[0, 2], [2, 3]], n_genes=5)
    np.testing.assert_array_equal(found, [[1, np.nan, 3.5, 8, np.nan]])
    assert found.dtype == np.float32


def test_scores_of_one_output_and_of_many_have_one_form():
    assert outputs(pd.Series([0.5, 1.5])).tolist() == [[0.5], [1.5]]
    assert outputs(pd.Series([[1.0, 2.0], [3.0, 4.0]])).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(("key", "value"), [("size", 256), ("mpp", 0.5), ("stain", "macenko")])
def test_windows_of_another_size_resolution_or_stain_are_refused(key, value):
    learnt = {"size": 224, "mpp": 0.673, "stain": "none"}
    check_windows(dict(learnt, quality=95), learnt=learnt)
    with pytest.raises(InputError, match=f"of {key} {learnt[key]}, as the models learnt from, found {value}"):
        check_windows(learnt | {key: value}, learnt=learnt)


def test_the_scale_is_the_models_and_genes_that_are_not_measured_are_named(tmp_path):
    """ln((1 + c) / (n + total)) with the n of the training cohort (papers' checklist B.16)."""
    obs = pd.DataFrame({"slide": ["s", "s"], "patient": "P", "section": "f", "row": [0, 0], "col": [0, 1],
                        "total": [7.0, 0.0], "annotation": ""}, index=["w0", "w1"])  # fmt: skip
    counts = sparse.csr_matrix(np.array([[3.0, 4.0], [0.0, 0.0]], np.float32))
    data = anndata.AnnData(counts, obs=obs, var=pd.DataFrame(index=["B", "C"]), uns={"lattice": {"s": "square"}})
    data.write_h5ad(tmp_path / "counts.h5ad")
    facts = {"trait": "t", "status": "ok", "genes": ["A", "B"], "n_genes": 100, "rule": {"normalisation": "published"}}
    write_json(facts | {"missing": []}, tmp_path / "learnt.json")
    paths = {"counts": "counts.h5ad", "learnt": "learnt.json", "labels": "labels.parquet", "summary": "labels.json"}
    label_elsewhere(**{key: str(tmp_path / name) for key, name in paths.items()})
    table, told = read_table(tmp_path / "labels.parquet"), read_json(tmp_path / "labels.json")
    assert told["missing"] == ["A"] and told["lattice"] == {"s": "square"}
    assert np.isnan(table["target"][0][0]) and table["target"][0][1] == pytest.approx(np.log(4 / 107))
    assert table["target"][1] is None and told["n"] == {"windows": 1, "no_counts": 1}


def test_genes_are_drawn_where_they_were_learnt_and_in_the_other_cohort(tmp_path):
    genes = [f"G{number}" for number in range(6)]
    here = pd.DataFrame({"gene": genes, "median_r": [0.5, 0.4, 0.3, 0.2, 0.1, ""], "n_patients": 3})
    there = pd.DataFrame({"gene": genes[:5], "median_r": [0.4, 0.5, -0.1, 0.1, ""], "n_patients": 2})
    for name, table in (("here", here), ("there", there)):
        write_table(table, tmp_path / f"{name}.tsv")
    call = {"here": "here.tsv", "there": "there.tsv", "table": "out.tsv", "picture": "out.png"}
    compare_transfer(**{key: str(tmp_path / name) for key, name in call.items()})
    found = read_table(tmp_path / "out.tsv")
    assert found["gene"].tolist() == genes and found["r_there"].tolist() == ["0.4", "0.5", "-0.1", "0.1", "", ""]
    assert (tmp_path / "out.png").stat().st_size > 5000

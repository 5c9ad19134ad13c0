"""Genes of spots: which are chosen without those that test, their scale, and whose counts stand on which window."""

import anndata
import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_counts import gather_counts
from histocarta.spot_labels import NORMALISATIONS, label_spots, shuffle_within
from scipy import sparse

GENES = ["A", "B", "C", "D", "__ambiguous[A+B]"]


def cohort(folder, counts, *, tested=("p1",)):
    """Two patients with a slide of three windows each, raw counts (6 × genes), a round per patient of ``tested``."""
    obs = pd.DataFrame(
        {
            "slide": ["s1"] * 3 + ["s2"] * 3,
            "patient": ["p1"] * 3 + ["p2"] * 3,
            "section": ["f1"] * 3 + ["f2"] * 3,
            "row": [0, 0, 1] * 2,
            "col": [0, 1, 0] * 2,
            "total": np.sum(counts, axis=1),
            "annotation": [""] * 6,
        },
        index=[f"w{n}" for n in range(6)],
    )
    data = anndata.AnnData(
        sparse.csr_matrix(np.array(counts, np.float32)),
        obs=obs,
        var=pd.DataFrame(index=GENES[: np.shape(counts)[1]]),
        uns={"lattice": {"s1": "square", "s2": "square"}},
    )
    data.write_h5ad(folder / "counts.h5ad")
    splits = []
    for number, patient in enumerate(tested, start=1):
        table = obs.drop_duplicates("slide")[["slide", "patient"]]
        table = table.assign(part=np.where(table["patient"] == patient, "test", "train"), round=number)
        splits.append(str(folder / f"round-{number}.tsv"))
        write_table(table, splits[-1])
    return {"counts": str(folder / "counts.h5ad"), "split": splits}


def label(folder, study, **changes):
    settings = {
        "trait": "top-2", "top": 2, "genes": None, "shuffled": False, "normalisation": "published",
        "selected_on": "fold", "left_out": ["__"], "seed": 1,
    }  # fmt: skip
    files = {"labels": str(folder / "labels.parquet"), "summary": str(folder / "labels.json")}
    label_spots(**study, **files, **settings | changes)
    return read_table(files["labels"]), read_json(files["summary"])


COUNTS = [[9, 0, 1, 0, 50]] * 3 + [[0, 5, 4, 0, 50]] * 3


def test_genes_are_chosen_without_the_patient_who_tests(tmp_path):
    study = cohort(tmp_path, COUNTS, tested=("p1", "p2"))
    _, facts = label(tmp_path, study)
    named = {number: [facts["genes"][n] for n in columns] for number, columns in facts["chosen"].items()}
    assert named == {"1": ["B", "C"], "2": ["A", "C"]}  # D has no counts, the ambiguous one is left out
    _, published = label(tmp_path, study, selected_on="all")
    assert [published["genes"][n] for n in published["chosen"]["1"]] == [
        "A",
        "B",
    ]  # means 4.5, 2.5 and C's 2.5: by name
    _, with_all = label(tmp_path, study, left_out=[])
    assert "__ambiguous[A+B]" in with_all["genes"]


def test_the_tested_patients_counts_change_nothing_of_a_rounds_choice(tmp_path):
    first = label(tmp_path, cohort(tmp_path, COUNTS))[1]["genes"]
    other = [[0, 0, 0, 900, 1]] * 3 + COUNTS[3:]
    assert label(tmp_path, cohort(tmp_path, other))[1]["genes"] == first


def test_values_are_the_published_ones(tmp_path):
    table, facts = label(tmp_path, cohort(tmp_path, COUNTS), trait="A", top=None, genes=["A"])
    # He 2020's code: ln((1 + c) / (n + total)), n = all genes measured, those never predicted too
    np.testing.assert_allclose([value[0] for value in table["target"]], np.log([10 / 65] * 3 + [1 / 64] * 3), rtol=1e-6)
    assert facts["n_genes"] == 5 and facts["rule"]["selected_on"] == ""
    assert list(table.columns) == ["slide", "patient", "row", "col", "section", "total", "annotation", "target"]


@pytest.mark.parametrize(("name", "expected"), [("cpm", np.log1p(2e5)), ("size_factor", np.log1p(2 * 20 / 10))])
def test_other_scales_divide_by_depth(name, expected):
    value = NORMALISATIONS[name](np.array([[2.0]]), total=np.array([10.0]), n_genes=3, median=20.0)
    assert value[0, 0] == pytest.approx(expected)
    deeper = NORMALISATIONS[name](np.array([[20.0]]), total=np.array([100.0]), n_genes=3, median=20.0)
    assert deeper[0, 0] == pytest.approx(value[0, 0])  # ten times as deep, the same expression


def test_spots_without_counts_have_no_label(tmp_path):
    counts = [[0] * 5, *COUNTS[1:]]
    table, facts = label(tmp_path, cohort(tmp_path, counts))
    assert table["target"].isna().tolist() == [True] + [False] * 5
    assert facts["n"] == {"windows": 5, "no_counts": 1}


def test_a_control_changes_places_within_slides_only(tmp_path):
    counts = [[n, 0, 1, 0, 0] for n in range(1, 7)]
    plain, _ = label(tmp_path, cohort(tmp_path, counts), trait="A", top=None, genes=["A"])
    shuffled, facts = label(
        tmp_path, cohort(tmp_path, counts), trait="A-shuffled", top=None, genes=["A"], shuffled=True
    )
    assert facts["rule"]["shuffled"]
    for slide in ("s1", "s2"):
        values = [
            sorted(value[0] for value in part.loc[part["slide"] == slide, "target"]) for part in (plain, shuffled)
        ]
        np.testing.assert_allclose(*values)
    groups = np.repeat(["a", "b"], 500)
    order = shuffle_within(groups, np.ones(1000, bool), seed=1)
    assert (groups[order] == groups).all() and (order != np.arange(1000)).mean() > 0.9


def test_genes_that_nobody_measured_are_named_and_a_set_without_any_is_left_out(tmp_path):
    study = cohort(tmp_path, COUNTS)
    _, facts = label(tmp_path, study, trait="x", top=None, genes=["A", "Q"])
    assert facts["missing"] == ["Q"] and facts["genes"] == ["A"] and facts["status"] == "ok"
    table, lost = label(tmp_path, study, trait="AA", top=None, genes=["AA"])
    assert (lost["status"], lost["code"], len(table)) == ("excluded", "B-NOTRAIT", 0)
    assert "AA" in lost["reason"] and "nearest: A" in lost["reason"]


def test_counts_stand_on_their_windows_and_genes_of_other_sections_are_zero(tmp_path):
    """Sites in another order than the section, one spot without a window, another set of genes in each section."""
    files = {"sites": [], "counts": [], "records": []}
    for slide, genes, places in (("s1", ["B", "A"], [(0, 0), (0, 1), (5, 5)]), ("s2", ["C"], [(0, 0)])):
        folder = tmp_path / slide
        folder.mkdir()
        obs = pd.DataFrame(places, columns=["row", "col"]).assign(x_px=1.0, y_px=2.0, total=7, annotation="")
        values = np.arange(1, 1 + len(places) * len(genes), dtype=np.float32).reshape(len(places), -1)
        section = anndata.AnnData(
            sparse.csr_matrix(values),
            obs=obs.set_axis([f"x{n}" for n in range(len(obs))]),
            var=pd.DataFrame(index=genes),
        )
        section.write_h5ad(folder / "counts.h5ad")
        sites = pd.DataFrame(places[::-1], columns=["row", "col"])
        write_table(sites.assign(kept=[(row, col) != (5, 5) for row, col in places[::-1]]), folder / "sites.parquet")
        write_json({"lattice": "square"}, folder / "section.json")
        for key, name in (("sites", "sites.parquet"), ("counts", "counts.h5ad"), ("records", "section.json")):
            files[key].append(str(folder / name))
    manifest = pd.DataFrame({"slide": ["s1", "s2"], "patient": ["p", "q"], "file": ["f", "g"], "n_tiles": ["2", "1"]})
    write_table(manifest, tmp_path / "manifest.tsv")
    gathered = str(tmp_path / "all.h5ad")
    gather_counts(manifest=str(tmp_path / "manifest.tsv"), slides=["s1", "s2"], gathered=gathered, **files)
    found = anndata.read_h5ad(gathered)
    assert found.var_names.tolist() == ["A", "B", "C"]
    assert found.X.toarray().tolist() == [[4, 3, 0], [2, 1, 0], [0, 0, 1]]  # (0, 1), (0, 0) of s1; s2
    assert found.obs["section"].tolist() == ["f", "f", "g"] and found.obs["col"].tolist() == [1, 0, 0]


def test_the_tested_patients_depth_moves_nobody_elses_values(tmp_path):
    def values(counts):
        table, _ = label(
            tmp_path, cohort(tmp_path, counts), trait="A", top=None, genes=["A"], normalisation="size_factor"
        )
        return [value[0] for value in table["target"]][3:]

    counts = [[n, 5, 0, 0, 0] for n in range(1, 7)]
    deep = [[10 * value for value in row] for row in counts[:3]] + counts[3:]
    assert values(counts) == values(deep)


def test_all_rounds_learn_as_many_genes_and_the_audit_knows_whether_test_spots_chose_them(tmp_path):
    counts = [[3, 2, 1, 9, 0]] * 3 + [[3, 2, 0, 0, 0]] * 3  # C and D are counted in the first patient only
    study = cohort(tmp_path, counts, tested=("p1", "p2"))
    _, facts = label(tmp_path, study, trait="top-9", top=9)
    assert {number: len(columns) for number, columns in facts["chosen"].items()} == {"1": 2, "2": 2}
    assert facts["genes_saw_test"] is False
    assert label(tmp_path, study, selected_on="all")[1]["genes_saw_test"] is True

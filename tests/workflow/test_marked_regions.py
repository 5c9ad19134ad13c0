"""Regions through the whole workflow: stroma, marked on some slides, is told on all, and a regression keeps to it."""

from dataclasses import replace

import pytest
import yaml
from histocarta.evaluation import auc
from histocarta.files import read_json, read_table
from histocarta.simulate import PRESETS
from workflow_kit import simulate_in, simulate_study, snakemake

MODEL = {"network": "tiny", "size": 32, "batch_norm_momentum": 0.9}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that ran to its report, with a cohort external to it."""
    folder = tmp_path_factory.mktemp("regions")
    study = simulate_study(folder, patients=20)
    simulate_in(folder, "far", recipe=replace(PRESETS["external"], patients=6, null_genes=0), seed=2)
    far = {"slides": "far/slides.tsv", "expression": [{"path": "far/expression.tsv"}], "external_to": "tiny"}
    study["cohorts"]["far"] = far
    study["cohorts"]["tiny"]["annotations"] = "data/annotations.tsv"
    study["max_excluded"] = 0.4  # two of the eight slides of the external cohort cannot be used
    study["layouts"]["grid"]["stain"] = "macenko"  # the external cohort is stained otherwise: AUC .80 as scanned
    study["layouts"]["grid-stroma"] = {"of": "grid", "region": "stroma", "min_score": 0.5}
    fit = {"batch": 16, "steps": 20, "max_validations": 6, "learning_rate": 3.0e-3, "plateau": None}
    regions = {"layout": "grid", "scheme": "marked", "traits": ["stroma"], "model": MODEL, "training": fit}
    regression = {"layout": "grid-stroma", "scheme": "halves", "traits": ["A"], "model": MODEL}
    regression["training"] = {"steps": 4, "max_validations": 2, "all_rounds_in_one_job": True}
    study["tasks"], study["heterogeneity"] = {"regions": regions, "regression": regression}, []
    study["splits"]["marked"] = {"test": 0.3, "validation": 0.2, "rounds": 1}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder)
    assert code == 0, text[-10000:]
    return folder


def true_stroma(folder, cohort, data):
    """Tiles of all tissue with their score of being stroma, and the truth, where it is clearly one or the other."""
    manifest = read_table(folder / f"results/{cohort}/grid/manifest.tsv")
    own = "consensus" if cohort == "tiny" else f"external/{cohort}"
    scores = read_table(folder / f"results/tiny/traits/stroma/regions/{own}/scores.parquet")
    cells = read_table(folder / data / "truth/cells.tsv")
    cells[["row", "col"]] = cells[["row", "col"]].astype(int)
    cells["B"] = cells["B"].astype(float)
    assert len(scores) == manifest["n_tiles"].astype(int).sum()
    known = scores.merge(cells, on=["slide", "row", "col"])
    return known[(known["B"] - 0.5).abs() > 0.25]


@pytest.mark.slow
def test_what_was_marked_on_some_slides_is_told_on_all_and_in_another_cohort(finished):
    found = read_json(finished / "results/tiny/traits/stroma/regions/consensus/metrics.json")
    assert found["status"] == "ok" and found["test"]["auc"] > 0.9
    marked = set(read_table(finished / "data/annotations.tsv")["slide"])
    assert len(marked) == 12
    for cohort, data in (("tiny", "data"), ("far", "far")):
        known = true_stroma(finished, cohort, data)
        known = known[~known["slide"].isin(marked)]
        assert len(known) > 50
        assert auc(known["B"] > 0.5, known["score"]).auc > 0.9
        right = (known["score"] >= 0.5) == (known["B"] > 0.5)
        assert right.mean() > 0.8, (cohort, right.mean())


@pytest.mark.slow
def test_a_regression_reads_the_tiles_of_the_region_and_no_other(finished):
    folder = finished / "results/tiny"
    scores = read_table(folder / "traits/stroma/regions/consensus/scores.parquet").set_index(["slide", "row", "col"])
    predicted = read_table(folder / "traits/A/regression/consensus/scores.parquet")
    chosen = scores.index[scores["score"] >= 0.5]
    assert sorted(chosen) == sorted(zip(predicted["slide"], predicted["row"], predicted["col"], strict=True))
    assert 0 < len(chosen) < len(scores)
    ledger = read_table(folder / "ledger.tsv")
    rows = ledger[(ledger["scope"] == "grid-stroma") & (ledger["kind"] == "tile")]
    elsewhere = rows.loc[rows["code"] == "elsewhere", "count"].astype(int).sum()
    assert elsewhere == len(scores) - len(chosen)


@pytest.mark.slow
def test_the_report_says_which_tiles_were_read(finished):
    page = (finished / "results/tiny/report.html").read_text()
    assert "They are of all tissue: no region was chosen." in page
    assert "those of the layout grid that the classifier of region stroma scores 0.5 or more" in page
    assert "Tiles inside a region told from those outside" in page
    code, text = snakemake(finished, "results/tiny/traits/stroma/regions/consensus/maps/P010-1.png")
    assert code == 0, text[-3000:]

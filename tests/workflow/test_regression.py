"""The task `regression` through the whole workflow: what is planted is predicted, what cannot be learnt is named."""

from dataclasses import replace

import pytest
import yaml
from histocarta.files import read_json, read_table
from histocarta.models import holds_model
from histocarta.simulate import PRESETS
from workflow_kit import FLAT, jobs, simulate_in, simulate_study, snakemake

TASK = {
    "layout": "grid",
    "scheme": "halves",
    "traits": ["A", "B", FLAT],
    "transcriptome": {"ways": ["probe", "panel"]},
    "model": {"network": "tiny", "size": 32, "batch_norm_momentum": 0.9},
    "training": {
        "steps": 10,
        "max_validations": 6,
        "learning_rate": 3.0e-3,
        "plateau": None,
        "stop": 6,
        "min_delta": 0.003,
        "augment": ["rotate", "horizontal"],
        "all_rounds_in_one_job": True,
    },
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that ran to its report, and Snakemake's words."""
    folder = tmp_path_factory.mktemp("regression")
    study = simulate_study(folder, patients=40)
    study["tasks"], study["heterogeneity"] = {"regression": TASK}, []
    study["splits"]["halves"]["test"] = 0.3
    simulate_in(folder, "far", recipe=replace(PRESETS["external"], null_genes=0), seed=2)
    far = {"slides": "far/slides.tsv", "expression": [{"path": "far/expression.tsv"}], "external_to": "tiny"}
    study["cohorts"]["far"] = far
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder)
    assert code == 0, text[-10000:]
    return folder, text


@pytest.mark.slow
def test_planted_traits_are_predicted_and_a_flat_one_is_named(finished):
    folder, _ = finished
    table = read_table(folder / "results/tiny/tables/regression-per-gene.parquet").set_index("trait")
    for trait in "AB":
        assert table.loc[trait, "test_rho"] > 0.5 and table.loc[trait, "test_fdr"] < 0.05, table.T.to_string()
    assert (table.loc[FLAT, "status"], table.loc[FLAT, "code"]) == ("excluded", "B-VARIANCE")
    assert set(table["n_tests"]) == {2}
    ledger = read_table(folder / "results/tiny/ledger.tsv")
    assert set(ledger.loc[ledger["item"] == FLAT, "code"]) == {"B-VARIANCE"}
    sidecar = read_json(folder / "results/tiny/traits/A/regression/round-1/model.json")
    assert sidecar["task"] == "regression" and "validation_slide_rho" in sidecar["validation"]


@pytest.mark.slow
def test_the_report_shows_fits_and_curves(finished):
    folder, _ = finished
    page = (folder / "results/tiny/report.html").read_text()
    assert all(f"Performance (regression, {way})" in page for way in ("per-gene", "probe", "panel"))
    assert "The network is untrained" in page and "Predicted against measured expression" in page
    assert "Learning curves (regression)" in page and "hardly varies" in page


@pytest.mark.slow
def test_all_genes_at_once_have_the_same_table(finished):
    """The panel learns what the planted genes' own models learn; «noise», which follows nothing, is tried as well."""
    folder, _ = finished
    tables = {
        way: read_table(folder / f"results/tiny/tables/regression-{way}.parquet").set_index("trait")
        for way in ("per-gene", "probe", "panel")
    }
    # The same columns, but for the control that a probe of an untrained network is itself.
    own = [name for name in tables["per-gene"].columns if not name.startswith("control_untrained")]
    assert list(tables["panel"].columns) == list(tables["per-gene"].columns) and list(tables["probe"].columns) == own
    for way in ("probe", "panel"):
        assert tables[way]["status"].to_dict() == {"A": "ok", "B": "ok", "noise": "ok", FLAT: "excluded"}
        assert tables[way].loc[FLAT, "code"] == "B-VARIANCE"
        assert (tables[way].loc[["A", "B"], "test_rho"] > 0.5).all(), tables[way].T.to_string()
        same = read_table(folder / f"results/tiny/transcriptome/{way}/measured.parquet").set_index("slide")["A"]
        own = read_table(folder / "results/tiny/transcriptome/per-gene/measured.parquet").set_index("slide")["A"]
        assert same.sort_index().equals(own.sort_index())


@pytest.mark.slow
def test_models_hold_in_a_cohort_of_another_stain_and_scale(finished):
    """24 patients with other uptake of both stains and 2 log2 units more of everything; nothing is fitted on them.

    A is told there too. B, seen in the eosin of which the other laboratory takes up a quarter less, keeps its sign.
    """
    folder, _ = finished
    tables = {
        way: read_table(folder / f"results/tiny/tables/external-far-{way}.parquet").set_index("trait")
        for way in ("per-gene", "probe", "panel")
    }
    for way in ("per-gene", "panel"):
        assert tables[way].loc["A", "rho"] > 0.5 and tables[way].loc["B", "rho"] > 0, (way, tables[way].T.to_string())
    for way, table in tables.items():
        assert list(table.columns) == list(tables["panel"].columns) and table.loc["A", "n"] >= 24
        assert table.loc["A", "offset"] == pytest.approx(-2, abs=1), (way, table["offset"])
        assert (table.loc[FLAT, "code"], set(table["n_tests"])) == ("B-VARIANCE", {2 if way == "per-gene" else 3})
    assert not (folder / "results/far/traits").exists() and not (folder / "results/far/report.html").exists()
    ledger = read_table(folder / "results/far/ledger.tsv")
    assert {"S-NO-MPP", "T-EMPTY"} & set(ledger["code"]) or (ledger["outcome"] == "excluded").sum() == 2
    page = (folder / "results/tiny/report.html").read_text()
    assert "External cohort far (regression, panel)" in page and "Cohort far (external)" in page
    opened = read_json(folder / "results/tiny/openings/external-far-panel.json")
    assert [len(one["models_sha256"]) for one in opened["openings"]] == [64]


@pytest.mark.slow
def test_an_external_cohort_is_opened_for_other_models_only_when_told_to(finished):
    """The same models may be held against it again; a probe with other penalties is another model."""
    folder, _ = finished
    before = (folder / "study.yaml").read_text()
    table = "results/tiny/tables/external-far-probe.tsv"
    (folder / table).unlink()
    assert snakemake(folder, table)[0] == 0
    study = yaml.safe_load(before)
    study["tasks"]["regression"]["transcriptome"]["penalties"] = [7.0]
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, _ = snakemake(folder, table)
    log = (folder / "results/tiny/logs/evaluate_external/far-probe.log").read_text()
    assert code == 1 and "E-OPENED Expected the models for which the cohort far was opened on" in log
    (folder / "study.yaml").write_text(yaml.safe_dump(study | {"reopen_tests": True}))
    code, text = snakemake(folder, table)
    assert code == 0, text[-5000:]
    assert len(read_json(folder / "results/tiny/transcriptome/probe/external/far/opened.json")["openings"]) == 2
    (folder / "study.yaml").write_text(before)


@pytest.mark.slow
def test_one_gene_is_one_target(finished):
    folder, _ = finished
    target = folder / "results/tiny/traits/A/regression/consensus/metrics.json"
    before = read_json(target)
    target.unlink()
    code, text = snakemake(folder, target.relative_to(folder))
    assert code == 0, text[-5000:]
    assert [rule for rule, _ in jobs(text)] == ["average_regression"] and read_json(target) == before


@pytest.mark.slow
def test_many_genes_to_a_job_have_the_same_table_and_one_model_can_be_taken_out(finished):
    """Two jobs (A and B; the flat one) in place of three traits' own: trained on one stream, named as before."""
    folder, _ = finished
    alone = read_table(folder / "results/tiny/tables/regression-per-gene.parquet")
    study = yaml.safe_load((folder / "study.yaml").read_text())
    study["tasks"]["regression"] |= {"genes_per_job": 2, "transcriptome": None}
    study["reopen_tests"] = True  # the external cohort was opened for models with a job each
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    model = "results/tiny/transcriptome/per-gene/round-1/models/B.keras"
    code, text = snakemake(folder, "results/tiny/report.html", model)
    assert code == 0, text[-5000:]
    rounds = len(list((folder / "results/tiny/transcriptome/per-gene").glob("round-*")))
    ran = [rule for rule, _ in jobs(text)]
    assert (ran.count("train_genes"), ran.count("score_genes"), ran.count("extract_gene")) == (2 * rounds, 2, 1)
    assert "train_regression" not in ran and "tile_slide" not in ran
    table = read_table(folder / "results/tiny/tables/regression-per-gene.parquet").set_index("trait")
    own = [name for name in alone.columns if not name.startswith("control_") and name != "predictable"]
    assert list(table.reset_index().columns) == own and holds_model(folder / model)
    assert (table.loc[["A", "B"], "test_rho"] > 0.5).all(), table.T.to_string()
    assert (table.loc[FLAT, "status"], table.loc[FLAT, "code"]) == ("excluded", "B-VARIANCE")
    ledger = read_table(folder / "results/tiny/ledger.tsv")
    assert set(ledger.loc[ledger["item"] == FLAT, "code"]) == {"B-VARIANCE"}
    page = (folder / "results/tiny/report.html").read_text()
    assert "Performance (regression, per-gene)" in page and "Learning curves" not in page
    assert "opened 2 times, for other models each time" in page
    assert not list((folder / "state").rglob("*.npz"))

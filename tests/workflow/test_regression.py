"""The task `regression` through the whole workflow: what is planted is predicted, what cannot be learnt is named."""

import pytest
import yaml
from histocarta.files import read_json, read_table
from workflow_kit import FLAT, jobs, simulate_study, snakemake

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
def test_one_gene_is_one_target(finished):
    folder, _ = finished
    target = folder / "results/tiny/traits/A/regression/consensus/metrics.json"
    before = read_json(target)
    target.unlink()
    code, text = snakemake(folder, target.relative_to(folder))
    assert code == 0, text[-5000:]
    assert [rule for rule, _ in jobs(text)] == ["average_regression"] and read_json(target) == before

"""A study in which every patient is tested once, by a model that has not seen them."""

import pytest
import yaml
from histocarta.files import read_json, read_table
from workflow_kit import simulate_study, snakemake

PATIENTS = 12


@pytest.mark.slow
def test_each_patient_is_scored_by_the_round_that_held_them_out(tmp_path):
    study = simulate_study(tmp_path, patients=PATIENTS)
    study["tasks"]["extremes"] |= {"scheme": "loo", "traits": ["A"]}
    study |= {
        "splits": {"loo": {"leave_out": "patient", "validation": 0.25}},
        "fidelity_overrides": {"percentiles_fitted_on": "all"},
        "heterogeneity": [],
    }
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(tmp_path, "results/tiny/tables/extremes.tsv")
    assert code == 0, text[-10000:]
    (row,) = read_table(tmp_path / "results/tiny/tables/extremes.tsv").to_dict("records")
    assert (row["status"], row["reason"]) == ("ok", "") and 0 <= float(row["test_auc"]) <= 1
    assert int(row["test_n_high"]) + int(row["test_n_low"]) == PATIENTS + 1  # one of them has two slides
    folder = tmp_path / "results/tiny/traits/A/extremes/consensus"
    assert read_json(folder / "metrics.json")["voting"] == "each slide by the rounds that held it out"
    slides = read_table(folder / "slides.parquet")
    assert (slides["part"] == "test").all() and slides["score"].notna().all()

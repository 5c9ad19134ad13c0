"""Genes beside nuclei: Spearman by hand, medians over patients, and their signs."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_table, write_json, write_table
from histocarta.spot_nuclei import SHOWN, rank_with, relate_nuclei
from scipy.stats import spearmanr


def test_rho_of_a_feature_is_spearmans_over_the_spots_that_have_both():
    rng = np.random.default_rng(0)
    features, values = rng.normal(size=(40, 2)), rng.normal(size=(40, 3))
    features[3, 1] = np.nan
    values[:, 2] = np.nan
    found = rank_with(features, values)
    assert found[0, 1] == pytest.approx(spearmanr(features[:, 0], values[:, 1]).statistic)
    use = np.arange(40) != 3
    assert found[1, 0] == pytest.approx(spearmanr(features[use, 1], values[use, 0]).statistic)
    assert np.isnan(found[:, 2]).all()


def test_genes_that_follow_nuclei_are_at_the_top_with_the_sign_of_their_patients(tmp_path):
    rng = np.random.default_rng(1)
    n = 90
    place = pd.DataFrame({"slide": np.repeat(["a", "b", "c"], 30), "row": np.tile(np.arange(30), 3), "col": 0})
    shape = pd.DataFrame(rng.normal(size=(n, len(SHOWN))), columns=list(SHOWN))
    follows = shape["nuclei_count"].to_numpy() + rng.normal(size=n) / 5
    target = [[value, -value, noise] for value, noise in zip(follows, rng.normal(size=n), strict=True)]
    labels = place.assign(patient=place["slide"], section="f", total=9.0, annotation="", target=target)
    labels.loc[0, "target"] = None
    write_table(labels, tmp_path / "labels.parquet")
    write_table(pd.concat([place, shape], axis=1), tmp_path / "features.parquet")
    write_table(place.assign(UP=follows, DOWN=follows, NOISE=np.nan), tmp_path / "scores.parquet")
    write_json({"genes": ["UP", "DOWN", "NOISE"]}, tmp_path / "labels.json")
    names = {"features": "features.parquet", "scores": "scores.parquet", "labels": "labels.parquet"}
    names |= {"summary": "labels.json", "table": "out.tsv"}
    relate_nuclei(**{key: str(tmp_path / name) for key, name in names.items()})
    found = read_table(tmp_path / "out.tsv").set_index(["feature", "gene"])
    up, down = (found.loc[("nuclei_count", gene)] for gene in ("UP", "DOWN"))
    assert float(up["rho_measured"]) > 0.9 and float(down["rho_measured"]) < -0.9 < 0.9 < float(down["rho_predicted"])
    assert (up["agree_measured"], up["agree_predicted"], up["n_patients"]) == ("3", "3", "3")
    assert found.loc[("nuclei_count", "NOISE"), "rho_predicted"] == "" and len(found) == 3 * len(SHOWN)
    own = labels[(labels["slide"] == "b")]
    rows = own.index
    expected = spearmanr(shape.loc[rows, "nuclei_count"], [value[0] for value in own["target"]]).statistic
    assert abs(expected - float(up["rho_measured"])) < 0.1

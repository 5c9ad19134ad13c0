"""What predictions must beat: Steiger's test against simulation, and controls that find what is theirs and no more."""

import cv2
import numpy as np
import pandas as pd
import pytest
from histocarta.associations import tabulate_associations
from histocarta.controls import NAMES, predict_controls, steiger
from histocarta.files import read_table, write_json, write_table
from histocarta.plain_features import count_nuclei, measure_slides
from learning_kit import manifest_of, plain_tile
from scipy import stats

N = 80


def correlation(one, other):
    one, other = (values - values.mean(axis=1, keepdims=True) for values in (one, other))
    return (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))


@pytest.mark.parametrize("between", [0.0, 0.6, 0.9])
def test_steigers_p_is_uniform_where_two_correlations_are_equal(between):
    """20,000 samples of three normal variables, the first as near to the second as to the third."""
    rng = np.random.default_rng(int(between * 10))
    shape = np.linalg.cholesky([[1, 0.4, 0.4], [0.4, 1, between], [0.4, between, 1]])
    y, one, other = np.moveaxis(rng.normal(size=(20_000, 60, 3)) @ shape.T, 2, 0)
    p = steiger(correlation(one, y), correlation(other, y), correlation(one, other), n=60)
    for level in (0.01, 0.05, 0.5, 0.95):
        low, high = stats.binom.interval(0.9999, 20_000, level)
        assert low * 0.8 <= (p < level).sum() <= high * 1.2  # z is asymptotic: a fifth off in the tails at n = 60


def test_steigers_p_by_hand():
    """r .5 and .2 with .1 between, n 315, written out: z 4.4152."""
    mean, between = 0.35, 0.1
    psi = between * (1 - 2 * mean**2) - 0.5 * mean**2 * (1 - 2 * mean**2 - between**2)
    z = (np.arctanh(0.5) - np.arctanh(0.2)) * np.sqrt(312) / np.sqrt(2 - 2 * psi / (1 - mean**2) ** 2)
    assert z == pytest.approx(4.4152, abs=1e-4)
    assert steiger(0.5, 0.2, 0.1, n=315) == pytest.approx(stats.norm.sf(z))
    assert steiger(0.2, 0.5, 0.1, n=315) == pytest.approx(stats.norm.cdf(z))
    assert steiger(0.3, 0.3, 1.0, n=50) == pytest.approx(0.5)
    assert np.isnan(steiger(np.nan, 0.3, 0.1, n=50))


def nuclei(count, *, mpp, side=200):
    """A pink tile with ``count`` blue discs of 8 µm."""
    tile = np.full((side, side, 3), (235, 200, 220), np.uint8)
    places = [(x, y) for y in range(20, side, 40) for x in range(20, side, 40)][:count]
    for place in places:
        cv2.circle(tile, place, round(4 / mpp), (90, 60, 150), -1)
    return tile


@pytest.mark.parametrize("count", [0, 3, 20])
def test_nuclei_are_counted(count):
    found, share = count_nuclei(nuclei(count, mpp=0.5), mpp=0.5)
    assert found == count
    assert share == pytest.approx(count * np.pi * 16 / (100 * 100), rel=0.25)


def test_what_is_smaller_or_larger_than_a_nucleus_is_none():
    tile = nuclei(0, mpp=0.5)
    cv2.circle(tile, (30, 30), 2, (90, 60, 150), -1)  # 3 µm²
    cv2.circle(tile, (120, 120), 40, (90, 60, 150), -1)  # 1,257 µm²
    assert count_nuclei(tile, mpp=0.5) == (0, 0.0)


def test_slides_are_measured_by_their_tiles(tmp_path):
    tiles = {"a": [plain_tile(100), plain_tile(200)], "b": [plain_tile(240)]}
    write_table(manifest_of(tmp_path, tiles).assign(mpp="0.5"), tmp_path / "manifest.tsv")
    measure_slides(manifest=str(tmp_path / "manifest.tsv"), plain=str(tmp_path / "plain.parquet"), threads=2)
    table = read_table(tmp_path / "plain.parquet").set_index("slide")
    np.testing.assert_allclose(table.loc["a", "colour"], [150] * 3 + [50] * 3, atol=1)
    np.testing.assert_allclose(table.loc["b", "colour"], [240] * 3 + [0] * 3, atol=1)
    np.testing.assert_allclose([*table["tiles"].str[0]], np.log([2, 1]))


@pytest.fixture
def study(tmp_path):
    """80 slides: gene G0 follows the colour, G1 the network alone, G2 nothing; half of the slides test."""
    rng = np.random.default_rng(0)
    slides = [f"s{n:02d}" for n in range(N)]
    colour, network = rng.normal(size=(N, 6)), rng.normal(size=(N, 10))
    target = np.stack([colour[:, 0], network[:, 0], rng.normal(size=N)], axis=1) + rng.normal(0, 0.2, (N, 3))
    plain = pd.DataFrame({"slide": slides, "colour": list(colour)})
    plain["nuclei"], plain["tiles"] = list(rng.normal(size=(N, 2))), list(rng.normal(size=(N, 1)))
    write_table(plain, tmp_path / "plain.parquet")
    for name, matrix in (("features", network), ("untrained", rng.normal(size=(N, 10)))):
        write_table(pd.DataFrame({"slide": slides, "features": list(matrix)}), tmp_path / f"{name}.parquet")
    keys = pd.DataFrame({"slide": slides, "patient": slides, "sample": slides})
    write_table(keys.assign(value=list(target * 2 + 5), target=list(target)), tmp_path / "labels.parquet")
    genes = pd.DataFrame(
        {"trait": ["G0", "G1", "G2"], "status": "ok", "code": "", "reason": "", "mean": 5.0, "sd": 2.0}
    )
    write_table(genes, tmp_path / "genes.tsv")
    write_json({"status": "ok"}, tmp_path / "labels.json")
    part = ["test"] * 40 + ["validation"] * 10 + ["train"] * 30
    write_table(keys.assign(unit=slides, part=part, scheme="s", round=1), tmp_path / "round-1.tsv")
    named = {name: f"{name}.parquet" for name in ("plain", "features", "untrained", "labels", "controls")}
    paths = {name: str(tmp_path / file) for name, file in (named | {"genes": "genes.tsv"}).items()}
    paths["summary"] = str(tmp_path / "labels.json")
    predict_controls(
        **paths, splits=[str(tmp_path / "round-1.tsv")], penalties=[0.01, 1.0, 100.0], standardise=True, seed=1
    )
    return tmp_path, target, network, keys.assign(part=part)


def test_a_control_finds_what_is_its_own(study):
    folder, target, _, _ = study
    table = read_table(folder / "controls.parquet")
    assert sorted(table["control"].unique()) == sorted(NAMES) and len(table) == len(NAMES) * N
    rho = {
        name: [stats.spearmanr(rows[f"G{g}"][:40], target[:40, g])[0] for g in range(3)]
        for name, rows in table.groupby("control")
    }
    assert rho["colour"][0] > 0.8 and abs(rho["colour"][1]) < 0.4
    assert all(
        abs(rho[name][gene]) < 0.45 for name in ("nuclei", "tiles", "untrained", "shuffled") for gene in range(3)
    )
    assert table["G0"].mean() == pytest.approx(5, abs=1)


def test_a_gene_is_predictable_where_it_beats_them_all(study):
    """A prediction that knows colour and network: G0 is no better than its colour, G1 is, G2 is nothing."""
    folder, target, network, keys = study
    score = target + np.random.default_rng(5).normal(0, 0.3, (N, 3))
    score[:, 2] = network[:, 1]
    wide = pd.DataFrame(score, columns=["G0", "G1", "G2"])
    write_table(pd.concat([keys.assign(unit=keys["slide"], round=0), wide], axis=1), folder / "predictions.parquet")
    values = pd.DataFrame(target, columns=["G0", "G1", "G2"])
    write_table(pd.concat([keys[["slide"]], values], axis=1), folder / "measured.parquet")
    write_table(read_table(folder / "genes.tsv")[["trait", "status", "code", "reason"]], folder / "fates.tsv")
    names = {"predictions": "predictions.parquet", "measured": "measured.parquet", "fates": "fates.tsv"}
    names |= {"controls": "controls.parquet", "table": "t.tsv", "parquet": "t.parquet"}
    paths = {key: str(folder / name) for key, name in names.items()}
    tabulate_associations(**paths, splits=[str(folder / "round-1.tsv")], unit="patient")
    table = read_table(folder / "t.parquet").set_index("trait")
    assert table["predictable"].to_dict() == {"G0": False, "G1": True, "G2": False}
    assert table.loc["G0", "test_fdr"] < 0.05 and table.loc["G0", "control_colour_p"] > 0.05
    assert (table.loc["G1", [f"control_{name}_p" for name in NAMES]] < 0.05).all()
    tabulate_associations(**paths, splits=[str(folder / "round-1.tsv")], unit="patient", itself="colour")
    table = read_table(folder / "t.parquet").set_index("trait")
    assert table["predictable"].to_dict() == {"G0": True, "G1": True, "G2": False}
    assert "control_colour" not in table and "control_shuffled_p" in table

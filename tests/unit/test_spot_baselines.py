"""Baselines of expression in spots: what was planted is found, what was not is not, and no test value is seen."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_baselines import BASELINES, predict_baselines
from histocarta.spot_features import COLOUR, NUCLEI, measure_window
from histocarta.spot_predictors import (
    BATCH,
    LEAF,
    SHARE_OF_FEATURES,
    TREES,
    Spots,
    forest,
    predict_annotation,
    predict_composition,
    predict_depth,
    predict_nuclei,
)
from sklearn.decomposition import NMF
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression
from test_nuclei import window

pytestmark = pytest.mark.filterwarnings("error")

GENES = ["DENSE", "RED", "CLASS", "DEPTH", "NULL"]
SLIDES = ("a", "b", "c", "d")
KEYS = ["slide", "row", "col"]


def features_of(keys, rng):
    """Windows whose count of nuclei, skewness (often missing) and colour vary; the rest is noise."""
    table = pd.DataFrame(rng.normal(size=(len(keys), len(COLOUR + NUCLEI))), columns=[*COLOUR, *NUCLEI])
    table["nuclei_count"] = rng.integers(0, 120, len(keys))
    table.loc[rng.random(len(keys)) < 0.2, "nuclei_area_skew"] = np.nan
    table[list(COLOUR)] = rng.uniform(80, 220, (len(keys), 3))
    return pd.concat([keys, table.astype(np.float32)], axis=1)


def study(folder, *, seed=0, rounds=2, per_slide=60, noise=0.3, **changes):
    """Four slides of one patient each; a round tests one slide. DENSE follows nuclei, RED red, and so on."""
    rng = np.random.default_rng(seed)
    n = len(SLIDES) * per_slide
    place = np.arange(n) % per_slide
    keys = pd.DataFrame({"slide": np.repeat(SLIDES, per_slide), "row": place // 10, "col": place % 10})
    features = features_of(keys, rng)
    said = keys.assign(annotation=rng.choice(["tumour", "normal"], n), total=rng.integers(500, 20_000, n))
    value = np.stack(
        [
            features["nuclei_count"] / 40,
            features["mean_red"] / 50,
            1.0 * (said["annotation"] == "tumour"),
            np.log(said["total"] / 5000),
            np.zeros(n),
        ],
        axis=1,
    )
    value = changes.get("value", value + rng.normal(0, noise, value.shape)) - 10
    labels = keys.assign(patient=keys["slide"], target=list(value.astype(np.float32)))
    chosen = {str(number + 1): list(range(5)) for number in range(rounds)}
    told = {"status": "ok", "reason": "", "trait": "top", "genes": GENES, "chosen": chosen} | changes.get("told", {})
    write_table(features.sample(frac=1, random_state=1), folder / "features.parquet")  # in any order
    write_table(labels, folder / "labels.parquet")
    write_table(changes.get("spots", said), folder / "spots.parquet")
    write_json(told, folder / "labels.json")
    for number in range(rounds):
        split = pd.DataFrame({"slide": SLIDES, "patient": SLIDES, "unit": SLIDES, "part": "train"})
        split.loc[split["slide"] == SLIDES[number], "part"] = changes.get("tested", "test")
        split.loc[split["slide"] == SLIDES[number - 1], "part"] = "validation"
        write_table(split.assign(scheme="s", round=str(number + 1)), folder / f"round-{number + 1}.tsv")
    return labels


def run(folder, *, rounds=2, seed=1, **more):
    scores = [str(folder / f"{name}.parquet") for name in BASELINES]
    paths = {
        name: str(folder / f"{name}.{kind}") for name, kind in (("features", "parquet"), ("labels", "parquet"))
    } | {"summary": str(folder / "labels.json"), "spots": str(folder / "spots.parquet")}
    splits = [str(folder / f"round-{number + 1}.tsv") for number in range(rounds)]
    settings = {**paths, "splits": splits, "scores": scores, "record": str(folder / "r.json"), "seed": seed, **more}
    predict_baselines(**settings)
    return {name: read_table(path) for name, path in zip(BASELINES, scores, strict=True)}


def correlations(found, labels):
    both = found.merge(labels, on=KEYS, validate="one_to_one")
    truth = np.stack(both["target"])
    return {gene: np.corrcoef(both[gene], truth[:, i])[0, 1] for i, gene in enumerate(GENES)}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    labels = study(folder)
    return labels, run(folder), folder


@pytest.mark.parametrize(
    ("baseline", "gene", "least"),
    [("nuclei", "DENSE", 0.8), ("colour", "RED", 0.9), ("annotation", "CLASS", 0.75), ("depth", "DEPTH", 0.9),
     ("composition", "DENSE", 0.5)],
)  # fmt: skip
def test_a_planted_gene_is_predicted_by_its_baseline_and_others_are_not(planted, baseline, gene, least):
    labels, tables, _ = planted
    found = correlations(tables[baseline], labels)
    assert found[gene] > least
    assert abs(found["NULL"]) < 0.3  # 120 spots: 3.3 standard errors
    if baseline != "composition":  # its factors are of all genes at once
        assert all(abs(r) < 0.35 for name, r in found.items() if name != gene), found


def test_tables_hold_the_tested_spots_in_the_order_of_the_labels(planted):
    labels, tables, folder = planted
    tested = labels[labels["slide"].isin(["a", "b"])]
    for name, table in tables.items():
        assert list(table) == [*KEYS, *GENES] and (table[GENES].dtypes == np.float32).all()
        pd.testing.assert_frame_equal(table[KEYS].reset_index(drop=True), tested[KEYS].reset_index(drop=True))
        assert np.isfinite(table[GENES].to_numpy()).all(), name
    record = read_json(folder / "r.json")
    assert record["baselines"] == {name: {"status": "ok", "reason": "", "n_spots": 120} for name in BASELINES}
    assert record["rounds"][1] == {"round": 2, "reason": "", "n_fit": 180, "n_test": 60, "n_genes": 5}


def test_values_of_tested_spots_change_no_prediction_and_others_do(tmp_path, planted):
    """Slide a is tested in round 1 only, and round 2 fits it: of what round 1 predicts nothing may change."""
    _, tables, _ = planted
    labels = study(tmp_path)
    labels["target"] = [value + 100 * (slide == "a") for value, slide in zip(labels["target"], labels["slide"])]  # noqa: B905
    write_table(labels, tmp_path / "labels.parquet")
    for name, table in run(tmp_path).items():
        same = table[GENES].to_numpy() == tables[name][GENES].to_numpy()
        assert same[table["slide"] == "a"].all() and not same[table["slide"] == "b"].any(), name


def test_threads_change_nothing_and_the_seed_does(tmp_path, planted):
    _, tables, _ = planted
    study(tmp_path)
    pd.testing.assert_frame_equal(run(tmp_path, threads=2)["nuclei"], tables["nuclei"])
    assert not np.array_equal(run(tmp_path, seed=2)["nuclei"]["DENSE"], tables["nuclei"]["DENSE"])


def test_a_gene_is_predicted_by_the_rounds_that_chose_it(tmp_path):
    study(tmp_path, told={"chosen": {"1": [0, 3], "2": [3]}})
    table = run(tmp_path)["colour"]
    chosen = {slide: table.loc[table["slide"] == slide, GENES].notna().all().tolist() for slide in ("a", "b")}
    assert chosen == {"a": [True, False, False, True, False], "b": [False, False, False, True, False]}


def test_without_classes_or_totals_a_baseline_says_why(tmp_path):
    labels = study(tmp_path)
    write_table(labels[KEYS].assign(annotation=""), tmp_path / "spots.parquet")
    tables = run(tmp_path)
    assert len(tables["annotation"]) == len(tables["depth"]) == 0 and list(tables["depth"]) == [*KEYS, *GENES]
    reasons = {name: one["reason"] for name, one in read_json(tmp_path / "r.json")["baselines"].items()}
    assert reasons["annotation"] == "no labelled spot has an annotation"
    assert reasons["depth"] == f"{tmp_path / 'spots.parquet'} has no column total"
    assert reasons["nuclei"] == "" and len(tables["nuclei"]) == 120
    run(tmp_path, spots=None)
    assert read_json(tmp_path / "r.json")["baselines"]["depth"]["reason"] == "the study has no column total"


def test_a_round_without_tested_spots_or_an_excluded_trait_predicts_nothing(tmp_path):
    study(tmp_path, tested="validation")
    assert all(table.empty for table in run(tmp_path).values())
    record = read_json(tmp_path / "r.json")
    assert {one["reason"] for one in record["rounds"]} == {"no labelled spot is tested"}
    assert record["baselines"]["nuclei"]["reason"] == "no round predicts a spot"
    many = [f"G{number}" for number in range(250)]
    study(tmp_path, told={"status": "excluded", "reason": "too few spots", "genes": many, "chosen": {}})
    assert all(list(table) == [*KEYS, *many] and table.empty for table in run(tmp_path).values())
    assert read_json(tmp_path / "r.json")["baselines"]["nuclei"]["reason"] == "too few spots"


def test_spots_without_features_and_genes_without_values_are_named(tmp_path):
    labels = study(tmp_path)
    features = read_table(tmp_path / "features.parquet")
    gone = (features["slide"] == "b") & (features["row"] == 1) & (features["col"] == 3)
    write_table(features[~gone], tmp_path / "features.parquet")
    with pytest.raises(InputError, match=r"all 240 labelled spots with mean_red .* 1 without \(slide b, row 1, column"):
        run(tmp_path)
    write_table(features, tmp_path / "features.parquet")
    labels["target"].iloc[130][2] = np.nan  # slide c
    write_table(labels, tmp_path / "labels.parquet")
    with pytest.raises(InputError, match=r"chosen in round 1 .* none of CLASS \(slide c, row 1, column 0\); label"):
        run(tmp_path)


def known(n, *, seed=0, **more):
    rng = np.random.default_rng(seed)
    return Spots(rng.normal(size=(n, len(NUCLEI))), rng.uniform(0, 255, (n, 3)), **more)


def test_annotation_is_the_mean_of_the_class_and_nothing_where_there_is_none():
    fit = known(5, annotation=np.array(["t", "t", "n", "", "t"], object))
    spots = known(4, annotation=np.array(["n", "t", "", "other"], object))
    target = np.array([[1, 10], [2, 20], [5, 50], [100, 100], [6, 60.0]])
    np.testing.assert_array_equal(predict_annotation(fit, target, spots)[:2], [[5, 50], [3, 30]])
    assert np.isnan(predict_annotation(fit, target, spots)[2:]).all()
    none = known(5, annotation=np.full(5, "", object))
    assert np.isnan(predict_annotation(none, target, spots)).all() and predict_annotation(
        none, target, spots
    ).shape == (
        4,
        2,
    )


def test_depth_is_the_line_on_the_logarithm_of_the_total():
    rng = np.random.default_rng(0)
    depth = rng.normal(8, 1, 500)
    target = depth[:, None] * [1.0, -2.0] + rng.normal(size=(500, 2))
    fit, spots = known(400, log_total=depth[:400]), known(100, log_total=depth[400:])
    line = LinearRegression().fit(depth[:400, None], target[:400]).predict(depth[400:, None])
    np.testing.assert_allclose(predict_depth(fit, target[:400], spots), line, atol=0.02)


def test_composition_maps_what_the_forest_predicts_by_the_factors():
    """Two cell types with genes of their own; the count of nuclei says how much there is of either."""
    rng = np.random.default_rng(0)
    share = rng.uniform(0, 1, 600)
    nuclei = rng.normal(size=(600, len(NUCLEI)))
    nuclei[:, 0] = share * 100
    types = np.array([[5, 4, 3, 0.1, 0.1], [0.1, 0.1, 1, 6, 2]]) * 1e-4
    target = np.log(np.stack([share, 1 - share], axis=1) @ types)
    spots = [Spots(nuclei[rows], np.zeros((len(nuclei[rows]), 3))) for rows in (slice(400), slice(400, None))]
    found = predict_composition(spots[0], target[:400], spots[1], seed=0)
    for gene in range(5):
        assert np.corrcoef(found[:, gene], target[400:, gene])[0, 1] > 0.9  # 140 of the features are noise
    assert (found >= target[:400].min(axis=0) - 1e-9).all()


def test_ten_factors_of_spots_lose_little(recwarn):
    """200 rounds, without a warning, reach what scikit-learn's multiplicative update reaches with ten times as many."""
    rng = np.random.default_rng(0)
    linear = rng.gamma(1, 1, (150, 10)) @ rng.gamma(0.5, 1, (10, 60)) + rng.uniform(0, 0.1, (150, 60))
    spots = known(150)
    predict_composition(spots, np.log(linear), spots, seed=0)
    assert not recwarn.list
    errors = [
        NMF(10, init="nndsvda", solver=solver, max_iter=rounds, tol=0.0, random_state=0).fit(linear).reconstruction_err_
        for solver, rounds in (("cd", 200), ("mu", 2000))
    ]
    assert errors[0] < errors[1] * 1.05 and errors[0] < 0.1 * np.linalg.norm(linear - linear.mean(axis=0))


def test_a_noisy_gene_does_not_drown_a_quiet_one():
    """One forest for both: without scaling, splits would follow the gene of a hundred times the variance."""
    rng = np.random.default_rng(0)
    fit, spots = known(300), known(200, seed=1)
    quiet = {id(one): one.nuclei[:, 5] * 0.1 for one in (fit, spots)}
    target = np.stack([quiet[id(fit)], rng.normal(0, 100, 300)], axis=1)
    found = predict_nuclei(fit, target, spots, seed=0)
    assert np.corrcoef(found[:, 0], quiet[id(spots)])[0, 1] > 0.7
    assert abs(np.corrcoef(found[:, 0], rng.normal(size=200))[0, 1]) < 0.3


def test_from_pixels_the_forest_finds_the_gene_of_nuclear_density_and_no_other():
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 60, 160)
    nuclei = np.stack([measure_window(window(n, seed=i), mpp=0.686) for i, n in enumerate(drawn)])[:, 3:]
    target = np.stack([drawn / 20 + rng.normal(0, 0.5, 160), rng.normal(size=160)], axis=1)
    fit, spots = (Spots(nuclei[rows], np.zeros((80, 3))) for rows in (slice(80), slice(80, None)))
    found = predict_nuclei(fit, target[:80], spots, seed=0)
    dense, null = (np.corrcoef(found[:, gene], target[80:, gene])[0, 1] for gene in range(2))
    assert dense > 0.8 and abs(null) < 0.37  # 80 spots: 3.3 standard errors


def test_few_targets_are_scikit_learns_forest():
    rng = np.random.default_rng(0)
    x, others = rng.normal(size=(200, 30)).astype(np.float32), rng.normal(size=(50, 30)).astype(np.float32)
    x[rng.random(x.shape) < 0.05] = np.nan
    y = np.nan_to_num(x[:, :5]).astype(float) * 10 + 3
    spread, wanted = y.std(axis=0), 0
    for number in range(TREES // BATCH):
        state = int(np.random.SeedSequence([4, number]).generate_state(1)[0])
        settings = {"max_features": SHARE_OF_FEATURES, "min_samples_leaf": LEAF, "random_state": state}
        wanted = wanted + RandomForestRegressor(BATCH, **settings).fit(x, (y - y.mean(axis=0)) / spread).predict(others)
    wanted = wanted / (TREES // BATCH) * spread + y.mean(axis=0)
    np.testing.assert_allclose(forest(x, y, others, seed=4), wanted, rtol=1e-9)


def test_many_targets_are_predicted_about_as_well_as_by_scikit_learns_forest():
    """60 genes, of which 20 follow one of three features, in noise: splits look at 20 directions of them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 20)).astype(np.float32)
    signal = np.concatenate([x[:, :3] @ rng.normal(size=(3, 20)), np.zeros((500, 40))], axis=1)
    y = signal + rng.normal(size=signal.shape)
    found = forest(x[:400], y[:400], x[400:], seed=0)
    settings = {"max_features": SHARE_OF_FEATURES, "min_samples_leaf": LEAF, "random_state": 0}
    wanted = RandomForestRegressor(TREES, **settings).fit(x[:400], y[:400]).predict(x[400:])
    ours, theirs = (
        np.mean([np.corrcoef(one[:, gene], signal[400:, gene])[0, 1] for gene in range(20)]) for one in (found, wanted)
    )
    assert ours > 0.8 and ours > theirs - 0.03


def test_a_spot_without_counts_is_neither_learnt_from_nor_predicted(tmp_path):
    labels = study(tmp_path)
    bare = labels.assign(target=[None, *labels["target"][1:]])
    write_table(bare, tmp_path / "labels.parquet")
    found = run(tmp_path)["nuclei"]
    assert found.merge(labels.iloc[:1][KEYS], on=KEYS).empty
    assert len(found) == 2 * 60 - 1

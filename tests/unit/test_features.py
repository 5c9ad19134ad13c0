"""What is kept of every tile: a head on it gives what the whole network gives."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta import models as networks
from histocarta.features import extract_features
from histocarta.files import read_json, read_table, write_table
from histocarta.inference import score_cohort
from histocarta.tasks import TASKS
from learning_kit import MODEL, coloured_tile, manifest_of

CALL = {"network": MODEL, "pooling": "avg", "seed": 3, "batch": 8, "precision": "float32"}


@pytest.fixture
def manifest(tmp_path):
    rng = np.random.default_rng(0)
    tiles = {f"s{n}": [coloured_tile(n % 2, rng) for _ in range(3 + n)] for n in range(4)}
    table = manifest_of(tmp_path / "shards", tiles)
    empty = pd.DataFrame([{"slide": "none", "patient": "none", "n_tiles": "0", "shard": "", "sha256": ""}])
    write_table(pd.concat([table, empty]), tmp_path / "manifest.tsv")
    return tmp_path / "manifest.tsv"


def extract(manifest: Path, *, model=None, **changes):
    names = {"tiles": "tiles.npy", "places": "places.parquet", "slides": "slides.parquet", "head": "head.npz"}
    names["record"] = "network.json"
    paths = {key: str(manifest.parent / name) for key, name in names.items()}
    extract_features(manifest=str(manifest), model=model, **paths, **CALL | changes)
    return np.load(paths["tiles"]), read_table(paths["places"]), read_table(paths["slides"]), paths


def panel(folder, *, genes=3):
    task = TASKS["regression"].with_outputs(pd.DataFrame({"target": [[0.0] * genes]}))
    model = networks.build_model(task, network="tiny", size=16, pooling="avg", batch_norm_momentum=0.5)
    networks.initialise(model, seed=11)
    networks.save_model(model, folder / "panel.keras")
    return str(folder / "panel.keras"), model


def test_a_slides_mean_under_the_head_is_the_mean_of_its_tiles_scores(manifest):
    """The head is linear: why a probe, or a panel of thousands of genes, needs the mean of the features only."""
    path, _ = panel(manifest.parent)
    _, places, slides, files = extract(manifest, model=path)
    with np.load(files["head"]) as head:
        predicted = np.stack(slides["features"]) @ head["weights"] + head["intercept"]
    scored = score_cohort(read_table(manifest), [path], batch=8, precision="float32")
    whole = scored[0].groupby("slide", sort=False)["score"].apply(lambda scores: np.mean(np.stack(scores), axis=0))
    np.testing.assert_allclose(predicted, np.stack(whole.loc[slides["slide"]]), rtol=1e-4)
    assert places["slide"].tolist() == [f"s{n}" for n in range(4) for _ in range(3 + n)]
    assert slides["n_tiles"].tolist() == [3, 4, 5, 6]


def test_tiles_are_kept_in_order_to_half_precision(manifest):
    tiles, places, slides, _ = extract(manifest)
    assert tiles.dtype == np.float16 and tiles.shape == (len(places), 16)
    mean = pd.DataFrame(tiles.astype(float)).groupby(places["slide"]).mean()
    np.testing.assert_allclose(np.stack(slides["features"]), mean, rtol=2e-3, atol=1e-4)


def test_an_untrained_network_is_named_and_is_its_seeds(manifest):
    first, _, _, files = extract(manifest)
    record = read_json(files["record"])
    assert record["untrained"] and record["width"] == 16 and record["tiles"] == 18
    again, _, _, _ = extract(manifest)
    other, _, _, _ = extract(manifest, seed=4)
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    with np.load(files["head"]) as head:
        assert head["weights"].size == 0
    _, _, _, files = extract(manifest, model=panel(manifest.parent)[0])
    assert not read_json(files["record"])["untrained"] and len(read_json(files["record"])["model_sha256"]) == 64


def test_features_do_not_depend_on_the_batch(manifest):
    one, other = (extract(manifest, batch=batch)[0].astype(float) for batch in (4, 18))
    np.testing.assert_allclose(one, other, atol=2e-3)


def test_a_round_without_a_model_gives_empty_tables(manifest):
    path = manifest.parent / "none.keras"
    networks.save_no_model(path)
    tiles, places, slides, files = extract(manifest, model=str(path))
    assert len(tiles) == len(places) == len(slides) == 0
    assert read_json(files["record"])["tiles"] == 0 and not read_json(files["record"])["untrained"]

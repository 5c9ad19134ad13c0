"""Scores of all tiles from all rounds' models in one pass."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from histocarta import models as networks
from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.inference import score_tiles
from histocarta.tasks import TASKS
from histocarta.tilestore import read_shard
from learning_kit import MODEL, coloured_tile, manifest_of

KEYS = {key: value for key, value in MODEL.items() if not key.startswith("weights")} | {"pooling": "avg"}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Slides b (7 tiles), a (none), c (4); models with different weights and one of an excluded round."""
    folder = tmp_path_factory.mktemp("cohort")
    rng = np.random.default_rng(0)
    tiles = {
        "b": [coloured_tile(n % 2, rng) for n in range(7)],
        "a": [],
        "c": [coloured_tile(1, rng) for _ in range(4)],
    }
    write_table(manifest_of(folder, tiles), folder / "manifest.tsv")
    write_json({"trait": "X", "status": "ok", "code": "", "reason": ""}, folder / "labels.json")
    model = networks.build_model(TASKS["extremes"], **KEYS)
    for seed in (1, 2):
        networks.initialise(model, seed=seed)
        networks.save_model(model, folder / f"model-{seed}.keras")
    networks.save_no_model(folder / "excluded.keras")
    return folder


def score(cohort, output, names, **changes):
    arguments = {
        "manifest": str(cohort / "manifest.tsv"), "summary": str(cohort / "labels.json"), "batch": 4,
        "precision": "float32", "models": [str(cohort / f"{name}.keras") for name in names],
        "scores": [str(output / f"{n}.parquet") for n in range(len(names))],
    }  # fmt: skip
    score_tiles(**arguments | changes)
    return [pd.read_parquet(output / f"{n}.parquet") for n in range(len(names))]


def test_every_tile_of_every_slide_is_scored_in_the_manifests_order(cohort, tmp_path):
    (table,) = score(cohort, tmp_path, ["model-1"])
    assert table["slide"].tolist() == ["b"] * 7 + ["c"] * 4
    places = [(row, col) for slide in "bc" for row, col, _ in read_shard(cohort / f"{slide}.tfrecord")]
    assert list(zip(table["row"], table["col"], strict=True)) == places
    assert [str(kind) for kind in table.dtypes] == ["object", "int32", "int32", "float32"]


def test_scores_are_those_of_the_model_itself(cohort, tmp_path):
    (table,) = score(cohort, tmp_path, ["model-1"])
    images = np.concatenate([batch.numpy() for batch, _ in networks_batches(cohort)])
    expected = networks.load_model(cohort / "model-1.keras").predict(images, verbose=0)[:, 0]
    np.testing.assert_allclose(table["score"], expected, atol=1e-6)
    assert table["score"].std() > 0


def networks_batches(cohort):
    from histocarta import pipeline
    from histocarta.files import read_table

    manifest = read_table(cohort / "manifest.tsv")
    return pipeline.ordered_batches(manifest.assign(n_tiles=manifest["n_tiles"].astype(int)), size=16, batch=100)


def test_without_gpus_those_that_are_there_are_hidden(cohort, tmp_path, monkeypatch):
    hidden = []
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda *devices: hidden.append(devices))
    score(cohort, tmp_path, ["excluded"], gpus=1)
    assert hidden == []
    score(cohort, tmp_path, ["excluded"], gpus=0)
    assert hidden == [([], "GPU")]


def test_models_scored_together_score_as_they_do_alone(cohort, tmp_path):
    both = score(cohort, tmp_path, ["model-1", "model-2"])
    for name, table in zip(("model-1", "model-2"), both, strict=True):
        (tmp_path / name).mkdir()
        (alone,) = score(cohort, tmp_path / name, [name])
        pd.testing.assert_frame_equal(table, alone)
    assert not np.allclose(both[0]["score"], both[1]["score"])


def test_batch_size_changes_no_score(cohort, tmp_path):
    tables = [score(cohort, tmp_path, ["model-2"], batch=batch)[0] for batch in (1, 3, 64)]
    for other in tables[1:]:
        np.testing.assert_allclose(tables[0]["score"], other["score"], atol=1e-6)


def test_excluded_rounds_and_traits_give_tables_without_rows(cohort, tmp_path):
    tables = score(cohort, tmp_path, ["model-1", "excluded", "model-2"])
    assert [len(table) for table in tables] == [11, 0, 11]
    assert tables[1].dtypes.astype(str).tolist() == ["object", "int32", "int32", "float32"]
    assert list(tables[1]) == ["slide", "row", "col", "score"]
    write_json({"trait": "X", "status": "excluded", "code": "B-TIES", "reason": "ties"}, tmp_path / "labels.json")
    empty = score(cohort, tmp_path, ["excluded", "excluded"], summary=str(tmp_path / "labels.json"))
    assert [len(table) for table in empty] == [0, 0]


def test_a_damaged_model_is_named(cohort, tmp_path):
    (tmp_path / "model-1.keras").write_bytes((cohort / "model-1.keras").read_bytes()[:900])
    with pytest.raises(
        InputError, match=r"I-MODEL Expected a \.keras model at .*model-1\.keras.*train the round again"
    ):
        score(cohort, tmp_path, ["x"], models=[str(tmp_path / "model-1.keras")])


def test_models_of_different_networks_are_refused(cohort, tmp_path):
    networks.save_model(networks.build_model(TASKS["extremes"], **KEYS | {"pooling": "max"}), tmp_path / "max.keras")
    paths = [str(cohort / "model-1.keras"), str(tmp_path / "max.keras")]
    with pytest.raises(InputError, match=r"I-MODEL Expected one network in all rounds, found .*max\.keras to differ"):
        score(cohort, tmp_path, ["x", "y"], models=paths)


def test_scores_that_are_not_numbers_are_refused(cohort, tmp_path):
    model = networks.load_model(cohort / "model-1.keras")
    model.weights[-1].assign([np.nan])
    networks.save_model(model, tmp_path / "nan.keras")
    with pytest.raises(ArithmeticError, match=r"I-NAN 11 scores of .*nan\.keras"):
        score(cohort, tmp_path, ["x"], models=[str(tmp_path / "nan.keras")])


def test_a_shard_cut_between_records_is_refused(cohort, tmp_path):
    table = pd.read_csv(cohort / "manifest.tsv", sep="\t", dtype=str)
    write_table(table.assign(n_tiles=["8", "0", "4"]), tmp_path / "manifest.tsv")
    with pytest.raises(InputError, match=r"M-SHARD Expected 8 records in .*b\.tfrecord.*found 7"):
        score(cohort, tmp_path, ["model-1"], manifest=str(tmp_path / "manifest.tsv"))


@pytest.fixture(scope="module")
def panel(cohort):
    """A model of three outputs, and two rounds of which the second tests nobody."""
    model = networks.build_model(TASKS["spots"].with_outputs(pd.DataFrame({"target": [[0.0] * 3]})), **KEYS)
    networks.initialise(model, seed=3)
    networks.save_model(model, cohort / "panel.keras")
    parts = pd.DataFrame({"slide": ["a", "b", "c"], "part": ["test", "train", "test"]})
    write_table(parts, cohort / "split-1.tsv")
    write_table(parts.assign(part="train"), cohort / "split-2.tsv")
    return {"splits": [str(cohort / f"split-{number}.tsv") for number in (1, 2)]}


def test_a_round_of_many_genes_scores_the_slides_that_it_tests(cohort, tmp_path, panel):
    first, second = score(cohort, tmp_path, ["panel", "panel"], **panel)
    assert first["slide"].tolist() == ["c"] * 4 and len(second) == 0
    images = np.concatenate([batch.numpy() for batch, _ in networks_batches(cohort)])
    expected = networks.load_model(cohort / "panel.keras").predict(images, verbose=0)
    np.testing.assert_allclose(np.stack(first["score"]), expected[7:], atol=1e-6)
    empty, _ = score(cohort, tmp_path, ["excluded", "panel"], **panel)
    assert len(empty) == 0


def test_a_score_over_all_symmetries_does_not_see_how_a_tile_lies(cohort, tmp_path, panel):
    (plain, _), (mean, _) = (score(cohort, tmp_path, ["panel"] * 2, symmetric=way, **panel) for way in (False, True))
    images = np.concatenate([batch.numpy() for batch, _ in networks_batches(cohort)])[7:]
    model = networks.load_model(cohort / "panel.keras")
    ways = [np.rot90(side, turns, axes=(1, 2)) for side in (images, images[:, :, ::-1]) for turns in range(4)]
    expected = np.mean([model.predict(np.ascontiguousarray(way), verbose=0) for way in ways], axis=0)
    np.testing.assert_allclose(np.stack(mean["score"]), expected, atol=1e-6)
    assert not np.allclose(np.stack(plain["score"]), np.stack(mean["score"]), atol=1e-4)

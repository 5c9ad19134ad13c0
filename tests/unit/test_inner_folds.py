"""How training spots are parted to choose the number of epochs, and a model that learns for so many."""

import numpy as np
import pandas as pd
import pytest
from histocarta import training
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.inner_folds import with_folds
from histocarta.training import train_rounds
from histocarta.training_records import Round
from learning_kit import MODEL, TRAINING, coloured_tile, outputs_in, read_member, split_of, write_tiles


def plan_of(slides):
    """A round that trains on ``slides``: name → places of its labelled windows."""
    rows = [
        {"slide": name, "label": np.zeros((len(at), 1), np.float32), "places": np.array(at), "at": np.arange(len(at)),
         "n_tiles": len(at), "records": len(at), "shard": "", "sha256": ""}
        for name, at in slides.items()
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    return Round(1, table, table, 1, 2)


def manifest_of(patients, files=None):
    files = files or {slide: slide for slide in patients}
    return pd.DataFrame(
        {"slide": list(patients), "patient": list(patients.values()), "file": [files[s] for s in patients]}
    )


LINE = [(0, col) for col in range(8)]


@pytest.mark.parametrize(
    ("patients", "files", "unit", "folds"),
    [
        ({"a": "p", "b": "q", "c": "r", "d": "s", "e": "t"}, None, "patient", 4),
        ({"a": "p", "b": "q"}, None, "patient", 2),
        ({"a": "p", "b": "p", "c": "p"}, None, "section", 3),
        ({"a": "p", "b": "p"}, {"a": "f", "b": "f"}, "stripe", 4),
    ],
)
def test_the_largest_unit_of_which_there_are_two_is_dealt_out(patients, files, unit, folds):
    plan = with_folds(plan_of(dict.fromkeys(patients, LINE)), manifest_of(patients, files), folds=4)
    assert (plan.fold_unit, len(plan.folds)) == (unit, folds)
    held = [set(fold.validation["slide"]) for fold in plan.folds]
    if unit != "stripe":
        assert sum(map(len, held)) == len(patients)  # each slide is held out once
        assert all(not held[k] & set(fold.train["slide"]) for k, fold in enumerate(plan.folds))
    for fold in plan.folds:
        assert fold.train["n_tiles"].sum() + fold.validation["n_tiles"].sum() == 8 * len(patients)


def test_stripes_lie_across_the_longer_side_and_share_the_windows_evenly():
    places = [(row, col) for row in range(3) for col in range(8)]
    plan = with_folds(plan_of({"a": places}), manifest_of({"a": "p"}), folds=4)
    columns = [sorted({col for _, col in fold.validation["places"].iloc[0].tolist()}) for fold in plan.folds]
    assert columns == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert [int(fold.validation["n_tiles"].sum()) for fold in plan.folds] == [6] * 4


def spot_study(folder, *, patients=4, n=24, genes=2):
    """Slides of a patient each whose first gene follows the colour of the window; the last patient tests."""
    rng = np.random.default_rng(0)
    manifest, labels = [], []
    for number in range(patients):
        slide, kinds = f"s{number}", rng.integers(0, 2, n)
        shard = folder / f"{slide}.tfrecord"
        write_tiles(shard, [coloured_tile(int(kind), rng) for kind in kinds])
        manifest.append({"slide": slide, "patient": slide, "file": slide, "n_tiles": str(n), "shard": str(shard),
                         "sha256": sha256(shard)})  # fmt: skip
        values = np.column_stack([kinds + 3.0, *rng.normal(5, 1, (genes - 1, n))]).astype(np.float32)
        labels += [
            {"slide": slide, "patient": slide, "row": k // 5, "col": k % 5, "target": value}
            for k, value in enumerate(values)
        ]
    write_table(pd.DataFrame(manifest), folder / "manifest.tsv")
    write_table(pd.DataFrame(labels), folder / "labels.parquet")
    facts = {"trait": "top-2", "status": "ok", "code": "", "reason": "", "chosen": {"1": list(range(genes))}}
    write_json(facts, folder / "labels.json")
    write_json({"independent": True}, folder / "audit.json")
    parts = {f"s{number}": "test" if number == patients - 1 else "train" for number in range(patients)}
    write_table(split_of(parts), folder / "round-1.tsv")
    return {
        "manifest": str(folder / "manifest.tsv"), "labels": str(folder / "labels.parquet"),
        "summary": str(folder / "labels.json"), "audit": str(folder / "audit.json"),
        "splits": [str(folder / "round-1.tsv")], "rounds": [1], "task": "spots", "seed": 1,
        "model": MODEL | {"normalise": "training"}, "checkpoint_metric": "slide_auc", "pooling": "avg",
        "threshold": None, "inner": 3,
        "training": TRAINING
        | {"validations_per_epoch": 1, "max_validations": 4, "plateau": None, "augment": ["rotate"]},
        **outputs_in(folder / "out", [1]),
    }  # fmt: skip


def test_the_epoch_of_the_smallest_held_out_error_is_the_length_of_the_last_training(tmp_path):
    study = spot_study(tmp_path)
    train_rounds(**study)
    record = read_json(study["sidecars"][0])
    inner = record["inner"]
    assert (inner["unit"], inner["folds"], len(inner["loss"])) == ("patient", 3, 4)
    assert inner["chosen"] == int(np.argmin(inner["loss"])) + 1 == record["validations"]
    assert record["parts"]["train"] == {"slides": 3, "tiles": 72}  # the last training learns from all of them
    assert len(pd.read_csv(study["histories"][0])) == inner["chosen"]
    assert not list((tmp_path / "out" / "state").iterdir())  # what the folds left is gone


def test_a_killed_choice_goes_on_and_ends_with_the_same_weights(tmp_path, monkeypatch):
    study = spot_study(tmp_path)
    train_rounds(**study)
    killed = study | outputs_in(tmp_path / "killed", [1])
    plain, calls = training.train_round, []

    def dying(*arguments, **options):
        calls.append(options.get("name"))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return plain(*arguments, **options)

    monkeypatch.setattr(training, "train_round", dying)
    with pytest.raises(KeyboardInterrupt):
        train_rounds(**killed)
    monkeypatch.setattr(training, "train_round", plain)
    train_rounds(**killed)
    assert read_json(killed["sidecars"][0])["inner"] == read_json(study["sidecars"][0])["inner"]
    weights = [read_member(made["models"][0], "model.weights.h5") for made in (study, killed)]
    assert weights[0] == weights[1]


def test_the_head_starts_at_the_training_mean_and_pixels_are_normalised(tmp_path):
    study = spot_study(tmp_path)
    settings = training.Settings(
        training.task_named("spots").with_outputs(read_table(study["labels"])),
        study["model"] | {"pooling": "avg"}, study["training"], "slide_auc", None,
    )  # fmt: skip
    labels, facts = read_table(study["labels"]), read_json(study["summary"])
    plan = training.plan_round(
        read_table(study["manifest"]), labels, read_table(study["splits"][0]), number=1, facts=facts, seed=1,
        task=settings.task, inner=3,
    )  # fmt: skip
    learner = training.make_learner(settings)
    store = training.Store(tmp_path / "store", settings={})
    training.begin(learner, plan, settings=settings, store=store, board=tmp_path / "board")
    tiles = training._first_pixels(plan, settings=settings)
    trained = np.stack(labels.loc[labels["slide"] != "s3", "target"])
    scores = learner.model.predict(tiles[:5], verbose=0)
    np.testing.assert_allclose(scores, np.tile(trained.mean(axis=0), (5, 1)), rtol=1e-5)
    pixels = training.networks.keras.Model(learner.model.input, learner.model.get_layer("normalise").output)
    seen = pixels.predict(tiles, verbose=0).reshape(-1, 3)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(seen.std(axis=0), 1, atol=1e-2)

"""Rounds of training: what they learn from, when they stop, what they leave."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import keras
import learning_kit
import numpy as np
import pandas as pd
import pytest
from histocarta import models as networks
from histocarta import training
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, sha256, write_json, write_table
from histocarta.models import load_model
from histocarta.resume import Patience, TrainingState
from histocarta.tasks import TASKS
from histocarta.training import train_rounds
from histocarta.validation import Settings, Validation, is_better, validation_strides
from learning_kit import MODEL, TRAINING, coloured_tile, make_study, manifest_of, outputs_in, read_member

PLAIN = Settings(TASKS["extremes"], MODEL | {"pooling": "avg"}, TRAINING, "slide_auc", 0.5)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two rounds, trained; with the log."""
    arguments = make_study(tmp_path_factory.mktemp("study"))
    training.train_rounds(**arguments)
    return arguments


def rows_of(history):
    with Path(history).open() as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize(
    ("n_tiles", "batch", "per_epoch", "least", "steps"),
    [
        (2303, 144, 16, 1, 1),  # the released code: 2303 // (144 * 16) = 0 steps
        (2304, 144, 16, 1, 1),
        (10_000, 32, 16, 1, 19),
        (1800, 32, 4, 20, 20),
    ],
)
def test_steps_per_validation_are_never_none(n_tiles, batch, per_epoch, least, steps):
    changes = {"batch": batch, "validations_per_epoch": per_epoch, "min_steps": least}
    assert Settings(TASKS["extremes"], MODEL, TRAINING | changes, "slide_auc", 0.5).steps(n_tiles) == steps


def test_colour_is_learnt_and_the_best_weights_are_written(study):
    for path, sidecar, history in zip(study["models"], study["sidecars"], study["histories"], strict=True):
        facts, rows = read_json(sidecar), rows_of(history)
        assert facts["status"] == "ok"
        assert facts["validation"]["validation_slide_auc"] == 1.0
        assert facts["parts"]["train"] == {"slides": 8, "tiles": 96, "high": 4, "low": 4}
        assert facts["parts"]["validation"]["slides"] == 4
        best = [row for row in rows if float(row["step"]) == facts["validation"]["step"]]
        assert float(best[0]["validation_loss"]) == facts["validation"]["validation_loss"]
        assert networks.holds_model(path)


def test_the_written_model_is_the_one_of_the_best_validation(study):
    facts = read_json(study["sidecars"][0])
    plan = training.plan_round(
        read_table(study["manifest"]), read_table(study["labels"]), read_table(study["splits"][0]),
        number=1, facts=read_json(study["summary"]), seed=1, task=TASKS["extremes"],
    )  # fmt: skip
    dataset = training.pipeline.ordered_batches(plan.validation, size=16, batch=64)
    scores = networks.load_model(study["models"][0]).predict(dataset.map(lambda tile, _: tile), verbose=0)[:, 0]
    labels = np.repeat(plan.validation["label"].to_numpy(), plan.validation["n_tiles"])
    loss = -np.mean(np.where(labels == 1, np.log(scores), np.log1p(-scores)))  # binary cross-entropy
    assert loss == pytest.approx(facts["validation"]["validation_loss"], rel=1e-4)


def test_history_has_its_columns_and_one_row_per_validation(study):
    rows = rows_of(study["histories"][0])
    assert tuple(rows[0]) == PLAIN.history
    assert [int(float(row["step"])) for row in rows] == [3, 6, 9, 12, 15, 18]  # 96 tiles // (16 * 4) = 1, raised to 3
    assert float(rows[0]["epoch"]) == pytest.approx(3 * 16 / 96)
    assert {float(row["learning_rate"]) for row in rows} == {0.01}


def test_sidecar_names_settings_seed_data_and_versions(study):
    facts = read_json(study["sidecars"][1])
    assert (facts["round"], facts["trait"], facts["task"], facts["seed"]) == (2, "MKI67", "extremes", 1)
    assert facts["model"]["pooling"] == "avg"  # filled in from the study's fidelity
    assert facts["manifest_sha256"] == sha256(study["manifest"])
    assert facts["backend"] == "tensorflow"
    assert {"tensorflow", "keras"} <= set(facts["software"])
    assert facts["audit"] == {"independent": True}
    assert "random" not in json.dumps(facts | {"training": None})  # its settings name the epochs drawn at random


def test_the_state_folder_is_gone_and_a_tensorboard_log_is_there(study):
    assert not list(Path(study["state_dir"]).glob("*/*"))
    assert len(list(Path(study["histories"][0]).parent.glob("tensorboard/events.out.tfevents.*"))) == 1


def test_rounds_differ_and_one_alone_gives_what_it_gives_among_others(study, tmp_path):
    weights = [read_member(path, "model.weights.h5") for path in study["models"]]
    assert weights[0] != weights[1]
    alone = study | {"splits": study["splits"][1:], "rounds": [2]} | outputs_in(tmp_path, [2])
    training.train_rounds(**alone)
    assert read_member(alone["models"][0], "model.weights.h5") == weights[1]
    assert Path(alone["histories"][0]).read_bytes() == Path(study["histories"][1]).read_bytes()


def test_the_training_graph_is_traced_once_for_all_rounds(study, tmp_path, monkeypatch):
    calls = []
    step = keras.Model.train_step
    monkeypatch.setattr(keras.Model, "train_step", lambda self, data: calls.append(1) or step(self, data))
    training.train_rounds(**study | outputs_in(tmp_path, study["rounds"]))
    assert len(calls) == 1


def test_an_excluded_trait_leaves_empty_valid_outputs(study, tmp_path):
    write_json(
        {"trait": "X", "status": "excluded", "code": "B-TIES", "reason": "P20 = P80 = 0"}, tmp_path / "labels.json"
    )
    excluded = study | {"summary": str(tmp_path / "labels.json")} | outputs_in(tmp_path, study["rounds"])
    training.train_rounds(**excluded)
    for path, sidecar, history in zip(excluded["models"], excluded["sidecars"], excluded["histories"], strict=True):
        assert not networks.holds_model(path)
        assert rows_of(history) == []
        assert Path(history).read_text() == ",".join(PLAIN.history) + "\n"
        facts = read_json(sidecar)
        assert (facts["status"], facts["code"], facts["reason"]) == ("excluded", "B-TIES", "P20 = P80 = 0")


@pytest.mark.parametrize(
    ("part", "change", "code", "reason"),
    [
        ("train", lambda label: 1.0, "M-ONE-CLASS", "all 8 training slides are of one class"),
        ("train", lambda label: math.nan, "M-EMPTY", "no training slide has tiles and a label"),
        ("validation", lambda label: math.nan, "M-EMPTY", "no validation slide has tiles and a label"),
    ],
)
def test_a_round_without_what_it_needs_is_excluded_with_the_reason(study, part, change, code, reason):
    labels, split = read_table(study["labels"]), read_table(study["splits"][0])
    there = labels["slide"].isin(split.loc[split["part"] == part, "slide"])
    labels = labels.assign(label=labels["label"].where(~there, labels["label"].map(change)))
    plan = training.plan_round(
        read_table(study["manifest"]),
        labels,
        split,
        number=1,
        facts=read_json(study["summary"]),
        seed=1,
        task=TASKS["extremes"],
    )
    assert (plan.code, plan.reason) == (code, reason)


def test_one_class_in_validation_falls_back_to_the_loss_and_says_so(study, tmp_path, capsys):
    labels, split = read_table(study["labels"]), read_table(study["splits"][0])
    there = labels["slide"].isin(split.loc[split["part"] == "validation", "slide"])
    write_table(labels.assign(label=labels["label"].mask(there & (labels["label"] == 0))), tmp_path / "labels.parquet")
    one = study | {"labels": str(tmp_path / "labels.parquet"), "splits": study["splits"][:1], "rounds": [1]}
    one |= {"training": TRAINING | {"max_validations": 3}} | outputs_in(tmp_path, [1])
    training.train_rounds(**one)
    rows, best = rows_of(one["histories"][0]), read_json(one["sidecars"][0])["validation"]
    assert [row["validation_slide_auc"] for row in rows] == ["", "", ""]
    assert best["validation_loss"] == min(float(row["validation_loss"]) for row in rows)
    assert "validation slides are of one class; the validation loss alone chooses" in capsys.readouterr().err


def test_a_loss_that_is_not_a_number_ends_the_round_with_its_reason(study, tmp_path):
    """TerminateOnNaN would delete the backup and return as if all were well (keras-team/keras#21771)."""
    wild = study | {"training": TRAINING | {"learning_rate": 1e38}} | outputs_in(tmp_path, study["rounds"])
    training.train_rounds(**wild)
    for path, sidecar in zip(wild["models"], wild["sidecars"], strict=True):
        facts = read_json(sidecar)
        assert (facts["status"], facts["code"]) == ("excluded", "M-NAN")
        assert "in steps 1-3" in facts["reason"] or "in steps 4-6" in facts["reason"]
        assert not networks.holds_model(path)


def test_a_loss_that_is_lost_after_good_weights_costs_what_came_later_only(study, tmp_path, monkeypatch):
    """The model is that of a training that had ended one validation before; status ok, and the end says why."""
    one = study | {"splits": study["splits"][:1], "rounds": [1]}
    before = one | {"training": TRAINING | {"max_validations": 3}} | outputs_in(tmp_path / "before", [1])
    training.train_rounds(**before)
    go_on = Validation.on_epoch_end
    lost = {"loss": math.nan}
    monkeypatch.setattr(
        Validation, "on_epoch_end", lambda self, epoch, logs=None: go_on(self, epoch, lost if epoch == 3 else logs)
    )
    after = one | outputs_in(tmp_path / "after", [1])
    training.train_rounds(**after)
    facts = read_json(after["sidecars"][0])
    assert (facts["status"], facts["code"], facts["reason"], facts["validations"]) == ("ok", "", "", 3)
    step = facts["validation"]["step"]
    assert facts["ended"] == (
        f"not a number: the loss became nan in steps 10-12; the best weights, of step {step}, are kept"
    )
    weights = [read_member(each["models"][0], "model.weights.h5") for each in (before, after)]
    assert weights[0] == weights[1]


def test_a_shard_cut_between_records_stops_the_job(study, tmp_path):
    manifest = read_table(study["manifest"])
    manifest.loc[manifest["slide"] == "s00", "n_tiles"] = "13"
    write_table(manifest, tmp_path / "manifest.tsv")
    with pytest.raises(InputError, match=r"M-SHARD Expected 13 records in .*s00\.tfrecord"):
        training.train_rounds(**study | {"manifest": str(tmp_path / "manifest.tsv")} | outputs_in(tmp_path, [1, 2]))


def test_splits_in_the_wrong_order_are_refused(study, tmp_path):
    with pytest.raises(InputError, match=r"Expected the split of round 1, found that of \[2\]"):
        training.train_rounds(**study | {"splits": study["splits"][::-1]} | outputs_in(tmp_path, [1, 2]))


@pytest.mark.parametrize(
    ("auc", "loss", "better"),
    [
        (0.9, 2.0, True),
        (0.7, 0.1, False),
        (0.8, 0.4, True),
        (0.8, 0.6, False),
        (math.nan, 0.4, True),
        (math.nan, 0.6, False),
    ],
)
def test_better_is_a_higher_metric_then_a_lower_loss(auc, loss, better):
    best = {"validation_slide_auc": 0.8, "validation_loss": 0.5}
    assert (
        is_better({"validation_slide_auc": auc, "validation_loss": loss}, best, metric="validation_slide_auc") is better
    )
    assert is_better({"validation_slide_auc": auc, "validation_loss": loss}, None, metric="validation_slide_auc")


def test_validation_figures_are_of_tiles_and_of_slides():
    """Slides a (low) and b (high), 3 and 2 tiles; scores above .5 count, so shares 1/3 and 1/2 and slide AUC 1."""
    watch = Validation.__new__(Validation)
    watch.settings = PLAIN
    watch.slide_of, watch.slide_labels = np.array([0, 0, 0, 1, 1]), np.array([[0], [1]], np.float32)
    watch.tile_labels = watch.slide_labels[watch.slide_of]
    scores = np.array([[0.9], [0.5], [0.1], [0.5], [0.8]], np.float32)
    figures = watch.measure(scores)
    assert figures["validation_slide_auc"] == 1.0
    assert figures["validation_tile_auc"] == pytest.approx((1 + 0.5 + 0 + 1 + 1 + 0) / 6)  # pairs, ties one half
    assert figures["validation_loss"] == pytest.approx(-np.mean(np.log([0.1, 0.5, 0.9, 0.5, 0.8])), rel=1e-5)


def test_validation_figures_of_a_regression_are_of_slide_means():
    """Slides of target 0, 1, 2 score .1, .4 and .3 on average: Spearman 1/2 (of ranks 1 3 2)."""
    watch = Validation.__new__(Validation)
    watch.settings = Settings(TASKS["regression"], MODEL, TRAINING, "slide_auc", None)
    watch.slide_of, watch.slide_labels = np.array([0, 0, 1, 2, 2]), np.array([[0], [1], [2]], np.float32)
    watch.tile_labels = watch.slide_labels[watch.slide_of]
    scores = np.array([[0.0], [0.2], [0.4], [0.5], [0.1]], np.float32)
    figures = watch.measure(scores)
    assert figures == {
        "validation_loss": pytest.approx(np.mean([0, 0.04, 0.36, 2.25, 3.61]), rel=1e-6),
        "validation_slide_rho": pytest.approx(0.5),
    }
    assert watch.settings.history == (
        "step", "epoch", "loss", "validation_loss", "validation_slide_rho", "learning_rate",
    )  # fmt: skip
    # A second gene that is told backwards (Spearman -1/2): the mean of the two.
    watch.slide_labels = np.concatenate([watch.slide_labels, -watch.slide_labels], axis=1)
    assert watch.measure(np.concatenate([scores, scores], axis=1))["validation_slide_rho"] == pytest.approx(0)
    best = {"validation_slide_rho": 0.9, "validation_loss": 0.5}
    assert is_better({"validation_slide_rho": 0.1, "validation_loss": 0.4}, best, metric=watch.settings.chooses)


def test_a_list_of_values_is_learnt_by_as_many_outputs(tmp_path):
    """The panel: two genes, the colour and its opposite, in one network."""
    study = make_study(tmp_path, rounds=1)
    labels = read_table(study["labels"])
    targets = [np.array([label, -label], np.float32) for label in labels["label"] - 0.5]
    write_table(labels.drop(columns="label").assign(target=targets), study["labels"])
    training = TRAINING | {"max_validations": 8, "learning_rate": 3e-2}
    train_rounds(**study | {"task": "regression", "threshold": None, "training": training})
    model = load_model(study["models"][0])
    assert model.output_shape == (None, 2)
    sidecar = read_json(study["sidecars"][0])
    assert sidecar["status"] == "ok" and sidecar["validation"]["validation_slide_rho"] > 0.5
    tiles = np.stack([coloured_tile(number % 2, np.random.default_rng(number)) for number in range(20)])
    assert np.corrcoef(model.predict(tiles, verbose=0).T)[0, 1] < -0.5  # each gene its own way


@pytest.mark.parametrize("min_delta", [0.0, 0.05])
def test_learning_rate_and_stop_follow_keras_own_callbacks(min_delta):
    """Outside truth: ReduceLROnPlateau(patience=3) and EarlyStopping(patience=7) of Keras on the same losses."""
    losses = np.random.default_rng(2).normal(1, 0.2, 60) * np.linspace(1, 0.7, 60)
    theirs = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    theirs.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    hooks = [
        keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=3),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=7, min_delta=min_delta),
    ]
    expected = []
    for hook in hooks:
        hook.set_model(theirs)
        hook.on_train_begin()
    theirs.stop_training = False
    for epoch, loss in enumerate(losses):
        for hook in hooks:
            hook.on_epoch_end(epoch, {"val_loss": loss})
        expected.append(float(theirs.optimizer.learning_rate))
        if theirs.stop_training:
            break
    mine = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    mine.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    mine.stop_training = False
    watch = Validation.__new__(Validation)
    watch.set_model(mine)
    watch.what = "test"
    given = {"plateau": 3, "stop": 7, "min_delta": min_delta, "max_validations": 1000}
    watch.settings = Settings(TASKS["extremes"], MODEL, TRAINING | given, "slide_auc", 0.5)
    watch.state, found = TrainingState(), []
    for loss in losses:
        row = {"validation_loss": float(loss), "learning_rate": float(mine.optimizer.learning_rate)}
        watch.state.history.append(row)
        watch._be_patient(row)
        found.append(float(mine.optimizer.learning_rate))
        if mine.stop_training:
            break
    assert len(found) == len(expected) < 60
    assert len(set(expected)) > 1
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert watch.state.ended == "the validation loss did not fall in 7 validations"


def test_a_drop_of_less_than_keras_min_delta_is_no_reason_to_keep_the_learning_rate():
    """Outside truth: ReduceLROnPlateau's min_delta of 1e-4 and EarlyStopping's of 0, on losses that creep down."""
    watch = Validation.__new__(Validation)
    watch.set_model(keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)]))
    watch.model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    plateau = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", patience=3)
    plateau.set_model(keras.models.clone_model(watch.model))
    plateau.model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
    plateau.on_train_begin()
    settings = TRAINING | {"plateau": 3, "stop": 4, "max_validations": 1000}
    watch.settings, watch.state = Settings(TASKS["extremes"], MODEL, settings, "slide_auc", 0.5), TrainingState()
    for epoch in range(12):
        loss = 1 - 3e-5 * epoch
        plateau.on_epoch_end(epoch, {"val_loss": loss})
        row = {"validation_loss": loss, "learning_rate": float(watch.model.optimizer.learning_rate)}
        watch.state.history.append(row)
        watch._be_patient(row)
        ours, theirs = (float(model.optimizer.learning_rate) for model in (watch.model, plateau.model))
        assert ours == pytest.approx(theirs, rel=1e-6)
    assert ours < 5e-4 and not watch.state.ended


def test_patience_counts_from_the_last_improvement():
    patience = Patience()
    for loss, wait in ((1.0, 0), (1.0, 1), (0.99995, 2), (0.9, 0), (2.0, 1)):
        patience = patience.after(loss, least=1e-4)
        assert patience.wait == wait


def test_a_cap_on_validation_tiles_is_shared_evenly_by_the_slides():
    n_tiles = np.array([100, 40, 3])
    assert validation_strides(n_tiles, None).tolist() == [1, 1, 1]
    strides = validation_strides(n_tiles, 30)
    assert (-(-n_tiles // strides)).tolist() == [10, 10, 3]


MIRRORED = """
import json, sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from histocarta.training import train_rounds
train_rounds(**json.loads(open(sys.argv[1]).read()))
"""


def test_two_devices_in_step_learn_too_and_the_ragged_last_batch_does_no_harm(study, tmp_path):
    """Two virtual CPU devices; 48 validation tiles in batches of 32 leave a last batch of 16."""
    pair = study | {"training": TRAINING | {"gpus": 2, "batch": 32}} | outputs_in(tmp_path, study["rounds"])
    (tmp_path / "arguments.json").write_text(json.dumps(pair))
    command = [sys.executable, "-c", MIRRORED, str(tmp_path / "arguments.json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(learning_kit.__file__).parent)
    assert done.returncode == 0, done.stderr[-3000:]
    assert [read_json(sidecar)["validation"]["validation_slide_auc"] for sidecar in pair["sidecars"]] == [1.0, 1.0]


def test_histories_can_be_read_by_pandas(study):
    frame = pd.read_csv(study["histories"][0])
    assert frame["validation_slide_auc"].between(0, 1).all()


def test_the_best_epochs_and_the_drawn_ones_are_kept_also_by_a_killed_training(study, tmp_path, monkeypatch):
    """Of 6 validations the 2 with the lowest loss and 2 drawn beforehand; the best of all is the model's weights."""
    keep = study | {"training": TRAINING | {"keep_best": 2, "keep_random": 2}, "checkpoint_metric": "none"}
    keep = {**keep, "splits": study["splits"][:1], "rounds": [1]}
    whole, killed = outputs_in(tmp_path / "whole", [1]), outputs_in(tmp_path / "killed", [1])
    regression = {"task": "regression", "threshold": None, "labels": str(tmp_path / "labels.parquet")}
    labels = read_table(study["labels"])
    write_table(labels.rename(columns={"label": "target"}), tmp_path / "labels.parquet")
    train_rounds(**keep | whole | regression)
    rows, folder = rows_of(whole["histories"][0]), tmp_path / "whole" / "round-1" / "epochs"
    found = {int(path.name[11:17]) for path in folder.iterdir()}
    ranked = sorted(range(1, 7), key=lambda number: float(rows[number - 1]["validation_loss"]))
    assert set(ranked[:2]) <= found and 2 <= len(found) <= 4
    model = load_model(whole["models"][0])
    best = model.get_weights()
    model.load_weights(folder / f"validation-{ranked[0]:06d}.weights.h5")
    for one, other in zip(best, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    plain, count = Validation.on_epoch_end, []

    def die(self, epoch, logs=None):
        plain(self, epoch, logs)
        count.append(epoch)
        if len(count) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "on_epoch_end", die)
    with pytest.raises(KeyboardInterrupt):
        train_rounds(**keep | killed | regression)
    monkeypatch.setattr(Validation, "on_epoch_end", plain)
    train_rounds(**keep | killed | regression)
    again = tmp_path / "killed" / "round-1" / "epochs"
    assert {path.name for path in again.iterdir()} == {path.name for path in folder.iterdir()}
    for path in folder.iterdir():
        kept = []
        for place in (folder, again):
            model.load_weights(place / path.name)
            kept.append(model.get_weights())
        for one, other in zip(*kept, strict=True):
            np.testing.assert_array_equal(one, other)


def tile_study(folder, **changes):
    """16 slides with tiles of both colours, of which a third is not labelled: arguments for the task regions."""
    rng = np.random.default_rng(3)
    study = make_study(folder, rounds=1)
    slides = read_table(study["labels"])["slide"]
    label = {slide: rng.integers(0, 2, 12) for slide in slides}
    tiles = {slide: [coloured_tile(int(one), rng) for one in values] for slide, values in label.items()}
    write_table(manifest_of(folder / "own", tiles), study["manifest"])
    rows = [
        {"slide": slide, "patient": slide, "row": n // 5, "col": n % 5, "label": np.nan if n % 3 == 2 else float(one)}
        for slide, values in label.items()
        for n, one in enumerate(values)
    ]
    write_table(pd.DataFrame(rows), folder / "labels.parquet")
    return study | {"task": "regions", "threshold": None} | changes


def test_tiles_with_labels_of_their_own_are_learnt_also_by_a_killed_training(tmp_path, monkeypatch):
    """The colour is the label of the tile, whatever its slide: 8 labelled tiles of each; a kill changes no byte."""
    study = tile_study(tmp_path)
    whole, killed = outputs_in(tmp_path / "whole", [1]), outputs_in(tmp_path / "killed", [1])
    train_rounds(**study | whole)
    sidecar = read_json(whole["sidecars"][0])
    assert sidecar["validation"]["validation_tile_auc"] > 0.95 and "validation_slide_auc" not in sidecar["validation"]
    assert (
        sidecar["parts"]["train"]["tiles"] == 64 == sidecar["parts"]["train"]["high"] + sidecar["parts"]["train"]["low"]
    )
    plain, count = Validation.on_epoch_end, []

    def kill(self, epoch, logs=None):
        plain(self, epoch, logs)
        count.append(epoch)
        if len(count) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(Validation, "on_epoch_end", kill)
    with pytest.raises(KeyboardInterrupt):
        train_rounds(**study | killed)
    monkeypatch.setattr(Validation, "on_epoch_end", plain)
    train_rounds(**study | killed)
    weights = [read_member(made["models"][0], "model.weights.h5") for made in (whole, killed)]
    assert weights[0] == weights[1]


def test_labels_that_move_to_other_tiles_are_other_data(tmp_path):
    """The same labels in the same order on other tiles: a checkpoint made with them is not gone on from."""
    study = tile_study(tmp_path)
    labels = read_table(study["labels"])
    tables = (read_table(study["manifest"]), read_table(study["splits"][0]))
    facts = read_json(study["summary"])
    task = TASKS["regions"]
    settings = Settings(task, MODEL, TRAINING, "slide_auc", None)
    prints = []
    for shift in (0, 1):
        moved = labels.assign(row=labels["row"] + shift)
        plan = training.plan_round(tables[0], moved, tables[1], number=1, facts=facts, seed=1, task=task)
        prints.append(training.fingerprint(plan, settings, 1))
    assert prints[0] != prints[1]
    assert settings.chooses is None  # the loss, whatever the study says: a threshold wants scores that mean something

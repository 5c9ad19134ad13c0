"""Checkpoints: whole or not used, one writer, and a killed training that ends as the untouched one."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import learning_kit
import numpy as np
import pytest
from histocarta.resume import Patience, Store, TrainingState
from histocarta.training import train_rounds
from learning_kit import make_study, outputs_in


@pytest.fixture(scope="module")
def model():
    """Three weights and Adam's variables for them."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer="adam", loss="mse")
    model.optimizer.build(model.trainable_variables)
    return model


def set_all(model, value):
    for variable in [*model.weights, *model.optimizer.variables]:
        variable.assign(np.full(variable.shape, value))


def values(model):
    return {float(variable.numpy().max()) for variable in [*model.weights, *model.optimizer.variables]}


def state_after(validations, **changes):
    rows = [{"step": 3 * n, "validation_loss": 1.0 / n} for n in range(1, validations + 1)]
    return TrainingState(history=rows, best=rows[0], plateau=Patience(0.5, 2), stop=Patience(0.5, 7), **changes)


def saved(folder, model, validations=3):
    """A store with generations 1 to ``validations``; the value of everything in generation n is n, of the best -1."""
    store = Store(folder, settings={"batch": 32})
    set_all(model, -1)
    store.keep(model)
    for number in range(1, validations + 1):
        set_all(model, number)
        store.save(state_after(number), model)
    set_all(model, 99)
    return store


def generations(folder):
    return sorted(Path(folder).rglob("checkpoint-*.npz"))


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 0x10
    path.write_bytes(content)


def test_weights_optimizer_counters_and_best_come_back(tmp_path, model):
    saved(tmp_path, model)
    store = Store(tmp_path, settings={"batch": 32})
    state = store.load(model)
    assert values(model) == {3.0}
    expected = state_after(3)
    assert (state.history, state.best, state.plateau, state.stop) == (
        expected.history,
        expected.best,
        expected.plateau,
        expected.stop,
    )
    store.restore_best(model)
    assert {float(weight.numpy().max()) for weight in model.weights} == {-1.0}


def test_two_generations_and_their_best_are_kept(tmp_path, model):
    saved(tmp_path, model, validations=5)
    assert [path.name[:17] for path in generations(tmp_path)] == ["checkpoint-000004", "checkpoint-000005"]
    assert len(list(tmp_path.rglob("best-*.npz"))) == 1


def test_every_byte_flip_in_the_newest_is_noticed_and_the_one_before_is_used(tmp_path, model, capsys):
    """Keras' weights.h5 loads without an error after 18 of 20 such flips."""
    saved(tmp_path, model)
    newest = generations(tmp_path)[-1]
    whole = newest.read_bytes()
    for position in np.random.default_rng(0).integers(0, len(whole), 20):
        flip(newest, position)
        assert Store(tmp_path, settings={"batch": 32}).load(model).validations == 2
        assert values(model) == {2.0}
        newest.write_bytes(whole)
    assert capsys.readouterr().err.count("M-CHECKPOINT checkpoint-000003") == 20


def test_a_truncated_newest_gives_way_and_its_best_is_of_its_own_time(tmp_path, model):
    store = saved(tmp_path, model, validations=2)
    set_all(model, -3)
    store.keep(model)
    state = state_after(3)
    state.best = state.history[2]
    store.save(state, model)
    newest = generations(tmp_path)[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    again = Store(tmp_path, settings={"batch": 32})
    assert again.load(model).best == state_after(2).best
    again.restore_best(model)
    assert float(model.weights[0].numpy().max()) == -1.0


def test_a_generation_whose_best_weights_are_lost_is_not_used(tmp_path, model, capsys):
    saved(tmp_path, model)
    next(tmp_path.rglob("best-*.npz")).unlink()
    assert Store(tmp_path, settings={"batch": 32}).load(model) is None
    assert "which is missing" in capsys.readouterr().err


def test_nothing_usable_starts_from_the_beginning_and_says_so(tmp_path, model, capsys):
    saved(tmp_path, model)
    for path in generations(tmp_path):
        flip(path, 50)
    assert Store(tmp_path, settings={"batch": 32}).load(model) is None
    assert values(model) == {99.0}
    assert "training starts from the beginning" in capsys.readouterr().err


def test_checkpoints_of_other_settings_are_not_used(tmp_path, model, capsys):
    saved(tmp_path, model)
    other = Store(tmp_path, settings={"batch": 16})
    assert other.load(model) is None
    assert "M-FINGERPRINT" in capsys.readouterr().err
    other.folder.mkdir()
    for path in tmp_path.rglob("*.npz"):  # even where someone copies them over
        (other.folder / path.name).write_bytes(path.read_bytes())
    assert other.load(model) is None
    assert "is of other settings or data (M-FINGERPRINT)" in capsys.readouterr().err


def test_a_round_that_has_ended_comes_back_ended_with_its_best(tmp_path, model):
    store = saved(tmp_path, model)
    store.save(state_after(4, ended="max_validations (4) reached"), model)
    assert len(generations(tmp_path)) == 1
    again = Store(tmp_path, settings={"batch": 32})
    assert again.load(model).ended == "max_validations (4) reached"
    again.restore_best(model)
    assert float(model.weights[0].numpy().max()) == -1.0


def test_a_failure_outranks_the_generation_of_the_same_validation(tmp_path, model):
    store = saved(tmp_path, model)
    store.save(state_after(3, ended="not a number", code="M-NAN", reason="the loss became nan"), model)
    assert Store(tmp_path, settings={"batch": 32}).load(model).code == "M-NAN"


def test_an_end_outranks_the_generation_of_the_same_validation(tmp_path, model):
    """The loss was lost after validation 3: nothing is added to the history, and the best weights are kept."""
    for end in range(8):  # which of two files of one number would come first, is up to their SHA-256
        store = saved(tmp_path / str(end), model)
        store.save(state_after(3, ended=f"not a number: {end}"), model)
        again = Store(tmp_path / str(end), settings={"batch": 32})
        assert again.load(model).ended == f"not a number: {end}"
        again.restore_best(model)
        assert float(model.weights[0].numpy().max()) == -1.0


def test_every_validation_has_its_checkpoint(tmp_path, model):
    """Each is there as soon as it is saved: a kill at any moment loses one validation at most."""
    store = Store(tmp_path, settings={"batch": 32})
    for number in range(1, 21):
        store.save(state_after(number), model)
        assert generations(tmp_path)[-1].name.startswith(f"checkpoint-{number:06d}")


def test_the_first_checkpoint_after_a_resume_is_written_too(tmp_path, model):
    saved(tmp_path, model)
    again = Store(tmp_path, settings={"batch": 32})
    again.load(model)
    again.save(state_after(4), model)
    assert generations(tmp_path)[-1].name.startswith("checkpoint-000004")


def test_a_metric_that_is_not_a_number_survives(tmp_path, model):
    store = saved(tmp_path, model, validations=1)
    state = state_after(2)
    state.history[1]["validation_slide_auc"] = math.nan
    store.save(state, model)
    assert math.isnan(Store(tmp_path, settings={"batch": 32}).load(model).history[1]["validation_slide_auc"])


def start(arguments, folder):
    """A process of its own that trains."""
    (folder / "arguments.json").write_text(json.dumps(arguments))
    command = [sys.executable, learning_kit.__file__, str(folder / "arguments.json")]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def latest(folder):
    """The validation of the newest checkpoint below ``folder``, 0 where there is none."""
    return max((int(path.name.split(".")[0].split("-")[1]) for path in generations(folder)), default=0)


def test_a_killed_training_ends_with_the_bytes_of_the_untouched_one(tmp_path):
    """kill -9 in each of two rounds, from a drawn validation on: models, sidecars and histories are the same."""
    whole = make_study(tmp_path)
    train_rounds(**whole)
    broken = whole | outputs_in(tmp_path / "broken", whole["rounds"])
    generator = np.random.default_rng(0)
    for number in whole["rounds"]:
        validation = int(generator.integers(1, whole["training"]["max_validations"]))
        process = start(broken, tmp_path)
        folder = Path(broken["state_dir"]) / f"round-{number}"
        while process.poll() is None and latest(folder) < validation:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, f"it ended before validation {validation} of round {number}"
        for path in broken["models"] + broken["sidecars"] + broken["histories"]:
            Path(path).unlink(missing_ok=True)  # as Snakemake does with the outputs of a failed job
    train_rounds(**broken)
    for kind in ("models", "sidecars", "histories"):
        assert [Path(path).read_bytes() for path in whole[kind]] == [Path(path).read_bytes() for path in broken[kind]]
    assert not Path(broken["state_dir"]).exists() or not list(Path(broken["state_dir"]).iterdir())

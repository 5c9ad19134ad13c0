"""Backends: JAX trains, resumes and scores what TensorFlow does, each graph traced once; what cannot work says so."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import learning_kit
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from histocarta import backends, training
from histocarta.backends import BACKENDS, NO_CARD, backend_in_use, check_backend, check_gpus
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json
from histocarta.inference import score_tiles
from histocarta.resume import Store, TrainingState
from histocarta.tasks import TASKS
from histocarta.training import train_rounds
from histocarta.validation import Settings
from learning_kit import TRAINING, make_study, outputs_in

PLAIN = {"gpus": 1, "precision": "float32", "xla": False}
BATCH = 20  # 48 tiles validate, so 8 are left for the last batch
# Trains; scores with TensorFlow's and its own models together; says how often each graph was traced; trains wildly.
UNDER_JAX = """
import json, sys
from collections import Counter
import keras
from histocarta.inference import score_tiles
from histocarta.training import train_rounds

traces = Counter()
def counted(name):
    original = getattr(keras.Model, name)
    def call(self, *arguments, **options):
        traces[name] += 1
        return original(self, *arguments, **options)
    setattr(keras.Model, name, call)

given = json.loads(open(sys.argv[1]).read())
counted("train_step")
counted("predict_step")
train_rounds(**given["train"])
counted("stateless_call")
traces["stateless_call"] = 0
score_tiles(**given["score"])
print("TRACES", json.dumps(traces))
train_rounds(**given["wild"])
"""

# Calls what a job calls, and prints how each ends.
REFUSED = """
import json, sys
from histocarta import inference, training
from histocarta.errors import InputError
study = json.loads(open(sys.argv[1]).read())
for call in (
    lambda: training.train_rounds(**study),
    lambda: inference.load_scorer(study["models"], precision="float32"),
):
    try:
        call()
    except InputError as error:
        print(error)
"""


def under(backend, code, *arguments):
    """A Python process of its own, in which Keras runs on ``backend``."""
    command = [sys.executable, *code, *map(str, arguments)]
    environment = os.environ | {"KERAS_BACKEND": backend}
    pipe, folder = subprocess.PIPE, Path(learning_kit.__file__).parent
    return subprocess.Popen(command, env=environment, cwd=folder, stdout=pipe, stderr=pipe, text=True)


def finished(process):
    """What it printed, once it has ended well."""
    out, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    return out, err


def scoring(study, models, folder):
    """Arguments of ``score_tiles``: 192 tiles in batches of 50, so that 42 are left for the last one."""
    scores = [str(folder / f"{number}.parquet") for number in range(len(models))]
    same = {"manifest": study["manifest"], "summary": study["summary"], "batch": 50, "precision": "float32"}
    return same | {"models": models, "scores": scores}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two rounds trained by TensorFlow in this process."""
    arguments = make_study(tmp_path_factory.mktemp("study")) | {"training": TRAINING | {"batch": BATCH}}
    train_rounds(**arguments)
    return arguments


@pytest.fixture(scope="module")
def by_jax(study, tmp_path_factory):
    """The same rounds trained by JAX; both backends' models scored by it; how often it traced; a wild training."""
    folder = tmp_path_factory.mktemp("jax")
    arguments = study | outputs_in(folder, study["rounds"])
    scores = scoring(study, study["models"] + arguments["models"], folder)
    wild = {"learning_rate": 1.0, "plateau": 1, "gpus": 0}
    wild = arguments | {"training": arguments["training"] | wild} | outputs_in(folder / "wild", study["rounds"])
    write_json({"train": arguments, "score": scores, "wild": wild}, folder / "given.json")
    out, _ = finished(under("jax", ["-c", UNDER_JAX], folder / "given.json"))
    found = {"traces": json.loads(out.split("TRACES")[1]), "wild": wild["histories"]}
    return arguments | found | {"scores": scores["scores"]}


def test_training_under_jax_learns_and_says_who_trained(by_jax, study):
    for sidecar, history in zip(by_jax["sidecars"], by_jax["histories"], strict=True):
        facts, rows = read_json(sidecar), pd.read_csv(history)
        assert (facts["status"], facts["backend"]) == ("ok", "jax")
        assert facts["software"]["jax"] == jax.__version__
        assert facts["validation"]["validation_slide_auc"] == 1.0
        assert rows["step"].tolist() == [3, 6, 9, 12, 15, 18]
        assert rows["validation_loss"].iloc[-1] < 0.25 * rows["validation_loss"].iloc[0]
        assert rows["loss"].iloc[-1] < 0.25 * rows["loss"].iloc[0]
    assert {read_json(sidecar)["backend"] for sidecar in study["sidecars"]} == {"tensorflow"}


def test_slides_rank_right_under_jax(by_jax):
    labels = read_table(by_jax["labels"]).set_index("slide")["label"]
    for path in by_jax["scores"][2:]:
        means = pd.read_parquet(path).groupby("slide")["score"].mean()
        assert means[labels[means.index] == 1].min() > means[labels[means.index] == 0].max()


def test_the_validation_figures_under_jax_are_those_of_the_written_model(by_jax):
    """So what fills the last batch is not counted: binary cross-entropy of the scores of the validation slides."""
    labels = read_table(by_jax["labels"]).set_index("slide")["label"]
    for path, split, sidecar in zip(by_jax["scores"][2:], by_jax["splits"], by_jax["sidecars"], strict=True):
        parts = read_table(split).set_index("slide")["part"]
        table = pd.read_parquet(path)
        table = table[(parts[table["slide"]] == "validation").to_numpy()]
        right = np.where(labels[table["slide"]] == 1, table["score"], 1 - table["score"])
        assert len(right) == 48
        assert read_json(sidecar)["validation"]["validation_loss"] == pytest.approx(-np.log(right).mean(), rel=1e-4)


def test_models_of_either_backend_score_alike_in_both(by_jax, study, tmp_path):
    here = scoring(study, study["models"] + by_jax["models"], tmp_path)
    score_tiles(**here)
    for one, other in zip(here["scores"], by_jax["scores"], strict=True):
        mine, theirs = pd.read_parquet(one), pd.read_parquet(other)
        pd.testing.assert_frame_equal(mine.drop(columns="score"), theirs.drop(columns="score"))
        np.testing.assert_allclose(mine["score"], theirs["score"], rtol=0, atol=1e-5)
        assert mine["score"].std() > 0.1


def test_jax_traces_each_graph_once_for_all_rounds_and_sizes_of_batch(by_jax):
    """Two rounds, four models; the last batch holds 8 of 20 tiles at validations, and 42 of 50 in scoring."""
    assert by_jax["traces"] == {"train_step": 1, "predict_step": 1, "stateless_call": 1}


def test_a_killed_training_under_jax_ends_with_the_bytes_of_the_untouched_one(by_jax, study, tmp_path):
    """Three processes, one seed, one result; and TensorFlow's checkpoint is not used."""
    broken = study | outputs_in(tmp_path, study["rounds"])
    finish_by_tensorflow(broken)
    write_json(broken, tmp_path / "arguments.json")
    process = under("jax", [learning_kit.__file__], tmp_path / "arguments.json")
    wanted = Path(broken["state_dir"]).glob
    # Of the six checkpoints of a second or less the older ones are soon deleted: any from the third on will do.
    while process.poll() is None and not list(wanted("round-2/*/checkpoint-00000[345].*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    _, said = process.communicate()
    assert process.returncode == -signal.SIGKILL, said[-3000:]
    assert "M-FINGERPRINT" in said and "going on from" not in said
    for path in broken["models"] + broken["sidecars"] + broken["histories"]:
        Path(path).unlink(missing_ok=True)
    _, said = finished(under("jax", [learning_kit.__file__], tmp_path / "arguments.json"))
    assert "going on from validation 6" in said and re.search("going on from validation [345]", said)
    for kind in ("models", "sidecars", "histories"):
        assert [Path(path).read_bytes() for path in broken[kind]] == [Path(path).read_bytes() for path in by_jax[kind]]


def finish_by_tensorflow(study):
    """Leave the checkpoint of a first round that has ended, as this process' backend would."""
    model = study["model"] | {"pooling": "avg"}
    settings = Settings(TASKS["extremes"], model, study["training"], "slide_auc", 0.5)
    tables = [read_table(study[name]) for name in ("manifest", "labels")]
    plan = training.plan_round(
        *tables, read_table(study["splits"][0]), number=1, facts=read_json(study["summary"]), seed=1, task=settings.task
    )
    place = Path(study["state_dir"]) / "round-1"
    Store(place, settings=training.fingerprint(plan, settings, 1)).save(TrainingState(ended="by TensorFlow"), None)


def test_the_learning_rate_falls_and_stays_low_under_jax(by_jax):
    """Steps of 1 throw the loss about; a rate is read from the optimizer after the steps that were done with it."""
    for history in by_jax["wild"]:
        rates = pd.read_csv(history)["learning_rate"]
        assert rates.iloc[0] == 1.0 and rates.is_monotonic_decreasing
        assert set(rates) >= {1.0, 0.1}


def test_this_process_runs_on_tensorflow():
    assert backend_in_use() is BACKENDS["tensorflow"]


def test_other_backends_are_refused_before_any_job():
    check_backend({})
    check_backend({"KERAS_BACKEND": "jax"})
    with pytest.raises(
        InputError, match=r"^M-BACKEND Expected KERAS_BACKEND to be one of tensorflow, jax, found 'torch'"
    ):
        check_backend({"KERAS_BACKEND": "torch"})


def test_a_backend_that_is_not_installed_is_named_with_its_package(monkeypatch):
    monkeypatch.setattr(backends, "find_spec", lambda name: None if name == "jax" else "there")
    check_backend({})
    with pytest.raises(InputError, match=r"M-BACKEND Expected the package jax for KERAS_BACKEND=jax.*pip install jax"):
        check_backend({"KERAS_BACKEND": "jax"})


def test_other_backends_are_refused_by_the_jobs_too(study, tmp_path):
    """Keras' NumPy backend is always there; it cannot train."""
    write_json(study | outputs_in(tmp_path, study["rounds"]) | {"models": study["models"]}, tmp_path / "given.json")
    out, _ = finished(under("numpy", ["-c", REFUSED], tmp_path / "given.json"))
    expected = "M-BACKEND Expected KERAS_BACKEND to be one of tensorflow, jax, found 'numpy'; unset it for tensorflow"
    assert out.splitlines() == [expected, expected]


def test_several_gpus_are_tensorflows_alone():
    with pytest.raises(
        InputError, match=r"M-NOGPU Expected at most 1 GPU .*KERAS_BACKEND=jax, found 2; set 1, or unset"
    ):
        BACKENDS["jax"].prepare(**PLAIN | {"gpus": 2})


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine on which neither TensorFlow nor JAX sees a device."""
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: [])
    monkeypatch.setattr(tf.config, "set_visible_devices", lambda devices, kind: None)
    monkeypatch.setattr(jax, "devices", list)
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    return monkeypatch


@pytest.mark.parametrize("name", BACKENDS)
def test_a_gpu_that_the_scheduler_gave_but_the_backend_cannot_see_is_an_error(no_gpu, capsys, name):
    no_gpu.setattr(backends, "backend_in_use", lambda: BACKENDS[name])
    no_gpu.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(
        InputError, match=rf"M-NOGPU Expected GPU 0 \(CUDA_VISIBLE_DEVICES\), found none in {name}; install"
    ):
        check_gpus(gpus=1, required=True)
    check_gpus(gpus=0, required=True)
    assert capsys.readouterr().err == ""
    check_gpus(gpus=1, required=False)
    assert "found none in" in capsys.readouterr().err
    for none in NO_CARD:
        no_gpu.setenv("CUDA_VISIBLE_DEVICES", none)
        check_gpus(gpus=1, required=True)


def test_fewer_gpus_than_asked_for_are_an_error(no_gpu):
    with pytest.raises(InputError, match=r"M-NOGPU Expected 4 GPUs \(training\.gpus\), found 0"):
        BACKENDS["tensorflow"].prepare(**PLAIN | {"gpus": 4})


def test_jax_is_asked_for_repeatable_results_beside_the_users_own_flags(no_gpu):
    BACKENDS["jax"].prepare(**PLAIN | {"xla": True})
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    BACKENDS["jax"].prepare(**PLAIN)
    assert os.environ["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false --xla_gpu_deterministic_ops=true"

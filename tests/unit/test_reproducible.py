"""The same seed gives the same weights in another process, and the same figures when XLA compiles the steps."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import learning_kit
import pytest
from histocarta.files import read_json
from learning_kit import MODEL, TRAINING, make_study, outputs_in, read_member

# Where determinism is on TensorFlow refuses random numbers without a seed: its one effect that every device shows.
ASK = """
import json, sys
from pathlib import Path
import tensorflow as tf
from histocarta.training import train_rounds
train_rounds(**json.loads(Path(sys.argv[1]).read_text()))
try:
    tf.random.uniform([1])
except RuntimeError as error:
    sys.exit(0 if "determinism is enabled" in str(error) else str(error))
sys.exit("random numbers without a seed were given")
"""


def train(arguments, folder, *, code=None):
    """Train in a process of its own; its log."""
    folder.mkdir()
    arguments = arguments | outputs_in(folder, arguments["rounds"])
    (folder / "arguments.json").write_text(json.dumps(arguments))
    program = ["-c", code] if code else [learning_kit.__file__]
    command = [sys.executable, *program, str(folder / "arguments.json")]
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0"}
    done = subprocess.run(command, capture_output=True, text=True, env=quiet, cwd=Path(learning_kit.__file__).parent)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stderr


def losses(folder):
    with (folder / "round-1" / "history.csv").open() as stream:
        return [float(row["validation_loss"]) for row in csv.DictReader(stream)]


def test_tensorflow_is_told_to_be_deterministic(tmp_path):
    train(make_study(tmp_path, rounds=1), tmp_path / "one", code=ASK)


@pytest.mark.slow
def test_inception_has_the_same_weights_in_two_processes(tmp_path):
    """Two steps at 75 px, to the bit: pooling, batch normalisation and concatenation as in the paper's network."""
    study = make_study(tmp_path, rounds=1)
    study["model"] = MODEL | {"network": "inception-v3", "size": 75}
    study["training"] = TRAINING | {"min_steps": 2, "max_validations": 1, "validations_per_epoch": 100}
    weights = []
    for name in ("one", "other"):
        train(study, tmp_path / name)
        weights.append(read_member(tmp_path / name / "round-1" / "model.keras", "model.weights.h5"))
    assert weights[0] == weights[1]


def test_xla_compiles_the_steps_and_learns_the_same(tmp_path):
    study = make_study(tmp_path, rounds=1)
    assert "Compiled cluster using XLA" not in train(study, tmp_path / "plain")
    log = train(study | {"training": TRAINING | {"xla": True}}, tmp_path / "xla")
    assert "Compiled cluster using XLA" in log
    assert losses(tmp_path / "xla") == pytest.approx(losses(tmp_path / "plain"), rel=1e-2)
    assert read_json(tmp_path / "xla" / "round-1" / "model.json")["validation"]["validation_slide_auc"] == 1.0

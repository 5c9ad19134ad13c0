"""Copies of shards on a node's own disk."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from histocarta import staging, training
from histocarta.errors import InputError
from histocarta.staging import local_copies
from learning_kit import make_study, outputs_in, read_member


@pytest.fixture
def shards(tmp_path):
    """Three files by their SHA-256."""
    files = [tmp_path / "shared" / f"s{n}" / "tiles.tfrecord" for n in range(3)]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True)
        file.write_bytes(bytes([number]) * (3_000_000 + number))
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_copies_are_the_shards_and_are_made_once(shards, tmp_path, capsys):
    copies = local_copies(shards, folder=str(tmp_path / "node"))
    assert all(Path(copies[path]).read_bytes() == Path(path).read_bytes() for path in shards)
    assert "3 done" in capsys.readouterr().err
    made = {copy: Path(copy).stat().st_mtime_ns for copy in copies.values()}
    assert local_copies(shards, folder=str(tmp_path / "node")) == copies
    assert {copy: Path(copy).stat().st_mtime_ns for copy in copies.values()} == made
    assert "0 done" in capsys.readouterr().err


COUNTING = """
import json, sys
from histocarta import staging
own, made = staging._copy, []
staging._copy = lambda *arguments, **options: (made.append(1), own(*arguments, **options))
staging.local_copies(json.loads(sys.argv[1]), folder=sys.argv[2])
print(len(made))
"""


def test_jobs_of_one_node_share_the_copying(shards, tmp_path):
    command = [sys.executable, "-c", COUNTING, json.dumps(shards), tmp_path / "node"]
    jobs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(job.communicate(timeout=60)[0]) for job in jobs) == len(shards)
    assert [job.returncode for job in jobs] == [0] * 4


def test_the_folder_may_name_variables_and_an_unset_one_is_an_error(shards, tmp_path, monkeypatch):
    monkeypatch.setenv("NODE_DISK", str(tmp_path / "disk"))
    copies = local_copies(shards, folder="$NODE_DISK/tiles")
    assert all(Path(copy).parent == tmp_path / "disk" / "tiles" for copy in copies.values())
    with pytest.raises(InputError, match=r"^M-STAGE .* found '\$NO_SUCH_DISK/tiles' with a variable unset here"):
        local_copies(shards, folder="$NO_SUCH_DISK/tiles")


def test_a_shard_that_is_not_the_manifests_is_not_staged(shards, tmp_path):
    wrong = dict.fromkeys(shards, "0" * 64)
    with pytest.raises(InputError, match=r"^M-SHARD Expected the SHA-256 0000"):
        local_copies(wrong, folder=str(tmp_path / "node"))
    assert [path.suffix for path in (tmp_path / "node").iterdir()] == [".lock"]


def test_too_small_a_disk_is_said_before_anything_is_copied(shards, tmp_path, monkeypatch):
    usage = type("", (), {"free": 8_999_999})
    monkeypatch.setattr(staging.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match=r"^M-STAGE Expected 0.0 GB free in .*; take the resource staging out"):
        local_copies(shards, folder=str(tmp_path / "node"))
    assert list((tmp_path / "node").iterdir()) == []


def test_training_on_copies_gives_the_same_weights(tmp_path):
    study = make_study(tmp_path / "study", rounds=1)
    training.train_rounds(**study)
    on_copies = outputs_in(tmp_path / "again", study["rounds"])
    training.train_rounds(**study | on_copies, staging=str(tmp_path / "node"))
    for one, other in zip(study["models"], on_copies["models"], strict=True):
        assert read_member(one, "model.weights.h5") == read_member(other, "model.weights.h5")
    assert len(list((tmp_path / "node").glob("*.tfrecord"))) > 2

"""What must outlive a killed training job, and how it is kept: two verified generations, one writer, one study."""

import dataclasses
import fcntl
import hashlib
import json
import math
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from histocarta.files import replacing, sha256

GENERATIONS = 2


@dataclass(frozen=True)
class Patience:
    """How long a loss has not improved: the lowest value so far and the number of validations since."""

    best: float = math.inf
    wait: int = 0

    def after(self, value: float, *, least: float = 0.0) -> "Patience":
        """The counter after one more ``value``; only a drop of more than ``least`` is an improvement."""
        return Patience(value, 0) if value < self.best - least else Patience(self.best, self.wait + 1)


@dataclass
class TrainingState:
    """Everything of a round besides weights and optimizer that decides how it goes on.

    history : one row per validation. best : that of the kept weights, ``kept`` the name of their file.
    ended : why the round is over ("" while it runs); code and reason : set where it failed.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] | None = None
    kept: str = ""
    plateau: Patience = Patience()
    stop: Patience = Patience()
    ended: str = ""
    code: str = ""
    reason: str = ""

    @property
    def validations(self) -> int:
        return len(self.history)


class Store:
    """The folder of one round's checkpoints, for one set of settings and data.

    A file's name holds the SHA-256 of its content, so that a damaged file is noticed whatever byte it is that changed
    (a flipped byte in HDF5 weights loads without an error), and a half written one never gets a name.
    """

    def __init__(self, folder: str | Path, *, settings: Mapping[str, Any]) -> None:
        text = json.dumps(settings, sort_keys=True, allow_nan=False)
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()
        self.folder = Path(folder) / self.fingerprint[:16]
        others = [path.name for path in Path(folder).glob("*") if path.is_dir() and path != self.folder]
        if others and not self.folder.exists():
            _say(f"M-FINGERPRINT {folder} holds checkpoints of other settings or data ({', '.join(others)}); not used")

    def save(self, state: TrainingState, model: keras.Model) -> None:
        """Write a new generation and delete those older than the one before it.

        A round that has ended needs its best weights only: its last generation holds no others.
        """
        arrays = {}
        if not state.ended:
            arrays |= {f"weight-{n}": value for n, value in enumerate(_values(model.weights))}
            arrays |= {f"optimizer-{n}": value for n, value in enumerate(_values(model.optimizer.variables))}
        facts = {"fingerprint": self.fingerprint, "state": dataclasses.asdict(state)}
        # A round that failed has no validation more than the generation before it, but comes after it.
        self._write(f"checkpoint-{state.validations + bool(state.code):06d}", arrays, facts)
        for path in self._found("checkpoint-*")[: -1 if state.ended else -GENERATIONS]:
            path.unlink()
        needed = {state.kept} | {self._facts(path)["state"]["kept"] for path in self._found("checkpoint-*")}
        for path in self._found("best-*"):
            if path.name not in needed:
                path.unlink()

    def save_best(self, model: keras.Model, *, validation: int) -> str:
        """Write the weights as the best so far; the name by which :meth:`load_best` finds them."""
        arrays = {f"weight-{n}": value for n, value in enumerate(_values(model.weights))}
        return self._write(f"best-{validation:06d}", arrays, {"fingerprint": self.fingerprint}).name

    def load(self, model: keras.Model) -> TrainingState | None:
        """Bring model and optimizer to the newest whole generation and return its state; None where there is none.

        A damaged or foreign generation is named and the one before it used.
        """
        for path in reversed(self._found("checkpoint-*")):
            fault = self._fault(path)
            if not fault:
                with np.load(path, allow_pickle=False) as stored:
                    facts = _decode(stored["facts"])
                    state = _state(facts["state"])
                    fault = self._fault(self.folder / state.kept) if state.kept else ""
                    if not fault and facts["fingerprint"] == self.fingerprint:
                        if not state.ended:
                            _assign(model.weights, stored, "weight")
                            _assign(model.optimizer.variables, stored, "optimizer")
                        _say(f"going on from validation {state.validations} ({path.parent})")
                        return state
                    fault = fault or "was made with other settings or data (M-FINGERPRINT)"
            _say(f"checkpoint {path.name[:24]} {fault}; the one before it is used")
        if self._found("checkpoint-*"):
            _say(f"no usable checkpoint in {self.folder}; training starts from the beginning")
        return None

    def load_best(self, model: keras.Model, name: str) -> None:
        """Give ``model`` the weights that :meth:`save_best` wrote as ``name``."""
        with np.load(self.folder / name, allow_pickle=False) as stored:
            _assign(model.weights, stored, "weight")

    def _write(self, stem: str, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / f"{stem}.npz") as temporary:
            np.savez(temporary, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
            final = self.folder / f"{stem}.{sha256(temporary)}.npz"
        (self.folder / f"{stem}.npz").replace(final)
        return final

    def _found(self, pattern: str) -> list[Path]:
        return sorted(self.folder.glob(f"{pattern}.*.npz"))

    def _facts(self, path: Path) -> dict[str, Any]:
        with np.load(path, allow_pickle=False) as stored:
            return _decode(stored["facts"])

    def _fault(self, path: Path) -> str:
        if not path.is_file():
            return f"refers to {path.name}, which is missing"
        return "" if sha256(path) in path.name else "is damaged (its SHA-256 differs)"


@contextmanager
def only_writer(folder: str | Path) -> Iterator[None]:
    """Hold the lock of a state folder; RuntimeError that names the holder where another process has it.

    The kernel frees the lock when its process dies, however it dies. Needed because a job can outlive its driver: a
    rerun would then start a second writer beside the first.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise RuntimeError(
                f"M-LOCK {folder} is held by {stream.read().strip()}: another job trains the same models. "
                "Wait for it to end, or end it, and start again."
            ) from None
        stream.truncate(0)
        job = f", SLURM job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
        stream.write(f"process {os.getpid()} on {socket.gethostname()}{job}\n")
        stream.flush()
        yield


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(variable.value) for variable in variables]


def _assign(variables: list[keras.Variable], stored: Mapping[str, np.ndarray], kind: str) -> None:
    for number, variable in enumerate(variables):
        variable.assign(stored[f"{kind}-{number}"])


def _decode(facts: np.ndarray) -> dict[str, Any]:
    return json.loads(facts.tobytes())


def _state(values: dict[str, Any]) -> TrainingState:
    counters = {name: Patience(**values[name]) for name in ("plateau", "stop")}
    return TrainingState(**values | counters)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""What must outlive a killed training job, and how it is kept: two verified generations, for one study's settings."""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Mapping
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

    history : one row per validation. best : that of the best weights. kept : the name of their file, once written.
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
        self._best: list[np.ndarray] = []
        others = [path.name for path in Path(folder).glob("*") if path.is_dir() and path != self.folder]
        if others and not self.folder.exists():
            _say(f"M-FINGERPRINT {folder} holds checkpoints of other settings or data ({', '.join(others)}); not used")

    def keep(self, model: keras.Model) -> None:
        """Remember the weights as the best so far."""
        self._best = _values(model.weights)

    def restore_best(self, model: keras.Model) -> None:
        """Give ``model`` the best weights."""
        for variable, value in zip(model.weights, self._best, strict=True):
            variable.assign(value)

    def save(self, state: TrainingState, model: keras.Model) -> None:
        """Write a new generation and delete those older than the one before it.

        None is left out, whatever it costs (Inception v3: 350 MB, about a second): a kill loses the work since the
        last validation at most. The end of a round needs no weights but the best.
        """
        if self._best and not (state.kept and (self.folder / state.kept).exists()):
            state.kept = self._write(f"best-{state.best['step']:08d}", {"weight": self._best}, {}).name
        arrays = (
            {} if state.ended else {"weight": _values(model.weights), "optimizer": _values(model.optimizer.variables)}
        )
        # A round whose loss was lost has no validation more than the generation before it, but ends after it.
        number = state.validations + bool(state.ended)
        self._write(f"checkpoint-{number:06d}", arrays, {"state": dataclasses.asdict(state)})
        for path in self._found("checkpoint")[: -1 if state.ended else -GENERATIONS]:
            path.unlink()
        needed = {_facts(path)["state"]["kept"] for path in self._found("checkpoint")}
        for path in self._found("best"):
            if path.name not in needed:
                path.unlink()

    def load(self, model: keras.Model) -> TrainingState | None:
        """Bring model and optimizer to the newest whole generation and return its state; None where there is none.

        A generation that is damaged, or made with other settings, is named and the one before it used.
        """
        for path in reversed(self._found("checkpoint")):
            state = None if self._fault(path) else _state(_facts(path)["state"])
            fault = self._fault(path) or (self._fault(self.folder / state.kept) if state.kept else "")
            if not fault:
                if state.kept:
                    self._best = _arrays(self.folder / state.kept, "weight")
                if not state.ended:
                    stored = _arrays(path, "weight") + _arrays(path, "optimizer")
                    for variable, value in zip([*model.weights, *model.optimizer.variables], stored, strict=True):
                        variable.assign(value)
                _say(f"going on from validation {state.validations} ({path.parent})")
                return state
            _say(f"M-CHECKPOINT {path.name[:17]} in {self.folder} {fault}; the one before it is used")
        if self._found("checkpoint"):
            _say(f"M-CHECKPOINT none in {self.folder} can be used; training starts from the beginning")
        return None

    def _write(self, stem: str, arrays: Mapping[str, list[np.ndarray]], facts: dict[str, Any]) -> Path:
        named = {f"{kind}-{n:04d}": value for kind, values in arrays.items() for n, value in enumerate(values)}
        text = json.dumps(facts | {"fingerprint": self.fingerprint}).encode()
        whole = self.folder / f"{stem}.npz"
        with replacing(whole) as temporary:
            np.savez(temporary, facts=np.frombuffer(text, np.uint8), **named)
            digest = sha256(temporary)
        return whole.replace(self.folder / f"{stem}.{digest}.npz")

    def _found(self, kind: str) -> list[Path]:
        return sorted(self.folder.glob(f"{kind}-*.*.npz"))

    def _fault(self, path: Path) -> str:
        if not path.is_file():
            return f"needs {path.name}, which is missing"
        if sha256(path) not in path.name:
            return "is damaged: its SHA-256 is not that of its name"
        return "" if _facts(path)["fingerprint"] == self.fingerprint else "is of other settings or data (M-FINGERPRINT)"


def _values(variables: list[keras.Variable]) -> list[np.ndarray]:
    return [np.array(variable.numpy()) for variable in variables]  # copies: the variables go on


def _facts(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as stored:
        return json.loads(stored["facts"].tobytes())


def _arrays(path: Path, kind: str) -> list[np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return [stored[name] for name in sorted(stored.files) if name.startswith(f"{kind}-")]


def _state(values: dict[str, Any]) -> TrainingState:
    counters = {name: Patience(**values[name]) for name in ("plateau", "stop")}
    return TrainingState(**values | counters)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

"""What a look at the validation slides decides: the weights to keep, the next learning rate, whether to go on."""

import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from histocarta import pipeline
from histocarta.album import Album
from histocarta.backends import backend_in_use
from histocarta.correlations import associate_columns
from histocarta.evaluation import auc
from histocarta.progress import progress
from histocarta.resume import Patience, Store, TrainingState
from histocarta.tasks import Task

# Figures of labels and scores, of tiles (tile_auc) or of slides (slide_auc, slide_rho).
# Both are matrices with a column per output; of many outputs a figure is the mean over those that have it.
FIGURES = {
    "auc": lambda truth, score: auc(truth[:, 0], score[:, 0]).auc,
    "rho": lambda truth, score: float(associate_columns(score, truth)["rho"].mean()),
}
# Defaults of Keras' ReduceLROnPlateau; Levy-Jurgenson's code sets its patience only, as it does for EarlyStopping.
PLATEAU_FACTOR, PLATEAU_LEAST = 0.1, 1e-4


@dataclass(frozen=True)
class Settings:
    """A task with the ``model`` and ``training`` keys of a study, and how the best weights are chosen."""

    task: Task
    model: dict[str, Any]
    training: dict[str, Any]
    metric: str
    threshold: float | None
    keep_last: bool = False  # the weights of the last validation, not of the best

    @property
    def chooses(self) -> str | None:
        """The column of the history that chooses the weights to keep; None: the validation loss.

        So it is where tiles have labels of their own: what they score is held against a threshold, and an AUC of 1 does
        not say on which side of it they lie.
        """
        return f"validation_{self.metric}" if self.task.classes and not self.task.tile_labels else None

    @property
    def history(self) -> tuple[str, ...]:
        """Columns of history.csv."""
        measures = (f"validation_{name}" for name in self.task.measures)
        return ("step", "epoch", "loss", "validation_loss", *measures, "learning_rate")

    def slide_scores(self, scores: np.ndarray, *, slide_of: np.ndarray) -> np.ndarray:
        """Scores of slides 0 … (x outputs) by their tiles' ``scores``, in order: share above the threshold, or mean."""
        values = scores > self.threshold if self.task.slide_score == "share" else scores
        starts = np.flatnonzero(np.diff(slide_of, prepend=-1))
        return np.add.reduceat(values, starts, axis=0, dtype=np.float64) / np.bincount(slide_of)[:, None]

    def steps(self, n_tiles: int) -> int:
        """Training steps from one validation to the next; never 0, which the released code gets from small data."""
        if self.training["steps"] is not None:
            return self.training["steps"]
        per_epoch = self.training["batch"] * self.training["validations_per_epoch"]
        return max(self.training["min_steps"], n_tiles // per_epoch, 1)


class Validation(keras.callbacks.Callback):
    """Ends each of Keras' epochs with a validation and all that follows from it, the checkpoint last.

    slides : validation slides (``pipeline.select_slides``). tiles : theirs, of :func:`validation_tiles`.
    steps : per validation. n_train : training tiles. board : of TensorBoard. album : of the epochs that are kept.
    ``state`` is brought up to date in place and is written by ``store`` after every validation.
    """

    def __init__(
        self,
        slides: pd.DataFrame,
        tiles: tf.data.Dataset,
        *,
        settings: Settings,
        state: TrainingState,
        store: Store,
        steps: int,
        n_train: int,
        board: Path,
        album: Album,
        what: str,
    ) -> None:
        super().__init__()
        self.settings, self.state, self.store, self.steps, self.n_train = settings, state, store, steps, n_train
        self.what, self.tiles, self.album = what, tiles, album
        strides = validation_strides(slides["n_tiles"].to_numpy(), settings.training["max_validation_tiles"])
        self.tile_labels = pipeline.tile_labels(slides, strides)
        self.slide_labels = None if settings.task.tile_labels else pipeline.label_matrix(slides)
        self.slide_of = np.repeat(np.arange(len(slides)), -(-slides["n_tiles"].to_numpy() // strides))
        most = (settings.training["max_validations"] - state.validations) * steps
        self.ticks: Iterator[int] = progress(range(most), total=most, what=f"{what}, steps (may stop early)")
        self.board = tf.summary.create_file_writer(str(board))
        if settings.task.classes and len(np.unique(self.tile_labels)) < 2:
            what = "tiles" if settings.task.tile_labels else "slides"
            self._say(f"validation {what} are of one class; the validation loss alone chooses the weights")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras' hook: one more step is done."""
        next(self.ticks, None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keras' hook: ``steps`` steps are done; ``logs`` holds their mean loss."""
        loss = float(logs["loss"])
        steps = f"steps {epoch * self.steps + 1}-{(epoch + 1) * self.steps}"
        scores = self._scores() if math.isfinite(loss) else np.zeros(0)
        if not math.isfinite(loss):
            self._diverge(f"the loss became {loss} in {steps}")
        elif not np.isfinite(scores).all():
            self._diverge(f"scores of validation tiles became NaN in {steps}")
        else:
            self._take_in(loss, scores)
        self.store.save(self.state, self.model)

    def _scores(self) -> np.ndarray:
        return self.model.predict(self.tiles, verbose=0)[: len(self.slide_of)]  # without what fills the last batch

    def _take_in(self, loss: float, scores: np.ndarray) -> None:
        """One more row of history, and what follows from it."""
        state = self.state
        step = (state.validations + 1) * self.steps
        row = {"step": step, "epoch": step * self.settings.training["batch"] / self.n_train, "loss": loss}
        row |= self.measure(scores) | {"learning_rate": float(f"{self.model.optimizer.learning_rate.numpy():.7g}")}
        state.history.append(row)
        better = self.settings.keep_last or is_better(row, state.best, metric=self.settings.chooses)
        if better:
            state.best, state.kept = row, ""
            self.store.keep(self.model)
        self.album.add(self.model, state.history)
        self._report(row, better=better)
        self._be_patient(row)

    def measure(self, scores: np.ndarray) -> dict[str, float]:
        """Loss and the task's figures of the validation tiles' ``scores``, in the order of the history."""
        task = self.settings.task
        losses = keras.losses.get(task.loss)(self.tile_labels, scores)
        pairs = {"tile": (self.tile_labels, scores)}
        if self.slide_labels is not None:
            pairs["slide"] = (self.slide_labels, self.settings.slide_scores(scores, slide_of=self.slide_of))
        found = {"validation_loss": float(np.mean(keras.ops.convert_to_numpy(losses), dtype=np.float64))}
        for name in task.measures:
            of, figure = name.split("_")
            found[f"validation_{name}"] = FIGURES[figure](*pairs[of])
        return found

    def _be_patient(self, row: dict[str, float]) -> None:
        state, training = self.state, self.settings.training
        state.plateau = state.plateau.after(row["validation_loss"], least=PLATEAU_LEAST)
        state.stop = state.stop.after(row["validation_loss"], least=training["min_delta"])
        if training["plateau"] is not None and state.plateau.wait >= training["plateau"]:
            self.model.optimizer.learning_rate = row["learning_rate"] * PLATEAU_FACTOR
            state.plateau = Patience(state.plateau.best, 0)
        if state.stop.wait >= training["stop"]:
            self._end(f"the validation loss did not fall in {training['stop']} validations")
        elif state.validations >= training["max_validations"]:
            self._end(f"max_validations ({training['max_validations']}) reached")

    def _diverge(self, reason: str) -> None:
        """Weights that were good stay good: only a round that has none yet is excluded."""
        if self.state.best is None:
            self._end("not a number", code="M-NAN", reason=reason)
        else:
            self._end(f"not a number: {reason}; the best weights, of step {self.state.best['step']}, are kept")

    def _end(self, why: str, *, code: str = "", reason: str = "") -> None:
        self.state.ended, self.state.code, self.state.reason = why, code, reason
        self.model.stop_training = True
        self._say(f"{f'{code} {reason}; the round is excluded' if code else f'ended: {why}'}")

    def _report(self, row: dict[str, float], *, better: bool) -> None:
        with self.board.as_default(step=row["step"]):
            for name in self.settings.history[2:]:
                tf.summary.scalar(name, row[name])
        self.board.flush()
        figures = ", ".join(f"{name.replace('_', ' ')} {row[name]:.4g}" for name in self.settings.history[1:])
        self._say(f"step {row['step']}: {figures}{', best so far' if better else ''}")

    def _say(self, line: str) -> None:
        print(f"{self.what}, {line}", file=sys.stderr, flush=True)


def is_better(row: dict[str, float], best: dict[str, float] | None, *, metric: str | None) -> bool:
    """Whether the weights of ``row`` are kept instead of those of ``best``: by ``metric``, ties by the validation loss.

    Ties are common, for few validation slides give few different AUCs. Where there is no metric, or it is not a number
    (one class among the validation slides), the validation loss alone decides.
    """
    if best is None:
        return True
    if metric is None or math.isnan(row[metric]) or row[metric] == best[metric]:
        return row["validation_loss"] < best["validation_loss"]
    return row[metric] > best[metric]


def album_in(folder: Path, *, settings: Settings, seed: int) -> Album:
    """Where the epochs' weights that the study keeps go."""
    training = settings.training
    wanted = {"best": training["keep_best"], "random": training["keep_random"]}
    return Album(folder, **wanted, most=training["max_validations"], seed=seed)


def validation_tiles(slides: pd.DataFrame, *, settings: Settings) -> tf.data.Dataset:
    """Batches of the tiles of ``slides`` that are validated on."""
    training, fill = settings.training, backend_in_use().one_size
    strides = validation_strides(slides["n_tiles"].to_numpy(), training["max_validation_tiles"])
    size, batch = settings.model["size"], training["batch"]
    tiles = pipeline.ordered_batches(slides, size=size, batch=batch, strides=strides, fill=fill)
    return tiles.map(lambda tile, _: tile)


def validation_strides(n_tiles: np.ndarray, most: int | None) -> np.ndarray:
    """Per slide, one tile in how many is validated on, so that the slides share about ``most`` tiles evenly."""
    quota = n_tiles.max() if most is None else max(1, most // len(n_tiles))
    return -(-n_tiles // quota)

"""How a trait's rounds are trained in one process: what each learns from, one network for all, and what is written."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from histocarta import models as networks
from histocarta import pipeline
from histocarta.backends import backend_in_use, check_gpus
from histocarta.files import read_json, read_table, replacing, write_json
from histocarta.locks import only_writer
from histocarta.resume import Store, TrainingState
from histocarta.tasks import task_named
from histocarta.training_plans import labels_of_round, plan_round, staged
from histocarta.training_records import Round, describe, fingerprint, provenance
from histocarta.validation import Settings, Validation, album_in, validation_tiles

OPTIMIZERS = {
    "adam": lambda training: keras.optimizers.Adam(training["learning_rate"]),
    "sgd": lambda training: keras.optimizers.SGD(training["learning_rate"], momentum=training["momentum"]),
}
SUMMED = {
    "mean_squared_error": keras.losses.MeanSquaredError,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}
FEW = 256
FIRST_BATCHES = 12  # of training tiles, by which pixels are normalised (ST-Net's code)


@dataclass(frozen=True)
class Learner:
    """The compiled network that all rounds share (its graph is traced once), and how its optimizer starts."""

    model: keras.Model
    optimizer_start: list[float]


def train_rounds(
    *,
    manifest: str,
    labels: str,
    summary: str,
    splits: list[str],
    audit: str,
    models: list[str],
    sidecars: list[str],
    histories: list[str],
    state_dir: str,
    rounds: list[int],
    task: str,
    seed: int,
    model: dict[str, Any],
    training: dict[str, Any],
    checkpoint_metric: str,
    pooling: str,
    threshold: float | None,
    inner: int | None = None,
    threads: int | None = None,
    staging: str | None = None,
) -> None:
    """Train one network per round of a trait; write model, sidecar and history of each, and a TensorBoard log beside.

    manifest, labels, summary, audit : cohort manifest, the trait's labels.parquet and labels.json, its leak audit.
    splits, models, sidecars, histories : one path per round of ``rounds``, in that order.
    state_dir : where checkpoints lie until all these rounds are done; a killed job goes on from there.
    model, training : the task's settings of those names; ``pooling`` stands in where ``model`` names none.
    checkpoint_metric : slide_auc or tile_auc, the validation figure that chooses the weights to keep of a task with
    classes. threshold : a tile of such a task is positive where its score is above it; None for other tasks.
    inner : parts of the training slides by which the number of epochs is chosen (:mod:`histocarta.inner_folds`).
    threads : of the CPU, that the job may use; None: all.
    staging : folder on the node's own disk to which shards are copied first; None: they are read where they lie.

    A trait or round that cannot be trained (excluded labels, one class, no validation slide, a loss that is not a
    number before the first validation) gets an empty model and a sidecar with the status "excluded", a code and the
    reason; where the loss is lost later, the best weights so far are kept. Raises InputError for faulty shards.
    """
    backend_in_use().limit(gpus=training["gpus"], threads=threads)
    model = model | {"pooling": model["pooling"] or pooling}
    facts, row = read_json(summary), task_named(task)
    slides, told = read_table(manifest), read_table(labels)
    of_round = {number: labels_of_round(told, facts, number=int(number), task=row) for number in rounds}
    settings = Settings(row.with_outputs(of_round[rounds[0]]), model, training, checkpoint_metric, threshold)
    common = provenance(settings, trait=facts["trait"], seed=seed, manifest=manifest, audit=audit)
    plans = [
        plan_round(
            slides, of_round[number], read_table(split), number=int(number), facts=facts, seed=seed, task=settings.task,
            inner=inner,
        )
        for number, split in zip(rounds, splits, strict=True)
    ]  # fmt: skip
    if staging:
        plans = staged(plans, folder=staging)
    learner = None if all(plan.code for plan in plans) else make_learner(settings)
    for plan, path, sidecar, history in zip(plans, models, sidecars, histories, strict=True):
        state, choice = TrainingState(ended=plan.reason, code=plan.code, reason=plan.reason), {}
        if not plan.code:
            what = f"{facts['trait']} round {plan.number}"
            board = Path(history).parent / "tensorboard"
            train = train_by_folds if plan.folds else train_round
            state, choice = train(learner, plan, settings=settings, seed=seed, folder=state_dir, board=board, what=what)
        _write_round(learner, state, columns=settings.history, path=path, history=history)
        write_json(common | describe(plan, state, settings.task) | choice, sidecar)
    for plan in plans:
        for left in Path(state_dir).glob(f"round-{plan.number}*"):
            if left.name.split("-")[1] == str(plan.number):
                shutil.rmtree(left, ignore_errors=True)


def make_learner(settings: Settings) -> Learner:
    """Build and compile the network on the devices that ``training.gpus`` asks for."""
    training, backend = settings.training, backend_in_use()
    devices = backend.prepare(**{key: training[key] for key in ("gpus", "precision", "xla")})
    check_gpus(gpus=training["gpus"], required=training["require_gpu"])
    build = {key: value for key, value in settings.model.items() if not key.startswith("weights")}
    with devices:
        model = networks.build_model(settings.task, precision=training["precision"], **build)
        optimizer = OPTIMIZERS[training["optimizer"]](training)
        xla = training["xla"] or backend.always_xla
        name = settings.task.loss
        loss = SUMMED[name](reduction="sum") if training["reduction"] == "sum" else name
        model.compile(optimizer=optimizer, loss=loss, jit_compile=xla)
        model.optimizer.build(model.trainable_variables)
    # Only scalars (step, learning rate, loss scale) start at something else than zero.
    start = [0.0 if len(v.shape) else float(v.numpy()) for v in model.optimizer.variables]
    return Learner(model, start)


def train_by_folds(
    learner: Learner, plan: Round, *, settings: Settings, seed: int, folder: str, board: Path, what: str
) -> tuple[TrainingState, dict[str, Any]]:
    """Choose the number of epochs by the round's folds, then train on all of its slides for so many (He 2020).

    Each fold is held out once while the others are learnt from, for all ``max_validations``; the epoch is the one with
    the smallest sum of squared errors over all held-out tiles. Settings, and what is said of the choice (``inner``).
    """
    most = settings.training["max_validations"]
    whole = replace(settings, training=settings.training | {"stop": most, "plateau": None}, keep_last=True)
    losses = []
    for number, fold in enumerate(plan.folds, start=1):
        state, _ = train_round(
            learner, fold, settings=whole, seed=seed, folder=folder, board=board.parent / f"inner-{number}",
            what=f"{what} fold {number} of {len(plan.folds)}", name=f"round-{plan.number}-fold-{number}",
        )  # fmt: skip
        if state.code or len(state.history) < most:
            return replace(state, code="M-NAN", reason=f"fold {number}: {state.reason or state.ended}"), {}
        losses.append([row["validation_loss"] * fold.validation["n_tiles"].sum() for row in state.history])
    mean = np.sum(losses, axis=0) / sum(fold.validation["n_tiles"].sum() for fold in plan.folds)
    epochs = int(np.argmin(mean)) + 1
    few = min(whole.training["max_validation_tiles"] or FEW, FEW)  # windows learnt from: they choose nothing
    training = whole.training | {"max_validations": epochs, "stop": epochs, "max_validation_tiles": few}
    last = replace(whole, training=training)
    choice = {"unit": plan.fold_unit, "folds": len(plan.folds), "loss": mean.tolist(), "chosen": epochs,
              "note": "the figures of validation are of windows learnt from"}  # fmt: skip
    print(f"{what}: {epochs} of {most} validations chosen by {len(plan.folds)} folds ({plan.fold_unit})", flush=True)
    state, _ = train_round(learner, plan, settings=last, seed=seed, folder=folder, board=board, what=what)
    return state, {"inner": choice}


def train_round(
    learner: Learner,
    plan: Round,
    *,
    settings: Settings,
    seed: int,
    folder: str,
    board: Path,
    what: str,
    name: str | None = None,
) -> tuple[TrainingState, dict[str, Any]]:
    """Train the network for one round, or go on where a killed job left it; it ends up with the best weights.

    folder : the job's state folder. board : folder of the TensorBoard log. what : the round's name in the log. Nothing
    more is said of it (the second value).
    """
    pipeline.check_shards(pd.concat([plan.train, plan.validation]))
    place = Path(folder) / (name or f"round-{plan.number}")
    with only_writer(place / "lock", busy="another job trains the same models"):
        store = Store(place, settings=fingerprint(plan, settings, seed))
        state = begin(learner, plan, settings=settings, store=store, board=board)
        if not state.ended:
            _fit(learner.model, plan, settings=settings, state=state, store=store, board=board, what=what)
        if not state.code:
            store.restore_best(learner.model)
    return state, {}


def begin(learner: Learner, plan: Round, *, settings: Settings, store: Store, board: Path) -> TrainingState:
    """Bring the network to its newest checkpoint in ``store``, or to its start, and say how far the round is."""
    state = store.load(learner.model)
    if state is None:
        files = {key: settings.model[key] for key in ("weights", "weights_sha256")}
        networks.initialise(learner.model, seed=plan.start_seed, **files)
        if settings.model["normalise"] == "training":
            networks.normalise_by(learner.model, _first_pixels(plan, settings=settings))
        if settings.task.mean_start:
            networks.start_at_mean(learner.model, pipeline.label_matrix(plan.train))
        for variable, value in zip(learner.model.optimizer.variables, learner.optimizer_start, strict=True):
            variable.assign(keras.ops.full(variable.shape, value, variable.dtype))
        state = TrainingState()
        shutil.rmtree(board, ignore_errors=True)
    return state


def _first_pixels(plan: Round, *, settings: Settings) -> np.ndarray:
    """The tiles of the first batches that the round learns from."""
    training = settings.training
    tiles = pipeline.training_batches(
        plan.train, size=settings.model["size"], batch=training["batch"], seed=plan.tile_seed, first=0,
        shuffle_buffer=training["shuffle_buffer"], augment=[],
    )  # fmt: skip
    return np.concatenate([images.numpy() for images, _ in tiles.take(FIRST_BATCHES)])


def _fit(
    model: keras.Model, plan: Round, *, settings: Settings, state: TrainingState, store: Store, board: Path, what: str
) -> None:
    """Keras' own loop from validation ``state.validations`` on; one of its epochs is the way to the next validation."""
    training = settings.training
    n_tiles = int(plan.train["n_tiles"].sum())
    steps = settings.steps(n_tiles)
    tiles = pipeline.training_batches(
        plan.train,
        size=settings.model["size"],
        batch=training["batch"],
        seed=plan.tile_seed,
        first=state.validations * steps * training["batch"],
        shuffle_buffer=training["shuffle_buffer"],
        augment=training["augment"],
    )
    validation = Validation(
        plan.validation,
        validation_tiles(plan.validation, settings=settings),
        settings=settings,
        state=state,
        store=store,
        steps=steps,
        n_train=n_tiles,
        board=board,
        album=album_in(board.parent / "epochs", settings=settings, seed=plan.tile_seed),
        what=what,
    )
    model.fit(
        tiles,
        steps_per_epoch=steps,
        initial_epoch=state.validations,
        epochs=training["max_validations"],
        callbacks=[validation],
        shuffle=False,
        verbose=0,
    )


def _write_round(
    learner: Learner | None, state: TrainingState, *, columns: tuple[str, ...], path: str, history: str
) -> None:
    if state.code:
        networks.save_no_model(path)
    else:
        networks.save_model(learner.model, path)
    with replacing(history) as temporary:
        rows = pd.DataFrame(state.history, columns=list(columns))
        rows.to_csv(temporary, index=False, lineterminator="\n")

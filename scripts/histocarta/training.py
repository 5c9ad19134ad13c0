"""How a trait's rounds are trained in one process: what each learns from, one network for all, and what is written."""

import shutil
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from histocarta import models as networks
from histocarta import pipeline
from histocarta.backends import backend_in_use, check_gpus
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, replacing, write_json
from histocarta.locks import only_writer
from histocarta.resume import Store, TrainingState
from histocarta.splits import tuning_part
from histocarta.staging import local_copies
from histocarta.tasks import Task, task_named
from histocarta.training_records import Round, describe, fingerprint, provenance
from histocarta.validation import Settings, Validation, album_in, validation_tiles


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
    threads : of the CPU, that the job may use; None: all.
    staging : folder on the node's own disk to which shards are copied first; None: they are read where they lie.

    A trait or round that cannot be trained (excluded labels, one class, no validation slide, a loss that is not a
    number before the first validation) gets an empty model and a sidecar with the status "excluded", a code and the
    reason; where the loss is lost later, the best weights so far are kept. Raises InputError for faulty shards.
    """
    backend_in_use().limit(gpus=training["gpus"], threads=threads)
    model = model | {"pooling": model["pooling"] or pooling}
    facts, tables = read_json(summary), (read_table(manifest), read_table(labels))
    learnt = task_named(task).with_outputs(tables[1])
    settings = Settings(learnt, model, training, checkpoint_metric, threshold)
    common = provenance(settings, trait=facts["trait"], seed=seed, manifest=manifest, audit=audit)
    plans = [
        plan_round(*tables, read_table(split), number=int(number), facts=facts, seed=seed, task=settings.task)
        for number, split in zip(rounds, splits, strict=True)
    ]
    if staging:
        plans = staged(plans, folder=staging)
    learner = None if all(plan.code for plan in plans) else make_learner(settings)
    for plan, path, sidecar, history in zip(plans, models, sidecars, histories, strict=True):
        state = TrainingState(ended=plan.reason, code=plan.code, reason=plan.reason)
        if not plan.code:
            what = f"{facts['trait']} round {plan.number}"
            board = Path(history).parent / "tensorboard"
            state = train_round(learner, plan, settings=settings, seed=seed, folder=state_dir, board=board, what=what)
        _write_round(learner, state, columns=settings.history, path=path, history=history)
        write_json(common | describe(plan, state, settings.task), sidecar)
    for plan in plans:
        shutil.rmtree(Path(state_dir) / f"round-{plan.number}", ignore_errors=True)


def plan_round(
    manifest: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    *,
    number: int,
    facts: dict[str, Any],
    seed: int,
    task: Task,
) -> Round:
    """Which slides a round trains and validates on: those with tiles and a label of the trait.

    facts : labels.json of the trait (trait, status, code, reason). Raises InputError for the split of another round.
    """
    found = sorted(set(split["round"].astype(int)))
    if found != [number]:
        raise InputError(
            f"Expected the split of round {number}, found that of {found}; give splits in the rounds' order"
        )
    select = pipeline.select_tiles if task.tile_labels else pipeline.select_slides
    parts = [select(manifest, labels, split, part=part, column=task.label) for part in ("train", tuning_part(split))]
    code, reason = _why_not(*parts, task) if facts["status"] == "ok" else (facts["code"], facts["reason"])
    sequence = np.random.SeedSequence([seed, number, zlib.crc32(facts["trait"].encode())])
    start, tiles = (int(word) >> 1 for word in sequence.generate_state(2, np.uint32))  # TensorFlow wants them signed
    return Round(number, *parts, start, tiles, code, reason)


def staged(plans: list[Round], *, folder: str) -> list[Round]:
    """``plans`` on copies of their shards in ``folder``."""
    parts = [part for plan in plans if not plan.code for part in (plan.train, plan.validation)]
    shards = {path: digest for part in parts for path, digest in zip(part["shard"], part["sha256"], strict=True)}
    copies = local_copies(shards, folder=folder)

    def on_copies(part: pd.DataFrame) -> pd.DataFrame:
        return part.assign(shard=part["shard"].replace(copies))

    return [replace(plan, train=on_copies(plan.train), validation=on_copies(plan.validation)) for plan in plans]


def make_learner(settings: Settings) -> Learner:
    """Build and compile the network on the devices that ``training.gpus`` asks for."""
    training, backend = settings.training, backend_in_use()
    devices = backend.prepare(**{key: training[key] for key in ("gpus", "precision", "xla")})
    check_gpus(gpus=training["gpus"], required=training["require_gpu"])
    build = {key: value for key, value in settings.model.items() if key != "weights"}
    with devices:
        model = networks.build_model(settings.task, precision=training["precision"], **build)
        optimizer = keras.optimizers.Adam(training["learning_rate"])
        xla = training["xla"] or backend.always_xla
        model.compile(optimizer=optimizer, loss=settings.task.loss, jit_compile=xla)
        model.optimizer.build(model.trainable_variables)
    # Only scalars (step, learning rate, loss scale) start at something else than zero.
    start = [0.0 if len(v.shape) else float(v.numpy()) for v in model.optimizer.variables]
    return Learner(model, start)


def train_round(
    learner: Learner, plan: Round, *, settings: Settings, seed: int, folder: str, board: Path, what: str
) -> TrainingState:
    """Train the network for one round, or go on where a killed job left it; it ends up with the best weights.

    folder : the job's state folder. board : folder of the TensorBoard log. what : the round's name in the log.
    """
    pipeline.check_shards(pd.concat([plan.train, plan.validation]))
    place = Path(folder) / f"round-{plan.number}"
    with only_writer(place / "lock", busy="another job trains the same models"):
        store = Store(place, settings=fingerprint(plan, settings, seed))
        state = begin(learner, plan, settings=settings, store=store, board=board)
        if not state.ended:
            _fit(learner.model, plan, settings=settings, state=state, store=store, board=board, what=what)
        if not state.code:
            store.restore_best(learner.model)
    return state


def begin(learner: Learner, plan: Round, *, settings: Settings, store: Store, board: Path) -> TrainingState:
    """Bring the network to its newest checkpoint in ``store``, or to its start, and say how far the round is."""
    state = store.load(learner.model)
    if state is None:
        networks.initialise(learner.model, seed=plan.start_seed, weights=settings.model["weights"])
        for variable, value in zip(learner.model.optimizer.variables, learner.optimizer_start, strict=True):
            variable.assign(keras.ops.full(variable.shape, value, variable.dtype))
        state = TrainingState()
        shutil.rmtree(board, ignore_errors=True)
    return state


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


def _why_not(train: pd.DataFrame, validation: pd.DataFrame, task: Task) -> tuple[str, str]:
    """Code and reason of a round that cannot be trained; two empty strings for one that can."""
    if train.empty or validation.empty:
        part = "training" if train.empty else "validation"
        return "M-EMPTY", f"no {part} slide has tiles and a label"
    labels = pipeline.label_matrix(train)
    if task.classes and len(np.unique(labels)) < 2:
        what = "tiles" if task.tile_labels else "slides"
        return "M-ONE-CLASS", f"all {len(labels)} training {what} are of one class"
    return "", ""


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

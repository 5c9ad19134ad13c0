"""How the networks of many genes are trained in one job, each by itself, on one stream of tiles decoded once."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from histocarta import models as networks
from histocarta import pipeline
from histocarta.backends import backend_in_use
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, replacing, write_json
from histocarta.genes import TRAIT
from histocarta.locks import only_writer
from histocarta.model_archives import write_archive
from histocarta.progress import progress
from histocarta.resume import Store, TrainingState
from histocarta.tasks import TASKS
from histocarta.training import Learner, begin, make_learner
from histocarta.training_plans import plan_round, staged
from histocarta.training_records import Round, describe, fingerprint, provenance
from histocarta.validation import Settings, Validation, album_in, validation_tiles

TASK = TASKS["regression"]
# Genes take turns on pieces of the stream of at most this size (decoded; up to three are held): exchanging the weights
# of Inception v3 takes as long as a step or two, and is soon forgotten beside the steps of a piece.
PIECE_BYTES = 256e6
# Validation tiles are kept decoded up to this size (2,667 of 512 px, 7,800 of 299); more are decoded for each gene.
KEPT_BYTES = 2.1e9


@dataclass
class Learning:
    """A gene in training: how far it is, and its weights and optimizer while others take their turns."""

    name: str
    column: int  # of the stream's labels
    plan: Round
    state: TrainingState
    store: Store
    validation: Validation
    values: list[Any]  # tensors of the backend


def genes_of_job(genes: pd.DataFrame, *, job: int, genes_per_job: int) -> pd.DataFrame:
    """The rows of genes.tsv that job number ``job`` (from 1) trains: its share in their order, less the excluded."""
    share = genes.iloc[(job - 1) * genes_per_job : job * genes_per_job]
    return share[share["status"] == "ok"]


def train_genes(
    *,
    manifest: str,
    labels: str,
    genes: str,
    summary: str,
    audit: str,
    split: str,
    models: str,
    sidecar: str,
    histories: str,
    state_dir: str,
    job: int,
    genes_per_job: int,
    number: int,
    seed: int,
    model: dict[str, Any],
    training: dict[str, Any],
    pooling: str,
    threads: int | None = None,
    staging: str | None = None,
) -> None:
    """Train a network for each gene of one job in round ``number``, as :func:`training.train_rounds` would one of them.

    labels, genes, summary : what :func:`histocarta.genes.label_genes` writes. ``models``: an archive with one
    ``{gene}.keras`` per network; ``sidecar``: settings, data, and how each gene's training ended; ``histories``: a row
    per gene and validation. Every gene sees the same tiles in the same order, which depends on seed and round alone; so
    what becomes of a gene does not depend on the others of its job. A killed job goes on from the genes' checkpoints in
    ``state_dir``: the stream starts at the gene that is least far, and others wait until it has come to them.
    """
    backend_in_use().limit(gpus=training["gpus"], threads=threads)
    settings = Settings(TASK, model | {"pooling": model["pooling"] or pooling}, training, "", None)
    common = provenance(settings, trait=TRAIT, seed=seed, manifest=manifest, audit=audit)
    told, cohort = read_table(genes), read_table(labels)
    known = told.loc[told["status"] == "ok", "trait"].tolist()
    names = genes_of_job(told, job=job, genes_per_job=genes_per_job)["trait"].tolist()
    tables, facts = (read_table(manifest), cohort, read_table(split)), read_json(summary)
    stream, *plans = _plan(*tables, columns=[known.index(name) for name in names], names=names, facts=facts,
                           number=number, seed=seed)  # fmt: skip
    if staging:
        stream, *plans = staged([stream, *plans], folder=staging)
    place, boards = Path(state_dir), Path(histories).parent / "tensorboard"
    found = [TrainingState(ended=plan.reason, code=plan.code, reason=plan.reason) for plan in plans]
    with only_writer(place / "lock", busy="another job trains the same genes"):
        if names and not stream.code:
            learner = make_learner(settings)
            pipeline.check_shards(pd.concat([stream.train, stream.validation]))
            tiles = validation_tiles(stream.validation, settings=settings)
            count = training["batch"] * int(tiles.cardinality())
            tiles = tiles.cache() if count * settings.model["size"] ** 2 * 3 <= KEPT_BYTES else tiles
            learning = [
                _begin(learner, plan, tiles, name=name, column=column, settings=settings, seed=seed, folder=place,
                       board=boards / name)
                for column, (name, plan) in enumerate(zip(names, plans, strict=True))
            ]  # fmt: skip
            _train_together(learner.model, learning, stream, settings=settings)
            found = [gene.state for gene in learning]
            with tempfile.TemporaryDirectory(dir=place) as folder:
                write_archive(_best_models(learner.model, learning, folder=folder), models)
        else:
            write_archive([], models)
    rows = [{"trait": name} | row for name, state in zip(names, found, strict=True) for row in state.history]
    with replacing(histories) as temporary:
        table = pd.DataFrame(rows, columns=["trait", *settings.history])
        table.to_csv(temporary, index=False, lineterminator="\n")
    ends = [
        {"trait": name} | describe(plan, state, TASK) for name, plan, state in zip(names, plans, found, strict=True)
    ]
    write_json(common | {"round": number, "job": job, "genes": ends}, sidecar)
    shutil.rmtree(place, ignore_errors=True)


def _plan(
    manifest: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    *,
    columns: Sequence[int],
    names: Sequence[str],
    facts: dict[str, Any],
    number: int,
    seed: int,
) -> list[Round]:
    """The plan of the stream, whose labels are all genes' of the job, and of each gene on it."""
    targets = np.stack(labels[TASK.label]) if len(labels) else np.zeros((0, 0), np.float32)
    about = {"number": number, "seed": seed, "task": TASK}
    together = labels.assign(**{TASK.label: list(targets[:, list(columns)])}) if columns else labels
    stream = plan_round(manifest, together, split, facts=facts | {"trait": TRAIT}, **about)
    plans = [
        plan_round(manifest, labels.assign(**{TASK.label: targets[:, column]}), split,
                   facts=facts | {"trait": name}, **about)
        for name, column in zip(names, columns, strict=True)
    ]  # fmt: skip
    for name, plan in zip(names, plans, strict=True):
        for own, all_of in ((plan.train, stream.train), (plan.validation, stream.validation)):
            if not own["slide"].equals(all_of["slide"]):
                raise InputError(
                    f"Expected {name} measured in the slides of all genes, found it missing; label them again"
                )
    return [stream, *(replace(plan, tile_seed=stream.tile_seed) for plan in plans)]


def _begin(
    learner: Learner,
    plan: Round,
    tiles: tf.data.Dataset,
    *,
    name: str,
    column: int,
    settings: Settings,
    seed: int,
    folder: Path,
    board: Path,
) -> Learning:
    """A gene at its start, or where a killed job left it."""
    store = Store(folder / name, settings=fingerprint(plan, settings, seed))
    state = begin(learner, plan, settings=settings, store=store, board=board)
    n_tiles = int(plan.train["n_tiles"].sum())
    validation = Validation(
        plan.validation,
        tiles,
        settings=settings,
        state=state,
        store=store,
        steps=settings.steps(n_tiles),
        n_train=n_tiles,
        board=board,
        album=album_in(board.parents[1] / "epochs" / name, settings=settings, seed=plan.tile_seed),
        what=f"{name} round {plan.number}",
    )
    validation.set_model(learner.model)
    return Learning(name, column, plan, state, store, validation, _values(learner.model))


def _train_together(model: keras.Model, genes: Sequence[Learning], stream: Round, *, settings: Settings) -> None:
    """Step all ``genes`` from validation to validation until each has ended."""
    steps, training = settings.steps(int(stream.train["n_tiles"].sum())), settings.training
    unended = [gene for gene in genes if not gene.state.ended]
    first = min((gene.state.validations for gene in unended), default=0)
    length = max(1, min(steps, int(PIECE_BYTES // (training["batch"] * settings.model["size"] ** 2 * 3))))
    tiles = pipeline.training_batches(
        stream.train, size=settings.model["size"], batch=training["batch"], seed=stream.tile_seed,
        first=first * steps * training["batch"], shuffle_buffer=training["shuffle_buffer"],
        augment=training["augment"],
    )  # fmt: skip
    batches = iter(tiles.prefetch(length))  # the next piece is decoded while genes learn from this one
    most = range(first, training["max_validations"])
    for number in progress(most, total=len(most), what="all genes, validations (may stop early)"):
        here = [gene for gene in genes if not gene.state.ended and gene.state.validations == number]
        losses = np.zeros(len(here))
        for images, labels in _pieces(batches, steps=steps, length=length):
            for k, gene in enumerate(here):
                _exchange(model, gene.values)
                column = labels[..., gene.column : gene.column + 1]
                piece = tf.data.Dataset.from_tensor_slices((images, column))
                losses[k] += model.fit(piece, shuffle=False, verbose=0).history["loss"][0] * len(images) / steps
                gene.values = _values(model)
        for gene, loss in zip(here, losses, strict=True):
            _exchange(model, gene.values)
            gene.validation.on_epoch_end(number, {"loss": loss})
            gene.values = [] if gene.state.ended else _values(model)  # it may have lowered the learning rate
        if all(gene.state.ended for gene in genes):
            break


def _pieces(batches: Iterator[Any], *, steps: int, length: int) -> Iterator[tuple[tf.Tensor, tf.Tensor]]:
    """The next ``steps`` batches in pieces: tiles (uint8, steps x N x size x size x 3), labels (steps x N x genes)."""
    for start in range(0, steps, length):
        piece = [next(batches) for _ in range(min(length, steps - start))]
        with tf.device("CPU"):
            yield tuple(tf.stack(column) for column in zip(*piece, strict=True))


def _values(model: keras.Model) -> list[Any]:
    return [keras.ops.copy(variable.value) for variable in (*model.weights, *model.optimizer.variables)]


def _exchange(model: keras.Model, values: Sequence[Any]) -> None:
    for variable, value in zip((*model.weights, *model.optimizer.variables), values, strict=True):
        variable.assign(value)


def _best_models(model: keras.Model, genes: Sequence[Learning], *, folder: str) -> Iterator[tuple[str, Path]]:
    """Name and file of every gene that has a model, with its best weights; the file holds one at a time."""
    for gene in genes:
        if not gene.state.code:
            gene.store.restore_best(model)
            file = Path(folder) / "model.keras"
            networks.save_model(model, file)
            yield gene.name, file

"""What each round of a trait learns from and validates on, or why it cannot."""

import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from histocarta import pipeline
from histocarta.errors import InputError
from histocarta.inner_folds import with_folds
from histocarta.splits import tuning_part
from histocarta.staging import local_copies
from histocarta.tasks import Task
from histocarta.training_records import Round


def labels_of_round(labels: pd.DataFrame, facts: dict[str, Any], *, number: int, task: Task) -> pd.DataFrame:
    """The labels that a round learns: of many genes those chosen for it (labels.json: chosen), others as they are."""
    if not task.many or facts["status"] != "ok":
        return labels
    chosen = facts["chosen"][str(number)]
    return labels.assign(**{task.label: [None if values is None else values[chosen] for values in labels[task.label]]})


def plan_round(
    manifest: pd.DataFrame,
    labels: pd.DataFrame,
    split: pd.DataFrame,
    *,
    number: int,
    facts: dict[str, Any],
    seed: int,
    task: Task,
    inner: int | None = None,
) -> Round:
    """Which slides a round trains and validates on: those with tiles and a label of the trait.

    facts : labels.json of the trait (trait, status, code, reason). inner : see :func:`train_rounds`; what is validated
    on is then part of what is learnt from, and chooses nothing. Raises InputError for the split of another round.
    """
    found = sorted(set(split["round"].astype(int)))
    if found != [number]:
        raise InputError(
            f"Expected the split of round {number}, found that of {found}; give splits in the rounds' order"
        )
    select = pipeline.select_tiles if task.tile_labels else pipeline.select_slides
    names = ("train", "train" if inner else tuning_part(split))
    parts = [select(manifest, labels, split, part=part, column=task.label) for part in names]
    code, reason = _why_not(*parts, task) if facts["status"] == "ok" else (facts["code"], facts["reason"])
    sequence = np.random.SeedSequence([seed, number, zlib.crc32(facts["trait"].encode())])
    start, tiles = (int(word) >> 1 for word in sequence.generate_state(2, np.uint32))  # TensorFlow wants them signed
    plan = Round(number, *parts, start, tiles, code, reason)
    return with_folds(plan, manifest, folds=inner) if inner and not code else plan


def staged(plans: list[Round], *, folder: str) -> list[Round]:
    """``plans`` on copies of their shards in ``folder``."""
    parts = [part for plan in plans if not plan.code for part in (plan.train, plan.validation)]
    shards = {path: digest for part in parts for path, digest in zip(part["shard"], part["sha256"], strict=True)}
    copies = local_copies(shards, folder=folder)

    def on_copies(part: pd.DataFrame) -> pd.DataFrame:
        return part.assign(shard=part["shard"].replace(copies))

    def copied(plan: Round) -> Round:
        folds = tuple(map(copied, plan.folds))
        return replace(plan, train=on_copies(plan.train), validation=on_copies(plan.validation), folds=folds)

    return [copied(plan) for plan in plans]


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

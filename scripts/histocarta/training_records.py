"""What is told of a training: what a round learns from, the settings and data that decide its weights, how it ended."""

import hashlib
from dataclasses import dataclass
from typing import Any

import pandas as pd

from histocarta import pipeline
from histocarta.backends import backend_in_use
from histocarta.files import read_json, sha256
from histocarta.resume import TrainingState
from histocarta.tasks import Task
from histocarta.validation import Settings
from histocarta.versions import VERSION, software


@dataclass(frozen=True)
class Round:
    """What one round learns from (tables of ``pipeline.select_slides``), or why it cannot (code and reason)."""

    number: int
    train: pd.DataFrame
    validation: pd.DataFrame
    start_seed: int  # of the weights
    tile_seed: int  # of the tiles' order and flips
    code: str = ""
    reason: str = ""
    folds: tuple["Round", ...] = ()  # that choose the number of epochs
    fold_unit: str = ""  # what is never divided between them


def provenance(settings: Settings, *, trait: str, seed: int, manifest: str, audit: str) -> dict[str, Any]:
    """What a sidecar says of all rounds: task, settings, data and versions."""
    return {
        "task": settings.task.name, "trait": trait, "seed": seed, "model": settings.model,
        "training": settings.training, "checkpoint_metric": settings.metric, "threshold": settings.threshold,
        "manifest_sha256": sha256(manifest), "audit": read_json(audit), "version": VERSION["train"],
        "backend": backend_in_use().name, "software": software(),
    }  # fmt: skip


def describe(plan: Round, state: TrainingState, task: Task) -> dict[str, Any]:
    """What the sidecar says of one round: slides, tiles, how it ended, the validation figures of the kept weights."""
    parts = {}
    for name, slides in (("train", plan.train), ("validation", plan.validation)):
        parts[name] = {"slides": len(slides), "tiles": int(slides["n_tiles"].sum())}
        if task.classes:
            labels = pipeline.label_matrix(slides)
            parts[name] |= {"high": int((labels == 1).sum()), "low": int((labels == 0).sum())}
    return {
        "round": plan.number, "status": "excluded" if state.code else "ok", "code": state.code, "reason": state.reason,
        "ended": state.ended, "validations": state.validations, "validation": state.best, "parts": parts,
    }  # fmt: skip


def fingerprint(plan: Round, settings: Settings, seed: int) -> dict[str, Any]:
    """All that decides the weights: a checkpoint made with anything else is not gone on from."""
    backend, versions = backend_in_use(), software()
    parts = {
        name: {
            "slides": slides[["slide", "sha256", "n_tiles"]].to_numpy().tolist(),
            "labels": hashlib.sha256(pipeline.label_matrix(slides).tobytes()).hexdigest(),
            **({"places": [place.tolist() for place in slides["places"]]} if "places" in slides else {}),
        }
        for name, slides in (("train", plan.train), ("validation", plan.validation))
    }
    return {
        "task": settings.task.name, "round": plan.number, "seed": [seed, plan.start_seed, plan.tile_seed],
        "model": settings.model, "training": settings.training, "metric": settings.metric,
        "threshold": settings.threshold, "keep_last": settings.keep_last, **parts, "version": VERSION["train"],
        "backend": backend.name, "software": {name: versions[name] for name in ("keras", *backend.libraries)},
    }  # fmt: skip

"""A study made to measure for tests of learning: shards of small tiles whose colour is the label, tables, settings."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import simplejpeg
from histocarta.files import sha256, write_json, write_table
from histocarta.tilestore import write_shard

SIZE = 16
MODEL = {"network": "tiny", "size": SIZE, "pooling": None, "batch_norm_momentum": 0.5, "weights": None,
         "weights_sha256": None, "normalise": "unit"}  # fmt: skip
TRAINING = {
    "batch": 16, "learning_rate": 1e-2, "optimizer": "adam", "momentum": 0.9, "reduction": "mean",
    "validations_per_epoch": 4, "min_steps": 3, "max_validations": 6, "plateau": 10,
    "stop": 30, "min_delta": 0.0, "steps": None, "precision": "float32", "xla": False, "gpus": 1, "shuffle_buffer": 64,
    "augment": ["horizontal", "vertical"], "all_rounds_in_one_job": True, "max_validation_tiles": None,
    "require_gpu": True, "keep_best": 0, "keep_random": 0,
}  # fmt: skip


def plain_tile(value: int, size: int = SIZE) -> np.ndarray:
    return np.full((size, size, 3), value, np.uint8)


def coloured_tile(label: int, rng: np.random.Generator) -> np.ndarray:
    """Noise around purple (label 1) or pink (label 0), so that any network can tell them apart."""
    base = np.array((120, 80, 160) if label else (220, 150, 190))
    return np.clip(base + rng.normal(0, 20, (SIZE, SIZE, 3)), 0, 255).astype(np.uint8)


def write_tiles(path: Path, tiles: list[np.ndarray]) -> int:
    jpegs = (simplejpeg.encode_jpeg(np.ascontiguousarray(tile), quality=95, colorsubsampling="444") for tile in tiles)
    return write_shard(path, ((n // 5, n % 5, jpeg) for n, jpeg in enumerate(jpegs)))


def manifest_of(folder: Path, tiles: dict[str, list[np.ndarray]]) -> pd.DataFrame:
    """Shards and the manifest of the slides in ``tiles``; numbers are text, as ``read_table`` gives them."""
    rows = []
    for slide, images in tiles.items():
        shard = folder / f"{slide}.tfrecord"
        count = write_tiles(shard, images)
        rows.append(
            {"slide": slide, "patient": slide, "n_tiles": str(count), "shard": str(shard), "sha256": sha256(shard)}
        )
    return pd.DataFrame(rows)


def labels_of(labels: dict[str, float]) -> pd.DataFrame:
    return pd.DataFrame({"slide": list(labels), "patient": list(labels), "label": list(labels.values())})


def split_of(parts: dict[str, str], number: int = 1) -> pd.DataFrame:
    frame = pd.DataFrame(
        {"slide": list(parts), "patient": list(parts), "unit": list(parts), "part": list(parts.values())}
    )
    return frame.assign(scheme="s", round=str(number))


def make_study(
    folder: Path, *, n_slides: int = 16, n_tiles: int = 12, rounds: int = 2, seed: int = 0
) -> dict[str, Any]:
    """Files of a study and the arguments of ``train_rounds`` for it. Of 16 slides 8 train, 4 validate and 4 test."""
    rng = np.random.default_rng(seed)
    slides = [f"s{n:02d}" for n in range(n_slides)]
    labels = {slide: float(n % 2) for n, slide in enumerate(slides)}
    tiles = {slide: [coloured_tile(int(labels[slide]), rng) for _ in range(n_tiles)] for slide in slides}
    write_table(manifest_of(folder / "shards", tiles), folder / "manifest.tsv")
    write_table(labels_of(labels), folder / "labels.parquet")
    write_json({"trait": "MKI67", "status": "ok", "code": "", "reason": ""}, folder / "labels.json")
    write_json({"independent": True}, folder / "audit.json")
    for number in range(1, rounds + 1):
        parts = {s: ("train", "train", "validation", "test")[(n // 2 + number) % 4] for n, s in enumerate(slides)}
        write_table(split_of(parts, number), folder / f"round-{number}.tsv")
    numbers = list(range(1, rounds + 1))
    return {
        "manifest": str(folder / "manifest.tsv"),
        "labels": str(folder / "labels.parquet"),
        "summary": str(folder / "labels.json"),
        "audit": str(folder / "audit.json"),
        "splits": [str(folder / f"round-{number}.tsv") for number in numbers],
        "rounds": numbers,
        "task": "extremes",
        "seed": 1,
        "model": MODEL,
        "training": TRAINING,
        "checkpoint_metric": "slide_auc",
        "pooling": "avg",
        "threshold": 0.5,
        **outputs_in(folder / "out", numbers),
    }


def outputs_in(folder: Path, rounds: list[int]) -> dict[str, Any]:
    names = {"models": "model.keras", "sidecars": "model.json", "histories": "history.csv"}
    paths = {key: [str(folder / f"round-{n}" / name) for n in rounds] for key, name in names.items()}
    return paths | {"state_dir": str(folder / "state")}


def read_member(archive: str | Path, name: str) -> bytes:
    import zipfile

    with zipfile.ZipFile(archive) as whole:
        return whole.read(name)


if __name__ == "__main__":
    import json

    from histocarta.training import train_rounds

    train_rounds(**json.loads(Path(sys.argv[1]).read_text()))

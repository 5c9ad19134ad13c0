"""Many genes to a job on one decoded stream of tiles, against a job for each gene: tiles x models per second.

    python benchmarks/streams.py [--genes 8] [--turns 3]

Both sides are whole jobs of ``gene_jobs.train_genes``, each in a process of its own, with the start of TensorFlow and
the tracing of the network: eight genes in one job, and eight jobs of one gene. ``tiny`` at 299 px stands for a card
that is so fast that it waits for tiles; Inception v3 at 75 px on a CPU for one that is not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import finding, machine, verdict
from training import synthetic_tiles

SLIDES, PER_SLIDE = 16, 32
CASES = {
    "tiny, 299 px": {"network": "tiny", "size": 299, "least": 2.0},
    "Inception v3, 75 px": {"network": "inception-v3", "size": 75, "least": 1.0},
}
TRAINING = {
    "batch": 32, "learning_rate": 1e-4, "validations_per_epoch": 4, "min_steps": 1, "max_validations": 3,
    "plateau": None, "stop": 3, "min_delta": 0.0, "steps": 10, "precision": "float32", "xla": False, "gpus": 0,
    "shuffle_buffer": 128, "augment": ["rotate", "horizontal"], "all_rounds_in_one_job": False,
    "max_validation_tiles": 64, "require_gpu": False, "keep_best": 0, "keep_random": 0,
}  # fmt: skip


def write_study(folder: Path, *, genes: int, network: str, size: int) -> dict:
    """Shards, tables and the arguments of ``train_genes`` of a study whose genes are noise."""
    import pandas as pd
    import simplejpeg
    from histocarta.files import sha256, write_json, write_table
    from histocarta.tilestore import write_shard

    rng, rows = np.random.default_rng(0), []
    for n in range(SLIDES):
        jpegs = (simplejpeg.encode_jpeg(tile, quality=90, colorsubsampling="444") for tile in
                 synthetic_tiles(size, PER_SLIDE, rng))  # fmt: skip
        shard = folder / f"s{n}.tfrecord"
        write_shard(shard, ((0, col, jpeg) for col, jpeg in enumerate(jpegs)))
        name = f"s{n:02d}"
        rows.append(
            {"slide": name, "patient": name, "n_tiles": PER_SLIDE, "shard": str(shard), "sha256": sha256(shard)}
        )
    slides = pd.DataFrame(rows)
    keys = slides[["slide", "patient"]].assign(sample=slides["slide"], unit=slides["slide"])
    target = list(rng.normal(size=(SLIDES, genes)).astype(np.float32))
    part = np.where(np.arange(SLIDES) < 12, "train", "validation")
    tables = {
        "manifest": ("manifest.tsv", slides),
        "labels": ("labels.parquet", keys.assign(value=target, target=target)),
        "genes": ("genes.tsv", pd.DataFrame({"trait": [f"G{n}" for n in range(genes)], "status": "ok"})),
        "split": ("split.tsv", keys.assign(part=part, scheme="s", round=1)),
    }
    for name, table in tables.values():
        write_table(table, folder / name)
    for name, facts in (
        ("summary", {"trait": "transcriptome", "status": "ok", "code": "", "reason": ""}),
        ("audit", {}),
    ):
        write_json(facts, folder / f"{name}.json")
    files = {key: str(folder / name) for key, (name, _) in tables.items()}
    files |= {key: str(folder / f"{key}.json") for key in ("summary", "audit")}
    model = {"network": network, "size": size, "pooling": "avg", "batch_norm_momentum": 0.9, "weights": None}
    return files | {"number": 1, "seed": 1, "model": model, "training": TRAINING, "pooling": "avg"}


def run_jobs(study: dict, folder: Path, *, genes: int, genes_per_job: int) -> float:
    """Seconds that all jobs take, one after the other."""
    began = time.perf_counter()
    for job in range(1, 1 + genes // genes_per_job):
        made = {"models": "models.zip", "sidecar": "models.json", "histories": "histories.csv", "state_dir": "state"}
        call = study | {key: str(folder / name) for key, name in made.items()}
        call |= {"job": job, "genes_per_job": genes_per_job}
        code = "import json, sys; from histocarta.gene_jobs import train_genes; train_genes(**json.loads(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, json.dumps(call)], check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--genes", type=int, default=8)
    arguments.add_argument("--turns", type=int, default=3)
    options = arguments.parse_args()
    print(machine())
    steps = options.genes * TRAINING["max_validations"] * TRAINING["steps"] * TRAINING["batch"]
    for case, settings in CASES.items():
        least, spent = settings["least"], {options.genes: [], 1: []}
        with tempfile.TemporaryDirectory() as folder:
            study = write_study(
                Path(folder), genes=options.genes, **{key: settings[key] for key in ("network", "size")}
            )
            for _ in range(options.turns):
                for size, seconds in spent.items():
                    seconds.append(run_jobs(study, Path(folder), genes=options.genes, genes_per_job=size))
        for size, seconds in spent.items():
            finding(f"{case}, {size} to a job: {steps / np.median(seconds):,.0f} tiles x models/s, whole jobs")
        ratio = np.median([alone / together for together, alone in zip(*spent.values(), strict=True)])
        verdict(f"{case}, {options.genes} genes on one stream, times a job for each", ratio, least=least)


if __name__ == "__main__":
    main()

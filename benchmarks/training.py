"""Training and scoring Inception v3: histocarta against plain Keras on the same network, and float32 against bfloat16.

    python benchmarks/training.py [--size 75 --batch 32] [--turns 5] [--low --size 512 --batch 4]

"Plain" is what a Keras user writes: keras.applications' Inception v3 with one sigmoid, Adam, ``fit`` and ``predict`` on
arrays that lie decoded in memory. "histocarta" is what a training and a scoring job run: tiles from shards, decoded and
flipped, the shared network of ``training.make_learner`` with its op determinism, and ``inference.load_scorer``.
Wall time is judged, as both sides have all cores, unless other processes took some: then CPU time is, and it is said.
``--low`` compares histocarta's float32 with mixed_bfloat16 instead, and says what that does to the scores of one and
the same model (trained for some steps only: decode.py says it of a model that has learnt). Every side is a process of
its own, and they take turns. Tiles are synthetic (smooth noise, labels by shard).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import busy_seconds, finding, machine, verdict

SHARDS, PER_SHARD = 8, 64
QUIET = 0.2  # cores that other processes may use while two sides are compared by wall time
TRAINING = {
    "learning_rate": 1e-3, "validations_per_epoch": 4, "min_steps": 1, "max_validations": 100, "plateau": 10,
    "stop": 30, "xla": False, "gpus": 1, "shuffle_buffer": 256, "augment": ["horizontal", "vertical"],
    "max_validation_tiles": None, "require_gpu": True,
}  # fmt: skip


def synthetic_tiles(size, count, rng):
    import cv2

    for _ in range(count):
        coarse = rng.integers(60, 250, (8, 8, 3)).astype(np.uint8)
        yield cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def write_shards(folder, size):
    import simplejpeg
    from histocarta.tilestore import write_shard

    rng = np.random.default_rng(0)
    for n in range(SHARDS):
        tiles = synthetic_tiles(size, PER_SHARD if size < 200 else 8, rng)
        jpegs = (simplejpeg.encode_jpeg(tile, quality=90, colorsubsampling="444") for tile in tiles)
        write_shard(folder / f"s{n}.tfrecord", ((0, col, jpeg) for col, jpeg in enumerate(jpegs)))


def slides_in(folder):
    import pandas as pd
    from histocarta.pipeline import count_records

    shards = sorted(Path(folder).glob("*.tfrecord"))
    rows = [
        {"slide": s.stem, "shard": str(s), "n_tiles": count_records(s), "label": n % 2} for n, s in enumerate(shards)
    ]
    return pd.DataFrame(rows)


def plain_side(options):
    """Keras alone, on arrays that are decoded already."""
    import keras
    import tensorflow as tf
    from histocarta import pipeline

    slides = slides_in(options.folder)
    batches = pipeline.ordered_batches(slides, size=options.size, batch=64)
    tiles, places = (np.concatenate(parts) for parts in zip(*((a.numpy(), b.numpy()) for a, b in batches), strict=True))
    labels = slides["label"].to_numpy(np.float32)[places[:, 0], None]
    images = keras.Input((options.size, options.size, 3))
    features = keras.applications.InceptionV3(
        include_top=False, weights=None, input_tensor=images, pooling="avg"
    ).output
    model = keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(features))
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="binary_crossentropy", jit_compile=False)

    def scaled(image, label):
        return tf.cast(image, tf.float32) / 255.0, label

    endless = tf.data.Dataset.from_tensor_slices((tiles, labels)).shuffle(len(tiles)).repeat()
    train = endless.batch(options.batch).map(scaled).prefetch(2)
    score = tf.data.Dataset.from_tensor_slices((tiles, labels)).batch(options.batch).map(scaled).prefetch(2)
    return {
        "train": lambda: model.fit(train, steps_per_epoch=options.steps, verbose=0),
        "score": lambda: model.predict(score, verbose=0),
    }


def our_side(options):
    """What a training job and a scoring job run."""
    from histocarta import inference, models, pipeline, training
    from histocarta.tasks import TASKS
    from histocarta.validation import Settings

    slides, saved = slides_in(options.folder), Path(options.folder) / "model.keras"
    if not saved.exists():
        model = {"network": "inception-v3", "size": options.size, "pooling": "avg", "batch_norm_momentum": 0.9}
        settings = TRAINING | {"batch": options.batch, "precision": options.precision}
        learner = training.make_learner(Settings(TASKS["extremes"], model, settings, "slide_auc", 0.5)).model
        models.initialise(learner, seed=1)
        wanted = {"seed": 1, "first": 0, "shuffle_buffer": 256, "augment": settings["augment"]}
        tiles = pipeline.training_batches(slides, size=options.size, batch=options.batch, **wanted)
        return {
            "train": lambda: learner.fit(tiles, steps_per_epoch=options.steps, verbose=0, shuffle=False),
            "save": lambda: models.save_model(learner, saved),
        }
    scorer = []

    def score():
        if not scorer:
            scorer.append(inference.load_scorer([str(saved)], precision=options.precision)[0])
        _, scores = inference.score_slides(slides, scorer[0], size=options.size, batch=options.batch)
        np.save(Path(options.folder) / f"{options.precision}.npy", scores)

    return {"score": score}


def serve(options):
    """A side's process: do what each line on standard input says and answer with the seconds it took."""
    work = SIDES[options.side](options)
    for line in sys.stdin:
        began, used, busy = time.perf_counter(), time.process_time(), busy_seconds()
        work[line.strip()]()
        answer = {"wall": time.perf_counter() - began, "cpu": time.process_time() - used}
        answer["others"] = busy_seconds() - busy - answer["cpu"]
        print("SECONDS " + json.dumps(answer), flush=True)


SIDES = {"plain": plain_side, "histocarta": our_side}


class Side:
    """A side's process, asked for one turn at a time."""

    def __init__(self, side, precision, options, folder):
        same = [f"--{key}={getattr(options, key)}" for key in ("size", "batch", "steps")]
        command = [sys.executable, __file__, f"--side={side}", f"--precision={precision}", f"--folder={folder}", *same]
        self.name = f"{side}, {precision}"
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)

    def turn(self, what):
        print(what, file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("SECONDS "):
                return json.loads(line.removeprefix("SECONDS "))
        raise RuntimeError(f"{self.name} ended: run it with --side to see why")


def compare(first, second, what, tiles, turns):
    """Median seconds of both sides in turn; the median ratio first / second by wall and by CPU, and others' cores."""
    start = {side.name: side.turn(what) for side in (first, second)}
    spent = {side.name: [] for side in (first, second)}
    for _ in range(turns):
        for side in (first, second):
            spent[side.name].append(side.turn(what))
    for name, values in spent.items():
        wall, cpu = (np.median([value[kind] for value in values]) for kind in ("wall", "cpu"))
        print(
            f"  {what} {name:27s} {tiles / wall:6.1f} tiles/s, {1000 * cpu / tiles:6.1f} CPU ms/tile; "
            f"first turn, with tracing: {start[name]['wall']:.0f} s, {start[name]['cpu']:.0f} CPU s"
        )
    ratios = [
        np.median([one[kind] / two[kind] for one, two in zip(*spent.values(), strict=True)]) for kind in ("wall", "cpu")
    ]
    turns = [value for values in spent.values() for value in values]
    return *ratios, np.median([value["others"] / value["wall"] for value in turns])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--size", type=int, default=75)
    arguments.add_argument("--batch", type=int, default=32)
    arguments.add_argument("--steps", type=int, default=8, help="training steps per turn")
    arguments.add_argument("--turns", type=int, default=5)
    arguments.add_argument("--low", action="store_true", help="float32 against mixed_bfloat16")
    arguments.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    arguments.add_argument("--precision", default="float32", help=argparse.SUPPRESS)
    arguments.add_argument("--folder", help=argparse.SUPPRESS)
    options = arguments.parse_args()
    if options.side:
        serve(options)
        return
    print(f"{machine()}; Inception v3, {options.size} px, batch {options.batch}")
    names = [("histocarta", "float32"), ("histocarta", "mixed_bfloat16")]
    with tempfile.TemporaryDirectory() as folder:
        write_shards(Path(folder), options.size)
        total = int(slides_in(folder)["n_tiles"].sum())
        for what, tiles in (("train", options.steps * options.batch), ("score", total)):
            pairs = names if options.low else [("plain", "float32"), names[0]]
            sides = [Side(*name, options, folder) for name in pairs]
            wall, cpu, others = compare(*sides, what, tiles, options.turns)
            quiet = others < QUIET
            note = (
                f"{cpu:.3g} by CPU time"
                if quiet
                else f"by CPU time, as others took {others:.1f} cores; wall {wall:.3g}"
            )
            pair = f"{what}, {options.size} px, {sides[1].name}, times {sides[0].name}"
            verdict(pair, wall if quiet else cpu, least=1.5 if options.low else 0.9, note=note)
            if what == "train":
                sides[not options.low].turn("save")  # one model for both sides to score with
            for side in sides:
                side.process.stdin.close()
                side.process.wait()
        if options.low:
            one, two = (np.load(Path(folder) / f"{precision}.npy") for _, precision in names)
            flipped = np.mean((one > 0.5) != (two > 0.5))
            finding(
                f"scores of one model: mixed_bfloat16 is off float32 by {np.abs(one - two).mean():.4f} on average, "
                f"{np.abs(one - two).max():.4f} at most; {flipped:.1%} of {len(one)} tiles change sides of 0.5"
            )


if __name__ == "__main__":
    main()

"""From TFRecord to float32 batches of 512 px tiles: histocarta against the released reader, and against decoding alone.

    python benchmarks/pipeline.py --data $REAL_DATA [--quality 90] [--turns 7]

Tiles are cut from a real her2st section and stored once (JPEG 4:4:4 of the given quality); both sides read the same
shards, decode, flip both ways at random and give float32 batches in 0..1 of 18 tiles. "Released" is a port to
TensorFlow 2 of what PathoMCH's tfrecords_reader.py does: interleave 16 shards in any order, parse, decode, resize to
the size that the tile has, cast, divide, flip as floats, resize again by nearest neighbour. It has no shuffle buffer
and no order that can be repeated; histocarta has both. "As used" gives uint8 batches, which is what the model is fed
(it scales inside). "Decode only" is libjpeg-turbo by simplejpeg in one thread: the limit per core. All run in one
process and take turns; on a shared machine CPU time per tile is the robust figure.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import simplejpeg
import tensorflow as tf
from histocarta import pipeline
from histocarta.tilestore import read_shard, write_shard
from machine import finding, machine, verdict

SIZE, BATCH, SHARDS, WARM = 512, 18, 16, 10
TARGET = 1.7


def write_tiles(data, folder, quality):
    """16 shards of the tiles of one section that hold tissue; a table as ``pipeline.select_slides`` gives it."""
    image = cv2.imread(str(Path(data) / "her2st" / "images" / "C3.jpg"), cv2.IMREAD_COLOR_RGB)
    height, width, _ = image.shape
    step = SIZE // 2
    corners = [(y, x) for y in range(0, height - SIZE, step) for x in range(0, width - SIZE, step)]
    tiles = [np.ascontiguousarray(image[y : y + SIZE, x : x + SIZE]) for y, x in corners]
    jpegs = [
        simplejpeg.encode_jpeg(tile, quality=quality, colorsubsampling="444") for tile in tiles if tile.mean() < 215
    ]
    rows = []
    for n in range(SHARDS):
        shard = folder / f"s{n:02d}.tfrecord"
        count = write_shard(shard, ((0, col, jpeg) for col, jpeg in enumerate(jpegs[n::SHARDS])))
        rows.append({"slide": f"s{n:02d}", "shard": str(shard), "sha256": "", "n_tiles": count, "label": n % 2})
    print(f"{len(jpegs)} tiles, {np.mean([len(jpeg) for jpeg in jpegs]) / 1000:.0f} kB each at quality {quality}")
    return pd.DataFrame(rows)


def released_batches(slides):
    """What the released reader does, with this store's feature names; the row stands in for its label."""

    def read(record):
        features = {"image": tf.io.FixedLenFeature([], tf.string), "row": tf.io.FixedLenFeature([], tf.int64)}
        example = tf.io.parse_single_example(record, features)
        image = tf.image.decode_jpeg(example["image"], channels=3)
        image = tf.cast(tf.image.resize(image, (SIZE, SIZE)), tf.float32) / 255.0
        image = tf.image.random_flip_left_right(image, seed=35155)
        image = tf.image.random_flip_up_down(image, seed=35155)
        image = tf.image.resize(image, [SIZE, SIZE], method=tf.image.ResizeMethod.NEAREST_NEIGHBOR)
        return image, tf.cast(example["row"], tf.float32)

    options = tf.data.Options()
    options.deterministic = False
    files = tf.data.Dataset.from_tensor_slices(slides["shard"].to_numpy(str)).with_options(options)
    records = files.interleave(tf.data.TFRecordDataset, cycle_length=16, num_parallel_calls=tf.data.AUTOTUNE)
    tiles = records.map(read, num_parallel_calls=tf.data.AUTOTUNE)
    return tiles.batch(BATCH, drop_remainder=True).repeat().prefetch(tf.data.AUTOTUNE)


def our_batches(slides):
    settings = {"seed": 1, "first": 0, "shuffle_buffer": 256, "augment": ["horizontal", "vertical"]}
    return pipeline.training_batches(slides, size=SIZE, batch=BATCH, **settings)


def as_floats(images, labels):
    return tf.cast(images, tf.float32) / 255.0, labels


def reader_of(dataset):
    """A function that reads n batches and gives wall and CPU seconds; what it prefetched ends with it.

    An iterator that lived on would fill its buffers, and use the processor, while the others have their turn.
    """

    def read(n):
        batches = iter(dataset)
        for _ in range(WARM):
            next(batches)
        began, used = time.perf_counter(), time.process_time()
        for _ in range(n):
            next(batches)
        return time.perf_counter() - began, time.process_time() - used

    return read


def decode_only(slides):
    jpegs = [jpeg for shard in slides["shard"] for _, _, jpeg in read_shard(shard)]

    def read(n):
        began, used = time.perf_counter(), time.process_time()
        for k in range(n * BATCH):
            simplejpeg.decode_jpeg(jpegs[k % len(jpegs)])
        return time.perf_counter() - began, time.process_time() - used

    return read


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--data", default=os.environ.get("REAL_DATA"), required="REAL_DATA" not in os.environ)
    arguments.add_argument("--quality", type=int, default=90)
    arguments.add_argument("--turns", type=int, default=7)
    arguments.add_argument("--batches", type=int, default=25, help="batches per turn")
    options = arguments.parse_args()
    print(f"{machine()}; TensorFlow {tf.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        slides = write_tiles(options.data, Path(folder), options.quality)
        sides = {
            "released, float32": reader_of(released_batches(slides)),
            "histocarta, float32": reader_of(our_batches(slides).map(as_floats, num_parallel_calls=tf.data.AUTOTUNE)),
            "histocarta as used, uint8": reader_of(our_batches(slides)),
            "decode only, 1 thread": decode_only(slides),
        }
        for read in sides.values():  # warm: threads, autotuning, page cache
            read(options.batches)
        wall, cpu = ({name: [] for name in sides} for _ in range(2))
        for _ in range(options.turns):
            for name, read in sides.items():
                seconds, used = read(options.batches)
                wall[name].append(options.batches * BATCH / seconds)
                cpu[name].append(1000 * used / (options.batches * BATCH))
    report(wall, cpu)


def report(wall, cpu):
    names = list(wall)
    for name in names:
        rate, cost = wall[name], cpu[name]
        print(f"  {name:27s} {np.median(rate):6.0f} tiles/s (best {max(rate):.0f}), {np.median(cost):.2f} CPU ms/tile")
    released, ours, used, limit = names
    ratio = np.median(np.divide(wall[ours], wall[released]))
    saved = np.median(np.divide(cpu[released], cpu[ours]))
    print(f"histocarta / released, both float32: {ratio:.2f} x tiles/s, {saved:.2f} x by CPU")
    print(f"as used / released: {np.median(np.divide(wall[used], wall[released])):.2f} x tiles/s")
    verdict("float32 batches, times the released reader", ratio, least=TARGET, note=f"{saved:.3g} by CPU time")
    share = {name: np.median(np.divide(cpu[limit], cpu[name])) for name in (ours, used)}
    finding(f"decoding is {share[ours]:.0%} of the CPU time with float32 out, {share[used]:.0%} as used")


if __name__ == "__main__":
    main()

"""How stored tiles become batches: which shards are read, in what order tiles come, how each is decoded and flipped."""

import os
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from histocarta.errors import InputError

CYCLE = 32  # shards read in turns: a batch of neighbouring tiles of one slide teaches little
AHEAD = 4  # batches that are ready before they are asked for
FLIPS = {"horizontal": 1, "vertical": 0}  # axis of the image that each reverses
_FEATURES = {
    name: tf.io.FixedLenFeature([], kind) for name, kind in (("image", tf.string), ("row", tf.int64), ("col", tf.int64))
}
_HEADER = struct.Struct("<Q")
_FRAME = 16  # bytes of a record besides its data: length 8, two checksums of 4


def select_slides(
    manifest: pd.DataFrame, labels: pd.DataFrame, split: pd.DataFrame, *, part: str, column: str
) -> pd.DataFrame:
    """Slides of ``part`` that have tiles and a label: columns slide, shard, sha256, n_tiles, label; sorted by slide."""
    chosen = split.loc[split["part"] == part, ["slide"]]
    labelled = labels.loc[labels[column].notna(), ["slide", column]].rename(columns={column: "label"})
    tiles = manifest[["slide", "shard", "sha256", "n_tiles"]].assign(n_tiles=manifest["n_tiles"].astype(int))
    slides = chosen.merge(labelled, on="slide", validate="one_to_one").merge(tiles, on="slide", validate="one_to_one")
    return slides[slides["n_tiles"] > 0].sort_values("slide", ignore_index=True)


def select_tiles(
    manifest: pd.DataFrame, labels: pd.DataFrame, split: pd.DataFrame, *, part: str, column: str
) -> pd.DataFrame:
    """The same where tiles have labels of their own: slides of ``part`` with a labelled tile, sorted by slide.

    labels : a row for every tile of a slide, in the order of its shard (slide, row, col, ``column``); NaN: none.
    Columns besides those of :func:`select_slides`: records (tiles in the shard; n_tiles are the labelled ones), places
    (int64, labelled tiles x row and col), at (their numbers in the shard); label holds those of all labelled tiles.
    """
    parts = split.set_index("slide")["part"]
    shards = manifest.set_index("slide")
    rows = []
    for slide, tiles in labels.groupby("slide", sort=True):
        known = tiles[column].notna().to_numpy()
        if parts.get(slide) != part or not known.any():
            continue
        rows.append(
            {
                "slide": slide,
                "label": np.array(tiles.loc[known, column].tolist(), np.float32).reshape(int(known.sum()), -1),
                "shard": shards.at[slide, "shard"],
                "sha256": shards.at[slide, "sha256"],
                "n_tiles": int(known.sum()),
                "records": len(tiles),
                "places": tiles.loc[known, ["row", "col"]].to_numpy(np.int64),
                "at": np.flatnonzero(known),
            }
        )
    return pd.DataFrame(rows, columns=["slide", "label", "shard", "sha256", "n_tiles", "records", "places", "at"])


def label_matrix(slides: pd.DataFrame) -> np.ndarray:
    """float32, slides (or labelled tiles, :func:`select_tiles`) x outputs.

    A label is a number, or the list of those that a network with many outputs learns.
    """
    if slides.empty:
        return np.zeros((0, 1), np.float32)
    if "places" in slides:
        return np.vstack(slides["label"])
    return np.array(slides["label"].tolist(), np.float32).reshape(len(slides), -1)


def tile_labels(slides: pd.DataFrame, strides: np.ndarray) -> np.ndarray:
    """float32, tiles x outputs: the labels of what :func:`ordered_batches` gives with these ``strides``."""
    if "places" in slides:
        return np.vstack([label[::stride] for label, stride in zip(slides["label"], strides, strict=True)])
    return np.repeat(label_matrix(slides), -(-slides["n_tiles"].to_numpy() // strides), axis=0)


def check_shards(slides: pd.DataFrame) -> None:
    """Raise InputError where a shard is missing or holds another number of records than the manifest says.

    TensorFlow reads a file that was cut between two records as a shorter one, without an error.
    """
    records = slides["records" if "records" in slides else "n_tiles"]
    for slide, shard, expected in zip(slides["slide"], slides["shard"], records, strict=True):
        found = count_records(shard)
        if found != expected:
            raise InputError(
                f"M-SHARD Expected {expected} records in {shard}, as the manifest says, found {found}; "
                f"delete the file and tile slide {slide} again"
            )


def count_records(shard: str | Path) -> int:
    """Number of records of a TFRecord file, by their lengths alone; -1 where it is missing or ends inside a record."""
    if not Path(shard).is_file():
        return -1
    count, position, end = 0, 0, Path(shard).stat().st_size
    descriptor = os.open(shard, os.O_RDONLY)
    try:
        while position < end:
            header = os.pread(descriptor, _HEADER.size, position)
            if len(header) < _HEADER.size:
                return -1
            position += _HEADER.unpack(header)[0] + _FRAME
            count += 1
    finally:
        os.close(descriptor)
    return count if position == end else -1


def training_batches(
    slides: pd.DataFrame,
    *,
    size: int,
    batch: int,
    seed: int,
    first: int,
    shuffle_buffer: int,
    augment: Sequence[str],
) -> tf.data.Dataset:
    """Endless full batches (uint8 N x size x size x 3, float32 N x outputs), from tile number ``first`` of the run on.

    Every pass goes over all tiles once. The order of pass p depends on (seed, p) and the flips of tile number i on
    (seed, i) alone, so that a resumed run sees exactly the tiles that the uninterrupted run would have seen. (The
    released code gave both flips one seed: only identity and half turns ever occurred.)
    """
    n_tiles = int(slides["n_tiles"].sum())
    shards, labels = slides["shard"].to_numpy(str), label_matrix(slides)
    owners = _owners(slides)
    places = np.vstack(slides["places"]) if "places" in slides else None
    threads = _threads()

    def labelled_records(shard: tf.Tensor, slide: tf.Tensor) -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(shard)
        if owners is None:
            return tf.data.Dataset.zip((records, tf.data.Dataset.from_tensors(slide).repeat()))
        numbered = tf.data.Dataset.zip((records, tf.data.Dataset.from_tensor_slices(owners[slide])))
        return numbered.filter(lambda _, owner: owner >= 0)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        seeds = tf.random.stateless_uniform([2], _pair(seed, number), minval=None, maxval=None, dtype=tf.int64)
        order = tf.data.Dataset.from_tensor_slices((shards, np.arange(len(shards))))
        order = order.shuffle(len(shards), seed=seeds[0], reshuffle_each_iteration=False)
        cycle = min(CYCLE, len(shards))
        records = order.interleave(
            labelled_records, cycle_length=cycle, num_parallel_calls=min(threads, cycle), deterministic=True
        )
        return records.shuffle(min(shuffle_buffer, n_tiles), seed=seeds[1], reshuffle_each_iteration=False)

    def prepare(index: tf.Tensor, sample: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        record, owner = sample
        example = tf.io.parse_single_example(record, _FEATURES)
        if places is not None:
            found = tf.stack([example["row"], example["col"]])
            tf.debugging.assert_equal(found, tf.gather(places, owner), "M-SHARD a tile is not where its label is")
        image = decode_tile(example["image"], size=size)
        return flip_tile(image, seed=seed, index=index, augment=augment), tf.gather(labels, owner)

    passes = tf.data.Dataset.counter(start=first // n_tiles).flat_map(one_pass)
    numbered = passes.skip(first % n_tiles).enumerate(start=first)  # skipped before they are decoded
    tiles = numbered.map(prepare, num_parallel_calls=threads, deterministic=True)
    return _untuned(tiles.batch(batch, drop_remainder=True))


def ordered_batches(
    slides: pd.DataFrame, *, size: int, batch: int, strides: Sequence[int] | None = None, fill: bool = False
) -> tf.data.Dataset:
    """Every tile once, slide after slide: batches of (uint8 tiles, int64 (number of the slide, row, col)).

    Of slides whose tiles have labels of their own (:func:`select_tiles`) those with a label.
    strides : per slide, take every so-manieth tile only (validation on a subset).
    fill : whether black tiles, which have no place, bring the last batch to its full size; else it may be smaller.
    """
    strides = np.ones(len(slides), np.int64) if strides is None else np.asarray(strides, np.int64)
    table = tf.data.Dataset.from_tensor_slices((slides["shard"].to_numpy(str), np.arange(len(slides)), strides))
    owners = _owners(slides, strides)

    def records(shard: tf.Tensor, slide: tf.Tensor, stride: tf.Tensor) -> tf.data.Dataset:
        chosen = tf.data.TFRecordDataset(shard)
        if owners is None:
            chosen = chosen.shard(stride, 0)
        else:
            wanted = tf.data.Dataset.from_tensor_slices(owners[slide] >= 0)
            chosen = tf.data.Dataset.zip((chosen, wanted)).filter(lambda _, use: use).map(lambda record, _: record)
        return tf.data.Dataset.zip((chosen, tf.data.Dataset.from_tensors(slide).repeat()))

    def prepare(record: tf.Tensor, slide: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        example = tf.io.parse_single_example(record, _FEATURES)
        return decode_tile(example["image"], size=size), tf.stack([slide, example["row"], example["col"]])

    def filled(images: tf.Tensor, places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        missing = batch - tf.shape(images)[0]
        return tf.ensure_shape(tf.pad(images, [[0, missing], *[[0, 0]] * 3]), [batch, size, size, 3]), places

    total = int(np.sum(-(-slides["n_tiles"].to_numpy() // strides)))
    tiles = table.flat_map(records).map(prepare, num_parallel_calls=_threads(), deterministic=True)
    batches = tiles.batch(batch).apply(tf.data.experimental.assert_cardinality(-(-total // batch)))
    return _untuned(batches.map(filled) if fill else batches)


def decode_tile(jpeg: tf.Tensor, *, size: int) -> tf.Tensor:
    """A JPEG as uint8 size x size x 3; a tile of another size is resampled with an anti-aliasing filter."""
    image = tf.io.decode_jpeg(jpeg, channels=3, dct_method="INTEGER_ACCURATE")

    def resized() -> tf.Tensor:
        scaled = tf.image.resize(image, [size, size], method="bilinear", antialias=True)
        return tf.cast(tf.clip_by_value(tf.round(scaled), 0, 255), tf.uint8)

    fits = tf.reduce_all(tf.equal(tf.shape(image)[:2], size))
    return tf.ensure_shape(tf.cond(fits, lambda: image, resized), [size, size, 3])


def flip_tile(image: tf.Tensor, *, seed: int, index: tf.Tensor, augment: Sequence[str]) -> tf.Tensor:
    """``image`` changed in each way of ``augment``, independently, by (seed, index) alone.

    Flipped along an axis (horizontal, vertical) with probability 1/2; turned (rotate) by 0 to 3 quarters, evenly.
    """
    if not augment:
        return image
    draws = tf.random.stateless_uniform([len(augment)], _pair(seed, index))
    for number, name in enumerate(augment):
        if name == "rotate":
            image = tf.image.rot90(image, tf.cast(draws[number] * 4, tf.int32))
            continue
        axis = FLIPS[name]
        image = tf.cond(
            draws[number] < 0.5, lambda image=image, axis=axis: tf.reverse(image, [axis]), lambda image=image: image
        )
    return image


def _threads() -> int:
    """Threads that the process was given (``Backend.limit``), else one per core that it may run on."""
    return tf.config.threading.get_intra_op_parallelism_threads() or len(os.sched_getaffinity(0))


def _untuned(batches: tf.data.Dataset) -> tf.data.Dataset:
    """``batches``, made ahead by a fixed number.

    tf.data's own tuning of such numbers knows the machine's cores, not the job's. And its thread sleeps for up to 60 s
    at a time, the longer the older it is; an iterator that ends meanwhile waits for it now and then.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(AHEAD).with_options(options)


def _owners(slides: pd.DataFrame, strides: np.ndarray | None = None) -> tf.RaggedTensor | None:
    """Per slide and record of its shard, the row of :func:`label_matrix` that is its label, -1 for none.

    None where slides have the labels: all records of slide number n have that of row n.
    """
    if "places" not in slides:
        return None
    first, rows = 0, []
    for number, (records, at) in enumerate(zip(slides["records"], slides["at"], strict=True)):
        row = np.full(records, -1, np.int64)
        stride = 1 if strides is None else strides[number]
        row[at[::stride]] = first + np.arange(0, len(at), stride)
        first += len(at)
        rows.append(row)
    return tf.RaggedTensor.from_row_lengths(np.concatenate(rows), [len(row) for row in rows])


def _pair(seed: int, number: tf.Tensor) -> tf.Tensor:
    """The seed of a stateless operation that depends on both alone."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(number, tf.int64)])

"""From shards to batches."""

import itertools
from collections import Counter

import numpy as np
import pandas as pd
import pytest
import simplejpeg
import tensorflow as tf
from histocarta import pipeline
from histocarta.errors import InputError
from learning_kit import SIZE, labels_of, manifest_of, plain_tile, split_of, write_tiles
from scipy import stats


def slides_of(folder, counts):
    """Slides whose tiles are grey, each tile of the whole set with a value of its own (4 grey levels apart)."""
    values = iter(range(0, 256, 4))
    tiles = {f"s{n}": [plain_tile(next(values)) for _ in range(count)] for n, count in enumerate(counts)}
    manifest = manifest_of(folder, tiles)
    return manifest.assign(n_tiles=manifest["n_tiles"].astype(int), label=[float(n % 2) for n in range(len(counts))])


def batches(slides, count, **changes):
    settings = {"size": SIZE, "batch": 4, "seed": 7, "first": 0, "shuffle_buffer": 8, "augment": []} | changes
    dataset = pipeline.training_batches(slides, **settings)
    return [(images.numpy(), labels.numpy()) for images, labels in dataset.take(count)]


def tile_numbers(found):
    return [round(int(image[0, 0, 0]) / 4) for images, _ in found for image in images]


def test_only_slides_of_the_part_with_tiles_and_a_label_are_chosen(tmp_path):
    manifest = manifest_of(
        tmp_path, {name: [plain_tile(0)] * n for name, n in (("a", 2), ("b", 1), ("c", 3), ("d", 0), ("e", 1))}
    )
    labels = labels_of({"a": 1.0, "b": np.nan, "c": 0.0, "d": 1.0, "e": 1.0})
    split = split_of({"c": "train", "a": "train", "b": "train", "d": "train", "e": "test"})
    chosen = pipeline.select_slides(manifest, labels, split, part="train", column="label")
    assert chosen[["slide", "label", "n_tiles"]].to_numpy().tolist() == [["a", 1.0, 2], ["c", 0.0, 3]]


def test_shards_of_slides_without_a_label_are_never_opened(tmp_path):
    manifest = manifest_of(tmp_path, {name: [plain_tile(9)] * 3 for name in ("a", "b", "c")})
    (tmp_path / "b.tfrecord").unlink()
    labels, split = labels_of({"a": 1.0, "b": np.nan, "c": 0.0}), split_of(dict.fromkeys("abc", "train"))
    slides = pipeline.select_slides(manifest, labels, split, part="train", column="label")
    pipeline.check_shards(slides)
    assert len(batches(slides, 6)) == 6


def test_every_pass_holds_every_tile_once_with_its_label_and_passes_differ(tmp_path):
    slides = slides_of(tmp_path, [5, 1, 9, 2])  # 17 tiles: passes do not end with a batch
    found = batches(slides, 17)
    numbers = tile_numbers(found)
    passes = [numbers[start : start + 17] for start in range(0, 68, 17)]
    assert all(sorted(one) == list(range(17)) for one in passes)
    assert len({tuple(one) for one in passes}) == 4
    slide_of = np.repeat(range(4), [5, 1, 9, 2])
    labels = np.concatenate([label[:, 0] for _, label in found])
    assert labels.tolist() == [float(slide_of[number] % 2) for number in numbers]


def test_a_stream_begun_later_is_the_tail_of_the_whole(tmp_path):
    slides = slides_of(tmp_path, [5, 1, 9, 2])
    every = batches(slides, 12, augment=["horizontal", "vertical"])
    for skipped in (1, 4, 5, 9):
        later = batches(slides, 12 - skipped, first=4 * skipped, augment=["horizontal", "vertical"])
        assert all(
            np.array_equal(a, b)
            for one, two in zip(every[skipped:], later, strict=True)
            for a, b in zip(one, two, strict=True)
        )


def test_order_depends_on_the_seed(tmp_path):
    slides = slides_of(tmp_path, [8, 8])
    assert tile_numbers(batches(slides, 4)) == tile_numbers(batches(slides, 4))
    assert tile_numbers(batches(slides, 4)) != tile_numbers(batches(slides, 4, seed=8))


def test_nothing_waits_for_tf_datas_own_tuning_thread(tmp_path):
    """It sleeps for up to a minute at a time: 9 of 100 short streams ended only when it woke, none without it."""
    slides = slides_of(tmp_path, [5, 1])
    training = pipeline.training_batches(slides, size=SIZE, batch=2, seed=1, first=0, shuffle_buffer=2, augment=[])
    for batches_of in (training, pipeline.ordered_batches(slides, size=SIZE, batch=2)):
        assert batches_of.options().autotune.enabled is False


def test_shards_are_read_in_turns_so_that_a_batch_mixes_slides(tmp_path):
    slides = slides_of(tmp_path, [8] * 8)
    numbers = tile_numbers(batches(slides, 2, shuffle_buffer=1))  # no help from the buffer
    assert sorted(number // 8 for number in numbers) == list(range(8))


def test_flips_are_independent_and_all_four_occur_equally():
    """The released code's flips share a seed: only identity and the half turn occur (2,057 and 1,943 of 4,000)."""
    image = tf.reshape(tf.range(12, dtype=tf.int32), [2, 2, 3])
    seen = {}
    for flipped in itertools.product((False, True), repeat=2):
        axes = [axis for axis, flip in zip((1, 0), flipped, strict=True) if flip]
        seen[tf.reverse(image, axes).numpy().tobytes() if axes else image.numpy().tobytes()] = flipped
    flip = tf.function(
        lambda index: pipeline.flip_tile(image, seed=11, index=index, augment=["horizontal", "vertical"])
    )
    counts = dict.fromkeys(seen.values(), 0)
    for index in range(1000):
        counts[seen[flip(tf.constant(index, tf.int64)).numpy().tobytes()]] += 1
    assert stats.chisquare(list(counts.values())).pvalue > 0.001
    again = [flip(tf.constant(5, tf.int64)).numpy() for _ in range(3)]
    assert all(np.array_equal(again[0], other) for other in again)


def test_quarter_turns_occur_equally_and_with_flips_all_eight_symmetries():
    image = tf.reshape(tf.range(12, dtype=tf.int32), [2, 2, 3])
    turns = [np.rot90(image.numpy(), k) for k in range(4)]
    for augment, expected in ((["rotate"], turns), (["rotate", "horizontal"], turns + [t[:, ::-1] for t in turns])):
        turn = tf.function(lambda index, ways=augment: pipeline.flip_tile(image, seed=3, index=index, augment=ways))
        found = [turn(tf.constant(index, tf.int64)).numpy().tobytes() for index in range(1000)]
        counts = Counter(found)
        assert set(counts) == {np.ascontiguousarray(one).tobytes() for one in expected}
        assert stats.chisquare(list(counts.values())).pvalue > 0.001


@pytest.mark.parametrize(("augment", "expected"), [([], 1), (["horizontal"], 2), (["vertical"], 2)])
def test_only_the_flips_asked_for_occur(augment, expected):
    image = tf.reshape(tf.range(12, dtype=tf.int32), [2, 2, 3])
    found = {
        pipeline.flip_tile(image, seed=1, index=tf.constant(i, tf.int64), augment=augment).numpy().tobytes()
        for i in range(40)
    }
    assert len(found) == expected


def test_tiles_decode_as_libjpeg_turbo_decodes_them():
    rng = np.random.default_rng(0)
    jpeg = simplejpeg.encode_jpeg(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8), quality=90, colorsubsampling="444")
    mine = pipeline.decode_tile(tf.constant(jpeg), size=32).numpy().astype(int)
    assert np.abs(mine - simplejpeg.decode_jpeg(jpeg, fastdct=False).astype(int)).max() <= 1


def test_a_tile_of_another_size_is_averaged_down():
    """Halving with an anti-aliasing filter keeps the mean; every second pixel of stripes would be 0 or 255."""
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    png_like = simplejpeg.encode_jpeg(stripes, quality=100, colorsubsampling="444")
    half = pipeline.decode_tile(tf.constant(png_like), size=16).numpy()
    assert half.shape == (16, 16, 3)
    assert np.abs(half[2:-2, 2:-2].astype(int) - 127).max() <= 12


def test_a_last_batch_is_filled_with_black_tiles_that_have_no_place(tmp_path):
    slides = slides_of(tmp_path, [7, 2, 3])
    plain, filled = (list(pipeline.ordered_batches(slides, size=SIZE, batch=5, fill=fill)) for fill in (False, True))
    assert [len(tiles) for tiles, _ in plain] == [5, 5, 2]
    assert [len(tiles) for tiles, _ in filled] == [5, 5, 5]
    assert not filled[-1][0][2:].numpy().any()
    for (tiles, places), (more, same) in zip(plain, filled, strict=True):
        assert np.array_equal(more[: len(tiles)], tiles)
        assert np.array_equal(same, places)


def test_ordered_batches_give_every_tile_with_its_place(tmp_path):
    slides = slides_of(tmp_path, [7, 2, 3])
    dataset = pipeline.ordered_batches(slides, size=SIZE, batch=5)
    assert int(dataset.cardinality()) == 3
    images, places = zip(*((i.numpy(), p.numpy()) for i, p in dataset), strict=True)
    assert [round(int(image[0, 0, 0]) / 4) for image in np.concatenate(images)] == list(range(12))
    expected = [[slide, n // 5, n % 5] for slide, count in enumerate([7, 2, 3]) for n in range(count)]
    assert np.concatenate(places).tolist() == expected


def test_strides_take_every_so_manieth_tile_of_a_slide(tmp_path):
    slides = slides_of(tmp_path, [7, 2, 3])
    dataset = pipeline.ordered_batches(slides, size=SIZE, batch=100, strides=[3, 1, 2])
    ((images, places),) = [(i.numpy(), p.numpy()) for i, p in dataset]
    assert [round(int(image[0, 0, 0]) / 4) for image in images] == [0, 3, 6, 7, 8, 9, 11]
    assert places[:, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_a_shard_with_other_records_than_the_manifest_says_is_named(tmp_path):
    write_tiles(tmp_path / "a.tfrecord", [plain_tile(n) for n in range(3)])
    whole = (tmp_path / "a.tfrecord").read_bytes()
    first = 16 + int.from_bytes(whole[:8], "little")
    table = pd.DataFrame({"slide": ["a"], "shard": [str(tmp_path / "a.tfrecord")], "n_tiles": [3]})
    pipeline.check_shards(table)
    for damaged, found in ((whole[:first], 1), (b"", 0), (whole[: first + 3], -1), (whole[:-1], -1)):
        (tmp_path / "a.tfrecord").write_bytes(damaged)
        with pytest.raises(
            InputError, match=rf"M-SHARD Expected 3 records in .*a\.tfrecord.* found {found}; .*tile slide a again"
        ):
            pipeline.check_shards(table)
    (tmp_path / "a.tfrecord").unlink()
    assert pipeline.count_records(tmp_path / "a.tfrecord") == -1


def tiles_of(folder, labels):
    """Slides whose tiles have labels of their own (NaN: none), as ``select_tiles`` gives them; greys as above."""
    slides = slides_of(folder, [len(values) for values in labels])
    table = pd.DataFrame(
        [
            {"slide": slide, "row": n // 5, "col": n % 5, "label": label}
            for slide, values in zip(slides["slide"], labels, strict=True)
            for n, label in enumerate(values)
        ]
    )
    split = split_of(dict.fromkeys(slides["slide"], "train"))
    return pipeline.select_tiles(slides, table, split, part="train", column="label")


NONE = float("nan")
OWN = [[1, NONE, 0, 1, NONE, 1, 0], [NONE], [NONE, 0, 0], [1]]  # 11 tiles are labelled: 5 of the first slide


def test_tiles_with_labels_of_their_own_bring_those_and_the_others_stay_away(tmp_path):
    slides = tiles_of(tmp_path, OWN)
    assert slides[["slide", "n_tiles", "records"]].to_numpy().tolist() == [["s0", 5, 7], ["s2", 2, 3], ["s3", 1, 1]]
    pipeline.check_shards(slides)
    own = {number: label for number, label in enumerate(itertools.chain(*OWN)) if not np.isnan(label)}
    found = batches(slides, 8)  # four passes
    numbers, labels = tile_numbers(found), np.concatenate([label[:, 0] for _, label in found])
    assert Counter(numbers) == dict.fromkeys(own, 4)
    assert labels.tolist() == [own[number] for number in numbers]


def test_a_stream_of_labelled_tiles_begun_later_is_the_tail_of_the_whole(tmp_path):
    slides = tiles_of(tmp_path, OWN)
    every, later = batches(slides, 6), batches(slides, 4, first=8)
    for whole, tail in zip(every[2:], later, strict=True):
        np.testing.assert_array_equal(whole[0], tail[0])
        np.testing.assert_array_equal(whole[1], tail[1])


@pytest.mark.parametrize("strides", [[1, 1, 1], [2, 1, 3], [3, 2, 1]])
def test_labelled_tiles_in_order_stand_beside_their_labels(tmp_path, strides):
    slides = tiles_of(tmp_path, OWN)
    found = list(pipeline.ordered_batches(slides, size=SIZE, batch=3, strides=strides))
    numbers = [round(int(image[0, 0, 0]) / 4) for images, _ in found for image in images.numpy()]
    every = list(itertools.chain(*OWN))
    labels = pipeline.tile_labels(slides, np.array(strides))
    assert labels[:, 0].tolist() == [every[number] for number in numbers]
    places = np.concatenate([place.numpy() for _, place in found])
    starts = [0, 8, 11]
    assert numbers == [starts[slide] + 5 * row + col for slide, row, col in places]


def test_labels_of_other_places_than_the_shards_are_refused(tmp_path):
    slides = tiles_of(tmp_path, OWN)
    slides.at[0, "places"] = slides.at[0, "places"][::-1]
    with pytest.raises(tf.errors.InvalidArgumentError, match="M-SHARD"):
        batches(slides, 3)


def test_a_shard_with_more_tiles_than_labels_is_refused(tmp_path):
    slides = tiles_of(tmp_path, OWN)
    with pytest.raises(InputError, match="M-SHARD Expected 6 records"):
        pipeline.check_shards(slides.assign(records=[6, 3, 1]))


def test_many_outputs_of_a_tile_are_kept_together(tmp_path):
    slides = tiles_of(tmp_path, OWN)
    two = slides.assign(label=[np.hstack([label, 10 + label]) for label in slides["label"]])
    assert pipeline.label_matrix(two).shape == (8, 2)
    ((_, labels),) = batches(two, 1)
    np.testing.assert_array_equal(labels[:, 1], labels[:, 0] + 10)


@pytest.mark.parametrize("of_tiles", [False, True])
def test_a_part_without_slides_has_no_labels(tmp_path, of_tiles):
    """As a trait has that was left out."""
    slides = tiles_of(tmp_path, OWN) if of_tiles else slides_of(tmp_path, [2, 1])
    assert pipeline.label_matrix(slides.iloc[:0]).shape == (0, 1)

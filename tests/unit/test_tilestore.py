"""The tile store against TensorFlow's own TFRecord and protobuf code."""

import struct

import google_crc32c
import numpy as np
import pytest
from histocarta.errors import InputError
from histocarta.tilestore import FEATURES, decode_example, encode_example, read_shard, write_shard
from hypothesis import given
from hypothesis import strategies as st

RECORDS = [(0, 0, b"\xff\xd8first\xff\xd9"), (0, 300, b""), (129, 2**31, bytes(range(256)) * 300)]


def test_tensorflow_reads_the_same_records(tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = tmp_path / "tiles.tfrecord"
    assert write_shard(path, iter(RECORDS)) == 3
    features = {
        "image": tf.io.FixedLenFeature([], tf.string),
        "row": tf.io.FixedLenFeature([], tf.int64),
        "col": tf.io.FixedLenFeature([], tf.int64),
    }
    assert set(features) == set(FEATURES)
    read = [tf.io.parse_single_example(record, features) for record in tf.data.TFRecordDataset(str(path))]
    assert [(int(r["row"]), int(r["col"]), r["image"].numpy()) for r in read] == RECORDS


def test_a_shard_that_tensorflow_wrote_is_read(tmp_path):
    tf = pytest.importorskip("tensorflow")
    path = str(tmp_path / "tiles.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for row, col, jpeg in RECORDS:
            feature = {
                "row": tf.train.Feature(int64_list=tf.train.Int64List(value=[row])),
                "col": tf.train.Feature(int64_list=tf.train.Int64List(value=[col])),
                "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    assert list(read_shard(path)) == RECORDS


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**31), st.binary(max_size=300))
def test_example_round_trip(row, col, jpeg):
    assert decode_example(encode_example(row=row, col=col, jpeg=jpeg)) == (row, col, jpeg)


def test_no_record_is_an_empty_file(tmp_path):
    path = tmp_path / "tiles.tfrecord"
    assert write_shard(path, []) == 0
    assert path.read_bytes() == b""
    assert list(read_shard(path)) == []


def test_checksums_are_the_masked_crc32c_of_rfc_3720(tmp_path):
    # RFC 3720 B.4: the CRC32C of 32 zero bytes is 0x8a9136aa. TFRecord's mask: rotate right by 15, add 0xa282ead8.
    assert google_crc32c.value(bytes(32)) == 0x8A9136AA
    path = tmp_path / "tiles.tfrecord"
    write_shard(path, RECORDS[:1])
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    crc = google_crc32c.value(data[12 : 12 + length])
    assert struct.unpack("<I", data[-4:])[0] == (((crc >> 15 | crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("position", "what"), [(3, "the checksum of its length is wrong"), (40, "the checksum of its data is wrong")]
)
def test_a_flipped_byte_is_found(tmp_path, position, what):
    path = tmp_path / "tiles.tfrecord"
    write_shard(path, RECORDS)
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"found record 1 damaged .{what}.; delete the file and tile the slide again"):
        list(read_shard(path))


@pytest.mark.parametrize("lost", [1, 5, 76_000])
def test_a_cut_file_is_found(tmp_path, lost):
    path = tmp_path / "tiles.tfrecord"
    write_shard(path, RECORDS)
    path.write_bytes(path.read_bytes()[:-lost])
    found = []
    with pytest.raises(InputError, match=r"found record 3 damaged \(the file ends inside it\)"):
        found.extend(read_shard(path))


def test_nothing_is_left_where_the_records_fail(tmp_path):
    def records():
        yield RECORDS[0]
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        write_shard(tmp_path / "tiles.tfrecord", records())
    assert list(tmp_path.iterdir()) == []


def test_equal_tiles_give_equal_bytes(tmp_path):
    rng = np.random.default_rng(1)
    records = [(row, col, rng.bytes(50)) for row in range(3) for col in range(3)]
    for name in ("a", "b"):
        write_shard(tmp_path / name, records)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

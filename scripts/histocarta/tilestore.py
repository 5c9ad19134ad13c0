"""The tile store's bytes: one TFRecord per slide, a JPEG with its grid row and column per tile, without TensorFlow."""

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import google_crc32c

from histocarta.errors import InputError
from histocarta.files import replacing

FEATURES = {
    "image": "bytes: one JPEG, RGB, 4:4:4",
    "row": "int64: grid row, counted from the top of the slide's region",
    "col": "int64: grid column, counted from the left of the slide's region",
}

# TFRecord (tensorflow/core/lib/io/record_writer.h): uint64 length, uint32 masked crc32c of the length, data, uint32
# masked crc32c of the data, all little-endian.
_LENGTH = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MASK = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # protobuf wire types


def write_shard(path: str | Path, records: Iterable[tuple[int, int, bytes]]) -> int:
    """Write ``(row, col, jpeg)`` records in the order given; return how many. No record is an empty, valid file."""
    count = 0
    with replacing(path) as temporary, temporary.open("wb") as stream:
        for row, col, jpeg in records:
            data = encode_example(row=row, col=col, jpeg=jpeg)
            length = _LENGTH.pack(len(data))
            stream.write(length + _masked_crc(length))
            stream.write(data)
            stream.write(_masked_crc(data))
            count += 1
    return count


def read_shard(path: str | Path) -> Iterator[tuple[int, int, bytes]]:
    """Yield ``(row, col, jpeg)`` of every record, checksums verified.

    Raises:
        InputError: where a record is cut short or its checksum is wrong. (A file cut between two records cannot be told
            from a whole one: compare the count or the SHA-256 with the slide's summary.)
    """
    with Path(path).open("rb") as stream:
        number = 0
        while head := stream.read(_LENGTH.size):
            number += 1
            if len(head) < _LENGTH.size:
                raise _damaged(path, number, "the file ends inside it")
            if stream.read(_CRC.size) != _masked_crc(head):
                raise _damaged(path, number, "the checksum of its length is wrong")
            size = _LENGTH.unpack(head)[0]
            data, crc = stream.read(size), stream.read(_CRC.size)
            if len(data) < size or len(crc) < _CRC.size:
                raise _damaged(path, number, "the file ends inside it")
            if crc != _masked_crc(data):
                raise _damaged(path, number, "the checksum of its data is wrong")
            yield decode_example(data)


def encode_example(*, row: int, col: int, jpeg: bytes) -> bytes:
    """A serialised ``tf.train.Example`` with the FEATURES; keys sorted, so that equal tiles give equal bytes."""
    features = (
        _feature(b"col", _int64_list(col))
        + _feature(b"image", _field(1, _field(1, jpeg)))
        + _feature(b"row", _int64_list(row))
    )
    return _field(1, features)


def decode_example(data: bytes) -> tuple[int, int, bytes]:
    """``(row, col, jpeg)`` of a serialised ``tf.train.Example``; KeyError where one of the FEATURES is absent."""
    values: dict[str, int | bytes] = {}
    for _, features in _fields(data):
        for _, entry in _fields(features):
            key_and_value = dict(_fields(entry))
            ((kind, items),) = _fields(key_and_value[2])
            ((_, value),) = _fields(items)
            if kind == 3 and isinstance(value, bytes):  # Int64List, packed as TensorFlow writes it
                value = _varint(value, 0)[0]
            values[key_and_value[1].decode()] = value
    return int(values["row"]), int(values["col"]), bytes(values["image"])


def _damaged(path: str | Path, number: int, what: str) -> InputError:
    return InputError(
        f"Expected whole records in {path}, found record {number} damaged ({what}); "
        "delete the file and tile the slide again."
    )


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return _CRC.pack((((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF)


def _encode_varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF  # negative int64 as protobuf writes them: two's complement in ten bytes
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _field(number: int, payload: bytes) -> bytes:
    return _encode_varint(number << 3 | _BYTES) + _encode_varint(len(payload)) + payload


def _int64_list(value: int) -> bytes:
    return _field(3, _field(1, _encode_varint(value)))


def _feature(name: bytes, value: bytes) -> bytes:
    return _field(1, _field(1, name) + _field(2, value))


def _varint(data: bytes, start: int) -> tuple[int, int]:
    """The value at ``start`` as a signed int64, and the position behind it."""
    value = shift = 0
    while True:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return (value - (1 << 64) if value >= 1 << 63 else value), start


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and values of one protobuf message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
        else:
            size, position = _varint(data, position) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}[kind], position)
            value, position = data[position : position + size], position + size
        yield key >> 3, value

"""Files: a table written without pandas is the table that pandas would have written."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_table, replacing, write_columns, write_table

COLUMNS = {
    "row": np.array([0, -1, 2**31 - 1], np.int32),
    "x": np.array([0, -1, 2**40], np.int64),
    "x_um": np.array([0.1, np.nan, -np.inf]),
    "tissue": np.array([0.1, np.nan, 1.0], np.float32),
    "kept": np.array([True, False, True]),
    "reason": np.array(["", "edge", "µ and ≥"], object),
}


@pytest.mark.parametrize("length", [0, 1, 3])
def test_columns_are_read_as_the_frame_that_they_make(tmp_path, length):
    columns = {name: values[:length] for name, values in COLUMNS.items()}
    frame = pd.DataFrame(columns)
    write_columns(columns, tmp_path / "columns.parquet")
    write_table(frame, tmp_path / "frame.parquet")
    found = read_table(tmp_path / "columns.parquet")
    pd.testing.assert_frame_equal(found, frame, check_exact=True)
    pd.testing.assert_frame_equal(found, read_table(tmp_path / "frame.parquet"), check_exact=True)


def test_many_bools_and_every_other_value_keep_their_places(tmp_path):
    """Bools are packed eight to a byte, and a slice with steps is no block of memory."""
    values = np.random.default_rng(1).random(1001)
    columns = {"kept": (values > 0.5)[::2], "value": values[::2]}
    write_columns(columns, tmp_path / "columns.parquet")
    pd.testing.assert_frame_equal(read_table(tmp_path / "columns.parquet"), pd.DataFrame(columns), check_exact=True)


def test_columns_of_different_lengths_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="length"):
        write_columns({"a": np.arange(3), "b": np.arange(2)}, tmp_path / "columns.parquet")
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_is_deleted_by_the_next_and_nothing_else(tmp_path):
    path = tmp_path / "tiles[1].tfrecord"
    others = [
        ".tiles[1]-abcdefgh.json",
        ".tiles1-abcdefgh.tfrecord",
        "tiles[1]-abcdefgh.tfrecord",
        ".tiles[1]-x.tfrecord",
    ]
    for name in (*others, ".tiles[1]-adle4pbr.tfrecord"):
        (tmp_path / name).touch()
    with replacing(path) as temporary:
        assert temporary.match(".tiles*-????????.tfrecord")
        temporary.write_bytes(b"whole")
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*others, path.name])


def test_of_two_writers_the_later_ones_file_stands_and_the_earlier_fails(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(FileNotFoundError), replacing(path) as earlier:
        earlier.write_text("earlier")
        with replacing(path) as later:
            later.write_text("later")
    assert path.read_text() == "later" and list(tmp_path.iterdir()) == [path]

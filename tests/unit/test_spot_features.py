"""Windows of spots are measured in their place, the same by one process and by two."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.spot_features import COLOUR, COLUMNS, measure_spots
from learning_kit import manifest_of, plain_tile
from test_nuclei import window


def manifest(folder, tiles):
    write_table(manifest_of(folder, tiles).assign(mpp="0.686"), folder / "manifest.tsv")
    return {"manifest": str(folder / "manifest.tsv"), "features": str(folder / "features.parquet")}


@pytest.mark.parametrize("processes", [1, 2])
def test_every_window_is_measured_in_its_place(tmp_path, processes):
    tiles = {"b": [window(n) for n in (0, 7, 20)], "a": [plain_tile(100, 224)], "none": []}
    paths = manifest(tmp_path, tiles)
    measure_spots(**paths, processes=processes)
    table = read_table(paths["features"])
    assert tuple(table) == COLUMNS
    assert table[["slide", "row", "col"]].to_numpy().tolist() == [["b", 0, 0], ["b", 0, 1], ["b", 0, 2], ["a", 0, 0]]
    assert table["nuclei_count"].tolist() == [0, 7, 20, 0]
    np.testing.assert_allclose(table.loc[3, list(COLOUR)].astype(float), 100, atol=1)
    wanted = tiles["b"][2].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(table.loc[2, list(COLOUR)].astype(float), wanted, atol=1)


def test_no_window_is_an_empty_table_with_all_columns(tmp_path):
    paths = manifest(tmp_path, {"none": []})
    measure_spots(**paths)
    table = read_table(paths["features"])
    assert tuple(table) == COLUMNS and table.empty and pd.api.types.is_integer_dtype(table["row"])


def test_a_shard_that_lacks_windows_is_named(tmp_path):
    paths = manifest(tmp_path, {"a": [plain_tile(100, 224)]})
    write_table(read_table(paths["manifest"]).assign(n_tiles="2"), paths["manifest"])
    with pytest.raises(InputError, match=r"Expected 2 windows in .*a.tfrecord \(manifest, slide a\), found 1; tile"):
        measure_spots(**paths)

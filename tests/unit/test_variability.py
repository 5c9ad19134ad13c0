"""Slides ranked by how much predictions vary within them: by hand on planted features, small slides last."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_table, write_json, write_table
from histocarta.variability import rank_slides


@pytest.fixture
def study(tmp_path):
    """Three slides of 12 tiles and one of 4; feature 0 varies by 0, 1, 3 and 9 in them, gene A reads it, B nothing."""
    slides = np.repeat(["calm", "some", "wild", "tiny"], [12, 12, 12, 4])
    swing = np.tile([1.0, -1.0], 20)
    spread = pd.Series({"calm": 0.0, "some": 1.0, "wild": 3.0, "tiny": 9.0})[slides].to_numpy()
    np.save(tmp_path / "tiles.npy", np.column_stack([swing * spread, np.ones(40)]).astype(np.float16))
    write_table(pd.DataFrame({"slide": slides, "row": range(40), "col": 0}), tmp_path / "places.parquet")
    told = pd.DataFrame({"trait": ["flat", "A", "B"], "status": ["excluded", "ok", "ok"]})
    write_table(told, tmp_path / "genes.tsv")
    for number, weight in ((1, 1.0), (2, 3.0)):
        np.savez(tmp_path / f"head-{number}.npz", weights=np.array([[weight, 0], [0, 0]]), intercept=np.zeros(2))
        write_json({"round": number, "code": "", "reason": ""}, tmp_path / f"model-{number}.json")
        parts = pd.DataFrame({"slide": ["calm", "some", "wild", "tiny"], "part": ["train", "test", "train", "test"]})
        write_table(parts, tmp_path / f"round-{number}.tsv")
    return tmp_path


def ranked(folder, wanted):
    by_round = {"heads": "head-{}.npz", "sidecars": "model-{}.json", "splits": "round-{}.tsv"}
    paths = {key: [str(folder / name.format(number)) for number in (1, 2)] for key, name in by_round.items()}
    paths |= {"tiles": [str(folder / "tiles.npy")], "places": [str(folder / "places.parquet")]}
    rank_slides(**paths, genes=str(folder / "genes.tsv"), table=str(folder / "v.tsv"), wanted=wanted)
    return read_table(folder / "v.tsv").set_index("slide")


def test_the_slide_that_varies_most_comes_first(study):
    """By hand: the rounds' mean is twice the feature; the spread over all tiles is that of all 40."""
    table = ranked(study, ["A", "flat", "GONE"])
    whole = np.sqrt(np.mean(np.repeat([0.0, 1, 9, 81], [12, 12, 12, 4])))
    assert list(table.index) == ["wild", "some", "calm", "tiny"]
    assert table["variability"][:3].astype(float).tolist() == pytest.approx([3 / whole, 1 / whole, 0])
    assert table.loc["tiny", "variability"] == "" and table.loc["tiny", "tiles"] == "4"
    assert table["part"].tolist() == ["train", "test", "train", "test"] and list(table.columns[-1:]) == ["A"]


def test_a_gene_that_is_the_same_everywhere_ranks_nothing(study):
    assert set(ranked(study, ["B"])["variability"]) == {""}
    both = ranked(study, ["A", "B"])
    assert both["variability"].tolist() == ranked(study, ["A"])["variability"].tolist()


def test_without_a_model_there_is_no_row(study):
    for number in (1, 2):
        write_json({"round": number, "code": "M-NAN", "reason": "it diverged"}, study / f"model-{number}.json")
    assert ranked(study, ["A"]).empty

"""Tiles against spots: the right tile under a spot, and correlations that match closed forms."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_agreement import compare_spots, partial_rank_correlation, place_spots
from scipy import stats


def test_a_spot_lies_on_the_tile_under_its_centre(tmp_path):
    sites = pd.DataFrame({"row": [0, 0, 1, 1], "col": [0, 1, 0, 1], "x": [100, 150, 100, 150], "y": [10, 10, 60, 60]})
    write_table(sites.assign(width_px=50, kept=[True, True, True, False]), tmp_path / "sites.parquet")
    spots = pd.DataFrame(
        {"slide": "s", "section": "S", "x_px": [101, 199, 149.9, 160, 99], "y_px": [59.9, 11, 60, 70, 20]}
    )
    write_table(spots.assign(total=1, G=[1, 2, 3, 4, 5]), tmp_path / "spots.tsv")
    placed = tmp_path / "placed.parquet"
    place_spots(spots=str(tmp_path / "spots.tsv"), slides=["s"], sites=[str(tmp_path / "sites.parquet")], placed=placed)
    found = read_table(placed).set_index("G")[["row", "col"]]
    # G = 4 lies on a dropped tile, G = 5 left of the grid.
    assert found.to_dict("index") == {1: {"row": 0, "col": 0}, 2: {"row": 0, "col": 1}, 3: {"row": 1, "col": 0}}


def test_partial_correlation_is_that_of_the_ranks_residuals():
    rng = np.random.default_rng(0)
    given = rng.normal(size=200)
    x, y = given + rng.normal(size=200), given + rng.normal(size=200)
    ranks = [stats.rankdata(values) for values in (x, y, given)]
    residuals = [values - np.polyval(np.polyfit(ranks[2], values, 1), ranks[2]) for values in ranks[:2]]
    assert partial_rank_correlation(x, y, given) == pytest.approx(stats.pearsonr(*residuals).statistic, abs=1e-12)
    assert np.isnan(partial_rank_correlation(x, np.ones(200), given))


def test_agreement_per_section_with_the_test_part_apart(tmp_path):
    placed = pd.DataFrame(
        {"slide": list("aaaabbbb"), "section": ["A"] * 4 + ["B"] * 4, "row": 0, "col": [0, 1, 2, 3] * 2}
    )
    write_table(placed.assign(total=[4, 1, 3, 2] * 2, G=[1, 2, 3, 4, 4, 3, 2, 1]), tmp_path / "placed.parquet")
    scores = placed[["slide", "row", "col"]].assign(score=[0.1, 0.2, 0.3, 0.4] * 2, votes=0, positive=False)
    write_table(scores, tmp_path / "scores.parquet")
    write_table(pd.DataFrame({"slide": ["a", "b"], "part": ["test", "train"]}), tmp_path / "slides.parquet")
    write_json({"status": "ok", "reason": ""}, tmp_path / "metrics.json")
    paths = {name: str(tmp_path / f"{name}.parquet") for name in ("placed", "scores", "slides")}
    compare_spots(**paths, metrics=str(tmp_path / "metrics.json"), agreement=str(tmp_path / "a.json"), trait="G")
    rows = {(row["part"], row["section"]): row for row in read_json(tmp_path / "a.json")["sections"]}
    assert set(rows) == {("test", "A"), ("all", "A"), ("all", "B")}
    assert rows["test", "A"]["rho"] == pytest.approx(1) and rows["all", "B"]["rho"] == pytest.approx(-1)
    assert rows["all", "A"]["rho_total_counts"] == pytest.approx(stats.spearmanr([1, 2, 3, 4], [4, 1, 3, 2]).statistic)


def test_spots_of_other_slides_only_are_refused(tmp_path):
    spots = pd.DataFrame({"slide": ["other"], "section": "S", "x_px": 1.0, "y_px": 1.0, "total": 1, "G": 1})
    write_table(spots, tmp_path / "spots.tsv")
    with pytest.raises(InputError, match=r"slides \(s, …\) in .*spots.tsv, found 1 spots of other slides \(other, …\)"):
        place_spots(spots=str(tmp_path / "spots.tsv"), slides=["s"], sites=["s"], placed=str(tmp_path / "p.parquet"))

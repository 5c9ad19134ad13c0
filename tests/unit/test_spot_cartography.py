"""Two maps of a gene on the same tissue: what lies on a tile, who was held out, and what stands in the table."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_table, write_json, write_table
from histocarta.spot_cartography import agreement, compare_cartography, gene_on_tiles, place_windows, spots_on_tiles
from scipy.stats import spearmanr

TILE_PX, N = 100, 6  # a slide of 6 × 6 tiles, two spots on each


def study(folder, *, part="test", cartography=None, predicted_gene="A"):
    """The files of two slides of two patients, and what ``compare_cartography`` is called with."""
    rng = np.random.default_rng(3)
    row, col = (axis.ravel() for axis in np.mgrid[:N, :N])
    tiles = pd.DataFrame({"row": row, "col": col, "x": col * TILE_PX, "y": row * TILE_PX, "width_px": TILE_PX})
    labels, scores, of_tiles, call = [], [], [], {"windows": [], "tiles": []}
    for slide, patient in (("s1", "P1"), ("s2", "P2")):
        windows = pd.DataFrame({"row": np.repeat(np.arange(2 * N), N), "col": np.tile(np.arange(N), 2 * N)})
        windows = windows.assign(x=windows["col"] * TILE_PX + 30, y=windows["row"] * TILE_PX // 2, width_px=40)
        measured = rng.normal(size=len(windows))
        labels.append(windows[["row", "col"]].assign(slide=slide, patient=patient, section=slide, annotation="",
                                                     total=rng.integers(50, 900, len(windows)).astype(float),
                                                     target=[[5.0, value] for value in measured]))  # fmt: skip
        guess = measured + rng.normal(size=len(windows))
        scores.append(windows[["row", "col"]].assign(slide=slide, **{predicted_gene: guess}))
        of_tiles.append(tiles[["row", "col"]].assign(slide=slide, score=rng.random(len(tiles))))
        for name, table in (("windows", windows), ("tiles", tiles.assign(kept=(row + col) > 0))):
            write_table(table, folder / f"{name}-{slide}.parquet")
            call[name].append(str(folder / f"{name}-{slide}.parquet"))
    write_table(pd.concat(labels)[["slide", "patient", "row", "col", "section", "total", "annotation", "target"]],
                folder / "labels.parquet")  # fmt: skip
    write_table(pd.concat(scores)[["slide", "row", "col", predicted_gene]], folder / "scores.parquet")
    write_table(pd.concat(of_tiles)[["slide", "row", "col", "score"]], folder / "cartography.parquet")
    write_table(pd.DataFrame({"slide": ["s1", "s2"], "part": [part, part]}), folder / "slides.parquet")
    write_table(pd.DataFrame({"slide": ["s1", "s2"], "file": ["a.svs", "b.svs"]}), folder / "slides.tsv")
    write_json({"genes": ["other", predicted_gene]}, folder / "labels.json")
    told = {"trait": "A", "status": "ok", "code": "", "reason": ""} | (cartography or {})
    write_json(told, folder / "metrics.json")
    call |= {"scores": "scores.parquet", "labels": "labels.parquet", "summary": "labels.json", "sheet": "slides.tsv"}
    call |= {"table": "out.tsv", "picture": "out.png"}
    call = {key: value if isinstance(value, list) else str(folder / value) for key, value in call.items()}
    call |= {"metrics": [str(folder / "metrics.json")], "tile_scores": [str(folder / "cartography.parquet")]}
    return call | {"slide_scores": [str(folder / "slides.parquet")], "slides": ["s1", "s2"]}


def test_each_patient_has_spearman_of_the_tiles_means(tmp_path):
    call = study(tmp_path)
    compare_cartography(**call)
    found = read_table(call["table"])
    assert found["patient"].tolist() == ["P1", "P2"] and (found["n_tiles"].astype(int) == N * N - 1).all()
    labels, scores = read_table(call["labels"]), read_table(call["scores"])
    own = labels.merge(scores, on=["slide", "row", "col"]).query("slide == 's2'")
    own = own.assign(measured=[target[1] for target in own["target"]], row=own["row"] // 2)
    means = own.groupby(["row", "col"], as_index=False)[["measured", "A"]].mean()
    tiles = read_table(call["tile_scores"][0]).query("slide == 's2'")
    both = means.merge(tiles, on=["row", "col"]).query("row + col > 0")  # the corner tile was not kept
    expected = [spearmanr(both["A"], both["score"]), spearmanr(both["A"], both["measured"]),
                spearmanr(both["score"], both["measured"])]  # fmt: skip
    figures = found.loc[1, ["rho_maps", "rho_predicted", "rho_cartography"]].astype(float)
    assert figures.to_numpy() == pytest.approx([one.statistic for one in expected], abs=1e-9)
    assert (tmp_path / "out.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cartography": {"status": "excluded", "code": "E-NO-MODEL", "reason": "one class"}}, "E-NO-MODEL one class"),
        ({"predicted_gene": "B"}, "not among the genes predicted in spots"),
        ({"part": "train"}, "no tile with a spot that both held out"),
    ],
)
def test_what_cannot_be_compared_says_why_and_still_gives_its_files(tmp_path, change, reason):
    call = study(tmp_path, **change)
    compare_cartography(**call)
    found = read_table(call["table"])
    assert len(found) == 1 and found["gene"].tolist() == ["A"] and reason in found["reason"].iloc[0]
    assert (found["rho_maps"] == "").all() and (tmp_path / "out.png").exists()


def test_a_map_agrees_with_itself_and_not_with_its_reverse():
    values = np.random.default_rng(0).normal(size=40)
    tiles = pd.DataFrame({"slide": "s", "total": np.arange(40.0), "measured": values, "predicted": values * 2 + 1,
                          "cartography": -values})  # fmt: skip
    row = agreement(tiles)
    assert row["rho_predicted"] == pytest.approx(1) and row["rho_maps"] == pytest.approx(-1)
    assert row["rho_cartography_partial"] == pytest.approx(-1)
    flat = agreement(tiles.assign(cartography=0.0))
    assert np.isnan(flat["rho_maps"]) and flat["reason"]


def test_spots_without_counts_and_without_prediction_take_no_part_in_a_tile(tmp_path):
    call = study(tmp_path)
    spots = place_windows(read_table(call["labels"]), windows=call["windows"], slides=call["slides"])
    assert (spots["x_px"] % TILE_PX == 50).all()  # the centre, not the corner
    under = spots_on_tiles(spots, tiles=call["tiles"], slides=call["slides"])
    under["target"] = under["target"].where(under.index != 0)
    predicted = read_table(call["scores"]).set_index(["slide", "row", "col"])["A"]
    found = gene_on_tiles(under, predicted.iloc[1:], number=1)
    keys = ["slide", "row", "col"]
    tile, other = found.merge(under.iloc[:1][keys], on=keys), under.iloc[1:].merge(under.iloc[:1][keys], on=keys)
    assert len(tile) == len(other) == 1
    assert tile["measured"].iloc[0] == pytest.approx(other["target"].iloc[0][1])

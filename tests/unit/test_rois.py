"""Genes predicted in regions: which tiles a region has, whose predictions count, and what is said of each gene."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from histocarta.errors import InputError
from histocarta.files import read_table, write_json, write_table
from histocarta.marker_scores import classes_by_quantile, slide_agreement
from histocarta.report_page import Gallery, Table
from histocarta.report_rois import spatial_section
from histocarta.rois import place_rois, validate_rois, validate_traits
from scipy import stats

WIDTH = 40  # level-0 px of a tile of 20 px at 1 µm: 0.5 µm per level-0 px


def sites(folder, *, lost=()):
    """4 x 4 tiles from (100, 200) on; those in ``lost`` are not kept."""
    row, col = np.divmod(np.arange(16), 4)
    table = pd.DataFrame({"row": row, "col": col, "x": 100 + col * WIDTH, "y": 200 + row * WIDTH, "width_px": WIDTH})
    table["kept"] = [(r, c) not in lost for r, c in zip(row, col, strict=True)]
    write_table(table, folder / "sites.parquet")
    return str(folder / "sites.parquet")


def placed(folder, rois, **changes):
    write_table(pd.DataFrame(rois), folder / "rois.parquet")
    arguments = {"rois": str(folder / "rois.parquet"), "slides": ["s"], "sites": [sites(folder, **changes)]}
    place_rois(**arguments, placed=str(folder / "placed.parquet"), size=20, mpp=1.0)
    table = read_table(folder / "placed.parquet")
    return {roi: sorted(zip(rows["row"], rows["col"], strict=True)) for roi, rows in table.groupby("roi")}


def test_a_region_is_the_tile_under_its_centre_or_those_in_its_square(tmp_path):
    where = {"slide": ["s", "s", "s"], "section": "x", "x_px": [150.0, 180.0, 130.0], "y_px": [290.0, 280.0, 210.0]}
    assert placed(tmp_path, where) == {0: [(2, 1)], 1: [(1, 1), (1, 2), (2, 1), (2, 2)], 2: [(0, 0)]}
    # The second lies on four tiles' corner. Squares of 40 µm are 80 px: the tiles whose centres lie in them.
    sides = placed(tmp_path, where | {"side_um": [0.0, 40.0, 20.0]})
    assert sides == {0: [(2, 1)], 1: [(1, 1), (1, 2), (2, 1), (2, 2)], 2: [(0, 0)]}


def test_a_region_is_the_tiles_in_its_polygon(tmp_path):
    """A triangle over the upper left half of the grid, and a region without a polygon beside it."""
    corner = "100,200 260,200 100,360"
    where = {"slide": ["s", "s"], "section": "x", "x_px": [150.0] * 2, "y_px": [290.0] * 2, "polygon": [corner, None]}
    below = [(row, col) for row in range(4) for col in range(4) if row + col <= 3]
    assert placed(tmp_path, where) == {0: below, 1: [(2, 1)]}
    for text in ("1,2 3,4", "1;2 3;4 5;6", "1,2,3 4,5,6 7,8,9"):
        with pytest.raises(InputError, match="Expected a polygon as x,y x,y x,y"):
            placed(tmp_path, where | {"polygon": [text, None]})


def test_a_region_keeps_what_is_left_of_it(tmp_path):
    where = {"slide": ["s", "s"], "section": "x", "x_px": [180.0, 120.0], "y_px": [280.0, 220.0], "side_um": 40.0}
    found = placed(tmp_path, where, lost={(1, 1), (0, 0), (0, 1), (1, 0)})
    assert found == {0: [(1, 2), (2, 1), (2, 2)]}


def test_regions_of_no_slide_and_tables_without_places_are_refused(tmp_path):
    where = {"slide": ["t"], "section": "x", "x_px": [150.0], "y_px": [290.0]}
    with pytest.raises(InputError, match="found none of 1; name slides in both alike"):
        placed(tmp_path, where)
    with pytest.raises(InputError, match="found no section"):
        placed(tmp_path, {"slide": ["s"], "x_px": [1.0], "y_px": [1.0]})


@pytest.fixture
def study(tmp_path):
    """20 slides of 5 sections with 6 regions each; slides 0-9 test. Gene A is what feature 0 says, B its opposite."""
    rng = np.random.default_rng(0)
    slides = [f"s{n:02d}" for n in range(20)]
    where = pd.DataFrame({"slide": np.repeat(slides, 6), "row": np.tile(np.arange(6), 20), "col": 0})
    where["roi"], where["section"] = np.arange(120), [f"x{n // 6 % 5}" for n in range(120)]
    write_table(where[["roi", "slide", "section", "row", "col"]], tmp_path / "placed.parquet")
    features = rng.normal(size=(120, 3)).astype(np.float16)
    np.save(tmp_path / "tiles.npy", features)
    write_table(where[["slide", "row", "col"]], tmp_path / "places.parquet")
    for number, weight in ((1, 1.0), (2, 3.0)):
        weights = np.array([[weight, weight, 0], [0, 0, 0], [0, 0, weight]])
        np.savez(tmp_path / f"head-{number}.npz", weights=weights, intercept=np.zeros(3))
        write_json({"round": number, "code": "", "reason": ""}, tmp_path / f"model-{number}.json")
        part = ["test"] * 10 + ["train"] * 10
        table = pd.DataFrame({"slide": slides, "patient": slides, "unit": slides, "part": part, "round": number})
        write_table(table, tmp_path / f"round-{number}.tsv")
    told = pd.DataFrame({"trait": ["A", "B", "C"], "status": "ok", "code": "", "reason": "", "mean": 10.0, "sd": 2.0})
    lost = pd.DataFrame([{"trait": "flat", "status": "excluded", "code": "B-VARIANCE", "reason": "flat"}])
    write_table(pd.concat([lost, told]), tmp_path / "genes.tsv")
    values = pd.DataFrame({"slide": where["slide"], "section": where["section"], "x_px": 0.0, "y_px": 0.0})
    signal = features[:, 0].astype(float)
    values["A"] = signal + rng.normal(0, 0.3, 120)
    values["B"] = -signal + rng.normal(0, 0.3, 120)
    values.loc[where["slide"] >= "s10", "A"] = 99.0  # training slides must not count
    write_table(values, tmp_path / "rois.parquet")
    return tmp_path


def validated(folder, **changes):
    named = {"rois": "rois.parquet", "placed": "placed.parquet", "genes": "genes.tsv", "table": "t.tsv"}
    paths = {key: str(folder / name) for key, name in (named | {"parquet_table": "t.parquet"}).items()}
    paths["markers"] = str(folder / "transcriptome" / "t" / "markers.parquet")
    rounds = {"heads": "head-{}.npz", "sidecars": "model-{}.json", "splits": "round-{}.tsv"}
    paths |= {key: [str(folder / name.format(number)) for number in (1, 2)] for key, name in rounds.items()}
    paths |= {"places": [str(folder / "places.parquet")], "tiles": [str(folder / "tiles.npy")]}
    validate_rois(**paths | changes, standardise=True)
    return read_table(folder / "t.parquet").set_index("trait")


def test_a_slope_has_its_sign_and_training_slides_do_not_count(study):
    table = validated(study)
    assert table["n"].dropna().unique().tolist() == [60] and table["groups"].dropna().unique().tolist() == [5]
    # Predictions are 2 x the mean of the rounds' 1 and 3 times the feature, so the slope is a quarter.
    assert table.loc["A", "slope"] == pytest.approx(0.25, abs=0.03) and table.loc["A", "fdr"] < 1e-6
    assert (table.loc["A", "direction"], table.loc["B", "direction"]) == ("positive", "negative")
    assert table.loc["A", "section_rho"] > 0.8 and table.loc["A", "sections_positive"] == 5
    assert table.loc["B", "section_rho"] < -0.8 and table.loc["B", "sections_positive"] == 0
    assert table.loc["C", "reason"] == "not measured in the regions" and np.isnan(table.loc["C", "p"])
    assert "flat" not in table.index


def test_a_round_without_a_model_is_not_heard(study):
    write_json({"round": 2, "code": "M-NAN", "reason": "it diverged"}, study / "model-2.json")
    assert validated(study).loc["A", "slope"] == pytest.approx(0.5, abs=0.06)


def test_where_no_round_has_a_model_every_gene_says_so(study):
    for number in (1, 2):
        write_json({"round": number, "code": "M-NAN", "reason": "it diverged"}, study / f"model-{number}.json")
    table = validated(study)
    assert table["p"].isna().all() and table.loc["A", "reason"] == "0 regions in 0 groups, need 3 in 2"
    assert (
        "in place: 0 regions in 0 groups, need 3 in 2"
        in spatial_section(str(study / "t.tsv"), str(study)).blocks[0].text
    )


def test_tiles_without_features_are_an_error(study):
    write_table(read_table(study / "places.parquet").iloc[1:], study / "places.parquet")
    with pytest.raises(InputError, match="found one of s00 missing"):
        validated(study)


def test_the_report_counts_both_directions(study):
    validated(study)
    section = spatial_section(str(study / "t.tsv"), str(study))
    counts = next(block for block in section.blocks if isinstance(block, Table)).rows
    assert [count for _, count in counts] == [2, 1, 1, counts[3][1]]


def test_a_probe_of_two_genes_has_a_row_and_one_that_hardly_varies_says_so(study):
    """«sum» measures A and C together, which follow features 0 and 2; «still» is the same everywhere."""
    features = np.load(study / "tiles.npy").astype(float)
    values = read_table(study / "rois.parquet")
    signal = np.logaddexp2(features[:, 0], features[:, 2])
    values["sum"] = signal + np.random.default_rng(1).normal(0, 0.1, 120)
    values["still"] = 1.0
    write_table(values, study / "rois.parquet")
    told = read_table(study / "genes.tsv")
    told.loc[len(told)] = {"trait": "still"} | told.iloc[1].drop("trait").to_dict()
    for number in (1, 2):
        with np.load(study / f"head-{number}.npz") as head:
            weights = np.column_stack([head["weights"], np.ones(3)])
        np.savez(study / f"head-{number}.npz", weights=weights, intercept=np.zeros(4))
    write_table(told, study / "genes.tsv")
    values["nothing"] = values["sum"]
    write_table(values, study / "rois.parquet")
    table = validated(study, sums={"sum": ["A", "C"], "nothing": ["GONE"]}, min_variance=0.001)
    assert table.loc["nothing", "reason"] == "no gene of it is predicted"
    assert table.loc["sum", "slope"] > 0 and table.loc["sum", "fdr"] < 1e-6 and table.loc["sum", "n"] == 60
    assert table.loc["still", "reason"] == "varies by 0 between the regions, need 0.001"
    plain = validated(study)
    assert "sum" not in plain.index and plain.loc["A", "slope"] == table.loc["A", "slope"]


def marked(folder, percent):
    """The study's regions with a marker, in percent."""
    table = read_table(folder / "rois.parquet")
    write_table(table.assign(Ki67=percent), folder / "rois.parquet")
    return validated(folder, scores={"Ki67": ["A", "C", "unknown"]})


def test_a_marker_is_held_against_the_mean_of_its_panel(study):
    """By statsmodels' own fit of log2(1 + percent) on the mean of A and C, less what the section adds."""
    features = np.load(study / "tiles.npy").astype(float)
    score = 10 + 2 * 2 * (features[:, 0] + features[:, 2]) / 2  # mean of rounds 1 and 3, sd 2; A reads 0 and C reads 2
    noise = np.random.default_rng(3).normal(0, 2, 120)
    percent = np.clip(3 * (score - 8) + noise + 3 * (np.arange(120) // 6 % 5), 0, 100)  # sections differ as well
    table = marked(study, percent)
    frame = pd.DataFrame({"y": np.log2(1 + percent), "x": score, "g": [f"x{n // 6 % 5}" for n in range(120)]})[:60]
    expected = smf.mixedlm("y ~ x", frame, groups="g").fit(reml=False)
    assert table.loc["Ki67", "slope"] == pytest.approx(expected.params["x"], rel=1e-3)
    assert table.loc["Ki67", "direction"] == "positive" and table.loc["Ki67", "fdr"] < 1e-6
    written = read_table(study / "transcriptome" / "t" / "markers.parquet")
    assert len(written) == 60 and set(written["slide"]) == {f"s{n:02d}" for n in range(10)}
    np.testing.assert_allclose(written["percent"], percent[:60])
    np.testing.assert_allclose(written["predicted"], score[:60], rtol=1e-5)
    rho, p, n = slide_agreement(written)
    means = written.groupby("slide")[["percent", "predicted"]].mean()
    assert (rho, n) == (pytest.approx(stats.spearmanr(means["percent"], means["predicted"])[0]), 10) and p < 0.01
    blocks = spatial_section(str(study / "t.tsv"), str(study)).blocks
    (maps,) = [block for block in blocks if isinstance(block, Gallery)]
    assert len(maps.pictures) == 4 and maps.pictures[0].caption.endswith("% on average")


def test_colours_of_predictions_have_the_shares_of_the_marker():
    percent = np.array([0, 5, 9, 12, 29, 30, 80, 90, 95, 99.0])
    predicted = np.random.default_rng(1).permutation(10.0 + np.arange(10))
    measured, mapped = classes_by_quantile(percent, predicted)
    assert measured.tolist() == [0, 0, 0, 1, 1, 2, 2, 2, 2, 2]
    assert np.bincount(mapped).tolist() == [3, 2, 5]
    assert mapped[np.argsort(predicted)].tolist() == sorted(mapped)  # rising with the prediction
    assert set(classes_by_quantile(np.zeros(4), np.arange(4.0))[1]) == {0}
    assert set(classes_by_quantile(np.full(4, 50.0), np.arange(4.0))[1]) == {2}


def test_a_marker_that_is_no_percentage_is_refused(study):
    with pytest.raises(
        InputError, match=r"Expected percent, 0 to 100, in column Ki67 .*found 101 in row 1; correct it"
    ):
        marked(study, np.full(120, 101.0))


def test_a_marker_whose_genes_are_not_predicted_says_so(study):
    table = read_table(study / "rois.parquet")
    write_table(table.assign(Ki67=5.0), study / "rois.parquet")
    found = validated(study, scores={"Ki67": ["unknown"]})
    assert found.loc["Ki67", "reason"] == "no gene of it is predicted"
    assert read_table(study / "transcriptome" / "t" / "markers.parquet").empty


def test_genes_with_a_network_each_are_held_against_the_same_regions(study):
    """The same predictions of tiles give the same row as the heads do; a gene without a model has none."""
    expected = validated(study)
    features = np.load(study / "tiles.npy").astype(float)
    places = read_table(study / "places.parquet")
    for gene, column, sign in (("A", 0, 1), ("B", 0, 1), ("lost", 1, 1)):
        status = "excluded" if gene == "lost" else "ok"
        why = {"code": "B-VARIANCE", "reason": "flat"} if gene == "lost" else {"code": "", "reason": ""}
        write_json({"trait": gene, "status": status} | why, study / f"{gene}.json")
        # Of tiles that a round trained on something else is said, which must not count.
        score = np.where(places["slide"] < "s10", 10 + 2 * 2 * sign * features[:, column], 1e3)
        write_table(places.assign(score=score.astype(np.float32)), study / f"{gene}.parquet")
    paths = {"rois": "rois.parquet", "placed": "placed.parquet", "table": "g.tsv", "parquet_table": "g.parquet"}
    paths = {key: str(study / name) for key, name in (paths | {"markers": "m.parquet"}).items()}
    validate_traits(
        **paths,
        metrics=[str(study / f"{gene}.json") for gene in ("A", "B", "lost")],
        scores_of_tiles=[str(study / f"{gene}.parquet") for gene in ("A", "B", "lost")],
        splits=[str(study / f"round-{number}.tsv") for number in (1, 2)],
    )
    found = read_table(study / "g.parquet").set_index("trait")
    assert found.index.tolist() == ["A", "B", "lost"] and found.loc["lost", "reason"] == "B-VARIANCE flat"
    columns = ["slope", "p", "section_rho", "n", "groups"]
    pd.testing.assert_frame_equal(
        found.loc[["A", "B"], columns], expected.loc[["A", "B"], columns], rtol=1e-4, check_dtype=False
    )
    assert read_table(study / "m.parquet").empty


def test_a_gene_is_compared_in_the_regions_that_have_it(study):
    """B is not measured in six regions of test slides, a marker not in four: their rows are those of the others."""
    table = read_table(study / "rois.parquet")
    whole = validated(study)
    table.loc[[0, 7, 14, 21, 28, 35], "B"] = np.nan
    write_table(table.assign(Ki67=np.where(np.arange(120) < 4, np.nan, 20 + table["A"])), study / "rois.parquet")
    found = validated(study, scores={"Ki67": ["A"]})
    assert found.loc["A", "slope"] == pytest.approx(whole.loc["A", "slope"])
    assert found.loc["B", "n"] == 54 and found.loc["B", "slope"] == pytest.approx(whole.loc["B", "slope"], abs=0.02)
    assert found.loc["Ki67", "n"] == 56 and found.loc["Ki67", "direction"] == "positive"
    assert len(read_table(study / "transcriptome" / "t" / "markers.parquet")) == 56


def test_where_nothing_is_measured_or_predicted_every_gene_says_why(study):
    table = read_table(study / "rois.parquet")
    write_table(table.drop(columns=["A", "B"]), study / "rois.parquet")
    found = validated(study)
    assert (found["reason"] == "not measured in the regions").all() and found["p"].isna().all()
    write_table(table.assign(A=1.0, B=2.0), study / "rois.parquet")
    found = validated(study, min_variance=0.1)
    assert found.loc["A", "reason"] == "varies by 0 between the regions, need 0.1"

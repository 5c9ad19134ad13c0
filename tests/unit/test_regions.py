"""Regions: what a polygon or a spot says of a tile, which tiles a layout keeps, and what the classifier is worth."""

import json

import numpy as np
import pandas as pd
import pytest
from histocarta import annotations, tile_scores
from histocarta.annotation_sheets import annotation_files, read_annotations
from histocarta.annotations import place_annotations
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.region_tiles import choose_tiles
from histocarta.regions import label_regions
from histocarta.tile_scores import average_tiles
from histocarta.tilestore import read_shard, write_shard
from PIL import Image
from sklearn.metrics import roc_auc_score

WIDTH = 40  # level-0 px of a tile


def sites(folder, name="s", *, lost=()):
    """4 x 4 tiles from (100, 200) on; those in ``lost`` are not kept."""
    row, col = np.divmod(np.arange(16), 4)
    table = pd.DataFrame({"row": row, "col": col, "x": 100 + col * WIDTH, "y": 200 + row * WIDTH, "width_px": WIDTH})
    table["kept"] = [(r, c) not in lost for r, c in zip(row, col, strict=True)]
    table["reason"] = np.where(table["kept"], "", "pen")
    path = folder / f"{name}-sites.parquet"
    write_table(table, path)
    return str(path)


def feature(corners, name, *, kind="Polygon", key="classification"):
    value = {"name": name, "color": [200, 0, 0]} if key == "classification" else name
    return {"type": "Feature", "geometry": {"type": kind, "coordinates": corners}, "properties": {key: value}}


def box(left, top, right, bottom):
    return [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]


def placed(folder, features, **changes):
    (folder / "s.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    (folder / "sheet.tsv").write_text(f"slide\tfile\ns\t{folder / 's.geojson'}\n")
    return place(folder, **changes)


def place(folder, **changes):
    place_annotations(
        annotations=str(folder / "sheet.tsv"),
        slides=["s", "t"],
        sites=[sites(folder, **changes), sites(folder, "t")],
        placed=str(folder / "placed.parquet"),
        regions={"tumour": ["Tumor", "Invasive"]},
    )
    return read_table(folder / "placed.parquet")


def grid_of(table, name, slide="s"):
    own = table[table["slide"] == slide]
    share = np.full((4, 4), np.nan)
    share[own["row"], own["col"]] = own[name]
    return share


def test_a_rectangle_covers_exactly_its_share_of_every_tile(tmp_path):
    """From x = 110 to 150 and y = 200 to 260: 3/4 of the first tile's width, 1/4 of the second's; 1 1/2 rows."""
    table = placed(tmp_path, [feature([box(110, 200, 150, 260)], "Tumor")])
    expected = np.zeros((4, 4))
    expected[:2, :2] = np.outer([1, 0.5], [0.75, 0.25])
    np.testing.assert_allclose(grid_of(table, "Tumor"), expected)
    assert grid_of(table, "Tumor", "t").tolist() == np.zeros((4, 4)).tolist()
    assert table.groupby("slide")["annotated"].all().to_dict() == {"s": True, "t": False}


def test_a_slanted_outline_covers_about_its_area(tmp_path):
    """Half of the square of 2 x 2 tiles on the diagonal's one side: whole, half and no tile."""
    table = placed(tmp_path, [feature([[[100, 200], [180, 200], [100, 280], [100, 200]]], "Tumor")])
    np.testing.assert_allclose(grid_of(table, "Tumor")[:2, :2], [[1, 0.5], [0.5, 0]], atol=0.07)


def test_holes_several_parts_and_overlaps_count_once(tmp_path):
    hole = [box(100, 200, 260, 360), box(140, 240, 180, 280)]  # all tiles but (1, 1)
    parts = [[box(100, 200, 140, 240)], [box(220, 320, 260, 360)]]
    table = placed(
        tmp_path,
        [
            feature(hole, "Tumor"),
            feature([box(100, 200, 140, 240)], "Tumor"),
            feature(parts, "Stroma", kind="MultiPolygon", key="class"),
            {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[1, 2]]}, "properties": {}},
        ],
    )
    expected = np.ones((4, 4))
    expected[1, 1] = 0
    np.testing.assert_allclose(grid_of(table, "Tumor"), expected)
    np.testing.assert_allclose(grid_of(table, "Stroma")[[0, 3, 1], [0, 3, 1]], [1, 1, 0])


def test_spots_count_where_their_centres_lie(tmp_path):
    (tmp_path / "sheet.tsv").write_text(
        "slide\tx_px\ty_px\tclass\ns\t101\t201\tTumor\ns\t139.9\t239\tStroma\ns\t110\t210\tTumor\ns\t141\t201\tStroma\n"
        "s\t90\t201\tTumor\n"  # beside the grid
    )
    table = place(tmp_path, lost={(3, 3)})
    np.testing.assert_allclose(grid_of(table, "Tumor")[0, :2], [2 / 3, 0])
    np.testing.assert_allclose(grid_of(table, "Stroma")[0, :2], [1 / 3, 1])
    assert np.isnan(grid_of(table, "Tumor")[3, 3]) and np.nansum(grid_of(table, "Tumor")) == pytest.approx(2 / 3)


def test_classes_that_overlap_cover_a_tile_once(tmp_path):
    """Invasive lies within Tumor on the left 3/8 of the first tile; Stroma covers the left half of it as well."""
    shapes = [(115, "Tumor"), (115, "Invasive"), (120, "Stroma"), (120, "Fat")]
    table = placed(tmp_path, [feature([box(100, 200, right, 240)], name) for right, name in shapes])
    first = table[(table["slide"] == "s") & (table["row"] == 0) & (table["col"] == 0)].iloc[0]
    assert (first["Tumor"], first["Invasive"], first["in tumour"]) == (0.375, 0.375, 0.375)
    assert (first["Stroma"], first["outside tumour"]) == (0.5, 0.125)


def test_a_hundred_thousand_cells_take_no_time_of_their_own(tmp_path):
    """Only the box of each is looked at: 2,000 on a grid of 4,000 x 4,000 points are done at once."""
    mask = np.zeros((4000, 4000), bool)
    for n in range(2000):
        left = float(n) + 0.5
        annotations._paint(mask, [np.array([[left, 10.5], [left + 2, 10.5], [left + 2, 12.5], [left, 12.5]])])
    assert mask.sum() == 2 * 2001


def test_a_class_that_is_a_word_of_the_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="found 'row', a word of ours; rename it"):
        placed(tmp_path, [feature([box(100, 200, 115, 240)], "row")])


def test_the_other_key_says_the_class_where_the_first_is_empty(tmp_path):
    shape = feature([box(100, 200, 140, 240)], "Tumor")
    shape["properties"] = {"classification": None, "class": "Tumor"}
    assert grid_of(placed(tmp_path, [shape]), "Tumor")[0, 0] == 1.0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slide\tpath\ns\tx\n", r"Expected the columns slide, file or slide, x_px, y_px, class in .*found slide, path"),
        (
            "slide\tx_px\ty_px\tclass\ns\t1,5\t2\tT\n",
            r"line 2, column x_px: expected level-0 pixels, found '1,5'; write",
        ),
        ("slide\tfile\ns\t\n", r"line 2, column file: expected a value, found a blank"),
    ],
)
def test_a_faulty_sheet_is_refused_with_its_line(tmp_path, text, said):
    (tmp_path / "sheet.tsv").write_text(text)
    with pytest.raises(InputError, match=said):
        read_annotations(tmp_path / "sheet.tsv")


def test_slides_and_files_that_are_not_there_are_named(tmp_path):
    (tmp_path / "sheet.tsv").write_text("slide\tfile\nu\tu.geojson\n")
    with pytest.raises(InputError, match=r"Expected slides of the cohort in .*, found 'u' and 0 others"):
        place(tmp_path)
    (tmp_path / "sheet.tsv").write_text("slide\tfile\ns\tlost.geojson\n")
    assert annotation_files(tmp_path / "sheet.tsv") == ["lost.geojson"]
    assert annotation_files(tmp_path / "none.tsv") == []
    with pytest.raises(InputError, match=r"Expected annotations at lost\.geojson, found no such file"):
        place(tmp_path)


@pytest.mark.parametrize(
    ("features", "said"),
    [
        (
            [feature([1, 2], "Tumor", kind="Point")],
            "Expected a Polygon or MultiPolygon of class Tumor in .*found Point at",
        ),
        ([{"type": "Topology"}], "Expected GeoJSON features in .*found something else at number 1"),
        ([feature([["a"]], "Tumor")], "Expected rings of x, y in .*found others at feature 1"),
        ([feature([[0, 0], [20, 0], [20, 20]], "Tumor")], "Expected rings of x, y in .*found others at feature 1"),
        (
            [feature([box(0, 0, 9, 9)], "T", kind="MultiPolygon")],
            "Expected rings of x, y in .*found others at feature 1",
        ),
        ([feature([[[0, 0], [None, 0], [20, 20]]], "Tumor")], "Expected rings of x, y in .*found others at feature 1"),
        ([feature(None, "Tumor", kind="MultiPolygon")], "Expected rings of x, y in .*found others at feature 1"),
        (3, "Expected GeoJSON features in .*found int; export it again"),
    ],
)
def test_what_is_no_area_is_refused(tmp_path, features, said):
    with pytest.raises(InputError, match=said):
        placed(tmp_path, features)


def test_text_that_is_no_json_is_refused(tmp_path):
    (tmp_path / "s.geojson").write_text("{")
    (tmp_path / "sheet.tsv").write_text(f"slide\tfile\ns\t{tmp_path / 's.geojson'}\n")
    with pytest.raises(InputError, match=r"Expected GeoJSON in .*found what cannot be read"):
        place(tmp_path)


def shares(folder, rows):
    """A table of place_annotations: of every slide four tiles, with the shares of Tumor and Stroma."""
    table = pd.DataFrame(
        [
            (slide, 0, col, annotated, tumour, stroma)
            for slide, annotated, pairs in rows
            for col, (tumour, stroma) in enumerate(pairs)
        ],
        columns=["slide", "row", "col", "annotated", "Tumor", "Stroma"],
    )
    table = table.assign(**{"in tumour": table["Tumor"], "outside tumour": table["Stroma"]})
    write_table(table, folder / "placed.parquet")
    slides = table["slide"].unique()
    write_table(pd.DataFrame({"slide": slides, "patient": slides, "n_tiles": 4}), folder / "manifest.tsv")
    parts = [{"t": "test", "b": "validation"}.get(slide, "train") for slide in slides]
    write_table(pd.DataFrame({"slide": slides, "part": parts, "round": 1}), folder / "split.tsv")
    return {
        "placed": str(folder / "placed.parquet"),
        "manifest": str(folder / "manifest.tsv"),
        "split": [str(folder / "split.tsv")],
        "labels": str(folder / "labels.parquet"),
        "summary": str(folder / "labels.json"),
        "trait": "tumour",
        "unmarked": "left_out",
    }


MARKED = [(0.6, 0.4), (0.2, 0.7), (0.3, 0.0), (0.5, 0.5)]  # inside, outside, neither, both: the region counts first
ROWS = [("a", True, MARKED), ("b", True, MARKED), ("c", False, [(0.0, 0.0)] * 4), ("t", True, MARKED)]


@pytest.mark.parametrize(("unmarked", "third"), [("left_out", np.nan), ("outside", 0.0)])
def test_a_tile_is_of_the_class_that_covers_half_of_it(tmp_path, unmarked, third):
    arguments = shares(tmp_path, ROWS) | {"unmarked": unmarked}
    label_regions(**arguments)
    table = read_table(arguments["labels"])
    assert table["slide"].tolist() == list("aaaabbbbcccctttt") and list(table)[2:] == ["row", "col", "label"]
    np.testing.assert_array_equal(table.loc[table["slide"] == "a", "label"], [1, 0, third, 1])
    assert table.loc[table["slide"] == "c", "label"].isna().all()  # nobody looked at it
    facts = read_json(arguments["summary"])
    outside = 3 if unmarked == "left_out" else 6
    assert facts["n"] == {"inside": 6, "outside": outside, "unmarked": 10 - outside} and facts["annotated"] == 3


@pytest.mark.parametrize(
    "rows",
    [
        [("a", True, [(0.9, 0.0)] * 4), ("b", True, MARKED), ("t", True, MARKED)],  # trained on tiles of one side
        [("a", True, MARKED), ("b", False, [(0.0, 0.0)] * 4), ("t", True, MARKED)],  # nothing to choose the weights by
        [("a", False, [(0.0, 0.0)] * 4), ("b", True, MARKED), ("t", True, MARKED)],
    ],
)
def test_a_region_that_no_round_can_learn_is_left_out(tmp_path, rows):
    arguments = shares(tmp_path, rows)
    label_regions(**arguments)
    facts = read_json(arguments["summary"])
    assert (facts["status"], facts["code"]) == ("excluded", "B-FEW")
    assert facts["reason"].startswith("in none of 1 rounds do training slides have tiles inside and outside, and")
    assert len(read_table(arguments["labels"])) == 0


def test_a_round_that_can_learn_is_enough(tmp_path):
    arguments = shares(tmp_path, [ROWS[0], ROWS[1], ROWS[3]])
    split = read_table(arguments["split"][0])
    other = split.assign(part="train", round="2")
    write_table(other, tmp_path / "other.tsv")
    label_regions(**arguments | {"split": [str(tmp_path / "other.tsv"), *arguments["split"]]})
    assert read_json(arguments["summary"])["status"] == "ok"


def test_a_region_that_nobody_marked_is_named_with_the_classes_there_are(tmp_path):
    rows = [(slide, told, [(0.0, stroma) for _, stroma in pairs]) for slide, told, pairs in ROWS]
    with pytest.raises(InputError, match=r"Expected annotations of region tumour .*found only Tumor, Stroma; name the"):
        label_regions(**shares(tmp_path, rows))


def evaluated(folder, *, status="ok", fates=("", "")):
    """Two rounds of scores of 6 slides of 8 tiles, of which two test; the arguments, labels and scores of the tiles."""
    rng = np.random.default_rng(4)
    slides = [f"s{n}" for n in range(6)]
    places = pd.DataFrame({"slide": np.repeat(slides, 8), "row": 0, "col": np.tile(np.arange(8), 6)})
    label = np.where(rng.random(48) < 0.3, np.nan, (rng.random(48) < 0.5).astype(float))
    labels = places.assign(patient=places["slide"], label=label)[["slide", "patient", "row", "col", "label"]]
    write_table(labels if status == "ok" else labels.iloc[:0], folder / "labels.parquet")
    write_json({"status": status, "code": "" if status == "ok" else "B-FEW", "reason": ""}, folder / "labels.json")
    write_table(pd.DataFrame({"slide": slides, "patient": slides, "n_tiles": 8}), folder / "manifest.tsv")
    files, scores = {"splits": [], "rounds": [], "sidecars": []}, []
    for number, code in enumerate(fates, start=1):
        part = ["test", "test", "validation", "train", "train", "train"]
        split = pd.DataFrame({"slide": slides, "patient": slides, "unit": slides, "part": part, "scheme": "s"})
        score = (np.nan_to_num(label, nan=0.5) * 0.4 + 0.6 * rng.random(48)).astype(np.float32)
        scores.append(score)
        lost = bool(code) or status != "ok"
        table = places.astype({"row": "int32", "col": "int32"}).assign(score=score)
        for key, value, name in (
            ("splits", split.assign(round=number), f"{number}.tsv"),
            ("rounds", table.iloc[:0] if lost else table, f"{number}.parquet"),
        ):
            write_table(value, folder / name)
            files[key].append(str(folder / name))
        write_json({"round": number, "code": "M-NAN" if lost else "", "reason": ""}, folder / f"{number}.json")
        files["sidecars"].append(str(folder / f"{number}.json"))
    outputs = {"scores": "tiles.parquet", "slides": "slides.parquet", "metrics": "metrics.json"}
    arguments = {
        "manifest": str(folder / "manifest.tsv"), "labels": str(folder / "labels.parquet"),
        "summary": str(folder / "labels.json"), **files,
        **{key: str(folder / name) for key, name in outputs.items()}, "trait": "tumour", "unit": "patient", "seed": 1,
    }  # fmt: skip
    return arguments, label, scores


def test_tiles_are_averaged_and_held_against_what_was_marked(tmp_path):
    arguments, label, scores = evaluated(tmp_path)
    average_tiles(**arguments)
    mean = np.mean(scores, axis=0)
    np.testing.assert_allclose(read_table(arguments["scores"])["score"], mean, rtol=1e-6)
    found, use = read_json(arguments["metrics"]), ~np.isnan(label[:16])
    truth = label[:16][use]
    assert found["test"]["auc"] == pytest.approx(roc_auc_score(truth, mean[:16][use]))
    assert found["test"]["sensitivity"] == pytest.approx((mean[:16][use] >= 0.5)[truth == 1].mean())
    assert found["test"]["specificity"] == pytest.approx((mean[:16][use] < 0.5)[truth == 0].mean())
    assert found["test"]["low"] <= found["test"]["auc"] <= found["test"]["high"] and found["test"]["n_units"] == 2
    for row, score in zip(found["rounds"], scores, strict=True):
        assert row["test_auc"] == pytest.approx(roc_auc_score(truth, score[:16][use]))
    slides = read_table(arguments["slides"])
    np.testing.assert_allclose(slides["score"], mean.reshape(6, 8).mean(axis=1), rtol=1e-6)
    assert slides["n_high"].tolist() == (label.reshape(6, 8) == 1).sum(axis=1).tolist()


def test_a_round_without_a_model_says_nothing_and_none_at_all_is_said(tmp_path):
    arguments, _, scores = evaluated(tmp_path, fates=("M-NAN", ""))
    average_tiles(**arguments)
    np.testing.assert_allclose(read_table(arguments["scores"])["score"], scores[1], rtol=1e-6)
    (tmp_path / "none").mkdir()
    arguments, _, _ = evaluated(tmp_path / "none", fates=("M-NAN", "M-NAN"))
    average_tiles(**arguments)
    assert read_json(arguments["metrics"])["code"] == "E-NO-MODEL" and read_table(arguments["scores"]).empty


def test_an_excluded_region_has_empty_tables_and_its_reason(tmp_path):
    arguments, _, _ = evaluated(tmp_path, status="excluded")
    average_tiles(**arguments)
    assert read_json(arguments["metrics"])["code"] == "B-FEW" and read_table(arguments["slides"]).empty


def source(folder, *, score=None, status="ok"):
    """A slide of 15 tiles (one is lost to a pen), their scores (0, 1/16 … by default), arguments of choose_tiles."""
    places = [(n // 4, n % 4) for n in range(16) if n != 5]
    records = [(row, col, f"pixels of {row} {col}".encode()) for row, col in places]
    write_shard(folder / "tiles.tfrecord", records)
    score = np.arange(16) / 16 if score is None else np.full(16, score)
    table = pd.DataFrame({"slide": "s", "row": [r for r, _ in places], "col": [c for _, c in places]})
    write_table(
        pd.concat([table.assign(score=np.delete(score, 5)), table.assign(slide="t", score=1.0)]), folder / "s.parquet"
    )
    write_json({"status": status, "code": "", "reason": "why", "rounds": []}, folder / "metrics.json")
    counts = dict.fromkeys(("background", "pen", "dark", "blur", "unreadable", "edge"), 0) | {"pen": 1}
    facts = {"slide": "s", "status": "ok", "code": "", "reason": "", "n_tiles": 15, "n_cells": 16, "counts": counts}
    write_json(facts | {"sha256": "of all"}, folder / "tiles.json")
    told = pd.DataFrame([{"slide": "s", "status": "ok", "code": "", "reason": ""}])
    write_table(told, folder / "manifest.tsv")
    record = {"slide": "s", "status": "ok", "x": 100, "y": 200, "thumbnail_downsample": 4.0}
    write_json(record, folder / "slide.json")
    Image.new("RGB", (40, 40), "pink").save(folder / "thumbnail.png")
    outputs = {"sites": "new.parquet", "shard": "new.tfrecord", "summary": "new.json", "picture": "new.png"}
    return {
        "scores": str(folder / "s.parquet"), "metrics": str(folder / "metrics.json"),
        "source_manifest": str(folder / "manifest.tsv"),
        "source_sites": sites(folder, lost={(1, 1)}), "source_shard": str(folder / "tiles.tfrecord"),
        "source_summary": str(folder / "tiles.json"), "survey": str(folder / "slide.json"),
        "thumbnail": str(folder / "thumbnail.png"), **{key: str(folder / name) for key, name in outputs.items()},
        "region": "tumour", "min_score": 0.5,
    }  # fmt: skip


def test_tiles_in_the_region_are_copied_and_the_others_say_where_they_are(tmp_path):
    arguments = source(tmp_path)
    choose_tiles(**arguments)
    chosen = [(2, 0), (2, 1), (2, 2), (2, 3), (3, 0), (3, 1), (3, 2), (3, 3)]
    assert list(read_shard(arguments["shard"])) == [(r, c, f"pixels of {r} {c}".encode()) for r, c in chosen]
    table, facts = read_table(arguments["sites"]), read_json(arguments["summary"])
    assert list(zip(*table.loc[table["kept"], ["row", "col"]].to_numpy().T, strict=True)) == chosen
    assert table["reason"].value_counts().to_dict() == {"": 8, "elsewhere": 7, "pen": 1}
    assert facts["n_tiles"] == 8 and facts["counts"]["elsewhere"] == 7 and facts["counts"]["pen"] == 1
    assert facts["n_cells"] == facts["n_tiles"] + sum(facts["counts"].values()) and facts["sha256"] != "of all"


def test_a_slide_without_the_region_is_left_out_and_says_how_near_it_came(tmp_path):
    arguments = source(tmp_path, score=0.25)
    choose_tiles(**arguments)
    facts = read_json(arguments["summary"])
    assert (facts["status"], facts["code"], facts["n_tiles"]) == ("excluded", "T-REGION", 0)
    assert facts["reason"] == "s: none of 15 tiles is in region tumour (0.5 or more, the best scores 0.25)"
    assert not list(read_shard(arguments["shard"]))


def test_without_a_classifier_or_a_score_nothing_is_chosen(tmp_path):
    with pytest.raises(InputError, match=r"Expected a classifier of region tumour, found it excluded .*annotate more"):
        choose_tiles(**source(tmp_path, status="excluded"))
    arguments = source(tmp_path)
    table = read_table(arguments["scores"])
    write_table(table.drop(index=3), arguments["scores"])
    with pytest.raises(InputError, match=r"Expected a score of all 15 tiles of s .*found 14; score the tiles again"):
        choose_tiles(**arguments)


def test_a_slide_that_was_left_out_before_is_left_out_for_the_same_reason(tmp_path):
    """A copy of another slide: its tiles were cut, and nobody scored them."""
    arguments = source(tmp_path)
    table = read_table(arguments["scores"])
    write_table(table[table["slide"] != "s"], arguments["scores"])
    told = pd.DataFrame([{"slide": "s", "status": "excluded", "code": "T-DUP", "reason": "s: the same tiles as r"}])
    write_table(told, arguments["source_manifest"])
    choose_tiles(**arguments)
    facts = read_json(arguments["summary"])
    assert (facts["status"], facts["code"], facts["reason"]) == ("excluded", "T-DUP", "s: the same tiles as r")
    assert facts["counts"]["elsewhere"] == 15 and facts["n_tiles"] == 0


def test_a_slide_of_which_no_model_may_speak_is_left_out_and_says_so(tmp_path):
    """Leaving one patient out, where that round has no model: every tile has a row, and no score."""
    arguments = source(tmp_path, score=np.nan)
    choose_tiles(**arguments)
    facts = read_json(arguments["summary"])
    assert facts["reason"] == "s: no model of region tumour that did not learn from it has scored it"


def test_who_is_not_annotated_is_scored_by_every_round(tmp_path):
    """Each slide is tested in one of two rounds; s0 has no label, so the round that tests others speaks of it too."""
    arguments, _, scores = evaluated(tmp_path)
    labels = read_table(arguments["labels"])
    write_table(labels.assign(label=labels["label"].mask(labels["slide"] == "s0")), arguments["labels"])
    for path, tested in zip(arguments["splits"], (["s0", "s1", "s2"], ["s3", "s4", "s5"]), strict=True):
        split = read_table(path)
        write_table(split.assign(part=np.where(split["slide"].isin(tested), "test", "train")), path)
    average_tiles(**arguments)
    found = read_table(arguments["scores"]).set_index("slide")["score"]
    np.testing.assert_allclose(found["s0"], np.mean(scores, axis=0)[:8], rtol=1e-6)
    np.testing.assert_allclose(found["s1"], scores[0][8:16], rtol=1e-6)
    np.testing.assert_allclose(found["s5"], scores[1][40:], rtol=1e-6)


def test_tiles_without_a_score_are_neither_right_nor_wrong():
    found = tile_scores._evaluate(
        np.array([1, 1, 0, 0, 1, 0.0]), np.array([0.9, 0.8, 0.1, 0.2, np.nan, np.nan]), np.array(list("abcdef")), seed=1
    )
    assert (found["sensitivity"], found["specificity"], found["n_high"], found["n_units"]) == (1.0, 1.0, 2, 4)

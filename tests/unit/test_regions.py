"""Regions: what a polygon or a spot says of a tile, which tiles a layout keeps, and what the classifier is worth."""

import json

import numpy as np
import pandas as pd
import pytest
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
    write_table(table, folder / "placed.parquet")
    slides = table["slide"].unique()
    write_table(pd.DataFrame({"slide": slides, "patient": slides, "n_tiles": 4}), folder / "manifest.tsv")
    parts = ["test" if slide.startswith("t") else "train" for slide in slides]
    write_table(pd.DataFrame({"slide": slides, "part": parts, "round": 1}), folder / "split.tsv")
    return {
        "placed": str(folder / "placed.parquet"),
        "manifest": str(folder / "manifest.tsv"),
        "split": [str(folder / "split.tsv")],
        "labels": str(folder / "labels.parquet"),
        "summary": str(folder / "labels.json"),
        "trait": "tumour",
        "classes": ["Tumor"],
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


def test_a_region_of_which_one_slide_tells_is_left_out(tmp_path):
    arguments = shares(tmp_path, [ROWS[0], ("b", True, [(0.9, 0.0)] * 4), ("t", True, MARKED)])
    label_regions(**arguments)
    facts = read_json(arguments["summary"])
    assert (facts["status"], facts["code"]) == ("excluded", "B-FEW")
    assert facts["reason"] == "1 slides outside the test part with tiles outside the region, need 2"
    assert len(read_table(arguments["labels"])) == 0


def test_a_class_that_nobody_marked_is_named_with_the_nearest(tmp_path):
    with pytest.raises(
        InputError, match=r"Expected the class 'Tumour' of region tumour .*\(Tumor, Stroma\).*nearest: Tumor"
    ):
        label_regions(**shares(tmp_path, ROWS) | {"classes": ["Tumour"]})


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
    record = {"slide": "s", "status": "ok", "x": 100, "y": 200, "thumbnail_downsample": 4.0}
    write_json(record, folder / "slide.json")
    Image.new("RGB", (40, 40), "pink").save(folder / "thumbnail.png")
    outputs = {"sites": "new.parquet", "shard": "new.tfrecord", "summary": "new.json", "picture": "new.png"}
    return {
        "scores": str(folder / "s.parquet"), "metrics": str(folder / "metrics.json"),
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


def test_a_slide_that_was_left_out_before_is_left_out_again(tmp_path):
    """A copy of another slide, say: its tiles were cut, and nobody scored them."""
    arguments = source(tmp_path)
    table = read_table(arguments["scores"])
    write_table(table[table["slide"] != "s"], arguments["scores"])
    choose_tiles(**arguments)
    facts = read_json(arguments["summary"])
    assert facts["code"] == "T-REGION" and facts["reason"].endswith(
        "as the layout that they are taken from leaves it out"
    )
    assert facts["counts"]["elsewhere"] == 15

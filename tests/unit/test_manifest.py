"""The cohort manifest: every slide of the sheet once, with its tiles or the reason why it has none."""

import json

import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.manifest import COLUMNS, collect_manifest, gather_summaries
from histocarta.tables import EXCLUSION_COLUMNS
from histocarta.tiling import REASONS

NO_COUNTS = dict.fromkeys(REASONS, 0)


def cohort(folder, *slides, sheet=None, given=None, **more):
    """Summaries and shards as tiling writes them; ``slides`` are (slide, patient, n_tiles, changes)."""
    summaries, shards = [], []
    for slide, patient, n_tiles, changes in slides:
        record = {"slide": slide, "patient": patient, "n_tiles": n_tiles, "status": "ok", "code": "", "reason": ""}
        record |= {"size": 512, "mpp": 0.5, "version": 1, "sha256": f"hash of {slide}", "counts": NO_COUNTS}
        summaries.append(folder / f"{slide}.json")
        summaries[-1].write_text(json.dumps(record | changes))
        shards.append(folder / f"{slide}.tfrecord")
        shards[-1].write_bytes(b"x" * n_tiles)
    rows = sheet or [(slide, patient, "") for slide, patient, _, _ in slides]
    rows = [(*row, *[""] * (4 - len(row))) for row in rows]
    pd.DataFrame(rows, columns=["slide", "patient", "block", "exclude"]).to_csv(
        folder / "slides.tsv", sep="\t", index=False
    )
    gather_summaries(
        summaries=[str(path) for path in summaries],
        shards=[str(path) for path in shards],
        gathered=str(folder / "summaries.json"),
    )
    collect_manifest(
        gathered=str(folder / "summaries.json"),
        slides=str(given or folder / "slides.tsv"),
        manifest=str(folder / "manifest.tsv"),
        exclusions=str(folder / "exclusions.tsv"),
        **more,
    )
    tables = [folder / "manifest.tsv", folder / "exclusions.tsv"]
    return [pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False) for path in tables]


def test_one_row_per_slide_sorted_with_its_block(tmp_path):
    sheet = [("b", "P1", "left"), ("0012", "P2", "right")]
    manifest, exclusions = cohort(tmp_path, ("b", "P1", 7, {}), ("0012", "P2", 3, {}), sheet=sheet)
    assert list(manifest.columns) == COLUMNS
    assert manifest["slide"].tolist() == ["0012", "b"]
    assert manifest["block"].tolist() == ["right", "left"]
    assert manifest["n_tiles"].tolist() == ["3", "7"]
    assert manifest["shard"].tolist() == [str(tmp_path / "0012.tfrecord"), str(tmp_path / "b.tfrecord")]
    assert manifest["sha256"].tolist() == ["hash of 0012", "hash of b"]
    assert list(exclusions.columns) == list(EXCLUSION_COLUMNS) and len(exclusions) == 0


def test_slides_left_out_stay_in_the_manifest_with_their_reason(tmp_path):
    gone = {"status": "excluded", "code": "T-EMPTY", "reason": "a: 0 tiles kept of 9 (9 background)"}
    gone["counts"] = NO_COUNTS | {"background": 9}
    manifest, exclusions = cohort(tmp_path, ("a", "P1", 0, gone), ("b", "P2", 4, {"counts": NO_COUNTS | {"pen": 2}}))
    assert manifest.loc[0, ["n_tiles", "status", "code"]].tolist() == ["0", "excluded", "T-EMPTY"]
    rows = exclusions[["stage", "kind", "item", "code", "count"]].to_numpy().tolist()
    assert rows == [
        ["tiles", "slide", "a", "T-EMPTY", "1"],
        ["tiles", "tile", "a", "background", "9"],
        ["tiles", "tile", "b", "pen", "2"],
    ]


def test_file_and_region_come_from_the_sheet(tmp_path):
    sheet = pd.DataFrame({"slide": ["a", "b"], "patient": "P1", "file": ["f.svs", "f.svs"], "x": ["10", ""]})
    sheet.assign(y=["20", ""], width=["30", ""], height=["40", ""], block="", exclude="").to_csv(
        tmp_path / "given.tsv", sep="\t", index=False
    )
    manifest, _ = cohort(tmp_path, ("b", "P1", 4, {}), ("a", "P1", 5, {}), given=tmp_path / "given.tsv")
    found = manifest[["slide", "file", "x", "y", "width", "height"]].to_numpy().tolist()
    assert found == [["a", "f.svs", "10", "20", "30", "40"], ["b", "f.svs", "", "", "", ""]]


def test_a_slide_that_the_sheet_excludes_after_tiling_has_no_tiles(tmp_path):
    sheet = [("a", "P1", "", "sample type 06, its expression is of 01"), ("b", "P2", "", "")]
    manifest, exclusions = cohort(tmp_path, ("a", "P1", 5, {}), ("b", "P2", 3, {}), sheet=sheet)
    assert manifest[["status", "code", "n_tiles"]].values.tolist() == [["excluded", "S-SHEET", "0"], ["ok", "", "3"]]
    assert exclusions["reason"].tolist() == ["a: excluded by the slide sheet: sample type 06, its expression is of 01"]


def test_a_slide_under_two_names_is_used_once(tmp_path):
    copy = {"sha256": "hash of a"}
    manifest, exclusions = cohort(tmp_path, ("a", "P1", 5, {}), ("b", "P2", 5, copy), ("c", "P3", 5, {}))
    assert manifest["status"].tolist() == ["ok", "excluded", "ok"]
    assert manifest["n_tiles"].tolist() == ["5", "0", "5"]
    assert exclusions.loc[0, ["item", "code"]].tolist() == ["b", "T-DUP"]
    assert exclusions.loc[0, "reason"] == "b: the same tiles as a, which is used"


def test_empty_shards_are_no_copies_of_each_other(tmp_path):
    empty = {"sha256": "of nothing", "status": "excluded", "code": "T-EMPTY", "reason": "none"}
    manifest, _ = cohort(tmp_path, ("a", "P1", 0, empty), ("b", "P2", 0, empty))
    assert manifest["code"].tolist() == ["T-EMPTY", "T-EMPTY"]


def test_another_patient_in_the_sheet_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"Expected slide a to be of patient P9 \(sheet\), found P1"):
        cohort(tmp_path, ("a", "P1", 5, {}), sheet=[("a", "P9", "")])


def test_a_slide_without_a_summary_is_an_error(tmp_path):
    with pytest.raises(
        InputError, match="Expected tile summaries of the 2 slides of the sheet, found 1; not in both: b"
    ):
        cohort(tmp_path, ("a", "P1", 5, {}), sheet=[("a", "P1", ""), ("b", "P1", "")])


@pytest.mark.parametrize(("key", "value"), [("size", 256), ("mpp", 1.0), ("version", 2)])
def test_tiles_of_two_layouts_are_an_error(tmp_path, key, value):
    with pytest.raises(InputError, match=rf"Expected tiles of one {key}, found .*{value} \(b\)|found {value} \(b\)"):
        cohort(tmp_path, ("a", "P1", 5, {}), ("b", "P2", 5, {key: value}))


def test_a_shard_that_lost_its_tiles_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"Expected 5 tiles in .*a.tfrecord, found 0 bytes; tile the slide again"):
        cohort(tmp_path, ("a", "P1", 0, {"n_tiles": 5}))


def one_of_each(tmp_path, *slides, priority=None):
    sheet = pd.DataFrame({"slide": [row[0] for row in slides], "patient": [row[1] for row in slides], "exclude": ""})
    if priority is not None:
        sheet["priority"] = priority
    sheet.to_csv(tmp_path / "given.tsv", sep="\t", index=False)
    return cohort(tmp_path, *slides, given=tmp_path / "given.tsv", one_slide=True)


def test_a_patient_keeps_the_slide_with_the_most_tiles(tmp_path):
    slides = [("a", "P1", 3, {}), ("b", "P1", 5, {}), ("c", "P2", 1, {}), ("d", "P1", 0, {"code": "T-EMPTY"})]
    manifest, exclusions = one_of_each(tmp_path, *slides)
    assert manifest["n_tiles"].tolist() == ["0", "5", "1", "0"]
    assert manifest["code"].tolist() == ["T-SECOND", "", "", "T-EMPTY"]
    assert exclusions.loc[0, ["item", "code", "reason"]].tolist() == ["a", "T-SECOND", "a: b, with 5 tiles, is used"]


@pytest.mark.parametrize("priority", [["2019-03-31", "2020-01-02", ""], ["0", "1", ""], ["2", "10", "1.5"]])
def test_the_sheets_priority_goes_before_the_number_of_tiles(tmp_path, priority):
    """The most recent scan, or the block of the clinic's stains, or any number; a blank is the lowest."""
    slides = [("a", "P1", 9, {}), ("b", "P1", 2, {}), ("c", "P1", 20, {})]
    manifest, exclusions = one_of_each(tmp_path, *slides, priority=priority)
    assert manifest["n_tiles"].tolist() == ["0", "2", "0"]
    assert exclusions["reason"].tolist() == [f"{name}: b, of higher priority, is used" for name in "ac"]


def test_a_slide_without_tiles_is_no_ones_choice(tmp_path):
    slides = [("a", "P1", 0, {"code": "T-EMPTY"}), ("b", "P1", 2, {})]
    assert one_of_each(tmp_path, *slides, priority=["9", "1"])[0]["n_tiles"].tolist() == ["0", "2"]


def test_a_priority_in_words_is_an_error(tmp_path):
    slides = [("a", "P1", 1, {}), ("b", "P1", 2, {})]
    with pytest.raises(InputError, match=r"Expected numbers or dates .* in the column priority .*, found 'new' for b"):
        one_of_each(tmp_path, *slides, priority=["2019-03-31", "new"])

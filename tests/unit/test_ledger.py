import json

import numpy as np
import pandas as pd
import pytest
from histocarta.consort import flow_steps
from histocarta.errors import InputError
from histocarta.files import read_json, write_json
from histocarta.ledger import (
    COLUMNS,
    LedgerMismatch,
    label_rows,
    manifest_faults,
    metric_rows,
    mismatches,
    too_many_excluded,
    write_ledger,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

REASONS = ("background", "pen", "dark", "blur", "unreadable", "edge")


def study(folder, *, slides=8, excluded_by_sheet=1, lost=1, traits=("A", "B"), stain="none"):
    """A cohort of ``slides`` slides, two per patient, in the files that write_ledger reads; its keyword arguments."""
    rng = np.random.default_rng(3)
    sheet, manifest, summaries, stains = [], [], [], []
    for number in range(slides):
        slide, patient = f"S{number}", f"P{number // 2}"
        by_sheet, fault = number < excluded_by_sheet, excluded_by_sheet <= number < excluded_by_sheet + lost
        sheet.append({"slide": slide, "patient": patient, "exclude": "damaged" if by_sheet else ""})
        counts = {reason: 0 if by_sheet else int(rng.integers(0, 9)) for reason in REASONS}
        n_tiles = 0 if by_sheet or fault else int(rng.integers(1, 50))
        code, reason = ("S-SHEET", "damaged") if by_sheet else ("T-EMPTY", "0 tiles kept") if fault else ("", "")
        state = {"slide": slide, "patient": patient, "code": code, "reason": reason, "n_tiles": n_tiles}
        state["status"] = "excluded" if code else "ok"
        manifest.append(state)
        path = folder / "slides" / slide / "grid" / "tiles.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(state | {"counts": counts, "n_cells": n_tiles + sum(counts.values())}))
        summaries.append(str(path))
        if stain != "none":
            weak = number == slides - 1
            record = {"slide": slide, "status": "fallback" if weak else "ok", "code": "N-WEAK" if weak else ""}
            stains.append(str(path.with_name("stain.json")))
            path.with_name("stain.json").write_text(json.dumps(record | {"reason": "too pale" if weak else ""}))
    labels, metrics, tiled = [], [], slides - excluded_by_sheet - lost
    for trait in traits:
        path = folder / "traits" / trait / "extremes" / "labels.json"
        (path.parent / "consensus").mkdir(parents=True)
        n = {"high": 1, "low": 1, "ood_near": 1, "ood_far": tiled - 4, "not_measured": 1, "no_expression": 1}
        record = {"trait": trait, "status": "ok", "code": "", "reason": "", "n": n | {"one_sample": 0}}
        path.write_text(json.dumps(record))
        (path.parent / "consensus" / "metrics.json").write_text(json.dumps(record))
        labels.append(str(path))
        metrics.append(str(path.parent / "consensus" / "metrics.json"))
    (folder / "grid").mkdir()
    pd.DataFrame(sheet).to_csv(folder / "slides.tsv", sep="\t", index=False)
    pd.DataFrame(manifest).to_csv(folder / "grid" / "manifest.tsv", sep="\t", index=False)
    columns = ["stage", "kind", "item", "code", "reason", "count", "outcome"]
    rows = [
        ("expression", "sample", "other patients", "B-STRANGER", "neither slide nor clinical data", 1200, "excluded")
    ]
    pd.DataFrame(rows, columns=columns).to_csv(folder / "exclusions.tsv", sep="\t", index=False)
    return {
        "slides": str(folder / "slides.tsv"), "exclusions": str(folder / "exclusions.tsv"),
        "manifests": [str(folder / "grid" / "manifest.tsv")], "summaries": summaries, "labels": labels,
        "ledger": str(folder / "ledger.tsv"), "flow": str(folder / "flow.png"), "layouts": {"extremes": "grid"},
        "max_excluded": 0.05, "stains": stains, "metrics": metrics,
    }  # fmt: skip


def edit(path, **changes):
    write_json(read_json(path) | changes, path)


def edit_manifest(arguments, slide, **changes):
    table = pd.read_csv(arguments["manifests"][0], sep="\t", dtype=str, keep_default_na=False)
    for column, value in changes.items():
        table.loc[table["slide"] == slide, column] = str(value)
    table.to_csv(arguments["manifests"][0], sep="\t", index=False)


def totals(path, stage, kind):
    table = pd.read_csv(path, sep="\t", keep_default_na=False)
    rows = table[(table["stage"] == stage) & (table["kind"] == kind)]
    return rows.groupby("outcome")["count"].sum().to_dict()


def test_a_cohort_adds_up(tmp_path):
    arguments = study(tmp_path, stain="macenko")
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    assert list(table.columns) == COLUMNS
    assert totals(arguments["ledger"], "sheet", "slide") == {"in": 8, "excluded": 1, "used": 7}
    assert totals(arguments["ledger"], "tiles", "slide") == {"in": 7, "excluded": 1, "used": 6}
    assert totals(arguments["ledger"], "tiles", "patient") == {"in": 4, "excluded": 1, "used": 3}
    cells = sum(read_json(path)["n_cells"] for path in arguments["summaries"])
    tiles = totals(arguments["ledger"], "tiles", "tile")
    assert tiles["in"] == cells == tiles["used"] + tiles["excluded"]
    assert totals(arguments["ledger"], "labels", "trait") == {"in": 2, "used": 2}
    assert totals(arguments["ledger"], "consensus", "trait") == {"in": 2, "used": 2}
    assert totals(arguments["ledger"], "labels", "slide") == {"in": 12, "used": 10, "excluded": 2}
    assert totals(arguments["ledger"], "stain", "slide") == {"noted": 1}
    left_out = table[(table["stage"] == "tiles") & (table["kind"] == "slide") & (table["outcome"] == "excluded")]
    assert left_out[["item", "code", "reason"]].values.tolist() == [["S1", "T-EMPTY", "0 tiles kept"]]
    patient = table[(table["kind"] == "patient") & (table["outcome"] == "excluded")].iloc[0]
    assert (patient["item"], patient["reason"]) == ("P0", "no slide left: T-EMPTY")
    assert totals(arguments["ledger"], "expression", "sample") == {"excluded": 1200}


def test_a_lost_tile_is_noticed(tmp_path):
    arguments = study(tmp_path)
    edit(arguments["summaries"][5], n_cells=999)
    with pytest.raises(LedgerMismatch, match=r"Expected totals that add up, found tiles grid tile: [\d,]+ in, but"):
        write_ledger(**arguments)
    assert not (tmp_path / "ledger.tsv").exists()
    assert (tmp_path / "ledger-refused.tsv").exists()


def test_a_slide_that_vanished_is_noticed(tmp_path):
    arguments = study(tmp_path)
    table = pd.read_csv(arguments["manifests"][0], sep="\t", dtype=str, keep_default_na=False)
    table[table["slide"] != "S4"].to_csv(arguments["manifests"][0], sep="\t", index=False)
    with pytest.raises(LedgerMismatch, match=r"in only one of sheet and manifest: S4; .*tiles grid slide: 7 in"):
        write_ledger(**arguments)


def test_a_slide_without_tiles_needs_a_reason(tmp_path):
    arguments = study(tmp_path)
    edit_manifest(arguments, "S5", n_tiles=0)
    with pytest.raises(LedgerMismatch, match="S5 has status ok and 0 tiles"):
        write_ledger(**arguments)
    edit_manifest(arguments, "S5", status="excluded")
    with pytest.raises(LedgerMismatch, match="S5 is excluded without code and reason"):
        write_ledger(**arguments)


def test_a_slide_excluded_by_the_sheet_must_not_be_used():
    sheet = pd.DataFrame({"slide": ["S1"], "patient": ["P1"], "exclude": ["sample type 11"]})
    manifest = pd.DataFrame({"slide": ["S1"], "status": ["ok"], "code": [""], "reason": [""], "n_tiles": [4]})
    assert manifest_faults(sheet, manifest, layout="grid") == ["layout grid: S1 is excluded by the sheet but has tiles"]


def test_tiles_of_a_copy_are_accounted_for(tmp_path):
    arguments = study(tmp_path, lost=0)
    n_tiles = read_json(arguments["summaries"][4])["n_tiles"]
    edit_manifest(arguments, "S4", n_tiles=0, status="excluded", code="T-DUP", reason="the same tiles as S3")
    for path in arguments["labels"]:
        edit(path, n=read_json(path)["n"] | {"ood_far": 2})
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    copied = table[(table["kind"] == "tile") & (table["code"] == "T-DUP")]
    assert copied[["item", "count"]].values.tolist() == [["S4", n_tiles]]


def test_a_trait_whose_slides_do_not_add_up_is_noticed(tmp_path):
    arguments = study(tmp_path)
    edit(arguments["labels"][1], n=read_json(arguments["labels"][1])["n"] | {"high": 2})
    with pytest.raises(LedgerMismatch, match="labels extremes/B slide: 6 in, but 6 used and 1 excluded"):
        write_ledger(**arguments)


def test_excluded_traits_keep_code_and_reason():
    ties = {"trait": "A", "status": "excluded", "code": "B-TIES", "reason": "P20 = P80 = 0; no labels", "n": {}}
    n = {"high": 2, "low": 2, "ood_near": 0, "ood_far": 1, "not_measured": 3, "no_expression": 1, "one_sample": 1}
    fine = {"trait": "B", "status": "ok", "code": "", "reason": "", "n": n}
    table = pd.DataFrame(label_rows([ties, fine], task="extremes", tiled=8), columns=COLUMNS)
    assert mismatches(table) == []
    row = table[table["item"] == "A"].iloc[0]
    assert (row["outcome"], row["code"], row["reason"]) == ("excluded", "B-TIES", "P20 = P80 = 0; no labels")
    unlabelled = table[(table["kind"] == "slide") & (table["outcome"] == "excluded")].set_index("code")["count"]
    assert unlabelled.to_dict() == {"no_expression": 1, "one_sample": 1, "not_measured": 1}
    failed = fine | {"status": "excluded", "code": "E-NO-MODEL", "reason": "none of 5 rounds has a model"}
    later = pd.DataFrame(metric_rows([ties, failed], [ties, fine], task="extremes"), columns=COLUMNS)
    assert later[["outcome", "item", "code", "count"]].values.tolist() == [
        ["in", "", "", 1],
        ["excluded", "B", "E-NO-MODEL", 1],
        ["used", "", "", 0],
    ]


def test_one_lost_slide_is_always_allowed_and_two_of_eight_are_not(tmp_path):
    write_ledger(**study(tmp_path / "one", lost=1))
    arguments = study(tmp_path / "two", lost=2)
    with pytest.raises(InputError) as error:
        write_ledger(**arguments)
    assert str(error.value) == (
        "Expected at most 5% of the 7 slides of layout grid to be left out (one always may), found 2: T-EMPTY 2 "
        "(S1, S2). Mend them, exclude them in the slide sheet with a reason, or raise max_excluded. All rows are in "
        f"{tmp_path / 'two' / 'ledger-refused.tsv'}."
    )
    assert not (tmp_path / "two" / "ledger.tsv").exists()
    write_ledger(**arguments | {"max_excluded": 0.3})
    assert not (tmp_path / "two" / "ledger-refused.tsv").exists()


def test_slides_that_the_sheet_excludes_do_not_count_against_the_limit(tmp_path):
    write_ledger(**study(tmp_path, slides=10, excluded_by_sheet=4, lost=1))


@pytest.mark.parametrize(("lost", "refused"), [(5, False), (6, True)])
def test_the_limit_itself_is_allowed(lost, refused):
    rows = [("tiles", "grid", "slide", "in", "", "", "", 100)]
    rows += [("tiles", "grid", "slide", "excluded", f"S{number}", "S-OPEN", "why", 1) for number in range(lost)]
    assert bool(too_many_excluded(pd.DataFrame(rows, columns=COLUMNS), max_excluded=0.05)) is refused


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(1, 9), max_size=6), st.integers(-3, 3))
def test_mismatches_are_found_whatever_the_numbers(used, excluded, error):
    rows = [("tiles", "grid", "tile", "in", "", "", "", used + sum(excluded) + error)]
    rows += [("tiles", "grid", "tile", "excluded", "S", "pen", "", count) for count in excluded]
    rows += [("tiles", "grid", "tile", "used", "", "", "", used), ("stain", "grid", "slide", "noted", "S", "", "", 7)]
    assert bool(mismatches(pd.DataFrame(rows, columns=COLUMNS))) is bool(error)


def test_the_flow_names_what_was_left_out(tmp_path):
    arguments = study(tmp_path, stain="macenko")
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    steps = flow_steps(table)
    assert [step.main.splitlines()[0] for step in steps] == [
        "Slide sheet",
        "Tiled, layout grid",
        "Labelled, task extremes",
        "Learnt and evaluated, task extremes",
    ]
    assert steps[0].main.splitlines()[1] == "8 slides, 4 patients"
    assert steps[0].side.splitlines() == [
        "Left out: 1 slide (excluded by the slide sheet 1)",
        "Of expression: 1,200 samples (neither slide nor clinical data 1,200)",
    ]
    assert "Left out: 1 slide (no usable tile 1)" in steps[1].side
    assert steps[1].side.splitlines()[-1] == "Own colours kept: 1 slide (too pale 1)"
    assert steps[2].main.splitlines()[1:] == ["2 traits", "2 slides high or low"]
    with Image.open(arguments["flow"]) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[1] == 1230
    assert (pixels[:, [0, -1]] == 255).all() and (pixels[[0, -1]] == 255).all()  # no box runs off the page
    assert (pixels < 128).mean() > 0.01

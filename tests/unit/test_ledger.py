import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta.consort import flow_steps
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.ledger import (
    COLUMNS,
    LedgerMismatch,
    mismatches,
    too_many_excluded,
    write_ledger,
)
from histocarta.ledger_sets import index_rows
from histocarta.ledger_slides import manifest_faults, sheet_rows
from histocarta.ledger_traits import label_rows, metric_rows, split_rows, unlabelled_slides
from histocarta.tables import exclusion, exclusions_table
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

REASONS = ("background", "pen", "dark", "blur", "unreadable", "edge")


def unlabelled(**slides):
    """A labels.parquet with a labelled slide and, by reason, ``slides`` without a value."""
    rows = [("S", "")] + [(slide, reason) for reason, names in slides.items() for slide in names]
    return pd.DataFrame(rows, columns=["slide", "reason"]).assign(patient="P", value=1.0)


def audit(trait, **changes):
    """The leak audit of a trait with three rounds: 2 slides tested in each, 4 train or validate."""
    parts = {"train": {"slides": 3}, "validation": {"slides": 1}, "test": {"slides": 2}}
    facts = {"trait": trait, "status": "ok", "independent": True, "note": "", "one_test_part": True}
    return facts | {"rounds": [parts] * 3} | changes


STEPS = ("no_positive", "V-SEEN", "V-FURTHER", "V-NODATA")


def write_index(folder, *, slides):
    """hti.tsv and survival.json: the last slide has no HTI, the first is seen, the second's patient has no survival."""
    table = pd.DataFrame({"slide": slides, "patient": [f"P{int(slide[1:]) // 2}" for slide in slides]})
    codes = dict.fromkeys(table["slide"][1:][table["patient"][1:].duplicated()], "V-FURTHER")
    codes |= {slides[0]: "V-SEEN", slides[1]: "V-NODATA", slides[-1]: "no_positive"}
    excluded = table.assign(code=table["slide"].map(codes))
    blank = table["slide"] == slides[-1]
    table = table.assign(hti=blank.map({True: "", False: "0.5"}), reason=blank.map({True: "no_positive", False: ""}))
    write_table(table, folder / "hti.tsv")
    steps = [{"excluded": excluded[excluded["code"] == code].to_dict("records")} for code in STEPS]
    write_json({"selection": steps, "patients": len(slides) - len(codes)}, folder / "survival.json")


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
        facts = {"counts": counts, "n_cells": n_tiles + sum(counts.values()), "warnings": []}
        path.write_text(json.dumps(state | facts))
        write_json({"slide": slide, "warnings": []}, path.parents[1] / "slide.json")
        summaries.append(str(path))
        if stain != "none":
            weak = number == slides - 1
            record = {"slide": slide, "status": "fallback" if weak else "ok", "code": "N-WEAK" if weak else ""}
            stains.append(str(path.with_name("stain.json")))
            path.with_name("stain.json").write_text(json.dumps(record | {"reason": "too pale" if weak else ""}))
    labels, audits, metrics, tiled = [], [], [], slides - excluded_by_sheet - lost
    for trait in traits:
        path = folder / "traits" / trait / "extremes" / "labels.json"
        (path.parent / "consensus").mkdir(parents=True)
        n = {"high": 1, "low": 1, "ood_near": 1, "ood_far": tiled - 4, "not_measured": 1, "no_expression": 1}
        record = {"trait": trait, "status": "ok", "code": "", "reason": "", "n": n | {"one_sample": 0}}
        path.write_text(json.dumps(record))
        rounds = [{"round": number, "code": "", "reason": ""} for number in (1, 2, 3)]
        (path.parent / "consensus" / "metrics.json").write_text(json.dumps(record | {"rounds": rounds}))
        (path.parent / "leaks.json").write_text(json.dumps(audit(trait)))
        write_table(unlabelled(no_expression=[f"S{slides - 1}"]), path.with_name("labels.parquet"))
        labels.append(str(path))
        audits.append(str(path.parent / "leaks.json"))
        metrics.append(str(path.parent / "consensus" / "metrics.json"))
    index = folder / "heterogeneity" / "extremes" / "A+B"
    index.mkdir(parents=True)
    write_index(index, slides=[f"S{number}" for number in range(excluded_by_sheet + lost, slides)])
    (folder / "grid").mkdir()
    pd.DataFrame(sheet).to_csv(folder / "slides.tsv", sep="\t", index=False)
    pd.DataFrame(manifest).to_csv(folder / "grid" / "manifest.tsv", sep="\t", index=False)
    rows = [
        exclusion(
            "expression", "sample", "other patients", "B-STRANGER", "neither slide nor clinical data", count=1200
        ),
    ]
    write_table(exclusions_table(rows), folder / "exclusions.tsv")
    return {
        "slides": str(folder / "slides.tsv"), "exclusions": str(folder / "exclusions.tsv"),
        "manifests": [str(folder / "grid" / "manifest.tsv")],
        "surveys": [str(Path(path).parents[1] / "slide.json") for path in summaries],
        "summaries": summaries, "labels": labels,
        "tables": [str(Path(path).with_name("labels.parquet")) for path in labels],
        "ledger": str(folder / "ledger.tsv"), "flow": str(folder / "flow.png"), "layouts": {"extremes": "grid"},
        "max_excluded": 0.05, "stains": stains, "audits": audits, "metrics": metrics,
        "heterogeneity": [str(index / "hti.tsv")], "survival": [str(index / "survival.json")],
    }  # fmt: skip


def edit(path, **changes):
    write_json(read_json(path) | changes, path)


def edit_manifest(arguments, slide, **changes):
    table = pd.read_csv(arguments["manifests"][0], sep="\t", dtype=str, keep_default_na=False)
    for column, value in changes.items():
        table.loc[table["slide"] == slide, column] = str(value)
    table.to_csv(arguments["manifests"][0], sep="\t", index=False)


def box(table, head):
    """The one box of the flow that begins so."""
    (found,) = [step for step in flow_steps(table) if step.main.startswith(head)]
    return found


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
    assert totals(arguments["ledger"], "heterogeneity", "slide") == {"in": 6, "used": 5, "excluded": 1}
    assert totals(arguments["ledger"], "heterogeneity", "patient") == {"in": 3, "used": 3}
    assert totals(arguments["ledger"], "survival", "slide") == {"in": 5, "used": 2, "excluded": 3}
    assert totals(arguments["ledger"], "survival", "patient") == {"in": 3, "used": 2, "excluded": 1}
    left_out = table[(table["stage"] == "tiles") & (table["kind"] == "slide") & (table["outcome"] == "excluded")]
    assert left_out[["item", "code", "reason"]].values.tolist() == [["S1", "T-EMPTY", "0 tiles kept"]]
    patient = table[(table["kind"] == "patient") & (table["outcome"] == "excluded")].iloc[0]
    assert (patient["item"], patient["reason"]) == ("P0", "no slide left: T-EMPTY")
    assert totals(arguments["ledger"], "expression", "sample") == {"excluded": 1200}


def test_who_leaves_between_the_index_and_the_survival_analysis_is_named(tmp_path):
    arguments = study(tmp_path)
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    lost = table[table["stage"].isin(["heterogeneity", "survival"]) & (table["outcome"] == "excluded")]
    assert lost[["stage", "scope", "kind", "item", "code", "reason"]].values.tolist() == [
        ["heterogeneity", "extremes/A+B", "slide", "S7", "no_positive", "no positive tile"],
        ["survival", "extremes/A+B", "slide", "S2", "V-SEEN", "used in training or without a value of a trait"],
        ["survival", "extremes/A+B", "slide", "S5", "V-FURTHER", "a further slide of the patient"],
        ["survival", "extremes/A+B", "slide", "S3", "V-NODATA", "no survival data"],
        ["survival", "extremes/A+B", "patient", "P1", "V-NODATA", "no survival data"],
    ]


def test_a_cohort_without_clinical_data_has_no_survival_to_account_for(tmp_path):
    arguments = study(tmp_path) | {"survival": []}
    write_ledger(**arguments)
    assert totals(arguments["ledger"], "survival", "slide") == {}
    assert totals(arguments["ledger"], "heterogeneity", "slide")["used"] == 5


def test_a_slide_that_vanished_from_the_index_is_noticed(tmp_path):
    arguments = study(tmp_path)
    index = read_table(arguments["heterogeneity"][0])
    write_table(index[index["slide"] != "S4"], arguments["heterogeneity"][0])
    with pytest.raises(LedgerMismatch, match="heterogeneity extremes/A\\+B slide: 6 in, but 4 used and 1 excluded"):
        write_ledger(**arguments)


def test_a_patient_who_vanished_from_the_survival_analysis_is_noticed(tmp_path):
    arguments = study(tmp_path)
    edit(arguments["survival"][0], patients=1)
    with pytest.raises(LedgerMismatch, match="survival extremes/A\\+B patient: 3 in, but 1 used and 1 excluded"):
        write_ledger(**arguments)


def test_a_set_with_an_excluded_trait_leaves_out_every_slide():
    tiled = pd.DataFrame({"slide": ["S1", "S2"], "patient": ["P1", "P1"]})
    why = {"hti": "", "reason": "trait_excluded: A, C"}
    for index in (tiled.assign(**why), tiled.iloc[:0].assign(hti="", reason="")):
        table = pd.DataFrame(index_rows(index, scope="extremes/A+C", tiled=tiled), columns=COLUMNS)
        assert mismatches(table) == []
        lost = table[(table["outcome"] == "excluded") & (table["kind"] == "slide")]
        assert lost["item"].tolist() == ["S1", "S2"] and set(lost["code"]) == {"trait_excluded"}
        assert table.loc[(table["kind"] == "patient") & (table["outcome"] == "excluded"), "item"].tolist() == ["P1"]
        words = "a trait of the set is excluded" + (": A, C" if len(index) else "")
        assert set(lost["reason"]) == {words}


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
    write_index(Path(arguments["heterogeneity"][0]).parent, slides=["S1", "S2", "S3", "S5", "S6", "S7"])
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    copied = table[(table["kind"] == "tile") & (table["code"] == "T-DUP")]
    assert copied[["item", "count"]].values.tolist() == [["S4", n_tiles]]


def test_a_trait_whose_slides_do_not_add_up_is_noticed(tmp_path):
    arguments = study(tmp_path)
    edit(arguments["labels"][1], n=read_json(arguments["labels"][1])["n"] | {"high": 2})
    with pytest.raises(LedgerMismatch, match="labels extremes/B slide: 6 in, but 6 used and 1 excluded"):
        write_ledger(**arguments)


def test_a_slide_without_a_value_that_no_table_names_is_noticed(tmp_path):
    arguments = study(tmp_path)
    write_table(unlabelled(), arguments["tables"][0])
    with pytest.raises(LedgerMismatch, match="labels extremes/A slide: 6 in, but 5 used and 0 excluded"):
        write_ledger(**arguments)


def test_excluded_traits_keep_code_and_reason(tmp_path):
    ties = {"trait": "A", "status": "excluded", "code": "B-TIES", "reason": "P20 = P80 = 0; no labels", "n": {}}
    n = {"high": 2, "low": 2, "ood_near": 0, "ood_far": 1, "not_measured": 3, "no_expression": 1, "one_sample": 1}
    fine = {"trait": "B", "status": "ok", "code": "", "reason": "", "n": n}
    write_table(unlabelled(no_expression=["S1"], one_sample=["S2"], not_measured=["S3"]), tmp_path / "labels.parquet")
    slides = {"B": unlabelled_slides(tmp_path / "labels.parquet")}
    table = pd.DataFrame(label_rows([ties, fine], slides, task="extremes", tiled=8), columns=COLUMNS)
    assert mismatches(table) == []
    row = table[table["item"] == "A"].iloc[0]
    assert (row["outcome"], row["code"], row["reason"]) == ("excluded", "B-TIES", "P20 = P80 = 0; no labels")
    lost = table[(table["kind"] == "slide") & (table["outcome"] == "excluded")]
    assert lost[["scope", "item", "code", "reason", "count"]].values.tolist() == [
        ["extremes/B", "S1", "no_expression", "no expression of the slide's patient", 1],
        ["extremes/B", "S2", "one_sample", "the patient's only sample, with nothing to be centred on", 1],
        ["extremes/B", "S3", "not_measured", "the trait is not measured in the slide's patient", 1],
    ]
    failed = fine | {"status": "excluded", "code": "E-NO-MODEL", "reason": "none of 5 rounds has a model: M-NAN …"}
    later = pd.DataFrame(metric_rows([ties, failed], [ties, fine], task="extremes"), columns=COLUMNS)
    assert later[["outcome", "item", "code", "count"]].values.tolist() == [
        ["in", "", "", 1],
        ["excluded", "B", "E-NO-MODEL", 1],
        ["used", "", "", 0],
    ]


def fail_round(arguments, *, trait, number, **why):
    """Let training leave out a round of a trait."""
    path = arguments["metrics"][trait]
    edit(path, rounds=[row | why if row["round"] == number else row for row in read_json(path)["rounds"]])


def test_a_round_without_a_model_stands_in_the_ledger_with_its_reason(tmp_path):
    arguments = study(tmp_path)
    fail_round(arguments, trait=1, number=2, code="M-NAN", reason="the loss became nan in steps 4-6")
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    rounds = table[table["kind"] == "round"]
    lost = rounds[rounds["outcome"] == "excluded"]
    assert lost[["scope", "item", "code", "reason"]].values.tolist() == [
        ["extremes/B", "round 2", "M-NAN", "the loss became nan in steps 4-6"]
    ]
    assert rounds.groupby(["scope", "outcome"])["count"].sum()["extremes/B"].to_dict() == {
        "excluded": 1,
        "in": 3,
        "used": 2,
    }
    assert box(table, "Learnt").side == "Without a model: 1 round (training diverged 1)"


def test_a_round_that_vanished_is_noticed(tmp_path):
    arguments = study(tmp_path)
    edit(arguments["audits"][0], rounds=read_json(arguments["audits"][0])["rounds"][:1] * 4)
    with pytest.raises(LedgerMismatch, match="training extremes/A round: 4 in, but 3 used and 0 excluded"):
        write_ledger(**arguments)


def test_a_test_that_is_not_independent_is_noted_beside_every_trait_and_in_the_flow(tmp_path):
    arguments = study(tmp_path)
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    assert not table["reason"].str.contains("independent").any()
    note = "not independent: 2 patients have blocks in the test part and in another"
    for path in arguments["audits"]:
        edit(path, independent=False, note=note)
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    noted = table[table["outcome"] == "noted"]
    assert noted[["stage", "scope", "item", "code", "reason"]].values.tolist() == [
        ["split", "extremes/A", "A", "L-SHARED", note],
        ["split", "extremes/B", "B", "L-SHARED", note],
        ["heterogeneity", "extremes/A+B", "A+B", "L-SHARED", note],
        ["survival", "extremes/A+B", "A+B", "L-SHARED", note],
    ]
    assert [box(table, head).main.splitlines()[-1] for head in ("HTI defined", "Survival")] == [note, note]
    assert box(table, "Learnt").main.splitlines() == [
        "Learnt and evaluated, task extremes",
        "2 traits",
        "tested on 2 slides",
        note,
    ]


@pytest.mark.parametrize(("one_part", "tested"), [(True, 2), (False, 6)])
def test_slides_that_are_tested(one_part, tested):
    """One test part for all three rounds, or another in each: leaving one out tests every slide."""
    table = pd.DataFrame(split_rows([audit("A", one_test_part=one_part)], task="extremes"), columns=COLUMNS)
    assert mismatches(table) == []
    used = table[table["outcome"] == "used"]
    assert dict(zip(used["code"], used["count"], strict=True)) == {"learn": 6 - tested, "test": tested}


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


def test_a_patients_other_slides_do_not_count_against_the_limit():
    """Half of the slides are second ones: one_slide asked for that. Of the rest 6 of 100 are too many."""
    rows = [("tiles", "grid", "slide", "in", "", "", "", 100)]
    rows += [("tiles", "grid", "slide", "excluded", f"S{number}", "T-SECOND", "why", 1) for number in range(50)]
    assert not too_many_excluded(pd.DataFrame(rows, columns=COLUMNS), max_excluded=0.05)
    rows += [("tiles", "grid", "slide", "excluded", f"T{number}", "S-OPEN", "why", 1) for number in range(6)]
    (line,) = too_many_excluded(pd.DataFrame(rows, columns=COLUMNS), max_excluded=0.05)
    assert "found 6: S-OPEN 6" in line


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 50), st.lists(st.integers(1, 9), max_size=6), st.integers(-3, 3))
def test_mismatches_are_found_whatever_the_numbers(used, excluded, error):
    rows = [("tiles", "grid", "tile", "in", "", "", "", used + sum(excluded) + error)]
    rows += [("tiles", "grid", "tile", "excluded", "S", "pen", "", count) for count in excluded]
    rows += [("tiles", "grid", "tile", "used", "", "", "", used), ("stain", "grid", "slide", "noted", "S", "", "", 7)]
    assert bool(mismatches(pd.DataFrame(rows, columns=COLUMNS))) is bool(error)


def test_what_a_slide_warns_of_is_noted(tmp_path):
    arguments = study(tmp_path)
    warnings = ["mpp 0.5 is derived from the objective power 20, not measured", "region [0, 0, 9, 9] reaches beyond"]
    edit(arguments["surveys"][3], warnings=warnings)
    edit(arguments["summaries"][4], warnings=["pen on 9 of 35 tiles with tissue"])
    write_ledger(**arguments)
    table = pd.read_csv(arguments["ledger"], sep="\t", keep_default_na=False)
    noted = table[table["outcome"] == "noted"]
    assert noted[["stage", "scope", "item", "code", "reason", "count"]].values.tolist() == [
        ["survey", "", "S3", "S-WARNED", warnings[0], 1],
        ["survey", "", "S3", "S-WARNED", warnings[1], 1],
        ["tiles", "grid", "S4", "T-WARNED", "pen on 9 of 35 tiles with tissue", 1],
    ]
    assert box(table, "Slide sheet").side.endswith("Noted: 1 slide (a warning about size, resolution or pixels 1)")
    assert box(table, "Tiled").side.endswith("Noted: 1 slide (much pen ink 1)")


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
        "HTI defined, A+B, task extremes",
        "Survival, A+B, task extremes",
    ]
    assert steps[0].main.splitlines()[1] == "8 slides, 4 patients"
    assert steps[0].side.splitlines() == [
        "Left out: 1 slide (excluded by the slide sheet 1)",
        "Of expression: 1,200 samples (neither slide nor clinical data 1,200)",
    ]
    assert "Left out: 1 slide (no usable tile 1)" in steps[1].side
    assert steps[1].side.splitlines()[-1] == "Own colours kept: 1 slide (too pale 1)"
    assert steps[2].main.splitlines()[1:] == ["2 traits", "2 slides high or low"]
    assert steps[4].main.splitlines()[1] == "5 slides, 3 patients"
    assert steps[4].side == "Left out: 1 slide (no positive tile 1)"
    assert steps[5].main.splitlines()[1] == "2 slides, 2 patients"
    assert steps[5].side.splitlines() == [
        "Left out: 3 slides (used in training or without a value of a trait 1; a further slide of the patient 1; no "
        "survival data 1)",
        "Left out: 1 patient (no survival data 1)",
    ]
    with Image.open(arguments["flow"]) as picture:
        pixels = np.asarray(picture.convert("L"))
    assert pixels.shape[1] == 1230
    assert (pixels[:, [0, -1]] == 255).all() and (pixels[[0, -1]] == 255).all()  # no box runs off the page
    assert (pixels < 128).mean() > 0.01


def test_what_is_only_noted_of_a_slide_of_the_sheet_stays_in_the_ledger():
    sheet = pd.DataFrame({"slide": ["a", "b"], "patient": ["p", "q"], "exclude": ["", "damaged"]})
    told = exclusions_table(
        [
            exclusion("sheet", "slide", "a", "B-NOTYPE", "expression is named by patient", outcome="noted"),
            exclusion("sheet", "slide", "b", "S-SHEET", "damaged"),
        ]
    )
    rows = [row[:7] for row in sheet_rows(sheet, told) if row[4] in ("a", "b")]
    assert rows == [
        ("sheet", "", "slide", "excluded", "b", "S-SHEET", "damaged"),
        ("sheet", "", "slide", "noted", "a", "B-NOTYPE", "expression is named by patient"),
    ]

"""What the report says of models: nothing excluded goes unnamed, and what is not there is not drawn but explained."""

import numpy as np
import pandas as pd
import pytest
from histocarta import figures
from histocarta.evaluation import tabulate_cohort
from histocarta.files import read_table, write_json
from histocarta.report_models import learning_section, performance_section, shown_traits
from histocarta.report_page import Caution, Note, Picture, Table

MEDIAN, FIFTHS = {"low": 50, "high": 50, "near": 0}, {"low": 20, "high": 80, "near": 10}
SET = {"auc": 0.9, "low": 0.8, "high": 0.95, "patient_auc": 0.9, "n_high": 6, "n_low": 5} | {
    "reason": "", "interval_reason": ""
}  # fmt: skip
NONE = {"auc": None, "n_high": 0, "n_low": 0, "reason": "no labelled slide", "interval_reason": ""}
FEW = "no interval: 1 independent units are high, 4 low, need 2 of each"
RANKS = {"rho": 0.5, "p": 0.02}


def evaluated(*, ood, auc=0.9, reason=""):
    """metrics.json of a trait with a test set and, where asked for, slides out of distribution."""
    other = SET if ood else NONE
    return {
        "status": "ok", "code": "", "reason": reason, "unit": "patient", "independent": True,
        "test": {"mean": 0.85, "min": 0.8, "max": 0.9},
        "ensemble": {"test": SET | {"auc": auc}, "ood_near": other, "ood_all": other},
        "spearman": {"test": RANKS},
    }  # fmt: skip


def excluded(code, reason):
    return {"status": "excluded", "code": code, "reason": reason, "unit": "patient", "independent": True}


def cohort_table(folder, metrics):
    for trait, record in metrics.items():
        write_json(record | {"trait": trait}, folder / f"{trait}.json")
    paths = [str(folder / f"{trait}.json") for trait in metrics]
    tabulate_cohort(metrics=paths, table=str(folder / "t.tsv"), parquet=str(folder / "t.parquet"))
    return read_table(folder / "t.tsv")


def slides(*, ood):
    """Twelve test slides, six of each class, and as many out of distribution where asked for."""
    rng = np.random.default_rng(0)
    test = pd.DataFrame({"part": "test", "label": [0.0, 1.0] * 6, "ood": ""})
    between = pd.DataFrame({"part": "train", "label": np.nan, "ood": ["near", "near", "far", "far"] * 3})
    frame = pd.concat([test, between] if ood else [test], ignore_index=True)
    above = np.arange(len(frame)) % 2
    return frame.assign(above_median=above.astype(float), decile=1 + 9 * above, score=rng.random(len(frame)))


def texts(section, kind):
    return [block.text for block in section.blocks if isinstance(block, kind)]


def test_excluded_traits_stand_before_everything_else_with_their_reason(tmp_path):
    ties = excluded("B-TIES", "P20 = P80 = 0; no labels")
    rows = cohort_table(tmp_path, {"A": evaluated(ood=True), "MIR1": ties, "C": excluded("E-NO-MODEL", "none of 5")})
    section = performance_section(rows, {"A": slides(ood=True)}, task="extremes", labels=FIFTHS)
    assert section.blocks[0] == Caution("2 of 3 traits were left out and not evaluated.")
    assert section.blocks[1].rows == [
        ("MIR1", "percentiles coincide", "P20 = P80 = 0; no labels"), ("C", "no trained model", "none of 5")
    ]  # fmt: skip
    assert [row[0] for row in section.blocks[2].rows] == ["A"]


def test_a_study_of_excluded_traits_only_says_so_and_draws_nothing(tmp_path):
    rows = cohort_table(tmp_path, {"A": excluded("B-FEW", "4 low samples outside the test part, need 5")})
    section = performance_section(rows, {}, task="extremes", labels=FIFTHS)
    assert [type(block) for block in section.blocks] == [Caution, Table]
    assert section.blocks[0].text == "1 of 1 traits was left out and not evaluated."


@pytest.mark.parametrize(
    ("labels", "ood", "columns", "why"),
    [
        (FIFTHS, True, 14, ""),
        (MEDIAN, False, 8, "labels are cut at one point (P50), so that every measured slide has one"),
        (FIFTHS, False, 8, "no slide lies there (labels: P20 and P80, near: 10 %)"),
    ],
)
def test_sets_without_slides_have_no_column_and_the_page_says_why(tmp_path, labels, ood, columns, why):
    rows = cohort_table(tmp_path, {"A": evaluated(ood=ood)})
    section = performance_section(rows, {"A": slides(ood=ood)}, task="extremes", labels=labels)
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert len(table.columns) == len(table.rows[0]) == columns
    absent = [text for text in texts(section, Note) if "are not shown" in text]
    assert len(absent) == (not ood) and all(why in text for text in absent)
    assert any(text.startswith("OOD:") for text in texts(section, Note)) == ood


def test_score_boxes_have_a_frame_for_each_set_that_is_asked_for():
    scored = {"A": slides(ood=False), "B": slides(ood=False)}
    assert [axes.get_title() for axes in figures.score_boxes(scored, sets=["test"]).axes] == ["test"]
    figure = figures.score_boxes({"A": slides(ood=True)}, sets=list(figures.SETS))
    assert [axes.get_title() for axes in figure.axes] == ["test", "OOD-near", "OOD-all"]
    assert all(len(axes.patches) == 2 for axes in figure.axes)  # a box below and one above the median


def test_score_boxes_of_many_traits_stay_as_wide_as_a_page():
    figure = figures.score_boxes({f"T{k}": slides(ood=True) for k in range(10)}, sets=list(figures.SETS))
    assert figure.get_size_inches()[0] < 11


def test_a_set_of_one_class_gives_its_reason_in_place_of_a_figure(tmp_path):
    record = evaluated(ood=False)
    record["ensemble"]["test"] = NONE | {"n_high": 3, "reason": "only one class: 3 high, 0 low"}
    rows = cohort_table(tmp_path, {"A": record, "B": evaluated(ood=False, reason="2 of 3 rounds can vote")})
    section = performance_section(rows, {}, task="extremes", labels=MEDIAN)
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table.rows[0][2:5] == ["only one class: 3 high, 0 low", "–", "3 / 0"]
    assert table.columns[-1] == "remark" and [row[-1] for row in table.rows] == ["", "2 of 3 rounds can vote"]


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({"auc": 0.75, "low": None, "high": None, "interval_reason": FEW}, f"0.75 ({FEW})"),
        ({"auc": 0.5, "low": 0.5, "high": 0.5, "reason": "all equal"}, "0.50 (0.50–0.50) (all equal)"),
        ({"auc": 1.0, "low": 1.0, "high": 1.0, "interval_reason": "no resample differs"}, "1.00 (1.00–1.00)"),
    ],
)  # fmt: skip
def test_an_auc_says_why_it_has_no_interval_or_no_meaning(tmp_path, changes, cell):
    record = evaluated(ood=False)
    record["ensemble"]["test"] |= changes
    section = performance_section(cohort_table(tmp_path, {"A": record}), {}, task="extremes", labels=MEDIAN)
    (table,) = [block for block in section.blocks if isinstance(block, Table)]
    assert table.rows[0][2] == cell
    notes = [text for text in texts(section, Note) if text.startswith("An interval of one value")]
    assert len(notes) == (changes["low"] is not None)


def test_of_many_traits_the_best_have_figures_and_the_page_says_which(tmp_path):
    metrics = {f"T{k:02d}": evaluated(ood=False, auc=0.5 + (7 * k % 30) / 100) for k in range(30)}
    rows = cohort_table(tmp_path, metrics | {"X": excluded("B-TIES", "ties")})
    shown = shown_traits(rows, by="test_auc")
    best = sorted(metrics, key=lambda trait: -metrics[trait]["ensemble"]["test"]["auc"])[:12]
    assert shown == sorted(best)
    section = performance_section(rows, dict.fromkeys(shown, slides(ood=False)), task="extremes", labels=MEDIAN)
    assert "Figures below: the 12 of 30 traits with the highest test AUC." in texts(section, Note)
    assert shown_traits(rows.head(3), by="test_auc") == ["T00", "T01", "T02"]


def test_learning_curves_or_why_there_are_none(tmp_path):
    folder = tmp_path / "traits" / "A" / "extremes"
    columns = ("step", "loss", "validation_loss", "validation_slide_auc")
    for number, rows in ((2, 0), (10, 3), (9, 3), (11, 3)):  # 11 is left of a study that had more rounds
        (folder / f"round-{number}").mkdir(parents=True)
        history = pd.DataFrame({name: np.arange(rows) + 1.0 for name in columns})
        history.to_csv(folder / f"round-{number}" / "history.csv", index=False)
    for trait, rounds in (("A", (2, 9, 10)), ("B", ())):
        path = tmp_path / "traits" / trait / "extremes" / "consensus" / "metrics.json"
        write_json({"rounds": [{"round": number} for number in rounds]}, path)
    section = learning_section(["A", "B"], str(tmp_path), task="extremes")
    assert [type(block) for block in section.blocks] == [Picture, Note]
    assert section.blocks[0].caption == "A: 2 rounds" and section.blocks[1].text == "B: no model was trained"

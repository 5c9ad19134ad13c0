"""The survival section: every group with its test or the reason why there is none, and no number that is not known."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import write_table
from histocarta.report_page import Caution, Table, Verbatim
from histocarta.report_survival import survival_section
from histocarta.survival import analyse_survival
from histocarta.survival_pictures import ACROSS, WIDEST, Boxes, draw_boxes, in_rows
from PIL import Image


def analysed(folder, *, patients=30, defined=True, covariates=("age",)):
    """The section of a small study: half of the patients have an HTI of 0.2, the others of 0.9."""
    rng = np.random.default_rng(3)
    names = [f"P{number:02d}" for number in range(patients)]
    index = np.where(np.arange(patients) % 2, 0.9, 0.2)
    hti = [f"{value}" if defined else "" for value in index]
    table = pd.DataFrame({"slide": names, "patient": names, "part": "test", "ood": "", "hti": hti})
    write_table(table.assign(reason="" if defined else "no_positive"), folder / "A+B" / "hti.tsv")
    write_table(pd.DataFrame({"slide": names, "patient": names, "dx": ""}), folder / "slides.tsv")
    clinical = pd.DataFrame({"patient": names, "time": rng.exponential(40, patients) + 1, "event": 1})
    clinical["age"] = rng.normal(60, 8, patients)
    write_table(clinical, folder / "clinical.parquet")
    values = pd.DataFrame(rng.normal(size=(patients, 2)), columns=["A", "B"], index=pd.Index(names, name="sample"))
    write_table(values, folder / "expression.parquet", index=True)
    out = {"summary": "survival.json", "picture": "survival.png", "groups": "groups.png"}
    analyse_survival(
        heterogeneity=str(folder / "A+B" / "hti.tsv"), slides=str(folder / "slides.tsv"),
        clinical=str(folder / "clinical.parquet"), expression=str(folder / "expression.parquet"),
        **{name: str(folder / "A+B" / file) for name, file in out.items()},
        traits=["A", "B"], cuts=[[0.5, 0.5], [0.1, 0.8]], covariates=list(covariates), seed=1,
    )  # fmt: skip
    return survival_section(str(folder / "A+B" / "survival.json"))


def tables(section):
    return {block.title: block for block in section.blocks if isinstance(block, Table)}


def test_every_cut_stands_with_its_baselines_and_its_models(tmp_path):
    section = analysed(tmp_path)
    assert section.title == "Survival by heterogeneity of A + B"
    tests = tables(section)["Groups and log-rank tests"]
    compared = [row[0] for row in tests.rows if row[0]]
    assert compared[:2] == ["HTI ≤ 0.5 against HTI > 0.5", "bulk expression: A"]
    assert "bulk expression: A (HTI ≤ 0.1 or HTI > 0.8 only)" in compared
    assert tests.rows[0][1:4] == ("HTI ≤ 0.5", 15, 15) and tests.rows[0][6] != "–"
    # Nobody has an HTI of 0.1 or less: no median, and in place of p the reason.
    empty = next(row for row in tests.rows if row[0].startswith("HTI ≤ 0.1"))
    assert (
        empty[2:5] == (0, 0, "–") and empty[5] == "group 'HTI ≤ 0.1' has 0 patients, fewer than 5" and empty[6] == "–"
    )
    models = tables(section)["Cox models"]
    assert [row[0] for row in models.rows if "adjusted" in row[0]][:1] == ["HTI ≤ 0.5 against HTI > 0.5, adjusted"]
    assert [row[1] for row in models.rows if row[0] == "HTI as a number"] == ["HTI per 0.1"]
    assert all(len(row) == len(models.columns) for row in models.rows)
    assert all(len(row) == len(tests.columns) for row in tests.rows)
    (figures,) = [block for block in section.blocks if isinstance(block, Verbatim)]
    assert figures.title == "Every figure of this analysis, as survival.json holds it"


def test_a_study_without_patients_says_so_first(tmp_path):
    section = analysed(tmp_path, defined=False, covariates=())
    assert section.blocks[0] == Caution("no patient has all that the analysis needs")
    assert tables(section)["How the patients were selected"].rows[1][3] == "30 no_positive"


def test_pictures_stay_as_wide_as_a_page(tmp_path):
    analysed(tmp_path)
    assert [len(row) for row in in_rows(list(range(5)))] == [ACROSS, 5 - ACROSS] and in_rows([]) == []
    # Two cuts of five panels each: four rows of at most three panels of 3.9 inches, 120 dpi.
    assert Image.open(tmp_path / "A+B" / "survival.png").size == (ACROSS * 468, 4 * 468)


@pytest.mark.parametrize(("groupings", "rows"), [(1, 1), (4, 1), (5, 2), (12, 3)])
def test_groupings_beyond_the_width_go_into_the_next_row(tmp_path, groupings, rows):
    class Test:
        by, p, p_adjusted, tests, reason = "x", 0.5, 0.5, 1, ""

    boxes = [Boxes("x", [("low", pd.Series([0.1, 0.2])), ("high", pd.Series([0.3, 0.4]))], Test)] * groupings
    draw_boxes(boxes, str(tmp_path / "groups.png"), what="HTI")
    width, height = Image.open(tmp_path / "groups.png").size
    assert width <= (WIDEST + 0.8) * 120 + 1 and height == pytest.approx(rows * 408, abs=1)

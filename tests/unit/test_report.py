"""What the report says of the cohort and of spots: what was used is not listed as left out, and nobody goes unnamed."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import write_json, write_table
from histocarta.ledger import COLUMNS
from histocarta.report import NOT_INDEPENDENT, _regions, cohort_section, is_independent, spot_section
from histocarta.report_page import Caution, Table
from PIL import Image

LEDGER = [
    ("tiles", "grid", "slide", "in", "", "", "slides to be tiled", 3),
    ("tiles", "grid", "slide", "excluded", "a", "T-EMPTY", "no tissue", 1),
    ("survey", "", "slide", "noted", "b", "S-WARNED", "mpp from the objective", 1),
    ("labels", "extremes/A", "slide", "used", "", "high", "slides high", 1),
    ("tiles", "grid", "slide", "used", "", "", "slides with tiles", 2),
]


def tables(section):
    return [block for block in section.blocks if isinstance(block, Table)]


def test_only_what_was_excluded_is_called_left_out(tmp_path):
    write_table(pd.DataFrame(LEDGER, columns=COLUMNS), tmp_path / "ledger.tsv")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "flow.png")
    left_out, noted = tables(cohort_section(str(tmp_path / "ledger.tsv"), str(tmp_path / "flow.png")))
    assert [row[4] for row in left_out.rows] == ["a"] and [row[4] for row in noted.rows] == ["b"]


def test_a_trait_that_was_not_compared_with_spots_is_named(tmp_path):
    row = {
        "section": "S", "part": "test", "n_spots": 3, "rho": None, "p": None, "reason": "constant scores",
        "rho_total_counts": None, "partial_rho": None,
    }  # fmt: skip
    write_json({"trait": "A", "status": "ok", "reason": "", "sections": [row]}, tmp_path / "A.json")
    write_json({"trait": "B", "status": "excluded", "reason": "one class", "sections": []}, tmp_path / "B.json")
    absent, compared = tables(spot_section([str(tmp_path / f"{name}.json") for name in "AB"]))
    assert absent.rows == [("B", "one class")]
    assert [(row[0], row[4], row[-1]) for row in compared.rows] == [("A", "–", "constant scores")]


def test_a_task_is_independent_unless_a_trait_is_not(tmp_path):
    for number, values in enumerate((["True", ""], ["True", "False"])):
        write_table(pd.DataFrame({"trait": ["A", "B"], "independent": values}), tmp_path / f"{number}.tsv")
    assert [is_independent(str(tmp_path / f"{number}.tsv")) for number in range(2)] == [True, False]


@pytest.mark.parametrize("independent", [True, False])
def test_regions_whose_test_shares_patients_with_training_say_so(tmp_path, independent):
    lost = {"trait": "stroma", "status": "excluded", "code": "E-NO-MODEL", "reason": "one class"}
    write_json(lost | {"independent": independent}, tmp_path / "metrics.json")
    section = _regions([str(tmp_path / "metrics.json")], str(tmp_path), {})
    said = [block.text for block in section.blocks if isinstance(block, Caution)]
    assert (NOT_INDEPENDENT in said) is not independent

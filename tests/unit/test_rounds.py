"""What a trait's record begins with, by the rounds that were trained."""

import pandas as pd
import pytest
from histocarta.files import write_json, write_table
from histocarta.rounds import begin_record, read_fates

OK = {"status": "ok", "code": "", "reason": ""}


def begun(folder, *, codes, parts, facts=OK):
    paths = []
    for number, code in enumerate(codes, start=1):
        paths.append(str(folder / f"model-{number}.json"))
        write_json({"round": number, "code": code, "reason": "why" if code else ""}, paths[-1])
    split = pd.DataFrame({"slide": ["a", "b"], "patient": ["P", "P"], "unit": ["P", "P"], "part": parts})
    write_table(split, folder / "split.tsv")
    return begin_record(
        "join_spots", facts, read_fates(paths), splits=[str(folder / "split.tsv")], trait="A", unit="patient"
    )


@pytest.mark.parametrize(("parts", "independent"), [(["train", "test"], False), (["test", "test"], True)])
def test_a_patient_on_both_sides_is_not_independent(tmp_path, parts, independent):
    assert begun(tmp_path, codes=["", ""], parts=parts)["independent"] is independent


def test_a_trait_is_excluded_only_where_no_round_has_a_model(tmp_path):
    some = begun(tmp_path, codes=["", "E-ONE-CLASS"], parts=["train", "train"])
    assert some["status"] == "ok"
    assert [(row["round"], row["code"], row["reason"]) for row in some["rounds"]] == [
        (1, "", ""),
        (2, "E-ONE-CLASS", "why"),
    ]
    none = begun(tmp_path, codes=["E-ONE-CLASS"] * 2, parts=["train", "train"])
    assert (none["status"], none["code"]) == ("excluded", "E-NO-MODEL")
    assert "E-ONE-CLASS in rounds 1, 2 (why)" in none["reason"]
    lost = OK | {"status": "excluded", "code": "L-FEW", "reason": "two patients"}
    told = begun(tmp_path, codes=["E-ONE-CLASS"], parts=["train", "train"], facts=lost)
    assert (told["code"], told["reason"]) == ("L-FEW", "two patients")  # the labels' own reason comes first

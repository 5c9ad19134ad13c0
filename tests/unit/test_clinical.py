import numpy as np
import pytest
from histocarta.clinical import read_clinical
from histocarta.errors import InputError


@pytest.fixture
def sheet(tmp_path):
    def write(text):
        path = tmp_path / "clinical.tsv"
        path.write_text(text.replace(" ", "\t").replace("_", " ") if "\t" not in text else text)
        return path

    return write


def read(path, unit="months"):
    return read_clinical(path, time_unit=unit)


def problem(path, unit="months"):
    with pytest.raises(InputError) as caught:
        read(path, unit)
    return str(caught.value)


@pytest.mark.parametrize(
    ("word", "event"),
    [("1:DECEASED", 1), ("DECEASED", 1), ("Dead", 1), ("dead", 1), ("1", 1), ("1.0", 1),
     ("0:LIVING", 0), ("LIVING", 0), ("Alive", 0), ("0", 0), ("censored", 0), ("TRUE", 1), ("yes", 1), ("FALSE", 0),
     ("no", 0)],
)  # fmt: skip
def test_every_spelling_of_the_vital_status(sheet, word, event):
    # cBioPortal writes 1:DECEASED since v3.4.0; the released code's == "DECEASED" then finds nobody.
    frame, _ = read(sheet(f"patient time event\np1 10 {word}\np2 20 Dead\n"))
    assert list(frame["event"]) == [event, 1]


@pytest.mark.parametrize(
    ("word", "event"),
    [("1", 0), ("1.0", 0), ("censored", 0), ("Censored", 0), ("yes", 0), ("TRUE", 0),
     ("0", 1), ("uncensored", 1), ("event", 1), ("no", 1), ("false", 1)],
)  # fmt: skip
def test_a_censorship_column_says_who_had_no_event(sheet, word, event):
    # In the MCAT tables 1 means censored; the word itself says so too.
    frame, _ = read(sheet(f"patient time censorship\np1 10 {word}\np2 20 0\n"))
    assert list(frame["event"]) == [event, 1]


@pytest.mark.parametrize("word", ["Dead", "1:DECEASED", "LIVING"])
def test_alive_and_dead_are_no_words_of_a_censorship_column(sheet, word):
    message = problem(sheet(f"patient time censorship\np1 10 {word}\np2 20 0\n"))
    assert f"line 2, column censorship: B-STATUS '{word}'" in message
    assert "(censorship columns know censored, yes, TRUE, 1, uncensored, event, no, FALSE, 0)" in message


def test_an_unknown_word_is_an_error_with_line_and_nearest(sheet):
    message = problem(sheet("patient time event\np1 10 Dead\np2 5 Deceasd\n"))
    assert "line 3, column event: B-STATUS 'Deceasd'; nearest: DECEASED (event columns know 1:DECEASED, " in message


@pytest.mark.parametrize(("unit", "time", "months"), [("months", 12, 12), ("years", 2, 24), ("days", 365.25, 12)])
def test_times_become_months(sheet, unit, time, months):
    frame, _ = read(sheet(f"patient time event\np1 {time} 1\n"), unit)
    assert frame.loc[0, "time"] == pytest.approx(months)


def test_negative_and_missing_go_to_the_ledger_and_zero_stays(sheet):
    rows = "patient time event\np1 -5 1\np2 [Not_Available] 1\np3 7 NA\np4 0 0\np5 9 1\n"
    frame, left_out = read(sheet(rows))
    assert list(frame["patient"]) == ["p4", "p5"]
    assert left_out[["kind", "item", "code", "outcome", "count"]].to_numpy().tolist() == [
        ["patient", "p2", "B-NOTIME", "excluded", 1], ["patient", "p1", "B-NEGATIVE", "excluded", 1],
        ["patient", "p3", "B-NOEVENT", "excluded", 1], ["patient", "", "", "in", 5], ["patient", "", "", "used", 2],
    ]  # fmt: skip


def test_nobody_dead_is_an_error(sheet):
    message = problem(sheet("patient time event\np1 5 LIVING\np2 6 0:LIVING\n"))
    assert "Expected at least one event (death)" in message and "found none among 2 patients" in message


def test_text_as_time_is_named(sheet):
    assert "line 2, column time: expected a number, found '5,5'; write decimals with a point" in problem(
        sheet("patient time event\np1 5,5 1\n")
    )


def test_cbioportal_names_and_comments_are_known(sheet):
    text = (
        "#Patient Identifier\tOverall\n"
        "Patient ID\tOverall Survival (Months)\tOverall Survival Status\tER Status By IHC\tDiagnosis Age\n"
        "TCGA-A2-A0T2\t8.44\t1:DECEASED\tNegative\t66\nTCGA-A2-A04P\t17.97\t0:LIVING\t[Not Available]\tNA\n"
    )
    frame, _ = read(sheet(text))
    assert list(frame.columns) == ["patient", "time", "event", "ER Status By IHC", "Diagnosis Age"]
    assert frame["Diagnosis Age"].dtype == float and frame["Diagnosis Age"].isna().tolist() == [False, True]
    assert frame["ER Status By IHC"].tolist() == ["Negative", None]


def test_gdc_death_date_has_precedence(sheet):
    text = (
        "bcr_patient_barcode\tvital_status\tdays_to_death\tdays_to_last_followup\n"
        "TCGA-A2-A0T2-01A\tDead\t365.25\t100\nTCGA-A2-A04P\tAlive\t[Not Applicable]\t730.5\nTCGA-A2-A04Q\tDead\t\t9\n"
    )
    frame, left_out = read(sheet(text))
    assert frame["patient"].tolist() == ["TCGA-A2-A0T2", "TCGA-A2-A04P"]
    assert frame["time"].tolist() == pytest.approx([12, 24])
    assert left_out.loc[left_out["outcome"] == "excluded", "item"].tolist() == ["TCGA-A2-A04Q"]


def test_a_patient_with_two_samples_is_one_and_a_contradiction_is_an_error(sheet):
    frame, noted = read(sheet("patient sample time event age\np1 a 5 1 60\np1 b 5 1 60\np2 c 6 1 70\np2 c 6 1 70\n"))
    assert list(frame["patient"]) == ["p1", "p2"] and frame.loc[0, "sample"] == "a"
    assert noted[["item", "code", "outcome", "count"]].to_numpy().tolist() == [
        ["p1", "B-REPEATED", "noted", 1], ["", "", "in", 2], ["", "", "used", 2],
    ]  # fmt: skip
    assert noted.loc[0, "reason"] == "lines 2 and 3 differ in sample: line 2 is used"
    message = problem(sheet("patient time event\np1 5 1\np2 5 1\np1 6 1\n"))
    assert "lines 2 and 4: patient 'p1' with different times or events" in message


def test_missing_columns_are_listed_with_what_is_there(sheet):
    message = problem(sheet("patient months status2\np1 5 1\n"))
    assert "Expected columns for time, event" in message and "found: patient, months, status2" in message


def test_event_and_censorship_together_are_refused(sheet):
    assert "found both; remove one" in problem(sheet("patient time event censorship\np1 5 1 0\n"))


def test_a_unit_in_the_columns_name_must_be_the_declared_one(sheet):
    path = sheet("patient\tOS_MONTHS\tevent\np1\t5\t1\n")
    assert read(path)[0].loc[0, "time"] == 5
    assert "Expected times in days (time_unit in the config), found the column 'OS_MONTHS'" in problem(path, "days")


def test_days_declared_as_months_are_doubted(sheet):
    with pytest.warns(UserWarning, match="the median time is 1500 months; is months the right unit"):
        read(sheet("patient time event\np1 1500 1\n"))


def test_covariates_of_one_kind_keep_it(sheet):
    frame, _ = read(sheet("patient time event age stage\np1 5 1 60 1\np2 6 0 NA II\n"))
    assert frame["age"].iloc[0] == 60.0 and np.isnan(frame["age"].iloc[1])
    assert frame["stage"].tolist() == ["1", "II"]

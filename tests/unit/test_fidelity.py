import pytest
from histocarta.errors import InputError
from histocarta.fidelity import COLUMNS, NOT_REPRODUCED, TABLE, choice, choices


@pytest.mark.parametrize(
    ("name", "paper", "released", "corrected"),
    [
        # Levy-Jurgenson 2020, Methods, against the released code (alonalj/PathoMCH).
        ("percentiles_fitted_on", "all", "all", "non_test"),
        ("test_batch_shift", "own", "own", "non_test"),  # Wang 2021
        ("probe_sum", "log", "log", "linear"),
        ("validation_share", 0.1, 0.18, 0.1),
        ("match_sample_types", False, False, True),
        ("background", "paper", "released", "paper"),
        ("pooling", "avg", "max", "avg"),
        ("checkpoint_metric", "slide_auc", "tile_auc", "slide_auc"),
        ("hti_zero", "kept", "dropped", "kept"),
        ("cut_boundary", "inclusive", "exclusive", "inclusive"),
        ("horizon_years", None, 10.0, None),
    ],
)
def test_each_column_has_its_own_value(name, paper, released, corrected):
    assert [choice(name, column=column) for column in COLUMNS] == [paper, released, corrected]


def test_the_table_above_holds_every_row():
    assert len(TABLE) == 12
    assert all(row.source and row.what and name == row.name for name, row in TABLE.items())


def test_the_released_share_of_validation_gives_72_18_10():
    # 80/20 of the 90 % that the test set leaves.
    assert choice("validation_share", column="released") == pytest.approx(0.9 * 0.2)


@pytest.mark.parametrize("override", ["released", "max"])
def test_an_override_is_a_column_or_a_value_and_wins(override):
    assert choice("pooling", column="paper", overrides={"pooling": override}) == "max"
    assert choice("background", column="paper", overrides={"pooling": override}) == "paper"


def test_an_override_may_be_null():
    assert choice("horizon_years", column="released", overrides={"horizon_years": None}) is None


def test_unknown_rows_and_values_are_named():
    with pytest.raises(InputError, match=r"Expected a row of the fidelity table .*found 'poolin'; nearest: pooling"):
        choice("poolin", column="paper")
    with pytest.raises(
        InputError,
        match=r"Expected one of paper, released, corrected, avg, max for fidelity row 'pooling', found 'mean'",
    ):
        choice("pooling", column="paper", overrides={"pooling": "mean"})
    with pytest.raises(InputError, match="found 'typo'"):
        choices(column="paper", overrides={"typo": "paper"})


def test_the_report_gets_every_row_with_overrides():
    values = choices(column="corrected", overrides={"hti_zero": "released"})
    assert list(values) == list(TABLE) and values["hti_zero"] == "dropped" and values["pooling"] == "avg"


def test_plain_faults_are_listed_not_chosen():
    assert len(NOT_REPRODUCED) >= 10 and not set(NOT_REPRODUCED) & set(TABLE)

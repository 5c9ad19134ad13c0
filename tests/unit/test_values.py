"""What a regression is given to learn: values, their scale, and traits that cannot be learnt."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table
from histocarta.values import MIN_SAMPLES, label_regression

RULE = {"centre": None, "standardise": True, "min_variance": 0.01, "fitted_on": "non_test"}


def study(folder, values, *, tested=(), patients=None):
    """A slide per value (s000 …), of a patient of its own unless ``patients`` says of whom; those ``tested`` test."""
    slides = [f"s{number:03d}" for number in range(len(values))]
    own = patients or [f"p{number:03d}" for number in range(len(values))]
    index = pd.Index(slides if patients else own, name="sample")
    write_table(pd.DataFrame({"MKI67|4288": values}, index=index), folder / "expression.parquet", index=True)
    table = pd.DataFrame({"slide": slides, "patient": own})
    write_table(table.assign(block="", n_tiles=3), folder / "manifest.tsv")
    part = ["test" if slide in tested else "train" for slide in slides]
    write_table(table.assign(unit=own, part=part, scheme="s", round=1), folder / "round-1.tsv")
    return folder


def labelled(folder, *, trait="MKI67", **changes):
    files = {"expression": "expression.parquet", "manifest": "manifest.tsv", "labels": "labels.parquet"}
    paths = {name: str(folder / file) for name, file in (files | {"summary": "labels.json"}).items()}
    label_regression(**paths, split=[str(folder / "round-1.tsv")], trait=trait, **RULE | changes)
    return read_table(paths["labels"]).set_index("slide"), read_json(paths["summary"])


def test_targets_are_standardised_by_what_is_not_tested(tmp_path):
    values = np.random.default_rng(0).normal(8, 2, 30)
    tested = {f"s{number:03d}" for number in range(20, 30)}
    table, summary = labelled(study(tmp_path, values, tested=tested))
    assert summary["status"] == "ok" and summary["column"] == "MKI67|4288"
    assert summary["fit"] == {
        "mean": pytest.approx(values[:20].mean()),
        "variance": pytest.approx(values[:20].var()),
        "samples": 20,
    }
    np.testing.assert_allclose(table["target"], (values - values[:20].mean()) / values[:20].std())
    np.testing.assert_allclose(table["value"], values)
    assert summary["n"] == {"measured": 30, "not_measured": 0, "no_expression": 0, "one_sample": 0}
    table, summary = labelled(tmp_path, fitted_on="all")
    assert summary["fit"]["mean"] == pytest.approx(values.mean())


def test_without_standardising_the_values_are_the_targets(tmp_path):
    values = np.linspace(0, 9, 20)
    table, summary = labelled(study(tmp_path, values), standardise=False)
    assert np.array_equal(table["target"], values) and summary["scale"] == {"mean": 0.0, "sd": 1.0}


def test_centring_takes_each_patients_mean_away(tmp_path):
    values = [1.0, 3.0, 11.0, 13.0] * 5
    folder = study(tmp_path, values, patients=["one", "one", "two", "two"] * 5)
    table, summary = labelled(folder, centre="patient")
    assert set(table["value"]) == {-1.0, 1.0} and summary["fit"]["mean"] == 0.0


def test_a_slide_without_a_value_has_no_target_and_its_reason(tmp_path):
    values = [float(number) for number in range(12)]
    table, summary = labelled(study(tmp_path, [*values, np.nan]))
    assert np.isnan(table.loc["s012", "target"]) and table.loc["s012", "reason"] == "not_measured"
    assert summary["n"] == {"measured": 12, "not_measured": 1, "no_expression": 0, "one_sample": 0}


@pytest.mark.parametrize(
    ("values", "trait", "code", "reason"),
    [
        ([1.0, 1.1] * 10, "MKI67", "B-VARIANCE", "a variance of 0.0025 outside the test part, need more than 0.01"),
        ([2.0] * 20, "MKI67", "B-VARIANCE", "a variance of 0 outside the test part"),
        ([1.0, 9.0, *[np.nan] * 18], "MKI67", "B-NOVALUE", f"2 measured samples .*, need {MIN_SAMPLES}"),
        ([1.0, 9.0] * 10, "MKI68", "B-NOTRAIT", "nearest: MKI67"),
    ],
)
def test_a_trait_that_cannot_be_learnt_is_left_out_with_its_reason(tmp_path, values, trait, code, reason):
    table, summary = labelled(study(tmp_path, values), trait=trait)
    assert table.empty and list(table.reset_index()) == ["slide", "patient", "value", "target", "reason", "sample"]
    assert (summary["status"], summary["code"]) == ("excluded", code)
    assert pd.Series([summary["reason"]]).str.contains(reason).all()


def batches(folder, *, tested):
    """30 patients of two laboratories in turns; the second measures 3 units more, and its test part 1 more still."""
    rng = np.random.default_rng(4)
    batch = np.array(["one", "two"] * 15)
    late = np.isin([f"s{number:03d}" for number in range(30)], list(tested))
    values = rng.normal(8, 1, 30) + 3 * (batch == "two") + (late & (batch == "two"))
    study(folder, values, tested=tested)
    sheet = pd.DataFrame({"slide": [f"s{number:03d}" for number in range(30)], "batch": batch})
    write_table(sheet, folder / "slides.tsv")
    return values, batch, late


@pytest.mark.parametrize("test_shift", ["non_test", "own"])
def test_batches_are_brought_to_the_references_median(tmp_path, test_shift):
    """Closed form (Wang 2021): the reference's median less the batch's, outside the test part or of the test's own."""
    tested = {f"s{number:03d}" for number in range(20, 30)}
    values, batch, late = batches(tmp_path, tested=tested)
    found, summary = labelled(
        tmp_path, sheet=str(tmp_path / "slides.tsv"), reference_batch="one", test_shift=test_shift
    )
    goal, expected = np.median(values[(batch == "one") & ~late]), values.copy()
    for name in ("one", "two"):
        here = (batch == name) & ~late
        expected[here] += goal - np.median(values[here])
        source = here if test_shift == "non_test" else (batch == name) & late
        expected[(batch == name) & late] += goal - np.median(values[source])
    np.testing.assert_allclose(found["value"], expected)
    assert summary["fit"]["mean"] == pytest.approx(expected[~late].mean())
    assert summary["rule"]["reference_batch"] == "one"
    np.testing.assert_allclose(found["value"][(batch == "one") & ~late], values[(batch == "one") & ~late])


def test_test_samples_do_not_move_what_is_fitted(tmp_path):
    tested = {f"s{number:03d}" for number in range(20, 30)}
    values, _, _ = batches(tmp_path, tested=tested)
    call = {"sheet": str(tmp_path / "slides.tsv"), "reference_batch": "one"}
    before, _ = labelled(tmp_path, **call)
    study(tmp_path, [*values[:20], *(values[20:] + 100)], tested=tested)
    after, _ = labelled(tmp_path, **call)
    np.testing.assert_array_equal(before["value"][:20], after["value"][:20])
    np.testing.assert_allclose(after["value"][20:] - before["value"][20:], 100)


def test_a_sample_of_two_batches_is_an_error(tmp_path):
    """Two slides of one patient from two laboratories, one measurement: which of the two shifts it?"""
    values = np.random.default_rng(0).normal(8, 1, 30)
    folder = study(tmp_path, values)
    manifest = read_table(folder / "manifest.tsv")
    manifest.loc[1, "patient"] = "p000"
    write_table(manifest, folder / "manifest.tsv")
    sheet = pd.DataFrame({"slide": manifest["slide"], "batch": ["one", "two"] * 15})
    write_table(sheet, folder / "slides.tsv")
    with pytest.raises(InputError, match="Expected one batch of each sample in the slide sheet, found two for 'p000'"):
        labelled(folder, sheet=str(folder / "slides.tsv"), reference_batch="one")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": "three"}, r"Expected the batch 'one' .*found three"),
        ({"batch": ["one"] * 25 + [""] * 5}, r"Expected a batch of every sample .*found 5 samples .*p025"),
        ({"batch": ["one"] * 20 + ["two"] * 10}, r"Expected samples of batch two outside the test part .*found 10"),
    ],
)
def test_batches_that_cannot_be_shifted_are_named(tmp_path, change, message):
    batches(tmp_path, tested={f"s{number:03d}" for number in range(20, 30)})
    sheet = read_table(tmp_path / "slides.tsv").assign(**change)
    write_table(sheet, tmp_path / "slides.tsv")
    with pytest.raises(InputError, match=message):
        labelled(tmp_path, sheet=str(tmp_path / "slides.tsv"), reference_batch="one")

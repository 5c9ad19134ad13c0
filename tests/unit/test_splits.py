import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta import splits
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from hypothesis import given, settings
from hypothesis import strategies as st

SHARES = {"test": 0.1, "validation": 0.1}


def manifest_file(folder, patients, *, slides_each=1, blocks=None, files=None, tiles=5):
    names = [(f"{patient}-{k}", patient) for patient in patients for k in range(slides_each)]
    frame = pd.DataFrame(names, columns=["slide", "patient"])
    frame["file"] = files if files is not None else "data/" + frame["slide"] + ".svs"
    frame["block"] = blocks if blocks is not None else ""
    frame["n_tiles"] = tiles
    path = folder / "manifest.tsv"
    write_table(frame, path)
    return path


def run(folder, manifest, *, rounds=5, **options):
    options = {"unit": "patient", **SHARES, "scheme": "s", "seed": 1, **options}
    paths = [folder / f"round-{k}.tsv" for k in range(1, rounds + 1)]
    splits.split_cohort(manifest=str(manifest), rounds=[str(path) for path in paths], **options)
    return [read_table(path) for path in paths]


def without_tuning(n, *, test, validation):
    """train, validation, test of a scheme without a part for tuning, as both papers' tables have them."""
    number = splits.part_counts(n, test=test, validation=validation)
    assert number.tuning == 0
    return number.train, number.validation, number.test


def released(n):
    """The rule of alonalj/PathoMCH at fa3b7fe, which the paper calls 80/10/10 (checklist A1.13)."""
    test = int(n * (1 - 0.8 - 0.1))
    train = int(0.8 * (n - test))
    return train, n - test - train, test


# The checklist's figures: the real cohorts have 703 BRCA and 410 LUAD patients.
@pytest.mark.parametrize(
    ("n", "expected"), [(703, (506, 127, 70)), (410, (296, 74, 40)), (1000, (720, 181, 99)), (10, (8, 2, 0))]
)
def test_released_rule_is_72_18_10_but_for_its_truncation(n, expected):
    assert released(n) == expected
    ours = without_tuning(n, test=0.1, validation=0.18)
    assert max(abs(a - b) for a, b in zip(ours, expected, strict=True)) <= 1
    assert ours[2] >= 1


def test_released_brca_split_is_met_exactly():
    assert without_tuning(703, test=0.1, validation=0.18) == (506, 127, 70)


# 10 % of 410 is 41 and of 10 is 1; the released rule gives 40 and 0.
@pytest.mark.parametrize(
    ("n", "expected"), [(703, (563, 70, 70)), (410, (328, 41, 41)), (1000, (800, 100, 100)), (10, (8, 1, 1))]
)
def test_counts_are_the_shares_of_the_paper(n, expected):
    assert without_tuning(n, **SHARES) == expected


def test_rounding_is_half_up_in_exact_arithmetic():
    assert without_tuning(15, **SHARES) == (11, 2, 2)  # 1.5 -> 2
    assert splits.part_counts(25, **SHARES).test == 3  # Python's round(2.5) is 2
    assert splits.part_counts(50, test=0.29, validation=0.1).test == 15  # 0.29 * 50 is 14.499999999999998 in floats


@given(n=st.integers(3, 2000), test=st.sampled_from([0.1, 0.2, 0.3]), validation=st.sampled_from([0.1, 0.14, 0.2]))
@settings(max_examples=60, deadline=None)
def test_no_unit_is_lost_and_no_part_is_empty(n, test, validation):
    number = splits.part_counts(n, test=test, validation=validation)
    assert sum(number) == n
    assert min(number.train, number.validation, number.test) >= 1
    assert abs(number.test - n * test) <= 1


def test_wang_2021_has_a_part_for_tuning_of_its_own():
    """Its 991 patients: 558 train, 139 tune, 122 validate, 172 test (checklist A2.3), and no unit in two of them."""
    shares = {"tuning": 0.1403, "validation": 0.1231, "test": 0.1736}
    assert splits.part_counts(991, **shares) == (558, 139, 122, 172)
    (drawn,) = splits.draw_rounds([f"p{k}" for k in range(991)], **shares, rounds=1, seed=1, what="patient")
    assert pd.Series(drawn).value_counts().to_dict() == {"train": 558, "test": 172, "tuning": 139, "validation": 122}


def test_tuning_takes_from_training_alone():
    """Validation and test are what they were without it, so that a study can be given such a part later."""
    units = [f"p{k}" for k in range(60)]
    without, with_it = (
        splits.draw_rounds(units, **SHARES, tuning=share, rounds=3, seed=4, what="patient") for share in (0, 0.2)
    )
    for before, after in zip(without, with_it, strict=True):
        changed = {(before[unit], after[unit]) for unit in units if before[unit] != after[unit]}
        assert changed == {("train", "tuning")}


@pytest.mark.parametrize(("parts", "name"), [(["train", "validation"], "validation"), (["tuning", "test"], "tuning")])
def test_the_part_that_chooses_is_tuning_where_there_is_one(parts, name):
    assert splits.tuning_part(pd.DataFrame({"part": parts})) == name


@given(seed=st.integers(0, 10_000), n=st.integers(10, 60))
@settings(max_examples=25, deadline=None)
def test_draw_is_a_partition_with_one_test_part(seed, n):
    units = [f"p{k:03d}" for k in range(n)]
    drawn = splits.draw_rounds(units, **SHARES, rounds=5, seed=seed, what="patient")
    tests = {frozenset(unit for unit, part in parts.items() if part == "test") for parts in drawn}
    assert len(tests) == 1
    assert splits.draw_rounds(units[::-1], **SHARES, rounds=5, seed=seed, what="patient") == drawn
    for parts in drawn:
        assert set(parts) == set(units)
        sizes = tuple(sum(part == name for part in parts.values()) for name in splits.PARTS)
        assert sizes == splits.part_counts(n, **SHARES)


def test_every_unit_is_equally_often_tested():
    units = [f"p{k}" for k in range(20)]
    tested = np.zeros(20)
    for seed in range(600):
        parts = splits.draw_rounds(units, test=0.2, validation=0.2, rounds=1, seed=seed, what="patient")
        tested += [parts[0][unit] == "test" for unit in units]
    # 600 draws of 4 of 20: each unit is tested Binomial(600, 0.2) times, 120 +- 9.8; five deviations.
    assert np.abs(tested - 120).max() < 5 * np.sqrt(600 * 0.2 * 0.8)


def test_files_follow_the_seed_and_neither_row_order_nor_number_of_rounds(tmp_path):
    manifest = manifest_file(tmp_path, [f"p{k}" for k in range(30)], slides_each=2)
    first = run(tmp_path, manifest, rounds=5)
    shuffled = tmp_path / "shuffled.tsv"
    write_table(read_table(manifest).sample(frac=1, random_state=3), shuffled)
    again = run(tmp_path, shuffled, rounds=7)
    for before, after in zip(first, again, strict=False):
        pd.testing.assert_frame_equal(before, after)
    other = run(tmp_path, manifest, seed=2)
    assert not first[0]["part"].equals(other[0]["part"])
    assert not first[0]["part"].equals(first[1]["part"])


def test_columns_and_slides_without_tiles(tmp_path):
    manifest = manifest_file(tmp_path, [f"p{k}" for k in range(10)], slides_each=2, tiles=[0] + [3] * 19)
    table = run(tmp_path, manifest, rounds=2)[1]
    assert list(table) == ["slide", "patient", "unit", "part", "scheme", "round"]
    assert len(table) == 19
    assert "p0-0" not in set(table["slide"])
    assert set(table["round"]) == {"2"}
    assert (table.groupby("patient")["part"].nunique() == 1).all()


def test_blocks_are_not_divided_and_neither_are_the_regions_of_a_section(tmp_path):
    blocks, files = [f"b{k // 2}" for k in range(40)], [f"data/section-{k // 4}.svs" for k in range(40)]
    manifest = manifest_file(tmp_path, ["A", "B"], slides_each=20, blocks=blocks, files=files)
    by_block = run(tmp_path, manifest, unit="block")[0]
    assert (by_block.groupby("unit")["part"].nunique() == 1).all()
    assert by_block["unit"].nunique() == 20
    by_section = run(tmp_path, manifest, unit="section")[0]
    assert set(by_section["unit"]) == set(files)
    assert (by_section.groupby("unit")["part"].nunique() == 1).all()
    assert by_section.groupby("part")["unit"].nunique().to_dict() == {"train": 8, "validation": 1, "test": 1}


def test_leave_one_patient_out(tmp_path):
    blocks = [f"b{k}" for k in range(30)]
    manifest = manifest_file(tmp_path, ["A", "B", "C"], slides_each=10, blocks=blocks)
    rounds = run(tmp_path, manifest, rounds=3, unit="block", leave_out="patient", validation=0.2)
    for patient, table in zip("ABC", rounds, strict=True):
        assert set(table.loc[table["part"] == "test", "patient"]) == {patient}
        assert (table["part"] == "test").sum() == 10
        assert (table["part"] == "validation").sum() == 4
    with pytest.raises(InputError, match=r"Expected 3 rounds, one per patient of the manifest .* found 5; set"):
        run(tmp_path, manifest, rounds=5, unit="block", leave_out="patient")


def test_left_out_patient_without_tiles_keeps_its_round(tmp_path):
    manifest = manifest_file(tmp_path, ["A", "B", "C", "D"], tiles=[0, 5, 5, 5])
    rounds = run(tmp_path, manifest, rounds=4, leave_out="patient")
    assert (rounds[0]["part"] != "test").all()
    assert list(rounds[1].loc[rounds[1]["part"] == "test", "patient"]) == ["B"]


def test_too_few_patients_is_an_error_that_counts(tmp_path):
    with pytest.raises(
        InputError,
        match=r"one patient in each of train, validation, test; found none in train: 2 patients .* give 0/0/1/1",
    ):
        run(tmp_path, manifest_file(tmp_path, ["A", "B"]))


def test_unnamed_block_is_an_error(tmp_path):
    manifest = manifest_file(tmp_path, ["A", "B", "C"], blocks=["x", "", "y"])
    with pytest.raises(InputError, match=r"found none for 1 of 3, such as 'B-0'; fill the block column"):
        run(tmp_path, manifest, unit="block")


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set")
@pytest.mark.parametrize(("cohort", "slides", "parts"), [("brca", 761, (563, 70, 70)), ("luad", 469, (328, 41, 41))])
def test_slides_of_the_paper_are_split_by_patient(tmp_path, cohort, slides, parts):
    names = read_table(Path(os.environ["REAL_DATA"]) / "gdc" / f"gdc_manifest_{cohort}.txt")["filename"]
    patients = ["-".join(name.split("-")[:3]) for name in names]
    manifest = pd.DataFrame({"slide": names, "patient": patients, "block": "", "n_tiles": 1})
    write_table(manifest, tmp_path / "manifest.tsv")
    for table in run(tmp_path, tmp_path / "manifest.tsv"):
        assert len(table) == slides
        assert (table.groupby("patient")["part"].nunique() == 1).all()
        assert (
            tuple(table.loc[table["part"] == part, "patient"].nunique() for part in ("train", "validation", "test"))
            == parts
        )

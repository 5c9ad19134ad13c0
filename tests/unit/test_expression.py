import gzip

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.expression import find_trait, read_expression


@pytest.fixture
def matrix(tmp_path):
    def write(text, name="expression.tsv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def read(path, *, orientation="traits_by_samples", scale="log2", duplicates="error", choose=None):
    return read_expression(path, orientation=orientation, scale=scale, duplicates=duplicates, choose=choose)


def problem(path, **settings):
    with pytest.raises(InputError) as caught:
        read(path, **settings)
    return str(caught.value)


SMALL = "gene\ts1\ts2\nA\t1\t2\nB\t3.5\t4\n"


def test_both_orientations_give_samples_by_traits(matrix):
    expected = pd.DataFrame({"A": [1.0, 2.0], "B": [3.5, 4.0]}, index=pd.Index(["s1", "s2"], name="sample"))
    pd.testing.assert_frame_equal(read(matrix(SMALL))[0], expected)
    transposed = matrix("sample,A,B\ns1,1,3.5\ns2,2,4\n", "t.csv")
    pd.testing.assert_frame_equal(read(transposed, orientation="samples_by_traits")[0], expected)


@pytest.mark.parametrize("kind", ["gz", "crlf", "bom", "quotes", "spaces", "comment"])
def test_spellings_of_the_same_table(tmp_path, kind):
    text = {"crlf": SMALL.replace("\n", "\r\n"), "bom": "\ufeff" + SMALL, "spaces": SMALL.replace("A\t", " A \t"),
            "quotes": SMALL.replace("A\t1", '"A"\t"1"'), "comment": "#1.2\n" + SMALL}.get(kind, SMALL)  # fmt: skip
    path = tmp_path / "e.tsv"
    path.write_bytes(gzip.compress(text.encode()) if kind == "gz" else text.encode())
    values, left_out = read(path)
    assert values.to_numpy().tolist() == [[1.0, 3.5], [2.0, 4.0]] and list(values) == ["A", "B"] and left_out.empty


def test_parquet_by_index_or_first_column(tmp_path):
    frame = pd.DataFrame({"s1": [1.0, 3.0], "s2": [2.0, 4.0]}, index=["A", "B"])
    frame.to_parquet(tmp_path / "index.parquet")
    frame.rename_axis("gene").reset_index().to_parquet(tmp_path / "column.parquet", index=False)
    for name in ("index", "column"):
        assert read(tmp_path / f"{name}.parquet")[0].loc["s2", "B"] == 4.0
    frame.assign(note="x").to_parquet(tmp_path / "text.parquet")
    assert "found another type in column 'note'" in problem(tmp_path / "text.parquet")
    assert "found no such file" in problem(tmp_path / "none.parquet")


def test_names_are_text_and_missing_words_are_not_measured(matrix):
    values, _ = read(matrix("gene\t0012\t1E5\tNA\nNA\t1\tnull\t\nNAN\t2\tNaN\t[Not Available]\n"))
    assert list(values.index) == ["0012", "1E5", "NA"] and list(values) == ["NA", "NAN"]
    assert values.isna().to_numpy().tolist() == [[False, False], [True, True], [True, True]]


def test_only_the_chosen_samples_are_read(matrix):
    text = "gene\ts1\ts2\ts3\nA\t1\tunread\t3\n"
    values, _ = read(matrix(text), choose=lambda names: [name for name in names if name in ("s1", "s3")])
    assert values["A"].tolist() == [1, 3]


@pytest.mark.parametrize("name", ["1-Sep", "2-Mar", "Mar-02", "1-Dec-19", "2019-03-02", "44440", "3/1/2020"])
def test_dates_made_by_excel_are_left_out_and_never_guessed(matrix, name):
    values, left_out = read(matrix(SMALL + f"{name}\t5\t6\n"))
    assert list(values) == ["A", "B"]
    row = left_out.iloc[0]
    assert (row["kind"], row["item"], row["code"]) == ("trait", name, "B-EXCEL")
    assert row["reason"].startswith(f"line 4 {name!r} looks like a gene name turned into a date by Excel")


def test_entrez_ids_are_no_dates(matrix):
    values, left_out = read(matrix("id\ts1\n44440\t1\n7157\t2\n"))
    assert list(values) == ["44440", "7157"] and left_out.empty


def test_genes_without_a_symbol_are_named_by_what_they_have(matrix):
    text = "gene_id\ts1\n?|100130426\t1\n?|100133144\t2\nTP53|7157\t3\n"  # the first rows of TCGA's EB++ table
    values, left_out = read(matrix(text))
    assert list(values) == ["TP53|7157"]
    assert left_out[["item", "code", "reason", "count"]].to_numpy().tolist() == [
        ["?|100130426", "B-NONAME", "line 2: a trait without a symbol", 1],
        ["?|100133144", "B-NONAME", "line 3: a trait without a symbol", 1],
    ]


TWICE = "gene\ts1\ts2\nTP53\t1\t5\nA\t7\t8\nTP53\t4\t3\n"


def test_duplicates_are_an_error_that_names_both_rows(matrix):
    message = problem(matrix(TWICE))
    assert "found 'TP53' in line 2 and line 4 (1 such name(s))" in message
    assert "set duplicates to mean, max or first" in message


@pytest.mark.parametrize(("rule", "expected"), [("mean", [2.5, 4.0]), ("max", [4.0, 3.0]), ("first", [1.0, 5.0])])
def test_duplicates_by_rule(matrix, rule, expected):
    # Means of the rows are 3.0 and 3.5: max takes the second.
    values, left_out = read(matrix(TWICE), duplicates=rule)
    assert values["TP53"].tolist() == expected and sorted(values) == ["A", "TP53"]
    assert left_out[["item", "code", "count"]].to_numpy().tolist() == [["TP53", "B-DUP", 1]]


def test_a_sample_twice_is_an_error(matrix):
    # pandas would call the second S1.1.
    assert "found twice: S1" in problem(matrix("gene\tS1\tS1\nA\t1\t2\n"))
    rows = matrix("sample\tA\nS1\t1\nS1\t2\n")
    assert "found twice: S1" in problem(rows, orientation="samples_by_traits")


def test_a_transposed_table_is_recognised_by_barcodes_or_by_the_cohorts_samples(matrix):
    barcoded = matrix("sample\tTP53\tA\nTCGA-A2-A0T2-01A\t1\t2\n")
    assert "(such as 'TCGA-A2-A0T2-01A'); the table is transposed" in problem(barcoded)
    named = matrix("sample\tTP53\tA\np1\t1\t2\n")
    assert "(such as 'p1'); the table is transposed" in problem(
        named, choose=lambda names: [n for n in names if n == "p1"]
    )
    declared = problem(
        matrix(SMALL), orientation="samples_by_traits", choose=lambda names: [n for n in names if n == "s1"]
    )
    assert "the table is transposed: change its orientation in the config" in declared


def test_no_wanted_sample_gives_an_empty_frame(matrix):
    assert read(matrix(SMALL), choose=lambda names: [])[0].shape == (0, 2)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [("high", "line 3, column 's2', found 'high'"), ("4,5", "found '4,5'; write decimals with a point")],
)
def test_text_among_numbers_is_named(matrix, cell, expected):
    assert expected in problem(matrix(SMALL.replace("\t4\n", f"\t{cell}\n")))


def test_a_ragged_line_is_named(matrix):
    assert "Expected 3 cells as in the header, found 4" in problem(matrix(SMALL + "C\t1\t2\t3\n"))
    message = problem(matrix(SMALL + "C\t1\n"))
    assert "found 2 in" in message and message.endswith("line 4")


@pytest.mark.parametrize(
    ("scale", "values", "expected"),
    [
        ("log2", "5000\t1", "Expected log2 values"),
        ("zscore", "500\t1", "Expected zscore values"),  # no z-score has only positive values
        ("raw", "-1.5\t2", "Expected raw values"),
        ("log2", "inf\t1", "found inf for 'A' in 's1'"),
    ],
)
def test_values_that_the_scale_cannot_have(matrix, scale, values, expected):
    assert expected in problem(matrix(f"gene\ts1\ts2\nA\t{values}\n"), scale=scale)


def test_doubtful_scales_are_warned_of(matrix):
    with pytest.warns(UserWarning, match="scale is declared raw, found values from 1 to 4, 0.00% negative"):
        read(matrix(SMALL), scale="raw")


def test_few_negative_values_of_a_batch_corrected_table_stay(tmp_path):
    values = np.full((20, 100), 900.0)
    values[3, 4] = -0.5
    frame = pd.DataFrame(values, index=[f"g{n}" for n in range(20)], columns=[f"s{n}" for n in range(100)])
    frame.to_csv(tmp_path / "e.tsv", sep="\t")
    with pytest.warns(UserWarning, match="log or batch-corrected"):
        assert read(tmp_path / "e.tsv", scale="raw")[0].loc["s4", "g3"] == -0.5


def test_a_trait_without_any_value_stays_and_is_named(matrix):
    values, left_out = read(matrix(SMALL + "C\tNA\t\n"))
    assert values["C"].isna().all()
    assert left_out[["item", "code"]].to_numpy().tolist() == [["C", "B-NOVALUE"]]


NAMES = ["MKI67|4288", "SLC35E2|728661", "SLC35E2|9906", "SEPT9|10801", "ORC6L|23594", "MARCHF1", "EGFR"]


@pytest.mark.parametrize(
    ("trait", "name"),
    [("MKI67", "MKI67|4288"), ("MKI67|4288", "MKI67|4288"), ("EGFR", "EGFR"), ("SLC35E2|9906", "SLC35E2|9906"),
     ("SEPTIN9", "SEPT9|10801"), ("MARCH1", "MARCHF1"), ("ORC6", "ORC6L|23594")],
)  # fmt: skip
def test_a_trait_is_found_by_full_name_symbol_or_other_symbol(trait, name):
    assert find_trait(trait, names=NAMES, table="t.tsv") == name


def test_an_ambiguous_or_absent_trait_is_an_error():
    with pytest.raises(InputError, match=r"found SLC35E2\|728661, SLC35E2\|9906; name one of them in full"):
        find_trait("SLC35E2", names=NAMES, table="t.tsv")
    with pytest.raises(
        InputError, match=r"Expected trait 'MKI76' among the 7 traits of t.tsv, found none; nearest: MKI67"
    ):
        find_trait("MKI76", names=NAMES, table="t.tsv")
    with pytest.raises(InputError, match="Excel may have turned it into a date, see B-EXCEL"):
        find_trait("SEPT1", names=NAMES, table="t.tsv")


def test_blank_lines_and_rows_of_tabs_shift_nothing(matrix):
    values, left_out = read(matrix("gene\ts1\ts2\n\nA\t1\t2\n   \n\t\t\nB\t3.5\t4\n\n"))
    assert values.to_numpy().tolist() == [[1.0, 3.5], [2.0, 4.0]]
    assert left_out["code"].tolist() == ["B-NONAME"]


def test_a_damaged_gzip_is_named(tmp_path):
    text = "gene\ts1\n" + "".join(f"G{n}\t{n * 0.37}\n" for n in range(5000))
    whole = gzip.compress(text.encode())
    path = tmp_path / "e.tsv.gz"
    path.write_bytes(whole[: len(whole) // 2])
    assert "Expected a whole gzip file, found a damaged one" in problem(path)

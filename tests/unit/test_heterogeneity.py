"""HTI against the paper's examples, SciPy's entropy and the released definition; the table against hand-made slides."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.heterogeneity import (
    combination_codes,
    combination_counts,
    combination_name,
    hti,
    measure_heterogeneity,
)
from histocarta.settings import Heterogeneity
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

SCORES = ["slide", "row", "col", "votes", "positive", "score"]
SLIDES = ["slide", "patient", "part", "label", "above_median", "decile", "percentile", "ood", "score", "n_tiles"]


def released_hti(tensor):
    """The released definition for two traits, by its formula: entropy base 3 over A only, B only, both; 0 for none."""
    a, b = np.asarray(tensor, bool).T
    either = (a | b).sum()
    return entropy([(a & ~b).sum() / either, (b & ~a).sum() / either, (a & b).sum() / either], base=3) if either else 0


@pytest.mark.parametrize(
    ("counts", "expected"),
    [((5, 5, 5), 1.0), ((5, 5, 0), 0.6309297535714574), ((7, 0, 0), 0.0), ((1, 0, 0), 0.0), ((0, 0, 9), 0.0)],
)
def test_vectors_for_two_traits(counts, expected):
    """Levy-Jurgenson 2020, Results: thirds give 1, one combination gives 0; log_3 2 = 0.6309."""
    assert hti(np.array(counts)) == pytest.approx(expected, abs=1e-15)


def test_paper_example_of_three_tiles():
    """The docstring of the released HTI: tiles [0,1], [1,1], [1,0] give 1."""
    tensor = np.array([[0, 1], [1, 1], [1, 0]])
    counts = combination_counts(combination_codes(list(tensor.T)), np.array([0, 3]), n_codes=4)
    assert counts.tolist() == [[1, 1, 1]]
    assert hti(counts)[0] == pytest.approx(1.0, abs=1e-15)


def test_homogeneous_is_plain_zero_and_nothing_positive_is_not_defined():
    index = hti(np.array([[9, 0, 0], [0, 0, 0]]))
    assert index[0] == 0 and not np.signbit(index[0])
    assert np.isnan(index[1])


def test_one_trait_is_zero_although_log_to_base_one_is_not_defined():
    assert hti(np.array([[4], [0]])).tolist()[0] == 0
    assert np.isnan(hti(np.array([[0]]))[0])


@given(st.lists(st.integers(0, 10**6), min_size=3, max_size=31))
def test_equals_scipy_entropy_to_the_base_of_all_combinations(counts):
    counts = np.array(counts)
    if counts.sum() == 0:
        assert np.isnan(hti(counts))
    else:
        assert hti(counts) == pytest.approx(entropy(counts, base=len(counts)), abs=1e-12)
        assert 0 <= hti(counts) <= 1


def test_base_counts_combinations_that_are_not_there():
    """C is the LARGEST possible number of combinations: columns left out must not change the index."""
    assert hti(np.array([5, 5]), combinations=3) == pytest.approx(0.6309297535714574, abs=1e-15)


def test_equals_the_released_function_for_two_traits():
    rng = np.random.default_rng(0)
    slides = [rng.random((n, 2)) < rng.random(2) for n in (1, 2, 17, 400, 4000)]
    codes = combination_codes(list(np.concatenate(slides).T))
    starts = np.cumsum([0, *map(len, slides)])
    index = hti(combination_counts(codes, starts, n_codes=4))
    assert np.nan_to_num(index) == pytest.approx([released_hti(slide) for slide in slides], abs=1e-12)


def test_codes_and_names_agree_for_nine_traits():
    traits = [f"T{number}" for number in range(9)]
    positive = [np.array([number in (0, 8), False]) for number in range(9)]
    codes = combination_codes(positive)
    assert codes.tolist() == [1 + 2**8, 0]
    assert combination_name(int(codes[0]), traits) == "T0+T8"


def test_more_traits_than_bits_are_refused():
    with pytest.raises(InputError, match="Expected 1 to 62 traits together, found 63; list fewer"):
        combination_codes([np.array([True])] * 63)


def trait_files(folder, trait, tiles, slides):
    """Consensus tables of one trait: tiles are (slide, row, col, positive), slides (slide, patient, part, ood)."""
    scores = pd.DataFrame([(s, r, c, 3, p, 0.5) for s, r, c, p in tiles], columns=SCORES).astype(
        {"row": "int64", "col": "int64", "votes": "int8", "positive": bool, "score": "float32"}
    )
    rows = [
        (s, p, part, np.nan, np.nan, 5, 50.0, ood, 0.5, sum(t[0] == s for t in tiles)) for s, p, part, ood in slides
    ]
    write_table(scores, folder / f"{trait}.scores.parquet")
    write_table(pd.DataFrame(rows, columns=SLIDES), folder / f"{trait}.slides.parquet")


def measure(folder, traits, **settings):
    asked = Heterogeneity(task="extremes", traits=["A", "B"], permutations=99, bootstraps=50)
    measure_heterogeneity(
        scores=[str(folder / f"{trait}.scores.parquet") for trait in traits],
        slides=[str(folder / f"{trait}.slides.parquet") for trait in traits],
        table=str(folder / "hti.tsv"),
        traits=traits,
        **{"seed": 1} | asked.measuring() | settings,
    )
    return read_table(folder / "hti.tsv").set_index("slide")


STRIPES = [("S1", row, col, (col // 4) % 2 == 0) for row in range(12) for col in range(12)]
REST = [("S2", 0, 0, True), ("S2", 0, 1, False), ("S3", 0, 0, False)]
COHORT = [
    ("S1", "P1", "test", ""),
    ("S2", "P2", "train", "near"),
    ("S3", "P2", "train", "near"),
    ("S4", "P3", "test", "far"),
]


def write_pair(folder, others=COHORT):
    trait_files(folder, "A", STRIPES + REST, COHORT)
    opposite = [(s, r, c, (not p) if s == "S1" else p) for s, r, c, p in STRIPES + REST]
    trait_files(folder, "B", list(reversed(opposite)), others)


def test_table_of_a_cohort(tmp_path):
    """S1: 96 tiles of A, 48 of B in stripes as wide as a region; S2: one tile with both; S3: nothing; S4: no tile."""
    write_pair(tmp_path, [(s, p, part, "far" if ood == "near" and s == "S3" else ood) for s, p, part, ood in COHORT])
    table = measure(tmp_path, ["A", "B"])
    assert list(table.columns[:4]) == ["patient", "part", "ood", "n_tiles"]
    assert list(table.columns[-3:]) == ["count_A", "count_B", "count_A+B"]
    assert table["ood"].tolist() == ["", "near", "far", "far"]  # near only where every trait is near
    assert table["reason"].tolist() == ["", "", "no_positive", "no_tiles"]
    assert table.loc["S1", ["n_tiles", "n_positive", "count_A", "count_B", "count_A+B"]].tolist() == [
        "144", "144", "96", "48", "0",
    ]  # fmt: skip
    assert float(table.loc["S1", "hti"]) == pytest.approx(entropy([96, 48], base=3), abs=1e-12)
    assert float(table.loc["S1", "hta"]) == 0.0  # every region is pure
    assert float(table.loc["S1", "permutation_p"]) == 0.01  # the least that 99 permutations can show
    assert float(table.loc["S1", "hti_low"]) < float(table.loc["S1", "hti"]) < float(table.loc["S1", "hti_high"])
    assert table.loc["S2", ["hti", "hta", "permutation_p", "hta_reason"]].tolist() == ["0.0", "0.0", "", "one_region"]
    assert table.loc["S3", ["hti", "hta"]].tolist() == ["", ""]


def test_a_slide_keeps_its_figures_when_others_leave(tmp_path):
    """And two slides with the same tiles do not share their random numbers."""
    noise = np.random.default_rng(0).random((2, 400)) < 0.5
    cohort = [("S0", "P0", "test", ""), ("S1", "P1", "test", "")]
    for trait, positive in zip("AB", noise, strict=True):
        tiles = [(s, n // 20, n % 20, p) for s in ("S0", "S1") for n, p in enumerate(positive)]
        trait_files(tmp_path, trait, tiles, cohort)
        trait_files(tmp_path, f"{trait}1", tiles[400:], cohort[1:])
    both, alone = measure(tmp_path, ["A", "B"]), measure(tmp_path, ["A1", "B1"])
    assert both.loc["S1"].tolist() == alone.loc["S1"].tolist()
    assert both.loc["S0", "hti_low"] != both.loc["S1", "hti_low"]


def test_a_slide_that_no_model_may_vote_on_is_not_called_negative(tmp_path):
    """Leave-one-out: the round that held S1 out has no model, so its tiles are not positive, and not negative."""
    write_pair(tmp_path)
    path = tmp_path / "B.slides.parquet"
    slides = read_table(path)
    slides.loc[slides["slide"] == "S1", "score"] = np.nan
    write_table(slides, path)
    table = measure(tmp_path, ["A", "B"])
    assert table.loc["S1", ["reason", "hti", "n_tiles", "hta_reason"]].tolist() == ["no_vote", "", "144", "no_vote"]
    assert table.loc["S2", "hti"] == "0.0"


def test_too_few_positive_tiles_by_setting(tmp_path):
    write_pair(tmp_path)
    table = measure(tmp_path, ["A", "B"], min_tiles=2)
    assert table.loc["S2", ["reason", "hti", "hta_reason"]].tolist() == ["too_few_positive", "", "too_few_positive"]


def test_an_excluded_trait_leaves_every_slide_without_figures_and_says_why(tmp_path):
    write_pair(tmp_path)
    for name, columns in (("scores", SCORES), ("slides", SLIDES)):  # as the consensus step writes them: no types at all
        write_table(pd.DataFrame(columns=columns), tmp_path / f"B.{name}.parquet")
    table = measure(tmp_path, ["A", "B"])
    assert table["reason"].unique().tolist() == ["trait_excluded: B"]
    assert table["hti"].unique().tolist() == [""] and len(table) == 4


def test_all_traits_excluded_gives_a_valid_empty_table(tmp_path):
    trait_files(tmp_path, "A", [], [])
    trait_files(tmp_path, "B", [], [])
    assert len(measure(tmp_path, ["A", "B"])) == 0


def test_tiles_of_another_run_are_refused(tmp_path):
    write_pair(tmp_path)
    trait_files(tmp_path, "B", STRIPES, COHORT)
    with pytest.raises(
        InputError, match="scores of B to hold each tile of the cohort once, the same tiles as A, found 144"
    ):
        measure(tmp_path, ["A", "B"])


def test_a_tile_twice_is_refused(tmp_path):
    trait_files(tmp_path, "A", [*STRIPES, STRIPES[0]], COHORT)
    with pytest.raises(InputError, match="each tile of the cohort once"):
        measure(tmp_path, ["A", "A"])


def test_other_parts_are_refused(tmp_path):
    write_pair(tmp_path, [("S1", "P1", "train", ""), *COHORT[1:]])
    with pytest.raises(InputError, match="found others for B than for A; make both traits again with one split scheme"):
        measure(tmp_path, ["A", "B"])


def test_seven_traits_have_columns_for_the_combinations_that_occur(tmp_path):
    traits = [f"T{number}" for number in range(7)]
    for number, trait in enumerate(traits):
        trait_files(tmp_path, trait, [("S1", 0, col, number in (0, 6) and col == 0) for col in range(3)], COHORT[:1])
    table = measure(tmp_path, traits)
    assert [name for name in table if name.startswith("count_")] == ["count_T0+T6"]
    assert table.loc["S1", ["hti", "n_positive", "n_tiles"]].tolist() == ["0.0", "1", "3"]

"""Two sets of genes in the same spots: correlations by hand, a null that knows of space, and planted answers."""

import numpy as np
import pandas as pd
import pytest
from histocarta.colocation import FEWEST_SHIFTS, OVERLAP, colocate, torus_correlations
from histocarta.errors import InputError
from scipy import ndimage, stats

TUMOUR, IMMUNE = ["AEBP1", "BGN", "P4HB"], ["PABPC1", "TAGLN2", "HLA-B"]


def _sections(*, sections=6, side=16, tie=0.0, genes=40, seed=0, smooth=2.0):
    """Spots × genes of smooth independent fields; ``tie`` of the tumour genes' field is in the immune genes too."""
    rng = np.random.default_rng(seed)
    names = [*TUMOUR, *IMMUNE, *(f"G{number}" for number in range(genes))]

    def field():
        return stats.zscore(ndimage.gaussian_filter(rng.normal(size=(side, side)), smooth, mode="wrap").ravel())

    row, col = np.indices((side, side)).reshape(2, -1)
    tables, spots = [], []
    for number in range(sections):
        tumour, immune = field(), field()
        immune = tie * tumour + np.sqrt(1 - tie**2) * immune
        own = [tumour] * 3 + [immune] * 3 + [field() for _ in range(genes)]
        tables.append(np.array(own).T + rng.normal(size=(side**2, len(names))) / 2)
        where = {"slide": f"s{number}", "section": "1", "patient": f"p{number // 2}", "lattice": "square"}
        spots.append(pd.DataFrame({"row": row, "col": col}).assign(**where))
    return pd.DataFrame(np.vstack(tables), columns=names), pd.concat(spots, ignore_index=True)


def test_r_is_that_of_the_sets_mean_z_scores():
    values, spots = _sections(tie=-0.5)
    found, _ = colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=50, seed=1)
    own = values[(spots["slide"] == "s2").to_numpy()]
    z = (own - own.mean()) / own.std(ddof=0)
    line = found.set_index("slide").loc["s2"]
    assert line["r"] == pytest.approx(stats.pearsonr(z[TUMOUR].mean(axis=1), z[IMMUNE].mean(axis=1)).statistic)
    assert line["n_spots"] == 256 and line["patient"] == "p1"


def test_the_published_test_is_a_paired_t_over_sections():
    values, spots = _sections(tie=-0.7)
    sections, tests = colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=200, seed=1)
    expected = stats.ttest_rel(sections["r"], sections["chance_mean"])
    assert tests["paired_t"]["p"] == pytest.approx(expected.pvalue) and tests["paired_t"]["n"] == 6
    assert tests["paired_t"]["statistic"] < 0 and tests["paired_t"]["p"] < 0.001
    means = sections.groupby("patient")[["r", "chance_mean"]].mean()
    assert tests["paired_t_patients"]["p"] == pytest.approx(stats.ttest_rel(means["r"], means["chance_mean"]).pvalue)
    assert tests["torus"]["p"] == pytest.approx(2 / 201)
    assert "shifted on the lattice" in tests["torus"]["test"]


def test_depth_that_all_genes_share_is_chance_too():
    values, spots = _sections()
    values = values.add(3 * np.random.default_rng(2).normal(size=len(values)), axis=0)
    sections, _ = colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=200, seed=1)
    assert (sections["r"] > 0.8).all() and (sections["chance_mean"] > 0.8).all()
    assert (sections["r"] - sections["chance_mean"]).abs().max() < 0.15


def test_chance_is_drawn_from_the_other_genes_alone():
    values, spots = _sections(sections=1, genes=6)
    for number in range(6):
        values[f"G{number}"] = values["G0"]
    sections, _ = colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=20, seed=1)
    assert sections["chance_low"][0] == pytest.approx(1) and sections["chance_high"][0] == pytest.approx(1)


@pytest.mark.parametrize("lattice", ["square", "hexagonal"])
def test_every_shift_is_the_correlation_of_the_spots_it_joins(lattice):
    rng = np.random.default_rng(5)
    row, col = np.indices((7, 9)).reshape(2, -1)
    keep = rng.random(63) < 0.85
    keep[[0, 62]] = True
    if lattice == "hexagonal":
        keep &= (row + col) % 2 == 0
    row, col = row[keep], col[keep]
    a, b = rng.normal(size=(2, len(row)))
    rows, cols = (7, 9) if lattice == "square" else (8, 10)
    at = {place: value for *place, value in zip(row, col, b, strict=True) for place in [tuple(place)]}
    expected = []
    for down in range(rows):
        for right in range(cols):
            ends = [at.get(((r + down) % rows, (c + right) % cols)) for r, c in zip(row, col, strict=True)]
            met = np.array([value is not None for value in ends])
            if (down or right) and met.sum() >= OVERLAP * len(row):
                other = np.array([value for value in ends if value is not None])
                expected.append(stats.pearsonr(a[met], other).statistic)
    np.testing.assert_allclose(torus_correlations(a, b, row + 3, col + 1, lattice), expected, atol=1e-9)


def test_a_null_by_shifts_is_right_where_one_by_shuffling_is_not():
    """Independent smooth fields: shifts find p < .1 in about a tenth; the t-test of r in most."""
    p, naive = [], []
    for seed in range(60):
        values, spots = _sections(sections=1, genes=6, seed=seed, side=20, smooth=1.5)
        sections, _ = colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=5, seed=1)
        p.append(sections["p_torus"][0])
        naive.append(stats.pearsonr(values[TUMOUR].mean(axis=1), values[IMMUNE].mean(axis=1)).pvalue)
    assert np.mean(np.array(p) < 0.1) < 0.2 and stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean(np.array(naive) < 0.1) > 0.4


def test_sections_that_allow_no_answer_say_why():
    values, spots = _sections(sections=3)
    values.loc[spots["slide"] == "s0", TUMOUR] = 1.0
    values.loc[spots["slide"] == "s1", "BGN"] = np.nan  # the set goes on without it
    thin = (spots["slide"] != "s2") | ((spots["row"] == 3) & (spots["col"] < 9))
    sections, tests = colocate(
        values[thin].reset_index(drop=True), spots[thin].reset_index(drop=True), first=TUMOUR, second=IMMUNE, seed=1
    )
    assert np.isnan(sections["r"]).tolist() == [True, False, False]
    assert sections["reason"].tolist() == [
        "a set has no gene that varies",
        "",
        f"8 shifts keep 33% of the spots, need {FEWEST_SHIFTS}",
    ]
    assert tests["paired_t"]["n"] == 2 and tests["torus"]["n"] == 1


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ((["AEBP1", "XBP2"], IMMUNE), r"among the 46 of the table, found no XBP2"),
        ((TUMOUR, ["BGN"]), r"without a gene in common, found BGN in both"),
        ((TUMOUR, []), r"found sets of 3 and 0 and 43 other genes"),
    ],
)
def test_sets_that_cannot_be_compared_are_refused(sets, message):
    values, spots = _sections(sections=1)
    with pytest.raises(InputError, match=message):
        colocate(values, spots, first=sets[0], second=sets[1], seed=1)
    with pytest.raises(InputError, match="1 or more draws, found 0"):
        colocate(values, spots, first=TUMOUR, second=IMMUNE, draws=0, seed=1)

"""HTA against the authors' package, its p against an exact count of arrangements, its intervals against the truth."""

from itertools import permutations

import numpy as np
import pytest
from histocarta.errors import InputError
from histocarta.heterogeneity import combination_codes
from histocarta.hta import block_bootstrap, hta, permutation_p, region_counts, regional_heterogeneity
from hta.stats import HTA


def measure(tensor, *, region=4, permute="positive", tissue=None, permutations=499, seed=0):
    """Regional heterogeneity of a tensor (rows, cols, traits); tissue: where there are tiles, by default everywhere."""
    tissue = np.ones(tensor.shape[:2], bool) if tissue is None else tissue
    rows, cols = np.nonzero(tissue)
    codes = combination_codes(list(tensor[rows, cols].T))
    return regional_heterogeneity(
        codes, rows, cols, combinations=2 ** tensor.shape[2] - 1, region=region, permutations=permutations,
        bootstraps=200, permute=permute, rng=np.random.default_rng(seed),
    )  # fmt: skip


@pytest.mark.parametrize("traits", [2, 3, 4])
@pytest.mark.parametrize("region", [3, 5])
def test_value_equals_the_authors_package(traits, region):
    rng = np.random.default_rng(traits * 10 + region)
    tensor = (rng.random((17, 13, traits)) < 0.4).astype(int)
    theirs, _ = HTA(tensor, region, n_repeat=2).calc()
    assert measure(tensor, region=region, permutations=1).hta == pytest.approx(theirs, abs=1e-12)


def test_base_is_what_occurs_so_two_of_three_combinations_can_reach_one():
    """Checklist B.2: counts (5, 5, 0) in one region give 1.0 by the package, 0.63 by the paper's HTI."""
    assert hta(np.array([[5, 5]])) == pytest.approx(1.0, abs=1e-15)


def test_p_agrees_with_the_authors_central_limit_p():
    """Their p is the left tail of a normal; under the same null the two agree for a slide of 16 regions."""
    rng = np.random.default_rng(3)
    tensor = (rng.random((16, 16, 2)) < 0.5).astype(int)
    tensor[:8, :8, 0] |= rng.random((8, 8)) < 0.7
    np.random.seed(0)  # the package draws from NumPy's global state
    _, theirs = HTA(tensor, 4, n_repeat=150).calc()
    assert 0.005 < theirs < 0.1
    assert measure(tensor, permutations=1999).permutation_p == pytest.approx(theirs, abs=0.015)


def test_p_equals_the_exact_count_over_all_arrangements():
    """Six tiles in two regions: all 720 orders can be counted."""
    states = np.array([0, 1, 1, 2, 2, 2])
    rows = np.repeat([0, 1], 3)

    def table(order):
        return np.array([np.bincount(np.array(order)[rows == row], minlength=3) for row in (0, 1)])

    observed = float(hta(table(states)[:, 1:]))
    exact = np.mean([float(hta(table(order)[:, 1:])) <= observed + 1e-12 for order in permutations(states)])
    drawn = permutation_p(table(states), empty=True, observed=observed, n=20000, rng=np.random.default_rng(0))
    assert 0 < exact < 1
    assert drawn == pytest.approx(exact, abs=4 * np.sqrt(exact * (1 - exact) / 20000))


@pytest.mark.parametrize("permute", ["tissue", "positive"])
def test_p_is_uniform_where_nothing_is_planted(permute):
    """Independent tiles: p <= .1 in about 10 % of 200 slides (binomial 4 sigma: 0.015 to 0.185)."""
    rng = np.random.default_rng(5)
    p = [
        measure((rng.random((16, 16, 2)) < 0.5).astype(int), permute=permute, permutations=99, seed=n).permutation_p
        for n in range(200)
    ]
    assert 0.015 < np.mean(np.array(p) <= 0.1) < 0.185
    assert 0.3 < np.mean(np.array(p) <= 0.5) < 0.7


def test_permuting_positive_tiles_asks_nothing_of_where_they_are():
    """Positive tiles crowd in one half but A and B mix freely there: only keeping apart counts, so p is large."""
    rng = np.random.default_rng(1)
    tensor = np.zeros((16, 16, 2), int)
    tensor[:, :8, 0] = rng.random((16, 8)) < 0.5
    tensor[:, :8, 1] = 1 - tensor[:, :8, 0]
    assert measure(tensor, permute="positive").permutation_p > 0.05
    apart = np.zeros((16, 16, 2), int)
    apart[:8, :, 0], apart[8:, :, 1] = 1, 1
    assert measure(apart, permute="positive").permutation_p == 1 / 500
    assert measure(apart, permute="tissue").permutation_p == 1 / 500


def test_regions_start_at_the_grids_corner_and_empty_ones_are_left_out():
    counts, observed = region_counts(np.array([3, 3, 0, 1]), np.array([3, 4, 4, 40]), np.array([0, 0, 3, 9]), region=4)
    assert observed.tolist() == [0, 1, 3]
    assert counts.tolist() == [[0, 0, 1], [1, 0, 1], [0, 1, 0]]


def test_small_slides_say_why_a_figure_is_missing():
    ones = np.ones((4, 4, 2), int)
    assert measure(ones).reason == "one_region"
    assert np.isnan(measure(ones).permutation_p) and measure(ones).hta == 0
    assert measure(np.zeros((8, 8, 2), int)).reason == "no_positive"
    few = measure(np.ones((8, 8, 2), int))
    assert few.reason == "few_regions" and np.isnan(few.hti_low) and few.permutation_p == 1.0


def test_interval_is_wider_where_neighbours_agree():
    """Blocks of one combination have far fewer independent parts than the same tiles scattered at random."""
    rng = np.random.default_rng(2)
    blocks = np.kron(rng.random((8, 8)) < 0.5, np.ones((4, 4), int))
    scattered = rng.permutation(blocks.ravel()).reshape(blocks.shape)

    def width(layer):
        record = measure(np.stack([layer, 1 - layer], axis=-1).astype(int), permutations=1)
        assert record.hti_low <= np.log(2) / np.log(3) + 1e-12
        return record.hti_high - record.hti_low

    assert width(blocks) > 3 * width(scattered)


def test_equal_regions_have_no_spread():
    """Every region half A, half B: whatever is drawn, HTA is 1 and HTI log_3 2."""
    interval = block_bootstrap(np.full((12, 2), 8), combinations=3, n=50, rng=np.random.default_rng(0))
    assert interval == pytest.approx((1.0, 1.0, np.log(2) / np.log(3), np.log(2) / np.log(3)), abs=1e-12)


def test_interval_of_the_regional_index_lies_around_it():
    """Half of 40 regions mixed (1), half pure (0): HTA 0.5, its bootstrap spread sqrt(.25 / 40) = 0.079."""
    blocks = np.array([[8, 8]] * 20 + [[16, 0]] * 20)
    low, high, *_ = block_bootstrap(blocks, combinations=3, n=2000, rng=np.random.default_rng(0))
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.079, 0.5 + 1.96 * 0.079), abs=0.03)


def test_interval_covers_the_truth():
    """100 slides of 64 independent regions, each pure A (share 0.8) or pure B: the 95 % HTI interval covers
    the entropy of (0.8, 0.2) to the base 3 in at least 85 (binomial(100, 0.95) is below 85 once in 4,000)."""
    rng = np.random.default_rng(7)
    truth = -(0.8 * np.log(0.8) + 0.2 * np.log(0.2)) / np.log(3)
    covered = 0
    for _ in range(100):
        pure = rng.random(64) < 0.8
        blocks = np.stack([16 * pure, 16 * ~pure], axis=1)
        *_, low, high = block_bootstrap(blocks, combinations=3, n=200, rng=rng)
        covered += low <= truth <= high
    assert covered >= 85


def test_unknown_null_model_and_region_are_refused():
    with pytest.raises(InputError, match="Expected one of tissue, positive for what is permuted, found 'slides'"):
        measure(np.ones((4, 4, 2), int), permute="slides")
    with pytest.raises(InputError, match="Expected a region of at least 1 tile, found 0"):
        measure(np.ones((4, 4, 2), int), region=0)

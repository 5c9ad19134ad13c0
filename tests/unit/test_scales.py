"""Tables whose values are impossible on the declared scale are refused; unlikely ones are noted, by stated rules."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.luad_table import SUFFIX, TABLE
from histocarta.scales import check_scale

RNG = np.random.default_rng(0)
# 60 samples × 40 traits: log2 of RNA-seq, what it was before the logarithm, and what standardising makes of it.
LOG2 = pd.DataFrame(RNG.normal(RNG.uniform(2, 12, 40), RNG.uniform(0.5, 2, 40), (60, 40))).clip(lower=0)
RAW = 2**LOG2
ZSCORE = (LOG2 - LOG2.mean()) / LOG2.std()


def checked(frame, scale):
    return [row["reason"] for row in check_scale(frame, scale=scale, path="e.tsv")]


@pytest.mark.parametrize(("frame", "scale"), [(LOG2, "log2"), (RAW, "raw"), (ZSCORE, "zscore")])
def test_the_true_scale_is_neither_refused_nor_doubted(recwarn, frame, scale):
    assert checked(frame, scale) == [] and not recwarn.list
    assert checked(frame.iloc[:0], scale) == [] == checked(frame * np.nan, scale)


@pytest.mark.parametrize(
    ("frame", "scale", "expected"),
    [
        (
            RAW,
            "log2",
            r"Expected log2 values in e\.tsv, found values .* \(log2 values do not exceed 64\); state the true",
        ),
        (ZSCORE, "raw", r"\(at most 1% of raw values are negative\)"),
        (LOG2, "zscore", r"\(more than 1% of z-scores are negative\)"),
        (RAW, "zscore", r"\(more than 1% of z-scores are negative\)"),
        (
            LOG2.iloc[:, :1].replace(LOG2.iloc[0, 0], -0.01),
            "zscore",
            r"mean \d+\.\d sd from 0 \(z-scores lie within 3 sd",
        ),
        (LOG2.replace(LOG2.iloc[0, 0], np.inf), "log2", r"Expected finite numbers in e\.tsv, found inf for 0 in 0"),
    ],
    ids=["raw as log2", "z as raw", "log2 as z", "raw as z", "log2 with a little below 0 as z", "infinite"],
)
def test_what_a_scale_cannot_hold_is_an_error(frame, scale, expected):
    with pytest.raises(InputError, match=expected):
        check_scale(frame, scale=scale, path="e.tsv")


@pytest.mark.filterwarnings("ignore:e.tsv")
@pytest.mark.parametrize(
    ("frame", "scale", "expected"),
    [
        (LOG2, "raw", "declared raw, log or batch-corrected values? values from"),
        (RAW.replace(RAW.iloc[0, 0], -0.5), "raw", "declared raw, log or batch-corrected values? values from -0.5"),
        (ZSCORE, "log2", "declared log2, z-scores or ratios, centred on 0? values from"),
        (RAW.clip(upper=64), "log2", "declared log2, raw values? values from"),
        (RAW.round().clip(upper=20), "log2", "declared log2, counts? All are whole numbers: values from"),
        (ZSCORE + 2, "zscore", "declared zscore, log2 values, or z-scores by another tissue? values from"),
    ],
    ids=["log2 as raw", "a negative raw value", "z as log2", "raw up to 64 as log2", "counts as log2", "z off centre"],
)
def test_what_is_unlikely_on_a_scale_is_noted(frame, scale, expected):
    (reason,) = checked(frame, scale)
    assert re.match(re.escape(expected), reason)


def test_a_few_whole_numbers_say_nothing(recwarn):
    assert checked(pd.DataFrame({"A": [1.0, 2.0, 8.0]}), "log2") == [] and not recwarn.list


@pytest.mark.parametrize(
    ("scale", "values"), [("log2", [5000, 1]), ("zscore", [500, 1]), ("raw", [-1.5, 2]), ("log2", [np.inf, 1])]
)
def test_two_values_are_enough_for_what_cannot_be(scale, values):
    with pytest.raises(InputError):
        check_scale(pd.DataFrame({"A": values}, dtype=float), scale=scale, path="e.tsv")


@pytest.mark.real
@pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is unset")
def test_a_real_table_of_z_scores(recwarn):
    """TCGA LUAD: values up to 7,378, of genes that a handful of samples hold, and a third positive."""
    table = pd.read_csv(Path(os.environ["REAL_DATA"]) / TABLE, low_memory=False)
    values = table[[name for name in table if name.endswith(SUFFIX)]].astype(float)
    assert checked(values, "zscore") == [] and not recwarn.list
    assert "centred on 0?" in checked(values.clip(upper=60), "log2")[-1]

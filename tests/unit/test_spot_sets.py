"""Sets of genes in spots: a pair that lies together is found, what is missing is named, and shares are Fisher's."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.overrepresentation import represent
from histocarta.report_page import Table
from histocarta.report_spot_sets import set_blocks
from histocarta.spot_sets import HALF, HOLM, colocate_sets, represent_predicted
from scipy.stats import fisher_exact

SIDE, GENES = 12, ["A1", "A2", "B1", "B2", *(f"N{number}" for number in range(12))]


@pytest.fixture
def spots(tmp_path):
    """Three sections in which A and B lie together as measured, and apart as predicted."""
    rng = np.random.default_rng(0)
    row, col = np.indices((SIDE, SIDE)).reshape(2, -1)
    labels, scores = [], []
    for number in range(3):
        field = np.sin(row / 2 + rng.random()) + np.cos(col / 2 + rng.random())
        noise = rng.normal(size=(len(row), len(GENES)))
        together = noise + np.where(np.arange(len(GENES)) < 4, field[:, None] * 2, 0)
        apart = noise + np.select([np.arange(len(GENES)) < 2, np.arange(len(GENES)) < 4], [2, -2]) * field[:, None]
        where = pd.DataFrame({"slide": f"s{number}", "row": row, "col": col})
        labels.append(where.assign(patient=f"p{number}", section=f"s{number}", total=100.0, annotation="",
                                   target=list(together)))  # fmt: skip
        scores.append(pd.concat([where, pd.DataFrame(apart, columns=GENES)], axis=1))
    write_table(pd.concat(labels, ignore_index=True), tmp_path / "labels.parquet")
    write_table(pd.concat(scores, ignore_index=True), tmp_path / "scores.parquet")
    facts = {"trait": "t", "genes": GENES, "lattice": {f"s{number}": "square" for number in range(3)}}
    write_json(facts, tmp_path / "labels.json")
    call = {"scores": "scores.parquet", "labels": "labels.parquet", "summary": "labels.json"}
    call |= {"table": "out.tsv", "record": "out.json"}
    return {key: str(tmp_path / name) for key, name in call.items()}


def test_sets_are_compared_as_measured_and_as_predicted(spots):
    pair = {"name": "pair", "first": ["A1", "A2", "ABSENT"], "second": ["B1", "B2"]}
    colocate_sets(**spots, pairs=[pair], draws=200, seed=1)
    (told,) = read_json(spots["record"])["pairs"]
    assert told["missing"] == ["ABSENT"] and told["first"] == ["A1", "A2"] and not told["reason"]
    assert told["measured"]["paired_t"]["mean_r"] > 0.5 and told["predicted"]["paired_t"]["mean_r"] < -0.5
    assert told["measured"]["paired_t"]["n"] == 3 and told["measured"]["paired_t"]["p"] < 0.05
    table = read_table(spots["table"])
    assert len(table) == 6 and set(table["values"]) == {"measured", "predicted"}


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (["X"], ["B1"], "none of the genes of the first set"),
        (["A1"], ["A1", "B1"], "A1 in both sets"),
        (GENES[:8], GENES[8:14], "2 other genes to draw from, need 14"),
    ],
)
def test_a_pair_that_cannot_be_compared_says_why(spots, first, second, reason):
    colocate_sets(**spots, pairs=[{"name": "p", "first": first, "second": second}], draws=50, seed=1)
    assert reason in read_json(spots["record"])["pairs"][0]["reason"] and not len(read_table(spots["table"]))


def test_a_share_is_fishers_and_the_papers_counts_give_its_verdict():
    """He 2020: 37 cancer genes among 102 predicted, 11 among the 148 others."""
    known = {f"G{number}" for number in range(250)}
    best = {f"G{number}" for number in range(102)}
    cancer = {f"G{number}" for number in [*range(37), *range(102, 113)]}
    (row,) = represent(known, best, {"cancer": cancer}, sizes=(5, 500)).to_dict("records")
    expected = fisher_exact([[37, 11], [102 - 37, 148 - 11]], alternative="greater").pvalue
    assert row["p"] == pytest.approx(expected, rel=1e-9) and row["chosen"] == 37 and row["p"] < 1e-7
    assert row["expected"] == pytest.approx(48 * 102 / 250)


@pytest.mark.parametrize(("p_holm", "by", "n"), [([0.01] * 6 + [1.0] * 14, HOLM, 6), ([1.0] * 20, HALF, 10)])
def test_the_best_genes_are_the_consistent_ones_or_else_the_better_half(tmp_path, p_holm, by, n):
    genes = [f"g{number}" for number in range(20)]
    frame = pd.DataFrame({"gene": genes, "p_holm": p_holm, "median_r": np.linspace(0.9, -0.1, 20)})
    write_table(frame, tmp_path / "genes.tsv")
    (tmp_path / "sets.gmt").write_text("BEST\tx\t" + "\t".join(f"G{k}" for k in range(6)) + "\nFEW\tx\tG1\tG2\n")
    call = {"genes": "genes.tsv", "sets": "sets.gmt", "table": "out.tsv"}
    represent_predicted(**{key: str(tmp_path / name) for key, name in call.items()})
    found = read_table(tmp_path / "out.tsv")
    assert found["set"].tolist() == ["BEST"] and found["chosen_by"].tolist() == [by]
    assert found["n_chosen"].tolist() == [str(n)] and found["chosen"].tolist() == ["6"]


def test_a_test_without_a_value_stands_in_the_report_as_a_dash(tmp_path):
    test = {"n": 0, "mean_r": None, "mean_chance": None, "p": None}
    told = dict.fromkeys(("paired_t", "paired_t_patients", "torus"), test)
    pair = {"name": "p", "missing": [], "reason": "", "measured": told, "predicted": told}
    write_json({"pairs": [pair]}, tmp_path / "colocation.json")
    (table,) = (
        block for block in set_blocks(str(tmp_path), made=[f"{tmp_path}/colocation.json"]) if isinstance(block, Table)
    )
    assert len(table.rows) == 6 and all(row[4:] == ["–", "–", "–", "–"] for row in table.rows)

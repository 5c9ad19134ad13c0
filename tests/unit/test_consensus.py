import time

import numpy as np
import pandas as pd
import pytest
from histocarta import consensus
from histocarta.errors import InputError
from histocarta.evaluation import auc
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.scored import Tiles, voters_by_slide
from scipy import stats
from sklearn.metrics import roc_auc_score

NAN = float("nan")
TILES = 6


def one_slide(scores):
    n = len(scores[0])
    return Tiles(np.zeros(n, int), np.arange(n), np.zeros(n, int), [np.array(s, np.float32) for s in scores])


def all_vote(tiles, rounds):
    return np.ones((1, rounds), dtype=bool)


def test_vote_then_fraction_is_not_the_mean_of_fractions():
    # Checklist B.4: [1,1,0,0], [1,0,1,0], [0,1,1,0] -> vote 0.75, mean of the fractions 0.5.
    tiles = one_slide([[0.9, 0.9, 0.1, 0.1], [0.9, 0.1, 0.9, 0.1], [0.1, 0.9, 0.9, 0.1]])
    votes, positive, score = consensus.majority(tiles, voters=all_vote(tiles, 3), threshold=0.5)
    assert votes.tolist() == [2, 2, 2, 0] and positive.tolist() == [True, True, True, False]
    assert tiles.share(positive, n_slides=1) == [0.75]
    assert np.mean([tiles.share(s > 0.5, n_slides=1) for s in tiles.scores]) == 0.5
    np.testing.assert_allclose(score, [0.633333, 0.633333, 0.633333, 0.1], rtol=1e-5)


def test_majority_agrees_with_scipy_mode_even_votes_included():
    rng = np.random.default_rng(1)
    for rounds in (2, 3, 4, 5):
        binary = rng.integers(0, 2, size=(rounds, 200))
        tiles = one_slide(binary)
        _, positive, _ = consensus.majority(tiles, voters=all_vote(tiles, rounds), threshold=0.5)
        assert (positive == stats.mode(binary, axis=0).mode).all()


def test_equal_rounds_vote_as_one_and_the_threshold_is_strict():
    score = np.array([0.2, 0.5, np.nextafter(np.float32(0.5), np.float32(1)), 0.9], np.float32)
    tiles = one_slide([score] * 3)
    votes, positive, mean = consensus.majority(tiles, voters=all_vote(tiles, 3), threshold=0.5)
    assert positive.tolist() == [False, False, True, True] and votes.tolist() == [0, 0, 3, 3]
    np.testing.assert_allclose(mean, score, rtol=1e-6)
    # 0.3 as float32 is above 0.3 as float64: the comparison must be made in the scores' own precision.
    exact = one_slide([[0.3]])
    assert not consensus.majority(exact, voters=all_vote(exact, 1), threshold=0.3)[1].any()


@pytest.mark.parametrize(
    ("areas", "usable", "expected", "reason"),
    [
        ([0.7, 0.9, 0.8, 0.6, 0.95], None, [1, 2, 4], ""),
        ([0.8, 0.8, 0.8, 0.8, 0.8], None, [0, 1, 2], ""),
        ([NAN, 0.5, 0.4, NAN, 0.6], None, [1, 2, 4], ""),
        ([NAN, 0.5, NAN, NAN, 0.6], None, [0, 1, 4], "no validation AUC in voting round 1"),
        ([0.9, 0.8, 0.7, 0.6, 0.5], [0, 1, 0, 1, 1], [1, 3, 4], ""),
        ([0.9, 0.8], None, [0, 1], "2 of 3 rounds can vote"),
        ([NAN, 0.8], [0, 1], [1], "1 of 3 rounds can vote"),
    ],
)
def test_best_rounds(areas, usable, expected, reason):
    # Ties to the lower round, undefined AUC last, fewer than three said (checklist B.4).
    choice = consensus.choose_rounds(areas, usable=usable or [True] * len(areas), best=3)
    assert (choice.rounds, choice.reason) == (expected, reason)


def test_only_rounds_that_held_a_slide_out_vote_on_it_where_the_test_part_changes():
    fixed = np.array([[True, True, True], [False, False, False]])
    voters = voters_by_slide(fixed, chosen=[0, 2], usable=[True] * 3)
    assert voters.tolist() == [[True, False, True]] * 2
    leave_one_out = np.eye(3, dtype=bool)
    assert (voters_by_slide(leave_one_out, chosen=[0, 1], usable=[True] * 3) == leave_one_out).all()
    assert not voters_by_slide(leave_one_out, chosen=[0], usable=[True, False, True])[1].any()


def tell_fate(folder, k, *, code="", reason=""):
    """What training says of round ``k``."""
    write_json({"round": k, "code": code, "reason": reason}, folder / f"model-{k}.json")


def without_scores(folder, k):
    empty = pd.DataFrame({name: pd.Series(dtype=object) for name in ("slide", "row", "col", "score")})
    write_table(empty, folder / f"scores-{k}.parquet")


def study(folder, *, rounds=5, patients=40, slides_each=1, seed=1, unit=None, leave_out=False):
    """Labels, splits, manifest and tile scores of a trait that the scores follow; round r's noise grows with r."""
    rng = np.random.default_rng(seed)
    names = [f"p{k:02d}" for k in range(patients)]
    frame = pd.DataFrame([(f"{p}-{k}", p) for p in names for k in range(slides_each)], columns=["slide", "patient"])
    frame["percentile"] = frame["patient"].map(dict(zip(names, np.linspace(0, 100, patients), strict=True)))
    between = frame["percentile"].between(20, 80)
    frame["above_median"] = (frame["percentile"] > 50).astype(float)
    frame["label"] = frame["above_median"].mask(between)
    near = between & ~frame["percentile"].between(30, 70)
    frame["ood"] = np.select([near, between], ["near", "far"], default="")
    frame["decile"] = np.ceil(frame["percentile"] / 10).clip(1, 10).astype("int8")
    write_table(frame.assign(value=frame["percentile"], reason="", sample=frame["patient"]), folder / "labels.parquet")
    write_table(frame[["slide", "patient"]].assign(n_tiles=TILES), folder / "manifest.tsv")
    write_json({"trait": "MYC", "status": "ok", "code": "", "reason": ""}, folder / "labels.json")
    split = frame[["slide", "patient"]].assign(unit=frame[unit or "patient"], scheme="s")
    number = frame["patient"].str[1:].astype(int)
    tiles = frame.loc[frame.index.repeat(TILES), ["slide"]].reset_index(drop=True)
    tiles["row"], tiles["col"] = np.arange(len(tiles), dtype="int32") % TILES, np.int32(0)
    signal = np.repeat((frame["percentile"].to_numpy() - 50) / 250, TILES)
    for k in range(1, rounds + 1):
        test = number % rounds == k - 1 if leave_out else number % 4 == 0
        part = np.select([test, number % 5 == k - 1], ["test", "validation"], default="train")
        write_table(split.assign(part=part, round=k), folder / f"round-{k}.tsv")
        score = np.clip(0.5 + signal + rng.normal(scale=0.1 * k, size=len(tiles)), 0, 1)
        write_table(tiles.assign(score=score.astype("float32")), folder / f"scores-{k}.parquet")
        tell_fate(folder, k)
    return folder


def run(folder, *, rounds=5, unit="patient", best=3):
    inputs = {"manifest": "manifest.tsv", "labels": "labels.parquet", "summary": "labels.json"}
    outputs = {"scores": "scores.parquet", "slides": "slides.parquet", "metrics": "metrics.json"}
    consensus.vote(
        **{key: str(folder / name) for key, name in (inputs | outputs).items()},
        splits=[str(folder / f"round-{k}.tsv") for k in range(1, rounds + 1)],
        rounds=[str(folder / f"scores-{k}.parquet") for k in range(1, rounds + 1)],
        sidecars=[str(folder / f"model-{k}.json") for k in range(1, rounds + 1)],
        trait="MYC", best=best, threshold=0.5, seed=1, unit=unit,
    )  # fmt: skip
    tables = [read_table(folder / name) for name in ("scores.parquet", "slides.parquet")]
    return *tables, read_json(folder / "metrics.json")


def by_hand(folder, rounds):
    """Tile scores of the given rounds, one column each, computed without the module."""
    tables = [read_table(folder / f"scores-{k}.parquet") for k in rounds]
    return tables[0]["slide"], np.stack([table["score"] for table in tables], axis=1)


def test_whole_chain_against_pandas_and_sklearn(tmp_path):
    tiles, slides, metrics = run(study(tmp_path, patients=80))
    assert list(tiles) == ["slide", "row", "col", "votes", "positive", "score"]
    assert list(slides) == [
        "slide", "patient", "part", "label", "above_median", "decile", "percentile", "ood",
        "score_1", "score_2", "score_3", "score_4", "score_5", "score", "n_tiles",
    ]  # fmt: skip
    name, every = by_hand(tmp_path, range(1, 6))
    share = pd.DataFrame(every > 0.5).groupby(name).mean()
    np.testing.assert_allclose(slides.filter(regex=r"score_\d"), share)
    label = slides["label"]
    split = [read_table(tmp_path / f"round-{k}.tsv")["part"] for k in range(1, 6)]
    areas = [
        roc_auc_score(
            label[(p == "validation") & label.notna()], share[k].to_numpy()[(p == "validation") & label.notna()]
        )
        for k, p in enumerate(split)
    ]
    np.testing.assert_allclose([row["validation_auc"] for row in metrics["rounds"]], areas)
    chosen = sorted(np.argsort(-np.array(areas), kind="stable")[:3])
    assert metrics["chosen"] == [k + 1 for k in chosen]
    vote = pd.Series(stats.mode((every[:, chosen] > 0.5).astype(int), axis=1).mode).groupby(name).mean()
    np.testing.assert_allclose(slides["score"], vote)
    test = (split[0] == "test") & label.notna()
    assert metrics["ensemble"]["test"]["auc"] == pytest.approx(roc_auc_score(label[test], slides["score"][test]))
    assert (metrics["ensemble"]["test"]["n_high"], metrics["ensemble"]["test"]["n_low"]) == tuple(
        label[test].value_counts()[[1, 0]]
    )
    far = slides["ood"] != ""
    assert metrics["ensemble"]["ood_all"]["auc"] == pytest.approx(
        roc_auc_score(slides["above_median"][far], slides["score"][far])
    )
    rho, p = stats.spearmanr(slides["score"][far], slides["percentile"][far])
    assert metrics["spearman"]["ood_all"]["rho"] == pytest.approx(rho) and metrics["spearman"]["ood_all"][
        "p"
    ] == pytest.approx(p)
    areas = [row["test_auc"] for row in metrics["rounds"]]
    assert metrics["test"] == {
        "mean": pytest.approx(np.mean(areas)),
        "min": min(areas),
        "max": max(areas),
        "n_rounds": 5,
    }
    assert metrics["independent"] and metrics["status"] == "ok" and metrics["control_patient_identity"] is None
    assert slides["part"].tolist() == np.where(split[0] == "test", "test", "train").tolist()
    assert (slides["n_tiles"] == TILES).all()


def test_order_of_files_rows_does_not_matter_to_the_slides(tmp_path):
    first = run(study(tmp_path))[1]
    order = np.random.default_rng(2).permutation(len(read_table(tmp_path / "scores-1.parquet")))
    for k in range(1, 6):
        write_table(read_table(tmp_path / f"scores-{k}.parquet").iloc[order], tmp_path / f"scores-{k}.parquet")
    write_table(read_table(tmp_path / "labels.parquet").sample(frac=1, random_state=1), tmp_path / "labels.parquet")
    pd.testing.assert_frame_equal(run(tmp_path)[1], first)


def test_leave_one_out_scores_each_slide_by_the_round_that_held_it_out(tmp_path):
    tiles, slides, metrics = run(study(tmp_path, leave_out=True))
    name, every = by_hand(tmp_path, range(1, 6))
    held = name.str[1:3].astype(int).to_numpy() % 5
    own = every[np.arange(len(every)), held]
    np.testing.assert_array_equal(tiles["score"], own)
    np.testing.assert_array_equal(tiles["positive"], own > 0.5)
    assert set(slides["part"]) == {"test"} and metrics["chosen"] == [1, 2, 3, 4, 5]
    assert metrics["voting"] == "each slide by the rounds that held it out"


def test_patient_identity_alone_is_evaluated_where_the_unit_is_not_the_patient(tmp_path):
    # Two patients: A is mostly high, B mostly low, and the test takes every fourth section of each.
    folder = study(tmp_path, unit="slide")
    table = read_table(folder / "labels.parquet")
    high = np.arange(40) % 10 < np.where(np.arange(40) < 20, 8, 3)
    table = table.assign(patient=np.where(np.arange(40) < 20, "A", "B"), label=high.astype(float), ood="")
    write_table(table, folder / "labels.parquet")
    for k in range(1, 6):
        write_table(read_table(folder / f"round-{k}.tsv").assign(patient=table["patient"]), folder / f"round-{k}.tsv")
    metrics = run(folder, unit="section")[2]
    test = np.arange(40) % 4 == 0
    means = table[~test].groupby("patient")["label"].mean()
    expected = roc_auc_score(high[test], table["patient"].map(means)[test])
    assert metrics["control_patient_identity"]["test"] == pytest.approx(expected)
    assert expected > 0.6 and metrics["independent"] is False
    assert metrics["control_patient_identity"]["ood_all"] is None
    assert metrics["ensemble"]["test"]["patient_reason"] == "slides of one patient carry different labels"


def test_identity_of_a_left_out_patient_says_nothing():
    cohort = pd.DataFrame({"patient": list("AABB"), "label": [1.0, 1.0, 0.0, NAN]})
    tested = np.array([[True, False], [True, False], [False, True], [False, True]])
    guess = consensus.identity_scores(cohort, tested=tested)
    assert guess.tolist() == [0.0, 0.0, 1.0, 1.0]  # the mean of whom it was trained on, the same for all its slides
    assert auc(np.array([1, 0]), guess[:2]).auc == 0.5


def test_one_class_in_the_test_part_is_said_and_not_a_crash(tmp_path):
    folder = study(tmp_path)
    table = read_table(folder / "labels.parquet")
    test = read_table(folder / "round-1.tsv")["part"] == "test"
    write_table(table.assign(label=table["label"].mask(test & (table["label"] == 0))), folder / "labels.parquet")
    metrics = run(folder)[2]
    n_high = int((table["label"][test] == 1).sum())
    assert metrics["ensemble"]["test"]["auc"] is None
    assert metrics["ensemble"]["test"]["reason"] == f"only one class: {n_high} high, 0 low"
    assert metrics["test"] == {"mean": None, "min": None, "max": None, "n_rounds": 0}
    assert metrics["rounds"][0]["reason"] == f"test: only one class: {n_high} high, 0 low"


def test_round_without_a_model_does_not_vote_and_says_why(tmp_path):
    folder = study(tmp_path)
    without_scores(folder, 1)
    tell_fate(folder, 1, code="M-NAN", reason="the loss became nan in steps 4-6")
    _, slides, metrics = run(folder)
    assert 1 not in metrics["chosen"] and len(metrics["chosen"]) == 3
    first, *others = metrics["rounds"]
    assert (first["code"], first["reason"]) == ("M-NAN", "the loss became nan in steps 4-6")
    assert [row["code"] for row in others] == [""] * 4
    assert others[0]["reason"] == "validation: only one class: 0 high, 2 low"  # what evaluating a model finds, stays
    assert first["validation_auc"] is None and slides["score_1"].isna().all()


def test_a_trait_without_any_model_names_the_reasons_of_its_rounds(tmp_path):
    folder = study(tmp_path)
    for k in range(1, 6):
        without_scores(folder, k)
        one_class = {"code": "M-ONE-CLASS", "reason": "all 9 training slides are of one class"}
        tell_fate(folder, k, **one_class if k < 5 else {"code": "M-NAN", "reason": "the loss became inf in steps 1-3"})
    tiles, slides, metrics = run(folder)
    assert len(tiles) == len(slides) == 0 and {"part", "score_5", "score"} <= set(slides)
    assert (metrics["status"], metrics["code"]) == ("excluded", "E-NO-MODEL")
    assert metrics["reason"] == (
        "none of 5 rounds has a model: M-ONE-CLASS in rounds 1, 2, 3, 4 (all 9 training slides are of one class); "
        "M-NAN in round 5 (the loss became inf in steps 1-3)"
    )
    assert [row["code"] for row in metrics["rounds"]] == ["M-ONE-CLASS"] * 4 + ["M-NAN"]
    assert [row["round"] for row in metrics["rounds"]] == [1, 2, 3, 4, 5]


def test_an_excluded_trait_gets_empty_tables_and_its_reason(tmp_path):
    folder = study(tmp_path)
    fault = {"code": "B-TIES", "reason": "P20 = P80 = 0; no labels"}
    for k in range(1, 6):
        without_scores(folder, k)
        tell_fate(folder, k, **fault)
    write_table(read_table(folder / "labels.parquet").iloc[:0], folder / "labels.parquet")
    write_json({"status": "excluded", **fault}, folder / "labels.json")
    tiles, slides, metrics = run(folder)
    assert len(tiles) == len(slides) == 0 and {"slide", "positive"} <= set(tiles)
    assert (metrics["status"], metrics["code"], metrics["reason"]) == ("excluded", *fault.values())
    assert {(row["code"], row["reason"]) for row in metrics["rounds"]} == {tuple(fault.values())}


def test_scores_and_models_of_different_runs_are_refused(tmp_path):
    folder = study(tmp_path)
    tell_fate(folder, 3, code="M-NAN", reason="the loss became nan in steps 4-6")
    with pytest.raises(InputError, match=r"found scores of round 3 \(M-NAN, no model by its model\.json\); score"):
        run(folder)
    tell_fate(folder, 3)
    without_scores(folder, 2)
    with pytest.raises(InputError, match=r"found no score of round 2 \(ok by its model\.json\); score the tiles again"):
        run(folder)
    tell_fate(folder, 2, code="M-EMPTY", reason="no training slide has tiles and a label")
    (folder / "model-1.json").write_text((folder / "model-3.json").read_text())
    with pytest.raises(InputError, match=r"model-1\.json to tell of round 1, found round 3; train it again"):
        run(folder)


def test_scores_of_other_tiles_are_refused(tmp_path):
    folder = study(tmp_path)
    good = read_table(folder / "scores-2.parquet")
    write_table(good.iloc[::-1], folder / "scores-2.parquet")
    with pytest.raises(InputError, match=r"same tiles in all rounds, found others in .*scores-2\.parquet; score"):
        run(folder)
    write_table(good.assign(score=good["score"].mask(good.index == 7)), folder / "scores-2.parquet")
    with pytest.raises(InputError, match=r"found NaN in .*scores-2\.parquet; train that round again"):
        run(folder)
    write_table(good, folder / "scores-2.parquet")
    write_table(read_table(folder / "manifest.tsv").assign(n_tiles=TILES + 1), folder / "manifest.tsv")
    with pytest.raises(InputError, match=r"found others: 'p00-0' has 6 scored tiles; score the tiles again"):
        run(folder)


def test_slide_missing_from_the_split_is_refused(tmp_path):
    folder = study(tmp_path)
    write_table(read_table(folder / "round-3.tsv").iloc[1:], folder / "round-3.tsv")
    with pytest.raises(InputError, match="every round of the split, found 'p00-0' missing"):
        run(folder)


def test_a_cohort_of_the_papers_size_takes_seconds():
    # 800 slides x 1,500 tiles x 5 rounds: 1.2 million tiles (measured 0.2 s; the bound leaves room for a busy machine).
    rng = np.random.default_rng(1)
    slide = np.repeat(np.arange(800, dtype=np.int32), 1500)
    scores = list(rng.random((5, len(slide)), dtype=np.float32))
    tiles = Tiles(slide, np.zeros_like(slide), np.zeros_like(slide), scores)
    cohort = pd.DataFrame({"slide": [f"s{k:03d}" for k in range(800)], "label": rng.integers(0, 2, 800).astype(float)})
    parts = rng.integers(0, 2, (800, 5))
    parts[:80] = 2
    start = time.perf_counter()
    voted, scored, _ = consensus.combine(tiles, cohort, parts=parts, best=3, threshold=0.5)
    assert time.perf_counter() - start < 5
    assert len(voted) == 1_200_000 and scored["score"].between(0.4, 0.6).all()

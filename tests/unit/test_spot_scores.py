"""The rounds' predictions of spots as one table, and what is told of genes by network and baselines."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.spot_results import compare_baselines, evaluate_ways, ranked_gene, tabulate_spots
from histocarta.spot_scores import join_spots

SPOTS = 30  # of each of two patients


def study(folder, *, chosen=None, fates=("", "")):
    """Two slides of a patient each; round 1 tests the first, round 2 the second; genes A (predicted) and B (not)."""
    rng = np.random.default_rng(1)
    place = pd.DataFrame({"slide": np.repeat(["s1", "s2"], SPOTS), "patient": np.repeat(["p1", "p2"], SPOTS)})
    place["row"], place["col"] = np.divmod(np.tile(np.arange(SPOTS), 2), 6)
    truth = rng.normal(size=(2 * SPOTS, 2)).astype(np.float32)
    labels = place.assign(section=place["slide"], total=100, annotation="", target=list(truth))
    write_table(labels, folder / "labels.parquet")
    chosen = chosen or {"1": [0, 1], "2": [0, 1]}
    facts = {
        "trait": "top-2", "status": "ok", "code": "", "reason": "", "genes": ["A", "B"], "chosen": chosen,
        "lattice": {"s1": "square", "s2": "square"}, "rule": {}, "n_genes": 9, "missing": [],
        "genes_saw_test": False,
    }  # fmt: skip
    write_json(facts, folder / "labels.json")
    files = {"splits": [], "rounds": [], "sidecars": []}
    for number, (slide, fate) in enumerate(zip(("s1", "s2"), fates, strict=True), start=1):
        parts = pd.DataFrame({"slide": ["s1", "s2"], "patient": ["p1", "p2"], "round": number})
        parts["part"] = np.where(parts["slide"] == slide, "test", "train")
        here = (place["slide"] == slide).to_numpy()
        values = np.column_stack([truth[here, 0] + rng.normal(0, 0.3, SPOTS), rng.normal(size=SPOTS)])
        score = [row.tolist() for row in values[:, chosen[str(number)]]]
        scores = place.loc[here, ["slide", "row", "col"]].assign(score=score).iloc[::-1]
        for key, name, value in (
            ("splits", "split.tsv", parts),
            ("rounds", "scores.parquet", scores.iloc[:0] if fate else scores),
        ):
            files[key].append(str(folder / f"{number}-{name}"))
            write_table(value, files[key][-1])
        files["sidecars"].append(str(folder / f"{number}-model.json"))
        write_json({"round": number, "code": fate, "reason": fate and "it diverged"}, files["sidecars"][-1])
    return files, truth


def join(folder, files):
    out = {name: str(folder / f"joined-{name}") for name in ("scores", "slides", "metrics")}
    out = {
        "scores": f"{out['scores']}.parquet",
        "slides": f"{out['slides']}.parquet",
        "metrics": f"{out['metrics']}.json",
    }
    about = {"labels": str(folder / "labels.parquet"), "summary": str(folder / "labels.json"), "manifest": ""}
    join_spots(**files, **about, **out, trait="top-2", unit="patient")
    return read_table(out["scores"]), read_table(out["slides"]), read_json(out["metrics"])


def evaluate(folder, *, classes=None):
    out = {name: str(folder / f"{name}.tsv") for name in ("genes", "sections", "patients", "curve")}
    evaluate_ways(
        scores=str(folder / "joined-scores.parquet"), labels=str(folder / "labels.parquet"),
        summary=str(folder / "labels.json"), evaluation=str(folder / "evaluation.json"), permutations=20,
        classes=classes or {}, seed=1, **out,
    )  # fmt: skip
    return read_table(out["genes"]), read_json(folder / "evaluation.json")


def test_each_slide_is_predicted_by_the_round_that_tests_it(tmp_path):
    files, truth = study(tmp_path)
    scores, slides, metrics = join(tmp_path, files)
    assert list(scores.columns) == ["slide", "row", "col", "A", "B"] and len(scores) == 2 * SPOTS
    assert np.corrcoef(scores["A"], truth[:, 0])[0, 1] > 0.9  # in the labels' order, whatever that of the rounds
    assert slides[["slide", "n_tiles", "part"]].to_numpy().tolist() == [["s1", SPOTS, "test"], ["s2", SPOTS, "test"]]
    assert (
        metrics["status"] == "ok" and metrics["independent"] and [row["code"] for row in metrics["rounds"]] == ["", ""]
    )


def test_a_gene_that_a_round_did_not_choose_has_no_prediction_there(tmp_path):
    files, _ = study(tmp_path, chosen={"1": [1], "2": [0, 1]})
    scores, *_ = join(tmp_path, files)
    assert scores["A"].isna().tolist() == [True] * SPOTS + [False] * SPOTS
    assert scores["B"].notna().all()
    genes, _ = evaluate(tmp_path)
    assert genes.set_index("gene")["n_patients"].to_dict() == {"A": "1", "B": "2"}


def test_a_round_without_a_model_leaves_its_slides_out_and_none_excludes_the_trait(tmp_path):
    files, _ = study(tmp_path, fates=("M-NAN", ""))
    scores, _, metrics = join(tmp_path, files)
    assert set(scores["slide"]) == {"s2"} and metrics["rounds"][0]["code"] == "M-NAN"
    files, _ = study(tmp_path, fates=("M-NAN", "M-NAN"))
    scores, _, metrics = join(tmp_path, files)
    assert len(scores) == 0 and metrics["code"] == "E-NO-MODEL" and "it diverged" in metrics["reason"]


def test_scores_of_another_run_are_refused(tmp_path):
    files, _ = study(tmp_path)
    strange = read_table(files["rounds"][0])
    write_table(strange.assign(row=strange["row"] + 50), files["rounds"][0])
    with pytest.raises(InputError, match=r"Expected scores of labelled windows in .*1-scores.parquet, found others"):
        join(tmp_path, files)
    write_table(strange.iloc[:0], files["rounds"][0])
    with pytest.raises(InputError, match=r"found no score of round 1"):
        join(tmp_path, files)


def test_the_planted_gene_is_told_from_the_other(tmp_path):
    files, truth = study(tmp_path)
    scores, *_ = join(tmp_path, files)
    genes, told = evaluate(tmp_path)
    genes = genes.set_index("gene").astype({"median_r": float})
    r = [np.corrcoef(scores["A"][part], truth[part, 0])[0, 1] for part in (slice(0, SPOTS), slice(SPOTS, None))]
    assert genes.loc["A", "median_r"] == pytest.approx(np.mean(r), abs=1e-6)
    assert abs(genes.loc["B", "median_r"]) < 0.4
    assert told["summary"]["smallest_p"] == 0.25 and "No gene can be significant" in told["summary"]["note"]
    assert ranked_gene(read_table(tmp_path / "genes.tsv"), place="first") == "A"
    assert ranked_gene(read_table(tmp_path / "genes.tsv"), place="last") == "B"


def test_an_excluded_trait_has_empty_tables_and_a_row_that_says_why(tmp_path):
    files, _ = study(tmp_path)
    facts = read_json(tmp_path / "labels.json") | {
        "status": "excluded",
        "code": "B-NOTRAIT",
        "reason": "none",
        "genes": [],
    }
    write_json(facts, tmp_path / "labels.json")
    write_table(read_table(tmp_path / "labels.parquet").iloc[:0], tmp_path / "labels.parquet")
    for path in files["rounds"]:
        write_table(read_table(path).iloc[:0], path)
    scores, slides, metrics = join(tmp_path, files)
    assert len(scores) == len(slides) == 0 and metrics["code"] == "B-NOTRAIT"
    genes, _ = evaluate(tmp_path)
    assert len(genes) == 0
    out = {"table": str(tmp_path / "spots.tsv"), "parquet": str(tmp_path / "spots.parquet")}
    tabulate_spots(genes=[str(tmp_path / "genes.tsv")], metrics=[str(tmp_path / "joined-metrics.json")], **out)
    assert read_table(out["table"])[["trait", "gene", "code"]].to_numpy().tolist() == [["top-2", "", "B-NOTRAIT"]]


def test_the_network_is_held_against_each_baseline(tmp_path):
    for name, r in (("network", (0.5, 0.4, 0.3)), ("colour", (0.1, 0.2, 0.9))):
        write_table(pd.DataFrame({"gene": list("ABC"), "median_r": r}), tmp_path / f"{name}.tsv")
    out = {"ways": str(tmp_path / "ways.tsv"), "tests": str(tmp_path / "tests.tsv")}
    compare_baselines(
        genes=[str(tmp_path / "network.tsv"), str(tmp_path / "colour.tsv")], names=["network", "colour"], **out
    )
    assert read_table(out["tests"])[["way", "better", "worse"]].to_numpy().tolist() == [["colour", "2", "1"]]
    assert list(read_table(out["ways"])) == ["gene", "network", "colour"]


def test_classes_without_predicted_spots_are_left_out_and_unknown_ones_refused(tmp_path):
    files, _ = study(tmp_path, fates=("M-NAN", ""))
    labels = read_table(tmp_path / "labels.parquet")
    write_table(labels.assign(annotation=np.where(labels["slide"] == "s1", "tumour", "")), tmp_path / "labels.parquet")
    join(tmp_path, files)
    assert evaluate(tmp_path, classes={"tumour": ["tumour"]})[1]["classes"] == {}  # its slide has no model
    with pytest.raises(InputError, match=r"Expected the classes of 't' among the annotations .* found 'tumor'"):
        evaluate(tmp_path, classes={"t": ["tumor"]})
    write_table(labels, tmp_path / "labels.parquet")
    assert evaluate(tmp_path, classes={"t": ["tumor"]})[1]["classes"] == {}  # nothing is annotated

"""All genes of a probe, a panel and of models of their own in one form, and what a probe learns."""

import numpy as np
import pandas as pd
import pytest
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.predictions import average_rounds, gather_genes, predict_genes
from histocarta.probe import fit_probes
from histocarta.splits import PARTS

GENES, N, WIDTH = 5, 60, 12


@pytest.fixture
def study(tmp_path):
    """60 slides whose 5 genes are linear in their 12 features but for a little noise; two rounds, one test part."""
    rng = np.random.default_rng(2)
    slides = [f"s{n:02d}" for n in range(N)]
    features = rng.normal(size=(N, WIDTH))
    target = features @ rng.normal(0, 0.3, (WIDTH, GENES)) + rng.normal(0, 0.1, (N, GENES))
    names, mean, sd = [f"G{n}" for n in range(GENES)], np.arange(GENES) + 4.0, np.arange(GENES) + 1.0
    write_table(
        pd.DataFrame({"slide": slides, "n_tiles": 9, "features": list(features)}), tmp_path / "features.parquet"
    )
    keys = pd.DataFrame({"slide": slides, "patient": slides, "sample": slides})
    write_table(keys.assign(value=list(target * sd + mean), target=list(target)), tmp_path / "labels.parquet")
    genes = pd.DataFrame({"trait": names, "status": "ok", "code": "", "reason": "", "mean": mean, "sd": sd})
    lost = {"trait": "flat", "status": "excluded", "code": "B-VARIANCE", "reason": "flat", "mean": 1.0, "sd": 0.0}
    write_table(pd.concat([genes, pd.DataFrame([lost])]), tmp_path / "genes.tsv")
    write_json({"trait": "transcriptome", "status": "ok", "code": "", "reason": ""}, tmp_path / "labels.json")
    write_json({"independent": True}, tmp_path / "leaks.json")
    for number in (1, 2):
        draw = np.random.default_rng(number).permutation(range(20, N))
        part = np.full(N, "train", dtype=object)
        part[:20], part[draw[:8]] = "test", "validation"
        write_table(keys.assign(unit=slides, part=part, scheme="s", round=number), tmp_path / f"round-{number}.tsv")
    return tmp_path


def numbered(folder, name, suffix):
    return [str(folder / f"{name}-{number}{suffix}") for number in (1, 2)]


def fit(folder, penalties=(0.001, 0.1, 10.0)):
    named = {"features": "features.parquet", "labels": "labels.parquet"}
    named |= {"summary": "labels.json", "audit": "leaks.json"}
    made = {"heads": numbered(folder, "head", ".npz"), "sidecars": numbered(folder, "model", ".json")}
    paths = {key: str(folder / name) for key, name in named.items()}
    fit_probes(**paths, splits=numbered(folder, "round", ".tsv"), **made, penalties=penalties)
    return made


def predict(folder, made, **changes):
    outputs = {"predictions": "p.parquet", "measured": "m.parquet", "fates": "f.tsv"}
    outputs = {key: str(folder / name) for key, name in outputs.items()}
    inputs = {"features": [str(folder / "features.parquet")], "labels": str(folder / "labels.parquet")}
    inputs |= {"genes": str(folder / "genes.tsv"), "splits": numbered(folder, "round", ".tsv"), "standardise": True}
    predict_genes(**inputs | made | outputs | changes)
    return read_table(outputs["predictions"]), read_table(outputs["measured"]), read_table(outputs["fates"])


def test_a_probe_predicts_what_is_linear_in_the_features(study):
    made = fit(study)
    scores, values, fates = predict(study, made)
    mean = scores[(scores["round"] == 0) & (scores["part"] == "test")].set_index("slide")
    truth = values.set_index("slide").loc[mean.index]
    for gene in (f"G{n}" for n in range(GENES)):
        assert np.corrcoef(mean[gene], truth[gene])[0, 1] > 0.95
        assert mean[gene].mean() == pytest.approx(truth[gene].mean(), abs=0.5 * truth[gene].std())
    assert fates.set_index("trait").loc["flat", "code"] == "B-VARIANCE" and "flat" not in scores
    sidecar = read_json(made["sidecars"][1])
    assert sidecar["round"] == 2 and sum(sidecar["penalties"].values()) == GENES
    assert sidecar["parts"] == {"train": {"slides": 32}, "tuning": {"slides": 8}}


def test_test_slides_change_nothing_that_is_fitted(study):
    before = [np.load(path)["weights"] for path in fit(study)["heads"]]
    labels = read_table(study / "labels.parquet")
    tested = labels["slide"] < "s20"
    labels["target"] = [row * 0 + 99 if test else row for row, test in zip(labels["target"], tested, strict=True)]
    write_table(labels, study / "labels.parquet")
    for old, path in zip(before, fit(study)["heads"], strict=True):
        assert np.array_equal(old, np.load(path)["weights"])


def test_the_mean_of_the_rounds_is_round_zero(study):
    scores, _, _ = predict(study, fit(study))
    mean, *rounds = (scores[scores["round"] == number].set_index("slide")["G1"] for number in range(3))
    np.testing.assert_allclose(mean, (rounds[0] + rounds[1]) / 2, rtol=1e-5)
    assert scores["part"].isin(PARTS).all() and len(scores) == 3 * N


def test_a_round_without_enough_slides_is_left_out_and_named(study):
    split = read_table(study / "round-2.tsv")
    write_table(split.assign(part=split["part"].replace("validation", "train")), study / "round-2.tsv")
    made = fit(study)
    assert read_json(made["sidecars"][1])["code"] == "M-EMPTY"
    scores, _, _ = predict(study, made)
    assert set(scores["round"]) == {0, 1}
    mean, one = (scores[scores["round"] == number].set_index("slide")["G1"] for number in (0, 1))
    np.testing.assert_array_equal(mean, one)


def test_where_no_round_has_a_model_every_gene_says_so(study):
    for number in (1, 2):
        split = read_table(study / f"round-{number}.tsv")
        write_table(split.assign(part="test"), study / f"round-{number}.tsv")
    scores, values, fates = predict(study, fit(study))
    assert scores.empty and values.empty
    assert fates["code"].tolist() == ["E-NO-MODEL"] * GENES + ["B-VARIANCE"]
    assert "M-EMPTY 0 slides to fit on" in fates["reason"][0]


def test_slides_are_scored_by_the_rounds_that_held_them_out_where_the_test_changes():
    parts = np.array([[PARTS.index(name) for name in row] for row in (["test", "train"], ["train", "test"])])
    scores = [np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])]
    assert average_rounds(scores, parts=parts).tolist() == [[1.0], [4.0]]
    assert np.isnan(average_rounds([scores[0], None], parts=parts)[1, 0])


def test_traits_with_a_model_each_have_the_same_form(study):
    made = fit(study)
    scores, values, _ = predict(study, made)
    wide = {number: scores[scores["round"] == number].set_index("slide") for number in range(3)}
    metrics, slides = [], []
    for gene in ("G3", "G0"):
        table = wide[0].reset_index()[["slide", "patient", "sample", "part"]]
        table = table.assign(value=values[gene], score=wide[0][gene].to_numpy())
        table = table.assign(score_1=wide[1][gene].to_numpy(), score_2=wide[2][gene].to_numpy())
        write_table(table, study / f"{gene}.parquet")
        write_json({"trait": gene, "status": "ok", "code": "", "reason": ""}, study / f"{gene}.json")
        metrics.append(str(study / f"{gene}.json"))
        slides.append(str(study / f"{gene}.parquet"))
    write_json({"trait": "flat", "status": "excluded", "code": "B-VARIANCE", "reason": "flat"}, study / "flat.json")
    outputs = {key: str(study / f"{key}.out") for key in ("predictions", "measured", "fates")}
    outputs = {key: path.replace(".out", ".tsv" if key == "fates" else ".parquet") for key, path in outputs.items()}
    gather_genes(
        metrics=[*metrics, str(study / "flat.json")],
        slides=[*slides, slides[0]],
        splits=numbered(study, "round", ".tsv"),
        **outputs,
    )
    found = read_table(outputs["predictions"])
    pd.testing.assert_frame_equal(found, scores[found.columns.tolist()])
    pd.testing.assert_frame_equal(read_table(outputs["measured"]), values[["slide", "G3", "G0"]])
    assert read_table(outputs["fates"])["code"].tolist() == ["", "", "B-VARIANCE"]

"""How the rounds' predictions become one, and how well it fits: against pandas, SciPy and scikit-learn."""

import math

import numpy as np
import pandas as pd
import pytest
from histocarta.averaging import average_rounds
from histocarta.files import read_json, read_table, write_json, write_table
from scipy import stats
from sklearn.metrics import r2_score

TILES, SCALE = 4, {"mean": 8.0, "sd": 2.0}


def study(folder, *, n_slides=40, rounds=3, parts=None, without=(), status="ok"):
    """Labels, splits, tile scores and sidecars; the arguments of ``average_rounds``. Slides 0-9 test in all rounds."""
    rng = np.random.default_rng(5)
    slides = [f"s{number:02d}" for number in range(n_slides)]
    target = rng.normal(0, 1, n_slides)
    labels = pd.DataFrame(
        {"slide": slides, "patient": slides, "sample": slides, "value": target * 2 + 8, "target": target}
    )
    labels = labels.assign(reason="")
    write_table(labels if status == "ok" else labels.iloc[:0], folder / "labels.parquet")
    facts = {"status": status, "code": "" if status == "ok" else "B-VARIANCE", "reason": "", "scale": SCALE}
    write_json(facts, folder / "labels.json")
    write_table(pd.DataFrame({"slide": slides, "patient": slides, "n_tiles": TILES}), folder / "manifest.tsv")
    places = pd.DataFrame({"slide": np.repeat(slides, TILES), "row": 0, "col": np.tile(np.arange(TILES), n_slides)})
    places = places.astype({"row": "int32", "col": "int32"})
    files = {"splits": [], "rounds": [], "sidecars": []}
    for number in range(1, rounds + 1):
        part = parts(number) if parts else ["test"] * 10 + ["validation"] * 10 + ["train"] * (n_slides - 20)
        split = pd.DataFrame(
            {"slide": slides, "patient": slides, "unit": slides, "part": part, "scheme": "s", "round": number}
        )
        score = np.repeat(target, TILES) + rng.normal(0, 0.7, n_slides * TILES)
        scored = places.assign(score=score.astype(np.float32))
        lost = number in without or status != "ok"
        paths = [folder / f"{name}-{number}" for name in ("split.tsv", "scores.parquet", "model.json")]
        paths = [path.with_name(f"{number}-{path.name.rsplit('-', 1)[0]}") for path in paths]
        write_table(split, paths[0])
        write_table(scored.iloc[:0] if lost else scored, paths[1])
        write_json(
            {"round": number, "code": "M-NAN" if lost else "", "reason": "it diverged" if lost else ""}, paths[2]
        )
        for name, path in zip(files, paths, strict=True):
            files[name].append(str(path))
    named = {name: str(folder / name) for name in ("manifest.tsv", "labels.parquet")}
    outputs = {"scores": "tiles.parquet", "slides": "slides.parquet", "metrics": "metrics.json"}
    return {
        "manifest": named["manifest.tsv"],
        "labels": named["labels.parquet"],
        "summary": str(folder / "labels.json"),
        **files,
        **{name: str(folder / file) for name, file in outputs.items()},
        "trait": "MKI67",
        "unit": "patient",
    }


def averaged(call):
    average_rounds(**call)
    return read_table(call["scores"]), read_table(call["slides"]).set_index("slide"), read_json(call["metrics"])


def test_tiles_and_slides_are_means_on_the_scale_of_the_expression(tmp_path):
    call = study(tmp_path)
    tiles, slides, metrics = averaged(call)
    rounds = [read_table(path)["score"] * SCALE["sd"] + SCALE["mean"] for path in call["rounds"]]
    expected = np.mean(rounds, axis=0)
    np.testing.assert_allclose(tiles["score"], expected, rtol=1e-5)
    by_slide = pd.Series(expected).groupby(np.repeat(slides.index, TILES)).mean()
    np.testing.assert_allclose(slides["score"], by_slide, rtol=1e-5)
    np.testing.assert_allclose(slides["score_2"], rounds[1].groupby(np.repeat(slides.index, TILES)).mean(), rtol=1e-5)
    test = slides[slides["part"] == "test"]
    rho, p = stats.spearmanr(test["score"], test["value"])
    found = metrics["test"]
    assert (found["rho"], found["n"]) == (pytest.approx(rho), 10)
    assert found["p"] == pytest.approx(max(p, 2 / math.factorial(10)))  # what permuting can reach
    assert found["r2"] == pytest.approx(r2_score(test["value"], test["score"]))
    assert metrics["rounds"][1]["test_r2"] == pytest.approx(r2_score(test["value"], test["score_2"]))
    held = slides.iloc[10:20]
    assert metrics["rounds"][0]["validation_rho"] == pytest.approx(stats.spearmanr(held["score_1"], held["value"])[0])


def test_a_round_without_a_model_takes_no_part_and_says_why(tmp_path):
    call = study(tmp_path, without=(2,))
    tiles, slides, metrics = averaged(call)
    expected = np.mean([read_table(call["rounds"][k])["score"] for k in (0, 2)], axis=0) * 2 + 8
    np.testing.assert_allclose(tiles["score"], expected, rtol=1e-5)
    assert slides["score_2"].isna().all()
    assert (metrics["rounds"][1]["code"], metrics["rounds"][1]["reason"]) == ("M-NAN", "it diverged")


def test_leave_one_out_scores_each_slide_by_the_round_that_held_it_out(tmp_path):
    def parts(number):
        own = range((number - 1) * 10, number * 10)
        return ["test" if slide in own else "validation" if slide % 5 == 0 else "train" for slide in range(30)]

    _, slides, metrics = averaged(study(tmp_path, n_slides=30, parts=parts))
    expected = np.concatenate([slides[f"score_{k}"].iloc[(k - 1) * 10 : k * 10] for k in (1, 2, 3)])
    np.testing.assert_allclose(slides["score"], expected, rtol=1e-6)
    assert metrics["test"]["n"] == 30


@pytest.mark.parametrize(
    ("changes", "code"), [({"status": "excluded"}, "B-VARIANCE"), ({"without": (1, 2, 3)}, "E-NO-MODEL")]
)
def test_a_trait_without_a_model_has_empty_tables_and_its_reason(tmp_path, changes, code):
    tiles, slides, metrics = averaged(study(tmp_path, **changes))
    assert tiles.empty and slides.empty
    assert (metrics["status"], metrics["code"]) == ("excluded", code) and "test" not in metrics
    assert list(tiles) == ["slide", "row", "col", "score"]

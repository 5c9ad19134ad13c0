"""The synthetic cohort: what was planted can be read back from pixels, sheets and hazards."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import openslide
import pandas as pd
import pytest
from histocarta import simulate, simulate_slide, simulate_tissue
from histocarta.files import read_json, read_table
from histocarta.sheets import read_slides
from lifelines import CoxPHFitter
from scipy.stats import entropy, spearmanr
from sklearn.metrics import roc_auc_score

RECIPE = simulate.Recipe(patients=8, cells=4, spot_slides=0)
TILE = 75  # px at 0.5 µm/px = the recipe's cell


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    simulate.simulate_cohort(output=folder, recipe=RECIPE, seed=3, processes=1)
    return folder


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    folder = tmp_path_factory.mktemp("full-size")
    simulate.simulate_cohort(output=folder, recipe=simulate.Recipe(patients=8, spot_slides=4), seed=7, processes=1)
    return folder


def table(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=[""])


def pixels(path: str, downsample: int = 1) -> np.ndarray:
    with openslide.OpenSlide(path) as slide:
        image = slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")
    return np.asarray(image.reduce(downsample))


def test_the_slide_sheet_is_valid_and_one_patient_has_two_slides(cohort):
    sheet = read_slides(cohort / "slides.tsv")
    assert len(sheet) == 8 + 1 + 2
    assert sheet["patient"].value_counts().to_dict() == {"P001": 2} | {f"P{n:03d}": 1 for n in range(2, 11)}
    assert all(Path(file).is_file() for file in sheet["file"])


@pytest.mark.parametrize(
    ("slide", "mpp", "objective", "side"),
    [("P001-2", 0.5, "20", 300), ("P005-1", 0.25, "40", 600), ("P006-1", None, "20", 300), ("P010-1", None, None, 300)],
)
def test_openslide_reads_an_aperio_slide_with_the_planned_tags(cohort, slide, mpp, objective, side):
    with openslide.OpenSlide(str(cohort / "slides" / f"{slide}.svs")) as handle:
        assert handle.properties["openslide.vendor"] == "aperio"
        assert handle.dimensions == (side, side)
        assert handle.level_downsamples == (1.0, 4.0)
        assert "thumbnail" in handle.associated_images
        stated = handle.properties.get("openslide.mpp-x")
        assert (None if stated is None else float(stated)) == mpp
        assert handle.properties.get("openslide.objective-power") == objective


def test_the_empty_slide_is_glass_and_says_so_in_the_truth(cohort):
    assert pixels(str(cohort / "slides" / "P009-1.svs")).min() > 220
    truth = table(cohort / "truth" / "slides.tsv").set_index("slide").loc["P009-1"]
    assert (truth["defect"], truth["n_tissue_cells"]) == ("empty", 0)
    assert np.isnan(truth["hti"])


def test_pen_and_blur_lie_where_the_truth_says(cohort):
    cells = table(cohort / "truth" / "cells.tsv").set_index(["slide", "row", "col"])
    assert set(cells.index[cells["ink"] > 0].get_level_values("slide")) == {"P002-1", "P003-1"}
    assert set(cells.index[cells["blur"] > 0].get_level_values("slide")) == {"P004-1"}
    rgb = pixels(str(cohort / "slides" / "P002-1.svs")).astype(int)
    greenish = (rgb[..., 1] - np.maximum(rgb[..., 0], rgb[..., 2]) > 15).astype(float)
    shares = simulate_slide.cell_means(greenish, cell=TILE).ravel()
    np.testing.assert_allclose(shares, cells.loc["P002-1", "ink"], atol=0.05)
    red = pixels(str(cohort / "slides" / "P004-1.svs"))[75:225, :, 0].astype(float)
    roughness = np.abs(np.diff(red, axis=0)).mean(axis=0)
    assert roughness[160:220].mean() < 0.5 * roughness[80:140].mean()


def test_the_40x_slide_shows_nuclei_of_the_same_size_in_um(tmp_path):
    areas = []
    for scale, mpp in ((1, 0.5), (2, 0.25)):
        shape = (300 * scale, 300 * scale)
        high, low = np.ones(shape, np.float32), np.zeros(shape, np.float32)
        layers = simulate_tissue.paint_tissue(
            field_a=high, field_b=low, mask=high, mpp=mpp, rng=np.random.default_rng(5)
        )
        areas.append((layers[..., 0] > 0.6).mean())
    assert areas[1] == pytest.approx(areas[0], rel=0.15)


def test_same_seed_same_bytes_in_any_number_of_processes(cohort, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    hashes = []
    for name, processes in (("one", 1), ("two", 2)):
        recipe = replace(RECIPE, patients=6, cells=3, spot_slides=1)
        simulate.simulate_cohort(output=name, recipe=recipe, seed=9, processes=processes)
        slides = sorted(Path(name).glob("slides/*.svs"))
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in slides])
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 9
    for sheet in ("expression.tsv", "clinical.tsv", "spots.tsv", "truth/cells.tsv", "truth/patients.tsv"):
        assert (tmp_path / "one" / sheet).read_bytes() == (tmp_path / "two" / sheet).read_bytes()
    assert read_table("one/slides.tsv")["file"][0] == "one/slides/P001-1.svs"


@pytest.mark.parametrize("counts", [[5, 0, 0], [4, 4, 4], [1, 1, 0], [7, 2, 1], [3, 0, 1, 0, 2, 0, 0]])
def test_true_heterogeneity_is_the_entropy_to_the_base_of_the_combinations(counts):
    expected = entropy(counts, base=len(counts))  # SciPy as outside truth
    assert simulate_slide.true_heterogeneity(np.array(counts)) == pytest.approx(expected, abs=1e-12)


def test_true_heterogeneity_without_positive_tiles_is_nan():
    assert np.isnan(simulate_slide.true_heterogeneity(np.zeros(3, int)))


def test_truth_of_a_slide_follows_from_its_cells(cohort):
    cells, slides = table(cohort / "truth" / "cells.tsv"), table(cohort / "truth" / "slides.tsv")
    for slide in slides[slides["n_tissue_cells"] > 0].itertuples():
        kept = cells[(cells["slide"] == slide.slide) & (cells["tissue"] >= 0.5)]
        both = ((kept["A"] > 0.5) & (kept["B"] > 0.5)).sum()
        only = [(kept[field] > 0.5).sum() - both for field in ("A", "B")]
        assert slide.n_tissue_cells == len(kept)
        assert slide.share_A == pytest.approx((only[0] + both) / len(kept))
        if both + sum(only):
            assert slide.hti == pytest.approx(entropy([*only, both], base=3), abs=1e-9)


def test_a_field_is_high_on_the_planned_share_of_the_tissue():
    rng = np.random.default_rng(1)
    outline = simulate_tissue.tissue_outline(rng, side=600, rim=75, mpp=0.5)
    assert 0.45 < (outline > 0.5).mean() < 0.62  # 450² of 600² px, corners rounded
    assert (outline[:30] == 0).all()
    for share in (0.05, 0.4, 0.95):
        field = simulate_slide.draw_field(rng, outline=outline, prevalence=share, mpp=0.5)
        assert (field[outline > 0.5] > 0.5).mean() == pytest.approx(share, abs=0.01)


def test_stains_obey_beer_lambert_along_the_planted_vectors():
    rng = np.random.default_rng(2)
    stain = simulate_tissue.draw_stain(rng)
    for channel, name in ((0, "haematoxylin"), (1, "eosin")):
        layers = np.zeros((64, 64, 2), np.float32)
        layers[..., channel] = 0.8
        rgb = simulate_tissue.develop(layers, stain=stain, mpp=0.5, rng=rng)
        density = -np.log(rgb.reshape(-1, 3).mean(axis=0) / 243)
        vector = np.array(getattr(stain, name))
        cosine = density @ vector / np.linalg.norm(density) / np.linalg.norm(vector)
        assert np.rad2deg(np.arccos(min(1.0, cosine))) < 1
        assert np.linalg.norm(density) == pytest.approx(0.8 * getattr(stain, f"{name}_strength"), rel=0.03)


def test_halves_of_the_patients_are_high_and_the_two_fields_cross():
    shares = simulate.draw_prevalences(np.random.default_rng(0), recipe=simulate.PRESETS["demo"])
    high = shares > 0.5
    assert len(shares) == 82  # 80 usable patients, 1 without tissue, 1 without a resolution
    assert pd.crosstab(high["share_A"], high["share_B"]).to_numpy().min() >= 20  # of 20.5 in each quarter
    assert not ((shares > 0.38) & (shares < 0.62)).to_numpy().any()


def test_expression_is_the_log_of_the_mean_field(cohort):
    patients = pd.DataFrame({"mean_A": [0.0, 1 / 31, 1.0], "mean_B": [3 / 31, 7 / 31, 15 / 31]}, index=list("xyz"))
    recipe = replace(RECIPE, expression_noise=0.0)
    exact = simulate.measure_expression(np.random.default_rng(0), patients=patients, recipe=recipe)
    np.testing.assert_allclose(exact.loc["A"], [0, 1, 5])
    np.testing.assert_allclose(exact.loc["B"], [2, 3, 4])
    measured = table(cohort / "expression.tsv").set_index("trait")
    assert list(table(cohort / "traits.tsv")["trait"]) == ["A", "B", "noise"]
    assert list(measured.index) == ["A", "B", "noise", *(f"null{number:03d}" for number in range(1, 201))]
    truth = table(cohort / "truth" / "patients.tsv").set_index("patient").loc[measured.columns]
    for trait in ("A", "B"):
        assert spearmanr(measured.loc[trait], truth[f"mean_{trait}"])[0] > 0.8


def test_cox_regression_finds_the_planted_hazard():
    rng = np.random.default_rng(4)
    heterogeneity = pd.Series(rng.uniform(0, 1, 3000))
    clinical, log_hazard = simulate.follow_up(rng, heterogeneity=heterogeneity, recipe=simulate.PRESETS["demo"])
    frame = clinical[["time", "event"]].assign(score=(heterogeneity - heterogeneity.mean()) / heterogeneity.std())
    fitted = CoxPHFitter().fit(frame, "time", "event")
    assert fitted.params_["score"] == pytest.approx(1.2, abs=0.12)  # lifelines as outside truth
    assert log_hazard.std() == pytest.approx(1.2)
    assert 0.4 < clinical["event"].mean() < 0.9


def test_a_patient_without_defined_heterogeneity_has_the_base_hazard():
    heterogeneity = pd.Series([0.1, np.nan, 0.9], index=["a", "b", "c"])
    _, log_hazard = simulate.follow_up(np.random.default_rng(0), heterogeneity=heterogeneity, recipe=RECIPE)
    assert log_hazard["b"] == 0.0
    assert log_hazard["a"] == pytest.approx(-log_hazard["c"])


def test_spots_measure_the_fields(full_size):
    spots = table(full_size / "spots.tsv")
    assert list(spots.columns) == ["slide", "section", "x_px", "y_px", "total", "A", "B", "noise"]
    assert set(spots["slide"]) == {f"P{number:03d}-1" for number in (5, 6, 7, 8)}
    cells = table(full_size / "truth" / "cells.tsv").set_index(["slide", "row", "col"])
    side = np.where(spots["slide"] == "P005-1", 2 * TILE, TILE)  # the 40x slide
    where = pd.MultiIndex.from_arrays([spots["slide"], spots["y_px"] // side, spots["x_px"] // side])
    for field in ("A", "B"):
        local = cells[field].reindex(where).to_numpy()
        clear = (local < 0.2) | (local > 0.8)
        assert roc_auc_score(local[clear] > 0.5, spots[field][clear]) > 0.9
        assert abs(roc_auc_score(local[clear] > 0.5, spots["noise"][clear]) - 0.5) < 0.15


def test_one_colour_measure_of_a_tile_tells_each_field(full_size):
    """Share of dark nuclei for A, excess of green over red density (eosin) for B: AUC above 0.9 over all slides."""
    cells = table(full_size / "truth" / "cells.tsv")
    cells = cells[(cells["tissue"] > 0.7) & (cells["ink"] == 0) & (cells["blur"] == 0)]
    scores = {"A": [], "B": []}
    for slide, rows in cells.groupby("slide", sort=False):
        downsample = 2 if slide == "P005-1" else 1
        density = -np.log((pixels(str(full_size / "slides" / f"{slide}.svs"), downsample) + 1.0) / 244)
        for row, col in zip(rows["row"], rows["col"], strict=True):
            tile = density[row * TILE : (row + 1) * TILE, col * TILE : (col + 1) * TILE]
            scores["A"].append((tile[..., 0] > 0.6).mean())
            scores["B"].append(np.percentile(tile[..., 1] - tile[..., 0], 80))
    for field, score in scores.items():
        assert roc_auc_score(cells[f"positive_{field}"], score) > 0.9
        assert roc_auc_score(cells[f"positive_{'B' if field == 'A' else 'A'}"], score) < 0.7


def test_the_recipe_is_written_beside_the_truth(cohort):
    recipe = read_json(cohort / "truth" / "recipe.json")
    assert (recipe["seed"], recipe["patients"], recipe["null_traits"]) == (3, 8, ["noise"])


def test_the_command_line_refuses_too_few_patients(capsys):
    with pytest.raises(SystemExit):
        simulate.main(["--output", "unused", "--patients", "2"])
    assert "--patients: expected at least 6 (one per planted fault), found 2" in capsys.readouterr().err

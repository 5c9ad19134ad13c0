"""Genes in spots through the whole workflow: planted ones are found in a Visium cohort; real sections give figures."""

import os
from dataclasses import replace
from pathlib import Path

import anndata
import matplotlib
import numpy as np
import pandas as pd
import pytest
import yaml
from histocarta.files import read_json, read_table, sha256
from histocarta.her2st import SMALL_SECTIONS, prepare_study
from histocarta.simulate_sections import PRESETS, simulate_sections
from workflow_kit import snakemake

REAL_DATA = os.environ.get("REAL_DATA")
FIT = {"batch": 32, "learning_rate": 3.0e-3, "validations_per_epoch": 1, "plateau": None,
       "augment": ["rotate", "horizontal"], "all_rounds_in_one_job": True}  # fmt: skip


def study_of(name, cohort, *, size, mpp, traits, validations, **spots):
    """A study of spots alone, each patient left out once."""
    windows = {
        "sites": "spots",
        "size": size,
        "mpp": mpp,
        "background": "st-net",
        "min_tissue": 0,
        "min_sharpness": None,
    }
    task = {
        "layout": "windows", "scheme": "patients", "traits": traits, "permutations": 100,
        "model": {"network": "tiny", "size": 64, "normalise": "training", "batch_norm_momentum": 0.9},
        "training": FIT | {"max_validations": validations}, **spots,
    }  # fmt: skip
    splits = {"patients": {"leave_out": "patient", "inner": 2}}
    return {"study": name, "seed": 1, "cohorts": {name: cohort}, "layouts": {"windows": windows},
            "tasks": {"spots": task}, "splits": splits}  # fmt: skip


def far_bulk(folder):
    """Bulk expression and kinds of the two patients of the far cohort: too few for a figure, and it must say so."""
    genes = read_table(folder / "far/truth/genes.tsv")["gene"]
    patients = read_table(folder / "far/slides.tsv")["patient"].unique()
    values = np.random.default_rng(0).normal(8, 1, (len(genes), len(patients)))
    table = pd.DataFrame(values.round(3), columns=patients).assign(gene=genes)[["gene", *patients]]
    table.to_csv(folder / "far/expression.tsv", sep="\t", index=False)
    clinical = pd.DataFrame({"patient": patients, "time": 10, "event": 1, "kind": ["IDC", "ILC"]})
    clinical.to_csv(folder / "far/clinical.tsv", sep="\t", index=False)
    return {"expression": [{"path": "far/expression.tsv"}], "clinical": "far/clinical.tsv"}


@pytest.fixture(scope="module")
def visium(tmp_path_factory):
    """The folder of a study of three patients on a hexagonal lattice that ran to its report."""
    folder = tmp_path_factory.mktemp("visium")
    here = Path.cwd()
    os.chdir(folder)
    try:
        simulate_sections(output="data", recipe=PRESETS["hexagonal"], seed=1)
        simulate_sections(output="far", recipe=replace(PRESETS["demo"], patients=2, prefix="F", null_genes=30), seed=2)
    finally:
        os.chdir(here)
    cohort = {"slides": "data/slides.tsv", "sections": "data/sections.tsv"}
    study = study_of("hexagonal", cohort, size=75, mpp=0.5, traits=["top-16", "PLANT_A", "ABSENT"], validations=8)
    far = {"slides": "far/slides.tsv", "sections": "far/sections.tsv", "external_to": "hexagonal"}
    study["cohorts"]["far"] = far | far_bulk(folder)
    study["layouts"]["grid"] = study["layouts"]["windows"] | {"sites": "grid", "min_tissue": 0.5}
    study["tasks"]["spots"] |= {"slides_layout": "grid", "subtypes": ["IDC", "ILC"], "latent": True}
    study["tasks"]["spots"] |= {"attributions": ["PLANT_A"], "nuclei": True}
    pair = {"name": "pair", "first": ["PLANT_A"], "second": ["PLANT_B", "ABSENT"]}
    study["tasks"]["spots"] |= {"colocation": [pair]}
    (folder / "sets.gmt").write_text("NULLS\tx\t" + "\t".join(f"NULL{k:03}" for k in range(1, 40)) + "\n")
    study |= {"subtype": "kind", "gene_sets": {"own": "sets.gmt"}}
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder)
    assert code == 0, text[-10000:]
    return folder


@pytest.mark.slow
def test_planted_genes_are_found_in_patients_left_out_and_others_are_not(visium):
    truth = read_table(visium / "data/truth/genes.tsv").set_index("gene")["follows"]
    genes = read_table(visium / "results/hexagonal/traits/top-16/spots/consensus/genes.tsv")
    r = genes.set_index("gene")["median_r"].astype(float)
    planted = [gene for gene in ("PLANT_A", "PLANT_B", "PLANT_D") if gene in r]
    assert len(planted) >= 2 and (r[planted] > 0.5).all(), r
    null = r[truth[r.index] == "nothing"]
    assert len(null) >= 8 and abs(null.median()) < 0.1 and (null < 0.3).all(), null
    alone = read_table(visium / "results/hexagonal/traits/PLANT_A/spots/consensus/genes.tsv")  # per-gene training
    assert alone["gene"].tolist() == ["PLANT_A"] and float(alone["median_r"].iloc[0]) > 0.5


@pytest.mark.slow
def test_no_patient_is_predicted_by_a_model_that_saw_it_and_epochs_were_chosen_by_others(visium):
    folder = visium / "results/hexagonal"
    for number in (1, 2, 3):
        split = read_table(folder / f"splits/patients/round-{number}.tsv")
        assert split.groupby("part")["patient"].nunique().to_dict() == {"test": 1, "train": 2}
        record = read_json(folder / f"traits/top-16/spots/round-{number}/model.json")
        assert record["inner"]["unit"] == "patient" and record["parts"]["train"]["slides"] == 2
        scored = set(read_table(folder / f"traits/top-16/spots/round-{number}/scores.parquet")["slide"])
        assert scored == set(split.loc[split["part"] == "test", "slide"])
    ledger = read_table(folder / "ledger.tsv")
    windows = ledger[(ledger["scope"] == "spots/top-16") & (ledger["kind"] == "tile")]
    assert windows.loc[windows["outcome"] == "in", "count"].item() == str(
        sum(read_json(path)["n_tiles"] for path in folder.glob("slides/*/windows/tiles.json"))
    )


@pytest.mark.slow
def test_another_cohort_is_scored_by_the_same_models_and_the_planted_genes_hold_there(visium):
    """A square lattice, other patients, fewer genes measured: nothing is fitted on it."""
    folder = visium / "results/hexagonal/traits/top-16/spots"
    record = read_json(folder / "elsewhere/far/windows/scores.json")
    models = sorted(folder.glob("round-*/model.keras"))
    assert list(record["models"].values()) == [sha256(path) for path in models] and not record["left_out"]
    genes = read_table(folder / "elsewhere/far/windows/genes.tsv").set_index("gene")
    r = pd.to_numeric(genes["median_r"])
    truth = read_table(visium / "data/truth/genes.tsv").set_index("gene")["follows"]
    planted = [gene for gene in ("PLANT_A", "PLANT_B", "PLANT_D") if gene in r]
    assert len(planted) >= 2 and (r[planted] > 0.4).all(), r
    null = r[truth[r.index] == "nothing"].dropna()
    assert len(null) >= 5 and abs(null.median()) < 0.15, null
    assert not (visium / "results/far/traits").exists() and not (visium / "results/far/splits").exists()
    page = (visium / "results/hexagonal/report.html").read_text()
    assert "Expression in spots of far: top-16" in page
    missing = read_json(folder / "elsewhere/far/windows/labels.json")["missing"]
    assert all(gene in page for gene in missing)
    bulk, kinds = (read_table(folder / f"elsewhere/far/grid/{name}.tsv") for name in ("bulk", "subtypes"))
    assert set(bulk["reason"]) <= {"2 samples", "not in the bulk"} and "2 samples" in set(bulk["reason"])
    assert (kinds["reason"] == "1 patients of one kind, need 10").all()
    assert "Pseudo-bulk of far: top-16" in page


@pytest.mark.slow
def test_a_trait_that_was_measured_nowhere_is_left_out_and_everything_else_goes_on(visium):
    folder = visium / "results/hexagonal/traits/ABSENT/spots"
    assert read_json(folder / "consensus/metrics.json")["code"] == "B-NOTRAIT"
    assert read_table(folder / "latent/genes.tsv").empty and read_table(folder / "explained/nuclei.tsv").empty
    assert read_table(folder / "explained/gene-PLANT_A.tsv").empty
    assert read_table(folder / "elsewhere/far/windows/genes.tsv").empty
    assert "Left out (B-NOTRAIT)" in (visium / "results/hexagonal/report.html").read_text()


@pytest.mark.slow
def test_predictions_come_from_pixels_and_go_with_nuclei(visium):
    folder = visium / "results/hexagonal/traits/top-16/spots/explained"
    found = read_table(folder / "gene-PLANT_A.tsv")
    change = (found["output"].astype(float) - found["baseline"].astype(float)).abs()
    assert (found["error"].astype(float).abs() < 0.02 + 0.02 * change).all() and set(found["kind"]) == {"high", "low"}
    nuclei = read_table(folder / "nuclei.tsv").set_index(["gene", "feature"])
    assert abs(float(nuclei.loc[("PLANT_D", "nuclei_count"), "rho_measured"])) > 0.3  # planted to follow nuclei
    assert (folder / "gene-PLANT_A.png").stat().st_size > 20_000


@pytest.mark.slow
def test_sets_of_genes_and_the_latent_space_stand_in_the_report(visium):
    folder = visium / "results/hexagonal/traits/top-16/spots"
    (pair,) = read_json(folder / "consensus/colocation.json")["pairs"]
    assert pair["missing"] == ["ABSENT"] and pair["measured"]["paired_t"]["n"] == 3
    assert read_table(folder / "consensus/enrichment-own.tsv")["set"].tolist() == ["NULLS"]
    told = read_json(folder / "latent/latent.json")
    assert len(told["patients"]) == 3 and told["mean_purity"] > told["mean_chance"]
    genes = read_table(folder / "latent/genes.tsv").set_index("gene").astype(float)
    assert genes.loc["PLANT_A", "r_nearest"] > genes.loc["PLANT_A", "r_farthest"]
    page = (visium / "results/hexagonal/report.html").read_text()
    assert "Gene sets in the same spots" in page and "Clusters against classes" in page


@pytest.mark.slow
def test_tiles_of_its_own_cohort_are_scored_by_the_rounds_that_did_not_learn_from_them(visium):
    folder = visium / "results/hexagonal/traits/top-16/spots"
    own = folder / "elsewhere/hexagonal/windows/scores.parquet"
    code, text = snakemake(visium, str(own.relative_to(visium)))
    assert code == 0, text[-5000:]
    both = read_table(own).merge(read_table(folder / "consensus/scores.parquet"), on=["slide", "row", "col"])
    names = [name.removesuffix("_x") for name in both if name.endswith("_x")]
    assert len(both) == len(read_table(own)) > 200 and len(names) >= 16
    first, second = (both[[f"{name}_{side}" for name in names]].to_numpy(float) for side in "xy")
    np.testing.assert_allclose(first, second, atol=1e-5)


@pytest.mark.slow
def test_predictions_are_what_squidpy_plots(visium, tmp_path):
    matplotlib.use("Agg")
    import spatialdata
    import squidpy

    files = sorted((visium / "results/hexagonal/traits/top-16/spots/consensus/predictions").glob("*.h5ad"))
    table = anndata.read_h5ad(files[0])
    assert len(files) == 3 and table.n_obs > 80 and "PLANT_A" in table.var_names
    squidpy.pl.spatial_scatter(table, color="PLANT_A", save=str(tmp_path / "plot.png"))
    assert (tmp_path / "plot.png").stat().st_size > 20_000
    code, text = snakemake(visium, str(files[0].relative_to(visium).with_suffix(".zarr")))
    assert code == 0, text[-5000:]
    stored = spatialdata.read_zarr(files[0].with_suffix(".zarr"))
    assert next(iter(stored.tables.values())).n_obs == table.n_obs
    squidpy.gr.spatial_neighbors(table, coord_type="grid", n_neighs=6)
    inside = np.asarray((table.obsp["spatial_connectivities"] > 0).sum(axis=1)).ravel()
    assert np.median(inside) == 6  # a hexagonal lattice


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.skipif(not REAL_DATA, reason="REAL_DATA is unset")
def test_real_sections_run_to_figures_and_pictures(tmp_path):
    """B4 and C2, a patient each: stripes choose the epochs, two patients can make no gene significant."""
    prepare_study(
        data=REAL_DATA, output=tmp_path / "data", sections=SMALL_SECTIONS, traits=["ERBB2"], controls=["ERBB2"]
    )
    cohort = {"slides": str(tmp_path / "data/whole-slides.tsv"), "sections": str(tmp_path / "data/sections.tsv")}
    study = study_of("real", cohort, size=224, mpp=0.686, traits=["top-20"], validations=3,
                     classes={"carcinoma": ["carcinoma"]})  # fmt: skip
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(tmp_path)
    assert code == 0, text[-10000:]
    folder = tmp_path / "results/real/traits/top-20/spots"
    told = read_json(folder / "consensus/evaluation.json")
    assert told["n_genes"] > 15_000 and told["summary"]["n_patients"] == 2
    assert told["summary"]["n_spots"] == sum(
        read_json(path)["n_tiles"] for path in (tmp_path / "results/real/slides").glob("*/windows/tiles.json")
    )
    assert told["summary"]["smallest_p"] == 0.25 and "No gene can be significant" in told["summary"]["note"]
    assert told["depth"]["median_r"] > 0.4  # the published scale leaves depth in (checklist B.16)
    assert [read_json(path)["inner"]["unit"] for path in sorted(folder.glob("round-*/model.json"))] == ["stripe"] * 2
    page = (tmp_path / "results/real/report.html").read_text()
    assert "Expression in spots: top-20" in page and "No gene can be significant" in page
    for slide in ("B4", "C2"):
        assert read_json(tmp_path / f"results/real/slides/{slide}/section/section.json")["status"] == "ok"
        assert (folder / f"consensus/maps/{slide}/first.png").stat().st_size > 50_000

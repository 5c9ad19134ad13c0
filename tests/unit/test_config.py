import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from histocarta import configpages
from histocarta.config import read_study
from histocarta.errors import InputError
from histocarta.sheets import read_traits

CONFIG = Path(__file__).parents[2] / "config"
SMALL = {
    "study": "small",
    "cohorts": {"one": {"slides": "slides.tsv", "expression": [{"path": "expression.tsv"}]}},
    "layouts": {"grid": {}},
    "tasks": {"extremes": {"layout": "grid", "scheme": "80-10-10", "traits": ["A", "B"]}},
    "splits": {"80-10-10": {}},
}


REGRESSION = {"layout": "grid", "scheme": "80-10-10", "traits": ["A"]}


@pytest.fixture
def small():
    return copy.deepcopy(SMALL)


def preset(name):
    return read_study(yaml.safe_load((CONFIG / f"{name}.yaml").read_text()))


def problems_of(mapping):
    with pytest.raises(InputError) as caught:
        read_study(mapping)
    return str(caught.value)


def test_defaults_are_filled_in(small):
    plain = read_study(small).model_dump()
    assert plain["layouts"]["grid"]["size"] == 512 and plain["layouts"]["grid"]["mpp"] == 0.5
    assert plain["tasks"]["extremes"]["labels"] == {"low": 20, "high": 80, "near": 10, "centre": None}
    assert plain["tasks"]["extremes"]["vote"] == {"best": 3}
    assert plain["seed"] == 1 and plain["fidelity"] == "corrected" and plain["max_excluded"] == 0.05
    assert json.loads(json.dumps(plain)) == plain


@pytest.mark.parametrize(
    ("column", "background", "pooling", "validation", "horizon", "match"),
    [("paper", "paper", "avg", 0.1, None, False), ("released", "released", "max", 0.18, 10.0, False),
     ("corrected", "paper", "avg", 0.1, None, True)],
)  # fmt: skip
def test_open_values_follow_the_fidelity_column(small, column, background, pooling, validation, horizon, match):
    small["fidelity"] = column
    plain = read_study(small).model_dump()
    assert plain["layouts"]["grid"]["background"] == background
    assert plain["tasks"]["extremes"]["model"]["pooling"] == pooling
    assert plain["splits"]["80-10-10"]["validation"] == pytest.approx(validation)
    assert plain["survival"]["horizon_years"] == horizon
    assert plain["cohorts"]["one"]["match_sample_types"] is match


def test_a_stated_value_wins_over_the_column(small):
    small |= {"fidelity": "released", "fidelity_overrides": {"checkpoint_metric": "paper"}}
    small["tasks"]["extremes"]["model"] = {"pooling": "avg"}
    study = read_study(small)
    assert study.tasks["extremes"].model.pooling == "avg"
    assert study.choice("checkpoint_metric") == "slide_auc" and study.choice("hti_zero") == "dropped"


def test_an_unknown_key_is_refused_with_the_nearest(small):
    small["layouts"]["grid"]["stian"] = "none"
    message = problems_of(small)
    assert message.startswith("Expected one of the keys sites, size, mpp, stain,")
    assert message.endswith("found 'stian' in layouts.grid; nearest: stain")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda m: m.pop("study"), "Expected the key 'study' in the config, found none"),
        (lambda m: m.update(sed=2), "found 'sed' in the config; nearest: seed"),
        (
            lambda m: m["layouts"]["grid"].update(size="big"),
            "Expected a valid integer at layouts.grid.size, found 'big'",
        ),
        (
            lambda m: m["layouts"]["grid"].update(stain="macenk"),
            "at layouts.grid.stain, found 'macenk'; nearest: macenko",
        ),
        (
            lambda m: m["layouts"]["grid"].update(quality=75),
            "Expected greater than or equal to 90 at layouts.grid.quality",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(layout="gird"),
            "Expected one of the layouts grid at tasks.extremes.layout, found 'gird'; nearest: grid",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(scheme="80-20"),
            "Expected one of the splits 80-10-10 at tasks.extremes.scheme, found '80-20'",
        ),
        (
            lambda m: m["tasks"].update(extreme=m["tasks"]["extremes"]),
            "Expected one of the keys regions, extremes, regression, spots, found 'extreme' in tasks; nearest: extr",
        ),
        (
            lambda m: m.update(
                tasks={"regression": {**m["tasks"]["extremes"]}},
                heterogeneity=[{"task": "regression", "traits": ["A", "B"]}],
            ),
            "Expected a task with positive tiles at heterogeneity.0.task, found regression; name extremes",
        ),
        (
            lambda m: m.update(tasks={}),
            "Expected one of the tasks regions, extremes, regression, spots at tasks, found {}",
        ),
        (lambda m: m["tasks"]["extremes"].update(traits=["A", "a/b"]), "at tasks.extremes.traits.1, found 'a/b'"),
        (
            lambda m: m["tasks"]["extremes"].update(labels={"low": 80, "high": 20}),
            "Expected low not above high at tasks.extremes.labels",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(training={"bacth": 3}),
            "found 'bacth' in tasks.extremes.training; nearest: batch",
        ),
        (lambda m: m["cohorts"].update({"a b": m["cohorts"]["one"]}), "in cohorts, found 'a b'"),
        (
            lambda m: m["cohorts"]["one"].update(gdc_manifest="m.txt"),
            "Expected either slides or gdc_manifest, and not both at cohorts.one",
        ),
        (
            lambda m: m["cohorts"]["one"].update(slides=None, gdc_manifest="m"),
            "Expected slides_folder together with gdc_manifest at cohorts.one",
        ),
        (
            lambda m: m["cohorts"]["one"]["expression"][0].update(scael="raw"),
            "found 'scael' in cohorts.one.expression.0; nearest: scale",
        ),
        (
            lambda m: m.update(heterogeneity=[{"task": "extremes", "traits": ["A"]}]),
            "Expected at least 2 items, not 1 at heterogeneity.0.traits",
        ),
        (
            lambda m: m.update(heterogeneity=[{"task": "other", "traits": ["A", "B"]}]),
            "Expected one of the tasks extremes at heterogeneity.0.task, found 'other'",
        ),
        (
            lambda m: m["splits"]["80-10-10"].update(test=0.6, validation=0.5),
            "Expected test + validation + tuning below 1 in splits.80-10-10",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(labels={"low": 50, "high": 50, "near": 60}),
            "Expected near of less than half of high - low, or 0, since what is near one is not near the other",
        ),
        (lambda m: m["tasks"]["extremes"].update(labels={"near": 40}), "Expected near of less than half of high - low"),
        (
            lambda m: m["tasks"]["extremes"].update(model={"size": 64}),
            "Expected size of at least 75 px for inception-v3 at tasks.extremes.model, found {'size': 64}",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(vote={"best": 2}),
            "Expected an odd number of votes, which cannot tie at tasks.extremes.vote.best, found 2",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(vote={"best": 7}),
            "Expected at most the 5 rounds of splits.80-10-10 at tasks.extremes.vote.best, found 7; lower it, or draw",
        ),
        (
            lambda m: m["tasks"]["extremes"].update(model={"weights": "none.h5"}),
            "Expected a file of weights at tasks.extremes.model.weights, found nothing at none.h5",
        ),
        (
            lambda m: m.update(survival={"cuts": [[0.5, 0.5], [0.7, 0.3]]}),
            "Expected [a, b] with a not above b at survival.cuts.1, found [0.7, 0.3]",
        ),
        (
            lambda m: m.update(heterogeneity=[{"task": "extremes", "traits": ["A", "A"]}]),
            "Expected every trait once at heterogeneity.0.traits, found ['A', 'A']",
        ),
        (
            lambda m: m.update(heterogeneity=[{"task": "extremes", "traits": list(names)} for names in ("AB", "BA")]),
            "Expected every set of traits once in heterogeneity, found B+A of task extremes at 1 and at 0; remove one",
        ),
        (
            lambda m: m["cohorts"]["one"].update(default_mpp=5),
            "Expected less than or equal to 2 at cohorts.one.default_mpp, found 5",
        ),
        (
            lambda m: m["cohorts"].update(far=m["cohorts"]["one"] | {"external_to": "two"}),
            "Expected one of the cohorts that are trained on (one) at cohorts.far.external_to, found 'two'",
        ),
        (
            lambda m: m["cohorts"].update(far=m["cohorts"]["one"] | {"external_to": "one"}),
            "Expected a task regression or spots where cohorts.far is external to one, found neither",
        ),
        (
            lambda m: m["tasks"].update(regression=REGRESSION | {"transcriptome": {"features": "none.keras"}}),
            "Expected a file of weights at tasks.regression.transcriptome.features, found nothing at none.keras",
        ),
        (
            lambda m: m["tasks"].update(regression=REGRESSION | {"genes_per_job": 2, "training": {"gpus": 2}}),
            "Expected training.gpus of 0 or 1 where genes_per_job is above 1: give more cards more jobs",
        ),
        (
            lambda m: (
                m.update(fidelity="paper"),
                m["tasks"].update(regression=REGRESSION | {"labels": {"reference_batch": "tcga"}}),
            ),
            "Expected percentiles_fitted_on: non_test in fidelity_overrides beside labels.reference_batch, found all",
        ),
        (
            lambda m: (
                m["cohorts"]["one"].update(one_slide=True),
                m["layouts"].update(fine={}),
                m["tasks"].update(regression=REGRESSION | {"layout": "fine"}),
            ),
            "Expected one layout for splits.80-10-10 where a cohort has one_slide, found fine, grid; give each layout",
        ),
        (lambda m: m.update(fidelity="papper"), "found 'papper'; nearest: paper"),
        (
            lambda m: m.update(fidelity_overrides={"poling": "paper"}),
            "found 'poling'; nearest: pooling in fidelity_overrides",
        ),
        (
            lambda m: m.update(fidelity_overrides={"pooling": "mean"}),
            "for fidelity row 'pooling', found 'mean' in fidelity_overrides",
        ),
    ],
)
def test_each_mistake_is_named_with_its_place(small, change, expected):
    change(small)
    assert expected in problems_of(small)


def test_one_cut_has_nothing_near(small):
    small["tasks"]["extremes"]["labels"] = {"low": 50, "high": 50}
    assert read_study(small).tasks["extremes"].labels.near == 0


def test_leaving_patients_out_may_vote_with_any_number_of_rounds(small):
    small["splits"]["80-10-10"] = {"leave_out": "patient", "rounds": 1}
    assert read_study(small).tasks["extremes"].vote.best == 3


def test_a_key_that_stands_twice_is_named_with_its_lines(small, tmp_path):
    path = tmp_path / "study.yaml"
    layouts = "layouts: &grid\n  grid: {size: 75, mpp: 0.5, size: 512}\nother: [*grid, *grid]"
    path.write_text(f"study: small\nseed: 1\n{layouts}\nseed: 2\n")
    with pytest.raises(InputError) as caught:
        read_study(small, files=[path])
    message = str(caught.value)
    assert message.startswith("2 problems in the config:")
    assert f"Expected every key once in {path}, found 'seed' in lines 2 and 6; keep one" in message
    assert "found 'layouts.grid.size' in lines 4 and 4; keep one" in message
    assert read_study(small, files=[CONFIG / "demo.yaml"]).seed == 1


def test_all_problems_come_in_one_message(small):
    small["layouts"]["grid"].update(stian="none", size="abc")
    small["tasks"]["extremes"]["scheme"] = "nowhere"
    message = problems_of(small)
    assert message.startswith("3 problems in the config:")
    assert "'stian'" in message and "'abc'" in message and "'nowhere'" in message


def test_numbers_that_yaml_reads_as_text_are_numbers(small):
    # PyYAML reads 1e-3 (no dot) as text.
    small["tasks"]["extremes"]["training"] = yaml.safe_load("learning_rate: 1e-3")
    assert read_study(small).tasks["extremes"].training.learning_rate == 1e-3


def test_what_is_no_mapping_is_refused():
    assert "found list" in problems_of(["study"])


def test_a_cohort_says_what_its_preparation_reads(small):
    cohort = read_study(small).cohorts["one"]
    assert cohort.files() == {"slides_sheet": "slides.tsv", "tables": ["expression.tsv"]}
    table = {"path": "expression.tsv", "orientation": "traits_by_samples", "scale": "log2", "duplicates": "error"}
    assert cohort.preparation() == {
        "slides_sheet": "slides.tsv", "slides_folder": None, "tables": [table], "time_unit": "months",
        "sample_types": ["01"], "match_sample_types": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("cohort", "traits", "together", "cuts"),
    [
        # Table 1 and Fig. 4 of Levy-Jurgenson et al. 2020.
        (
            "brca",
            "hsa-miR-17-5p MKI67 FOXA1 MYC hsa-miR-29a-3p ESR1 CD24 FOXC1 ERBB2 EGFR",
            ["MKI67", "hsa-miR-17-5p"],
            [[0.5, 0.5]],
        ),
        ("luad", "hsa-miR-17-5p KRAS CD274 hsa-miR-21-5p EGFR", ["KRAS", "hsa-miR-17-5p"], [[0.5, 0.5], [0.3, 0.7]]),
    ],
)
def test_the_presets_hold_the_papers_settings(cohort, traits, together, cuts):
    study = preset(f"levy-jurgenson-2020-{cohort}")
    task, layout, scheme = study.tasks["extremes"], study.layouts["grid"], study.splits["80-10-10"]
    assert study.fidelity == "paper" and not study.fidelity_overrides
    assert task.traits == traits.split() and [entry.traits for entry in study.heterogeneity] == [together]
    assert study.survival.cuts == cuts and study.survival.horizon_years is None
    assert (layout.size, layout.mpp, layout.stain, layout.background, layout.min_tissue) == (
        512,
        0.5,
        "none",
        "paper",
        0.5,
    )
    assert (scheme.test, scheme.validation, scheme.rounds, scheme.unit) == (0.1, 0.1, 5, "patient")
    assert (task.labels.low, task.labels.high, task.vote.best, task.threshold) == (20, 80, 3, 0.5)
    assert (task.model.network, task.model.size, task.model.pooling, task.model.weights) == (
        "inception-v3",
        512,
        "avg",
        None,
    )
    training = task.training
    assert (training.learning_rate, training.plateau, training.stop, training.validations_per_epoch) == (
        1e-3,
        10,
        30,
        16,
    )
    assert (training.batch, training.gpus, training.batch // training.gpus) == (144, 8, 18)
    assert study.cohorts[f"tcga-{cohort}"].gdc_manifest == f"data/gdc/gdc_manifest_{cohort}.txt"


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_study_is_valid_and_named_as_its_file(path):
    assert preset(path.stem).study == path.stem


def test_every_shipped_study_is_in_the_page():
    listed = [
        line.split("`")[1] for line in configpages.page().splitlines() if line.startswith("| `") and ".yaml" in line
    ]
    assert sorted(listed) == sorted(path.name for path in CONFIG.glob("*.yaml"))


def test_the_pam50_panel_has_50_genes_and_the_papers_breast_traits():
    panel = read_traits(CONFIG / "panels" / "pam50.txt")
    assert len(panel) == 50
    # CD24 is the one gene of the paper's breast cancer traits that is not in PAM50 (Methods).
    assert {"MKI67", "FOXA1", "MYC", "ESR1", "FOXC1", "ERBB2", "EGFR"} <= set(panel) and "CD24" not in panel


def test_schema_and_page_are_those_of_the_types():
    """Rerun `python -m histocarta.config` where this fails."""
    assert (CONFIG / "study.schema.json").read_text() == configpages.schema()
    assert (CONFIG / "README.md").read_text() == configpages.page()


def test_every_key_is_explained_in_the_page():
    sections = {"Study": json.loads(configpages.schema()), **json.loads(configpages.schema())["$defs"]}
    page = configpages.page()
    for section in sections.values():
        for key, field in section["properties"].items():
            assert field["description"] and f"| `{key}` |" in page


def test_reading_a_study_loads_nothing_slow():
    heavy = "tensorflow", "keras", "cv2", "matplotlib", "scipy", "sklearn"
    code = f"import sys, histocarta.config, histocarta.sheets; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


REGIONS = {"layout": "grid", "scheme": "80-10-10", "traits": ["tumour"]}


def regions(study, **changes):
    """``study`` with a region, annotations and a layout that keeps to it."""
    study["tasks"]["regions"] = REGIONS | changes
    study["cohorts"]["one"]["annotations"] = "annotations.tsv"
    study["layouts"]["inside"] = {"of": "grid", "region": "tumour"}
    return study


def test_a_layout_of_a_region_has_all_else_of_the_other(small):
    small["layouts"]["grid"] = {"size": 300, "mpp": 0.7, "stain": "macenko"}
    study = read_study(regions(small))
    whole, inside = (study.layouts[name].model_dump() for name in ("grid", "inside"))
    assert inside == whole | {"of": "grid", "region": "tumour", "min_score": 0.5}
    assert study.layouts["inside"].tiling() == study.layouts["grid"].tiling()
    assert study.tasks["regions"].members() == {"tumour": ["tumour"]}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["cohorts"]["one"].pop("annotations"), "Expected annotations in cohorts.one, from which the task"),
        (
            lambda m: m["layouts"]["inside"].update(size=75),
            "Expected only of, region, min_score in layouts.inside, found size",
        ),
        (lambda m: m["layouts"]["inside"].update(region="fat"), "(tumour) at layouts.inside.region, found 'fat'"),
        (
            lambda m: m["layouts"]["inside"].update(of="fine"),
            "of tasks.regions (grid) at layouts.inside.of, found 'fine'",
        ),
        (
            lambda m: m["layouts"]["grid"].update(min_score=0.4),
            "Expected the key of beside min_score in layouts.grid, found",
        ),
        (lambda m: m["tasks"].pop("regions"), "Expected a region of tasks.regions (none: there is no task regions)"),
        (
            lambda m: m["tasks"]["regions"].update(layout="inside"),
            "Expected a layout of its own tiles at tasks.regions",
        ),
        (
            lambda m: m["tasks"]["regions"].update(classes={"fat": ["Fat"]}),
            "Expected classes of the regions in traits (tumour), not of fat at tasks.regions",
        ),
    ],
)
def test_regions_that_nobody_could_find_are_refused(small, change, said):
    change(regions(small))
    assert said in problems_of(small)


def test_one_slide_of_a_patient_is_chosen_by_its_tiles_in_the_region(small):
    """The layout that its tiles are taken from keeps all slides; a task that reads it would see two of a patient."""
    regions(small)["cohorts"]["one"]["one_slide"] = True
    small["layouts"]["whole"] = {}
    small["tasks"]["extremes"].update(layout="whole", scheme="other")
    small["splits"]["other"] = {}
    assert read_study(small).cohorts["one"].one_slide
    small["tasks"]["extremes"]["layout"] = "grid"
    assert "Expected tasks.extremes on a layout that keeps to a region where a cohort has one_slide" in problems_of(
        small
    )


def test_the_split_of_a_scheme_that_both_use_is_that_of_all_tissue(small):
    """Tiles of a region are chosen by a classifier that needs the split: the region's own tiles cannot decide it."""
    small["tasks"]["regression"] = REGRESSION | {"layout": "inside"}
    study = read_study(regions(small))
    assert study.tasks.values()[0].layout == "grid"

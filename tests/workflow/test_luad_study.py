"""The study of a real table: 453 TCGA-LUAD patients through sheets, splits, labels and survival by bulk expression.

There are no slides. Splits and labels are made from the manifest of tiles; here a stand-in takes its place that gives
every slide of the sheet one tile, so their figures are those of the table and say nothing of tissue.
"""

import os
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta import luad_table
from histocarta.files import read_json, read_table, write_table
from histocarta.manifest import FROM_SHEET
from histocarta.sheets import read_slides
from lifelines import CoxPHFitter
from lifelines.statistics import logrank_test
from scipy.stats import kruskal
from sklearn.metrics import adjusted_rand_score

ROOT = Path(__file__).parents[2]
TRAITS = ("KRAS", "EGFR", "CD274")
SHEETS = Path("data/tcga-luad-table")
RESULTS = Path("results/tcga-luad-table")
# Only these rules: without tiling there is nothing that would replace the stand-in.
RULES = ("prepare_cohort", "split_80_10_10", "label_extremes", "audit_leaks", "analyse_bulk_survival")
RULES += ("compare_groups", "enrich_contrast", "cluster_measured")

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("REAL_DATA" not in os.environ, reason="REAL_DATA is not set"),
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Folder in which Snakemake has run the study."""
    folder = tmp_path_factory.mktemp("luad-table")
    luad_table.prepare_study(data=os.environ["REAL_DATA"], output=folder / SHEETS)
    shutil.copytree(ROOT / "config" / "panels", folder / "config" / "panels")
    write_stand_in(folder)
    targets = [RESULTS / "survival" / "+".join(TRAITS) / "bulk.json", RESULTS / "sheets" / "slides.tsv"]
    targets += [RESULTS / "traits" / trait / "extremes" / "labels.json" for trait in TRAITS]
    targets += [RESULTS / "traits" / "KRAS" / "extremes" / "leaks.json"]
    contrasts = RESULTS / "contrasts"
    targets += [contrasts / "sex" / "measured.tsv", contrasts / "CD274" / "enrichment-hallmark.tsv"]
    targets += [RESULTS / "clusters" / "pam50" / "measured.json"]
    run_snakemake(folder, targets)
    return folder


def write_stand_in(folder):
    """A manifest with one tile per slide of the sheet."""
    sheet = read_slides(folder / SHEETS / "slides.tsv")
    manifest = sheet[["slide", "patient", *FROM_SHEET]].assign(n_tiles=1, status="ok", code="", reason="")
    write_table(manifest.sort_values("slide"), folder / RESULTS / "grid" / "manifest.tsv")


def run_snakemake(folder, targets):
    command = [
        *(
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            ROOT / "Snakefile",
            "--profile",
            ROOT / "profiles" / "local",
        ),
        *("--directory", folder, "--cores", "2", *targets),
        *("--configfile", ROOT / "config" / "tcga-luad-table.yaml", "--allowed-rules", *RULES),
    ]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def raw():
    """The table as it was downloaded, one row per patient: z-scores, months, event, age, is_female."""
    wanted = ["case_id", "survival_months", "censorship", "age", "is_female", *(f"{trait}_rnaseq" for trait in TRAITS)]
    table = pd.read_csv(Path(os.environ["REAL_DATA"]) / luad_table.TABLE, usecols=wanted)
    table = table.drop_duplicates().set_index("case_id").rename(columns=lambda name: name.removesuffix("_rnaseq"))
    return table.assign(event=1 - table["censorship"])


def test_sheets_hold_every_slide_and_patient(study, raw):
    slides, clinical = (read_table(study / RESULTS / "sheets" / name) for name in ("slides.tsv", "clinical.parquet"))
    expression = read_table(study / RESULTS / "sheets" / "expression.parquet")
    assert (len(slides), slides["patient"].nunique(), len(clinical), len(expression)) == (516, 453, 453, 453)
    # Nothing is left out. Expression is named by patient, so it cannot be told whether it is the recurrence's.
    exclusions = read_table(study / RESULTS / "sheets" / "exclusions.tsv")
    assert "excluded" not in set(exclusions["outcome"])
    (note,) = exclusions[exclusions["code"] == "B-NOTYPE"].to_dict("records")
    assert note["item"].startswith("TCGA-50-5066-02Z") and note["outcome"] == "noted"
    assert note["reason"] == "sample type 02 could not be checked: expression is named by patient"
    assert clinical["event"].sum() == raw["event"].sum() == 158
    # 516 slides, of which one is of a recurrence (TCGA-50-5066-02Z): the 515 of the table's name are primary tumours.
    assert (slides["sample_type"] == "01").sum() == 515
    assert expression.loc[raw.index, list(TRAITS)].to_numpy() == pytest.approx(raw[list(TRAITS)].to_numpy(), abs=1e-12)


def test_patients_stay_together_in_every_round(study):
    rounds = [read_table(study / RESULTS / "splits" / "80-10-10" / f"round-{n}.tsv") for n in range(1, 6)]
    for split in rounds:
        parts = split.groupby("patient")["part"].agg(["nunique", "first"])
        assert (parts["nunique"] == 1).all()
        assert parts["first"].value_counts().to_dict() == {"train": 363, "validation": 45, "test": 45}
    tested = [set(split.loc[split["part"] == "test", "patient"]) for split in rounds]
    assert all(patients == tested[0] for patients in tested)
    validated = [frozenset(split.loc[split["part"] == "validation", "patient"]) for split in rounds]
    assert len(set(validated)) == 5


@pytest.mark.parametrize("trait", TRAITS)
def test_labels_are_the_percentiles_of_the_patients_outside_the_test(study, raw, trait):
    split = read_table(study / RESULTS / "splits" / "80-10-10" / "round-1.tsv")
    fitted = raw[trait].drop(split.loc[split["part"] == "test", "patient"].unique())
    assert len(fitted) == 408
    folder = study / RESULTS / "traits" / trait / "extremes"
    summary, labels = read_json(folder / "labels.json"), read_table(folder / "labels.parquet")
    low, high = np.percentile(fitted, [20, 80])
    assert summary["thresholds"]["low"] == pytest.approx(low, abs=1e-12)
    assert summary["thresholds"]["high"] == pytest.approx(high, abs=1e-12)
    value = raw[trait].loc[labels["patient"]].to_numpy()
    assert len(labels) == 516
    assert ((labels["label"] == 1).to_numpy() == (value >= high)).all()
    assert ((labels["label"] == 0).to_numpy() == (value <= low)).all()
    assert sum(summary["n"][name] for name in ("high", "low", "ood_near", "ood_far")) == 516


def test_no_patient_leaks(study):
    assert read_json(study / RESULTS / "traits" / "KRAS" / "extremes" / "leaks.json")["status"] == "ok"


def groups(raw):
    """The groups of every comparison, from the raw values: 1, 0, or NaN for neither."""
    above = {trait: (raw[trait] > raw[trait].median()).astype(float) for trait in TRAITS}
    for trait in TRAITS:
        low, high = np.percentile(raw[trait], [20, 80])
        yield "median", (trait,), above[trait]
        ends = (raw[trait] >= high).astype(float)
        yield "extremes", (trait,), ends.where((raw[trait] <= low) | (raw[trait] >= high))
    for pair in combinations(TRAITS, 2):
        first, second = (above[trait] for trait in pair)
        yield "both", pair, first.where(first == second)
        yield "sides", pair, (first != second).astype(float)


def test_baselines_are_what_lifelines_says_of_the_raw_table(study, raw):
    found = read_json(study / RESULTS / "survival" / "+".join(TRAITS) / "bulk.json")
    assert (found["patients"], found["events"]) == (453, 158)
    records = {(one["kind"], tuple(one["traits"])): one for one in found["comparisons"]}
    assert len(records) == 12
    for kind, traits, group in groups(raw):
        record, inside = records[kind, traits], raw[group.notna()].assign(high=group)
        high = inside["high"] == 1
        test = logrank_test(
            *(inside.loc[side, "survival_months"] for side in (high, ~high)),
            *(inside.loc[side, "event"] for side in (high, ~high)),
        )
        assert record["logrank"]["p"] == pytest.approx(test.p_value, rel=1e-9)
        assert [side["n"] for side in record["groups"]] == [(~high).sum(), high.sum()]
        for model, columns in (("cox", ["high"]), ("cox_adjusted", ["high", "age", "is_female"])):
            complete = inside[["survival_months", "event", *columns]].dropna()
            fitted = CoxPHFitter().fit(complete, "survival_months", "event")
            ratios = [term["hazard_ratio"] for term in record[model]["terms"]]
            assert ratios == pytest.approx(fitted.hazard_ratios_[columns].to_list(), rel=1e-6)
            assert record[model]["n"] == len(complete)
    assert (study / RESULTS / "survival" / "+".join(TRAITS) / "bulk.png").stat().st_size > 50_000


def test_women_and_men_differ_in_the_genes_that_escape_x_inactivation(study):
    """Known from biology: ZFX, KDM6A and KDM5C are expressed from both X (Tukiainen et al. 2017, Nature 550:244)."""
    table = read_table(study / RESULTS / "contrasts" / "sex" / "measured.tsv").set_index("trait")
    assert (table["n_high"].iloc[0], table["n_low"].iloc[0]) == ("241", "202")  # of 453, ten without an age
    numbers = table[["effect", "p", "fdr"]].astype(float)
    first = numbers.sort_values("p").head(3)
    assert (
        set(first.index) == {"ZFX", "KDM6A", "KDM5C"} and (first["effect"] > 0).all() and (first["fdr"] < 1e-10).all()
    )


def test_tumours_with_pd_l1_are_inflamed(study):
    """CD274 is induced by interferon: PDCD1LG2 stands beside it on 9p24, STAT1 above it, and immune sets come first."""
    table = read_table(study / RESULTS / "contrasts" / "CD274" / "measured.tsv").set_index("trait")
    assert "CD274" not in table.index
    assert set(table["p"].astype(float).sort_values().head(3).index) == {"PDCD1LG2", "STAT1", "CD86"}
    sets = read_table(study / RESULTS / "contrasts" / "CD274" / "enrichment-hallmark.tsv").set_index("set")
    for name in ("ALLOGRAFT_REJECTION", "IL6_JAK_STAT3_SIGNALING", "INFLAMMATORY_RESPONSE"):
        row = sets.loc[f"HALLMARK_{name}", ["nes", "fdr"]].astype(float)
        assert row["nes"] > 2 and row["fdr"] < 0.01


def test_patients_fall_into_firm_groups_that_are_not_their_sex(study):
    """12 PAM50 genes are in the table; scikit-learn says the same of the groups, and their genes part them."""
    found = read_json(study / RESULTS / "clusters" / "pam50" / "measured.json")
    table = read_table(study / RESULTS / "clusters" / "pam50" / "measured.tsv").set_index("sample")
    assert (found["genes"], found["genes_found"], found["samples"], sum(found["sizes"])) == (50, 12, 453, 453)
    assert len(found["sizes"]) == 4 and found["seeds_ari"] > 0.5
    expected = adjusted_rand_score(table["subtype"], table["cluster"])
    assert found["subtype_ari"] == pytest.approx(expected, abs=1e-12) and abs(expected) < 0.05
    panel = pd.read_csv(ROOT / "config" / "panels" / "pam50.txt", comment="#")["trait"]
    expression = read_table(study / RESULTS / "sheets" / "expression.parquet")
    genes = [name for name in expression if name.split("|")[0] in set(panel)]
    large = [str(number) for number, size in enumerate(found["sizes"]) if size >= 20]
    members = {number: expression.loc[table.index[table["cluster"] == number], genes] for number in large}
    p = [kruskal(*(part[gene].astype(float) for part in members.values())).pvalue for gene in genes]
    assert len(large) >= 2 and np.median(p) < 1e-10

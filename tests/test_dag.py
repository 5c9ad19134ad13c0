"""Which jobs a study asks for: dry runs of made-up studies whose files are only touched, and of the paper's presets."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from histocarta.formats import pyramid_name
from histocarta.splits import part_counts
from histocarta.tasks import TASKS

RULES = sorted((Path(__file__).parent.parent / "rules").glob("*.smk"))
ROOT = Path(__file__).parent.parent
SLIDE_COLUMNS = ("slide", "patient", "file", "mpp", "x", "y", "width", "height", "exclude")
PER_TRAIT = ("label_extremes", "audit_leaks", "train_extremes", "score_extremes", "vote_extremes")


class Job(NamedTuple):
    """One job as a dry run prints it."""

    rule: str
    input: list[str]
    wildcards: dict[str, str]
    resources: dict[str, str]


class Plan(NamedTuple):
    """A dry run: jobs per rule from Snakemake's table, and the jobs themselves where they were printed."""

    counts: dict[str, int]
    jobs: list[Job]

    def of(self, *rules):
        """Jobs of these rules; there are some."""
        found = [job for job in self.jobs if job.rule in rules]
        assert {job.rule for job in found} == set(rules)
        return found


def snakemake(folder, *arguments, **environment):
    """Run Snakemake as a user does: from the checkout, the study's files in ``folder``."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--directory", folder, *arguments]
    quiet = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"} | environment
    return subprocess.run(list(map(str, command)), cwd=ROOT, env=quiet, capture_output=True, text=True)


def plan(folder, *targets, profile="profiles/local", more=()):
    """Jobs that the study in ``folder`` asks for, or that ``targets`` do."""
    done = snakemake(folder, "--configfile", folder / "study.yaml", "--profile", profile, *more, "--", *targets)
    assert done.returncode == 0, done.stdout + done.stderr
    table = re.search(r"^job +count\n-+ +-+\n(.*?)^total +(\d+)", done.stdout, re.DOTALL | re.MULTILINE)
    counts = {rule: int(count) for rule, count in (line.split() for line in table[1].splitlines())}
    assert sum(counts.values()) == int(table[2])
    jobs = [
        read_job(text) for text in re.findall(r"^(?:local)?rule .*?(?=^\[|^Job stats|\Z)", done.stdout, re.S | re.M)
    ]
    if "--quiet" not in more:
        assert Counter(job.rule for job in jobs) == counts
    return Plan(counts, jobs)


def read_job(text):
    """A printed job: ``rule name:`` and indented lines ``key: value, value``."""
    fields = dict(re.findall(r"^    (\w+): (.*)$", text, re.MULTILINE))

    def pairs(key):
        return dict(part.split("=", 1) for part in fields.get(key, "").split(", ") if "=" in part)

    inputs = [path for path in fields.get("input", "").split(", ") if path]
    return Job(text.split()[1].rstrip(":"), inputs, pairs("wildcards"), pairs("resources"))


def slide(name, patient, file=None, **more):
    """A row of a slide sheet."""
    return {"slide": name, "patient": patient, "file": file or f"data/{name}.svs", **more}


# Two slides of one patient, a slide that the sheet excludes (its file does not exist), a photograph with two regions,
# and a second photograph.
SLIDES = (
    slide("S1-1", "P1"),
    slide("S1-2", "P1"),
    slide("S2", "P2"),
    slide("S3", "P3", exclude="torn"),
    slide("S4-a", "P4", "data/four.jpg", mpp=0.5, x=0, y=0, width=500, height=500),
    slide("S4-b", "P4", "data/four.jpg", mpp=0.5, x=500, y=0, width=500, height=500),
    slide("S5", "P5", "data/five.png", mpp=0.5),
)


def write_study(folder, *, slides=SLIDES, change=None):
    """A study of 2 traits and 3 rounds whose tables and slides are empty files; ``change`` edits its settings."""
    (folder / "data").mkdir(parents=True)
    lines = ["\t".join(str(row.get(name, "")) for name in SLIDE_COLUMNS) for row in slides]
    (folder / "data" / "slides.tsv").write_text("\n".join(["\t".join(SLIDE_COLUMNS), *lines]) + "\n")
    present = [row["file"] for row in slides if not row.get("exclude")]
    for name in ("data/expression.tsv", "data/clinical.tsv", *present):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    (folder / "data" / "traits.tsv").write_text("trait\nA\nB\n")
    study = {
        "study": "tiny",
        "cohorts": {
            "tiny": {
                "slides": "data/slides.tsv",
                "expression": [{"path": "data/expression.tsv"}],
                "clinical": "data/clinical.tsv",
            }
        },
        "layouts": {"grid": {"size": 75}},
        "tasks": {
            "extremes": {
                "layout": "grid",
                "scheme": "thirds",
                "traits": "data/traits.tsv",
                "training": {"all_rounds_in_one_job": True},
            }
        },
        "splits": {"thirds": {"test": 0.3, "validation": 0.3, "rounds": 3}},
        "heterogeneity": [{"task": "extremes", "traits": ["A", "B"]}],
    }
    if change:
        change(study)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The plan of the whole study."""
    return plan(write_study(tmp_path_factory.mktemp("whole") / "study"))


def test_jobs_of_a_whole_study(whole):
    assert whole.counts == {
        "prepare_cohort": 1,
        "import_image": 2,  # three slides in two photographs
        "survey_slide": 7,
        "tile_slide": 7,
        "gather_summaries": 1,
        "collect_manifest": 1,
        "split_thirds": 1,
        "label_extremes": 2,
        "audit_leaks": 2,
        "train_extremes": 2,  # all rounds of a trait in one job
        "score_extremes": 2,
        "vote_extremes": 2,
        "measure_heterogeneity": 1,
        "analyse_survival": 1,
        "tabulate_cohort": 1,
        "write_ledger": 1,
        "write_report": 1,
        "all": 1,
    }


def test_two_tasks_share_the_slides_and_the_splits_and_keep_their_own_rules(whole, tmp_path):
    """Rules of one task say so in their pathvars, since rule-level wildcard_constraints are lost there."""

    def add_regression(study):
        study["tasks"]["regression"] = study["tasks"]["extremes"] | {"traits": ["A", "C", "D"]}

    found = plan(write_study(tmp_path / "study", change=add_regression)).counts
    more = {rule: found[rule] - whole.counts.get(rule, 0) for rule in found}
    assert {rule: count for rule, count in more.items() if count} == {
        "gather_genes": 1,
        "label_regression": 3,
        "audit_leaks": 3,
        "train_regression": 3,
        "score_regression": 3,
        "average_regression": 3,
        "tabulate_associations": 1,
    }


def test_many_genes_to_a_job_are_few_jobs_and_one_gene_is_still_one_target(tmp_path):
    """17,695 genes in 5 rounds, 50 to a job (Wang 2021's transcriptome): 354 jobs a round, and no list of genes."""

    def transcriptome(study):
        task = {"layout": "grid", "scheme": "thirds", "traits": "data/genes.tsv", "genes_per_job": 50}
        study["tasks"], study["heterogeneity"] = {"regression": task}, []
        study["splits"]["thirds"]["rounds"] = 5

    folder = write_study(tmp_path / "study", change=transcriptome)
    (folder / "data" / "genes.tsv").write_text("\n".join(["trait", *(f"G{n}" for n in range(17_695))]) + "\n")
    counts = plan(folder, more=["--quiet", "rules"]).counts
    assert {rule: counts[rule] for rule in ("train_genes", "score_genes", "gather_jobs", "label_listed_genes")} == {
        "train_genes": 5 * 354,
        "score_genes": 354,
        "gather_jobs": 1,
        "label_listed_genes": 1,
    }
    assert not {"train_regression", "label_regression", "gather_genes"} & {*counts}
    alone = plan(folder, "results/tiny/traits/G7/regression/consensus/metrics.json").counts
    assert (alone["train_regression"], alone["average_regression"]) == (5, 1) and "train_genes" not in alone
    (job,) = [
        job
        for job in plan(folder, "results/tiny/transcriptome/per-gene/round-2/models/G50.keras").jobs
        if job.rule == "train_genes"
    ]
    assert job.wildcards == {"cohort": "tiny", "round": "2", "job": "2"}


def test_a_photograph_is_imported_once_for_all_its_regions(whole):
    assert sorted(job.input[0] for job in whole.of("import_image")) == ["data/five.png", "data/four.jpg"]
    read = {job.wildcards["slide"]: job.input for job in whole.of("survey_slide")}
    assert read["S4-a"] == read["S4-b"] == [f"results/tiny/images/{pyramid_name('data/four.jpg')}.tif"]
    assert read["S2"] == ["data/S2.svs"]


def test_an_excluded_slide_needs_no_file(whole):
    assert {job.wildcards["slide"]: job.input for job in whole.of("survey_slide")}["S3"] == []


def test_one_slide_that_is_not_there_is_left_out_and_more_stop_the_plan(tmp_path):
    folder = write_study(tmp_path / "study")
    (folder / "data" / "S2.svs").unlink()
    read = {job.wildcards["slide"]: job.input for job in plan(folder).of("survey_slide")}
    assert read["S2"] == [] and read["S1-1"] == ["data/S1-1.svs"]
    (folder / "data" / "S1-1.svs").unlink()
    done = snakemake(folder, "--configfile", folder / "study.yaml", "--profile", "profiles/local")
    assert done.returncode == 1
    said = "Expected the slide files of tiny, found those of 2 of 7 slides not there (such as data/S1-1.svs)"
    assert said in done.stdout + done.stderr


def test_per_trait_jobs_read_no_slide_files(whole):
    """800 slides x 300 traits planned in 56 s with slides among the inputs, in 5 s with the manifest alone."""
    jobs = whole.of(*PER_TRAIT, "measure_heterogeneity", "analyse_survival", "tabulate_cohort")
    assert not [path for job in jobs for path in job.input if "/slides/" in path or path.startswith("data/")]
    assert all("results/tiny/grid/manifest.tsv" in job.input for job in whole.of("train_extremes", "score_extremes"))


def test_the_manifests_own_job_lists_no_slides_either(whole):
    """Snakemake walks that list once for every job that reads the manifest."""
    assert {job.rule: len(job.input) for job in whole.jobs if "manifest" in job.rule or "gather" in job.rule} == {
        "gather_summaries": 2 * 7,
        "collect_manifest": 2,
    }


def test_only_training_and_scoring_ask_for_a_gpu(whole):
    assert {job.rule for job in whole.jobs if "gpu" in job.resources} == {"train_extremes", "score_extremes"}


@pytest.mark.parametrize(("gpus", "training", "scoring"), [(0, "0", "0"), (1, "1", "1"), (4, "4", "1")])
def test_a_study_gets_the_gpus_that_it_asks_for(tmp_path, gpus, training, scoring):
    """Scoring runs on one card at most, and on none where the study has none: a cluster would let the job wait."""

    def ask(study):
        study["tasks"]["extremes"]["training"]["gpus"] = gpus

    folder = write_study(tmp_path / "study", change=ask)
    target = "results/tiny/traits/A/extremes/consensus/metrics.json"
    found = plan(folder, target, profile="slurm")
    assert {job.resources["gpu"] for job in found.of("train_extremes")} == {training}
    assert {job.resources["gpu"] for job in found.of("score_extremes")} == {scoring}


@pytest.mark.parametrize("trait", ["A", "hsa-miR-17-5p"], ids=["of the sheet", "not in the sheet"])
def test_a_target_builds_one_traits_chain(tmp_path, trait):
    target = f"results/tiny/traits/{trait}/extremes/consensus/metrics.json"
    found = plan(write_study(tmp_path / "study"), target)
    slides = {"prepare_cohort": 1, "import_image": 2, "survey_slide": 7, "tile_slide": 7}
    once = dict.fromkeys(["gather_summaries", "collect_manifest", "split_thirds", *PER_TRAIT], 1)
    assert found.counts == slides | once
    assert {job.wildcards["trait"] for job in found.jobs if "trait" in job.wildcards} == {trait}


def test_maps_are_targets_of_their_own(tmp_path):
    single = "results/tiny/traits/A/extremes/consensus/maps/S2.png"
    joint = "results/tiny/heterogeneity/extremes/A+B+C/maps/S2.png"
    found = plan(write_study(tmp_path / "study"), single, joint)
    assert (
        found.counts["draw_map"] == found.counts["draw_combination_map"] == found.counts["measure_heterogeneity"] == 1
    )
    assert found.counts["vote_extremes"] == 3
    assert "write_report" not in found.counts
    assert "results/tiny/slides/S2/grid/sites.parquet" in found.of("draw_map")[0].input


def test_a_layout_with_a_stain_estimates_it_per_slide(whole, tmp_path):
    def stained(study):
        study["layouts"]["grid"]["stain"] = "macenko"

    found = plan(write_study(tmp_path / "study", change=stained))
    assert found.counts == whole.counts | {"estimate_stain": 7}
    for job in found.of("tile_slide"):
        assert f"results/tiny/slides/{job.wildcards['slide']}/grid/stain.json" in job.input
    assert not [path for job in whole.of("tile_slide") for path in job.input if path.endswith("stain.json")]


def test_a_job_per_round_on_the_cluster_profile(whole, tmp_path):
    """Rounds apart, as a cluster wants them, and what the slurm profile alone asks of a node."""

    def apart(study):
        study["tasks"]["extremes"]["training"]["all_rounds_in_one_job"] = False

    found = plan(write_study(tmp_path / "study", change=apart), profile="slurm")
    assert found.counts == whole.counts | {"train_extremes": 2 * 3}
    rounds = sorted((job.wildcards["trait"], job.wildcards["round"]) for job in found.of("train_extremes"))
    assert rounds == [(trait, number) for trait in "AB" for number in "123"]
    for job in found.of("train_extremes"):
        splits = [path for path in job.input if "/splits/" in path]
        assert splits == [f"results/tiny/splits/thirds/round-{job.wildcards['round']}.tsv"]

    def asked(rule):
        return {tuple(job.resources.get(name) for name in ("mem_mb", "runtime", "gpu")) for job in found.of(rule)}

    assert asked("train_extremes") == {("32000", "720", "1")}
    assert asked("score_extremes") == {("24000", "240", "1")}
    assert asked("tile_slide") == {("2000", "120", None)}
    assert asked("import_image") == {("8000", "60", None)}
    assert asked("label_extremes") == {("2000", "60", None)}


def test_leaving_one_patient_out_gives_a_round_per_patient(tmp_path):
    def leave_out(study):
        study["tasks"]["extremes"]["training"]["all_rounds_in_one_job"] = False
        study["splits"]["thirds"] = {"unit": "patient", "validation": 0.3, "leave_out": "patient"}

    found = plan(write_study(tmp_path / "study", change=leave_out), "results/tiny/tables/extremes.tsv")
    assert (found.counts["split_thirds"], found.counts["train_extremes"], found.counts["vote_extremes"]) == (
        1,
        2 * 5,
        2,
    )


def test_a_layout_of_a_region_takes_its_tiles_after_the_classifier_has_scored_them(tmp_path):
    """One more job per slide, none of tiling; of an external cohort by the models of the one it is external to."""

    def in_tumour(study):
        study["tasks"]["regions"] = study["tasks"]["extremes"] | {"traits": ["tumour"]}
        study["tasks"]["regression"] = {"layout": "inside", "scheme": "one", "traits": ["A"]}
        study["splits"]["one"] = {"rounds": 1}
        study["layouts"]["inside"] = {"of": "grid", "region": "tumour"}
        study["cohorts"]["tiny"]["annotations"] = "data/annotations.tsv"
        far = study["cohorts"]["tiny"] | {"external_to": "tiny"}
        study["cohorts"]["far"] = {key: far[key] for key in ("slides", "expression", "external_to")}
        del study["tasks"]["extremes"], study["heterogeneity"]

    folder = write_study(tmp_path / "study", change=in_tumour)
    (folder / "data" / "annotations.tsv").write_text("slide\tfile\nS1-1\tdata/S1-1.geojson\n")
    (folder / "data" / "S1-1.geojson").write_text("[]")
    found = plan(folder)
    slides = found.counts["survey_slide"]
    assert found.counts["tile_slide"] == found.counts["choose_tiles"] == slides
    assert {job.wildcards["layout"] for job in found.of("tile_slide")} == {"grid"}
    (placing,) = found.of("place_annotations")
    assert {"data/annotations.tsv", "data/S1-1.geojson"} <= set(placing.input)
    sources = {job.wildcards["cohort"]: job.input for job in found.of("choose_tiles")}
    assert "results/tiny/traits/tumour/regions/consensus/scores.parquet" in sources["tiny"]
    assert "results/tiny/traits/tumour/regions/external/far/scores.parquet" in sources["far"]
    assert "results/tiny/grid/manifest.tsv" in found.of("train_regions")[0].input
    assert "results/tiny/inside/manifest.tsv" in found.of("train_regression")[0].input


def test_an_external_cohort_has_no_rounds_and_nothing_is_fitted_on_it(tmp_path):
    """Leaving one of four patients out: the external cohort has two, and no split, model or report of its own."""

    def far(study):
        regression = {"layout": "grid", "scheme": "loo", "traits": ["A"], "transcriptome": {"genes": ["A"]}}
        study["tasks"], study["heterogeneity"] = {"regression": regression}, []
        study["splits"] = {"loo": {"leave_out": "patient", "validation": 0.3}}
        study["cohorts"]["far"] = {
            "slides": "data/far.tsv", "expression": [{"path": "data/expression.tsv"}], "external_to": "tiny",
        }  # fmt: skip

    folder = write_study(tmp_path / "study", change=far)
    rows = [slide("F1", "Q1", "data/S1-1.svs"), slide("F2", "Q2", "data/S2.svs")]
    lines = ["\t".join(str(row.get(name, "")) for name in SLIDE_COLUMNS) for row in rows]
    (folder / "data" / "far.tsv").write_text("\n".join(["\t".join(SLIDE_COLUMNS), *lines]) + "\n")
    found = plan(folder)
    trained = found.of("split_loo", "train_regression", "fit_probes", "write_report", "tabulate_associations")
    assert {job.wildcards["cohort"] for job in trained} == {"tiny"}
    assert {job.wildcards["way"] for job in found.of("evaluate_external")} == {"per-gene", "probe"}
    assert {job.wildcards["cohort"] for job in found.of("write_ledger")} == {"tiny", "far"}
    for target in ("report.html", "splits/loo/round-1.tsv", "tables/regression-probe.tsv"):
        done = snakemake(folder, "--configfile", folder / "study.yaml", "--", f"results/far/{target}")
        assert done.returncode == 1
        assert "Expected a file of a cohort that is trained on, found one of far, which is" in done.stdout + done.stderr


def test_two_cohorts_without_clinical_sheets(whole, tmp_path):
    def two(study):
        study["cohorts"]["tiny"]["clinical"] = None
        study["cohorts"]["other"] = study["cohorts"]["tiny"]

    found = plan(write_study(tmp_path / "study", change=two))
    once = {rule: count for rule, count in whole.counts.items() if rule != "analyse_survival"}
    assert found.counts == {rule: 2 * count for rule, count in once.items()} | {"all": 1}


def test_a_key_that_stands_twice_stops_the_plan(tmp_path):
    """The YAML parser keeps the last of two seeds; Snakemake hands over what it kept."""
    folder = write_study(tmp_path / "study")
    with (folder / "study.yaml").open("a") as stream:
        stream.write("seed: 1\nseed: 2\n")
    done = snakemake(folder, "--configfile", folder / "study.yaml", "--profile", "profiles/local")
    assert done.returncode == 1 and "found 'seed' in lines" in done.stdout + done.stderr


def test_images_of_one_name_or_with_blanks_have_a_pyramid_each(tmp_path):
    """Pyramids have names of their own: a/core.jpg and b/core.jpg must not become one slide."""
    files = ["data/a/core.jpg", "data/b/core.jpg", "data/my slide.jpg", "data/Müller.png"]
    slides = [slide(f"S{n}", f"P{n}", file, mpp=0.5) for n, file in enumerate(files)]
    found = plan(write_study(tmp_path / "study", slides=slides), "results/tiny/grid/manifest.tsv")
    assert sorted(job.input[0] for job in found.of("import_image")) == sorted(files)
    read = {job.wildcards["slide"]: job.input[0] for job in found.of("survey_slide")}
    assert read == {f"S{n}": f"results/tiny/images/{pyramid_name(file)}.tif" for n, file in enumerate(files)}


def test_another_backend_of_keras_is_refused_before_any_job(tmp_path):
    folder = write_study(tmp_path / "study")
    command = (folder, "--configfile", folder / "study.yaml", "--profile", "profiles/local")
    assert snakemake(*command, KERAS_BACKEND="jax").returncode == 0
    done = snakemake(*command, KERAS_BACKEND="torch")
    assert done.returncode == 1
    said = [line for line in (done.stdout + done.stderr).splitlines() if "KERAS_BACKEND" in line]
    expected = "M-BACKEND Expected KERAS_BACKEND to be one of tensorflow, jax, found 'torch'; unset it for tensorflow"
    assert said == [expected]


@pytest.fixture(scope="module")
def options():
    """What each profile sets, by Snakemake's own reading of the command line as a user types it in the checkout."""
    code = """
import json, sys
from snakemake.cli import parse_args
names = sys.argv[1].split(",")
found = {}
for profile in ("slurm", "profiles/slurm", "profiles/local"):
    given = vars(parse_args(["--profile", profile])[1])
    found[profile] = {name: str(given[name]) for name in names}
print(json.dumps(found))
"""
    names = (
        "executor,jobs,cores,retries,latency_wait,keep_going,rerun_incomplete,show_failed_logs,slurm_requeue,resources"
    )
    command = [sys.executable, "-c", code, names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_slurm_profile_holds_its_own_values(options):
    found = options["slurm"]
    assert found == options["profiles/slurm"]
    wanted = {"executor": "slurm", "jobs": "100", "retries": "2", "latency_wait": "60", "cores": "None"}
    wanted |= dict.fromkeys(("keep_going", "rerun_incomplete", "show_failed_logs", "slurm_requeue"), "True")
    assert {name: found[name] for name in wanted} == wanted


def test_the_slurm_profile_names_every_rule_that_asks_for_a_card():
    """A rules file says in its head which rules do; one that the profile forgets would wait on a CPU partition."""
    named = re.findall(r"^# GPU rules: (.*?)\.$", "\n".join(path.read_text() for path in RULES), re.MULTILINE)
    wanted = {name for line in named for name in line.split(", ")}
    wanted = {name.replace("<task>", task) for name in wanted for task in TASKS}
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.yaml").read_text())["set-resources"]
    assert wanted == {*profile} - {"tile_slide", "import_image"}
    asking = [path for path in RULES if re.search(r"^ +gpu=", path.read_text(), re.MULTILINE)]
    assert len(named) >= len(asking) >= 4 and all("# GPU rules:" in path.read_text() for path in asking)


def test_the_local_profile_hands_out_one_gpu(options):
    found = options["profiles/local"]
    assert (found["executor"], found["jobs"], found["retries"]) == ("None", "None", "0")
    assert "gpu" in found["resources"] and int(found["cores"]) >= 1


def test_the_local_profile_hands_out_the_machines_memory(options, tmp_path):
    """Without a limit as many jobs start as there are cores, whatever they need; a job that needs it all still runs."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    assert f'Resource("mem_mb", {memory})' in options["profiles/local"]["resources"]
    folder = write_study(tmp_path / "study")
    target = "results/tiny/sheets/slides.tsv"
    (job,) = plan(folder, target, more=["--set-resources", f"prepare_cohort:mem_mb={2 * memory}"]).jobs
    assert job.resources["mem_mb"] == str(memory)


def test_no_default_profile_overrides_the_chosen_one():
    """Snakemake loads profiles/default by itself, and its values win over --profile slurm."""
    assert (ROOT / "slurm").is_symlink() and (ROOT / "slurm").resolve() == ROOT / "profiles" / "slurm"
    assert sorted(path.name for path in (ROOT / "profiles").iterdir()) == ["local", "slurm"]
    assert not (ROOT / "default").exists()


# Levy-Jurgenson 2020, Table 1 and the authors' GDC manifests: 761 slides of 703 patients, 469 of 410.
PRESETS = {"brca": (761, 703, 10), "luad": (469, 410, 5)}


@pytest.mark.real
@pytest.mark.parametrize("cohort", PRESETS)
def test_the_papers_presets_on_the_real_manifests(tmp_path, cohort):
    if "REAL_DATA" not in os.environ:
        pytest.skip("REAL_DATA is not set")
    slides, patients, traits = PRESETS[cohort]
    preset = ROOT / "config" / f"levy-jurgenson-2020-{cohort}.yaml"
    settings = yaml.safe_load(preset.read_text())["cohorts"][f"tcga-{cohort}"]
    manifest = tmp_path / settings["gdc_manifest"]
    for path in [settings["clinical"], *(table["path"] for table in settings["expression"])]:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    manifest.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(Path(os.environ["REAL_DATA"]) / "gdc" / manifest.name, manifest)
    names = {line.split("\t")[1] for line in manifest.read_text().splitlines()[1:]}
    assert (len(names), len({name[:12] for name in names})) == (slides, patients)
    shutil.copy(preset, tmp_path / "study.yaml")
    found = plan(tmp_path, profile="slurm", more=["--quiet", "rules"])
    assert found.counts == {
        "download_slide": slides,
        "survey_slide": slides,
        "tile_slide": slides,
        "prepare_cohort": 1,
        "gather_summaries": 1,
        "collect_manifest": 1,
        "split_80_10_10": 1,
        "label_extremes": traits,
        "audit_leaks": traits,
        "train_extremes": 5 * traits,
        "score_extremes": traits,
        "vote_extremes": traits,
        "measure_heterogeneity": 1,
        "analyse_survival": 1,
        "tabulate_cohort": 1,
        "write_ledger": 1,
        "write_report": 1,
        "all": 1,
    }


def test_wangs_preset_plans_the_published_numbers(tmp_path):
    """991 patients in 558, 139, 122 and 172, and an external cohort of 350, on which nothing is trained."""
    settings = yaml.safe_load((ROOT / "config" / "wang-2021.yaml").read_text())
    for cohort, patients in (("clinseq-tcga", 3), ("abim", 2)):
        own = settings["cohorts"][cohort]
        for path in [own["slides"], own.get("clinical"), *(table["path"] for table in own["expression"])]:
            (tmp_path / (path or "x")).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / (path or "x")).touch()
        rows = [slide(f"{cohort}-{n}", f"{cohort}-P{n}", f"data/{cohort}-{n}.svs") for n in range(patients)]
        lines = ["\t".join(str(row.get(name, "")) for name in SLIDE_COLUMNS) for row in rows]
        (tmp_path / own["slides"]).write_text("\n".join(["\t".join(SLIDE_COLUMNS), *lines]) + "\n")
        for row in rows:
            (tmp_path / row["file"]).touch()
    (tmp_path / settings["tasks"]["regression"]["traits"]).write_text(
        "trait\n" + "".join(f"G{n}\n" for n in range(120))
    )
    shutil.copytree(ROOT / "config" / "panels", tmp_path / "config" / "panels")
    shutil.copy(ROOT / "config" / "wang-2021.yaml", tmp_path / "study.yaml")
    found = plan(tmp_path, profile="slurm", more=["--quiet", "rules"]).counts
    expected = {
        "tile_slide": 5, "train_genes": 3, "score_genes": 3, "score_external_genes": 3, "extract_probe_features": 1,
        "extract_external_probe": 1, "evaluate_external": 2, "tabulate_associations": 2, "write_ledger": 2,
        "write_report": 1, "compare_groups": 1, "compare_predicted_groups": 2,
    }  # fmt: skip
    assert {rule: found.get(rule) for rule in expected} == expected
    (scheme,) = settings["splits"].values()
    counts = part_counts(991, **{key: scheme[key] for key in ("test", "validation", "tuning")})
    assert counts == (558, 139, 122, 172)

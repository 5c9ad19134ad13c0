"""How tests run the workflow: as a user does, from the checkout, on a study in a folder of its own."""

import copy
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from histocarta.files import read_table, write_table
from histocarta.simulate import PRESETS, simulate_cohort

ROOT = Path(__file__).parent.parent.parent
LONGEST = 1200  # seconds: a job that cannot be scheduled waits for ever
FLAT = "flat"  # a trait that is the same in all patients: left out, and nothing else with it
STUDY = {
    "study": "tiny",
    "seed": 3,
    "max_excluded": 0.2,
    "cohorts": {
        "tiny": {
            "slides": "data/slides.tsv",
            "expression": [{"path": "data/expression.tsv"}],
            "clinical": "data/clinical.tsv",
            "spots": "data/spots.tsv",
        }
    },
    "layouts": {"grid": {"size": 75, "min_sharpness": None}},
    "tasks": {
        "extremes": {
            "layout": "grid",
            "scheme": "halves",
            "traits": ["A", "B", FLAT],
            "labels": {"low": 50, "high": 50, "near": 0},
            "model": {"network": "tiny", "size": 32, "batch_norm_momentum": 0.9},
            "training": {
                "validations_per_epoch": 1,
                "min_steps": 4,
                "max_validations": 2,
                "all_rounds_in_one_job": True,
            },
            "vote": {"best": 1},
        }
    },
    "splits": {"halves": {"test": 0.17, "validation": 0.25, "rounds": 2}},
    "heterogeneity": [{"task": "extremes", "traits": ["A", "B"], "region": 2}],
}


def simulate_study(folder, *, patients):
    """Write the slides and sheets of the study ``STUDY`` into ``folder``; a copy of it, to be changed and written.

    One of the ``patients`` has two slides; on top come two patients whose slides cannot be used (one is empty, one has
    no resolution).
    """
    simulate_in(folder, "data", recipe=replace(PRESETS["small"], patients=patients), seed=1)
    expression = read_table(folder / "data" / "expression.tsv")
    expression.loc[len(expression)] = [FLAT] + ["1.5"] * (expression.shape[1] - 1)
    write_table(expression, folder / "data" / "expression.tsv")
    return copy.deepcopy(STUDY)


def simulate_in(folder, output, *, recipe, seed):
    """A synthetic cohort below ``folder``, to whose sheets' paths the workflow's folder is ``folder``."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        simulate_cohort(output=output, recipe=recipe, seed=seed)
    finally:
        os.chdir(here)


def snakemake(folder, *arguments, profile="profiles/local", environment=os.environ):
    """Run the workflow of the checkout on the study in ``folder``; its exit status and its words, errors included."""
    with tempfile.TemporaryFile("w+") as words:
        running = start_snakemake(folder, *arguments, profile=profile, environment=environment, words=words)
        code = running.wait(timeout=LONGEST)
        words.seek(0)
        return code, words.read()


def start_snakemake(folder, *arguments, words, profile="profiles/local", environment=os.environ):
    """The workflow on its way, in a process group of its own; what it says goes into the open file ``words``."""
    own = {name: value for name, value in environment.items() if name != "SNAKEMAKE_PROFILE"}
    pipes = {"stdout": words, "stderr": subprocess.STDOUT, "start_new_session": True}
    return subprocess.Popen(snakemake_command(folder, *arguments, profile=profile), cwd=ROOT, env=own, **pipes)


def snakemake_command(folder, *arguments, profile):
    """The words that run the workflow on the study in ``folder``, from the checkout."""
    study = ["--configfile", folder / "study.yaml", "--directory", folder]
    return list(map(str, [sys.executable, "-m", "snakemake", "--profile", profile, *study, *arguments]))


def jobs(text):
    """Rule and wildcards of every job that Snakemake names."""
    return [(rule, dict(pair.split("=", 1) for pair in wildcards)) for rule, wildcards, _ in _begun(text)]


def finished_jobs(text):
    """Rule and wildcards (name=value, …) of every job that Snakemake says it finished."""
    begun = {number: (rule, wildcards) for rule, wildcards, number in _begun(text)}
    return [begun[number] for number in re.findall(r"^Finished jobid: (\d+) ", text, re.MULTILINE)]


def _begun(text):
    """Rule, wildcards (name=value, …) and Snakemake's number of every job in its words."""
    for rule, block in re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.MULTILINE):
        fields = dict(re.findall(r"^    (\w+): (.*)$", block, re.MULTILINE))
        yield rule, tuple(fields["wildcards"].split(", ")) if "wildcards" in fields else (), fields["jobid"]


def write_benchmark(path, seconds, cpu):
    """A benchmark file of Snakemake's: seconds on the clock and CPU seconds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = "s h:m:s max_rss max_vms max_uss max_pss io_in io_out mean_load cpu_time"
    path.write_text("\t".join(head.split()) + f"\n{seconds}\t0:00:01\t1\t1\t1\t1\t0\t0\t99\t{cpu}\n")

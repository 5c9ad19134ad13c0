"""What planning costs: dry runs of the BRCA preset with its traits, with 10 and with 100 times as many.

Usage: python benchmarks/growth.py [--times 1 10 100] [--data $REAL_DATA], the folder with gdc/gdc_manifest_brca.txt.
With --batched 300 17000, instead, studies of so many traits as a whole and in batches, for profiles/slurm/README.md.
Each study is planned beside two studies of as many jobs that have no meaning: "bare" ones with one file in and one out
and a shell command, which is the least that Snakemake costs on this machine at this hour, and "shaped" ones with as
many files and as many directives (script, log, benchmark, conda, threads, resources, params) as a job of a trait has.
What the study costs above the shaped ones is due to its rules. CPU seconds bear a busy machine better than wall time;
both are printed. Memory is the peak of the one process.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml
from machine import finding, machine, verdict

ROOT = Path(__file__).resolve().parent.parent
PRESET = ROOT / "config" / "levy-jurgenson-2020-brca.yaml"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "2"]
# One chain of `steps` jobs per item and one job that reads the last of each: jobs and edges grow together, as they do
# in the study (three jobs per slide, nine per trait).
CHAINS = """
rule all:
    input:
        expand("{{item}}.{steps}.0", item=range({items})),

for STEP in range(1, {steps} + 1):
    rule:
        name:
            f"step_{{STEP}}"
        input:
            [f"{{{{item}}}}.{{STEP - back}}.{{n}}" for back in {reach} if back < STEP for n in range({files})],
        output:
            [f"{{{{item}}}}.{{STEP}}.{{n}}" for n in range({files})],
{directives}
"""
COMMAND = """
        shell:
            "touch {output}"
"""
AS_OURS = """
        log:
            f"{{item}}.{STEP}.log",
        benchmark:
            f"{{item}}.{STEP}.bench"
        conda:
            "environment.yaml"
        threads: 8
        resources:
            gpu=1,
            mem_mb=16000,
        params:
            item="{item}",
            call={"batch": 32, "precision": "float32"},
            version=1,
        script:
            "job.py"
"""


class Shape(NamedTuple):
    """A job without meaning: ``files`` out, and in from each of the jobs ``reach`` steps before it; its directives."""

    files: int
    reach: tuple[int, ...]
    directives: str


SHAPES = {"bare": Shape(1, (1,), COMMAND), "shaped": Shape(3, (1, 2), AS_OURS)}


class Cost(NamedTuple):
    """A dry run: its number of jobs, wall and CPU seconds, peak memory in kB."""

    jobs: int
    wall: float
    cpu: float
    peak: int

    def per_job(self, less: "Cost") -> tuple[float, float]:
        """CPU ms and kB that a job adds, between ``less`` and this plan."""
        more = self.jobs - less.jobs
        return 1000 * (self.cpu - less.cpu) / more, (self.peak - less.peak) / more


def dry_run(folder: Path, *arguments: str) -> Cost:
    """Plan in ``folder`` and read the number of jobs from the table that Snakemake prints."""
    command = [*SNAKEMAKE, "--directory", str(folder), *arguments]
    start = time.perf_counter()
    with (folder / "plan.txt").open("w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        log.seek(0)
        text = log.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{text}")
    jobs = next(int(line.split()[1]) for line in text.splitlines() if line.startswith("total "))
    return Cost(jobs, wall, used.ru_utime + used.ru_stime, used.ru_maxrss)


def write_study(folder: Path, *, data: Path, traits: int) -> Path:
    """The preset with so many traits, the further ones invented, and empty files in place of its tables."""
    study = yaml.safe_load(PRESET.read_text())
    listed = study["tasks"]["extremes"]["traits"]
    listed += [f"G{number:06d}" for number in range(traits - len(listed))]
    cohort = study["cohorts"]["tcga-brca"]
    for path in [cohort["clinical"], *(table["path"] for table in cohort["expression"])]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / cohort["gdc_manifest"]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(data / "gdc" / Path(cohort["gdc_manifest"]).name, folder / cohort["gdc_manifest"])
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study, sort_keys=False))
    return config


def plan_study(*arguments: str, data: Path, traits: int) -> Cost:
    """Plan the preset with so many traits, or what ``arguments`` ask of it."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_study(Path(folder), data=data, traits=traits)
        return dry_run(Path(folder), *arguments, "--configfile", str(config))


def plan_chains(jobs: int, *, shape: str, steps: int = 9) -> Cost:
    """Plan about as many jobs without meaning."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.py").write_text("print(snakemake.output)\n")
        (folder / "environment.yaml").write_text("dependencies: [python]\n")
        chains = CHAINS.format(items=max(1, round(jobs / steps)), steps=steps, **SHAPES[shape]._asdict())
        (folder / "Snakefile").write_text(chains)
        return dry_run(folder, "--snakefile", str(folder / "Snakefile"))


def compare(times: int, *, data: Path, floor: Cost) -> Cost:
    """Plan the study and as many jobs of either shape; print a line each."""
    study = plan_study(data=data, traits=10 * times)
    plans = {"study": study} | {shape: plan_chains(study.jobs, shape=shape) for shape in SHAPES}
    print(f"{10 * times} traits")
    for name, cost in plans.items():
        ms, kb = cost.per_job(floor)
        print(
            f"{name:>8} {cost.jobs:>7} {cost.wall:>7.1f} {cost.cpu:>7.1f} {cost.peak / 1024:>6.0f} {ms:>7.2f}"
            f" {kb:>7.1f} {study.cpu / cost.cpu:>10.2f}",
            flush=True,
        )
    ratios = [f"{study.cpu / plans[shape].cpu:.2f} times {shape} ones" for shape in SHAPES]
    finding(f"{10 * times} traits, CPU time of {study.jobs} jobs: {', '.join(ratios)}")
    return study


def batched(traits: int, *, data: Path, batches: int) -> None:
    """Plan a study as a whole and the first of its batches; print a line each."""
    table = "results/tcga-brca/tables/extremes.tsv"
    plans = {
        "the whole": plan_study(data=data, traits=traits),
        f"1 of {batches} batches": plan_study(
            table, "--batch", f"tabulate_cohort=1/{batches}", data=data, traits=traits
        ),
    }
    for name, cost in plans.items():
        finding(
            f"{traits:,} traits, {name}: {cost.jobs:,} jobs planned in {cost.wall:.0f} s ({cost.cpu:.0f} CPU s) with "
            f"{cost.peak / 1024:,.0f} MB"
        )


def judge(found: dict[int, Cost]) -> None:
    """How the plans grow with the traits."""
    first, *others = sorted(found)
    further = {times: found[times].per_job(found[first]) for times in others}
    for times, (ms, kb) in further.items():
        finding(
            f"{times // first}x the traits, {found[times].jobs / found[first].jobs:.2f}x the jobs: each further job"
            f" takes {ms:.2f} CPU ms and {kb:.1f} kB"
        )
    if len(others) > 1:
        low, high = others[0], others[-1]
        ratio = further[high][0] / further[low][0]
        verdict(f"linear: CPU time of a further job, {high}x over {low}x the traits", ratio, most=1.25)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 100], help="multiples of the preset's traits")
    parser.add_argument("--data", type=Path, default=os.environ.get("REAL_DATA"), help="default: REAL_DATA")
    parser.add_argument("--batched", type=int, nargs="+", default=[], help="numbers of traits")
    parser.add_argument("--batches", type=int, default=20)
    given = parser.parse_args()
    if not given.data:
        parser.error("expected the folder of the real data (gdc/gdc_manifest_brca.txt) as --data or REAL_DATA")
    print(machine(), flush=True)
    if given.batched:
        for traits in given.batched:
            batched(traits, data=given.data, batches=given.batches)
        return
    floor = plan_chains(1, shape="bare")
    print(f"next to no jobs: {floor.wall:.1f} s, {floor.cpu:.1f} CPU s, {floor.peak / 1024:.0f} MB\n")
    print(f"{'':>8} {'jobs':>7} {'wall s':>7} {'CPU s':>7} {'MB':>6} {'ms/job':>7} {'kB/job':>7} {'study is':>10}")
    judge({times: compare(times, data=given.data, floor=floor) for times in given.times})


if __name__ == "__main__":
    main()

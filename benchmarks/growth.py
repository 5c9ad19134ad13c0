"""What planning costs: dry runs of the BRCA preset with its traits, with 10 and with 100 times as many.

Usage: python benchmarks/growth.py [--times 1 10 100] [--data $REAL_DATA], the folder with gdc/gdc_manifest_brca.txt.
Each study is planned beside a bare Snakefile with as many jobs and as many files between them, but nothing else (no
scripts, parameters, environments, provenance): what Snakemake itself costs on this machine at this hour. CPU seconds
bear a busy machine better than wall time; both are printed. Memory is the peak of the one process.
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

ROOT = Path(__file__).resolve().parent.parent
PRESET = ROOT / "config" / "levy-jurgenson-2020-brca.yaml"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--cores", "2"]
# One chain of `steps` jobs per item and one job that reads the last of each: jobs and edges grow together, as they do
# in the study (three jobs per slide, nine per trait).
BARE = """
rule all:
    input:
        expand("{{item}}.{steps}", item=range({items})),

rule first:
    output:
        "{{item}}.1",
    shell:
        "touch {{output}}"

for STEP in range(2, {steps} + 1):
    rule:
        name:
            f"step_{{STEP}}"
        input:
            f"{{{{item}}}}.{{STEP - 1}}",
        output:
            f"{{{{item}}}}.{{STEP}}",
        shell:
            "touch {{output}}"
"""


class Cost(NamedTuple):
    """A dry run: its number of jobs, wall and CPU seconds, peak memory in kB."""

    jobs: int
    wall: float
    cpu: float
    peak: int

    def per_job(self, floor: "Cost") -> str:
        """What a job adds to ``floor``, a plan of next to no jobs."""
        more = self.jobs - floor.jobs
        return f"{1000 * (self.cpu - floor.cpu) / more:7.2f} {(self.peak - floor.peak) / more:7.1f}"


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


def write_study(folder: Path, *, data: Path, times: int) -> Path:
    """The preset with ``times`` as many traits, the further ones invented, and empty files in place of its tables."""
    study = yaml.safe_load(PRESET.read_text())
    traits = study["tasks"]["extremes"]["traits"]
    traits += [f"G{number:06d}" for number in range(len(traits) * (times - 1))]
    cohort = study["cohorts"]["tcga-brca"]
    for path in [cohort["clinical"], *(table["path"] for table in cohort["expression"])]:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    (folder / cohort["gdc_manifest"]).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(data / "gdc" / Path(cohort["gdc_manifest"]).name, folder / cohort["gdc_manifest"])
    config = folder / "study.yaml"
    config.write_text(yaml.safe_dump(study, sort_keys=False))
    return config


def plan_study(*, data: Path, times: int) -> Cost:
    """Plan the preset with ``times`` as many traits."""
    with tempfile.TemporaryDirectory() as folder:
        config = write_study(Path(folder), data=data, times=times)
        return dry_run(Path(folder), "--configfile", str(config))


def plan_bare(jobs: int, *, steps: int = 9) -> Cost:
    """Plan about as many jobs that do nothing."""
    with tempfile.TemporaryDirectory() as folder:
        snakefile = Path(folder) / "Snakefile"
        snakefile.write_text(BARE.format(items=max(1, round(jobs / steps)), steps=steps))
        return dry_run(Path(folder), "--snakefile", str(snakefile))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10, 100], help="multiples of the preset's traits")
    parser.add_argument("--data", type=Path, default=os.environ.get("REAL_DATA"), help="default: REAL_DATA")
    given = parser.parse_args()
    if not given.data:
        parser.error("expected the folder of the real data (gdc/gdc_manifest_brca.txt) as --data or REAL_DATA")
    floor = plan_bare(1)
    print(f"next to no jobs: {floor.wall:.1f} s, {floor.cpu:.1f} CPU s, {floor.peak / 1024:.0f} MB")
    print("per job: what a job adds to that. bare: Snakemake's own cost of as many jobs\n")
    print(f"{'traits':>8} {'jobs':>7} {'wall s':>7} {'CPU s':>7} {'MB':>6} {'ms/job':>7} {'kB/job':>7}"
          f" | {'bare jobs':>9} {'CPU s':>7} {'MB':>6} {'ms/job':>7} {'kB/job':>7} | {'CPU ratio':>9}")  # fmt: skip
    found = {}
    for times in given.times:
        study = found[times] = plan_study(data=given.data, times=times)
        bare = plan_bare(study.jobs)
        print(
            f"{10 * times:>8} {study.jobs:>7} {study.wall:>7.1f} {study.cpu:>7.1f} {study.peak / 1024:>6.0f}"
            f" {study.per_job(floor)} | {bare.jobs:>9} {bare.cpu:>7.1f} {bare.peak / 1024:>6.0f} {bare.per_job(floor)}"
            f" | {study.cpu / bare.cpu:>9.2f}",
            flush=True,
        )
    first, *others = given.times
    for times in others:
        more = found[times].jobs - found[first].jobs
        print(
            f"{times // first}x the traits: {found[times].jobs / found[first].jobs:.2f}x the jobs,"
            f" {found[times].cpu / found[first].cpu:.2f}x the time, {found[times].peak / found[first].peak:.2f}x the"
            f" memory; each further job {1000 * (found[times].cpu - found[first].cpu) / more:.2f} ms"
            f" and {(found[times].peak - found[first].peak) / more:.1f} kB"
        )


if __name__ == "__main__":
    main()

"""What a study will take: jobs, hours of cards and cores, and storage, from a dry run and from what past jobs took.

``python -m histocarta.costs --configfile config/mine.yaml [targets]`` plans like ``snakemake`` does, so that single
traits can be asked for by their files. A rule of which no job has run anywhere below ``--past`` has a question mark:
run one trait first.
"""

import argparse
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from histocarta.config import read_study_file
from histocarta.errors import InputError
from histocarta.sheets import read_cohort_slides

HOUR, GB = 3600.0, 1e9
_BLOCK = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", re.MULTILINE)
_FIELD = re.compile(r"^    (\w+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One job of a plan; ``stage``: the folder of its benchmark file, the same for all jobs of its kind."""

    rule: str
    stage: str
    gpus: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Past:
    """What jobs took that have run: means by stage (seconds on the clock, CPU seconds), and bytes by file name."""

    seconds: Mapping[str, float]
    cpu: Mapping[str, float]
    bytes: Mapping[str, float]

    def size_of(self, path: str, known: Mapping[str, int]) -> float:
        """Bytes that a file will have: of the manifest, or the mean of files of that name; NaN where none is known."""
        return known.get(path, self.bytes.get(Path(path).name, math.nan))


def read_plan(text: str) -> list[Job]:
    """The jobs that a dry run of Snakemake prints."""
    jobs = []
    for rule, block in _BLOCK.findall(text):
        fields = dict(_FIELD.findall(block))
        gpus = re.search(r"\bgpu=(\d+)", fields.get("resources", ""))
        outputs = tuple(re.sub(r" \(.*\)$", "", path) for path in fields.get("output", "").split(", ") if path)
        jobs.append(Job(rule, stage_of(fields.get("benchmark", "")), int(gpus[1]) if gpus else 0, outputs))
    return jobs


def stage_of(benchmark: str) -> str:
    """The stage of a job's benchmark file: the folder, or the file's name, that follows benchmarks/; "" without one."""
    found = re.search(r"(?:^|/)benchmarks/([^/.]+)", benchmark)
    return found[1] if found else ""


def read_times(folder: str | Path) -> pd.DataFrame:
    """A row per finished job below ``folder``: its stage, seconds on the clock and CPU seconds (Snakemake's ``s`` and
    ``cpu_time``)."""
    rows = []
    for path in sorted(Path(folder).rglob("benchmarks/**/*.txt")):
        record = pd.read_csv(path, sep="\t", na_values=["-", "NA"]).iloc[-1]
        rows.append({"stage": stage_of(str(path)), "seconds": float(record["s"]), "cpu": float(record["cpu_time"])})
    return pd.DataFrame(rows, columns=["stage", "seconds", "cpu"])


def read_past(folder: str | Path) -> Past:
    """What the finished jobs below ``folder`` took, of all cohorts in it."""
    means = read_times(folder).groupby("stage").mean()
    sizes: dict[str, list[int]] = {}
    for path in Path(folder).rglob("*"):
        if path.is_file() and not {"logs", "benchmarks"} & set(path.parts):
            sizes.setdefault(path.name, []).append(path.stat().st_size)
    return Past(
        means["seconds"].to_dict(),
        means["cpu"].to_dict(),
        {name: sum(found) / len(found) for name, found in sizes.items()},
    )


def estimate(jobs: Iterable[Job], past: Past, *, known: Mapping[str, int]) -> pd.DataFrame:
    """A row per rule: jobs, GPU-hours, CPU-hours, GB; NaN where no such job or file was seen.

    known : bytes of files that a manifest states.
    """
    rows = [
        {
            "rule": job.rule,
            "jobs": 1,
            "GPU-hours": job.gpus * past.seconds.get(job.stage, math.nan) / HOUR if job.gpus else 0.0,
            "CPU-hours": past.cpu.get(job.stage, math.nan) / HOUR,
            "GB": sum(past.size_of(path, known) for path in job.outputs) / GB,
        }
        for job in jobs
        if job.stage
    ]
    return _summed(rows, by="rule")


def spent(folder: str | Path, *, gpus: Mapping[str, int]) -> pd.DataFrame:
    """A row per stage of the finished jobs below ``folder``: jobs, GPU-hours, CPU-hours.

    gpus : cards of a job, by stage.
    """
    rows = [
        {
            "stage": job.stage,
            "jobs": 1,
            "GPU-hours": gpus.get(job.stage, 0) * job.seconds / HOUR,
            "CPU-hours": job.cpu / HOUR,
        }
        for job in read_times(folder).itertuples()
    ]
    return _summed(rows, by="stage")


def as_text(table: pd.DataFrame) -> str:
    """The table with its sums, a question mark where a figure is not known."""
    total = table.sum(min_count=1).rename("total")
    total[table.isna().any()] = math.nan  # a sum without the unknown would read as the whole
    whole = pd.concat([table, total.to_frame().T])
    whole["jobs"] = whole["jobs"].astype(int)
    return whole.to_string(float_format=lambda value: f"{value:,.2f}", na_rep="?")


def plan(configfile: str, targets: Sequence[str]) -> list[Job]:
    """The jobs that Snakemake would run; InputError with its words where it cannot plan."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--cores", "1", "--configfile", configfile]
    done = subprocess.run([*command, "--", *targets], capture_output=True, text=True, check=False)
    if done.returncode:
        raise InputError(f"Expected a plan of {configfile}, found:\n{done.stdout}{done.stderr}")
    return read_plan(done.stdout)


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line of the estimate."""
    parser = argparse.ArgumentParser(description="What a study, or some of its files, will take.")
    parser.add_argument("--configfile", required=True, help="the study")
    parser.add_argument("--past", default="results", help="folder of results whose jobs are taken as a measure")
    parser.add_argument("targets", nargs="*", help="files, as for snakemake; default: the whole study")
    given = parser.parse_args(arguments)
    try:
        cohorts = read_study_file(given.configfile).model_dump()["cohorts"].values()
        sheets = [read_cohort_slides(cohort) for cohort in cohorts if cohort["gdc_manifest"]]
        jobs = plan(given.configfile, given.targets)
    except InputError as error:
        parser.exit(2, f"Error: {error}\n")
    known = {file: int(size) for sheet in sheets for file, size in zip(sheet["file"], sheet["size"], strict=True)}
    table = estimate(jobs, read_past(given.past), known=known)
    if table.empty:
        print("Nothing is left to do.")
        return
    print(as_text(table))
    if table.isna().any(axis=None):
        print(f"?: no such job has run, and no such file lies, below {given.past}; run one trait first.")


def _summed(rows: list[dict], *, by: str) -> pd.DataFrame:
    """Sums per rule or stage in the order in which they first come; unknown where one of them is."""
    table = pd.DataFrame(rows, columns=[by, "jobs", "GPU-hours", "CPU-hours", *(["GB"] if by == "rule" else [])])
    return table.groupby(by, sort=False).agg(lambda values: values.sum(skipna=False))


if __name__ == "__main__":
    main()

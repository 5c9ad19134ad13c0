"""Whether a study can run here: sheets against files and tables, cards, libraries, room on the disk, SLURM.

``python -m histocarta.doctor --configfile config/mine.yaml`` (``make doctor CONFIG=…``) starts no job and writes
nothing. It is a command and no rule, so that it also speaks where a faulty sheet stops Snakemake as it reads the study.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import openslide
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.codes import LEDGER
from histocarta.config import Study, read_study_file
from histocarta.errors import InputError
from histocarta.expression import find_trait
from histocarta.files import read_table, sha256
from histocarta.formats import is_plain_image
from histocarta.preflight import cleaned_sheets
from histocarta.progress import progress
from histocarta.section_sheets import read_sections
from histocarta.sheets import read_cohort_slides, read_traits
from histocarta.slides import SlideFault, check_pixels, open_slide, resolve_mpp
from histocarta.tasks import TASKS

GB = 1e9
NAMED = 5  # slides or traits that are named one by one
# Of kept tiles, JPEG of quality 90, 4:4:4 (real H&E at 0.5 um); half of the cells of a slide are taken to be tissue.
BYTES_PER_PIXEL, TISSUE = 0.6, 0.5
SHORTEST_MEMORY = 120  # seconds that SLURM must remember a finished job for squeue to be asked about it
COUNT_GPUS = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"


class Finding(NamedTuple):
    """One line of the doctor's: ``level`` is ok, note (look at it) or FAULT (it will not run, or not as meant)."""

    level: str
    what: str


def examine(configfile: str) -> Iterator[Finding]:
    """All findings on a study and this machine; a study that cannot be read is the last finding."""
    yield from _libraries()
    try:
        study = read_study_file(configfile)
    except InputError as error:
        yield Finding("FAULT", str(error))
        return
    yield Finding("ok", f"{configfile}: {len(study.cohorts)} cohort(s), {len(study.tasks)} task(s)")
    need = 0.0
    for name in study.cohorts:
        try:
            sheet = read_cohort_slides(study.cohorts[name].model_dump())
            yield from _tables(study, name)
            yield from _sections(study, name, slides=sheet["slide"])
        except InputError as error:
            yield Finding("FAULT", f"{name}: {error}")
            continue
        facts = _open_all(sheet, study, name)
        yield from _slides(sheet, facts, name)
        need += _store_bytes(sheet, facts, study)
    yield from _weights(study)
    yield _room(need)
    yield from _cards(study)
    yield from _slurm()


def _libraries() -> Iterator[Finding]:
    version = openslide.__library_version__
    good = tuple(map(int, version.split(".")[:2])) >= (4, 0)
    # Up to 3.4.1 with pixman 0.38 upper levels came out wrong (openslide#291).
    yield Finding("ok" if good else "FAULT", f"OpenSlide {version}{'' if good else ', expected 4.0 or later'}")


def _tables(study: Study, name: str) -> Iterator[Finding]:
    """What is left of the expression and clinical tables, and traits that no table has."""
    with cleaned_sheets(study.cohorts[name]) as paths:
        slides, left_out = read_table(paths["slides"]), read_table(paths["exclusions"])
        columns = [column for column in parquet.read_schema(paths["expression"]).names if column != "sample"]
        samples = set(pd.read_parquet(paths["expression"], columns=[]).index)
    measured = slides["patient"].isin(samples) | slides["slide"].isin(samples)
    what = f"{name}: {measured.sum()} of {len(slides)} slides have expression ({len(columns):,} traits)"
    if study.cohorts[name].expression:
        yield Finding("ok" if measured.all() else "note", what + _named(slides.loc[~measured, "slide"], "without: "))
    lost = left_out[left_out["outcome"] == "excluded"].astype({"count": int})
    for (stage, kind, code), count in lost.groupby(["stage", "kind", "code"])["count"].sum().items():
        yield Finding("note", f"{name}: {count:,} of {stage} left out: {kind}, {code} ({LEDGER[code]})")
    for task, settings in study.tasks.items():
        if TASKS[task].tile_labels:  # of regions, or of genes in spots: no table of expression has them
            continue
        lost = []
        for trait in read_traits(settings.traits):
            try:
                find_trait(trait, names=columns, table=name)
            except InputError as error:
                lost.append(str(error))
        yield from (Finding("FAULT", f"{task}: {text}") for text in lost)
        if not lost:
            yield Finding("ok", f"{task}: every trait is in the tables of {name}")


def _sections(study: Study, name: str, *, slides: pd.Series) -> Iterator[Finding]:
    """Which slides have spots, by the sheet of sections and the files that it names."""
    if study.cohorts[name].sections is None:
        return
    named = read_sections(study.cohorts[name].sections)["slide"]
    strange, without = named[~named.isin(slides)], slides[~slides.isin(named)]
    if len(strange):
        yield Finding("FAULT", f"{name}: sections of no slide of the sheet" + _named(strange, ""))
    what = f"{name}: {len(slides) - len(without)} of {len(slides)} slides have a section with spots"
    yield Finding("note" if len(without) else "ok", what + _named(without, "without: "))


def _open_all(sheet: pd.DataFrame, study: Study, name: str) -> pd.DataFrame:
    """Of every slide that is used: whether its file is there, why it cannot be used, and its size in um."""
    cohort, rows = study.cohorts[name], []
    used = sheet[sheet["exclude"] == ""]
    for row in progress(used.to_dict("records"), total=len(used), what=f"slides of {name}"):
        found: dict[str, Any] = {"slide": row["slide"], "there": Path(row["file"]).exists(), "fault": "", "area": 0.0}
        if found["there"] and not is_plain_image(row["file"]):
            try:
                with open_slide(row["file"]) as handle:
                    properties, size = dict(handle.properties), handle.dimensions
                check_pixels(row["file"])
                mpp = resolve_mpp(
                    properties, sheet_mpp=float(row["mpp"]) if row["mpp"] else None, slide=row["slide"],
                    default_mpp=cohort.default_mpp, mpp_from_objective=cohort.mpp_from_objective,
                ).mpp  # fmt: skip
                width, height = (float(row["width"]), float(row["height"])) if row["x"] else size
                found["area"] = width * height * mpp**2
            except SlideFault as fault:
                found["fault"] = f"{fault.code} {fault.reason}"
        rows.append(found)
    return pd.DataFrame(rows, columns=["slide", "there", "fault", "area"])


def _slides(sheet: pd.DataFrame, facts: pd.DataFrame, name: str) -> Iterator[Finding]:
    there, faulty = facts["there"].astype(bool), facts["fault"] != ""
    what = f"{name}: {there.sum()} of {len(facts)} slide files are there"
    if "size" in sheet and not there.all():
        size = sheet.set_index("slide").loc[facts.loc[~there, "slide"], "size"].astype(float).sum()
        yield Finding("note", f"{what}; {size / GB:,.0f} GB are still to be downloaded")
    else:
        level = "ok" if there.all() else "FAULT"
        yield Finding(level, what + _named(facts.loc[~there, "slide"], "missing: "))
    yield from (Finding("note", f"{name}: {text}") for text in facts.loc[faulty, "fault"][:NAMED])
    if faulty.any():
        yield Finding("note", f"{name}: {faulty.sum()} slides cannot be used and will stand in the ledger")


def _store_bytes(sheet: pd.DataFrame, facts: pd.DataFrame, study: Study) -> float:
    """Bytes of the tile stores, and of slides that are still to be downloaded and kept.

    Tiles of a slide that is not here are taken to need as much as the slide.
    """
    sizes = sheet.set_index("slide")["size"].astype(float) if "size" in sheet else pd.Series(dtype=float)
    away = sizes.reindex(facts.loc[~facts["there"].astype(bool), "slide"]).fillna(0).sum()
    used = {task.layout for task in study.tasks.values()}
    pixels = sum(facts["area"].sum() / study.layouts[layout].mpp ** 2 for layout in used)
    return TISSUE * BYTES_PER_PIXEL * pixels + away * (len(used) + study.downloads.keep_slides)


def _weights(study: Study) -> Iterator[Finding]:
    for task, settings in study.tasks.items():
        path = settings.model.weights
        what = (
            "random weights" if path is None else f"{path}, SHA-256 {sha256(path)}"
        )  # that it is there, the study says
        yield Finding("ok", f"{task}: starts from {what}")


def _room(need: float) -> Finding:
    free = shutil.disk_usage(".").free
    what = f"tiles, and slides to be fetched, will take about {need / GB:,.1f} GB; {free / GB:,.0f} GB are free here"
    return Finding("ok" if need < free else "FAULT", what)


def _cards(study: Study) -> Iterator[Finding]:
    wanted = max(task.training.gpus for task in study.tasks.values())
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", COUNT_GPUS], env=quiet, capture_output=True, text=True, check=False)
    if done.returncode:
        yield Finding("FAULT", f"TensorFlow cannot be loaded: {done.stderr.strip().splitlines()[-1]}")
    elif int(done.stdout) >= max(wanted, 1):
        yield Finding("ok", f"TensorFlow sees {done.stdout.strip()} GPU(s)")
    else:
        where = "on a cluster look on a node with one" if shutil.which("sbatch") else "training runs on the CPU"
        level = "note" if wanted <= 1 else "FAULT"
        yield Finding(level, f"TensorFlow sees {done.stdout.strip()} GPU(s) here, the study asks for {wanted}; {where}")


def _slurm() -> Iterator[Finding]:
    """Which command tells the state of jobs: without accounting sacct fails, and Snakemake would wait for ever."""
    if not shutil.which("sbatch"):
        yield Finding("ok", "no SLURM here: run with --profile profiles/local")
        return
    if subprocess.run(["sacct", "-n"], capture_output=True, check=False).returncode == 0:
        yield Finding("ok", "SLURM with accounting: the profile can stay as it is")
        return
    shown = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=False).stdout
    age = re.search(r"MinJobAge\s*=\s*(\d+)", shown)
    if not age:
        yield Finding("note", "SLURM is installed, but its controller does not answer")
    elif int(age[1]) >= SHORTEST_MEMORY:
        yield Finding("note", "SLURM without accounting: set slurm-status-command: squeue in profiles/slurm")
    else:
        what = f"SLURM has no accounting and remembers jobs for only {age[1]} s"
        yield Finding("FAULT", f"{what}; ask for MinJobAge of {SHORTEST_MEMORY} s or more")


def _named(names: Iterable[str], lead: str) -> str:
    names = list(names)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"; {lead}{', '.join(names[:NAMED])}{more}" if names else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: a line per finding; 0 where there is no fault, else 2."""
    parser = argparse.ArgumentParser(description="Whether a study can run here.")
    parser.add_argument("--configfile", required=True, help="the study")
    given = parser.parse_args(arguments)
    faults = 0
    for finding in examine(given.configfile):
        print(f"{finding.level:<6} {finding.what}", flush=True)
        faults += finding.level == "FAULT"
    print(f"{faults} fault(s)" if faults else "Nothing stands in the way.")
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(main())

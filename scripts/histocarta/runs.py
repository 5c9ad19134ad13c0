"""How a run ended: what is said at its end and stands in ``run.json``, finer than Snakemake's own exit status."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from histocarta.costs import spent
from histocarta.files import read_table, write_json

DONE, FAILED, REFUSED = 0, 3, 4  # codes of run.json; bad input (2) ends before there is a run
WORDS = {
    DONE: "done",
    FAILED: "some targets failed; all others are complete, and the same command tries these again",
    REFUSED: "more slides were left out than max_excluded allows; see ledger-refused.tsv",
}
_FAILURE = re.compile(r"^Error in rule (\w+):\n((?:(?!\[|Error in rule ).*\n)*)", re.MULTILINE)  # "[": a time
_LOG = re.compile(r"^    log: (\S+)", re.MULTILINE)
_REFUSED = re.compile(
    r"^    message: SLURM sbatch failed\. The error message was '(?:sbatch: error: )?(.*)'", re.MULTILINE
)
_STATE = re.compile(r"^    message: SLURM-job .*SLURM status is: '(\w+)'", re.MULTILINE)


@dataclass(frozen=True)
class Failure:
    """A job that failed: its rule, its log, and the last line that it wrote, or SLURM's words on it."""

    rule: str
    log: str
    message: str


def close_run(folder: str | Path, *, failed: bool, logs: Sequence[str], gpus: Mapping[str, int]) -> str:
    """Write ``folder``/run.json about the run that has just ended, and return it as a few lines of text.

    folder : results/{cohort}. failed : as Snakemake says. logs : Snakemake's own of the run. gpus : cards of a job, by
    stage (the folder of its benchmark file).
    """
    folder, used = Path(folder), slides_used(Path(folder))
    failures = [failure for log in logs for failure in read_failures(log)] if failed else []
    code = DONE if not failed else REFUSED if _is_refused(folder) else FAILED
    table = spent(folder, gpus=gpus)
    record = {"code": code, "status": WORDS[code], "failures": [asdict(one) for one in failures]}
    record["spent"] = table.round(4).reset_index().to_dict("records")
    write_json(record | used, folder / "run.json")
    hours = f"{table['GPU-hours'].sum():.2f} GPU-hours and {table['CPU-hours'].sum():.2f} CPU-hours"
    lines = [f"{folder}: {WORDS[code]}"]
    lines += [f"  failed: {one.rule}: {one.message} ({one.log})" for one in failures]
    if used:
        lines.append(f"  {used['slides_used']} of {used['slides_in']} slides used; the others: ledger.tsv")
    lines.append(f"  {hours} in {table['jobs'].sum():,} jobs so far; by stage in {folder / 'run.json'}")
    return "\n".join(lines)


def read_failures(log: str | Path) -> list[Failure]:
    """The jobs whose last attempt failed, by Snakemake's log of the run."""
    found: dict[str, Failure] = {}
    for rule, block in _FAILURE.findall(Path(log).read_text(encoding="utf-8", errors="replace")):
        path = _LOG.search(block)
        where = path[1] if path else ""
        refused, state = _REFUSED.search(block), _STATE.search(block)
        message = f"SLURM refused it: {refused[1]}" if refused else _last_line(where)
        found[where or rule] = Failure(rule, where, f"{message} (SLURM: {state[1]})" if state else message)
    return list(found.values())


def slides_used(folder: Path) -> dict[str, int]:
    """Slides in the sheet, and with tiles in the layout that has most, by the ledger; nothing where there is none."""
    path = next((folder / name for name in ("ledger.tsv", "ledger-refused.tsv") if (folder / name).is_file()), None)
    if path is None:
        return {}
    table = read_table(path)
    slides = table[table["kind"] == "slide"].assign(count=pd.to_numeric(table["count"]))
    most = slides.groupby(["stage", "outcome"])["count"].max()
    return {"slides_in": int(most["sheet", "in"]), "slides_used": int(most.get(("tiles", "used"), 0))}


def _is_refused(folder: Path) -> bool:
    return (folder / "ledger-refused.tsv").is_file() and not (folder / "ledger.tsv").is_file()


def _last_line(log: str) -> str:
    if not log or not Path(log).is_file():
        return "no log was written"
    lines = [line for line in Path(log).read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].removeprefix("Error: ") if lines else "its log is empty"

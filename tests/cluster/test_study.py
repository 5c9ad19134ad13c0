"""A whole study on a real SLURM: who gets a card, what runs side by side, and what is left behind."""

import re
from datetime import datetime, timedelta
from itertools import combinations

import pytest
import yaml
from histocarta.files import read_json
from slurm_kit import QUICK
from workflow_kit import simulate_study, snakemake

GPU_STAGES = {"train", "score_tiles"}
PLACE = re.compile(r"^(\S+ \S+) on \S+, SLURM job (\d+)(?:, GPU (\S+))?$", re.MULTILINE)


@pytest.fixture(scope="module")
def finished(cluster, tmp_path_factory):
    """The folder of a study that ran on the cluster to its report, and what was said."""
    folder = tmp_path_factory.mktemp("study")
    study = simulate_study(folder, patients=12)
    study["tasks"]["extremes"]["training"]["require_gpu"] = False  # the cards are fake
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(folder, *QUICK, profile="slurm", environment=cluster.environment)
    assert code == 0, text[-10000:]
    return folder / "results" / "tiny", text


def places(results):
    """By log of a job: when it began, its number, and the card that it saw ("" without one)."""
    found = {}
    for log in (results / "logs").rglob("*.log"):
        when, job, card = PLACE.search(log.read_text()).groups()
        found[log.relative_to(results / "logs")] = (datetime.fromisoformat(when), job, card or "")
    return found


@pytest.mark.slow
def test_every_job_ran_under_slurm_and_only_some_with_a_card(finished):
    results, _ = finished
    jobs = places(results)
    assert len({job for _, job, _ in jobs.values()}) == len(jobs) >= 2 * 14 + 3 * 5
    with_card = {log.parts[0] for log, (_, _, card) in jobs.items() if card}
    assert with_card == GPU_STAGES
    assert all(card in ("0", "1") for log, (_, _, card) in jobs.items() if log.parts[0] in GPU_STAGES)


@pytest.mark.slow
def test_trainings_run_side_by_side_and_never_two_on_one_card(finished):
    results, _ = finished
    runs = []
    for log, (begin, _, card) in places(results).items():
        if log.parts[0] == "train":
            line = (results / "benchmarks" / log.with_suffix(".txt")).read_text().splitlines()[1]
            runs.append((begin, begin + timedelta(seconds=float(line.split("\t")[0])), card))
    together = [(one[2], other[2]) for one, other in combinations(runs, 2) if one[0] < other[1] and other[0] < one[1]]
    assert len(runs) == 3 and together
    assert all(card != other for card, other in together)


@pytest.mark.slow
def test_a_card_that_is_not_there_is_said_in_the_log(finished):
    results, _ = finished
    log = (results / "logs" / "train" / "A" / "extremes" / "rounds.log").read_text()
    assert "M-NOGPU Expected GPU" in log and "going on on the CPU (training.require_gpu: false)" in log


@pytest.mark.slow
def test_the_end_says_what_was_spent(finished):
    results, text = finished
    record = read_json(results / "run.json")
    assert (record["code"], record["status"], record["failures"]) == (0, "done", [])
    hours = {row["stage"]: row["GPU-hours"] for row in record["spent"]}
    assert {stage for stage, value in hours.items() if value > 0} == GPU_STAGES
    assert (record["slides_in"], record["slides_used"]) == (15, 13)
    assert re.search(r"13 of 15 slides used; .*\n.*\d GPU-hours and \d+\.\d\d CPU-hours in \d+ jobs", text)

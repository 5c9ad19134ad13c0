# Reads:  the tables of every cohort, before the first job starts: a bad one ends the run there; what a killed run has left.
# Writes: state/drivers/: a note of this run while it lasts; results/{cohort}/run.json at its end, and says how it ended.
import shutil
import sys
from pathlib import Path

from histocarta.costs import stage_of
from histocarta.drivers import clear_dead_lock, forget_driver, note_driver
from histocarta.preflight import check_tables
from histocarta.runs import close_run
from histocarta.scheduler import rest_between_choices
from histocarta.slurm_executor import mend
from histocarta.slurm_queue import Watch

if workflow.is_main_process:  # not in its jobs
    if cleared := clear_dead_lock():
        print(cleared, file=sys.stderr)


def close_runs(*, failed, logs):
    """Say how the run ended, and write run.json for each cohort that has results."""
    forget_driver()
    has_cards = workflow.executor_plugin.name == "slurm" or shutil.which("nvidia-smi")  # else a job's `gpu` is a core
    rules = [rule for rule in workflow.rules if has_cards and rule.benchmark and "gpu" in rule.resources]
    gpus = {stage_of(str(rule.benchmark)): rule.resources["gpu"].value for rule in rules}
    for folder in [f"results/{cohort}" for cohort in STUDY.cohorts]:
        if Path(folder).is_dir():
            print(close_run(folder, failed=failed, logs=logs, gpus=gpus), file=sys.stderr)


onstart:
    rest_between_choices(workflow.scheduler)
    note_driver(executor=workflow.executor_plugin.name)
    check_tables(STUDY, configs=workflow.configfiles)
    if workflow.executor_plugin.name == "slurm":
        mend()
        Watch().start()


onsuccess:
    close_runs(failed=False, logs=log)


onerror:
    close_runs(failed=True, logs=log)

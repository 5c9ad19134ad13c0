"""A study on the point of training, run on a cluster: from its driver to the weights that come out."""

import hashlib
import re
import shutil
import zipfile
from pathlib import Path

import psutil
from slurm_kit import QUICK, wait_until
from workflow_kit import LONGEST, start_snakemake

TRAIN = "results/tiny/traits/A/extremes/round-1/model.keras"
LOG = Path("results/tiny/logs/train/A/extremes/rounds.log")
VALIDATIONS, STEPS = 40, 10


class Run:
    """A copy of the ``prepared`` study in ``folder``, at work on the ``cluster``."""

    def __init__(self, prepared, folder, cluster):
        shutil.copytree(prepared, folder)
        self.folder, self.cluster, self.driver = folder, cluster, None

    def start(self, *arguments, targets=(TRAIN,), environment=None):
        how = {"profile": "slurm", "environment": environment or self.cluster.environment}
        with (self.folder / "driver.log").open("a") as log:
            # Targets stand before options that take several values.
            self.driver = start_snakemake(self.folder, *targets, *QUICK, *arguments, words=log, **how)

    def steps(self):
        """The steps at which the present attempt has validated."""
        log = self.folder / LOG
        return [int(step) for step in re.findall(r"round 1, step (\d+):", log.read_text())] if log.exists() else []

    def training(self, *, validations=3):
        """The number of the SLURM job that trains, once it has validated so many times."""
        what = f"{validations} validations"
        wait_until(lambda: len(self.steps()) >= validations, seconds=300, what=what, why=self.words)
        (job,) = re.search(r"SLURM job (\d+)", (self.folder / LOG).read_text()).groups()
        return job

    def processes(self):
        """The processes that train."""
        return [
            process
            for process in psutil.process_iter(["cwd", "cmdline"])
            if process.info["cwd"] == str(self.folder)
            and any("train_rounds" in word for word in process.info["cmdline"] or ())
        ]

    def finish(self):
        code = self.driver.wait(timeout=LONGEST)
        assert code == 0, self.words()

    def words(self):
        return (self.folder / "driver.log").read_text()[-5000:]


def ids(cluster, states):
    """Numbers of the jobs in these states."""
    return {job["id"] for job in cluster.jobs(states)}


def weights(folder):
    """SHA-256 of the weights of the trained model."""
    with zipfile.ZipFile(folder / TRAIN) as model:
        return hashlib.sha256(model.read("model.weights.h5")).hexdigest()

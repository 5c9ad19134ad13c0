"""A SLURM of one node for tests: its own daemons, ports, key and folder, and two GPUs that are files.

Debian's packages slurm-wlm and munge are enough. The node claims more cores and memory than there are, for a job that
trains asks for more than a small machine has. Snakemake's executor takes SLURM_CONF from the jobs' environment, so the
configuration must be where SLURM looks for it; a machine that has one there already is left alone.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

STANDARD = Path("/etc/slurm/slurm.conf")
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "scontrol")
# Without accounting sacct fails, and Snakemake would wait for ever (make doctor tells); the other two save minutes.
QUICK = ("--slurm-status-command", "squeue", "--slurm-init-seconds-before-status-checks", 3)
QUICK += ("--seconds-between-status-checks", 3)
CONFIGURATION = """
ClusterName=histocarta
SlurmctldHost={host}
SlurmctldPort={ctld_port}
SlurmdPort={d_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=300
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
NodeName={host} CPUs={cores} RealMemory={memory} Gres=gpu:2 State=UNKNOWN
PartitionName=gpu Nodes={host} Default=YES PriorityTier=1 GraceTime=3 MaxTime=INFINITE State=UP
PartitionName=urgent Nodes={host} PriorityTier=10 MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


class Cluster:
    """The running daemons; ``environment`` is what a process needs to talk to them."""

    def __init__(self, folder: Path, *, cores: int = 32, memory: int = 96_000) -> None:
        self.folder, self.host = folder, socket.gethostname().split(".")[0]
        for name in ("state", "spool"):
            (folder / name).mkdir()
        for number in (0, 1):
            subprocess.run(["mknod", folder / f"gpu{number}", "c", "1", "3"], check=True)
        (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-1]\n")
        ctld_port, d_port = (free_port() for _ in range(2))
        values = {"folder": folder, "host": self.host, "ctld_port": ctld_port, "d_port": d_port}
        text = CONFIGURATION.format(**values, cores=cores, memory=memory)
        (folder / "slurm.conf").write_text(text)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        self.environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
        STANDARD.parent.mkdir(exist_ok=True)
        STANDARD.symlink_to(folder / "slurm.conf")

    def start(self) -> None:
        """Start the daemons and wait until the node is idle."""
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid", "log-file": "munged.log",
                 "seed-file": "munged.seed"}  # fmt: skip
        options = [f"--{option}={self.folder / file}" for option, file in files.items()]
        self.run("munged", "--force", *options)
        self.start_controller()
        self.run("slurmd", "-f", self.folder / "slurm.conf")
        wait_until(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T"), seconds=60, what="an idle node", why=self.why)

    def start_controller(self) -> None:
        self.run("slurmctld", "-f", self.folder / "slurm.conf")

    def stop(self, *names: str) -> None:
        """Kill the daemons of these names, all by default, as their pid files have them."""
        for name in names or ("slurmd", "slurmctld", "munged"):
            file = self.folder / f"{name}.pid"
            if file.exists():
                with suppress(ProcessLookupError):
                    os.kill(int(file.read_text()), signal.SIGTERM)
                wait_until(lambda file=file: not alive(file), seconds=30, what=f"the end of {name}", why=self.why)

    def run(self, *command: str | Path) -> str:
        """What a command prints; CalledProcessError with its words where it fails."""
        done = subprocess.run(list(map(str, command)), env=self.environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def jobs(self, state: str = "all") -> list[dict[str, str]]:
        """Jobs that SLURM knows of, also finished ones: id, name, state, comment, and what they hold."""
        text = self.run("squeue", "-h", "-t", state, "-o", "%i|%j|%T|%k|%C|%b")
        keys = ("id", "name", "state", "comment", "cores", "gres")
        return [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]

    def details(self, job: str) -> dict[str, str]:
        """What ``scontrol show job`` says of a job."""
        return dict(re.findall(r"(\S+?)=(\S+)", self.run("scontrol", "-d", "show", "job", job)))

    def end_lost_jobs(self) -> None:
        """Kill what is left of jobs: proctrack/linuxproc loses sight of a process whose parent was killed."""
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                environment = process.environ()
                if "SLURM_JOB_ID" in environment and environment.get("SLURM_CONF") == self.environment["SLURM_CONF"]:
                    process.kill()

    def why(self) -> str:
        """The ends of the daemons' logs."""
        logs = [self.folder / f"{name}.log" for name in ("munged", "slurmctld", "slurmd")]
        return "\n".join(f"{log.name}: {log.read_text()[-1500:]}" for log in logs if log.exists())


@contextmanager
def cluster_in(folder: Path, **size: int):
    """A cluster that runs while the block does."""
    cluster = Cluster(folder, **size)
    try:
        cluster.start()
        yield cluster
    finally:
        with suppress(RuntimeError):
            cluster.run("scancel", "--user", "root", "--signal=KILL", "--full")
        cluster.stop()
        STANDARD.unlink()
        cluster.end_lost_jobs()


def wait_until(condition, *, seconds: float, what: str, why=lambda: "") -> None:
    """Wait for ``condition``; an AssertionError that says ``what`` did not come, and ``why()``."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(f"expected {what} within {seconds:.0f} s; {why()}")


def alive(pid_file: Path) -> bool:
    """Whether the process of a pid file runs."""
    try:
        os.kill(int(pid_file.read_text()), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):  # a daemon takes its file away as it ends
        return False
    return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

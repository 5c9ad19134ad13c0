"""What a figure was measured on and whether it met its target: the lines that all benchmarks print alike."""

import os
import platform
import time
from pathlib import Path

VERDICT = "verdict: "


def machine() -> str:
    """Date, processor, cores that this process may use, and how busy they were in the last minute."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return f"{time.strftime('%Y-%m-%d')}, {processor}, {cores} cores, load {load:.1f}"


def busy_seconds() -> float:
    """CPU seconds that all processes together have used since the machine started, and that its host took from it."""
    user, nice, system, _, _, irq, softirq, steal, *_ = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(ticks) for ticks in (user, nice, system, irq, softirq, steal)) / os.sysconf("SC_CLK_TCK")


def verdict(what: str, found: float, *, least: float | None = None, most: float | None = None, note: str = "") -> None:
    """Print whether ``found`` is ``least`` or more, or ``most`` or less; ``run.py`` repeats it at the end."""
    target, met = (f"at least {least:g}", found >= least) if most is None else (f"at most {most:g}", found <= most)
    print(f"{VERDICT}{what}: {found:.3g} ({target}): {'met' if met else 'NOT met'}", note, sep="; " if note else "")


def finding(what: str) -> None:
    """Print what has no target, or was not measured here, among the verdicts."""
    print(f"{VERDICT}{what}")

"""All benchmarks one after the other, and at the end their verdicts together.

Usage: REAL_DATA=<folder> python benchmarks/run.py [names …]. About ten minutes on two cores; nothing else should run.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

from machine import VERDICT, machine

# What follows python benchmarks/; all take their folder of real data from REAL_DATA.
RUNS = {
    "tiling": ["tiling.py"],
    "decode": ["decode.py"],
    "spots": ["spots.py"],
    "stain": ["stain.py"],
    "pipeline": ["pipeline.py"],
    "heterogeneity": ["heterogeneity.py"],
    "associations": ["associations.py"],
    "growth": ["growth.py"],
    "streams": ["streams.py"],
    "training": ["training.py", "--turns", "3"],
    "bfloat16": ["training.py", "--low", "--size", "512", "--batch", "4", "--steps", "4", "--turns", "2"],
}


def run(name: str) -> list[str]:
    """Run one benchmark, passing on what it prints; its verdict lines."""
    print(f"\n== {name}", flush=True)
    start = time.monotonic()
    verdicts = []
    file, *options = RUNS[name]
    command = [sys.executable, Path(__file__).parent / file, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
            if line.startswith(VERDICT):
                verdicts.append(line.removeprefix(VERDICT).rstrip())
    if process.returncode:
        sys.exit(f"{' '.join(RUNS[name])} failed")
    print(f"({time.monotonic() - start:.0f} s)", flush=True)
    return verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"default: all of {', '.join(RUNS)}")
    names = parser.parse_args().names or list(RUNS)
    if unknown := sorted(set(names) - set(RUNS)):
        parser.error(f"expected some of {', '.join(RUNS)}; found {', '.join(unknown)}")
    before = machine()
    verdicts = [f"{name}: {line}" for name in names for line in run(name)]
    print(f"\n== verdicts ({before})")
    print("\n".join(verdicts))


if __name__ == "__main__":
    main()

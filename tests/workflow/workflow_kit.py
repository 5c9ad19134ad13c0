"""How tests run the workflow: as a user does, from the checkout, on a study in a folder of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


def snakemake(folder, *arguments):
    """Run the workflow of the checkout on the study in ``folder``; its exit status and its words, errors included."""
    study = ["--configfile", folder / "study.yaml", "--directory", folder]
    command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local", *study, *arguments]
    own = {name: value for name, value in os.environ.items() if name != "SNAKEMAKE_PROFILE"}
    done = subprocess.run(
        list(map(str, command)), cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return done.returncode, done.stdout


def jobs(text):
    """Rule and wildcards of every job that Snakemake names."""
    blocks = re.findall(r"^(?:local)?rule (\w+):\n((?:    .*\n)*)", text, re.MULTILINE)
    found = [(rule, re.search(r"^    wildcards: (.*)$", block, re.MULTILINE)) for rule, block in blocks]
    return [(rule, dict(pair.split("=", 1) for pair in match[1].split(", ")) if match else {}) for rule, match in found]

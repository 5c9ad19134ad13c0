"""What a training reads from the shared file system per epoch: tiles left there, and tiles copied to the node first.

    python benchmarks/staging.py --data $REAL_DATA [--epochs 4]

The tiles of a real her2st section are streamed for some epochs, as a training does, by a process whose reads strace
counts by file; then twice with the tiles staged, as two jobs of one node. Needs strace. Bytes, not seconds: what they
cost depends on the site.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path

import pandas as pd
from histocarta.pipeline import training_batches
from histocarta.staging import local_copies
from machine import finding, machine, verdict
from pipeline import BATCH, SIZE, write_tiles

READ = re.compile(r"\b(?:read|pread64)\(\d+<([^>]*)>.*\) = (\d+)$")


def stream(table, *, epochs, staging):
    """Read every tile ``epochs`` times, as a job that trains does."""
    slides = pd.read_csv(table, sep="\t")
    if staging:
        copies = local_copies(dict(zip(slides["shard"], slides["sha256"], strict=True)), folder=staging)
        slides = slides.assign(shard=slides["shard"].replace(copies))
    settings = {"seed": 1, "first": 0, "shuffle_buffer": 256, "augment": ["horizontal", "vertical"]}
    batches = training_batches(slides, size=SIZE, batch=BATCH, **settings)
    for _ in islice(batches, epochs * int(slides["n_tiles"].sum()) // BATCH):
        pass


def read_from(shared, *options):
    """Bytes that a process streaming the tiles reads from below ``shared``."""
    with tempfile.TemporaryDirectory() as folder:  # a file per thread: one for all would cut calls in two
        command = ["strace", "--follow-forks", "--output-separately", f"--output={folder}/calls", "--decode-fds=path"]
        command += ["--trace=read,pread64", "--string-limit=0"]
        command += [sys.executable, __file__, "--table", str(shared / "slides.tsv"), *options]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        lines = (line for file in Path(folder).iterdir() for line in file.read_text(errors="replace").splitlines())
        found = [match for line in lines if (match := READ.search(line))]
    return sum(int(bytes_) for path, bytes_ in (match.groups() for match in found) if path.startswith(f"{shared}/s"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default=os.environ.get("REAL_DATA"))
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--table", help=argparse.SUPPRESS)  # of the process that is counted
    parser.add_argument("--staging", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.table:
        stream(given.table, epochs=given.epochs, staging=given.staging)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        shared, node = Path(folder) / "shared", Path(folder) / "node"
        shared.mkdir()
        slides = write_tiles(given.data, shared, 90)
        slides["sha256"] = [hashlib.sha256(Path(shard).read_bytes()).hexdigest() for shard in slides["shard"]]
        slides.to_csv(shared / "slides.tsv", sep="\t", index=False)
        size = sum(Path(shard).stat().st_size for shard in slides["shard"])
        epochs = ["--epochs", str(given.epochs)]
        left = read_from(shared, *epochs)
        first, second = (read_from(shared, *epochs, "--staging", str(node)) for _ in range(2))
    print(f"{size / 1e6:.1f} MB of tiles, {given.epochs} epochs:")
    for what, found in (("left there", left), ("staged, first job", first), ("staged, second job", second)):
        print(f"  {what:20s} {found / 1e6:7.1f} MB read, {found / given.epochs / size:5.2f} of the tiles per epoch")
    finding(f"tiles left on the shared file system are read {left / given.epochs / size:.2f} times per epoch")
    verdict("staged: reads of the first job, times the tiles, in all epochs", first / size, most=1.05)
    verdict("staged: reads of a second job of the node, times the tiles", second / size, most=0.05)


if __name__ == "__main__":
    main()

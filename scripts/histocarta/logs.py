"""Where a job's words go: everything it and its libraries print, errors too, into its log file."""

import os
import socket
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from histocarta.errors import InputError


@contextmanager
def recorded(log: str) -> Iterator[None]:
    """Send standard output and error, those of C libraries included, into ``log`` while the block runs.

    An :class:`InputError` ends the job with its one line and no traceback; any other error keeps its traceback.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    with Path(log).open("w", encoding="utf-8", buffering=1) as stream:
        sys.stdout.flush()
        sys.stderr.flush()
        # File descriptors, not sys.stdout: TensorFlow, libvips and OpenCV write from C.
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
        print(_place(), file=sys.stderr, flush=True)
        try:
            yield
        except InputError as error:
            print(f"Error: {error}", file=sys.stderr, flush=True)
            raise SystemExit(2) from None
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def _place() -> str:
    """When and where the job runs, and the cards that it was given: the first questions of whoever reads a log."""
    job = f", SLURM job {os.environ['SLURM_JOB_ID']}" if "SLURM_JOB_ID" in os.environ else ""
    cards = f", GPU {os.environ['CUDA_VISIBLE_DEVICES']}" if os.environ.get("CUDA_VISIBLE_DEVICES") else ""
    return f"{time.strftime('%Y-%m-%d %H:%M:%S')} on {socket.gethostname()}{job}{cards}"

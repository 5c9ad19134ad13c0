"""How long work shows that it lives: a bar on a terminal, plain lines with the time left in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
SECONDS_BETWEEN_LINES = 10.0


def progress(items: Iterable[Item], *, total: int | None, what: str) -> Iterator[Item]:
    """Yield ``items`` and report on standard error how many of ``total`` are done and how long the rest will take."""
    if sys.stderr.isatty():
        yield from tqdm(items, total=total, desc=what)
        return
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES:
            last = now
            print(_line(what, done, total, now - start), file=sys.stderr, flush=True)
    print(f"{what}: {done} done in {_clock(time.monotonic() - start)}", file=sys.stderr, flush=True)


def _line(what: str, done: int, total: int | None, seconds: float) -> str:
    if not total:
        return f"{what}: {done} in {_clock(seconds)}"
    left = seconds / done * (total - done)
    return f"{what}: {done}/{total} ({100 * done / total:.0f} %), {_clock(seconds)} gone, about {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"

"""How Snakemake's scheduler (9.27) is kept from choosing jobs over and over while those that run are all that can.

With a limit on submissions (``--max-jobs-per-timespan``, 100 a second by default) every choice asks for another one a
second later, whether the limit held anything back or not, and every job that ends begins such a chain of its own: after
some hundred jobs there are some hundred of them, and the driver takes half a core for as long as it lives.
"""

import threading
from typing import Any


def rest_between_choices(scheduler: Any) -> None:
    """Let ``scheduler`` choose again after a limit's time only where the limit is reached, one such time at a time."""
    again, waiting = scheduler._schedule_reevalutation, threading.Event()

    def schedule(delay: float) -> None:
        limiter = scheduler.job_rate_limiter
        if limiter is None or delay != limiter.timespan:
            again(delay)
        elif limiter.get_free_jobs() == 0 and not waiting.is_set():
            waiting.set()
            timer = threading.Timer(delay, release)
            timer.daemon = True
            timer.start()

    def release() -> None:
        waiting.clear()
        scheduler._open_jobs.release()

    scheduler._schedule_reevalutation = schedule

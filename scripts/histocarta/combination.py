"""Which way the rounds of a task become one: by what a slide scores, the share of positive tiles or their mean."""

from typing import Any

from histocarta.averaging import average_rounds
from histocarta.consensus import vote
from histocarta.tasks import task_named

COMBINATIONS = {"share": vote, "mean": average_rounds}


def combine_rounds(*, task: str, **files_and_settings: Any) -> None:
    """:func:`histocarta.consensus.vote` or :func:`histocarta.averaging.average_rounds`, as the task has it."""
    COMBINATIONS[task_named(task).slide_score](**files_and_settings)

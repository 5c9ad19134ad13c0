"""Which way the rounds of a task become one: by vote or by averaging, and where tiles have labels, tile by tile."""

from typing import Any

from histocarta.averaging import average_rounds
from histocarta.consensus import vote
from histocarta.spot_scores import join_spots
from histocarta.tasks import task_named
from histocarta.tile_scores import average_tiles

COMBINATIONS = {"vote_consensus": vote, "average_rounds": average_rounds, "average_tiles": average_tiles,
                "join_spots": join_spots}  # fmt: skip


def combine_rounds(*, task: str, **files_and_settings: Any) -> None:
    """The function of COMBINATIONS that the task has in its row (``Task.combination``)."""
    COMBINATIONS[task_named(task).combination](**files_and_settings)

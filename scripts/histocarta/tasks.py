"""What each published system asks a network to learn: labels, last layer and loss, as one row of a table."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from histocarta.errors import InputError, nearest

if TYPE_CHECKING:  # the Snakefile imports this module, and needs no pandas for it
    import pandas as pd


@dataclass(frozen=True)
class Task:
    """One kind of learning; everything that training and scoring need to know of it beyond the study's settings.

    label : column of labels.parquet that is learnt; slides where it is NaN take no part in training.
    units, activation, loss : the network's last layer and what it minimises (names that Keras knows).
    classes : whether labels are classes, so that a part of one class only cannot be ranked.
    slide_score : what a slide scores by its tiles: "share" of those above a threshold, or their "mean".
    tile_labels : whether tiles have labels of their own (labels.parquet has a row for every tile), not their slide's.
    many : whether a round learns and scores many genes: a score is a list, and only the slides that the round tests
    have any. mean_start : whether the last layer starts with weights of zero and the labels' mean as bias. symmetric :
    whether a tile's score is the mean over its eight symmetries.
    measures : figures of a validation (``validation.FIGURES``). For classes of slides one of them chooses the weights
    to keep (the study's ``checkpoint_metric``); otherwise the validation loss does.
    """

    name: str
    label: str
    units: int
    activation: str
    loss: str
    classes: bool
    slide_score: str
    measures: tuple[str, ...]
    source: str
    tile_labels: bool = False
    many: bool = False
    mean_start: bool = False
    symmetric: bool = False

    @property
    def combination(self) -> str:
        """How the rounds become one (``combination.COMBINATIONS``, and the stage's name in ``VERSION``)."""
        if self.many:
            return "join_spots"
        if self.tile_labels:
            return "average_tiles"
        return {"share": "vote_consensus", "mean": "average_rounds"}[self.slide_score]

    def with_outputs(self, labels: "pd.DataFrame") -> "Task":
        """This task with as many outputs as a label of ``labels`` holds numbers: a list is a panel of genes."""
        first = next(iter(labels[self.label].dropna()), 0.0)
        return replace(self, units=len(first)) if hasattr(first, "__len__") else self


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="regions",
            label="label",
            units=1,
            activation="sigmoid",
            loss="binary_crossentropy",
            classes=True,
            slide_score="mean",
            measures=("tile_auc",),
            source="Wang et al. 2021, Cancer Res. 81:5115: tiles of invasive tumour told from others by annotated ones",
            tile_labels=True,
        ),
        Task(
            name="extremes",
            label="label",
            units=1,
            activation="sigmoid",
            loss="binary_crossentropy",
            classes=True,
            slide_score="share",
            measures=("tile_auc", "slide_auc"),
            source="Levy-Jurgenson et al. 2020, Sci. Rep. 10:18802: top against bottom 20 % of one trait, one output",
        ),
        Task(
            name="regression",
            label="target",
            units=1,
            activation="linear",
            loss="mean_squared_error",
            classes=False,
            slide_score="mean",
            measures=("slide_rho",),
            source="Wang et al. 2021, Cancer Res. 81:5115 (EMO): one linear output per gene, mean squared error",
        ),
        Task(
            name="spots",
            label="target",
            units=1,
            activation="linear",
            loss="mean_squared_error",
            classes=False,
            slide_score="mean",
            measures=("tile_rho",),
            source="He et al. 2020, Nat. Biomed. Eng. 4:827 (ST-Net): an output per gene, a label per spot",
            tile_labels=True,
            many=True,
            mean_start=True,
            symmetric=True,
        ),
    )
}


def task_named(name: str) -> Task:
    """The row of ``TASKS`` called ``name``; InputError, with the nearest name, where there is none."""
    if name not in TASKS:
        raise InputError(f"Expected one of the tasks {', '.join(TASKS)}, found {name!r}{nearest(name, TASKS)}")
    return TASKS[name]

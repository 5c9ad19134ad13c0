"""What each published system asks a network to learn: labels, last layer and loss, as one row of a table."""

from dataclasses import dataclass

from histocarta.errors import InputError, nearest


@dataclass(frozen=True)
class Task:
    """One kind of learning; everything that training and scoring need to know of it beyond the study's settings.

    label : column of labels.parquet that is learnt; slides where it is NaN take no part in training.
    units, activation, loss : the network's last layer and what it minimises (names that Keras knows).
    classes : whether labels are classes, so that a part of one class only cannot be ranked.
    """

    name: str
    label: str
    units: int
    activation: str
    loss: str
    classes: bool
    source: str


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="extremes",
            label="label",
            units=1,
            activation="sigmoid",
            loss="binary_crossentropy",
            classes=True,
            source="Levy-Jurgenson et al. 2020, Sci. Rep. 10:18802: top against bottom 20 % of one trait, one output",
        ),
    )
}


def task_named(name: str) -> Task:
    """The row of ``TASKS`` called ``name``; InputError, with the nearest name, where there is none."""
    if name not in TASKS:
        raise InputError(f"Expected one of the tasks {', '.join(TASKS)}, found {name!r}{nearest(name, TASKS)}")
    return TASKS[name]

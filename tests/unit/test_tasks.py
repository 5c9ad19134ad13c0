"""The table of tasks."""

import dataclasses

import pytest
from histocarta.errors import InputError
from histocarta.tasks import TASKS, task_named


def test_extremes_is_one_sigmoid_with_cross_entropy():
    """Levy-Jurgenson 2020, Methods: Inception v3 with one output, binary cross-entropy on high against low labels."""
    task = task_named("extremes")
    assert (task.units, task.activation, task.loss, task.label) == (1, "sigmoid", "binary_crossentropy", "label")


def test_every_row_is_found_by_its_own_name_and_cannot_be_changed():
    assert all(task_named(name).name == name for name in TASKS)
    with pytest.raises(dataclasses.FrozenInstanceError):
        TASKS["extremes"].units = 2


def test_an_unknown_task_is_named_with_the_nearest():
    with pytest.raises(
        InputError, match=r"Expected one of the tasks regions, extremes.*found 'extreme'; nearest: extremes"
    ):
        task_named("extreme")

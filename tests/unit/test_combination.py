"""Every task has a way to make one score of its rounds'."""

import inspect

import pytest
from histocarta.combination import COMBINATIONS, combine_rounds
from histocarta.task_settings import Tasks
from histocarta.tasks import TASKS


@pytest.mark.parametrize("name", TASKS)
def test_what_a_task_is_told_is_what_its_function_takes(name):
    """The names of a task's settings are the function's arguments, whatever else it takes."""
    task = Tasks(**{name: {"layout": "grid", "scheme": "s", "traits": ["A"]}})[name]
    function = COMBINATIONS[TASKS[name].combination]
    assert set(task.combining(seed=1)) <= set(inspect.signature(function).parameters)


def test_the_tasks_function_gets_the_rest(monkeypatch):
    said = []
    monkeypatch.setitem(COMBINATIONS, "average_rounds", lambda **given: said.append(given))
    combine_rounds(task="regression", trait="A", unit="patient")
    assert said == [{"trait": "A", "unit": "patient"}]

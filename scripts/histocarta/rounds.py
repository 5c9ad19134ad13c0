"""What became of a trait's rounds in training, and how it is told: a round without a model says why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from histocarta.errors import InputError
from histocarta.files import read_json, read_table
from histocarta.splits import patients_on_both_sides
from histocarta.versions import VERSION


@dataclass(frozen=True)
class Fate:
    """Number of a round, and code and reason why it has no model; two blanks where it has one."""

    number: int
    code: str
    reason: str


def read_fates(sidecars: Sequence[str]) -> list[Fate]:
    """The rounds' fates by their model.json files, in order; InputError where one tells of another round."""
    fates = []
    for number, path in enumerate(sidecars, start=1):
        found = read_json(path)
        if found["round"] != number:
            raise InputError(
                f"Expected {path} to tell of round {number}, found round {found['round']}; train it again."
            )
        fates.append(Fate(number, found["code"], found["reason"]))
    return fates


def begin_record(
    stage: str, facts: Mapping[str, Any], fates: Sequence[Fate], *, splits: Sequence[str], trait: str, unit: str
) -> dict[str, Any]:
    """What a trait's metrics.json begins with, whichever ``stage`` (of ``VERSION``) makes one of its rounds.

    facts : the trait's labels.json, whose status, code and reason hold here too; a trait of whose rounds none has a
    model is excluded (E-NO-MODEL). independent : whether no round tests a patient whom it also learns from.
    """
    head = {"trait": trait, "unit": unit, "version": VERSION[stage]}
    head["independent"] = not any(patients_on_both_sides(read_table(path)) for path in splits)
    head |= {key: facts[key] for key in ("status", "code", "reason")}
    head["rounds"] = with_fates([{"round": fate.number, "reason": ""} for fate in fates], fates)
    if head["status"] == "ok" and all(fate.code for fate in fates):
        head |= {"status": "excluded", "code": "E-NO-MODEL", "reason": without_model(fates)}
    return head


def check_scored(fates: Sequence[Fate], *, scored: Sequence[bool]) -> None:
    """InputError where a round has tile scores but no model, or the other way round: files of different runs."""
    for fate, has_scores in zip(fates, scored, strict=True):
        if has_scores == bool(fate.code):
            words, said = ("scores", f"{fate.code}, no model") if has_scores else ("no score", "ok")
            raise InputError(
                f"Expected tile scores of the rounds that have a model, found {words} of round {fate.number} "
                f"({said} by its model.json); score the tiles again."
            )


def with_fates(rows: Sequence[dict], fates: Sequence[Fate]) -> list[dict]:
    """``rows`` (one per round) with each round's ``code``, and its training's reason where it has no model."""
    return [
        row | {"code": fate.code, "reason": fate.reason if fate.code else row["reason"]}
        for row, fate in zip(rows, fates, strict=True)
    ]


def without_model(fates: Sequence[Fate]) -> str:
    """In words, why none of the rounds has a model: each code with its rounds and reason."""
    numbers: dict[tuple[str, str], list[str]] = {}
    for fate in fates:
        numbers.setdefault((fate.code, fate.reason), []).append(str(fate.number))
    why = "; ".join(
        f"{code} in round{'s' if len(found) > 1 else ''} {', '.join(found)} ({reason})"
        for (code, reason), found in numbers.items()
    )
    return f"none of {len(fates)} rounds has a model: {why}"

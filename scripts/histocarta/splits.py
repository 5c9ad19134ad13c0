"""Who trains, who validates and who tests: drawn once per scheme, before any trait is looked at."""

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import read_table, write_table

# Where a scheme has a part "tuning" it chooses weights and penalties, and no fit touches "validation" (Wang 2021);
# elsewhere "validation" chooses them (Levy-Jurgenson 2020).
PARTS = ("train", "tuning", "validation", "test")
COLUMNS = ("slide", "patient", "unit", "part", "scheme", "round")
# The column of the manifest that holds each kind of unit. A section is a slide file: its regions are rows of the sheet.
UNIT_COLUMN = {"patient": "patient", "section": "file", "block": "block"}


class PartCounts(NamedTuple):
    """Number of units in each part of a round."""

    train: int
    tuning: int
    validation: int
    test: int


def tuning_part(split: pd.DataFrame) -> str:
    """The part of a round that chooses weights and penalties."""
    return "tuning" if (split["part"] == "tuning").any() else "validation"


def part_counts(n: int, *, test: float, validation: float, tuning: float = 0.0) -> PartCounts:
    """Shares of ``n`` rounded half up, at least one unit for each share above zero; training gets the rest.

    Exact fractions: int(10 * (1 - 0.8 - 0.1)), the released code's test set of ten patients, is 0 in floating point.
    """
    tested, validated, tuned = (
        max(1, int(Fraction(str(share)) * n + Fraction(1, 2))) if share else 0 for share in (test, validation, tuning)
    )
    return PartCounts(n - tested - validated - tuned, tuned, validated, tested)


def split_cohort(
    *,
    manifest: str,
    rounds: list[str],
    unit: str,
    test: float,
    validation: float,
    scheme: str,
    seed: int,
    tuning: float = 0.0,
    leave_out: str | None = None,
) -> None:
    """Write one table per round (``rounds``, in order) with the part of every slide that has tiles.

    manifest : the cohort manifest (slide, patient, file, block, n_tiles).
    unit : what is never divided between parts: patient, section or block.
    test, validation, tuning : shares of the units; the test part is drawn once, the others anew in each round. Where
        ``tuning`` is 0 the validation part chooses the weights.
    leave_out : None, or the kind of unit of which each round tests one (``test`` is then not used, and ``validation``
        is a share of the units that remain); round k tests the k-th in sorted order.

    Raises InputError where a part would be empty, a block is not named, or the number of rounds does not fit.
    """
    every = read_table(manifest)
    slides = every[every["n_tiles"].astype(int) > 0].sort_values("slide", ignore_index=True)
    slides = slides.assign(unit=_units(slides, unit=unit, manifest=manifest))
    if leave_out is None:
        shares = {"test": test, "validation": validation, "tuning": tuning}
        parts = draw_rounds(slides["unit"], **shares, rounds=len(rounds), seed=seed, what=unit)
        tables = [slides["unit"].map(part) for part in parts]
    else:
        shares = {"validation": validation, "tuning": tuning}
        tables = _leave_out_rounds(
            every, slides, leave_out=leave_out, unit=unit, **shares, rounds=len(rounds), seed=seed
        )
    for number, (path, part) in enumerate(zip(rounds, tables, strict=True), start=1):
        table = slides.assign(part=part, scheme=scheme, round=number)
        write_table(table[list(COLUMNS)], path)


def draw_rounds(
    units: Iterable[str], *, test: float, validation: float, rounds: int, seed: int, what: str, tuning: float = 0.0
) -> list[dict[str, str]]:
    """Part of every unit in each round: one test part for all rounds, training and validation redrawn in each.

    Units are sorted before they are drawn and each draw has a stream of its own, so neither the order of the sheet nor
    the number of rounds changes what a seed gives. Not a bootstrap: without replacement, as the released code does.
    """
    names = sorted(set(units))
    number = part_counts(len(names), test=test, validation=validation, tuning=tuning)
    wanted = [part for part, share in zip(PARTS, (1, tuning, validation, test), strict=True) if share]
    if empty := [part for part in wanted if getattr(number, part) < 1]:
        raise InputError(
            f"Expected at least one {what} in each of {', '.join(wanted)}; found none in {', '.join(empty)}: "
            f"{len(names)} {what}s with tiles give {'/'.join(map(str, number))} "
            f"({'/'.join(PARTS)}). Add slides, or change the shares of the split scheme."
        )
    order = np.random.default_rng([seed, 0]).permutation(len(names))
    tested, rest = order[: number.test], np.sort(order[number.test :])
    drawn = []
    for index in range(1, rounds + 1):
        shuffled = np.random.default_rng([seed, index]).permutation(rest)
        part = np.full(len(names), "train", dtype=object)
        part[tested] = "test"
        part[shuffled[: number.validation]] = "validation"
        part[shuffled[number.validation : number.validation + number.tuning]] = "tuning"
        drawn.append(dict(zip(names, part, strict=True)))
    return drawn


def patients_on_both_sides(split: pd.DataFrame) -> set[str]:
    """Patients of one round who are in its test part and in another: with any, the test is not independent."""
    tested = split["part"] == "test"
    return set(split.loc[tested, "patient"]) & set(split.loc[~tested, "patient"])


def _leave_out_rounds(
    every: pd.DataFrame,
    slides: pd.DataFrame,
    *,
    leave_out: str,
    unit: str,
    validation: float,
    tuning: float,
    rounds: int,
    seed: int,
) -> list[pd.Series]:
    """Part of every row of ``slides`` in each round; who has no tiles still has a round, with an empty test part."""
    column = UNIT_COLUMN[leave_out]
    left_out = sorted(set(every[column]))
    if len(left_out) != rounds:
        raise InputError(
            f"Expected {len(left_out)} rounds, one per {leave_out} of the manifest (leave_out: {leave_out}), found "
            f"{rounds}; set the scheme's rounds to {len(left_out)}."
        )
    parts = []
    for index, name in enumerate(left_out, start=1):
        held = slides[column] == name
        drawn = draw_rounds(
            slides.loc[~held, "unit"],
            test=0,
            validation=validation,
            tuning=tuning,
            rounds=1,
            seed=np.random.SeedSequence([seed, index]).generate_state(1)[0],
            what=unit,
        )
        parts.append(slides["unit"].map(drawn[0]).mask(held, "test"))
    return parts


def _units(slides: pd.DataFrame, *, unit: str, manifest: str) -> pd.Series:
    """Name of the unit of every slide."""
    names = slides[UNIT_COLUMN[unit]]
    blank = slides.loc[names == "", "slide"]
    if len(blank):
        raise InputError(
            f"Expected a {unit} for every slide of {manifest} (the split's unit is the {unit}), found none for "
            f"{len(blank)} of {len(slides)}, such as {blank.iloc[0]!r}; fill the {UNIT_COLUMN[unit]} column of the "
            "slide sheet or split by patient."
        )
    return names

"""What recovery is told in: a figure of a cohort beside its truth, and a bound that holds or does not."""

from dataclasses import dataclass

NAN = float("nan")


@dataclass(frozen=True)
class Figure:
    """One figure of one cohort; ``value`` is NaN with a ``reason`` where it cannot be had.

    low, high : 95 % bootstrap interval of an AUC, quartiles over the slides of a map's Spearman, NaN for HTI.
    n : labelled test slides (AUC), slides with a correlation (map), slides (HTI), test slides (regression).
    """

    cohort: str
    trait: str
    planted: bool
    figure: str
    value: float
    low: float
    high: float
    n: int
    reason: str = ""


@dataclass(frozen=True)
class Check:
    """A bound, what was found of it, and whether it holds; a NaN holds no bound."""

    bound: str
    found: str
    holds: bool

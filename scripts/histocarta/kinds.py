"""What a single value or section of a configuration can be, where its type alone does not say it."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from histocarta.sheets import SAFE_NAME, TRAIT_NAME


def _odd(number: int) -> int:
    if number % 2 == 0:
        raise ValueError("an odd number of votes, which cannot tie")
    return number


def _once(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("every trait once")
    return names


def _rising(cut: list[float]) -> list[float]:
    if cut[0] > cut[1]:
        raise ValueError("[a, b] with a not above b")
    return cut


Name = Annotated[str, StringConstraints(pattern=f"^{SAFE_NAME.pattern}$")]
# Stricter than folders need: these three are wildcards that must not be mistaken for one another.
LayoutName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$")]
TaskName = Annotated[str, StringConstraints(pattern=r"^[a-z]+$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9-]+$")]
SchemeName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]+$")]
TraitName = Annotated[str, StringConstraints(pattern=f"^{TRAIT_NAME.pattern}$")]
Share = Annotated[float, Field(ge=0, le=1)]
Percentile = Annotated[float, Field(ge=0, le=100)]
# An even number can tie, and a tie would count as negative: fewer positive tiles for no reason but the number.
Votes = Annotated[int, AfterValidator(_odd)]
TraitSet = Annotated[list[TraitName], AfterValidator(_once)]
Cut = Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_rising)]


class Section(BaseModel):
    """A block of the configuration: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)

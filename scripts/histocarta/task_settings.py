"""What a study's configuration may say of a task: what is learnt, of which labels, by which network, fitted how."""

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from histocarta.fit_settings import Task
from histocarta.kinds import Percentile, Section, TraitName, TraitSet, Votes
from histocarta.spot_settings import Spots


class Labels(Section):
    """How expression becomes classes."""

    low: Percentile = Field(20.0, description="values at or below this percentile are low")
    high: Percentile = Field(80.0, description="values at or above this percentile are high")
    near: Percentile = Field(10.0, description="width of OOD-near beside each threshold, in percentiles")
    centre: Literal["patient"] | None = Field(
        None, description="patient: subtract each patient's mean first (studies of few patients)"
    )

    @model_validator(mode="before")
    @classmethod
    def _one_cut(cls, given: Any) -> Any:
        """One cut leaves nothing between, so that nothing can be near: the default gives way."""
        one_cut = isinstance(given, dict) and "low" in given and given["low"] == given.get("high")
        return {"near": 0.0, **given} if one_cut else given

    @model_validator(mode="after")
    def _ordered(self) -> "Labels":
        if self.low > self.high:
            raise ValueError("low not above high")
        if self.near and 2 * self.near >= self.high - self.low:
            raise ValueError("near of less than half of high - low, or 0, since what is near one is not near the other")
        return self


class Values(Section):
    """How expression becomes what a regression predicts."""

    centre: Literal["patient"] | None = Field(
        None, description="patient: subtract each patient's mean first (studies of few patients)"
    )
    standardise: bool = Field(
        True, description="learn (value - mean) / sd of the slides outside the test part; scores are put back"
    )
    min_variance: Annotated[float, Field(ge=0)] = Field(
        0.01, description="smallest variance, outside the test part, of a trait that is learnt"
    )
    reference_batch: str | None = Field(
        None,
        description="batch of the slide sheet's column `batch` to whose median, gene by gene, the others are shifted "
        "(values are on a log scale); null: values are taken as they are",
    )


class Vote(Section):
    """How the rounds' models become one."""

    best: Votes = Field(
        3, ge=1, description="rounds, best by validation, that vote on each tile; odd, so that no vote ties"
    )


class Regions(Task):
    """Tiles inside a marked region (tumour) told from others, so that layouts can keep to it (Wang et al. 2021)."""

    traits: Annotated[TraitSet, Field(min_length=1)] = Field(description="names of the regions, such as tumour")
    classes: dict[TraitName, Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="region: the classes of the annotations that lie in it; of others the class of the same name"
    )
    unmarked: Literal["left_out", "outside"] = Field(
        "left_out",
        description="what tiles without a class teach on slides that are annotated: nothing, or what lies outside",
    )

    @model_validator(mode="after")
    def _known(self) -> "Regions":
        if strange := sorted(set(self.classes) - set(self.traits)):
            raise ValueError(
                f"classes of the regions in traits ({', '.join(self.traits)}), not of {', '.join(strange)}"
            )
        return self

    def members(self) -> dict[str, list[str]]:
        """The classes of every region."""
        return {trait: self.classes.get(trait, [trait]) for trait in self.traits}

    def combining(self, *, seed: int) -> dict[str, Any]:
        return {"seed": seed}

    def tables(self) -> list[str]:
        return []


class Extremes(Task):
    """Slides high in a trait told from slides low in it (Levy-Jurgenson et al. 2020)."""

    labels: Labels = Field(Labels(), description="classes")
    vote: Vote = Field(Vote(), description="ensemble")
    threshold: float = Field(0.5, gt=0, lt=1, description="a tile with a higher score is positive")

    def judging(self) -> dict[str, Any]:
        return {"threshold": self.threshold}

    def combining(self, *, seed: int) -> dict[str, Any]:
        return {"best": self.vote.best, "threshold": self.threshold, "seed": seed}

    def tables(self) -> list[str]:
        return ["extremes"]


class Transcriptome(Section):
    """Many genes predicted at once, on the task's layout, scheme and labels."""

    genes: Literal["all"] | str | list[TraitName] = Field(
        "all", description="genes: all of the expression table, a sheet with the column `trait`, or a list"
    )
    ways: Annotated[list[Literal["probe", "panel"]], Field(min_length=1)] = Field(
        ["probe"],
        description="probe: ridge regression on what a network sees; panel: one network with an output per gene",
    )
    features: str | None = Field(
        None,
        description="of probe: a .keras model whose layers up to its pooling are used; null: the task's `model`, with "
        "its weights or untrained",
    )
    penalties: list[Annotated[float, Field(gt=0)]] = Field(
        [10.0**power for power in range(-4, 4)],
        min_length=1,
        description="of probe: ridge penalties to choose from, in units of the features' mean squared singular value",
    )
    variability: list[TraitName] = Field(
        [], description="genes by whose predictions slides are ranked, the most variable within first; none: no ranking"
    )


class Selection(Section):
    """Genes that the validation part brings forward to the test, where a scheme has one that no fit touches."""

    min_r2: float = Field(0.2, description="smallest R² on the validation part; must be exceeded")
    max_fdr: Annotated[float, Field(gt=0, le=1)] = Field(
        0.001, description="largest FDR on the validation part; must be fallen below"
    )


class Regression(Task):
    """A slide's expression of a gene predicted (Wang et al. 2021, EMO)."""

    traits: str | list[TraitName] = Field(
        [], description="traits with a model each: a sheet with the column `trait`, or a list"
    )
    genes_per_job: int = Field(
        1,
        ge=1,
        description="`traits` trained in one job, on tiles that are decoded once for all of them; above 1 there is a "
        "table of all, and maps and figures of one only where its files are asked for",
    )
    labels: Values = Field(Values(), description="what is predicted")
    selection: Selection = Field(Selection(), description="which genes are brought forward to the test")
    transcriptome: Transcriptome | None = Field(None, description="many genes at once, beside `traits`")
    align: Literal["median"] | None = Field(
        "median",
        description="median: add to each gene of an external cohort what its median lacks of that of the training "
        "cohort outside its test part (Wang 2021); changes R², and no rank",
    )

    @model_validator(mode="after")
    def _something(self) -> "Regression":
        if not self.ways():
            raise ValueError("traits, or a section transcriptome")
        if self.genes_per_job > 1 and self.training.gpus > 1:
            raise ValueError("training.gpus of 0 or 1 where genes_per_job is above 1: give more cards more jobs")
        return self

    def gathered(self) -> list[str]:
        return self.at_once() if self.one_by_one() else self.ways()

    def one_by_one(self) -> bool:
        return self.genes_per_job == 1

    def at_once(self) -> list[str]:
        return list(self.transcriptome.ways) if self.transcriptome else []

    def ways(self) -> list[str]:
        """With a network each, or many at once."""
        return [*(["per-gene"] if self.traits else []), *self.at_once()]

    def tables(self) -> list[str]:
        return [f"regression-{way}" for way in self.ways()]


class Tasks(Section):
    """What is learnt, by the name of the system that it follows; at least one."""

    regions: Regions | None = Field(None, description="where tissue of a kind lies: tiles told by annotated ones")
    extremes: Extremes | None = Field(None, description="high against low expression, as Levy-Jurgenson et al. 2020")
    regression: Regression | None = Field(None, description="expression itself, as Wang et al. 2021")
    spots: Spots | None = Field(None, description="expression in spots of spatial transcriptomics, as He et al. 2020")

    @model_validator(mode="after")
    def _one(self) -> "Tasks":
        if not self.items():
            raise ValueError(f"one of the tasks {', '.join(type(self).model_fields)}")
        return self

    @model_serializer(mode="wrap")
    def _without_absent(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: task for name, task in serialise(self).items() if task is not None}

    def items(self) -> list[tuple[str, Task]]:
        """Names and settings of the study's tasks."""
        return [(name, task) for name in type(self).model_fields if (task := getattr(self, name)) is not None]

    def values(self) -> list[Task]:
        return [task for _, task in self.items()]

    def __contains__(self, name: str) -> bool:
        return name in dict(self.items())

    def __getitem__(self, name: str) -> Task:
        return dict(self.items())[name]

    def __len__(self) -> int:
        return len(self.items())

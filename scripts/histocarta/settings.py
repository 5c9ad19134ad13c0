"""What a study's configuration may say: every key, its type, its default and its meaning."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from histocarta.fidelity import Value
from histocarta.fidelity import choice as fidelity_choice
from histocarta.kinds import Cut, LayoutName, Name, Percentile, SchemeName, Share, TaskName, TraitName, TraitSet, Votes
from histocarta.mpp import MPP_RANGE
from histocarta.networks import SMALLEST_TILE


class Section(BaseModel):
    """A block of the configuration: immutable, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpressionTable(Section):
    """One expression matrix of a cohort."""

    path: str = Field(description="TSV or CSV (plain or .gz) or Parquet; names in the first column and the header")
    orientation: Literal["traits_by_samples", "samples_by_traits"] = Field(
        "traits_by_samples", description="what the rows are; a transposed table is refused"
    )
    scale: Literal["log2", "raw", "zscore"] = Field(
        "log2", description="scale of the values, which are held against it: see above"
    )
    duplicates: Literal["error", "mean", "max", "first"] = Field(
        "error", description="what becomes of rows with the same name (max: the row with the highest mean)"
    )


class Cohort(Section):
    """Slides and measurements of one group of patients; give `slides`, or `gdc_manifest` with `slides_folder`."""

    slides: str | None = Field(None, description="slide sheet (TSV)")
    gdc_manifest: str | None = Field(None, description="GDC manifest of the slides, in place of a slide sheet")
    slides_folder: str | None = Field(None, description="where the manifest's files lie, as folder/id/filename")
    expression: list[ExpressionTable] = Field(min_length=1, description="expression matrices (mRNA, miRNA, …)")
    clinical: str | None = Field(None, description="clinical sheet (TSV) with patient, time and event")
    spots: str | None = Field(
        None, description="expression measured in place: slide, section, x_px, y_px, total and the traits"
    )
    time_unit: Literal["days", "months", "years"] = Field("months", description="unit of the clinical sheet's times")
    sample_types: list[Annotated[str, StringConstraints(pattern=r"^\d\d$")]] = Field(
        ["01"], min_length=1, description="TCGA sample types in order of preference (01 primary, 02 recurrent, 06 …)"
    )
    match_sample_types: bool | None = Field(
        None, description="exclude slides of another TCGA sample type than the expression; null: by `fidelity`"
    )
    default_mpp: Annotated[float, Field(ge=MPP_RANGE[0], le=MPP_RANGE[1])] | None = Field(
        None, description="um per pixel of slides for which sheet, vendor and TIFF tags say nothing"
    )
    mpp_from_objective: bool = Field(True, description="derive um per pixel from the objective power, with a warning")

    @model_validator(mode="after")
    def _one_source(self) -> "Cohort":
        if (self.slides is None) == (self.gdc_manifest is None):
            raise ValueError("either slides or gdc_manifest, and not both")
        if (self.gdc_manifest is None) != (self.slides_folder is None):
            raise ValueError("slides_folder together with gdc_manifest")
        return self

    def files(self) -> dict[str, str | list[str]]:
        """The tables that :func:`histocarta.cohort.prepare_cohort` reads, by argument; what its rule depends on."""
        paths = {"slides_sheet": self.slides, "gdc_manifest": self.gdc_manifest, "clinical_sheet": self.clinical}
        return {name: path for name, path in paths.items() if path} | {
            "tables": [table.path for table in self.expression]
        }

    def preparation(self) -> dict[str, Any]:
        """All arguments of :func:`histocarta.cohort.prepare_cohort` but its outputs."""
        settings = self.model_dump(include={"slides_folder", "time_unit", "sample_types", "match_sample_types"})
        return self.files() | settings | {"tables": [table.model_dump() for table in self.expression]}


class Layout(Section):
    """Where tiles lie, how large they are, and which are kept."""

    size: int = Field(512, ge=16, le=4096, description="side of a tile in pixels")
    mpp: float = Field(0.5, gt=0, le=20, description="um per pixel of a tile (never «20x»)")
    stain: Literal["none", "macenko", "reinhard", "vahadane"] = Field("none", description="colour normalisation")
    background: Literal["paper", "released", "otsu", "st-net", "st-net-released", "badea"] | None = Field(
        None, description="preset of the background rule; null: by `fidelity`"
    )
    min_tissue: Share = Field(0.5, description="smallest share of tissue in a kept tile")
    min_sharpness: Annotated[float, Field(ge=0)] | None = Field(
        0.25, description="smallest sharpness of a kept tile (0.25 was set at 0.5 um/px); null: no blur test"
    )
    max_pen: Share = Field(0.1, description="largest share of pen ink in a kept tile")
    max_dark: Share = Field(0.5, description="largest share of very dark pixels (folds, bubbles) in a kept tile")
    max_enlargement: Annotated[float, Field(ge=1)] | None = Field(
        1.1, description="slides scanned coarser than this times `mpp` are left out (S-COARSE); null: enlarge them"
    )
    quality: int = Field(90, ge=90, le=100, description="JPEG quality of the stored tiles (4:4:4)")
    decode: Literal["exact", "dct"] = Field("exact", description="dct: halve JPEG tiles while decoding where 2x is due")

    def tiling(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.tiling.tile_slide`."""
        return self.model_dump(exclude={"stain"}) | {"method": self.stain}

    def staining(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.stain.estimate_stain`."""
        return self.model_dump(include={"size", "mpp", "max_pen"}) | {"method": self.stain}


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


class Model(Section):
    """The network."""

    network: Literal["inception-v3", "tiny"] = Field("inception-v3", description="architecture (tiny: trial runs only)")
    size: int = Field(512, ge=16, description="side of the network's input in pixels; tiles are resized to it")
    pooling: Literal["avg", "max"] | None = Field(None, description="global pooling; null: by `fidelity`")
    batch_norm_momentum: float = Field(
        0.99, ge=0, lt=1, description="Keras' momentum; use 0.9 where a run has only some hundred steps"
    )
    weights: str | None = Field(None, description="weights file to start from; null: random")

    @model_validator(mode="after")
    def _large_enough(self) -> "Model":
        if self.size < SMALLEST_TILE[self.network]:
            raise ValueError(f"size of at least {SMALLEST_TILE[self.network]} px for {self.network}")
        return self


class Training(Section):
    """How a model is fitted."""

    batch: int = Field(32, ge=1, description="tiles per step, over all GPUs")
    learning_rate: float = Field(1e-3, gt=0, description="Adam's learning rate")
    validations_per_epoch: int = Field(16, ge=1, description="validations in one pass over the training tiles")
    min_steps: int = Field(1, ge=1, description="fewest training steps between two validations")
    max_validations: int = Field(1000, ge=1, description="most validations of one training")
    plateau: int = Field(10, ge=1, description="validations without improvement before the learning rate falls tenfold")
    stop: int = Field(30, ge=1, description="validations without improvement before training stops")
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = Field(
        "float32", description="Keras dtype policy"
    )
    xla: bool = Field(False, description="compile with XLA (jax always does); results may then not be repeatable")
    gpus: int = Field(1, ge=0, description="GPUs of one training job; 0: CPU only")
    shuffle_buffer: int = Field(2048, ge=1, description="tiles in the shuffle buffer")
    augment: list[Literal["horizontal", "vertical"]] = Field(
        ["horizontal", "vertical"], description="random flips of training tiles, independent of each other"
    )
    require_gpu: bool = Field(
        True,
        description="an error where CUDA_VISIBLE_DEVICES names a GPU and none is seen; false: a warning, and the CPU",
    )
    all_rounds_in_one_job: bool = Field(False, description="train all rounds of a trait in one process")
    max_validation_tiles: Annotated[int, Field(ge=1)] | None = Field(
        None, description="most tiles scored at one validation; null: all"
    )


class Vote(Section):
    """How the rounds' models become one."""

    best: Votes = Field(
        3, ge=1, description="rounds, best by validation, that vote on each tile; odd, so that no vote ties"
    )


class Task(Section):
    """What is learnt: traits, their labels, the model and its training."""

    layout: LayoutName = Field(description="name of a layout")
    scheme: SchemeName = Field(description="name of a split scheme")
    traits: str | list[TraitName] = Field(description="traits to predict: a sheet with the column `trait`, or a list")
    labels: Labels = Field(Labels(), description="classes")
    model: Model = Field(Model(), description="network")
    training: Training = Field(Training(), description="fit")
    vote: Vote = Field(Vote(), description="ensemble")
    threshold: float = Field(0.5, gt=0, lt=1, description="a tile with a higher score is positive")


class Scheme(Section):
    """A named way to split: the test part once, then training and validation parts redrawn each round."""

    unit: Literal["patient", "section", "block"] = Field(
        "patient", description="what is never divided between parts (section: a slide file with all its regions)"
    )
    test: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="share of the units that test")
    validation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of all units that validate; null: by `fidelity`"
    )
    rounds: int = Field(5, ge=1, description="training and validation draws")
    leave_out: Literal["patient"] | None = Field(
        None, description="patient: one round per patient, who tests; `test` and `rounds` are not used"
    )


class Heterogeneity(Section):
    """A set of traits whose joint heterogeneity is measured."""

    task: TaskName = Field(description="name of a task")
    traits: TraitSet = Field(min_length=2, description="two or more traits of that task")
    min_tiles: int = Field(1, ge=1, description="tiles with a positive trait that a slide needs for an index")
    region: int = Field(
        4, ge=1, description="side in tiles of a region of HTA, which is also the block of the bootstrap"
    )
    permute: Literal["tissue", "positive"] = Field(
        "tissue", description="what changes places in the permutation test: all tiles, or those with a positive trait"
    )
    permutations: int = Field(1000, ge=0, description="arrangements of the permutation test; 0: no p")
    bootstraps: int = Field(200, ge=0, description="resamples of blocks for the intervals; 0: no intervals")

    def measuring(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.heterogeneity.measure_heterogeneity`."""
        return self.model_dump(exclude={"task", "traits"})


class Survival(Section):
    """Survival by heterogeneity group."""

    cuts: list[Cut] = Field(
        [[0.5, 0.5], [0.3, 0.7]], min_length=1, description="[a, b]: low is HTI <= a, high is HTI > b"
    )
    horizon_years: Annotated[float, Field(gt=0)] | None = Field(
        None, description="times beyond it are cut and censored; null: by `fidelity`"
    )
    covariates: list[str] = Field([], description="columns of the clinical sheet for the Cox model")


class Downloads(Section):
    """How the slides of a GDC manifest are fetched."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^{}]+/data/\{uuid\}$")] = Field(
        "https://api.gdc.cancer.gov/data/{uuid}", description="address of a file, with `{uuid}` for its id"
    )
    token_file: str | None = Field(None, description="file with a GDC token, for controlled data (chmod 600)")
    keep_slides: bool = Field(True, description="false: a slide is deleted as soon as its tiles are cut")


class Study(Section):
    """One study: cohorts, layouts, tasks, splits and analyses."""

    study: Name = Field(description="the study's name")
    seed: int = Field(1, ge=0, description="root of all random numbers")
    fidelity: Literal["paper", "released", "corrected"] = Field(
        "corrected", description="whom to follow where paper, released code and sound practice differ"
    )
    fidelity_overrides: dict[str, str | bool | float | None] = Field(
        {}, description="row of the fidelity table: a value or a column's name"
    )
    tensorflow_env: Literal["tensorflow", "tensorflow-gpu"] = Field(
        "tensorflow", description="environment of training and scoring, where --sdm conda builds environments"
    )
    max_excluded: Share = Field(0.05, description="share of slides that may be excluded (one always may)")
    downloads: Downloads = Field(Downloads(), description="GDC slides")
    cohorts: dict[Name, Cohort] = Field(min_length=1, description="by name")
    layouts: dict[LayoutName, Layout] = Field(min_length=1, description="by name")
    tasks: dict[TaskName, Task] = Field(min_length=1, description="by name")
    splits: dict[SchemeName, Scheme] = Field(min_length=1, description="schemes by name")
    heterogeneity: list[Heterogeneity] = Field([], description="trait sets")
    survival: Survival = Field(Survival(), description="survival analysis")

    def choice(self, name: str) -> Value:
        """The value of a row of the fidelity table in this study."""
        return fidelity_choice(name, column=self.fidelity, overrides=self.fidelity_overrides)

    def heterogeneity_of(self, task: str, traits: list[str]) -> Heterogeneity:
        """What the study says of a set of traits; a set that it does not name, asked for by path, gets the defaults."""
        named = [item for item in self.heterogeneity if (item.task, item.traits) == (task, traits)]
        return named[0] if named else Heterogeneity(task=task, traits=traits)

"""What a study's configuration may say: every key, its type, its default and its meaning."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from histocarta.fidelity import Value
from histocarta.fidelity import choice as fidelity_choice
from histocarta.kinds import Cut, GroupName, LayoutName, Name, SchemeName, Section, Share, TaskName, TraitName, TraitSet
from histocarta.mpp import MPP_RANGE
from histocarta.task_settings import Tasks


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


class RoiValues(Section):
    """How what a cohort's regions measure (`rois`) becomes what is compared."""

    negatives: list[str] = Field(
        [],
        description="columns of negative controls, over whose mean counts are divided before log2; none: log already",
    )
    sums: dict[str, list[TraitName]] = Field(
        {}, description="column of a probe that measures several genes together: these genes"
    )
    scores: dict[str, GroupName] = Field(
        {}, description="column of a marker in percent (Ki67): the panel whose mean prediction it is held against"
    )
    min_variance: Annotated[float, Field(ge=0)] = Field(
        0.0, description="columns that vary less between the regions are left out (Wang 2021: 0.001)"
    )


class Cohort(Section):
    """Slides and measurements of one group of patients; give `slides`, or `gdc_manifest` with `slides_folder`."""

    slides: str | None = Field(None, description="slide sheet (TSV)")
    gdc_manifest: str | None = Field(None, description="GDC manifest of the slides, in place of a slide sheet")
    slides_folder: str | None = Field(None, description="where the manifest's files lie, as folder/id/filename")
    expression: list[ExpressionTable] = Field(
        [], description="expression matrices (mRNA, miRNA, …); needed but where there are `sections`"
    )
    sections: str | None = Field(
        None,
        description="spatially measured sections (TSV), for the task spots: slide, counts and, by their format, spots",
    )
    clinical: str | None = Field(None, description="clinical sheet (TSV) with patient, time and event")
    one_slide: bool = Field(
        False, description="use one slide of each patient: of the highest `priority` in the sheet, then the most tiles"
    )
    external_to: Name | None = Field(
        None,
        description="cohort whose models (regression, spots) are held against this one; nothing is fitted on this one",
    )
    spots: str | None = Field(
        None, description="expression measured in place: slide, section, x_px, y_px, total and the traits"
    )
    rois: str | None = Field(
        None,
        description="many genes measured in regions (Parquet): slide, section, x_px, y_px, side_um or polygon, genes",
    )
    annotations: str | None = Field(
        None,
        description="where tissue of a kind was marked (TSV), for the task regions: slide and file (GeoJSON), or spots "
        "as slide, x_px, y_px, class",
    )
    roi_values: RoiValues = Field(RoiValues(), description="how the regions' values are made comparable")
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
        if not self.expression and not self.sections:
            raise ValueError("expression, or sections with spots")
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


CHOOSING = ("of", "region", "min_score")  # keys of a layout that takes another's tiles


class Layout(Section):
    """Where tiles lie, how large they are, and which are kept; or, with `of`, those of another layout in a region."""

    sites: Literal["grid", "spots"] = Field(
        "grid", description="where tiles lie: side by side, or one on every spot of the cohort's `sections`"
    )
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
    of: LayoutName | None = Field(None, description="layout whose tiles these are, with all its other settings")
    region: TraitName | None = Field(None, description="with `of`: region of the task regions in which tiles are kept")
    min_score: Share = Field(0.5, description="with `of`: smallest score of the region's classifier in a kept tile")

    def tiling(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.tiling.tile_slide`."""
        return self.model_dump(exclude={"stain", "sites", *CHOOSING}) | {"method": self.stain, "sites_are": self.sites}

    def staining(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.stain.estimate_stain`."""
        return self.model_dump(include={"size", "mpp", "max_pen"}) | {"method": self.stain}


class Scheme(Section):
    """A named way to split: the test part once, then training and validation parts redrawn each round."""

    unit: Literal["patient", "section", "block"] = Field(
        "patient", description="what is never divided between parts (section: a slide file with all its regions)"
    )
    test: Annotated[float, Field(ge=0, lt=1)] = Field(0.1, description="share of the units that test")
    validation: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None, description="share of all units that validate; null: by `fidelity`"
    )
    tuning: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="share of all units that chooses weights and penalties; 0: the validation part does"
    )
    rounds: int = Field(5, ge=1, description="training and validation draws")
    leave_out: Literal["patient"] | None = Field(
        None, description="patient: one round per patient, who tests; `test` and `rounds` are not used"
    )
    inner: Annotated[int, Field(ge=2)] | None = Field(
        None,
        description="with `leave_out`, for the task spots: parts of the training patients by which the number of "
        "epochs is chosen before a model learns from all of them (He 2020: 4); no validation part is drawn then",
    )

    @model_validator(mode="after")
    def _inner_of_left_out(self) -> "Scheme":
        if self.inner and (not self.leave_out or self.tuning):
            raise ValueError("inner beside leave_out and without tuning")
        return self

    def splitting(self) -> dict[str, Any]:
        """The settings of :func:`histocarta.splits.split_cohort`."""
        drawn = self.model_dump(exclude={"rounds", "inner"})
        return drawn | ({"validation": 0.0} if self.inner else {})


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


class Contrast(Section):
    """Two groups of patients between which genes are compared: by a clinical column, or at a gene's median."""

    column: str | None = Field(None, description="column of the clinical sheet")
    high: str | None = Field(None, description="its value in the one group; an effect above 0 is higher here")
    low: str | None = Field(None, description="its value in the other; patients with any other take no part")
    gene: TraitName | None = Field(None, description="in place of a column: above against not above its median")
    covariates: list[str] = Field([], description="columns of the clinical sheet for the linear model")

    @model_validator(mode="after")
    def _groups(self) -> "Contrast":
        by_column = [value is not None for value in (self.column, self.high, self.low)]
        if (not all(by_column) or self.gene) and (any(by_column) or not self.gene):
            raise ValueError("either column with high and low, or gene")
        return self


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
    reopen_tests: bool = Field(
        False,
        description="hold other models against a test set (an external cohort; the test part of a scheme with `tuning` "
        "and one round) than those it was opened for; the report says so",
    )
    max_excluded: Share = Field(0.05, description="share of slides that may be excluded (one always may)")
    downloads: Downloads = Field(Downloads(), description="GDC slides")
    cohorts: dict[Name, Cohort] = Field(min_length=1, description="by name")
    layouts: dict[LayoutName, Layout] = Field(min_length=1, description="by name")
    tasks: Tasks = Field(description="by name")
    splits: dict[SchemeName, Scheme] = Field(min_length=1, description="schemes by name")
    heterogeneity: list[Heterogeneity] = Field([], description="trait sets")
    contrasts: dict[GroupName, Contrast] = Field({}, description="differential expression, by name")
    panels: dict[GroupName, str] = Field({}, description="sheets of genes whose prediction is summed up, by name")
    subtype: str | None = Field(
        None, description="column of the clinical sheet that the samples' clusters by a panel are held against"
    )
    statuses: dict[TraitName, str] = Field(
        {}, description="gene, or name of a panel: column of the clinical sheet that its prediction is shown by"
    )
    gene_sets: dict[GroupName, str] = Field({}, description="GMT files of gene sets for enrichment, by name")
    survival: Survival = Field(Survival(), description="survival analysis")

    def choice(self, name: str) -> Value:
        """The value of a row of the fidelity table in this study."""
        return fidelity_choice(name, column=self.fidelity, overrides=self.fidelity_overrides)

    def heterogeneity_of(self, task: str, traits: list[str]) -> Heterogeneity:
        """What the study says of a set of traits; a set that it does not name, asked for by path, gets the defaults."""
        named = [item for item in self.heterogeneity if (item.task, item.traits) == (task, traits)]
        return named[0] if named else Heterogeneity(task=task, traits=traits)

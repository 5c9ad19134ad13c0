"""Where the published method, the released code and sound practice differ, and which of the three a study follows."""

from collections.abc import Mapping
from dataclasses import dataclass

from histocarta.errors import InputError, nearest

COLUMNS = ("paper", "released", "corrected")
Value = str | bool | float | None


@dataclass(frozen=True)
class Row:
    """One point of difference that changes published results: a value per column, its source and its meaning."""

    name: str
    paper: Value
    released: Value
    corrected: Value
    source: str
    what: str


# "released" is alonalj/PathoMCH at fa3b7fe; "paper" is Levy-Jurgenson et al. 2020, Sci. Rep. 10:18802.
TABLE: dict[str, Row] = {
    row.name: row
    for row in (
        Row(
            "percentiles_fitted_on", "all", "all", "non_test",
            "Levy-Jurgenson 2020, Methods; released get_percentiles",
            "patients whose expression sets the low and high thresholds: every patient, or none of the test patients",
        ),
        Row(
            "test_batch_shift", "own", "own", "non_test",
            "Wang 2021, Methods: each test set is shifted by its own median; no code was released",
            "what shifts a test sample to the reference batch: its batch's samples in the test part, or outside it",
        ),
        Row(
            "probe_sum", "log", "log", "linear",
            "Wang 2021, Methods: sum of the predictions of KRT18, KRT6B …, which are logarithms; no code was released",
            "how predictions are summed for a probe that measures several genes together (multi-KRT)",
        ),
        Row(
            "spot_genes_selected_on", "all", "all", "fold",
            "He 2020, Methods: the 250 genes of the highest mean over all spots; released code likewise",
            "spots whose counts choose the genes of top-<n>: all, or those outside the round's test part",
        ),
        Row(
            "validation_share", 0.1, 0.18, 0.1,
            "paper: 80 % train, 10 % validation, 10 % test; released: 80/20 of what the test set leaves, so 72/18/10",
            "share of the split units that validate, where a scheme names none",
        ),
        Row(
            "match_sample_types", False, False, True,
            "the authors' manifests hold slides of a metastasis (TCGA-E2-A15E-06Z) and a recurrence (TCGA-50-5066-02Z)",
            "whether a slide needs the sample type of its patient's expression, where a cohort says nothing",
        ),
        Row(
            "background", "paper", "released", "paper",
            "paper: tiles with more than 50 % background; released: mean of (value > 220) over channels too, >= 0.5",
            "preset of the background rule, where a layout names none",
        ),
        Row(
            "pooling", "avg", "max", "avg",
            "paper: Inception v3 with one output (which ends in average pooling); released: global max pooling",
            "global pooling before the last layer, where a task names none",
        ),
        Row(
            "checkpoint_metric", "slide_auc", "tile_auc", "slide_auc",
            "paper: weights with the best slide-level AUC on validation; released: best tile-level AUC",
            "validation figure that chooses the weights to keep",
        ),
        Row(
            "hti_zero", "kept", "dropped", "kept",
            "paper: HTI in [0, 1], HTI <= 0.5 is low; released: `if not HTI: continue`",
            "whether perfectly homogeneous slides (HTI = 0) take part in the survival analysis",
        ),
        Row(
            "cut_boundary", "inclusive", "exclusive", "inclusive",
            "paper: > 0.5 against <= 0.5; released: rows with between(low, high), both ends included, are removed",
            "whether an HTI equal to the lower cut belongs to the low group or to none",
        ),
        Row(
            "horizon_years", None, 10.0, None,
            "released: survival times above 10 years are cut to 10 and censored; the paper says nothing of it",
            "censoring horizon of the survival analysis in years, where the study names none",
        ),
    )
}  # fmt: skip

# Plain faults of the released code: reported, never reproduced (source: alonalj/PathoMCH at fa3b7fe, read and run).
NOT_REPRODUCED: dict[str, str] = {
    "median plus one": "'above median' was v >= median + 1, which leaves values just above the median without a label",
    "split truncation": "int(n * (1 - 0.8 - 0.1)) gives 99 test patients of 1,000 and none of 10; counts are rounded",
    "unseeded split": "patients came from a set() in hash order and were shuffled without a seed",
    "stale shards": "training shards of an earlier trait or split were not deleted and were read again",
    "coupled flips": "both flips shared one seed, so that only identity and 180 degree rotation ever occurred",
    "barcode cut": "slide ids cut at 23 characters and the test 'DX1' in id merge DX10 with DX1 (TCGA-49-4488)",
    "patients without DX1": "14 BRCA patients without a DX1 slide left the survival analysis; the lowest DX is taken",
    "mpp guess": "TIFF resolution was read as um/px whatever its unit, and 0.254 was assumed where it was missing",
    "edge tiles": "incomplete edge tiles were padded with black; they are dropped and counted here",
    "double JPEG": "tiles were JPEG-encoded twice at default quality",
    "vital status": "event = (status == 'DECEASED') finds nobody in files that say '1:DECEASED'",
    "vanishing slides": "a slide that failed to open or kept no tile disappeared without a message",
    "no positive tile": "a slide without any positive tile got HTI 0; it is 'not defined' here, with the reason",
    "map colours": "vmax = max(data) drew one trait in the other's colour where no tile had both",
}


def choice(name: str, *, column: str, overrides: Mapping[str, Value] | None = None) -> Value:
    """The value that row ``name`` takes in a study that follows ``column``.

    ``overrides`` maps row names to a column name or to one of the row's own values and wins over ``column``.
    Raises InputError for an unknown row, column or value.
    """
    if name not in TABLE:
        raise InputError(
            f"Expected a row of the fidelity table ({', '.join(TABLE)}), found {name!r}{nearest(name, TABLE)}"
        )
    row = TABLE[name]
    chosen = (overrides or {}).get(name, column)
    if chosen in COLUMNS:  # 'paper' is a background preset too, and that column's value: both readings agree
        return getattr(row, chosen)
    values = [getattr(row, column_name) for column_name in COLUMNS]
    if chosen not in values:
        allowed = ", ".join(dict.fromkeys([*COLUMNS, *(str(value) for value in values)]))
        raise InputError(f"Expected one of {allowed} for fidelity row {name!r}, found {chosen!r}")
    return chosen


def choices(*, column: str, overrides: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """Every row's value for a study, in table order; what the report prints."""
    for name in overrides or {}:
        choice(name, column=column, overrides=overrides)
    return {name: choice(name, column=column, overrides=overrides) for name in TABLE}

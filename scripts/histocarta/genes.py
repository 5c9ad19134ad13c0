"""What many genes measure in every slide at once: the values of a whole table, and which of them can be learnt."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.expression import trait_columns
from histocarta.files import write_json, write_table
from histocarta.samples import (
    batch_of_samples,
    centre_by_patient,
    fitted_samples,
    name_samples,
    shift_batches,
    tiled_slides,
)
from histocarta.values import MIN_SAMPLES, UNSCALED
from histocarta.versions import VERSION

TRAIT = "transcriptome"  # what labels.json, logs and sidecars call all genes together
COLUMNS = ("slide", "patient", "sample", "value", "target")
GENE_COLUMNS = ("trait", "status", "code", "reason", "samples", "mean", "variance", "sd")


def label_genes(
    *,
    expression: str,
    manifest: str,
    split: list[str],
    labels: str,
    genes: str,
    summary: str,
    wanted: Sequence[str] | None,
    centre: str | None,
    standardise: bool,
    min_variance: float,
    fitted_on: str,
    sheet: str | list[str] = (),
    reference_batch: str | None = None,
    test_shift: str = "non_test",
) -> None:
    """Give every slide with tiles its sample's values of all ``wanted`` genes (None: every column of ``expression``).

    ``labels`` holds, per slide, the lists ``value`` and ``target`` (what is learnt) of the genes that can be learnt, in
    the order of those with the status "ok" in ``genes``, a row per gene in the order of ``wanted``. The rule is
    :func:`values.label_regression`'s, gene by gene, with the same codes; and a gene that was not measured in every
    sample that may be learnt from is left out (B-PARTIAL), since all genes see the same slides. ``summary`` says so of
    all together. Batches (``sheet``: the slide sheet) are brought to ``reference_batch``: ``samples.shift_batches``.
    """
    rule = {"centre": centre, "standardise": standardise, "min_variance": min_variance}
    rule |= {"reference_batch": reference_batch, "test_shift": test_shift} if reference_batch else {}
    about = {"trait": TRAIT, "rule": rule, "fitted_on": fitted_on, "version": VERSION["genes"]}
    slides = tiled_slides(manifest=manifest, split=split)
    table, absent = read_genes(expression, wanted=wanted)
    slides = slides.assign(sample=name_samples(slides, table.index, expression=expression))
    fitted = fitted_samples(slides, fitted_on=fitted_on)
    samples = slides.assign(fitted=fitted).drop_duplicates("sample").set_index("sample").drop(index="", errors="ignore")
    values = table.reindex(samples.index)
    if reference_batch:
        batch = batch_of_samples(slides[slides["sample"] != ""], sheet=sheet).reindex(samples.index)
        values = shift_batches(
            values, batch=batch, fitted=samples["fitted"], reference=reference_batch, test_shift=test_shift
        )
    if centre == "patient":
        values = centre_by_patient(values, patients=samples["patient"], fitted=samples["fitted"])
    values = values[values.notna().any(axis=1)]  # a patient's only sample has nothing to be centred on
    learnt = slides.loc[slides["tested_in"].map(len) < len(split), "sample"]  # of a slide that some round does not test
    found = describe_genes(
        values[samples["fitted"].reindex(values.index)],
        learnt=values[values.index.isin(learnt)],
        min_variance=min_variance,
    )
    every = pd.concat([found, *absent]).reindex(wanted).reset_index(names="trait")
    write_table(every[list(GENE_COLUMNS)], genes)

    chosen = found[found["status"] == "ok"]
    scale = chosen if standardise else chosen.assign(**UNSCALED)
    kept = slides[slides["sample"].isin(values.index)] if len(chosen) else slides.iloc[:0]
    measured = values[chosen.index].reindex(kept["sample"]).to_numpy()
    target = (measured - scale["mean"].to_numpy()) / scale["sd"].to_numpy()
    listed = kept.assign(value=list(measured), target=list(target.astype(np.float32)))
    write_table(listed[list(COLUMNS)], labels)
    fate = {"status": "ok", "code": "", "reason": ""} if len(chosen) else _nothing_left(every)
    fit = {name: chosen[name].tolist() for name in ("mean", "variance")}
    counts = every["code"].where(every["status"] != "ok", "ok").value_counts().to_dict()
    n = {"measured": len(kept), "not_measured": len(slides) - len(kept)}
    write_json(about | fate | {"fit": fit, "genes": counts, "n": n}, summary)


def read_genes(expression: str, *, wanted: Sequence[str] | None) -> tuple[pd.DataFrame, list[pd.DataFrame]]:
    """Samples × genes under the names they were asked for, and the rows of genes that no table has (B-NOTRAIT)."""
    if wanted is None:
        return pd.read_parquet(expression).astype(float), []
    columns, absent = {}, []
    for trait in wanted:
        try:
            columns[trait] = trait_columns(expression, [trait])[0]
        except InputError as error:
            row = {"status": "excluded", "code": "B-NOTRAIT", "reason": str(error), "samples": 0}
            absent.append(pd.DataFrame(row, index=[trait]))
    table = pd.read_parquet(expression, columns=sorted(set(columns.values())))
    return table[list(columns.values())].set_axis(list(columns), axis=1).astype(float), absent


def describe_genes(values: pd.DataFrame, *, learnt: pd.DataFrame, min_variance: float) -> pd.DataFrame:
    """A row per gene of ``values`` (samples × genes): samples, mean, variance (ddof 0), sd, whether it is learnt.

    values : of the samples that are fitted on. learnt : of those that a model may see; the gene is measured in each.
    """
    missing = learnt.isna().sum()
    table = pd.DataFrame({"samples": values.notna().sum(), "mean": values.mean(), "variance": values.var(ddof=0)})
    table["sd"] = np.sqrt(table["variance"])
    faults = {
        "B-NOVALUE": table["samples"] < MIN_SAMPLES,
        "B-PARTIAL": missing > 0,
        "B-VARIANCE": ~(table["variance"] > min_variance),
    }
    reasons = {
        "B-NOVALUE": table["samples"].map("{} measured samples outside the test part".format) + f", need {MIN_SAMPLES}",
        "B-PARTIAL": (len(learnt) - missing).map("measured in {}".format) + f" of {len(learnt)} samples",
        "B-VARIANCE": table["variance"].map("a variance of {:.3g} outside the test part".format)
        + f", need more than {min_variance:g}",
    }
    code = np.select(list(faults.values()), list(faults), default="")
    reason = np.select(list(faults.values()), list(reasons.values()), default="")
    return table.assign(status=np.where(code == "", "ok", "excluded"), code=code, reason=reason)


def _nothing_left(genes: pd.DataFrame) -> dict[str, str]:
    """The fate of a study of which no gene can be learnt: that of the most genes."""
    code = genes["code"].mode()[0] if len(genes) else "B-NOVALUE"
    return {"status": "excluded", "code": code, "reason": f"none of {len(genes)} genes can be learnt"}

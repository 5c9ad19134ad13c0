"""Which sample tells of a slide, what a trait measures in it, and which samples may be fitted on."""

from typing import TypeVar

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.expression import trait_columns
from histocarta.files import read_table

Values = TypeVar("Values", pd.Series, pd.DataFrame)  # one trait, or a column of each


def tiled_slides(*, manifest: str, split: str | list[str]) -> pd.DataFrame:
    """slide, patient, tested (in any of the rounds given) and tested_in (the rounds), sorted by slide."""
    slides = read_table(manifest)
    slides = slides.loc[slides["n_tiles"].astype(int) > 0, ["slide", "patient"]].sort_values("slide", ignore_index=True)
    rounds = pd.concat([read_table(path) for path in ([split] if isinstance(split, str) else split)])
    # Layouts that share a scheme may have tiles of other slides, so the split may hold slides that this one lacks.
    if strange := set(slides["slide"]).difference(rounds["slide"]):
        raise InputError(
            f"Expected the slides with tiles of {manifest} in the split, found {len(strange)} that it lacks, such as "
            f"{min(strange)!r}; delete the split, and it is drawn again, or give this layout a scheme of its own."
        )
    tested = rounds[rounds["part"] == "test"].astype({"round": int}).groupby("slide")["round"].agg(frozenset)
    tested_in = [tested.get(slide, frozenset()) for slide in slides["slide"]]
    return slides.assign(tested=[bool(numbers) for numbers in tested_in], tested_in=tested_in)


def read_trait(expression: str, *, trait: str) -> tuple[pd.Series, str]:
    """The one column that is needed of a table that may have 20,000."""
    (column,) = trait_columns(expression, [trait])
    return pd.read_parquet(expression, columns=[column])[column].astype(float), column


def join_samples(slides: pd.DataFrame, values: pd.Series, *, expression: str) -> pd.DataFrame:
    """``slides`` with sample, value and the reason why there is none."""
    sample = name_samples(slides, values.index, expression=expression)
    value = values.reindex(sample).to_numpy()
    reason = np.select([sample == "", np.isnan(value)], ["no_expression", "not_measured"], default="")
    return slides.assign(sample=sample, value=value, reason=reason)


def name_samples(slides: pd.DataFrame, samples: pd.Index, *, expression: str) -> pd.Series:
    """The sample of each slide: named like the slide (a virtual core) or else like its patient; "" for none."""
    own, patients = slides["slide"].isin(samples), slides["patient"].isin(samples)
    if not (own | patients).any():
        raise InputError(
            f"Expected the patients of the slides among the samples of {expression}, found none in common: slides have "
            f"e.g. {slides['patient'].iloc[0]!r}, the table {str(samples[0])!r}."
        )
    return slides["slide"].where(own, slides["patient"].where(patients, ""))


def fitted_samples(table: pd.DataFrame, *, fitted_on: str) -> pd.Series:
    """Per row of ``table``: whether its sample is fitted on. A sample with any slide in the test part is not."""
    if fitted_on == "all":
        return table["sample"] != ""
    tested = table.loc[table["tested"], "sample"]
    if table["tested"].all():
        raise InputError(
            "Expected slides outside the test part to fit the percentiles on, found none: every slide is tested in "
            "some round (leave-one-out). Fit them on all samples (fidelity row percentiles_fitted_on: all)."
        )
    return (table["sample"] != "") & ~table["sample"].isin(tested)


def centred(table: pd.DataFrame, *, fitted_on: str) -> pd.DataFrame:
    """``table`` with values centred by patient; a patient's only sample becomes "one_sample"."""
    fitted = fitted_samples(table, fitted_on=fitted_on)
    samples = table.assign(fitted=fitted).drop_duplicates(["sample", "patient"]).set_index(["sample", "patient"])
    patients = samples.index.get_level_values("patient").to_series(index=samples.index)
    found = centre_by_patient(samples["value"], patients=patients, fitted=samples["fitted"])
    value = found.reindex(pd.MultiIndex.from_frame(table[["sample", "patient"]])).to_numpy()
    alone = table["value"].notna() & np.isnan(value)
    return table.assign(value=value, reason=table["reason"].mask(alone, "one_sample"))


def centre_by_patient(values: Values, *, patients: pd.Series, fitted: pd.Series) -> Values:
    """``values`` (by sample; a column per trait, or one trait) less their patient's mean over the ``fitted`` samples.

    A patient without fitted samples (a left-out one) is centred on its own mean. A patient with a single measured
    sample has nothing to be compared with: NaN.
    """
    own = values.groupby(patients)
    mean = values[fitted].groupby(patients[fitted]).mean().reindex(patients).set_axis(values.index)
    mean = mean.fillna(own.transform("mean"))
    return (values - mean).where(own.transform("count") > 1)


def shift_batches(values: Values, *, batch: pd.Series, fitted: pd.Series, reference: str, test_shift: str) -> Values:
    """``values`` (by sample, log scale; a column per trait, or one trait) with every batch at the reference's median.

    Gene by gene, median of the ``reference`` less median of the batch, both over the ``fitted`` samples, is added to
    the batch's samples (Wang 2021); the reference stays as it is. test_shift : "non_test" adds that to the samples that
    are not fitted too; with "own" their shift, the reference's own included, is that of their own median, which takes a
    cohort to be tested at once. Raises InputError for a batch that is not named, or has no sample to be shifted by.
    """
    if reference not in set(batch):
        raise InputError(
            f"Expected the batch {reference!r} (labels.reference_batch) in the column batch of the slide sheet, found "
            f"{', '.join(sorted({*batch} - {''})) or 'none'}"
        )
    goal, shifted = values[fitted & (batch == reference)].quantile(), values.copy()  # 0.5: without a word on NaN
    for name in sorted(set(batch)):
        here = batch == name
        groups = [(here & fitted, here if test_shift == "non_test" else here & fitted)]
        groups += [(here & ~fitted, here & ~fitted)] if test_shift == "own" and (here & ~fitted).any() else []
        for source, target in groups:
            if not name or not source.any():
                what = f"samples of batch {name} outside the test part" if name else "a batch of every sample"
                raise InputError(
                    f"Expected {what} to bring it to the scale of {reference}, found {int(here.sum())} samples without "
                    f"(such as {here.index[here][0]}); fill the slide sheet's column batch, or set no reference_batch"
                )
            shifted[target] = values[target] + (goal - values[source].quantile())
    return shifted


def batch_of_samples(slides: pd.DataFrame, *, sheet: str) -> pd.Series:
    """The batch of each sample of ``slides`` (slide, sample) by the slide sheet; InputError where it has two."""
    stated = read_table(sheet).set_index("slide").reindex(columns=["batch"], fill_value="")["batch"]
    pairs = slides.assign(batch=stated.reindex(slides["slide"]).to_numpy())[["sample", "batch"]].drop_duplicates()
    if twice := sorted(pairs.loc[pairs["sample"].duplicated(), "sample"]):
        raise InputError(
            f"Expected one batch of each sample in the slide sheet, found two for {twice[0]!r}; correct it"
        )
    return pairs.set_index("sample")["batch"]

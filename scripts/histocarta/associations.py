"""How well many traits are predicted, in one table, with the price of having tried them all."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from histocarta.controls import NAMES, steiger
from histocarta.correlations import associate_columns
from histocarta.evaluation import NAN, benjamini_hochberg
from histocarta.files import read_table, write_table
from histocarta.openings import open_test_set
from histocarta.predictions import MEAN, gene_matrix
from histocarta.splits import patients_on_both_sides

FIGURES = ("n", "rho", "p", "r2")
PARTS = ("validation", "test")
Q = 0.05


def tabulate_associations(
    *,
    predictions: str,
    measured: str,
    fates: str,
    splits: list[str],
    table: str,
    parquet: str,
    unit: str,
    controls: str | list[str] = (),
    itself: str | None = None,
    selection: Mapping[str, float] | None = None,
    models: Sequence[str] = (),
    register: str | None = None,
    reopen: bool = False,
) -> None:
    """Write one row per trait, in the order of ``fates``, as .tsv and .parquet: Spearman, p, FDR and R² of each part.

    The files are those of ``predictions.predict_genes`` or ``gather_genes``, so that all ways have one table.
    ``…_fdr`` (Benjamini–Hochberg) is taken over all traits that have a model, ``n_tests`` of them: one whose
    predictions are constant has no rho, but was tried, and counts as p = 1 (Wang 2021 adjusts over all 17,695 genes).
    ``test_sample_…`` counts a measured sample once that has several slides; ``…_rounds_…`` is the mean over the rounds'
    own models, and of the validation part, which changes from round to round, the only figure but with one round.
    Traits without a model keep their row with status and reason.

    ``controls`` (:mod:`histocarta.controls`; none: no such columns): of each but ``itself``, which the way is, its
    rho, ``control_…``, and Steiger's one-sided p that the prediction is no better, ``control_…_p``, on the test slides.
    ``predictable`` says whether a gene has a positive rho with an FDR below ``Q`` and beats each control with p below
    ``Q``: all of them must be beaten, so that no correction for their number is due.

    ``selection`` (min_r2, max_fdr; None where weights were chosen on the validation part, or there are several rounds):
    genes ``brought_forward`` by the validation part, ``test_bonferroni``, their test's p times their number, and
    whether they are ``validated`` by a positive rho with that below ``Q`` (Wang 2021: 1,011 genes brought forward).
    The test part is then opened for the ``models`` (files) and no others: :func:`openings.open_test_set`.
    """
    told, scores = read_table(fates), read_table(predictions)
    tried = (told["status"] == "ok").to_numpy()
    if selection and register and tried.any():
        open_test_set(register, test_set="the test part", models=models, reopen=reopen)
    names = told.loc[tried, "trait"]
    truth = read_table(measured).set_index("slide")
    frame = told[["trait", "status", "code", "reason"]].assign(
        unit=unit, independent=not any(patients_on_both_sides(read_table(path)) for path in splits)
    )
    rounds = sorted(set(scores["round"]) - {MEAN})
    for part in PARTS:
        found = _by_round(scores, truth, names=names, part=part, rounds=rounds)
        whole = associate_slides(scores[(scores["round"] == MEAN) & (scores["part"] == part)], truth, names=names)
        if part == "validation" and len(rounds) != 1:
            whole = {key: np.full(len(names), NAN) for key in FIGURES}
        columns = {f"{part}_{key}": whole[key] for key in FIGURES}
        columns[f"{part}_fdr"] = benjamini_hochberg(columns[f"{part}_p"])
        columns |= {f"{part}_rounds_{key}": values for key, values in found.items()}
        if part == "test":
            columns |= {f"test_sample_{key}": whole[f"sample_{key}"] for key in FIGURES}
            columns["test_reason"] = whole["reason"]
        for name, values in columns.items():
            frame.loc[tried, name] = values
    if controls:
        tested = scores[(scores["round"] == MEAN) & (scores["part"] == "test")]
        held = _against_controls(tested, truth, read_table(controls), names=names, itself=itself)
        for name, values in held.items():
            frame.loc[tried, name] = values
        frame["predictable"] = _is_predictable(frame, list(held))
    if selection:
        frame = frame.assign(**_bring_forward(frame, **selection))
    frame["variance"] = NAN
    frame.loc[tried, "variance"] = gene_matrix(truth, names).var(axis=0) if len(truth) else NAN
    frame["n_tests"] = int(tried.sum())
    for name in [name for name in frame.columns if name.endswith("_n")]:
        frame[name] = frame[name].astype("Int64")
    frame["test_reason"] = frame["test_reason"].astype(object).where(tried, "") if "test_reason" in frame else ""
    write_table(frame, table)
    write_table(frame, parquet)


def _against_controls(
    slides: pd.DataFrame, truth: pd.DataFrame, controls: pd.DataFrame, *, names: pd.Series, itself: str | None
) -> dict[str, np.ndarray]:
    """rho of each control on the ``slides`` and Steiger's p against it, per gene; NaN of a gene that it lacks."""
    score, value = gene_matrix(slides, names), gene_matrix(truth.reindex(slides["slide"]), names)
    own = associate_columns(score, value)
    found: dict[str, np.ndarray] = {}
    for name in (name for name in NAMES if name != itself):
        rows = controls[controls["control"] == name].set_index("slide").reindex(index=slides["slide"], columns=names)
        other = rows.to_numpy(float)
        alone, between = associate_columns(other, value)["rho"], associate_columns(score, other)["rho"]
        found[f"control_{name}"] = alone.to_numpy()
        # A control that says the same of all slides has no rank correlation: nothing is what must be beaten.
        known = np.where(np.isfinite(other).all(axis=0), 0.0, NAN)
        p = steiger(own["rho"], alone.fillna(0) + known, between.fillna(0), n=own["n"])
        found[f"control_{name}_p"] = p
    return found


def _bring_forward(frame: pd.DataFrame, *, min_r2: float, max_fdr: float) -> dict[str, pd.Series]:
    """Who is tested by right of the validation part, and the price of that test."""
    forward = (frame["validation_r2"] > min_r2) & (frame["validation_fdr"] < max_fdr) & (frame["validation_rho"] > 0)
    corrected = (frame["test_p"].fillna(1) * int(forward.sum())).clip(upper=1).where(forward)
    validated = forward & (corrected < Q) & (frame["test_rho"] > 0)
    return {"brought_forward": forward, "test_bonferroni": corrected, "validated": validated}


def _is_predictable(frame: pd.DataFrame, held: list[str]) -> pd.Series:
    """Whether a gene's rho is significant and beats all controls; blank where it has no model or no control."""
    p = frame[[name for name in held if name.endswith("_p")]]
    found = (frame["test_rho"] > 0) & (frame["test_fdr"] < Q) & (p < Q).all(axis=1)
    return found.astype("boolean").where(frame["status"].eq("ok") & p.notna().any(axis=1), pd.NA)


def _by_round(
    scores: pd.DataFrame, truth: pd.DataFrame, *, names: pd.Series, part: str, rounds: list[int]
) -> dict[str, np.ndarray]:
    """Mean rho and R² over the rounds' own models on their own ``part``."""
    found = [
        associate_slides(scores[(scores["round"] == number) & (scores["part"] == part)], truth, names=names)
        for number in rounds
    ]
    return {key: _mean(np.array([one[key] for one in found])) for key in ("rho", "r2")}


def _mean(values: np.ndarray) -> np.ndarray:
    """Mean over the first axis of what is a number; NaN where nothing is."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, NAN), where=count > 0)


def associate_slides(slides: pd.DataFrame, truth: pd.DataFrame, *, names: pd.Series) -> dict[str, np.ndarray]:
    """Figures of the slides, and of their samples (``sample_…``), of every gene.

    slides : slide, sample and a column of predictions per gene; truth : what was measured, by slide.
    """
    score, value = gene_matrix(slides, names), gene_matrix(truth.reindex(slides["slide"]), names)
    by_slide = associate_columns(score, value)
    code, samples = pd.factorize(slides["sample"])
    if len(samples) < len(slides):
        score, value = (_group_means(table, code, len(samples)) for table in (score, value))
    by_sample = associate_columns(score, value)
    return {key: by_slide[key].to_numpy() for key in (*FIGURES, "reason")} | {
        f"sample_{key}": by_sample[key].to_numpy() for key in FIGURES
    }


def _group_means(values: np.ndarray, code: np.ndarray, groups: int) -> np.ndarray:
    """Means of the rows of each group, groups × columns."""
    total, count = np.zeros((groups, values.shape[1])), np.bincount(code, minlength=groups)
    np.add.at(total, code, values)
    return total / count[:, None]

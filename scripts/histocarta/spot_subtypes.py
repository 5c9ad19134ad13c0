"""Whether predicted genes tell two kinds of a disease apart, as bulk expression of the same genes does."""

import warnings

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.evaluation import bootstrap_auc
from histocarta.files import read_table, write_table
from histocarta.spot_bulk import sample_means

FOLDS = 5
PENALTIES = tuple(10.0**power for power in range(-3, 3))  # C of the logistic regression (He 2020: 1e-3 … 1e2)
CHOSEN = 55  # genes that a fold keeps (He 2020 kept 55, chosen on all patients)
COLUMNS = ["features", "first", "second", "n_first", "n_second", "n_features", "auc", "low", "high", "reason"]


def classify_subtypes(
    *, scores: str, slides: str, expression: str, clinical: str, table: str, column: str, values: list[str], seed: int
) -> None:
    """Write how well two ``values`` of a clinical ``column`` are told apart, by predicted genes and by their bulk.

    scores, slides, expression : as of :func:`histocarta.spot_bulk.compare_bulk`. A row per kind of features, on the
    same patients: predicted (mean over a patient's tiles) and bulk (the same genes). :func:`classify` says how. In
    He 2020: ductal against lobular carcinoma, .83 (.78–.88) by 55 predicted genes, .83 (.78–.89) by RNA.
    """
    bulk = pd.read_parquet(expression)
    bulk.columns = [str(name).split("|")[0] for name in bulk]
    bulk = bulk.loc[:, ~bulk.columns.duplicated()]
    means = sample_means(read_table(scores), read_table(slides), bulk.index, expression=expression)
    genes = [name for name in means.dropna(axis=1) if name in bulk and bulk[name].reindex(means.index).notna().all()]
    kind = kinds_of(means.index, read_table(slides), read_table(clinical), column=column, values=values)
    known = kind.notna()
    truth = (kind[known] == values[0]).to_numpy(int)
    rows = []
    for name, frame in (("predicted", means), ("bulk", bulk.reindex(means.index))):
        found = classify(frame.loc[known, genes].to_numpy(float), truth, seed=seed)
        rows.append({"features": name, "first": values[0], "second": values[1], "n_first": int(truth.sum()),
                     "n_second": int((1 - truth).sum()), "n_features": len(genes), **found})  # fmt: skip
    write_table(pd.DataFrame(rows, columns=COLUMNS), table)


def classify(features: np.ndarray, truth: np.ndarray, *, seed: int) -> dict[str, float | str]:
    """AUC of patients that each fold leaves out, with its 95 % interval by 1,000 resamples of patients; or the reason.

    features : patients × genes; truth : 1 and 0. Logistic regression on standardised genes. In each of 5 stratified
    folds the ``CHOSEN`` genes (by F) and C are chosen by the other folds alone, C by 5 folds within them: He 2020 chose
    the genes on all patients, which lets the left-out ones in (papers' checklist B.37).
    """
    from sklearn.feature_selection import SelectKBest, f_classif
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    none = {"auc": float("nan"), "low": float("nan"), "high": float("nan")}
    fewest = min(int(truth.sum()), int((1 - truth).sum()))
    if fewest < 2 * FOLDS or not features.shape[1]:
        reason = f"{fewest} patients of one kind, need {2 * FOLDS}" if fewest < 2 * FOLDS else "no gene is in both"
        return none | {"reason": reason}
    steps = [
        ("scale", StandardScaler()),
        ("choose", SelectKBest(f_classif, k=min(CHOSEN, features.shape[1]))),
        ("fit", LogisticRegression(max_iter=5000)),
    ]
    inner, outer = (StratifiedKFold(FOLDS, shuffle=True, random_state=seed + k) for k in range(2))
    search = GridSearchCV(Pipeline(steps), {"fit__C": list(PENALTIES)}, cv=inner, scoring="roc_auc")
    with warnings.catch_warnings():  # a constant gene is chosen last
        warnings.filterwarnings("ignore", message="Features .* are constant")
        warnings.filterwarnings("ignore", message="invalid value encountered in divide")
        score = cross_val_predict(search, features, truth, cv=outer, method="predict_proba")[:, 1]
    low, high, missing = bootstrap_auc(truth.astype(float), score, np.arange(len(truth)), seed=seed)
    return {"auc": auc_of(truth, score), "low": low, "high": high, "reason": missing}


def auc_of(truth: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve (scikit-learn's)."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, score))


def kinds_of(
    samples: pd.Index, slides: pd.DataFrame, clinical: pd.DataFrame, *, column: str, values: list[str]
) -> pd.Series:
    """The value of a clinical ``column`` of each sample (a slide or a patient); NaN where it is none of ``values``."""
    if column not in clinical:
        raise InputError(
            f"Expected the column {column!r} (subtype) in the clinical sheet, found {', '.join(map(str, clinical))}"
        )
    of_patient = clinical.drop_duplicates("patient").set_index("patient")[column]
    patient = slides.drop_duplicates("slide").set_index("slide")["patient"]
    names = [patient.get(sample, sample) for sample in samples]
    kind = of_patient.reindex(names).set_axis(samples)
    return kind.where(kind.isin(values))

"""The predictors of expression in spots that a network must beat: each fits some spots and predicts others.

He 2020 compares with the pathologist's class, hand-crafted features of nuclei, and cell-type composition. Colour and
depth are added: what a stain alone tells, and how much of a gene's values is the number of molecules caught in a spot.
A predictor sees the target of the spots that it fits and never that of those that it predicts.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import sparse

TREES = 100  # the released code's n_estimators
BATCH = 10  # trees in memory at once
DIRECTIONS = 20  # of the targets that splits look at: 250 genes in 3,000 spots take 4 minutes a round otherwise
# Neither paper nor code tells more: Breiman's own defaults for regression. Those of scikit-learn (all features, one
# spot a leaf) take eight times as long, and follow the noise of single spots: r .09 against .15 on simulated spots.
SHARE_OF_FEATURES, LEAF = 1 / 3, 5
FACTORS, ITERATIONS = 10, 200  # He 2020, Methods
PENALTY = 1.0  # of the ridge on standardised features: next to nothing for 3 features and hundreds of spots


@dataclass(frozen=True)
class Spots:
    """What is known of spots besides their expression: a row each in ``nuclei`` and ``colour`` (spots × features).

    nuclei holds NaN where a window has too few nuclei. annotation : the class, "" where a spot has none; log_total :
    ln of the spot's counts over all genes. Both are None where the study has none.
    """

    nuclei: np.ndarray
    colour: np.ndarray
    annotation: np.ndarray | None = None
    log_total: np.ndarray | None = None

    def take(self, rows: np.ndarray) -> "Spots":
        """The spots ``rows``."""
        said = (self.nuclei, self.colour, self.annotation, self.log_total)
        return Spots(*(None if one is None else one[rows] for one in said))


def predict_nuclei(fit: Spots, target: np.ndarray, spots: Spots, *, seed: int, threads: int = 1) -> np.ndarray:
    """Expression of ``spots`` by a random forest on the features of their nuclei (He 2020, Supplementary Fig. 7a).

    target : spots of ``fit`` × genes. One forest for all genes, which count alike in where it splits.
    """
    return forest(fit.nuclei, target, spots.nuclei, seed=seed, threads=threads)


def predict_colour(fit: Spots, target: np.ndarray, spots: Spots, **_: int) -> np.ndarray:
    """Expression of ``spots`` by a ridge regression on the mean red, green and blue of their windows."""
    return _ridge(fit.colour, target, spots.colour)


def predict_depth(fit: Spots, target: np.ndarray, spots: Spots, **_: int) -> np.ndarray:
    """Expression of ``spots`` by a ridge regression on ln of their own total counts.

    It reads the section's sequencing, not its image: no predictor, but the measure of how much depth the normalisation
    of He 2020 leaves in the values.
    """
    return _ridge(fit.log_total[:, None], target, spots.log_total[:, None])


def predict_annotation(fit: Spots, target: np.ndarray, spots: Spots, **_: int) -> np.ndarray:
    """Expression of ``spots`` by the mean of their class over the spots of ``fit`` (He 2020, Fig. 2d).

    A spot without a class, or of one that no spot of ``fit`` has, is not predicted: NaN.
    """
    known = fit.annotation != ""
    means = pd.DataFrame(target[known]).groupby(fit.annotation[known]).mean()
    return means.reindex(spots.annotation).to_numpy(float)


def predict_composition(fit: Spots, target: np.ndarray, spots: Spots, *, seed: int, threads: int = 1) -> np.ndarray:
    """Expression of ``spots`` by the composition of their cells, predicted from nuclei and colour.

    exp(target) of the spots of ``fit`` is factorised into 10 factors (cell types) by 200 rounds of coordinate descent
    on the Frobenius norm. As in the paper nothing is taken from the counts of the spots predicted: a model of the image
    predicts their composition, which the factors map to expression. The paper's model is a DenseNet-121; here it is the
    random forest on nuclei and mean colour. Returned is the logarithm, at least the least value of the gene in ``fit``.
    """
    from sklearn.decomposition import NMF

    linear = np.exp(target)
    scale = linear.mean()
    factors = min(FACTORS, *linear.shape)
    # tol=0: all 200 rounds, as published.
    model = NMF(factors, init="nndsvda", solver="cd", max_iter=ITERATIONS, tol=0.0, random_state=seed)
    composition = model.fit_transform(linear / scale)
    # A factor counts in the forest by what it adds to the expression.
    size = np.linalg.norm(model.components_, axis=1)
    unit = model.components_ / np.where(size > 0, size, 1.0)[:, None]
    seen, unseen = (np.column_stack([one.nuclei, one.colour]) for one in (fit, spots))
    found = forest(seen, composition * size, unseen, seed=seed, threads=threads, standardise=False)
    predicted = found @ unit * scale
    return np.log(np.maximum(predicted, linear.min(axis=0)))


PREDICTORS = {
    "nuclei": predict_nuclei,
    "colour": predict_colour,
    "annotation": predict_annotation,
    "composition": predict_composition,
    "depth": predict_depth,
}


def forest(
    features: np.ndarray,
    target: np.ndarray,
    others: np.ndarray,
    *,
    seed: int,
    threads: int = 1,
    standardise: bool = True,
) -> np.ndarray:
    """Predictions for ``others`` (rows × targets) by TREES regression trees for all columns of ``target`` at once.

    Splits are those that part the first DIRECTIONS principal components of the targets best (of all targets brought to
    one variance, where ``standardise``); a leaf holds the mean of every target over its bootstrap sample. Joly 2014
    (Random forests with random projections of the output space) found this as accurate as looking at all targets, in a
    fraction of the time. Of no more targets than that it is scikit-learn's forest. A NaN of the features goes with the
    side of a split that fits best, as scikit-learn does it. The same for any number of threads.
    """
    from sklearn.ensemble import RandomForestRegressor

    features, others = (np.ascontiguousarray(one, np.float32) for one in (features, others))
    directions = _directions(target, standardise=standardise)
    total = np.zeros((len(others), target.shape[1]))
    for number in range(TREES // BATCH):
        state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        trees = RandomForestRegressor(
            BATCH, max_features=SHARE_OF_FEATURES, min_samples_leaf=LEAF, random_state=state, n_jobs=threads
        ).fit(features, directions)
        for tree, rows in zip(trees.estimators_, trees.estimators_samples_, strict=True):
            leaf, place = np.unique(tree.apply(features[rows]), return_inverse=True)
            members = sparse.csr_array((np.ones(len(rows)), (place, rows)), shape=(len(leaf), len(features)))
            means = (members @ target) / members.sum(axis=1)[:, None]
            total += means[np.searchsorted(leaf, tree.apply(others))]
    return total / TREES


def _directions(target: np.ndarray, *, standardise: bool) -> np.ndarray:
    """The targets, or their first DIRECTIONS principal components (rows × at most DIRECTIONS)."""
    spread = target.std(axis=0) if standardise else np.ones(target.shape[1])
    standard = (target - target.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    if standard.shape[1] > DIRECTIONS:
        axes = np.linalg.eigh(standard.T @ standard)[1]
        standard = standard @ axes[:, -DIRECTIONS:]
    return standard if standard.shape[1] > 1 else standard.ravel()  # scikit-learn warns of a column


def _ridge(features: np.ndarray, target: np.ndarray, others: np.ndarray) -> np.ndarray:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), Ridge(alpha=PENALTY)).fit(features, target)
    return model.predict(others).reshape(len(others), target.shape[1])

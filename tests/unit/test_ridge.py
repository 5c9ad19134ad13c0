"""Ridge regression of many genes at once, against scikit-learn's of one."""

import numpy as np
import pytest
from histocarta.errors import InputError
from histocarta.ridge import fit_ridge
from sklearn.linear_model import Ridge as SklearnRidge

PENALTIES = [0.01, 1.0, 100.0]


def draw(*, slides=40, features=200, genes=7, seed=0):
    rng = np.random.default_rng(seed)
    x, tuning_x = rng.normal(2, 3, (slides, features)), rng.normal(2, 3, (12, features))
    weights = rng.normal(0, 1 / 30, (features, genes))
    return x, x @ weights + rng.normal(size=(slides, genes)), tuning_x, tuning_x @ weights


@pytest.mark.parametrize("features", [200, 15])  # more features than slides, and fewer
def test_every_gene_is_scikit_learns_with_the_best_penalty(features):
    x, y, tuning_x, tuning_y = draw(features=features)
    found = fit_ridge(x, y, tuning_features=tuning_x, tuning_target=tuning_y, penalties=PENALTIES)
    z, tuning_z = (x - x.mean(axis=0)) / x.std(axis=0), (tuning_x - x.mean(axis=0)) / x.std(axis=0)
    unit = np.mean(np.linalg.svd(z, compute_uv=False)[: min(39, features)] ** 2)  # centred, 40 slides span 39
    for gene in range(y.shape[1]):
        models = [SklearnRidge(alpha=penalty * unit).fit(z, y[:, gene]) for penalty in PENALTIES]
        errors = [np.sum((model.predict(tuning_z) - tuning_y[:, gene]) ** 2) for model in models]
        best = int(np.argmin(errors))
        assert found.penalty[gene] == PENALTIES[best]
        np.testing.assert_allclose(found.predict(tuning_x)[:, gene], models[best].predict(tuning_z), atol=1e-10)


def test_a_constant_feature_counts_for_nothing():
    x, y, tuning_x, tuning_y = draw(features=15)
    with_it, tuning_with_it = (np.insert(table, 4, 7.0, axis=1) for table in (x, tuning_x))
    tuning_with_it[:, 4] = 1e6  # a slide that differs in what no training slide tells of
    plain = fit_ridge(x, y, tuning_features=tuning_x, tuning_target=tuning_y, penalties=PENALTIES)
    found = fit_ridge(with_it, y, tuning_features=tuning_with_it, tuning_target=tuning_y, penalties=PENALTIES)
    np.testing.assert_allclose(found.predict(tuning_with_it), plain.predict(tuning_x), atol=1e-10)
    assert not found.weights[4].any()


def test_units_of_the_features_do_not_matter():
    x, y, tuning_x, tuning_y = draw()
    factor = np.geomspace(1e-3, 1e3, x.shape[1])
    plain = fit_ridge(x, y, tuning_features=tuning_x, tuning_target=tuning_y, penalties=PENALTIES)
    scaled = fit_ridge(x * factor, y, tuning_features=tuning_x * factor, tuning_target=tuning_y, penalties=PENALTIES)
    np.testing.assert_allclose(scaled.predict(tuning_x * factor), plain.predict(tuning_x), atol=1e-9)


def test_of_equal_errors_the_larger_penalty_is_taken():
    x, y, tuning_x, _ = draw()
    flat = np.full_like(y, 5.0)  # every penalty predicts the mean
    found = fit_ridge(x, flat, tuning_features=tuning_x, tuning_target=np.zeros((12, 7)), penalties=PENALTIES)
    assert set(found.penalty) == {100.0}


@pytest.mark.parametrize(("slides", "tuning", "said"), [(1, 3, "found 1 and 3"), (4, 0, "found 4 and 0")])
def test_too_few_slides_are_refused(slides, tuning, said):
    x, y, tuning_x, tuning_y = draw()
    with pytest.raises(InputError, match=said):
        fit_ridge(
            x[:slides], y[:slides], tuning_features=tuning_x[:tuning], tuning_target=tuning_y[:tuning], penalties=[1.0]
        )

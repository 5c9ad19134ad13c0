"""Statistics of 17,695 genes × 172 patients (Wang et al. 2021) against one by one: Spearman, false discovery rate and
R²; differential expression; the permutation p of an adjusted Rand index; and ridge regression of all genes.

Usage: python benchmarks/associations.py [--genes 17695] [--patients 172]. One core; the input is random: only its size
counts.
"""

import argparse
import time

import numpy as np
from histocarta.clustering import adjusted_rand
from histocarta.correlations import associate_columns
from histocarta.evaluation import benjamini_hochberg
from histocarta.linear_models import fit_genes
from histocarta.ridge import fit_ridge
from machine import machine, verdict
from scipy import stats
from sklearn.linear_model import Ridge
from sklearn.metrics import adjusted_rand_score, r2_score
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests
from threadpoolctl import threadpool_limits

TURNS = 3  # of each, in turns
PENALTIES = [10.0**power for power in range(-4, 4)]


def at_once(score, value):
    found = associate_columns(score, value)
    return found["rho"].to_numpy(), benjamini_hochberg(found["p"]), found["r2"].to_numpy()


def one_by_one(score, value):
    pairs = [stats.spearmanr(score[:, gene], value[:, gene]) for gene in range(score.shape[1])]
    rho, p = np.array(pairs).T
    r2 = [r2_score(value[:, gene], score[:, gene]) for gene in range(score.shape[1])]
    return rho, multipletests(p, method="fdr_bh")[1], np.array(r2)


def in_turns(works, turns=TURNS):
    """Median seconds of each of ``works``, done A/B/A/B, and their last results."""
    seconds, results = [[] for _ in works], [None for _ in works]
    for _ in range(turns):
        for number, work in enumerate(works):
            start = time.perf_counter()
            results[number] = work()
            seconds[number].append(time.perf_counter() - start)
    return [float(np.median(one)) for one in seconds], results


def benchmark_associations(genes, patients):
    rng = np.random.default_rng(0)
    value = rng.normal(size=(patients, genes))
    score = value * rng.uniform(-1, 1, genes) + rng.normal(size=(patients, genes))
    (ours, theirs), (found, expected) = in_turns([lambda: at_once(score, value), lambda: one_by_one(score, value)])
    print(f"Spearman, FDR, R² of {genes:,} genes × {patients} patients: {ours:.2f} s; one by one {theirs:.1f} s")
    difference = max(np.abs(one - other).max() for one, other in zip(found, expected, strict=True))
    verdict("statistics of all genes at once, ratio to a loop", theirs / ours, least=10)
    verdict("their largest difference", difference, most=1e-12)


def benchmark_ridge(genes, slides, features=2048, alone=50):
    rng = np.random.default_rng(1)
    x, tuning_x = rng.normal(size=(slides, features)), rng.normal(size=(slides // 4, features))
    y, tuning_y = rng.normal(size=(slides, genes)), rng.normal(size=(slides // 4, genes))

    def ours():
        return fit_ridge(x, y, tuning_features=tuning_x, tuning_target=tuning_y, penalties=PENALTIES)

    def theirs():
        """scikit-learn's of as many genes as one can wait for; each penalty is a fit."""
        for gene in range(alone):
            for penalty in PENALTIES:
                Ridge(alpha=penalty * features).fit(x, y[:, gene]).predict(tuning_x)

    (seconds, slow), _ = in_turns([ours, theirs], turns=1)
    per_gene = seconds / genes, slow / alone
    print(
        f"ridge of {genes:,} genes on {slides} slides × {features} features, {len(PENALTIES)} penalties: "
        f"{seconds:.1f} s; scikit-learn {1000 * per_gene[1]:.0f} ms per gene, ratio {per_gene[1] / per_gene[0]:.0f}"
    )


def benchmark_contrast(genes, patients, alone=500):
    """ER status with four covariates, as their linear model; a loop over statsmodels' OLS."""
    rng = np.random.default_rng(2)
    design = np.column_stack([np.ones(patients), rng.integers(0, 2, patients), rng.normal(size=(patients, 4))])
    value = rng.normal(size=(patients, genes))
    names = [f"x{n}" for n in range(design.shape[1])]

    def theirs():
        fits = [OLS(value[:, gene], design).fit() for gene in range(alone)]
        return np.array([(fit.params[1], fit.pvalues[1]) for fit in fits])

    (ours, slow), (found, expected) = in_turns([lambda: fit_genes(value, design, term=1, names=names), theirs])
    print(f"differential expression of {genes:,} genes × {patients} patients: {ours:.3f} s")
    verdict("differential expression of all genes, ratio to a loop over OLS", slow / alone / (ours / genes), least=10)
    difference = np.abs(found[["effect", "p"]].to_numpy()[:alone] - expected).max()
    verdict("its largest difference", difference, most=1e-10)


def benchmark_rand(patients, permutations=1000):
    rng = np.random.default_rng(3)
    one, other = rng.integers(0, 4, (2, patients))
    shuffled = np.stack([rng.permutation(other) for _ in range(permutations)])

    def theirs():
        return np.array([adjusted_rand_score(one, row) for row in shuffled])

    (ours, slow), (found, expected) = in_turns([lambda: adjusted_rand(one, shuffled), theirs])
    print(f"{permutations} permutations of an adjusted Rand index of {patients} patients: {1000 * ours:.1f} ms")
    verdict("permuted adjusted Rand indices, ratio to a loop over scikit-learn", slow / ours, least=10)
    verdict("their largest difference", np.abs(found - expected).max(), most=1e-12)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genes", type=int, default=17695)
    parser.add_argument("--patients", type=int, default=172)
    given = parser.parse_args()
    print(machine())
    with threadpool_limits(1):
        benchmark_associations(given.genes, given.patients)
        benchmark_contrast(given.genes, given.patients)
        benchmark_rand(given.patients)
        benchmark_ridge(given.genes, 558)


if __name__ == "__main__":
    main()

"""What chance alone would give: measured values that change places within their sections, for all genes together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from histocarta.spot_statistics import FEWEST, median, patterns, standardise


@dataclass(frozen=True)
class Block:
    """Genes of one patient that share their spots: columns ready to be multiplied, spots ordered by section.

    spots : numbers of the spots in the whole table; section : their section's code, rising; predicted, measured :
    spots × genes, standardised over the patient's spots; genes : their columns.
    """

    patient: int
    genes: np.ndarray
    spots: np.ndarray
    section: np.ndarray
    predicted: np.ndarray
    measured: np.ndarray

    def shuffled(self, keys: np.ndarray) -> np.ndarray:
        """r of each gene after the measured values changed places within sections in the order of ``keys``."""
        order = np.lexsort((keys[self.spots], self.section))
        return np.einsum("ij,ij->j", self.predicted, self.measured[order])


@dataclass(frozen=True)
class Null:
    """What ``permutations`` shuffles gave, and each gene's share of them that reach what was observed.

    at_least : permutations × (patients + 1), number of genes with k or more consistent patients; p_consistent, p_r : a
    gene's (b + 1) / (N + 1), b = shuffles with as many consistent patients, or as high a median r, as observed, NaN
    without a defined r; patient_r : patients × genes, mean r of the shuffles (not 0 where sections differ); median_r :
    mean over the shuffles of a gene's median over patients.
    """

    at_least: np.ndarray
    p_consistent: np.ndarray
    p_r: np.ndarray
    patient_r: np.ndarray
    median_r: np.ndarray


def blocks(predicted: np.ndarray, measured: np.ndarray, *, patient: np.ndarray, section: np.ndarray) -> list[Block]:
    """The blocks of all patients. predicted, measured : spots × genes, NaN = unknown; patient, section : codes 0 …"""
    found = []
    use = ~(np.isnan(predicted) | np.isnan(measured))
    for number in range(patient.max(initial=-1) + 1):
        own = np.flatnonzero(patient == number)
        own = own[np.argsort(section[own], kind="stable")]
        for genes, rows in patterns(use[own]):
            if len(rows) >= FEWEST:
                spots = own[rows]
                pair = [standardise(values[np.ix_(spots, genes)]) for values in (predicted, measured)]
                found.append(Block(number, genes, spots, section[spots], *pair))
    return found


def shuffle(parts: Sequence[Block], observed: np.ndarray, *, permutations: int, rng: np.random.Generator) -> Null:
    """Shuffle ``permutations`` times and count.

    observed : patients × genes, r as measured. In each shuffle every spot draws one number, by which the spots of a
    section change places: the genes of a spot stay together, and so do the differences between sections and patients.
    Spots are taken as exchangeable within a section. Neighbouring spots resemble each other, so that the spread of a
    shuffled r is too narrow: p_r says that prediction and measurement share *something* that varies over the section,
    and the counts of consistent patients depend on this least, since a sign is right half the time either way. Genes
    that share a cause (depth) are consistent together or not at all, so that their number varies far more from shuffle
    to shuffle than that of independent coins: the band of :func:`null_curve` shows it, the binomial line does not.
    """
    n_patients, n_genes = observed.shape
    n_spots = max((part.spots.max() for part in parts), default=-1) + 1
    n_consistent, middle = (observed > 0).sum(axis=0), median(observed)
    at_least = np.empty((permutations, n_patients + 1))
    reached, higher, sums = np.zeros(n_genes), np.zeros(n_genes), np.zeros(observed.shape)
    medians = np.zeros(n_genes)
    for number in range(permutations):
        keys, r = rng.random(n_spots), np.full(observed.shape, np.nan)
        for part in parts:
            r[part.patient, part.genes] = part.shuffled(keys)
        positive, drawn = (r > 0).sum(axis=0), median(r)
        at_least[number] = np.bincount(positive, minlength=n_patients + 1)[::-1].cumsum()[::-1]
        reached += positive >= n_consistent
        # A shuffle that changes nothing differs from what was observed by rounding only.
        higher += drawn >= middle - 1e-12
        sums, medians = sums + r, medians + drawn
    known = ~np.isnan(middle)
    p = [np.where(known, (count + 1) / (permutations + 1), np.nan) for count in (reached, higher)]
    with np.errstate(invalid="ignore"):
        return Null(at_least, *p, np.divide(sums, permutations), np.divide(medians, permutations))


def null_curve(observed: np.ndarray, null: Null) -> pd.DataFrame:
    """A row per k = 0 … patients: in how many genes k or more patients are consistent (He 2020, Fig. 2b).

    observed : patients × genes, r. Columns: patients (k), observed, null_mean, null_low and null_high (2.5 and 97.5
    percentiles of the shuffles: a band for each k, not for the curve), binomial (what coins would give on average: each
    gene with its own number of patients).
    """
    count = np.arange(len(observed) + 1)
    n, positive = (~np.isnan(observed)).sum(axis=0), (observed > 0).sum(axis=0)
    low, high = np.percentile(null.at_least, [2.5, 97.5], axis=0)
    return pd.DataFrame(
        {
            "patients": count,
            "observed": (positive >= count[:, None]).sum(axis=1),
            "null_mean": null.at_least.mean(axis=0),
            "null_low": low,
            "null_high": high,
            "binomial": stats.binom.sf(count[:, None] - 1, n, 0.5).sum(axis=1),
        }
    )

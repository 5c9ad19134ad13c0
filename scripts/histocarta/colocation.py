"""Whether two sets of genes lie in the same spots of sections more, or less, than chance has it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse, stats

from histocarta.errors import InputError
from histocarta.spot_statistics import FEWEST, NEIGHBOURS, pearson, standardise

OVERLAP = 1 / 3  # of a section's spots that a shift must bring onto spots, to be one of those compared with
FEWEST_SHIFTS = 39  # the smallest two-tailed p is then 2 / 40
TESTS = {
    "paired_t": "two-tailed paired t-test of r with the mean r of random pairs of gene sets, over sections (He 2020)",
    "paired_t_patients": "the same over patients, each with the mean of its sections",
    "torus": "two-tailed test of the sections' mean r against the second set shifted on the lattice as on a torus",
}


def colocate(
    values: pd.DataFrame,
    spots: pd.DataFrame,
    *,
    first: Sequence[str],
    second: Sequence[str],
    draws: int = 1000,
    seed: int,
) -> tuple[pd.DataFrame, dict]:
    """Two sets of genes within each section, a row per section, and the tests over all sections.

    values : spots × genes, measured or predicted; spots : slide, section, patient, row, col, lattice in that order.
    A set's score in a spot is the mean of its genes' z-scores in the section (a constant or missing gene is left out);
    r is Pearson's, of the two scores. It is held against two chances:

    chance : ``draws`` pairs of sets as large as these, drawn from the other genes, the same pairs in all sections. All
    genes rise with a spot's depth, so that random pairs lie together too: this is "less than expected by chance" of He
    2020 (tumour AEBP1, BGN, P4HB; immune PABPC1, TAGLN2, HLA-B: two-tailed paired t, P < .001).
    torus : :func:`torus_correlations`, which keeps how smooth each score is over the tissue and breaks their places.

    Sections: r, chance_mean, chance_low, chance_high (95 %), n_shifts, torus_mean, p_torus (two-tailed), reason.
    """
    if draws < 1:
        raise InputError(f"Expected 1 or more draws, found {draws}")
    rng = np.random.default_rng(seed)
    names = list(values)
    sets, others = _members(names, first=first, second=second)
    pairs = _draws(others, [len(found) for found in sets], n=draws, genes=len(names), rng=rng)
    table, rows, shifted = values.to_numpy(float), [], []
    for (slide, section), own in spots.groupby(["slide", "section"], observed=True).indices.items():
        place = [spots[name].to_numpy()[own] for name in ("row", "col")]
        lattice = spots["lattice"].iloc[own[0]]
        figures, null = _section(table[own], sets, pairs, *place, lattice=lattice)
        where = {"slide": slide, "section": section, "patient": spots["patient"].iloc[own[0]], "n_spots": len(own)}
        rows.append(where | figures)
        shifted.append(null)
    sections = pd.DataFrame(rows)
    return sections, _tests(sections, shifted, draws=draws, rng=rng)


def _members(names: list[str], *, first: Sequence[str], second: Sequence[str]) -> tuple[list[np.ndarray], np.ndarray]:
    """The columns of the two sets, and those of all other genes."""
    for chosen in (first, second):
        if missing := [gene for gene in chosen if gene not in names]:
            raise InputError(
                f"Expected the genes of both sets among the {len(names)} of the table, found no {', '.join(missing)}"
            )
    if shared := sorted({*first} & {*second}):
        raise InputError(f"Expected two sets without a gene in common, found {', '.join(shared)} in both")
    others = np.array([number for number, gene in enumerate(names) if gene not in {*first, *second}], int)
    if not first or not second or len(others) < len(first) + len(second):
        raise InputError(
            f"Expected two sets and {len(first) + len(second)} or more other genes to draw from, found sets of "
            f"{len(first)} and {len(second)} and {len(others)} other genes"
        )
    return [np.array([names.index(gene) for gene in chosen]) for chosen in (first, second)], others


def _draws(
    others: np.ndarray, sizes: list[int], *, n: int, genes: int, rng: np.random.Generator
) -> tuple[sparse.csc_array, sparse.csc_array]:
    """``n`` pairs of disjoint sets of ``others``, each as genes × n with 1 for a member."""
    chosen = rng.permuted(np.broadcast_to(others, (n, len(others))), axis=1)[:, : sum(sizes)]
    found = []
    for part in np.split(chosen, [sizes[0]], axis=1):
        column = np.repeat(np.arange(n), part.shape[1])
        found.append(sparse.csc_array((np.ones(part.size), (part.ravel(), column)), shape=(genes, n)))
    return found[0], found[1]


def _section(
    values: np.ndarray,
    sets: list[np.ndarray],
    pairs: tuple[sparse.csc_array, sparse.csc_array],
    row: np.ndarray,
    col: np.ndarray,
    *,
    lattice: str,
) -> tuple[dict, np.ndarray]:
    """One section's figures, and r under every shift that is compared with."""
    found = dict.fromkeys(["r", "chance_mean", "chance_low", "chance_high", "torus_mean", "p_torus"], np.nan)
    found |= {"n_shifts": 0, "reason": ""}
    z = np.nan_to_num(standardise(values))
    a, b = (z[:, members].sum(axis=1) for members in sets)
    r = float(pearson(a[:, None], b[:, None])[0])
    if np.isnan(r):
        short = len(values) < FEWEST
        reason = f"{len(values)} spots, need {FEWEST}" if short else "a set has no gene that varies"
        return found | {"reason": reason}, np.zeros(0)
    chance = pearson(*(z @ members for members in pairs))
    chance = chance[~np.isnan(chance)]
    found |= {"r": r, "reason": "" if len(chance) else "no other gene varies"}
    if len(chance):
        low, high = np.percentile(chance, [2.5, 97.5])
        found |= {"chance_mean": chance.mean(), "chance_low": low, "chance_high": high}
    null = torus_correlations(a, b, row, col, lattice)
    if len(null) < FEWEST_SHIFTS:
        reason = f"{len(null)} shifts keep {OVERLAP:.0%} of the spots, need {FEWEST_SHIFTS}"
        return found | {"n_shifts": len(null), "reason": found["reason"] or reason}, np.zeros(0)
    return found | {"n_shifts": len(null), "torus_mean": null.mean(), "p_torus": _two_tailed(r, null)}, null


def torus_correlations(a: np.ndarray, b: np.ndarray, row: np.ndarray, col: np.ndarray, lattice: str) -> np.ndarray:
    """Pearson's r of ``a`` and ``b`` after each shift of ``b`` on the lattice, whose edges are joined as on a torus.

    a, b, row, col : a value and a place per spot. Shifts that bring fewer than ``OVERLAP`` of the spots onto spots are
    left out (tissue is no rectangle), and so is that of nothing. On a hexagonal lattice (row + col even) a shift has an
    even sum as well. All shifts are one product of Fourier transforms (masked cross-correlation, Padfield 2012). Values
    keep their neighbours except along the seam, so that a null by shifts is as smooth as what it is compared with.
    """
    if lattice not in NEIGHBOURS:
        raise InputError(f"Expected one of {', '.join(NEIGHBOURS)} as lattice, found {lattice!r}")
    row, col = (np.asarray(place, int) - np.min(place) for place in (row, col))
    shape = np.array([row.max() + 1, col.max() + 1])
    if lattice == "hexagonal":
        shape += shape % 2  # an odd edge, joined, would bring spots onto places that are none
    grids = np.zeros((5, *shape))
    a, b = (standardise(np.asarray(values, float)[:, None])[:, 0] for values in (a, b))
    grids[:, row, col] = np.ones(len(row)), a, a**2, b, b**2
    one, first, first2, second, second2 = np.fft.rfft2(grids)
    products = [(one, one), (first, one), (first2, one), (one, second), (one, second2), (first, second)]
    n, sa, saa, sb, sbb, sab = (np.fft.irfft2(np.conj(x) * y, s=tuple(shape)) for x, y in products)
    n = n.round()
    spread = (n * saa - sa**2) * (n * sbb - sb**2)
    down, right = np.indices(tuple(shape))
    kept = (n >= max(OVERLAP * len(row), FEWEST)) & (down + right > 0) & (spread > 1e-12)
    if lattice == "hexagonal":
        kept &= (down + right) % 2 == 0
    return ((n * sab - sa * sb)[kept] / np.sqrt(spread[kept])).clip(-1, 1)


def _two_tailed(observed: float, null: np.ndarray) -> float:
    """Twice the smaller tail's (b + 1) / (N + 1): a null by shifts need not lie around 0."""
    tails = [np.sum(null <= observed + 1e-12), np.sum(null >= observed - 1e-12)]
    return float(min(1.0, 2 * (min(tails) + 1) / (len(null) + 1)))


def _tests(sections: pd.DataFrame, shifted: list[np.ndarray], *, draws: int, rng: np.random.Generator) -> dict:
    """The tests over all sections, each with its name, how many units it saw, and mean values of both sides."""
    found = {}
    known = sections.dropna(subset=["r", "chance_mean"]) if len(sections) else sections
    units = {"paired_t": known}
    units["paired_t_patients"] = known.groupby("patient")[["r", "chance_mean"]].mean() if len(known) else known
    for name, table in units.items():
        record = {"test": TESTS[name], "n": len(table), "mean_r": np.nan, "mean_chance": np.nan}
        record |= {"statistic": np.nan, "p": np.nan}
        if len(table):
            record |= {"mean_r": float(table["r"].mean()), "mean_chance": float(table["chance_mean"].mean())}
        if len(table) > 1:
            test = stats.ttest_rel(table["r"], table["chance_mean"])
            record |= {"statistic": float(test.statistic), "p": float(test.pvalue)}
        found[name] = record
    usable = [number for number, null in enumerate(shifted) if len(null)]
    record = {"test": TESTS["torus"], "n": len(usable), "mean_r": np.nan, "mean_chance": np.nan, "p": np.nan}
    if usable:
        # A shift of each section by itself: sections are independent of each other under the null.
        null = np.mean([rng.choice(shifted[number], draws) for number in usable], axis=0)
        observed = float(sections["r"].iloc[usable].mean())
        record |= {"mean_r": observed, "mean_chance": float(null.mean()), "p": _two_tailed(observed, null)}
    return found | {"torus": record}

"""What the genes of a synthetic section follow, and how often each is counted in a spot."""

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

CENTRES = {"A": 0.5, "B": 0.5, "nuclei": 0.3}  # about the middle of what a window shows


@dataclass(frozen=True)
class Gene:
    """One planted gene: its share of all counts where what it follows is middling, and how steeply it follows."""

    gene: str
    follows: str  # a key of CENTRES
    share: float
    slope: float  # of the log rate, per unit of what it follows


PLANTED = (
    Gene("PLANT_A", "A", 0.02, float(np.log(8))),
    Gene("PLANT_B", "B", 0.02, float(np.log(8))),
    Gene("PLANT_D", "nuclei", 0.02, float(np.log(8) / 0.8)),  # density: the share of a window that nuclei cover
    Gene("PLANT_A_RARE", "A", 0.0005, float(np.log(8))),  # follows A, but too few counts to be among the highest
)
# One gene takes what the planted ones leave of a quarter of all counts. Without it a spot's total would grow with them,
# and every null gene's share of it would fall where A is high: an image would predict genes that follow nothing.
BALANCE, BALANCED = "BALANCE", 0.25


def list_genes(*, nulls: int, span: float) -> pd.DataFrame:
    """The genes: gene, follows (A, B, nuclei, balance or nothing), share of all counts, slope of the log rate.

    The shares of the ``nulls`` null genes fall evenly on a log scale, the last being ``span`` times the first: some are
    commoner than all planted genes, and some are not counted in every section.
    """
    weights = np.geomspace(1, span, nulls)
    shares = weights / weights.sum() * (1 - BALANCED)
    unplanted = [Gene(f"NULL{place:03d}", "nothing", float(share), 0.0) for place, share in enumerate(shares, start=1)]
    balance = Gene(BALANCE, "balance", BALANCED, 0.0)
    return pd.DataFrame([asdict(gene) for gene in (*PLANTED, balance, *unplanted)])


def expected_shares(spots: pd.DataFrame, genes: pd.DataFrame) -> np.ndarray:
    """Shares of a spot's counts, spots × genes, each row summing to 1: share × exp(slope × (followed − its centre))."""
    values = np.zeros((len(spots), len(genes)))
    for place, follows in enumerate(genes["follows"]):
        if follows in CENTRES:
            values[:, place] = spots[follows] - CENTRES[follows]
    shares = genes["share"].to_numpy() * np.exp(values * genes["slope"].to_numpy())
    planted = genes["follows"].isin(CENTRES).to_numpy()
    shares[:, (genes["gene"] == BALANCE).to_numpy()] -= shares[:, planted].sum(axis=1, keepdims=True)
    return shares


def draw_counts(
    rng: np.random.Generator, *, spots: pd.DataFrame, genes: pd.DataFrame, overdispersion: float
) -> pd.DataFrame:
    """Counts, spots × genes: negative binomial about depth × share, of variance mean + ``overdispersion`` × mean²."""
    means = spots["depth"].to_numpy()[:, None] * expected_shares(spots, genes)
    rates = means * rng.gamma(1 / overdispersion, overdispersion, means.shape)
    return pd.DataFrame(rng.poisson(rates), columns=genes["gene"], index=spots.index)

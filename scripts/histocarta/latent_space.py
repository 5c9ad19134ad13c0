"""Whether what a network sees in spots sorts them: clusters against classes, and neighbours in latent space."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.spot_statistics import NEIGHBOURS, median, pearson

SIDES = {"square": [(0, 1), (0, -1), (1, 0), (-1, 0)], "hexagonal": NEIGHBOURS["hexagonal"]}  # L1 distance 1 (ST-Net)
RADIUS = 1.5  # in the plane of the UMAP: whose classes are counted (ST-Net's code)
FEWEST = 20  # spots of a patient that are mapped
PERMUTATIONS = 200


def purity(classes: Sequence[str], clusters: Sequence[int]) -> float:
    """The share of spots that belong to the commonest class of their cluster."""
    table = pd.crosstab(pd.Series(clusters), pd.Series(classes))
    return float(table.max(axis=1).sum() / table.to_numpy().sum())


def cluster_purity(features: np.ndarray, classes: np.ndarray, *, seed: int) -> tuple[np.ndarray, dict]:
    """k-means clusters of all spots, k the number of classes, and their purity among spots with a class.

    He 2020: 2 clusters, tumour and normal, purity .89 ± .07 over patients. chance : the mean purity of the same
    clusters when the classes change places. Fewer than two classes: clusters of two, and a reason.
    """
    from sklearn.cluster import KMeans

    known = classes != ""
    names = np.unique(classes[known])
    model = KMeans(n_clusters=max(2, len(names)), n_init=10, random_state=seed).fit(features)
    clusters = model.labels_
    if len(names) < 2:
        return clusters, {"purity": np.nan, "chance": np.nan, "classes": names.tolist(), "reason": "one class or none"}
    rng = np.random.default_rng(seed)
    shuffled = [purity(rng.permutation(classes[known]), clusters[known]) for _ in range(PERMUTATIONS)]
    found = {"purity": purity(classes[known], clusters[known]), "chance": float(np.mean(shuffled))}
    return clusters, found | {"classes": names.tolist(), "reason": ""}


def ends_among_neighbours(
    features: np.ndarray, row: np.ndarray, col: np.ndarray, *, lattice: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each spot of ONE section: itself, and the neighbours on the lattice nearest and farthest in latent space.

    Index arrays of the spots with two neighbours or more; distances are squared Euclidean, equal ones in the order of
    the lattice's directions.
    """
    place = pd.MultiIndex.from_arrays([row, col])
    around = np.array(
        [place.get_indexer(pd.MultiIndex.from_arrays([row + down, col + right])) for down, right in SIDES[lattice]]
    )
    distance = ((features[None] - features[around]) ** 2).sum(axis=2)
    there = around >= 0
    spots = np.flatnonzero(there.sum(axis=0) >= 2)
    nearest = np.where(there, distance, np.inf).argmin(axis=0)
    farthest = np.where(there, distance, -np.inf).argmax(axis=0)
    return spots, around[nearest[spots], spots], around[farthest[spots], spots]


def neighbour_correlations(
    features: np.ndarray, values: np.ndarray, spots: pd.DataFrame, *, lattices: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """r of each gene with that of the nearest and of the farthest neighbour, over a patient's sections (He 2020, S9a).

    features : spots × features; values : measured, spots × genes; spots : slide, row, col; lattices : of each spot.
    """
    own, near, far = [], [], []
    for at in spots.groupby("slide", observed=True).indices.values():
        place = [spots[name].to_numpy(int)[at] for name in ("row", "col")]
        found = ends_among_neighbours(features[at], *place, lattice=lattices[at[0]])
        for side, index in zip((own, near, far), found, strict=True):
            side.append(at[index])
    own, near, far = (np.concatenate(side) if side else np.zeros(0, int) for side in (own, near, far))
    return pearson(values[own], values[near]), pearson(values[own], values[far])


def distance_of_nearest(features: np.ndarray, spots: pd.DataFrame) -> tuple[float, float]:
    """How far the spot nearest in latent space lies in its section, and a random one: medians, lattice steps (S9b)."""
    found, chance = [], []
    for at in spots.groupby("slide", observed=True).indices.values():
        if len(at) < 3:
            continue
        xy = spots[["row", "col"]].to_numpy(float)[at]
        apart = np.linalg.norm(xy[:, None] - xy[None], axis=2)
        squares = (features[at] ** 2).sum(axis=1)
        latent = squares[:, None] + squares[None] - 2 * features[at] @ features[at].T
        np.fill_diagonal(latent, np.inf)
        found.append(apart[np.arange(len(at)), latent.argmin(axis=1)])
        chance.append(apart[~np.eye(len(at), dtype=bool)])
    if not found:
        return float("nan"), float("nan")
    return float(np.median(np.concatenate(found))), float(np.median(np.concatenate(chance)))


def map_plane(features: np.ndarray, *, seed: int) -> np.ndarray:
    """UMAP of one patient's spots in two dimensions (McInnes 2018; umap-learn), the same for the same ``seed``."""
    import warnings

    from umap import UMAP

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_jobs value")
        plane = UMAP(n_neighbors=min(15, len(features) - 1), random_state=seed, n_jobs=1)
        return plane.fit_transform(features.astype(np.float32))


def share_of_class(plane: np.ndarray, classes: np.ndarray, *, radius: float = RADIUS) -> np.ndarray:
    """Of each spot with a class: the share of its class among the other spots with one within ``radius`` of it.

    plane : spots × 2. NaN for a spot without a class, or alone. High is representative, low is atypical (He 2020, S8).
    """
    from scipy.spatial import cKDTree

    known = np.flatnonzero(classes != "")
    share = np.full(len(classes), np.nan)
    for spot, near in zip(known, cKDTree(plane[known]).query_ball_point(plane[known], radius), strict=True):
        others = known[near][known[near] != spot]
        if len(others):
            share[spot] = np.mean(classes[others] == classes[spot])
    return share


def gene_medians(names: Sequence[str], near: Sequence[np.ndarray], far: Sequence[np.ndarray]) -> pd.DataFrame:
    """gene, r_nearest, r_farthest: medians over patients (each an array of r by gene)."""
    return pd.DataFrame({"gene": list(names), "r_nearest": median(np.array(near)), "r_farthest": median(np.array(far))})

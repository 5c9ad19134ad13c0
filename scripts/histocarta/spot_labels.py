"""Which genes a model of spots learns, chosen without those that it tests, and on which scale."""

from collections.abc import Callable, Sequence

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from histocarta.errors import nearest
from histocarta.files import read_table, write_json, write_table
from histocarta.spot_counts import LATTICE
from histocarta.versions import VERSION

PER_MILLION = 1e6
COLUMNS = ["slide", "patient", "row", "col", "section", "total", "annotation"]
_KINDS = {"row": "int32", "col": "int32", "total": "float64"}
NO_LABELS = pd.DataFrame({name: pd.Series(dtype=_KINDS.get(name, "object")) for name in [*COLUMNS, "target"]})


def published(counts: np.ndarray, *, total: np.ndarray, n_genes: int, median: np.ndarray) -> np.ndarray:
    """ln((1 + c) / (n + total)), He 2020: a pseudocount for each of all ``n_genes`` measured.

    With 27,000 genes and 3,400 counts a spot the divisor hardly varies, so that depth stays in the values
    (papers' checklist B.16): see the depth report.
    """
    return np.log((1 + counts) / (n_genes + total[:, None]))


def per_million(counts: np.ndarray, *, total: np.ndarray, n_genes: int, median: np.ndarray) -> np.ndarray:
    """ln(1 + 10^6 c / total)."""
    return np.log1p(PER_MILLION * counts / total[:, None])


def by_size(counts: np.ndarray, *, total: np.ndarray, n_genes: int, median: np.ndarray) -> np.ndarray:
    """ln(1 + c / s), s = total / median of the spot's own slide: no other patient moves it."""
    return np.log1p(counts * (median / total)[:, None])


NORMALISATIONS: dict[str, Callable[..., np.ndarray]] = {
    "published": published,
    "cpm": per_million,
    "size_factor": by_size,
}


def label_spots(
    *,
    counts: str,
    split: str | list[str],
    labels: str,
    summary: str,
    trait: str,
    top: int | None,
    genes: Sequence[str] | None,
    shuffled: bool,
    normalisation: str,
    selected_on: str,
    left_out: Sequence[str],
    seed: int,
) -> None:
    """Label every window with the expression of the trait's genes: labels.parquet, in the order of the shards.

    counts : of :func:`histocarta.spot_counts.gather_counts`. split : all rounds. The trait is the ``top`` genes of the
    highest mean raw count over the windows outside a round's test part (``selected_on`` "fold"), or over all ("all", as
    published), or the ``genes``. Names that begin with one of ``left_out`` are never chosen. ``shuffled``: values
    change places within their slide, so that nothing is left to learn.

    labels : COLUMNS and target (a list, by genes of labels.json; None where the spot has no counts). summary : genes,
    chosen (round → numbers of its genes), counts of windows, lattices, and the genes that no section measured. A trait
    without any gene is excluded (B-NOTRAIT).
    """
    data = anndata.read_h5ad(counts)
    rounds = [read_table(path) for path in ([split] if isinstance(split, str) else split)]
    missing = [gene for gene in genes or [] if gene not in data.var_names]
    numbers = [str(round_number(table)) for table in rounds]
    if top is None:
        named = np.unique(data.var_names.get_indexer([gene for gene in genes if gene not in missing]))
        chosen = dict.fromkeys(numbers, named)
    else:
        ranked = [_by_mean(data, table, left_out=left_out, of=selected_on) for table in rounds]
        most = min(top, *map(len, ranked))  # all rounds have one network
        chosen = {number: np.sort(ranks[:most]) for number, ranks in zip(numbers, ranked, strict=True)}
    union = np.unique(np.concatenate([np.zeros(0, int), *chosen.values()]))
    names = data.var_names[union].tolist()
    table = data.obs.reset_index(drop=True)
    table = table.astype(dict.fromkeys(("slide", "patient", "section", "annotation"), str)) if len(table) else table
    values, counted = normalised(data, union, normalisation=normalisation, n_genes=data.n_vars)
    if shuffled:
        values = values[shuffle_within(table["slide"].to_numpy(str), counted, seed=seed)]
    target = [value if known else None for value, known in zip(values, counted, strict=True)]
    code, reason = _fault(names, missing, data)
    write_table(table.assign(target=target)[[*COLUMNS, "target"]] if not code else NO_LABELS, labels)
    record = {
        "trait": trait, "status": "excluded" if code else "ok", "code": code, "reason": reason, "fitted_on": "",
        "rule": {"normalisation": normalisation, "selected_on": selected_on if top else "", "shuffled": shuffled},
        "n_genes": data.n_vars, "genes": names, "missing": missing,
        "genes_saw_test": top is not None and selected_on == "all",
        "chosen": {number: np.searchsorted(union, column).tolist() for number, column in chosen.items()},
        "n": {"windows": int(counted.sum()), "no_counts": int((~counted).sum())},
        "lattice": {str(slide): str(kind) for slide, kind in data.uns[LATTICE].items()},
        "version": VERSION["spot_labels"],
    }  # fmt: skip
    write_json(record, summary)


def normalised(
    data: anndata.AnnData, columns: np.ndarray, *, normalisation: str, n_genes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Normalised expression (float32, windows × ``columns``), and which windows have any counts."""
    if not data.n_obs:
        return np.zeros((0, len(columns)), np.float32), np.zeros(0, bool)
    total = data.obs["total"].to_numpy(float)
    counted = total > 0
    dense = np.asarray(data.X[:, columns].todense(), dtype=np.float64)
    known = pd.Series(np.where(counted, total, np.nan)).groupby(data.obs["slide"].to_numpy(str))
    median = known.transform("median").to_numpy()
    with np.errstate(divide="ignore", invalid="ignore"):
        values = NORMALISATIONS[normalisation](dense, total=total, n_genes=n_genes, median=median)
    return values.astype(np.float32), counted


def round_number(split: pd.DataFrame) -> int:
    """The number of the round that a split table is of."""
    return int(split["round"].iloc[0])


def shuffle_within(groups: np.ndarray, can: np.ndarray, *, seed: int) -> np.ndarray:
    """An order in which the members of each group that ``can`` have changed places with one another."""
    rng = np.random.default_rng([seed, 5])
    order = np.arange(len(groups))
    for group in sorted(set(groups)):
        here = np.flatnonzero((groups == group) & can)
        order[here] = rng.permutation(here)
    return order


def _by_mean(data: anndata.AnnData, split: pd.DataFrame, *, left_out: Sequence[str], of: str) -> np.ndarray:
    """Columns of the genes that were counted, those of the highest mean first; equal ones by name."""
    can = ~data.var_names.str.startswith(tuple(left_out)) if left_out else np.ones(data.n_vars, bool)
    tested = set(split.loc[split["part"] == "test", "slide"])
    used = ~data.obs["slide"].isin(tested).to_numpy() if of == "fold" else np.ones(data.n_obs, bool)
    mean = np.asarray(sparse.csr_matrix(data.X)[used].sum(axis=0, dtype=np.float64)).ravel()
    mean = np.where(can & (mean > 0), mean, -1.0)
    return np.argsort(-mean, kind="stable")[: int((mean > 0).sum())]


def _fault(names: Sequence[str], missing: Sequence[str], data: anndata.AnnData) -> tuple[str, str]:
    """Code and reason why there is nothing to learn; two blanks where there is."""
    if not data.n_obs:
        return "B-NOTRAIT", "no slide of the cohort has a window on a spot"
    if names:
        return "", ""
    hint = nearest(missing[0], data.var_names) if missing else ""
    return "B-NOTRAIT", f"no section measured {', '.join(missing[:5]) or 'any gene'}{hint}"

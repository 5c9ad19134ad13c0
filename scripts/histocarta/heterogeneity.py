"""Which combinations of traits the tiles of a slide show, and the index (HTI) of how evenly they show them.

HTI = - sum_i p_i log_C p_i over the C = 2^T - 1 non-empty combinations of T traits, where p_i is the share of
combination i among the tiles with at least one positive trait (Levy-Jurgenson 2020, Sci. Rep. 10:18802).
"""

import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, fields
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from scipy.special import entr

from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.hta import Regional, regional_heterogeneity
from histocarta.progress import progress

MAX_TRAITS = 62  # one bit of an int64 each
# Why a slide has no HTI; the last with the names of the traits behind a colon.
REASONS = ("no_tiles", "no_vote", "no_positive", "too_few_positive", "trait_excluded")
ALL_COMBINATIONS_UP_TO = 6  # traits; beyond it a table has columns for the combinations that occur, not for all 2^T - 1


def combination_codes(positive: Sequence[np.ndarray]) -> np.ndarray:
    """One code per tile: bit t is set where trait t is positive; 0 = no trait.

    ``positive`` holds one boolean array of the same shape per trait, in the order of the traits.
    """
    if not 1 <= len(positive) <= MAX_TRAITS:
        raise InputError(f"Expected 1 to {MAX_TRAITS} traits together, found {len(positive)}; list fewer.")
    kind = np.uint8 if len(positive) <= 8 else np.int64
    codes = np.zeros(np.shape(positive[0]), dtype=kind)
    for bit, trait in enumerate(positive):
        codes |= np.asarray(trait, dtype=bool).astype(kind) << kind(bit)
    return codes


def combination_name(code: int, traits: Sequence[str]) -> str:
    """Name of a combination code: its positive traits joined by ``+``, in the order of ``traits``."""
    return "+".join(trait for bit, trait in enumerate(traits) if code >> bit & 1)


def combination_counts(codes: np.ndarray, starts: np.ndarray, *, n_codes: int) -> np.ndarray:
    """Tiles per slide and combination, int64 of shape (slides, n_codes - 1): the empty combination is left out.

    ``codes``: combination code per tile, the tiles of a slide side by side; ``starts``: (slides + 1) offsets of the
    slides in it; ``n_codes``: number of codes with the empty one, 2^T.
    """
    counts = np.zeros((len(starts) - 1, n_codes), dtype=np.int64)
    for slide, (start, stop) in enumerate(pairwise(starts)):
        counts[slide] = np.bincount(codes[start:stop], minlength=n_codes)
    return counts[:, 1:]


def hti(counts: np.ndarray, *, combinations: int | None = None) -> np.ndarray:
    """Heterogeneity index of each row of tile counts per non-empty combination; in 0..1, NaN where no tile is positive.

    ``counts``: (..., columns); ``combinations``: C of the paper, by default the number of columns. C = 1 (one trait)
    has no logarithm to the base C: one combination is homogeneous, so 0. Where nothing is positive there is nothing to
    be homogeneous: NaN, not the 0 of the released code.
    """
    counts = np.asarray(counts, dtype=np.float64)
    largest = counts.shape[-1] if combinations is None else combinations
    total = counts.sum(axis=-1, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    index = entr(shares).sum(axis=-1) / (math.log(largest) if largest > 1 else 1.0)
    # entr gives -0.0 for a share of 1, and three equal thirds come to 1 + 2e-16.
    return np.where(total[..., 0] > 0, np.clip(index, 0.0, 1.0) + 0.0, np.nan)


def measure_heterogeneity(
    *,
    scores: list[str],
    slides: list[str],
    table: str,
    traits: list[str],
    seed: int,
    permutations: int,
    bootstraps: int,
    min_tiles: int,
    region: int,
    permute: str,
) -> None:
    """Write the heterogeneity table for one set of traits: one row per slide, sorted by slide.

    ``scores``, ``slides``: consensus/scores.parquet and consensus/slides.parquet of each of the ``traits``, in order;
    ``min_tiles``: positive tiles that a slide needs for an index; ``region``: side of a region of HTA, in tiles;
    ``permute``: what changes places in the permutation test (:func:`histocarta.hta.regional_heterogeneity`).
    ``reason`` says why there is no HTI: no_tiles | no_vote | no_positive | too_few_positive |
    trait_excluded: <traits>;
    ``hta_reason`` why there is no HTA, interval or p. Beyond six traits only combinations that occur have a column.
    """
    cohort, excluded = _slides_of_all(slides, traits)
    if excluded:
        blank = {"n_positive": np.nan, "hti": np.nan, "reason": f"trait_excluded: {', '.join(excluded)}"}
        rows = cohort.drop(columns="scored").assign(**blank)
        write_table(_with_regional(rows, [Regional()] * len(rows)), table)
        return
    tiles = _tiles_of_all(scores, traits, cohort)
    starts = np.searchsorted(tiles["slide"], np.arange(len(cohort) + 1))
    counts = _named_counts(tiles["code"], starts, traits)
    combinations = 2 ** len(traits) - 1
    rows = cohort.drop(columns="scored").assign(
        **_index_columns(counts, cohort, combinations=combinations, min_tiles=min_tiles)
    )
    settings = {"region": region, "permutations": permutations, "bootstraps": bootstraps, "permute": permute}
    regional = _regional_of_all(rows, tiles, starts, seed=seed, combinations=combinations, **settings)
    write_table(pd.concat([_with_regional(rows, regional), counts.add_prefix("count_")], axis=1), table)


def _regional_of_all(
    rows: pd.DataFrame, tiles: dict[str, np.ndarray], starts: np.ndarray, *, seed: int, **settings: int | str
) -> list[Regional]:
    """Regional heterogeneity of each slide; of a slide without an HTI only its reason."""
    records = []
    pairs = zip(rows["slide"], rows["reason"], pairwise(starts), strict=True)
    for slide, reason, (start, stop) in progress(pairs, total=len(rows), what="heterogeneity of slides"):
        if reason:
            records.append(Regional(reason=reason))
            continue
        # A stream of its own per slide: adding a slide or sorting the sheet changes no other slide's figures.
        rng = np.random.default_rng([seed, zlib.crc32(slide.encode())])
        places = (tiles[name][start:stop] for name in ("code", "row", "col"))
        records.append(regional_heterogeneity(*places, rng=rng, **settings))
    return records


def _slides_of_all(paths: list[str], traits: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """Slide, patient, part, common ``ood``, n_tiles and ``scored``, sorted by slide; and the traits without slides.

    A slide is not scored where no model of some trait may vote on it (leave-one-out rounds without a model).
    """
    tables = {trait: read_table(path) for trait, path in zip(traits, paths, strict=True)}
    filled = {trait: frame.sort_values("slide", ignore_index=True) for trait, frame in tables.items() if len(frame)}
    excluded = [trait for trait in traits if trait not in filled]
    if not filled:
        return pd.DataFrame(columns=["slide", "patient", "part", "ood", "n_tiles", "scored"]), excluded
    first, *others = filled.values()
    same = ["slide", "patient", "part"]
    for trait, frame in zip(list(filled)[1:], others, strict=True):
        if not frame[same].astype(str).equals(first[same].astype(str)):
            raise InputError(
                f"Expected the same slides, patients and parts in the consensus tables of all traits, found others for "
                f"{trait} than for {next(iter(filled))}; make both traits again with one split scheme."
            )
    ood = np.array([frame["ood"].fillna("").to_numpy(dtype=object) for frame in filled.values()])
    common = np.where((ood == "near").all(axis=0), "near", np.where((ood != "").all(axis=0), "far", ""))
    scored = np.all([frame["score"].notna() for frame in filled.values()], axis=0)
    return first[same].assign(ood=common, n_tiles=first["n_tiles"].astype(int), scored=scored), excluded


def _tiles_of_all(paths: list[str], traits: list[str], cohort: pd.DataFrame) -> dict[str, np.ndarray]:
    """Number of the slide in ``cohort``, row, col and combination code of the scored slides' tiles, in this order."""
    positive, first, slides = [], None, cohort["slide"].tolist()
    expected = cohort["n_tiles"].to_numpy()
    for trait, path in zip(traits, paths, strict=True):
        columns = pq.read_table(path, columns=["slide", "row", "col", "positive"], read_dictionary=["slide"])
        frame = columns.to_pandas()
        number = pd.Categorical(frame["slide"], categories=slides).codes.astype(np.int64)
        place = np.stack([number, frame["row"].to_numpy(np.int64), frame["col"].to_numpy(np.int64)])
        order = np.lexsort(place[::-1])
        place = place[:, order]
        first = place if first is None else first
        repeated = (np.diff(place, axis=1) == 0).all(axis=0).any() if place.shape[1] > 1 else False
        unknown = number.min(initial=0) < 0 or repeated or not np.array_equal(place, first)
        if unknown or not np.array_equal(np.bincount(number, minlength=len(slides)), expected):
            raise InputError(
                f"Expected the scores of {trait} to hold each tile of the cohort once, the same tiles as {traits[0]}, "
                f"found {place.shape[1]} rows that do not; make the scores of both traits again."
            )
        positive.append(frame["positive"].to_numpy(dtype=bool)[order])
    use = cohort["scored"].to_numpy()[first[0]]
    slide, row, col = first[:, use]
    return {"slide": slide, "row": row, "col": col, "code": combination_codes(positive)[use]}


def _named_counts(codes: np.ndarray, starts: np.ndarray, traits: list[str]) -> pd.DataFrame:
    """Tiles per slide (rows) and combination (columns, by name)."""
    if len(traits) <= ALL_COMBINATIONS_UP_TO:
        present = np.arange(2 ** len(traits))
    else:
        present, codes = np.unique(np.append(codes, 0), return_inverse=True)  # 0 first, whether it occurs or not
        codes = codes[:-1]
    names = [combination_name(int(code), traits) for code in present[1:]]
    return pd.DataFrame(combination_counts(codes, starts, n_codes=len(present)), columns=names)


def _index_columns(
    counts: pd.DataFrame, cohort: pd.DataFrame, *, combinations: int, min_tiles: int
) -> dict[str, np.ndarray]:
    """n_positive, hti and the reason where there is none."""
    n_positive = counts.to_numpy().sum(axis=1)
    missing = [cohort["n_tiles"] == 0, ~cohort["scored"], n_positive == 0, n_positive < min_tiles]
    reason = np.select(missing, list(REASONS[: len(missing)]), default="")
    index = np.where(reason == "", hti(counts.to_numpy(), combinations=combinations), np.nan)
    return {"n_positive": n_positive, "hti": index, "reason": reason}


def _with_regional(rows: pd.DataFrame, regional: list[Regional]) -> pd.DataFrame:
    """``rows`` with the regional figures of each slide in the table's order of columns."""
    figures = pd.DataFrame([asdict(record) for record in regional], columns=[field.name for field in fields(Regional)])
    figures = figures.rename(columns={"reason": "hta_reason"})
    order = ["hta", "hta_low", "hta_high", "permutation_p", "hti_low", "hti_high", "hta_reason"]
    return pd.concat([rows.reset_index(drop=True), figures[order]], axis=1)

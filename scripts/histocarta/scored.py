"""What all rounds' models say of a cohort's tiles, beside the slides' labels and their part in every round."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet

from histocarta.errors import InputError
from histocarta.evaluation import NAN
from histocarta.files import read_table
from histocarta.splits import PARTS


@dataclass(frozen=True)
class Tiles:
    """The tiles of a cohort and every round's score of them; a round without a model has None.

    slide : number of the slide in the cohort's table; row, col : place in the grid; scores : float32, one per round.
    """

    slide: np.ndarray
    row: np.ndarray
    col: np.ndarray
    scores: list[np.ndarray | None]

    def share(self, positive: np.ndarray, *, n_slides: int) -> np.ndarray:
        """Share of ``positive`` tiles of every slide; NaN where it has none."""
        count = np.bincount(self.slide, minlength=n_slides)
        chosen = np.bincount(self.slide[positive], minlength=n_slides)
        return np.divide(chosen, count, out=np.full(n_slides, NAN), where=count > 0)

    def mean(self, score: np.ndarray, *, n_slides: int) -> np.ndarray:
        """Mean ``score`` of every slide's tiles; NaN where it has none, or one of them is."""
        count = np.bincount(self.slide, minlength=n_slides)
        total = np.bincount(self.slide, weights=score, minlength=n_slides)
        return np.divide(total, count, out=np.full(n_slides, NAN), where=count > 0)


def voters_by_slide(tested: np.ndarray, *, chosen: Sequence[int], usable: Sequence[bool]) -> np.ndarray:
    """Which rounds vote on which slides (bool, slides × rounds).

    tested : whether the slide is in the round's test part (slides × rounds). With one test part for all rounds the
    chosen rounds vote on every slide. Where the test part changes (leave-one-out), a round that trained on a slide must
    not vote on it, so only the rounds that held it out do.
    """
    if is_fixed(tested):
        voters = np.zeros(tested.shape, dtype=bool)
        voters[:, list(chosen)] = True
        return voters
    return tested & np.asarray(usable)


def is_fixed(tested: np.ndarray) -> bool:
    """Whether all rounds have the same test part."""
    return bool((tested == tested[:, :1]).all())


def read_rounds(paths: list[str], *, slides: pd.Series, manifest: str) -> Tiles:
    """Tile scores of all rounds; InputError unless all hold the manifest's tiles of ``slides``, in one order."""
    place, scores = None, []
    for path in paths:
        if parquet.read_metadata(path).num_rows == 0:
            scores.append(None)
            continue
        frame = parquet.read_table(path, read_dictionary=["slide"]).to_pandas()
        code = pd.Categorical(frame["slide"], categories=slides).codes.astype(np.int32)
        here = (code, frame["row"].to_numpy(), frame["col"].to_numpy())
        place = here if place is None else place
        if not all(np.array_equal(mine, first) for mine, first in zip(here, place, strict=True)):
            raise InputError(f"Expected the same tiles in all rounds, found others in {path}; score the tiles again.")
        if not np.isfinite(frame["score"]).all():
            raise InputError(f"Expected a score for every tile, found NaN in {path}; train that round again.")
        scores.append(frame["score"].to_numpy(np.float32))
    if place is None:
        return Tiles(*(np.zeros(0, dtype=np.int32) for _ in range(3)), scores=scores)
    table = read_table(manifest).set_index("slide")["n_tiles"].astype(int)
    found = pd.Series(np.bincount(place[0][place[0] >= 0], minlength=len(slides)), index=slides)
    wrong = found.index[found != table.reindex(slides).fillna(0)]
    if len(wrong) or (place[0] < 0).any():
        which = f"{wrong[0]!r} has {found[wrong[0]]} scored tiles" if len(wrong) else "slides without a label row"
        raise InputError(f"Expected scores for the tiles of {manifest}, found others: {which}; score the tiles again.")
    return Tiles(*place, scores=scores)


def read_labelled(labels: str, splits: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """The label table of :func:`with_parts`."""
    return with_parts(read_table(labels), splits)


def with_parts(table: pd.DataFrame, splits: list[str]) -> tuple[pd.DataFrame, np.ndarray]:
    """Slides, sorted, with their unit and part, and their part in every round (slides × rounds, as in PARTS)."""
    table = table.sort_values("slide", ignore_index=True)
    tables = [read_table(path).set_index("slide").reindex(table["slide"]) for path in splits]
    parts = np.stack([pd.Categorical(split["part"], categories=PARTS).codes for split in tables], axis=1)
    if (parts < 0).any():
        slide = table["slide"][(parts < 0).any(axis=1)].iloc[0]
        raise InputError(
            f"Expected every labelled slide in every round of the split, found {slide!r} missing; redraw it."
        )
    return table.assign(unit=tables[0]["unit"].to_numpy(), part=part_of_all(parts)), parts


def part_of_all(parts: np.ndarray) -> np.ndarray:
    """One word for all rounds: who is ever tested is a test slide, who ever trains a training slide, and so on."""
    order = ("test", "train", "tuning")
    return np.select([(parts == PARTS.index(name)).any(axis=1) for name in order], order, default="validation")


def tested_in(parts: np.ndarray) -> np.ndarray:
    """Whether each slide is in each round's test part (slides × rounds)."""
    return parts == PARTS.index("test")

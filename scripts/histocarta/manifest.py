"""What tiling has made of a cohort: one row per slide, the only slide-level input of every per-trait job."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from histocarta.codes import LEDGER
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.sheets import REGION
from histocarta.tables import exclusion, exclusions_table
from histocarta.tiling import REASONS

FROM_SHEET = ["file", *REGION, "block"]  # what a split may go by, as the slide sheet says it
COLUMNS = [
    "slide",
    "patient",
    *FROM_SHEET,
    "n_tiles",
    "shard",
    "sha256",
    "status",
    "code",
    "reason",
    "size",
    "mpp",
    "version",
]


def gather_summaries(*, summaries: list[str], shards: list[str], gathered: str) -> None:
    """Put the tile summaries of all slides, each with its ``shard``, into the one file ``gathered`` (JSON).

    ``summaries`` and ``shards`` are one file per slide, in the same order.
    """
    pairs = zip(summaries, shards, strict=True)
    write_json([read_json(summary) | {"shard": str(shard)} for summary, shard in pairs], gathered)


def collect_manifest(*, gathered: str, slides: str, manifest: str, exclusions: str, one_slide: bool = False) -> None:
    """Join the gathered tile summaries with the sheet (FROM_SHEET) into ``manifest``, sorted by slide.

    Two slides with the very same tiles are one slide under two names (a copy, or one file with two UUIDs): the later
    is left out (code ``T-DUP``). With ``one_slide`` a patient keeps one slide (Wang 2021: the most recent scan, the
    block of routine IHC, the largest area), that of the highest ``priority`` in the sheet, a number or a date, blank
    being lowest, then the one with the most tiles; the others are left out (``T-SECOND``).
    ``exclusions`` lists the slides left out, and per slide and reason how many grid cells hold no tile.

    Raises:
        InputError: where sheet and summaries are not of the same slides and patients, or not of one layout and version.
    """
    own = [*(column for column in COLUMNS if column not in FROM_SHEET), "counts"]
    frame = pd.DataFrame(read_json(gathered), columns=own)
    frame = frame.sort_values("slide", ignore_index=True)
    frame = _join(frame, read_table(slides))
    _check_one_layout(frame)
    _check_shards(frame)
    frame = _without_copies(frame)
    if one_slide:
        frame = _one_of_each_patient(frame, read_table(slides))
    write_table(frame[COLUMNS], manifest)
    write_table(_exclusions(frame), exclusions)


def _join(frame: pd.DataFrame, sheet: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with FROM_SHEET; the sheet is right about who is a patient, so summaries must agree with it."""
    missing = sorted(set(sheet["slide"]) ^ set(frame["slide"]))
    if missing:
        raise InputError(
            f"Expected tile summaries of the {len(sheet)} slides of the sheet, found {len(frame)}; not in both: "
            f"{', '.join(missing[:5])}. Run the workflow again."
        )
    sheet = sheet.set_index("slide")
    patients = sheet["patient"].reindex(frame["slide"]).to_numpy()
    for slide, stated, cut in zip(frame["slide"], patients, frame["patient"], strict=True):
        if stated != cut:
            raise InputError(
                f"Expected slide {slide} to be of patient {stated} (sheet), found {cut} in its tile summary; "
                "delete the slide's results and run the workflow again."
            )
    said = sheet.reindex(index=frame["slide"], columns=FROM_SHEET, fill_value="").reset_index(drop=True)
    return _without_excluded(frame.join(said), sheet)


def _without_excluded(frame: pd.DataFrame, sheet: pd.DataFrame) -> pd.DataFrame:
    """Preparing the cohort may exclude a slide after it was tiled (its sample type is not that of its expression)."""
    if "exclude" not in sheet:
        return frame
    for row, reason in zip(frame.index, sheet["exclude"].reindex(frame["slide"]), strict=True):
        if reason and frame.at[row, "status"] == "ok":
            frame.loc[row, ["status", "code", "n_tiles"]] = ["excluded", "S-SHEET", 0]
            frame.loc[row, "reason"] = f"{frame.at[row, 'slide']}: excluded by the slide sheet: {reason}"
    return frame


def _check_one_layout(frame: pd.DataFrame) -> None:
    for column in ("size", "mpp", "version"):
        values = frame.groupby(column)["slide"].first()
        if len(values) > 1:
            found = ", ".join(f"{value} ({slide})" for value, slide in values.items())
            raise InputError(f"Expected tiles of one {column}, found {found}; tile the slides again.")


def _check_shards(frame: pd.DataFrame) -> None:
    """A shard that is empty where tiles are due reads as a slide without tiles: no later step would notice."""
    unused = frame["code"] == "S-SHEET"
    for shard, n_tiles in zip(frame.loc[~unused, "shard"], frame.loc[~unused, "n_tiles"], strict=True):
        size = Path(shard).stat().st_size
        if (size > 0) != (n_tiles > 0):
            raise InputError(f"Expected {n_tiles} tiles in {shard}, found {size} bytes; tile the slide again.")


def _without_copies(frame: pd.DataFrame) -> pd.DataFrame:
    first: dict[str, str] = {}
    for row in frame.index[frame["n_tiles"] > 0]:
        slide, digest = frame.at[row, "slide"], frame.at[row, "sha256"]
        if digest in first:
            frame.loc[row, ["status", "code"]] = ["excluded", "T-DUP"]
            frame.loc[row, "reason"] = f"{slide}: the same tiles as {first[digest]}, which is used"
            frame.loc[row, "n_tiles"] = 0
        first.setdefault(digest, slide)
    return frame


def _one_of_each_patient(frame: pd.DataFrame, sheet: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with one usable slide per patient."""
    stated = sheet.set_index("slide").reindex(columns=["priority"], fill_value="")["priority"]
    numbers = pd.to_numeric(stated.replace("", pd.NA), errors="coerce")
    if (numbers.isna() & (stated != "")).any():  # not all are numbers: days, then
        days = pd.to_datetime(stated.replace("", pd.NA), errors="coerce", format="ISO8601")
        wrong = stated[days.isna() & (stated != "")]
        if len(wrong):
            raise InputError(
                f"Expected numbers or dates (2019-03-31) in the column priority of the slide sheet, found "
                f"{wrong.iloc[0]!r} for {wrong.index[0]}; correct it."
            )
        numbers = (days - pd.Timestamp(0)).dt.total_seconds()
    usable = frame[frame["n_tiles"] > 0]
    priority = numbers.reindex(usable["slide"]).set_axis(usable.index).fillna(float("-inf"))
    order = usable.assign(priority=priority).sort_values(["priority", "n_tiles"], ascending=False, kind="stable")
    chosen = order.drop_duplicates("patient").set_index("patient")
    for row in usable.index.difference(order.drop_duplicates("patient").index):
        used = chosen.loc[frame.at[row, "patient"]]
        frame.loc[row, ["status", "code", "n_tiles"]] = ["excluded", "T-SECOND", 0]
        why = "of higher priority" if used["priority"] > priority[row] else f"with {used['n_tiles']} tiles"
        frame.loc[row, "reason"] = f"{frame.at[row, 'slide']}: {used['slide']}, {why}, is used"
    return frame


def _exclusions(frame: pd.DataFrame) -> pd.DataFrame:
    out = frame[frame["status"] != "ok"]
    rows = [exclusion("tiles", "slide", row.slide, row.code, row.reason) for row in out.itertuples()]
    for row in frame.itertuples():
        rows += [
            exclusion("tiles", "tile", row.slide, reason, LEDGER[reason], count=row.counts[reason])
            for reason in (*REASONS, *sorted(set(row.counts) - set(REASONS)))
            if row.counts[reason]
        ]
    return exclusions_table(rows)

"""Which squares of a slide become tiles: the tests that a tile must pass, in their order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg

from histocarta.files import read_json, sha256, write_columns, write_json
from histocarta.glass import GlassFinder
from histocarta.progress import progress
from histocarta.quality import draw_quality_picture, measure_quality
from histocarta.reader import SlideReader, UnreadableRegion, open_reader
from histocarta.sites import Sites, lay_grid, sites_of
from histocarta.stain import normaliser
from histocarta.tilestore import write_shard
from histocarta.tissue import background_share, enough_tissue
from histocarta.versions import VERSION

REASONS = ("background", "pen", "dark", "blur", "unreadable", "edge")
MAX_UNREADABLE = 0.01  # share of the tiles that were read; a slide with more is left out (code S-TILES)
MAX_ENLARGEMENT = 1.1  # um/px of the slide over the tile's: beyond it a tile shows detail that nobody scanned
MUCH_PEN = 0.2  # share of the tiles with tissue lost to pen above which the slide is flagged


@dataclass(frozen=True)
class Rules:
    """What a tile must be to be kept; None switches a test off."""

    background: str
    min_tissue: float
    min_sharpness: float | None
    max_pen: float | None
    max_dark: float | None

    def judge(self, rgb: np.ndarray) -> dict:
        """tissue, pen, dark, sharpness and reason ("" = kept) of a tile, uint8 H×W×3.

        Background comes first, as most cells are glass, and ends it; the others say why what is left is unfit.
        """
        background = background_share(rgb, preset=self.background)
        found = {"tissue": 1.0 - background, "reason": ""}
        if not enough_tissue(background, preset=self.background, min_tissue=self.min_tissue):
            return found | {"reason": "background"}
        found |= measure_quality(rgb)._asdict()
        if self.max_pen is not None and found["pen"] > self.max_pen:
            return found | {"reason": "pen"}
        if self.max_dark is not None and found["dark"] > self.max_dark:
            return found | {"reason": "dark"}
        if self.min_sharpness is not None and found["sharpness"] < self.min_sharpness:
            return found | {"reason": "blur"}
        return found


def tile_slide(
    *,
    file: str,
    survey: str,
    tissue: str,
    thumbnail: str,
    section: str | None = None,
    spots: str | None = None,
    stain: str | None = None,
    sites: str,
    shard: str,
    summary: str,
    picture: str,
    size: int,
    mpp: float,
    background: str,
    min_tissue: float,
    min_sharpness: float | None,
    max_pen: float | None,
    max_dark: float | None,
    quality: int,
    decode: str,
    method: str = "none",
    max_enlargement: float | None = MAX_ENLARGEMENT,
    max_unreadable: float = MAX_UNREADABLE,
    sites_are: str = "grid",
    version: int = VERSION["tile"],
) -> None:
    """Cut one surveyed slide, ``file``, into tiles of ``size`` px at ``mpp`` um/px.

    Writes ``sites`` (every grid cell, what was measured, why it was dropped), ``shard`` (the kept tiles as JPEG of
    ``quality``, 4:4:4), ``summary`` (JSON) and ``picture`` (PNG). A slide without a usable tile gets an empty, valid
    shard and status ``excluded``: its survey's code, ``S-COARSE`` (its pixels would have to be enlarged more than
    ``max_enlargement`` times; None allows any), ``T-EMPTY`` (no tile passes), or ``S-TILES`` (more than
    ``max_unreadable`` of its whole cells cannot be decoded). ``stain`` is the slide's stain record, used where
    ``method`` is not ``none``. Where ``sites_are`` "spots", tiles lie on those of the ``section`` (its section.json
    and spots.parquet), and a slide whose section is excluded is left out for its reason.
    """
    cv2.setNumThreads(1)  # a job has one core, and the same sums in the same order whatever the machine
    record = _fine_enough(read_json(survey), mpp=mpp, max_enlargement=max_enlargement)
    if sites_are == "spots" and record["status"] == "ok":
        record |= {key: read_json(section)[key] for key in ("status", "code", "reason")}
    rules = Rules(background, min_tissue, min_sharpness, max_pen, max_dark)
    colours = None if method == "none" else _stain_record(stain, method=method)
    unreadable: list[str] = []
    if record["status"] == "ok":
        mask = _read_image(tissue, cv2.IMREAD_GRAYSCALE) > 0
        found = sites_of(record, size=size, mpp=mpp, spots=spots if sites_are == "spots" else None)
        cutter = Cutter(file, record, mask, rules=rules, size=size, quality=quality, decode=decode, stain=colours)
        n_tiles = write_shard(shard, cutter.tiles(found, unreadable))
        del cutter  # before the table is written: its table of colours can take 64 MB (reinhard)
        verdict = _verdict(found, slide=record["slide"], max_unreadable=max_unreadable)
        if verdict["code"] == "S-TILES":
            n_tiles = write_shard(shard, [])
            found["reason"][found["kept"]] = "unreadable"  # the slide is: none of its tiles is used
            found["kept"][:] = False
    else:
        found = lay_grid(x=0, y=0, width=0, height=0, mpp=1.0, width_px=1)
        n_tiles = write_shard(shard, [])
        verdict = {key: record[key] for key in ("status", "code", "reason")}
    draw_sites(found, record, thumbnail=thumbnail, picture=picture)
    write_columns(found, sites)
    counts = {reason: int((found["reason"] == reason).sum()) for reason in REASONS}
    facts = {key: record[key] for key in ("slide", "patient")} | verdict
    facts |= {"size": size, "mpp": mpp, "decode": decode, "version": version, "stain": method}
    facts |= {f"stain_{key}": colours[key] if colours else "" for key in ("status", "reason")}
    facts |= {"n_cells": len(found["kept"]), "n_tiles": n_tiles, "counts": counts, "sha256": sha256(shard)}
    write_json(facts | {"unreadable": unreadable, "warnings": _warnings(counts, n_tiles)}, summary)


class Cutter:
    """One pass over the cells of a slide."""

    def __init__(
        self,
        file: str,
        record: dict,
        mask: np.ndarray,
        *,
        rules: Rules,
        size: int,
        quality: int,
        decode: str,
        stain: dict | None,
    ) -> None:
        self._file, self._record, self._mask, self._rules = file, record, mask, rules
        self._size, self._quality, self._decode = size, quality, decode
        self._normalise = None if stain is None else normaliser(stain)

    def tiles(self, sites: Sites, unreadable: list[str]) -> Iterator[tuple[int, int, bytes]]:
        """Yield the kept tiles as (row, col, JPEG); at the end ``sites`` holds what was measured in every cell."""
        with open_reader(self._file, decode=self._decode) as reader:
            glass = self._glass(reader, width_px=int(sites["width_px"][0]))
            cells = np.flatnonzero(sites["reason"] == "").tolist()
            for cell in progress(cells, total=len(cells), what=f"tiles of {self._record['slide']}"):
                x, y, width_px = (int(sites[name][cell]) for name in ("x", "y", "width_px"))
                background = glass.background(x, y)
                if background is not None:
                    sites["tissue"][cell], sites["reason"][cell] = 1.0 - background, "background"
                    continue
                try:
                    rgb = reader.read(x, y, width_px, self._size)
                except UnreadableRegion as error:
                    unreadable.append(str(error))
                    sites["reason"][cell] = "unreadable"
                    continue
                judged = self._rules.judge(rgb)
                for name, value in judged.items():
                    sites[name][cell] = value
                sites["kept"][cell] = judged["reason"] == ""
                if sites["kept"][cell]:
                    rgb = rgb if self._normalise is None else self._normalise(rgb)
                    jpeg = simplejpeg.encode_jpeg(
                        np.ascontiguousarray(rgb), quality=self._quality, colorsubsampling="444"
                    )
                    yield int(sites["row"][cell]), int(sites["col"][cell]), jpeg

    def _glass(self, reader: SlideReader, *, width_px: int) -> GlassFinder:
        return GlassFinder(
            reader,
            mask=self._mask,
            origin=(self._record["x"], self._record["y"]),
            downsample=self._record["thumbnail_downsample"],
            width_px=width_px,
            size=self._size,
            preset=self._rules.background,
            min_tissue=self._rules.min_tissue,
        )


def _fine_enough(record: dict, *, mpp: float, max_enlargement: float | None) -> dict:
    """The survey's record, excluded where the slide was scanned too coarsely for tiles of ``mpp`` um/px."""
    if record["status"] != "ok" or max_enlargement is None or record["mpp"] <= max_enlargement * mpp:
        return record
    reason = (
        f"{record['slide']}: {record['mpp']:g} um/px, tiles of {mpp:g} um/px would enlarge it "
        f"{record['mpp'] / mpp:.3g} times, at most {max_enlargement:g} is allowed; use a layout of coarser mpp, or "
        "raise its max_enlargement"
    )
    return record | {"status": "excluded", "code": "S-COARSE", "reason": reason}


def _verdict(sites: Sites, *, slide: str, max_unreadable: float) -> dict:
    """status, code and reason of a slide whose cells have been judged."""
    counts = Counter(sites["reason"].tolist())
    bad, cells = counts["unreadable"], counts.total() - counts["edge"]
    if bad > max_unreadable * cells:
        return {"status": "excluded", "code": "S-TILES", "reason": f"{slide}: {bad} of {cells} tiles unreadable"}
    if not sites["kept"].any():
        why = ", ".join(f"{counts[reason]} {reason}" for reason in REASONS if reason in counts)
        return {"status": "excluded", "code": "T-EMPTY", "reason": f"{slide}: 0 tiles kept of {counts.total()} ({why})"}
    return {"status": "ok", "code": "", "reason": ""}


def _warnings(counts: dict[str, int], n_tiles: int) -> list[str]:
    tissue = n_tiles + sum(counts[reason] for reason in ("pen", "dark", "blur"))
    if counts["pen"] > MUCH_PEN * tissue:
        return [f"pen on {counts['pen']} of {tissue} tiles with tissue"]
    return []


def _stain_record(stain: str | None, *, method: str) -> dict:
    if not stain:
        raise ValueError(f"Expected a stain record for the method {method}, found none.")
    record = read_json(stain)
    if record["method"] != method:
        raise ValueError(f"Expected a stain record of the method {method}, found {record['method']} in {stain}.")
    return record


def _read_image(path: str, flags: int) -> np.ndarray:
    image = cv2.imread(str(path), flags)
    if image is None:
        raise OSError(f"Expected a PNG at {path}, found none that can be read.")
    return image


def draw_sites(sites: Sites, record: dict, *, thumbnail: str, picture: str) -> None:
    """Write the picture of a slide's tiles, kept and dropped; ``record``: its slide.json."""
    excluded = record["status"] != "ok"
    draw_quality_picture(
        thumbnail=cv2.cvtColor(_read_image(thumbnail, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB),
        sites=sites,
        downsample=1.0 if excluded else record["thumbnail_downsample"],
        origin=(0, 0) if excluded else (record["x"], record["y"]),
        path=picture,
    )

"""How colour normalisation is shown: the same tiles as scanned and as stored."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import simplejpeg

from histocarta.files import read_json, read_table
from histocarta.reader import open_reader
from histocarta.tilestore import read_shard

SLIDES, TILES, SIDE = 4, 4, 150  # slides, tiles of each, px of a shown tile


def stain_pairs(slides: Sequence[str], *, root: str, layout: str) -> Iterator[tuple[bytes, str]]:
    """A PNG for each of a few slides: tiles as scanned above the same as stored; none where nothing was normalised."""
    for slide in islice(slides, SLIDES):
        folder = Path(root) / "slides" / slide
        record = folder / layout / "stain.json"
        if not record.is_file():
            return
        stain = read_json(record)
        verdict = (
            stain["method"] if stain["status"] == "ok" else f"{stain['method']}, {stain['status']}: {stain['reason']}"
        )
        yield _pair(folder, layout), f"{slide}: as scanned (above) and normalised ({verdict})"


def _pair(folder: Path, layout: str) -> bytes:
    """Two rows of tiles, PNG."""
    survey, sites = (
        read_json(folder / "slide.json"),
        read_table(folder / layout / "sites.parquet").set_index(["row", "col"]),
    )
    stored, scanned = [], []
    with open_reader(survey["file"], decode="exact") as reader:
        for row, col, jpeg in islice(read_shard(folder / layout / "tiles.tfrecord"), TILES):
            tile = simplejpeg.decode_jpeg(jpeg)
            site = sites.loc[(row, col)]
            stored.append(tile)
            scanned.append(reader.read(int(site["x"]), int(site["y"]), int(site["width_px"]), tile.shape[0]))
    rows = [
        np.hstack([cv2.resize(tile, (SIDE, SIDE), interpolation=cv2.INTER_AREA) for tile in tiles])
        for tiles in (scanned, stored)
    ]
    return cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1].tobytes()

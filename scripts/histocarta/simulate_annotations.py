"""What a pathologist would mark on synthetic slides: glands and stroma, as QuPath exports areas."""

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pandas as pd

from histocarta.files import replacing, write_table

CLASSES = {True: "stroma", False: "gland"}  # by whether field B is high: it turns glands into stroma
SURE = 0.25  # a cell whose mean field is nearer to 0.5 is not marked


def write_annotations(cells: pd.DataFrame, *, slides: dict[str, int], output: Path) -> None:
    """Write annotations.tsv and a GeoJSON per slide of ``slides`` (side of a cell in level-0 px, by slide).

    cells : the truth (slide, row, col, tissue, B). Marked are cells of tissue that are clearly the one or the other.
    """
    rows = []
    for slide, side in slides.items():
        own = cells[(cells["slide"] == slide) & (cells["tissue"] > 0.5) & ((cells["B"] - 0.5).abs() >= SURE)]
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [corners]},
                "properties": {"objectType": "annotation", "classification": {"name": CLASSES[high]}},
            }
            for high, corners in _strips(own, side=side)
        ]
        path = output / "annotations" / f"{slide}.geojson"
        with replacing(path) as temporary:
            temporary.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
        rows.append((slide, path.as_posix()))
    write_table(pd.DataFrame(rows, columns=["slide", "file"]), output / "annotations.tsv")


def _strips(cells: pd.DataFrame, *, side: int) -> Iterator[tuple[bool, list[list[int]]]]:
    """Neighbours of one class in a row as one rectangle: whether B is high, and the closed ring of its corners."""
    places = sorted(zip(cells["row"], cells["col"], cells["B"] > 0.5, strict=True))
    # In a run of neighbours column and place in the list grow alike.
    for (row, high, _), run in groupby(
        enumerate(places), key=lambda item: (item[1][0], item[1][2], item[1][1] - item[0])
    ):
        columns = [place[1] for _, place in run]
        left, right, top, bottom = columns[0] * side, (columns[-1] + 1) * side, row * side, (row + 1) * side
        yield bool(high), [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]

"""What the report shows of slides: tiles kept and dropped, cartographies, and heterogeneity in increasing order."""

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from histocarta.cartography import draw_combination_map, draw_map
from histocarta.files import read_table
from histocarta.report_page import Gallery, Note, Picture, Section, data_uri, gallery_uri, whole_table
from histocarta.stain_gallery import stain_pairs

SHOWN = 12  # pictures of a kind; the rest lie beside the report


def slide_section(manifest: str, root: str) -> Section:
    """Tiles kept and dropped: the slides that lost most first, then others for comparison."""
    layout = Path(manifest).parent.name
    slides = read_table(manifest).astype({"n_tiles": int}).sort_values(["n_tiles", "slide"])
    shown = pd.concat([slides.head(SHOWN // 2), slides.tail(SHOWN - SHOWN // 2)]).drop_duplicates("slide")
    note = (
        f"{(slides['n_tiles'] > 0).sum()} of {len(slides)} slides have tiles, {slides['n_tiles'].sum():,} in all. "
        "Shown: the slides with fewest and with most tiles."
    )
    tiles = [
        Picture(
            gallery_uri(f"{root}/slides/{row.slide}/{layout}/tiles.png"),
            f"{row.slide}: {row.n_tiles} tiles {row.reason}",
        )
        for row in shown.itertuples()
    ]
    usable = slides.loc[slides["n_tiles"] > 0, "slide"]
    stains = [Picture(data_uri(picture), caption) for picture, caption in stain_pairs(usable, root=root, layout=layout)]
    return Section(f"Slides and tiles ({layout})", [Note(note), Gallery(tiles + stains)])


def map_section(scored: Mapping[str, pd.DataFrame], root: str, *, task: str, layout: str) -> Section:
    """The cartographies of each trait's highest and lowest test slides; ``scored``: slides by trait."""
    maps = []
    for trait, frame in scored.items():
        test = frame[frame["part"] == "test"].sort_values("score", ascending=False)
        chosen = pd.concat([test.head(2), test.tail(2)]).drop_duplicates("slide")
        maps += [
            _map(root, row.slide, [trait], task, layout, f"{trait}, {row.slide}: {row.score:.2f}")
            for row in chosen.itertuples()
        ]
    note = "Tiles that most voting rounds call positive; highest and lowest slide scores of the test part."
    return Section(f"Cartographies ({task})", [Note(note), Gallery(maps)])


def heterogeneity_section(table: str, root: str, study: Mapping[str, Any]) -> Section:
    """Maps in the order of increasing HTI (their Fig. 3) and the table."""
    traits, task = Path(table).parent.name.split("+"), Path(table).parent.parent.name
    rows = read_table(table)
    rows["hti"] = pd.to_numeric(rows["hti"])
    defined = rows[rows["hti"].notna() & rows["part"].eq("test")].sort_values(["hti", "slide"])
    places = [round(place * (len(defined) - 1) / (SHOWN - 1)) for place in range(SHOWN)] if len(defined) else []
    layout = study["tasks"][task]["layout"]
    note = (
        f"HTI = 0: one combination only; 1: all {2 ** len(traits) - 1} combinations equally frequent; undefined "
        f"without a positive tile ({rows['hti'].isna().sum()} of {len(rows)} slides). Shown: test slides."
    )
    maps = [
        _map(root, row.slide, traits, task, layout, f"{row.slide}: HTI {row.hti:.2f}")
        for row in defined.iloc[places].drop_duplicates("slide").itertuples()
    ]
    every = whole_table(rows, title="All slides", folded=True)
    return Section(f"Heterogeneity of {' + '.join(traits)}", [Note(note), every, Gallery(maps)])


def _map(root: str, slide: str, traits: Iterable[str], task: str, layout: str, caption: str) -> Picture:
    """A cartography drawn for the page only; as a file of its own it is one target away."""
    traits = list(traits)
    paths = {
        "sites": f"{root}/slides/{slide}/{layout}/sites.parquet",
        "survey": f"{root}/slides/{slide}/slide.json",
        "thumbnail": f"{root}/slides/{slide}/thumbnail.png",
    }
    scores = [f"{root}/traits/{trait}/{task}/consensus/scores.parquet" for trait in traits]
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/map.png"
        if len(traits) == 1:
            draw_map(scores=scores[0], picture=picture, trait=traits[0], **paths)
        else:
            draw_combination_map(scores=scores, picture=picture, traits=traits, **paths)
        return Picture(gallery_uri(picture), caption)

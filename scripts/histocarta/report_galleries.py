"""What the report shows of slides: tiles kept and dropped, cartographies, and heterogeneity in increasing order.

Pictures carry no legend of their own: reduced to a gallery's size nobody could read it. One stands above each gallery.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from histocarta.cartography import LEGEND_ENTRIES, legend_colours, slide_map, state_name
from histocarta.files import read_json, read_table
from histocarta.heatmaps import LEGEND, score_range, value_colours, value_map, value_words
from histocarta.overlays import GLASS, NEGATIVE, UNSCORED
from histocarta.quality import COLOURS, quality_picture
from histocarta.report_page import (
    Block,
    Gallery,
    Legend,
    Note,
    Picture,
    Section,
    Swatch,
    Table,
    data_uri,
    gallery_uri,
    whole_table,
)
from histocarta.stain_gallery import stain_pairs

SHOWN = 12  # pictures of a kind; the rest lie beside the report
TEXT = ("slide", "patient", "part", "ood", "reason", "hta_reason")  # columns of hti.tsv that are not numbers
LOOKS = {GLASS: "filled", UNSCORED: "hatched"}
QUALITY_WORDS = {
    "kept": "kept",
    "background": "background",
    "pen": "pen",
    "blur": "out of focus",
    "dark": "dark: fold, bubble, ink",
    "unreadable": "cannot be read",
    "edge": "cut by the slide's edge",
    "elsewhere": "outside the region",
}


def slide_section(manifest: str, root: str, layouts: Mapping[str, Mapping[str, Any]]) -> Section:
    """Slides without a tile, tiles kept and dropped (slides with few first), and what normalising did to colours.

    ``layouts``: the study's, which say whether these are tiles of all tissue or of a region.
    """
    layout = Path(manifest).parent.name
    slides = read_table(manifest).astype({"n_tiles": int}).sort_values(["n_tiles", "slide"])
    none, usable = slides[slides["n_tiles"] == 0], slides[slides["n_tiles"] > 0]
    note = f"{len(usable)} of {len(slides)} slides have tiles, {slides['n_tiles'].sum():,} in all."
    blocks: list[Block] = [Note(f"{note} {_source_of_tiles(layouts[layout])}")]
    if len(none):
        why = [(row.slide, row.code, row.reason.removeprefix(f"{row.slide}: ")) for row in none.itertuples()]
        blocks.append(Table(("slide", "code", "why"), why, "Slides without a tile", folded=len(why) > SHOWN))
    blocks += _quality_gallery(slides["slide"].tolist(), root=root, layout=layout)
    stains = [
        Picture(data_uri(picture), caption)
        for picture, caption in stain_pairs(usable["slide"].tolist(), root=root, layout=layout)
    ]
    blocks += [Gallery(stains, "Colours as scanned and as normalised")] if stains else []
    return Section(f"Slides and tiles ({layout})", blocks)


def _source_of_tiles(layout: Mapping[str, Any]) -> str:
    """Whether a layout's tiles are of all tissue or of a region, in words."""
    if not layout["of"]:
        return "They are of all tissue: no region was chosen."
    return (
        f"They are those of the layout {layout['of']} that the classifier of region {layout['region']} scores "
        f"{layout['min_score']:g} or more."
    )


def map_section(scored: Mapping[str, pd.DataFrame], root: str, *, task: str, layout: str) -> Section:
    """The cartographies of each trait's highest and lowest test slides; ``scored``: slides by trait."""
    galleries, states = [], Counter()
    for trait, frame in scored.items():
        maps = []
        for row in _ends_of(frame).itertuples():
            caption = f"{row.slide}: {100 * row.score:.0f} % of its tiles positive{_class_of(row.label)}"
            maps.append(_map(root, row.slide, [trait], task=task, layout=layout, caption=caption, states=states))
        galleries.append(Gallery(maps, trait))
    note = (
        "Where each trait is predicted to be high: tiles that most voting rounds call positive, over the slide in "
        "grey. Of each trait the two test slides with the highest and the two with the lowest share of positive tiles."
    )
    blocks = [Note(note), _map_legend(states, [""]), *galleries] if galleries else [Note("There is no trait to map.")]
    return Section(f"Cartographies ({task})", blocks)


def value_map_section(scored: Mapping[str, pd.DataFrame], root: str, *, task: str, layout: str) -> Section:
    """Maps of predicted expression; see :func:`value_maps`."""
    note = (
        "Predicted expression per tile, over the slide in grey; of each trait the two test slides with the highest "
        "and the two with the lowest prediction. The colours run from the 1st to the 99th percentile of all tiles."
    )
    return Section(f"Cartographies ({task})", [Note(note), *value_maps(scored, root, task=task, layout=layout)])


def value_maps(scored: Mapping[str, pd.DataFrame], root: str, *, task: str, layout: str) -> list[Block]:
    """Maps of each trait's highest and lowest test slides; ``scored``: slides by trait (slide, part, score, value)."""
    blocks: list[Block] = []
    for trait, frame in scored.items():
        scores = f"{root}/traits/{trait}/{task}/consensus/scores.parquet"
        bounds = score_range(scores)
        maps = []
        for row in _ends_of(frame).itertuples():
            folder = f"{root}/slides/{row.slide}"
            record = read_json(f"{folder}/slide.json")
            places = {"sites": f"{folder}/{layout}/sites.parquet", "thumbnail": f"{folder}/thumbnail.png"}
            _, picture = value_map(scores, record=record, bounds=bounds, **places)
            scale = record["mpp"] * picture.scale
            measured = "" if pd.isna(row.value) else f", measured {row.value:.3g}"
            caption = f"{row.slide}: {row.score:.3g} predicted{measured}"
            maps.append(Picture(gallery_uri(Image.fromarray(picture.rgb), microns_per_pixel=scale), caption))
        colours = value_colours(np.array(LEGEND[1:])).tolist()
        swatches = [Swatch(tuple(one), words) for one, words in zip(colours, value_words(bounds), strict=True)]
        blocks += [Legend(swatches, trait), Gallery(maps)]
    return blocks


def _ends_of(frame: pd.DataFrame) -> pd.DataFrame:
    """The two test slides with the highest and the two with the lowest score."""
    test = frame[(frame["part"] == "test") & frame["score"].notna()].sort_values("score", ascending=False)
    return pd.concat([test.head(2), test.tail(2)]).drop_duplicates("slide")


def heterogeneity_section(table: str, root: str, study: Mapping[str, Any]) -> Section:
    """Maps in the order of increasing HTI (their Fig. 3) and the table."""
    traits, task = Path(table).parent.name.split("+"), Path(table).parent.parent.name
    rows, states = read_table(table), Counter()
    numbers = [name for name in rows if name not in TEXT]
    rows[numbers] = rows[numbers].apply(pd.to_numeric)
    defined = rows[rows["hti"].notna() & rows["part"].eq("test")].sort_values(["hti", "slide"])
    places = [round(place * (len(defined) - 1) / (SHOWN - 1)) for place in range(SHOWN)] if len(defined) else []
    layout = study["tasks"][task]["layout"]
    note = (
        f"HTI = 0: one combination only; 1: all {2 ** len(traits) - 1} combinations equally frequent; undefined "
        f"without a positive tile ({rows['hti'].isna().sum()} of {len(rows)} slides). Shown: test slides from the "
        "least to the most heterogeneous (their Fig. 3)."
    )
    maps = []
    for row in defined.iloc[places].drop_duplicates("slide").itertuples():
        caption = f"{row.slide}: HTI {row.hti:.2f}"
        maps.append(_map(root, row.slide, traits, task=task, layout=layout, caption=caption, states=states))
    every = whole_table(rows, title="All slides", folded=True)
    blocks = [Note(note), *([_map_legend(states, traits), Gallery(maps)] if maps else []), every]
    return Section(f"Heterogeneity of {' + '.join(traits)}", blocks)


def _quality_gallery(slides: Sequence[str], *, root: str, layout: str) -> list[Block]:
    """The slides at both ends of ``slides``, of those that could be opened, and the legend of the reasons seen."""
    records = {slide: read_json(f"{root}/slides/{slide}/slide.json") for slide in slides}
    opened = [slide for slide, record in records.items() if record["status"] == "ok"]
    pictures, seen = [], set()
    for slide in dict.fromkeys([*opened[: SHOWN // 2], *opened[-(SHOWN - SHOWN // 2) :]]):
        record, sites = records[slide], read_table(f"{root}/slides/{slide}/{layout}/sites.parquet")
        picture = quality_picture(
            thumbnail=np.asarray(Image.open(f"{root}/slides/{slide}/thumbnail.png").convert("RGB")),
            sites=sites,
            downsample=record["thumbnail_downsample"],
            origin=(record["x"], record["y"]),
        )
        dropped = Counter(sites.loc[~sites["kept"].astype(bool), "reason"])
        seen |= {*dropped, *(["kept"] if sites["kept"].any() else [])}
        words = ", ".join(f"{QUALITY_WORDS[reason]} {count:,}" for reason, count in dropped.most_common())
        scale = record["mpp"] * record["region_width"] / picture.width
        caption = f"{slide}: {int(sites['kept'].sum()):,} tiles kept{f'; dropped: {words}' if words else ''}"
        pictures.append(Picture(gallery_uri(picture, microns_per_pixel=scale), caption))
    legend = [
        Swatch(COLOURS[name], words, "outlined" if name == "kept" else "filled")
        for name, words in QUALITY_WORDS.items()
        if name in seen
    ]
    title = "Tiles kept and dropped, slides with the fewest and with the most"
    return [Legend(legend, title), Gallery(pictures)] if pictures else []


def _map(
    root: str, slide: str, traits: Sequence[str], *, task: str, layout: str, caption: str, states: Counter
) -> Picture:
    """A map without legend; adds the tiles of each state to ``states``. As a file with a legend it is a target away."""
    folder = f"{root}/slides/{slide}"
    record = read_json(f"{folder}/slide.json")
    cartography, picture = slide_map(
        [f"{root}/traits/{trait}/{task}/consensus/scores.parquet" for trait in traits],
        sites=f"{folder}/{layout}/sites.parquet",
        thumbnail=f"{folder}/thumbnail.png",
        record=record,
    )
    states.update(cartography.states.ravel().tolist())
    return Picture(gallery_uri(Image.fromarray(picture.rgb), microns_per_pixel=record["mpp"] * picture.scale), caption)


def _map_legend(states: Counter, traits: Sequence[str]) -> Legend:
    """The colours of the maps shown: what is always there, and the most frequent combinations."""
    positive = [state for state, _ in states.most_common() if state > NEGATIVE]
    shown = [GLASS, NEGATIVE, *([UNSCORED] if states[UNSCORED] else []), *sorted(positive[:LEGEND_ENTRIES])]
    swatches = [
        Swatch(tuple(colour), state_name(state, traits), LOOKS.get(state, "filled"))
        for state, colour in zip(shown, legend_colours(np.array(shown)).tolist(), strict=True)
    ]
    rest = positive[LEGEND_ENTRIES:]
    more = f"and {len(rest)} rarer combinations" if rest else ""
    return Legend([*swatches, *([Swatch((255, 255, 255), more)] if more else [])])


def _class_of(label: float) -> str:
    return "" if pd.isna(label) else f", expression {'high' if label == 1 else 'low'}"

"""Galleries of the report: which slides, in which order, in which colours, and a legend that names what is shown."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from histocarta.cartography import legend_colours
from histocarta.files import write_json, write_table
from histocarta.overlays import NEGATIVE
from histocarta.report_galleries import heterogeneity_section, map_section, slide_section
from PIL import Image

STUDY = {"tasks": {"extremes": {"layout": "grid"}}}
TILE = 40  # level-0 px, and px of the thumbnail
SIDE = 10  # tiles
# Positive tiles of A and of B among the first: one combination, two unequal ones, three equal ones.
POSITIVE = {"one": (range(30), range(0)), "two": (range(20), range(20, 30)), "three": (range(20), range(10, 30))}


def shown(picture):
    """Pixels of a gallery picture, and the share of them that have nearly a colour."""
    rgb = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture.uri.partition(",")[2])))).astype(int)
    return SimpleNamespace(
        shape=rgb.shape[:2], share=lambda colour: float((abs(rgb - np.array(colour)).max(axis=2) < 12).mean())
    )


def blocks(section):
    return {block.kind: block for block in section.blocks}


@pytest.fixture
def root(tmp_path):
    """Three slides of 100 tiles on white, the last row of each out of focus, scored for A and B; one that is lost."""
    place = np.arange(SIDE * SIDE)
    sites = pd.DataFrame({"row": place // SIDE, "col": place % SIDE, "width_px": TILE})
    sites = sites.assign(x=sites["col"] * TILE, y=sites["row"] * TILE, kept=sites["row"] < SIDE - 1)
    sites["reason"] = np.where(sites["kept"], "", "blur")
    record = {"status": "ok", "x": 0, "y": 0, "thumbnail_downsample": 1, "mpp": 0.5, "region_width": SIDE * TILE}
    tiles, manifest = {"A": [], "B": []}, []
    for slide, positive in POSITIVE.items():
        folder = tmp_path / "slides" / slide
        write_table(sites, folder / "grid" / "sites.parquet")
        write_json(record | {"slide": slide}, folder / "slide.json")
        Image.new("RGB", (SIDE * TILE, SIDE * TILE), "white").save(folder / "thumbnail.png")
        for trait, chosen in zip("AB", positive, strict=True):
            kept = sites.loc[sites["kept"], ["row", "col"]]
            tiles[trait].append(kept.assign(slide=slide, score=0.5, positive=kept.index.isin(list(chosen))))
        manifest.append({"slide": slide, "n_tiles": 90, "code": "", "reason": ""})
    for trait, frames in tiles.items():
        write_table(pd.concat(frames), tmp_path / "traits" / trait / "extremes" / "consensus" / "scores.parquet")
    (tmp_path / "slides" / "lost").mkdir()
    write_json({"slide": "lost", "status": "excluded"}, tmp_path / "slides" / "lost" / "slide.json")
    manifest.append({"slide": "lost", "n_tiles": 0, "code": "S-MPP", "reason": "lost: no microns per pixel"})
    write_table(pd.DataFrame(manifest), tmp_path / "grid" / "manifest.tsv")
    return tmp_path


def test_slides_without_a_tile_are_listed_and_the_others_shown_with_what_they_lost(root):
    found = blocks(slide_section(str(root / "grid" / "manifest.tsv"), str(root), {"grid": {"of": None}}))
    assert found["table"].rows == [("lost", "S-MPP", "no microns per pixel")]
    assert [picture.caption for picture in found["gallery"].pictures] == [
        f"{slide}: 90 tiles kept; dropped: out of focus 10" for slide in ("one", "three", "two")
    ]
    assert [(one.label, one.look) for one in found["legend"].swatches] == [
        ("kept", "outlined"), ("out of focus", "filled")
    ]  # fmt: skip


def test_maps_go_from_the_least_to_the_most_heterogeneous(root):
    table = root / "heterogeneity" / "extremes" / "A+B" / "hti.tsv"
    rows = [("three", "test", 1.0), ("two", "test", 0.58), ("one", "test", 0.0), ("lost", "test", None)]
    rows.append(("trained", "train", 0.9))
    write_table(pd.DataFrame(rows, columns=["slide", "part", "hti"]), table)
    found = blocks(heterogeneity_section(str(table), str(root), STUDY))
    captions = [picture.caption for picture in found["gallery"].pictures]
    assert captions == ["one: HTI 0.00", "two: HTI 0.58", "three: HTI 1.00"]
    assert found["table"].rows[3] == ["lost", "test", "–"]
    legend = {one.label: one.colour for one in found["legend"].swatches}
    assert list(legend) == ["glass or little tissue", "negative", "tissue, not scored", "A only", "B only", "A + B"]
    # Of 100 tiles the first slide shows 30 in the colour of «A only» and none in that of «A + B».
    first, last = (shown(found["gallery"].pictures[place]) for place in (0, 2))
    assert first.share(legend["A only"]) == pytest.approx(0.3, abs=0.02) and first.share(legend["A + B"]) < 0.001
    assert last.share(legend["A + B"]) == pytest.approx(0.1, abs=0.02)


def test_a_map_in_a_gallery_has_no_legend_strip_and_one_legend_for_all(root):
    frame = pd.DataFrame(
        {"slide": list(POSITIVE), "part": "test", "score": [0.9, 0.1, np.nan], "label": [1, np.nan, 0]}
    )
    section = map_section({"A": frame}, str(root), task="extremes", layout="grid")
    found = blocks(section)
    assert [picture.caption for picture in found["gallery"].pictures] == [
        "one: 90 % of its tiles positive, expression high", "two: 10 % of its tiles positive"
    ]  # fmt: skip
    assert [shown(picture).shape for picture in found["gallery"].pictures] == [(640, 640)] * 2  # the square slide only
    assert [block.kind for block in section.blocks] == ["note", "legend", "gallery"]
    legend = {one.label: one.colour for one in found["legend"].swatches}
    assert legend["positive"] == tuple(legend_colours(np.array([NEGATIVE + 1]))[0])


def test_a_task_without_a_scored_trait_has_no_map(root):
    section = map_section({}, str(root), task="extremes", layout="grid")
    assert [block.kind for block in section.blocks] == ["note"]
    assert "no trait" in section.blocks[0].text

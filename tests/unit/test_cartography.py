"""Maps whose every colour can be read back: from hand-made grids to pixels."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from histocarta import overlays
from histocarta.cartography import (
    describe,
    draw_combination_map,
    draw_map,
    regional_notes,
    state_colours,
    tensor_cartography,
)
from histocarta.colours import FIRST_COLOURS, NEGATIVE_COLOUR, combination_colours
from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.heterogeneity import combination_codes
from histocarta.hta import regional_heterogeneity
from histocarta.legends import FONT
from histocarta.overlays import GLASS, NEGATIVE, STRENGTH, UNSCORED, write_picture
from hta.stats import HTA
from PIL import Image, ImageFont

paint = partial(overlays.paint, colours=state_colours)
TILE = 1000  # level-0 px
ORIGIN = (5000, 7000)
STEP = 50  # level-0 px per thumbnail px: 20 px a tile


def grid_sites(reasons):
    """sites.parquet of a grid of reasons; "" is kept."""
    rows = [
        (row, col, ORIGIN[0] + col * TILE, ORIGIN[1] + row * TILE, TILE, reason == "", reason)
        for row, line in enumerate(reasons)
        for col, reason in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["row", "col", "x", "y", "width_px", "kept", "reason"])


SITES = grid_sites([["", "", "background"], ["", "pen", "edge"]])
TILES = pd.DataFrame({"row": [0, 0, 1], "col": [0, 1, 0]})


def predictions(*positive):
    return TILES.assign(positive=positive)


def middles(picture, rows=2, cols=3):
    """Colour in the middle of each tile of a picture without legend."""
    height, width = picture.rgb.shape[0] // rows, picture.rgb.shape[1] // cols
    return [
        [tuple(picture.rgb[r * height + height // 2 + 1, c * width + width // 2]) for c in range(cols)]
        for r in range(rows)
    ]


def over_white(colour):
    return tuple(int(part) for part in np.rint(STRENGTH * np.array(colour) + (1 - STRENGTH) * 255))


def test_states_of_glass_negative_positive_and_dropped_tiles():
    cartography = tensor_cartography(SITES, [predictions(True, False, False), predictions(True, False, True)])
    assert cartography.states.tolist() == [[NEGATIVE + 3, NEGATIVE, GLASS], [NEGATIVE + 2, UNSCORED, GLASS]]
    assert cartography.positive.shape == (2, 3, 2)


def test_a_kept_tile_without_a_score_is_no_data_and_never_negative():
    one = predictions(True, True, True).iloc[:1]
    states = tensor_cartography(SITES, [one, predictions(True, True, True)]).states
    assert states.tolist() == [[NEGATIVE + 3, UNSCORED, GLASS], [UNSCORED, UNSCORED, GLASS]]


def test_scores_of_other_tiles_are_refused():
    message = "Expected every scored tile among the 3 kept tiles of the slide, found 1 scores that are not"
    for row, col in ((1, 1), (9, 0)):
        with pytest.raises(InputError, match=message):
            tensor_cartography(SITES, [pd.DataFrame({"row": [row], "col": [col], "positive": [True]})])


def test_tensor_is_what_the_authors_package_reads():
    """The tensor and its tissue go into ``hta`` as they are, and its HTA is that of the tiles listed by row and col."""
    rng = np.random.default_rng(0)
    sites = grid_sites([["" if rng.random() < 0.7 else "background" for _ in range(15)] for _ in range(11)])
    kept = sites[sites["kept"]]
    scores = [kept[["row", "col"]].assign(positive=rng.random(len(kept)) < 0.5) for _ in range(2)]
    cartography = tensor_cartography(sites, scores)
    theirs, _ = HTA(cartography.positive.astype(int), 4, n_repeat=2, tissue_mask=cartography.scored.astype(int)).calc()
    ours = regional_heterogeneity(
        combination_codes([frame["positive"].to_numpy() for frame in scores]), kept["row"].to_numpy(),
        kept["col"].to_numpy(), combinations=3, region=4, permutations=1, bootstraps=0, permute="tissue", rng=rng,
    )  # fmt: skip
    assert ours.hta == pytest.approx(theirs, abs=1e-12)


def test_pixels_over_a_white_thumbnail():
    """Every tile's middle has the colour of its state, also where the region starts away from the slide's corner."""
    states = tensor_cartography(SITES, [predictions(True, False, False), predictions(False, False, True)]).states
    thumbnail = np.full((40, 60, 3), 255, np.uint8)
    picture = paint(states, sites=SITES, thumbnail=thumbnail, origin=ORIGIN, downsample=STEP)
    (first, second, glass), (third, hatched, edge) = middles(picture)
    assert first == over_white(FIRST_COLOURS[0])
    assert second == over_white(NEGATIVE_COLOUR)
    assert third == over_white(FIRST_COLOURS[1])
    assert glass == edge == (255, 255, 255)
    unscored = picture.rgb[picture.rgb.shape[0] // 2 :, picture.rgb.shape[1] // 3 : 2 * picture.rgb.shape[1] // 3]
    assert {tuple(colour) for colour in unscored.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}
    assert hatched in {(0, 0, 0), (255, 255, 255)}


def test_tiles_meet_the_pixels_that_they_cover():
    """A tile's colour ends within one pixel of where the tile ends, at 20 px a tile and no enlargement."""
    sites = grid_sites([["", "background"] * 20])
    states = tensor_cartography(sites, [sites[sites["kept"]][["row", "col"]].assign(positive=True)]).states
    thumbnail = np.full((20, 800, 3), 255, np.uint8)
    picture = paint(states, sites=sites, thumbnail=thumbnail, origin=ORIGIN, downsample=STEP)
    coloured = (picture.rgb[10] != 255).any(axis=1)
    assert coloured.tolist() == [(pixel // 20) % 2 == 0 for pixel in range(800)]


def test_pixels_before_the_first_tile_are_glass():
    sites = grid_sites([["", ""]]).iloc[1:]
    picture = paint(
        np.array([[GLASS, NEGATIVE]]), sites=sites, thumbnail=np.full((20, 40, 3), 255, np.uint8), origin=ORIGIN,
        downsample=STEP,
    )  # fmt: skip
    assert middles(picture, 1, 2) == [[(255, 255, 255), over_white(NEGATIVE_COLOUR)]]


def test_thumbnail_shows_through():
    thumbnail = np.full((40, 60, 3), 255, np.uint8)
    thumbnail[:, :10] = 0
    picture = paint(np.full((2, 3), NEGATIVE), sites=SITES, thumbnail=thumbnail, origin=ORIGIN, downsample=STEP)
    assert (picture.rgb[10, 5] < picture.rgb[10, -5]).all()


def test_colours_of_a_combination_never_depend_on_what_else_is_there():
    """The released maps drew A in B's colour where no tile had both (checklist A1.42)."""
    sites, thumbnail = grid_sites([["", ""]]), np.full((20, 40, 3), 255, np.uint8)
    for states in ([[NEGATIVE + 1, NEGATIVE + 3]], [[NEGATIVE + 1, NEGATIVE + 2]], [[NEGATIVE + 1, NEGATIVE + 200]]):
        picture = paint(np.array(states), sites=sites, thumbnail=thumbnail, origin=ORIGIN, downsample=STEP)
        assert middles(picture, 1, 2)[0][0] == over_white(FIRST_COLOURS[0])
    assert combination_colours(255)[:7].tolist() == [list(colour) for colour in FIRST_COLOURS]
    assert combination_colours(1023)[:255].tolist() == combination_colours(255).tolist()


def test_colours_of_eight_traits_are_all_different():
    assert len({tuple(colour) for colour in combination_colours(255)} | {NEGATIVE_COLOUR, (255, 255, 255)}) == 257


def test_more_combinations_than_colours_are_refused():
    with pytest.raises(InputError, match="Expected at most 11 traits in one heterogeneity map, found combination 4095"):
        combination_colours(4095)


def test_words_under_a_map():
    cartography = tensor_cartography(SITES, [predictions(True, False, False), predictions(True, False, True)])
    notes, labels = describe(cartography, ["MKI67", "ESR1"])
    assert notes == ["HTI 0.63"]
    assert labels == {
        GLASS: "glass or little tissue", NEGATIVE: "negative (1)", UNSCORED: "tissue, not scored (1)",
        NEGATIVE + 2: "ESR1 only (1)", NEGATIVE + 3: "MKI67 + ESR1 (1)",
    }  # fmt: skip
    nothing = tensor_cartography(SITES, [predictions(False, False, False)] * 2)
    assert describe(nothing, ["A", "B"])[0] == ["HTI not defined: no positive tile"]
    one = tensor_cartography(SITES, [predictions(True, False, False)])
    notes, labels = describe(one, ["A"])
    assert notes == [] and labels[NEGATIVE] == "negative (2)" and labels[NEGATIVE + 1] == "positive (1)"
    assert describe(tensor_cartography(SITES, [TILES[:0].assign(positive=True)] * 2), ["A", "B"])[0] == [
        "no scored tile"
    ]


def test_a_legend_names_the_most_frequent_combinations_and_counts_the_rest():
    sites = grid_sites([[""] * 20])
    tiles = sites[["row", "col"]]
    scores = [tiles.assign(positive=(tiles["col"] - 4).clip(0).to_numpy() >> bit & 1 == 1) for bit in range(4)]
    notes, labels = describe(tensor_cartography(sites, scores), list("ABCD"))
    assert notes[1] == "and 3 rarer combinations (3 tiles)"
    assert sum(label.endswith("(1)") for label in labels.values()) == 12


@pytest.fixture
def slide(tmp_path):
    """Files of one slide S1 and of two traits; S2 has scores too."""
    write_table(SITES, tmp_path / "sites.parquet")
    Image.fromarray(np.full((40, 60, 3), 255, np.uint8)).save(tmp_path / "thumbnail.png")
    record = {"slide": "S1", "status": "ok", "code": "", "reason": "", "x": 5000, "y": 7000, "thumbnail_downsample": 50}
    write_json({**record, "mpp": 0.5}, tmp_path / "slide.json")
    for trait, positive in {"A": (True, False, False), "B": (False, False, True)}.items():
        frame = pd.concat([predictions(*positive).assign(slide="S1"), predictions(True, True, True).assign(slide="S2")])
        write_table(frame.assign(score=0.5), tmp_path / f"{trait}.parquet")
    return tmp_path


def inputs(folder):
    return {name: str(folder / file) for name, file in
            {"sites": "sites.parquet", "survey": "slide.json", "thumbnail": "thumbnail.png"}.items()}  # fmt: skip


def colours_of(path):
    return {tuple(colour) for colour in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}


def test_map_file_of_one_trait(slide):
    draw_map(scores=str(slide / "A.parquet"), picture=str(slide / "maps" / "S1.png"), trait="A", **inputs(slide))
    image = Image.open(slide / "maps" / "S1.png")
    assert image.mode == "P" and image.width == 660
    assert {over_white(FIRST_COLOURS[0]), over_white(NEGATIVE_COLOUR)} <= colours_of(slide / "maps" / "S1.png")
    assert over_white(FIRST_COLOURS[1]) not in colours_of(slide / "maps" / "S1.png")


def test_map_file_of_two_traits_is_the_same_every_time(slide):
    scores = [str(slide / "A.parquet"), str(slide / "B.parquet")]
    for name in ("one.png", "two.png"):
        draw_combination_map(scores=scores, picture=str(slide / name), traits=["A", "B"], **inputs(slide))
    assert {over_white(FIRST_COLOURS[0]), over_white(FIRST_COLOURS[1])} <= colours_of(slide / "one.png")
    assert (slide / "one.png").read_bytes() == (slide / "two.png").read_bytes()


def test_a_map_notes_what_the_heterogeneity_table_adds(slide):
    columns = ["slide", "hti_low", "hti_high", "hta", "permutation_p"]
    rows = [["S1", "0.512345", "0.7", "0.25", "0.000999"], ["S2", "", "", "0.0", ""], ["S3", "", "", "", ""]]
    write_table(pd.DataFrame(rows, columns=columns), slide / "hti.tsv")
    interval = "HTI 95 % CI 0.512 to 0.7 (blocks of tiles resampled)"
    index = "HTA 0.25; that combinations keep apart: p = 0.000999"
    assert regional_notes(str(slide / "hti.tsv"), "S1") == [interval, index]
    assert regional_notes(str(slide / "hti.tsv"), "S2") == ["HTA 0"]
    assert regional_notes(str(slide / "hti.tsv"), "S3") == regional_notes(str(slide / "hti.tsv"), "S4") == []
    scores = [str(slide / "A.parquet"), str(slide / "B.parquet")]
    sizes = []
    for name, more in (("without", {}), ("with", {"heterogeneity": str(slide / "hti.tsv")})):
        picture = str(slide / f"{name}.png")
        draw_combination_map(scores=scores, picture=picture, traits=["A", "B"], **inputs(slide), **more)
        sizes.append(Image.open(picture).height)
    assert sizes[1] > sizes[0]


@pytest.mark.parametrize("case", ["excluded", "no vote"])
def test_a_trait_without_votes_gives_a_map_without_data(slide, case):
    tiles = predictions(True, True, True).assign(slide="S1", score=np.nan)
    excluded = pd.DataFrame(columns=["slide", "row", "col", "votes", "positive", "score"])
    write_table(excluded if case == "excluded" else tiles, slide / "A.parquet")
    draw_map(scores=str(slide / "A.parquet"), picture=str(slide / "S1.png"), trait="A", **inputs(slide))
    pixels = np.asarray(Image.open(slide / "S1.png").convert("RGB"))[:440, :440]
    assert {tuple(colour) for colour in pixels.reshape(-1, 3)} == {(0, 0, 0), (255, 255, 255)}


def test_letters_of_a_legend_are_all_in_its_font():
    font = ImageFont.truetype(FONT, 20)
    missing = bytes(font.getmask("\uffff"))
    assert all(bytes(font.getmask(letter)) != missing for letter in "µ≤>–+|äAz09")


def test_an_excluded_slide_gives_a_picture_of_its_reason(slide):
    write_json({"slide": "S1", "status": "excluded", "code": "S-OPEN", "reason": "not a slide"}, slide / "slide.json")
    draw_map(scores=str(slide / "A.parquet"), picture=str(slide / "S1.png"), trait="A", **inputs(slide))
    pixels = np.asarray(Image.open(slide / "S1.png").convert("L"))
    assert 40 < pixels.shape[0] < 200 and pixels.min() == 0


def test_picture_with_more_than_256_colours_is_written_as_rgb(tmp_path):
    sites = grid_sites([[""] * 40])
    states = NEGATIVE + 1 + np.arange(40)[None]
    thumbnail = np.full((20, 800, 3), 255, np.uint8)
    picture = paint(states, sites=sites, thumbnail=thumbnail, origin=ORIGIN, downsample=STEP)
    write_picture(picture, Path(tmp_path / "many.png"))
    assert Image.open(tmp_path / "many.png").mode == "RGB"
    assert {over_white(colour) for colour in combination_colours(40)} <= colours_of(tmp_path / "many.png")

"""Maps of values: one colour is one value on every slide, and what has no score has no colour."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import write_json, write_table
from histocarta.heatmaps import STEPS, draw_value_map, score_range, value_colours, value_states, value_words
from histocarta.overlays import GLASS, NEGATIVE, UNSCORED
from matplotlib import colormaps
from PIL import Image

SITES = pd.DataFrame(
    [(0, 0, True, ""), (0, 1, True, ""), (0, 2, False, "background"), (1, 0, True, ""), (1, 1, False, "pen")],
    columns=["row", "col", "kept", "reason"],
)
SITES = SITES.assign(x=SITES["col"] * 100, y=SITES["row"] * 100, width_px=100)
SCORES = pd.DataFrame({"row": [0, 0, 1], "col": [0, 1, 0], "score": [2.0, 5.0, 9.0]})
FIRST, LAST = NEGATIVE + 1, NEGATIVE + STEPS


def test_states_are_steps_between_the_bounds_and_clipped_beyond():
    states = value_states(SITES, SCORES, low=2.0, high=8.0)
    assert states.tolist() == [[FIRST, FIRST + STEPS // 2, GLASS], [LAST, UNSCORED, GLASS]]
    states = value_states(SITES, SCORES.iloc[:2], low=2.0, high=8.0)
    assert states[1, 0] == UNSCORED  # a kept tile without a score has no value
    assert value_states(SITES, SCORES, low=5.0, high=5.0)[0, 0] == FIRST + STEPS // 2  # all tiles alike


def test_colours_are_viridis_from_low_to_high():
    colours = value_colours(np.array([GLASS, UNSCORED, FIRST, LAST]))
    ends = np.rint(255 * np.array(colormaps["viridis"]([0.5 / STEPS, 1 - 0.5 / STEPS]))[:, :3])
    assert colours.tolist() == [[255] * 3, [255] * 3, *ends.astype(int).tolist()]


def test_a_score_without_its_tile_is_refused():
    with pytest.raises(InputError, match="score the slide's present tiles again"):
        value_states(SITES, pd.DataFrame({"row": [1], "col": [1], "score": [1.0]}), low=0, high=1)


def drawn(folder, scores, *, status="ok"):
    record = {"slide": "S1", "status": status, "code": "S-MPP", "reason": "no resolution", "x": 0, "y": 0}
    write_json(record | {"mpp": 0.5, "thumbnail_downsample": 10}, folder / "slide.json")
    write_table(scores, folder / "scores.parquet")
    write_table(SITES, folder / "sites.parquet")
    Image.new("RGB", (30, 20), (255, 255, 255)).save(folder / "thumbnail.png")
    names = {"scores": "scores.parquet", "sites": "sites.parquet", "survey": "slide.json"}
    names |= {"thumbnail": "thumbnail.png", "picture": "map.png"}
    draw_value_map(**{key: str(folder / name) for key, name in names.items()}, trait="MKI67")
    return np.asarray(Image.open(folder / "map.png").convert("RGB"))


def test_the_picture_shows_this_slides_tiles_on_the_cohorts_scale(tmp_path):
    other = pd.DataFrame({"slide": "S2", "row": 0, "col": np.arange(200), "score": np.linspace(0, 20, 200)})
    scores = pd.concat([SCORES.assign(slide="S1"), other], ignore_index=True)
    picture = drawn(tmp_path, scores)
    low, high = score_range(str(tmp_path / "scores.parquet"))
    assert (low, high) == pytest.approx(tuple(np.quantile(scores["score"], [0.01, 0.99])))
    states = value_states(SITES, SCORES, low=low, high=high)
    tile = picture.shape[1] // 3 if picture.shape[1] % 3 == 0 else 220
    expected = 0.72 * value_colours(states[:1, :2].ravel()) + 0.28 * 255
    found = [picture[tile // 2, tile // 2 + k * tile] for k in (0, 1)]
    np.testing.assert_allclose(found, expected, atol=1)


def test_nothing_scored_and_a_slide_that_is_left_out(tmp_path):
    empty = pd.DataFrame({"slide": pd.Series(dtype=object), "row": [], "col": [], "score": []})
    assert drawn(tmp_path, empty).size
    assert value_words(score_range(str(tmp_path / "scores.parquet"))) == ("low", "middle", "high")
    assert drawn(tmp_path, empty, status="excluded").size

"""Pictures of spots: one scale for measured and predicted, circles true to scale, and words that match SciPy."""

import anndata
import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import sha256, write_table
from histocarta.spot_export import ABOUT
from histocarta.spot_pictures import (
    CURVE,
    agreement_words,
    colour_range,
    data_panels,
    draw_consistent_curve,
    draw_data_panels,
    draw_spot_maps,
    measured_depth,
    spot_maps,
)
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from PIL import Image
from scipy import stats
from scipy.sparse import csr_matrix

MPP, DIAMETER = 2.0, 60.0


def values(seed=0, n=36):
    rng = np.random.default_rng(seed)
    measured = rng.normal(-8, 1, n)
    return measured, -8 + 0.1 * (measured + 8)  # predictions a tenth as wide


def maps(measured, predicted, *, annotation=None, xy=None):
    xy = np.array([(150 + 100 * k, 250 + 100 * j) for j in range(6) for k in range(6)], float) if xy is None else xy
    annotation = np.full(len(xy), None, object) if annotation is None else annotation
    arguments = {"rgb": np.full((100, 90, 3), 200, np.uint8), "downsample": 10.0, "diameter": DIAMETER, "mpp": MPP}
    return spot_maps(xy, measured=measured, predicted=predicted, annotation=annotation, title="t", **arguments)


def circles(axes):
    return next(each for each in axes.collections if isinstance(each, EllipseCollection))


def test_measured_and_predicted_share_the_released_scale_of_the_measured_values():
    measured, predicted = values()
    figure = maps(measured, predicted)
    for axes, shown in zip(figure.axes[1:3], (measured, predicted), strict=True):
        released = np.clip((shown - measured.mean()) / (3 * measured.std()) + 0.5, 0, 1)
        np.testing.assert_allclose(circles(axes).get_facecolor(), colormaps["viridis"](released), atol=0.011)
        assert f"sd {shown.std():.2f}" in axes.get_title()
    seen = [np.ptp(circles(axes).get_facecolor()[:, 1]) for axes in figure.axes[1:3]]
    assert seen[1] < 0.25 * seen[0]  # narrow predictions look as flat as they are
    bracket = next(line for line in figure.axes[-1].lines if len(line.get_ydata()) == 2)
    np.testing.assert_allclose(bracket.get_ydata(), np.quantile(predicted, [0.025, 0.975]))


def test_equal_values_take_the_middle_colour_and_missing_ones_none():
    assert colour_range(np.full(4, 3.0)) == (2.5, 3.5)
    measured, predicted = values()
    measured[:5] = np.nan
    figure = maps(measured, predicted)
    opacity = circles(figure.axes[1]).get_facecolor()[:, 3]
    assert (opacity[:5] == 0).all() and (opacity[5:] == 1).all()
    assert (circles(figure.axes[1]).get_edgecolor()[:5, 3] == 1).all()  # a hollow circle says that it was looked at
    unmeasured = maps(np.full(36, np.nan), predicted)  # another cohort: the scale is that of the predictions
    assert unmeasured.axes[1].get_title().endswith("no values")
    assert np.ptp(circles(unmeasured.axes[2]).get_facecolor()[:, 1]) > 0.5


def test_spots_are_drawn_at_their_true_diameter_and_place():
    figure = maps(np.array([1.0]), np.array([1.0]), xy=np.array([[400.0, 300.0]]))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[1]
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(int)
    middle = np.rint(255 * np.array(colormaps["viridis"](0.5))[:3])
    rows, cols = np.nonzero((np.abs(pixels - middle) < 12).all(axis=2))
    inside = axes.get_window_extent()
    use = (cols >= inside.x0) & (cols < inside.x1)
    (x0, y0), (x1, _) = axes.transData.transform([(400 - DIAMETER / 2, 300), (400 + DIAMETER / 2, 300)])
    assert np.ptp(cols[use]) + 1 == pytest.approx(x1 - x0, abs=3)
    assert cols[use].mean() == pytest.approx((x0 + x1) / 2, abs=1.5)
    assert pixels.shape[0] - rows[use].mean() == pytest.approx(y0, abs=1.5)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # y grows downward, as in the slide


def test_the_bar_is_one_millimetre_and_annotation_has_its_own_panel():
    measured, predicted = values()
    wide = np.array([(150 + 140 * k, 250 + 100 * j) for j in range(6) for k in range(6)], float)
    figure = maps(measured, predicted, xy=wide)
    axes = figure.axes[0]
    assert len(figure.axes) == 4 and axes.texts[0].get_text() == "1 mm"  # three panels and the colour bar
    length = np.ptp(axes.lines[0].get_xdata()) * np.ptp(axes.get_xlim()) * MPP
    assert length == pytest.approx(1000)
    near = maps(measured, predicted, xy=wide / 4 + 200).axes[0]  # less than a millimetre of tissue
    assert near.texts[0].get_text() == "0.1 mm"
    classes = np.array(["tumour", "stroma", None] * 12, object)
    annotated = maps(measured, predicted, annotation=classes).axes[3]
    assert [text.get_text() for text in annotated.get_legend().get_texts()] == ["stroma", "tumour", "other or none"]
    colours = circles(annotated).get_facecolor()
    assert len(np.unique(colours[:3], axis=0)) == 3 and (colours[::3] == colours[0]).all()


def test_the_words_of_agreement_are_scipys():
    measured, predicted = values(1)
    predicted += np.random.default_rng(2).normal(0, 0.1, 36)
    measured[0] = np.nan
    r, rho = (test(measured[1:], predicted[1:]).statistic for test in (stats.pearsonr, stats.spearmanr))
    assert agreement_words(measured, predicted) == f"r = {r:.2f}, ρ = {rho:.2f} (35 spots)"
    assert agreement_words(measured, np.ones(36)) == "no r: one of the two is constant"
    assert agreement_words(np.full(36, np.nan), predicted) == "no r: 0 pairs, need 3"


@pytest.fixture
def exported(tmp_path):
    measured, predicted = values()
    obs = pd.DataFrame({"annotation": pd.Categorical([None] * 36)}, index=[f"s{k}" for k in range(36)])
    table = anndata.AnnData(predicted[:, None].astype(np.float32), obs=obs, var=pd.DataFrame(index=["FASN"]))
    table.layers["measured"] = measured[:, None].astype(np.float32)
    table.obsm["spatial"] = np.array([(150 + 100 * k, 250 + 100 * j) for j in range(6) for k in range(6)], float)
    scales = {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": DIAMETER}
    table.uns["spatial"] = {"S1": {"images": {"hires": np.full((100, 90, 3), 200, np.uint8)}, "scalefactors": scales}}
    table.uns[ABOUT] = {"slide": "S1", "mpp": MPP, "code": "", "reason": "", "genes_not_predicted": ["GNAS"]}
    table.write_h5ad(tmp_path / "S1.h5ad")
    return tmp_path / "S1.h5ad"


def test_a_map_from_the_file_is_written_and_the_same_each_time(exported, tmp_path):
    picture = tmp_path / "map.png"
    draw_spot_maps(exported=str(exported), gene="FASN", picture=str(picture))
    first = sha256(picture)
    width, height = Image.open(picture).size
    assert width > 2 * height
    draw_spot_maps(exported=str(exported), gene="FASN", picture=str(picture))
    assert sha256(picture) == first
    draw_spot_maps(exported=str(exported), gene="GNAS", picture=str(picture))  # of a round without this slide
    assert Image.open(picture).size[1] < height / 2
    with pytest.raises(InputError, match=r"Expected gene 'FASM' among the 2 predicted ones .*; nearest: FASN"):
        draw_spot_maps(exported=str(exported), gene="FASM", picture=str(picture))


def test_a_section_left_out_says_so_instead_of_a_map(tmp_path):
    table = anndata.AnnData(np.zeros((0, 0), np.float32))
    table.uns[ABOUT] = {"slide": "S1", "code": "S-SCALE", "reason": "pitch", "status": "excluded"}
    table.write_h5ad(tmp_path / "S1.h5ad")
    draw_spot_maps(exported=str(tmp_path / "S1.h5ad"), gene="ANY", picture=str(tmp_path / "map.png"))
    assert np.asarray(Image.open(tmp_path / "map.png").convert("L")).min() < 100


def test_the_curve_of_consistent_patients_is_drawn_from_its_table(tmp_path, monkeypatch):
    k = np.arange(24)
    coin = 250 * stats.binom.sf(k - 1, 23, 0.5)
    table = pd.DataFrame({"patients": k, "observed": np.minimum(250, 17 + 12 * (23 - k)), "null_mean": coin})
    table = table.assign(null_low=coin - 2, null_high=coin + 2, binomial=coin)
    write_table(table, tmp_path / "curve.tsv")
    kept = []
    monkeypatch.setattr("histocarta.spot_pictures._write", lambda figure, path: kept.append(figure))
    draw_consistent_curve(curve=str(tmp_path / "curve.tsv"), picture="")
    lines = {line.get_label(): line for line in kept[0].axes[0].lines}
    np.testing.assert_allclose(lines["predicted"].get_ydata(), table["observed"])
    np.testing.assert_allclose(lines["binomial expectation"].get_ydata(), coin)
    band = kept[0].axes[0].collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(coin[0] + 2) and band[:, 1].min() == pytest.approx(coin[-1] - 2)
    write_table(table[["patients", "observed"]], tmp_path / "curve.tsv")
    with pytest.raises(InputError, match="Expected the columns binomial, null_high, null_low, null_mean in"):
        draw_consistent_curve(curve=str(tmp_path / "curve.tsv"), picture="")
    write_table(pd.DataFrame(columns=CURVE), tmp_path / "curve.tsv")
    draw_consistent_curve(curve=str(tmp_path / "curve.tsv"), picture="")
    assert kept[-1].axes[0].texts[0].get_text() == "no gene was predicted"


def write_counts(path, counts):
    obs = pd.DataFrame({"total": np.asarray(counts).sum(axis=1, dtype=float)})
    obs.index = [f"s{k}" for k in range(len(counts))]
    anndata.AnnData(csr_matrix(np.asarray(counts, np.float32)), obs=obs).write_h5ad(path)
    return str(path)


def test_data_panels_count_spots_genes_and_reads(tmp_path):
    one = write_counts(tmp_path / "a.h5ad", [[1, 0, 5], [0, 0, 2]])
    none = write_counts(tmp_path / "b.h5ad", np.zeros((0, 3)))
    three = write_counts(tmp_path / "c.h5ad", [[1, 1, 1], [0, 0, 0], [9, 0, 1]])
    assert measured_depth(one).to_dict("list") == {"genes": [2, 1], "total": [6, 2]}
    frames = [measured_depth(path) for path in (one, none, three)]
    figure = data_panels(frames, slides=["A1", "A2", "B1"], patients=["A", "A", "B"])
    bars, genes, counts = figure.axes
    assert [bar.get_height() for bar in bars.patches] == [2, 0, 3] and "3 sections, 5 spots" in bars.get_title()
    gaps = np.diff([bar.get_x() for bar in bars.patches])
    assert gaps[1] > gaps[0]  # sections of a patient stand together
    assert genes.get_title().endswith("median 2") and counts.get_title().endswith("median 3")
    alone = data_panels([measured_depth(none)], slides=["A2"], patients=["A"])  # every section was left out
    assert alone.axes[2].get_title() == "Counts per spot by patient"
    for name in ("x.png", "y.png"):  # the order in which sections are named does not matter
        order = [0, 1, 2] if name == "x.png" else [2, 0, 1]
        paths, slides, patients = ([each[k] for k in order] for each in ((one, none, three), ("A1", "A2", "B1"), "AAB"))
        draw_data_panels(counts=paths, slides=slides, patients=patients, picture=str(tmp_path / name))
    assert sha256(tmp_path / "x.png") == sha256(tmp_path / "y.png")

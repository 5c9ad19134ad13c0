"""Spots for other programs: Scanpy, Squidpy and SpatialData open and plot the file as it is, on the right pixels."""

import builtins

import anndata
import matplotlib
import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.files import read_json, sha256, write_json, write_table
from histocarta.spot_export import ABOUT, export_spatialdata, export_spots, gene_columns, replacing_folder
from PIL import Image, ImageDraw
from scipy.sparse import csr_matrix

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the plotting packages, about their own future

DOWN, PITCH, MPP = 10, 80, 0.5  # px, px, µm per px: 40 µm from spot to spot
CORNER = (3000, 1000)  # of the region within the slide, px
GENES = ["FASN", "GNAS", "NEVER"]
DISC = ((40, 60), 30)  # tissue of the thumbnail: centre (x, y) and radius, thumbnail px


def write_slide(folder, *, corner=CORNER, status="ok"):
    """Files of one slide with a round tissue under its spots, a second slide beside it; arguments of export_spots."""
    image = Image.new("RGB", (100, 120), "white")
    (x, y), radius = DISC
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=(190, 90, 160))
    image.save(folder / "thumbnail.png")
    places = [(row, col) for row in range(12) for col in range(9)]
    centres = np.array([((1 + col) * PITCH, (2 + row) * PITCH) for row, col in places], float)
    on = np.linalg.norm(centres / DOWN - DISC[0], axis=1) < radius - 2
    rng = np.random.default_rng(0)
    obs = pd.DataFrame(np.array(places)[on], columns=["row", "col"])
    obs.index = [f"{col}x{row}" for row, col in obs.to_numpy()]
    obs[["x_px", "y_px"]] = centres[on] + corner
    obs["total"] = rng.integers(500, 900, len(obs)).astype(float)
    obs["annotation"] = np.where(obs["col"] < 3, "tumour", np.where(obs["row"] < 8, "stroma", ""))
    section = anndata.AnnData(csr_matrix(np.ones((len(obs), 4), np.float32)), obs=obs)
    section.write_h5ad(folder / "counts.h5ad")
    spots = obs[["row", "col"]].reset_index(drop=True).iloc[1:]  # the first one was not predicted
    wave = 0.1 * spots["col"].to_numpy(float)
    scores = spots.assign(slide="S1", FASN=np.float32(wave - 9), GNAS=np.float32(-8.5), NEVER=np.float32(np.nan))
    other = scores.assign(slide="S2", FASN=np.float32(99), NEVER=np.float32(1))
    table = pd.concat([other, scores]).sample(frac=1, random_state=0)[["slide", "row", "col", *GENES]]
    write_table(table, folder / "scores.parquet")
    measured = spots.iloc[:-1].assign(slide="S1", patient="P", target=None)  # the last one has no label
    measured["target"] = list(measured[["row", "col"]].assign(other=7).to_numpy(np.float32))
    write_table(measured.iloc[::-1], folder / "labels.parquet")
    write_json({"genes": ["GNAS", "FASN", "ELSE"], "status": "ok"}, folder / "labels.json")
    fault = {"status": status, "code": "" if status == "ok" else "S-SCALE", "reason": "" if status == "ok" else "far"}
    write_json(
        {"slide": "S1", "lattice": "square", "pitch_um": 40.0, "diameter_um": 20.0, "format": "st"} | fault,
        folder / "section.json",
    )
    survey = {"slide": "S1", "status": "ok", "code": "", "reason": "", "mpp": MPP, "x": corner[0], "y": corner[1]}
    write_json(survey | {"thumbnail_downsample": DOWN, "width": 9000, "height": 9000}, folder / "slide.json")
    names = {"scores": "scores.parquet", "counts": "counts.h5ad", "record": "section.json", "survey": "slide.json"}
    names |= {"thumbnail": "thumbnail.png", "labels": "labels.parquet", "summary": "labels.json"}
    return {key: str(folder / name) for key, name in names.items()} | {
        "slide": "S1",
        "exported": str(folder / "o.h5ad"),
    }


def test_the_file_holds_what_was_predicted_and_measured_in_the_sections_order(tmp_path):
    files = write_slide(tmp_path)
    export_spots(**files)
    table, section = anndata.read_h5ad(files["exported"]), anndata.read_h5ad(files["counts"])
    assert table.X.dtype == np.float32 and table.layers["measured"].dtype == np.float32
    assert table.var_names.tolist() == ["FASN", "GNAS"]  # NEVER was predicted on the other slide only
    assert table.uns[ABOUT]["genes_not_predicted"].tolist() == ["NEVER"]
    assert table.obs_names.tolist() == section.obs_names[1:].tolist()
    row, col = section.obs["row"].to_numpy()[1:], section.obs["col"].to_numpy()[1:]
    np.testing.assert_array_equal(table.X[:, 0], np.float32(0.1 * col - 9))
    np.testing.assert_array_equal(table.layers["measured"][:-1], np.stack([col, row], axis=1)[:-1])
    assert np.isnan(table.layers["measured"][-1]).all()
    assert table.obs["array_row"].tolist() == row.tolist() and table.obs["array_col"].tolist() == col.tolist()
    assert table.obs["total"].tolist() == section.obs["total"].tolist()[1:]
    assert list(table.obs["annotation"].cat.categories) == ["stroma", "tumour"] and table.obs["annotation"].isna().any()
    scales = table.uns["spatial"]["S1"]["scalefactors"]
    assert scales["tissue_hires_scalef"] == 0.1 and scales["spot_diameter_fullres"] == 40  # 20 µm at 0.5 µm per px


@pytest.mark.parametrize("corner", [(0, 0), CORNER])
def test_spots_lie_on_the_tissue_of_the_picture(tmp_path, corner):
    files = write_slide(tmp_path, corner=corner)
    export_spots(**files)
    table = anndata.read_h5ad(files["exported"])
    library = table.uns["spatial"]["S1"]
    pixels = np.rint(table.obsm["spatial"] * library["scalefactors"]["tissue_hires_scalef"]).astype(int)
    assert (library["images"]["hires"][pixels[:, 1], pixels[:, 0]] == (190, 90, 160)).all()
    np.testing.assert_array_equal(table.obs[["x_px", "y_px"]], table.obsm["spatial"] + corner)
    turned = pixels[:, ::-1]  # the disc lies off the diagonal: swapped axes would be seen
    assert (library["images"]["hires"][turned[:, 1], turned[:, 0]] == 255).any()


def test_equal_inputs_give_equal_bytes_and_another_prediction_does_not(tmp_path):
    files = write_slide(tmp_path)
    export_spots(**files)
    first = sha256(files["exported"])
    export_spots(**files)
    assert sha256(files["exported"]) == first
    scores = pd.read_parquet(files["scores"])
    write_table(scores.assign(FASN=scores["FASN"] + 1), files["scores"])
    export_spots(**files)
    assert sha256(files["exported"]) != first


def test_a_genes_statistics_stand_in_var(tmp_path):
    files = write_slide(tmp_path)
    genes = pd.DataFrame({"gene": ["GNAS", "FASN", "X"], "median_r": ["0.34", "", "1"], "note": ["a", "b", "c"]})
    write_table(genes, tmp_path / "genes.tsv")
    export_spots(**files, genes=str(tmp_path / "genes.tsv"))
    var = anndata.read_h5ad(files["exported"]).var
    assert np.isnan(var.loc["FASN", "median_r"]) and var.loc["GNAS", "median_r"] == 0.34
    assert var["note"].tolist() == ["b", "a"]
    with pytest.raises(InputError, match=r"Expected every gene once in g\.tsv, found GNAS twice"):
        gene_columns(pd.concat([genes, genes]), genes=["GNAS"], path="g.tsv")
    with pytest.raises(InputError, match=r"Expected the column gene in g\.tsv, found note"):
        gene_columns(genes[["note"]], genes=["GNAS"], path="g.tsv")


def test_without_labels_nothing_is_measured(tmp_path):
    files = write_slide(tmp_path)
    export_spots(**files | {"labels": None, "summary": None})
    table = anndata.read_h5ad(files["exported"])
    assert len(table) and np.isnan(table.layers["measured"]).all()


def test_a_section_left_out_gives_a_file_of_no_spots_that_says_why(tmp_path):
    files = write_slide(tmp_path, status="excluded")
    export_spots(**files)
    table = anndata.read_h5ad(files["exported"])
    assert table.shape == (0, 0) and table.uns[ABOUT]["code"] == "S-SCALE"
    with pytest.raises(InputError, match=r"Expected predicted spots in .*o\.h5ad, found none \(far\)"):
        export_spatialdata(exported=files["exported"], stored=str(tmp_path / "o.zarr"))


def test_a_slide_that_was_not_predicted_gives_a_file_of_no_spots(tmp_path):
    files = write_slide(tmp_path)
    scores = pd.read_parquet(files["scores"])
    write_table(scores[scores["slide"] == "S2"], files["scores"])
    export_spots(**files)
    table = anndata.read_h5ad(files["exported"])
    assert len(table) == 0 and table.uns[ABOUT]["status"] == "ok"
    with pytest.raises(InputError, match="no spot of it was predicted"):
        export_spatialdata(exported=files["exported"], stored=str(tmp_path / "o.zarr"))


def test_files_of_different_runs_are_refused(tmp_path):
    files = write_slide(tmp_path)
    scores = pd.read_parquet(files["scores"])
    write_table(scores.assign(row=scores["row"] + 1), files["scores"])
    with pytest.raises(InputError, match=r"on the \d+ spots of its section, found \d+ elsewhere \(row \d+, column \d"):
        export_spots(**files)
    write_table(pd.concat([scores, scores]), files["scores"])
    with pytest.raises(InputError, match="Expected every spot once in the predictions of S1, found row"):
        export_spots(**files)
    write_table(scores, files["scores"])
    write_json({"genes": ["GNAS"]}, files["summary"])
    with pytest.raises(InputError, match=r"Expected 1 values per spot in .*labels\.parquet .* found 3 on S1"):
        export_spots(**files)


def test_squidpy_and_scanpy_plot_it_unchanged(tmp_path):
    import scanpy
    import squidpy
    from matplotlib import pyplot

    files = write_slide(tmp_path)
    export_spots(**files)
    table = scanpy.read_h5ad(files["exported"])
    axes = squidpy.pl.spatial_scatter(table, color=["FASN", "annotation"], return_ax=True)
    (image,) = axes[0].get_images()
    assert image.get_array().shape[:2] == (120, 100)
    circles = axes[0].collections[0]
    centres = np.array([path.vertices.mean(axis=0) for path in circles.get_paths()])
    inside = np.linalg.norm(centres - DISC[0], axis=1) < DISC[1]
    assert len(centres) == len(table) and inside.all()
    widths = [np.ptp(path.vertices[:, 0]) for path in circles.get_paths()]
    np.testing.assert_allclose(widths, 40 / DOWN, rtol=1e-6)  # true to scale: 20 µm
    pyplot.savefig(tmp_path / "squidpy.png")
    scanpy.pl.spatial(table, color="FASN", layer="measured", show=False)
    scanpy.pl.embedding(table, basis="spatial", color="FASN", show=False)
    pyplot.savefig(tmp_path / "scanpy.png")
    pyplot.close("all")
    assert (tmp_path / "squidpy.png").stat().st_size > 10_000


def test_squidpys_neighbours_and_morans_i_run_on_it(tmp_path):
    import squidpy

    files = write_slide(tmp_path)
    export_spots(**files)
    table = anndata.read_h5ad(files["exported"])
    squidpy.gr.spatial_neighbors(table, coord_type="grid", n_neighs=4)
    joined = table.obsp["spatial_connectivities"].toarray() > 0
    place = table.obs[["array_row", "array_col"]].to_numpy()
    np.testing.assert_array_equal(joined, np.abs(place[:, None] - place[None]).sum(axis=2) == 1)
    squidpy.gr.spatial_autocorr(table, genes=["FASN"], mode="moran", n_perms=None)
    value, weights = table.X[:, 0] - table.X[:, 0].mean(), joined / joined.sum(axis=1, keepdims=True)
    expected = len(table) * (value @ weights @ value) / (weights.sum() * (value @ value))
    assert table.uns["moranI"].loc["FASN", "I"] == pytest.approx(expected, rel=1e-4) and expected > 0.5


def test_spatialdata_reads_the_same_numbers_in_the_slides_pixels(tmp_path):
    spatialdata = pytest.importorskip("spatialdata")
    files = write_slide(tmp_path)
    export_spots(**files)
    stored = tmp_path / "o.zarr"
    export_spatialdata(exported=files["exported"], stored=str(stored))
    export_spatialdata(exported=files["exported"], stored=str(stored))  # again: it takes the old one's place
    assert sorted(path.name for path in tmp_path.glob("*zarr*")) == ["o.zarr"]
    read, table = spatialdata.read_zarr(stored), anndata.read_h5ad(files["exported"])
    found = read["predictions"]
    np.testing.assert_array_equal(found.X, table.X)
    np.testing.assert_array_equal(found.layers["measured"], table.layers["measured"])
    circles = read["S1_spots"]
    np.testing.assert_allclose(circles.get_coordinates(), table.obs[["x_px", "y_px"]])
    assert circles["radius"].unique().tolist() == [20] and circles.index.tolist() == table.obs_names.tolist()
    extent = spatialdata.get_extent(read["S1_thumbnail"])
    assert extent["x"] == (3000, 4000) and extent["y"] == (1000, 2200)
    image = read["S1_thumbnail"].transpose("y", "x", "c").to_numpy()
    np.testing.assert_array_equal(image, table.uns["spatial"]["S1"]["images"]["hires"])
    matched = spatialdata.match_table_to_element(read, element_name="S1_spots", table_name="predictions")
    assert len(matched) == len(table)


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    true_import = builtins.__import__

    def absent(name, *rest, **more):
        if name.split(".")[0] == "spatialdata":
            raise ImportError(name)
        return true_import(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(InputError, match=r"pip install 'histocarta\[spatialdata\]'"):
        export_spatialdata(exported="o.h5ad", stored=str(tmp_path / "o.zarr"))


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    place = tmp_path / "a.zarr"
    place.mkdir()
    (place / "old").write_text("")
    with pytest.raises(RuntimeError), replacing_folder(place) as temporary:
        temporary.mkdir()
        raise RuntimeError
    assert [path.name for path in place.iterdir()] == ["old"]
    with replacing_folder(place) as temporary:
        temporary.mkdir()
    assert not list(place.iterdir()) and [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_spot_without_counts_and_a_section_without_a_diameter_are_written(tmp_path):
    files = write_slide(tmp_path)
    labels = pd.read_parquet(files["labels"])
    labels["target"] = [None, *labels["target"][1:]]
    write_table(labels, files["labels"])
    record = read_json(files["record"]) | {"diameter_um": None}
    write_json(record, files["record"])
    export_spots(**files)
    table = anndata.read_h5ad(files["exported"])
    bare = (table.obs["array_row"] == labels["row"].iloc[0]) & (table.obs["array_col"] == labels["col"].iloc[0])
    assert bare.sum() == 1 and np.isnan(table[bare.to_numpy()].layers["measured"]).all()
    (library,) = table.uns["spatial"].values()
    assert library["scalefactors"]["spot_diameter_fullres"] == pytest.approx(40.0 / 2 / MPP)  # half the pitch

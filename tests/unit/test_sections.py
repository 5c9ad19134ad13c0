"""Sections in every format become the same spots and counts; what is wrong with one is said."""

import json
import os
import sys
import warnings
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import section_kit
from histocarta.errors import InputError
from histocarta.section_formats import unique_names
from histocarta.survey import write_png
from histocarta.tissue import tissue_mask
from section_kit import MPP, counts_of, lattice, to_anndata, write_slide, write_st, write_visium

REAL_DATA = os.environ.get("REAL_DATA")
SECTIONS = ("B4", "C2", "C3", "C4", "C5")
REDUCTION = 10


@pytest.fixture(scope="module")
def hexagons():
    table = lattice(hexagonal=True)
    return table, counts_of(table)


@pytest.fixture(scope="module")
def squares():
    table = lattice(hexagonal=False)
    return table, counts_of(table)


@pytest.fixture
def slide(tmp_path):
    return write_slide(tmp_path)


def check_same(found, table, counts, *, atol=0.0):
    """What was read is what was written: files of one section agree, counts and places are those of the kit."""
    data, spots, record = found
    assert record["status"] == "ok", record["reason"]
    assert (record["n_spots"], record["n_genes"]) == data.shape == (len(table), 4)
    np.testing.assert_array_equal(data.X.toarray(), counts)
    assert data.X.format == "csr"
    assert list(spots.columns) == ["spot", "row", "col", "x_px", "y_px", "total", "annotation"]
    assert list(spots["spot"]) == list(data.obs_names)
    for name in ("row", "col"):
        np.testing.assert_array_equal(spots[name], table[name])
    for name in ("x_px", "y_px"):
        np.testing.assert_allclose(spots[name], table[name], atol=atol)
    np.testing.assert_array_equal(data.obsm["spatial"], spots[["x_px", "y_px"]])
    np.testing.assert_array_equal(spots["total"], counts.sum(axis=1))
    for name in spots.columns[1:]:
        np.testing.assert_array_equal(data.obs[name].astype(spots[name].dtype), spots[name])


def test_tables_of_spatial_transcriptomics(slide, squares):
    table, counts = squares
    found = slide.read(**write_st(slide.folder / "st", table, counts))
    check_same(found, table, counts)
    record = found[2]
    assert found[0].obs_names[0] == f"{table['col'][0]}x{table['row'][0]}"
    assert (record["format"], record["lattice"]) == ("st", "square")
    assert (record["pitch_um"], record["diameter_um"]) == (200, 100)
    assert record["measured_pitch_um"] == pytest.approx(200)
    assert record["on_tissue"]["as given"] == 1


@pytest.mark.parametrize(("h5", "header"), [(True, True), (False, False), (False, True)])
def test_a_visium_folder_by_either_matrix_and_either_file_of_positions(slide, hexagons, h5, header):
    table, counts = hexagons
    folder = write_visium(slide.folder / "outs", table, counts, h5=h5, header=header)
    found = slide.read(counts=folder)
    check_same(found, table, counts, atol=0.5)  # positions are whole px
    record = found[2]
    assert list(found[0].var_names) == ["ERBB2", "FASN", "GNAS", "FASN-1"]  # and no antibody
    assert (record["format"], record["lattice"], record["pitch_um"]) == ("visium", "hexagonal", 100)
    assert record["measured_pitch_um"] == pytest.approx(100, rel=0.01)
    assert record["diameter_um"] == 110 * MPP
    assert record["left_out"]["not in tissue"] == 1


def test_a_visium_matrix_is_what_scanpy_reads(slide, hexagons):
    scanpy = pytest.importorskip("scanpy")
    folder = write_visium(slide.folder / "outs", *hexagons, h5=True, header=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # names are not unique
        theirs = scanpy.read_10x_h5(folder / "filtered_feature_bc_matrix.h5")
    theirs.var_names_make_unique()
    data, _, _ = slide.read(counts=folder)
    assert list(data.var_names) == list(theirs.var_names)
    assert list(data.obs_names) == list(theirs.obs_names)
    np.testing.assert_array_equal(data.X.toarray(), theirs.X.toarray())


def test_gene_names_stay_unique_where_a_suffix_is_taken():
    assert list(unique_names(pd.Index(["a", "a", "b", "a"]))) == ["a", "a-1", "b", "a-2"]
    assert list(unique_names(pd.Index(["a", "a", "a-1"]))) == ["a", "a-2", "a-1"]


@pytest.mark.parametrize("layer", [True, False])
def test_anndata_with_counts_in_a_layer_or_in_x(slide, hexagons, layer):
    table, counts = hexagons
    data = to_anndata(table, counts)
    if layer:
        data.layers["counts"] = data.X.copy()
        data.X = np.log1p(data.X.toarray())
    data.write_h5ad(slide.folder / "in.h5ad")
    found = slide.read(counts=slide.folder / "in.h5ad")
    check_same(found, table, counts)
    assert found[2]["lattice"] == "hexagonal"
    assert found[2]["diameter_um"] == 110 * MPP


def test_what_was_written_can_be_read_again(slide, squares):
    table, counts = squares
    slide.read(**write_st(slide.folder / "st", table, counts), name="first")
    found = slide.read(counts=slide.folder / "first.h5ad", name="second", annotation="annotation")
    check_same(found, table, counts)
    assert (found[2]["lattice"], found[2]["pitch_um"]) == ("square", None)


@pytest.mark.parametrize("shapes", [True, False])
def test_spatialdata_with_positions_in_the_table_or_as_shapes(slide, hexagons, shapes):
    spatialdata = pytest.importorskip("spatialdata")
    table, counts = hexagons
    data = to_anndata(table, counts)
    del data.uns["spatial"]
    data.obs["region"], data.obs["instance"] = pd.Categorical(["spots"] * len(table)), table["id"].to_numpy()
    circles = spatialdata.models.ShapesModel.parse(
        table[["x_px", "y_px"]].to_numpy()[::-1], geometry=0, radius=55.0, index=table["id"].to_numpy()[::-1]
    )
    if shapes:
        del data.obsm["spatial"]
    data = spatialdata.models.TableModel.parse(data, region="spots", region_key="region", instance_key="instance")
    store = spatialdata.SpatialData(shapes={"spots": circles}, tables={"table": data})
    store.write(slide.folder / "in.zarr")
    found = slide.read(counts=slide.folder / "in.zarr")
    check_same(found, table, counts)
    assert found[2]["diameter_um"] == (110 * MPP if shapes else None)


def test_without_the_library_of_spatialdata_the_message_says_what_to_install(slide, monkeypatch):
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    (slide.folder / "in.zarr").mkdir()
    with pytest.raises(InputError, match=r"found it not installed; install histocarta\[spatialdata\], or save"):
        slide.read(counts=slide.folder / "in.zarr")


def test_adjusted_places_are_mapped_by_the_spot_file(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    spots = pd.read_csv(paths["spots"], sep="\t")
    spots["new_x"], spots["new_y"] = (spots["x"] - 0.035).round(3), (spots["y"] + 0.61).round(3)
    spots.sample(frac=1, random_state=1).to_csv(paths["spots"], sep="\t", index=False)
    frame = pd.read_csv(paths["counts"], sep="\t", index_col=0)
    frame.index = [f"{x}x{y}" for x, y in spots[["new_x", "new_y"]].to_numpy()]
    frame.to_csv(paths["counts"], sep="\t")
    check_same(slide.read(**paths), table, counts)  # rounding the ids would move every row by one


@pytest.mark.parametrize(
    "write",
    [
        lambda spots: ",X,Y\n" + "".join(f"{x}x{y},{px},{py}\n" for x, y, px, py in spots),  # He 2020
        lambda spots: "".join(f"{x}x{y}\t{px}\t{py}\n" for x, y, px, py in spots),
        lambda spots: "".join(f"{x}\t{y}\t{x}.1\t{y}.2\t{px}\t{py}\n" for x, y, px, py in spots),
    ],
    ids=["id,X,Y", "id without header", "six columns without header"],
)
def test_other_forms_of_spot_files(slide, squares, write):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    rows = zip(table["col"], table["row"], table["x_px"], table["y_px"], strict=True)
    paths["spots"].write_text(write(list(rows)))
    check_same(slide.read(**paths), table, counts)


def test_what_is_left_out_is_counted(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    frame, spots = (
        pd.read_csv(paths[name], sep="\t", index_col=index) for name, index in (("counts", 0), ("spots", None))
    )
    frame.drop(index=frame.index[[0, 5]]).to_csv(paths["counts"], sep="\t")
    spots["selected"] = 1
    spots.loc[spots.index[-1], "selected"] = 0
    spots.drop(index=[7, 8, 9]).to_csv(paths["spots"], sep="\t", index=False)
    _, found, record = slide.read(**paths)
    gone = [0, 5, 7, 8, 9, len(table) - 1]
    assert record["n_spots"] == len(table) - len(gone)
    assert record["left_out"] == {
        "not selected": 1, "no counts": 2, "no position": 4, "outside the region": 0
    }  # fmt: skip
    np.testing.assert_array_equal(found["x_px"], table["x_px"].drop(index=gone))


def test_no_spot_in_common_names_three_of_either(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    other = write_st(slide.folder / "other", table.assign(col=table["col"] + 100), counts)
    with pytest.raises(InputError) as caught:
        slide.read(counts=paths["counts"], spots=other["spots"])
    for first in (f"{table['col'][0]}x{table['row'][0]}, ", f"{table['col'][0] + 100}x{table['row'][0]}, "):
        assert first in str(caught.value)
    assert "found none in common" in str(caught.value)


@pytest.mark.parametrize("value", [-1, 0.5, np.nan])
def test_values_that_are_no_counts_are_named(slide, hexagons, squares, value):
    table, counts = hexagons
    counts = counts.astype(float)
    counts[3, 2] = value
    to_anndata(table, counts).write_h5ad(slide.folder / "in.h5ad")
    with pytest.raises(InputError, match=rf"found {value:g} \(.*in.h5ad, spot {table['id'][3]}, gene GNAS\)"):
        slide.read(counts=slide.folder / "in.h5ad")
    table, counts = squares
    counts = counts.astype(float)
    counts[3, 2] = -2
    with pytest.raises(InputError, match=r"found -2 \(.*counts.tsv.gz, spot \d+x\d+, gene GNAS\); give the counts as"):
        slide.read(**write_st(slide.folder / "st", table, counts))


def test_a_cell_that_is_no_number_is_named_by_line_and_column(slide, squares):
    table, counts = squares
    counts = counts.astype(object)
    counts[3, 1] = "1,5"
    with pytest.raises(
        InputError, match=r"counts.tsv.gz, line 5, column FASN, found '1,5'; write decimals with a point"
    ):
        slide.read(**write_st(slide.folder / "st", table, counts))


def test_a_table_of_genes_by_spots_is_to_be_turned(slide, squares):
    paths = write_st(slide.folder / "st", *squares)
    pd.read_csv(paths["counts"], sep="\t", index_col=0).T.to_csv(paths["counts"], sep="\t")
    with pytest.raises(InputError, match=r"Expected spots \(XxY\) as rows .* as a column; turn the table"):
        slide.read(**paths)


def test_a_table_without_the_corner_cell_is_understood(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    frame = pd.read_csv(paths["counts"], sep="\t", index_col=0)
    text = frame.to_csv(sep="\t", header=False)
    paths["counts"] = slide.folder / "r.tsv"
    paths["counts"].write_text("\t".join(frame.columns) + "\n" + text)
    check_same(slide.read(**paths), table, counts)


def test_two_spots_at_one_place_or_of_one_name_are_refused(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    spots = pd.read_csv(paths["spots"], sep="\t")
    pd.concat([spots, spots.iloc[[2]]]).to_csv(paths["spots"], sep="\t", index=False)
    with pytest.raises(InputError, match=r"Expected every spot once in .*spots.tsv, found '\d+x\d+' more than once"):
        slide.read(**paths)
    data = to_anndata(table, counts)
    data.obs["array_row"] = data.obs["array_col"] = 1
    data.write_h5ad(slide.folder / "in.h5ad")
    with pytest.raises(InputError, match=r"one spot at every place .* found several at row 1, column 1"):
        slide.read(counts=slide.folder / "in.h5ad")


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        ("spatial", r"Expected positions in obsm\['spatial'\] of .*in.h5ad, found none; add x, y in px"),
        ("array_row", r"Expected array_row and array_col .* found in_tissue, array_col; add the spots' places"),
    ],
)
def test_anndata_without_places_says_what_it_lacks(slide, hexagons, lacking, message):
    data = to_anndata(*hexagons)
    del (data.obsm if lacking == "spatial" else data.obs)[lacking]
    data.write_h5ad(slide.folder / "in.h5ad")
    with pytest.raises(InputError, match=message):
        slide.read(counts=slide.folder / "in.h5ad")


def test_an_empty_folder_is_no_spatialdata(slide):
    pytest.importorskip("spatialdata")
    (slide.folder / "in.zarr").mkdir()
    with pytest.raises(InputError, match=r"Expected a SpatialData store, found .*in.zarr, which does not open as one"):
        slide.read(counts=slide.folder / "in.zarr")


def test_a_file_that_only_looks_like_anndata(slide):
    (slide.folder / "in.h5ad").write_text("no HDF5")
    with pytest.raises(InputError, match=r"Expected an AnnData file, found .*in.h5ad, which does not open as one"):
        slide.read(counts=slide.folder / "in.h5ad")


def test_a_spot_file_without_pixels_says_which_column(slide, squares):
    paths = write_st(slide.folder / "st", *squares)
    pd.read_csv(paths["spots"], sep="\t").rename(columns={"pixel_x": "pix_x"}).to_csv(paths["spots"], sep="\t")
    with pytest.raises(InputError, match=r"Expected the columns x, y, pixel_x.* pixel_x is missing; nearest: pix_x"):
        slide.read(**paths)


def test_classes_from_a_column_or_a_table_of_their_own(slide, squares):
    table, counts = squares
    paths = write_st(slide.folder / "st", table, counts)
    wanted = np.where(table["row"] < 6, "cancer", "")
    spots = pd.read_csv(paths["spots"], sep="\t").assign(seen=np.where(wanted == "", "NA", wanted))
    spots.to_csv(paths["spots"], sep="\t", index=False)
    assert list(slide.read(**paths, annotation="seen")[1]["annotation"]) == list(wanted)
    own = slide.folder / "classes.tsv"
    ids = table["col"].astype(str) + "x" + table["row"].astype(str)
    pd.DataFrame({"spot": ids, "class": wanted})[wanted != ""].to_csv(own, sep="\t", index=False)
    assert list(slide.read(**paths, annotation=own)[1]["annotation"]) == list(wanted)
    # As pathologists' tables of He 2020 and Andersson 2021 have it: by the place, adjusted to the image.
    pd.DataFrame({"x": table["col"] + 0.2, "y": table["row"] - 0.3, "label": wanted}).to_csv(own, sep="\t")
    assert list(slide.read(**paths, annotation=own)[1]["annotation"]) == list(wanted)
    with pytest.raises(InputError, match=r"Expected the annotation 'sen' among .* seen; nearest: seen; name a column"):
        slide.read(**paths, annotation="sen")
    own.write_text("spot\tclass\nq\tcancer\n")
    with pytest.raises(
        InputError, match=r"Expected spots of the section in .*classes.tsv, found q; the section has \d+x"
    ):
        slide.read(**paths, annotation=own)


def test_only_spots_whose_centres_lie_in_the_region_are_kept(tmp_path, squares):
    table, counts = squares
    region = (800, 1000, 1600, 2001)
    slide = write_slide(tmp_path, region=region)
    _, spots, record = slide.read(**write_st(tmp_path / "st", table, counts))
    inside = table["x_px"].between(800, 2399) & table["y_px"].between(1000, 3000)
    assert 0 < inside.sum() < len(table)
    np.testing.assert_array_equal(spots["x_px"], table["x_px"][inside])
    assert record["left_out"]["outside the region"] == (~inside).sum()
    assert list(record["on_tissue"]) == ["as given"]  # of a part no other symmetry can be told


def check_excluded(found, code):
    data, spots, record = found
    assert (record["status"], record["code"]) == ("excluded", code)
    assert data.n_obs == len(spots) == record["n_spots"] == 0
    assert list(spots.columns) == ["spot", "row", "col", "x_px", "y_px", "total", "annotation"]
    assert data.obsm["spatial"].shape == (0, 2)
    return record["reason"]


def test_a_section_of_an_excluded_slide_is_excluded_for_the_same_reason(tmp_path, squares):
    slide = write_slide(tmp_path, status="excluded", code="S-MPP", reason="s1: no resolution", mpp=None)
    found = slide.read(**write_st(tmp_path / "st", *squares))
    assert check_excluded(found, "S-MPP") == "s1: no resolution"
    assert (tmp_path / "section.png").is_file()


def test_a_wrong_scale_is_told_with_both_numbers(slide, squares):
    table, counts = squares
    half = table.assign(x_px=table["x_px"] / 2, y_px=table["y_px"] / 2)
    paths = write_st(slide.folder / "st", half, counts)
    reason = check_excluded(slide.read(**paths), "S-SCALE")
    assert "neighbouring spots lie 100 um apart, need 200 um within 15%" in reason
    assert slide.read(**paths, pitch_um="100")[2]["code"] != "S-SCALE"  # the sheet knows better
    assert slide.read(**paths, pitch_um="120")[2]["code"] == "S-SCALE"


@pytest.mark.parametrize(
    ("moved", "symmetry"),
    [
        (lambda x, y: (y, x), "with x and y swapped"),
        (lambda x, y: (section_kit.WIDTH - x, y), "flipped left to right"),
        (lambda x, y: (section_kit.WIDTH - x, section_kit.HEIGHT - y), "turned by 180 degrees"),
    ],
)
def test_swapped_axes_are_found_and_named(slide, squares, moved, symmetry):
    table, counts = squares
    x, y = moved(table["x_px"], table["y_px"])
    found = slide.read(**write_st(slide.folder / "st", table.assign(x_px=x, y_px=y), counts))
    reason = check_excluded(found, "S-SWAPPED")
    assert f"100% {symmetry}; correct the positions or the image" in reason
    assert found[2]["on_tissue"][symmetry] == 1
    assert cv2.imread(str(slide.folder / "section.png")).shape[1] == 2 * 1000  # as given, and beside it the better


def test_spots_beside_the_tissue_are_told(slide, squares):
    table, counts = squares
    beside = table.assign(x_px=table["x_px"] + 10 * section_kit.WIDTH)
    reason = check_excluded(slide.read(**write_st(slide.folder / "st", beside, counts)), "S-OFF")
    assert "0% of the spots lie on tissue, need 50%" in reason


def test_a_region_without_spots_is_told(tmp_path, squares):
    slide = write_slide(tmp_path, region=(5000, 4000, 900, 900))
    reason = check_excluded(slide.read(**write_st(tmp_path / "st", *squares)), "S-OFF")
    assert "no spot lies in the slide's region" in reason


@pytest.fixture(scope="module")
def her2st(tmp_path_factory):
    """The five sections' slides: mask and thumbnail of a tenth of the picture, at 0.686 um/px."""
    slides = {}
    for name in SECTIONS:
        folder = tmp_path_factory.mktemp(name)
        whole = cv2.imread(str(Path(REAL_DATA) / "her2st" / "images" / f"{name}.jpg"))
        height, width = whole.shape[:2]
        size = (-(-width // REDUCTION), -(-height // REDUCTION))
        rgb = cv2.cvtColor(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)
        slides[name] = write_slide(folder, mpp=0.686, width=width, height=height, region_width=width,
                                   region_height=height, thumbnail_downsample=REDUCTION)  # fmt: skip
        write_png(rgb, folder / "thumbnail.png")
        write_png(tissue_mask(rgb).astype(np.uint8) * 255, folder / "tissue.png")
    return slides


@pytest.mark.real
@pytest.mark.skipif(not REAL_DATA, reason="REAL_DATA is not set")
def test_real_sections_lie_on_their_tissue_and_swapped_ones_do_not(her2st):
    sizes = {"B4": 283, "C2": 187, "C3": 180, "C4": 184, "C5": 181}
    for name, slide in her2st.items():
        folder = Path(REAL_DATA) / "her2st"
        counts, spots = folder / "counts" / f"{name}.tsv.gz", folder / "spots" / f"{name}.tsv"
        clusters = folder / "clusters" / f"{name}.tsv.gz"
        data, found, record = slide.read(counts=counts, spots=spots, annotation=clusters)
        assert record["status"] == "ok", record["reason"]
        assert len(found) == sizes[name]
        assert record["on_tissue"]["as given"] > 0.97
        assert record["measured_pitch_um"] == pytest.approx(200, rel=0.02)
        theirs = pd.read_csv(counts, sep="\t", index_col=0)
        assert list(data.obs_names) == [spot for spot in theirs.index if spot in set(found["spot"])]
        np.testing.assert_array_equal(data.X.toarray(), theirs.loc[data.obs_names])
        labels = pd.read_csv(clusters, sep="\t").set_index(["y", "x"])["label"]
        wanted = labels.reindex(pd.MultiIndex.from_frame(found[["row", "col"]]))
        assert (found["annotation"].to_numpy() == wanted.map(lambda k: "" if pd.isna(k) else f"{k:g}").to_numpy()).all()
        swapped = slide.folder / "swapped.tsv"
        names = {"pixel_x": "pixel_y", "pixel_y": "pixel_x"}
        pd.read_csv(spots, sep="\t").rename(columns=names).to_csv(swapped, sep="\t", index=False)
        record = slide.read(counts=counts, spots=swapped)[2]
        assert record["code"] == "S-SWAPPED", json.dumps(record["on_tissue"])
        assert "with x and y swapped;" in record["reason"]

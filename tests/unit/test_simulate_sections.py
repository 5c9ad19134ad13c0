"""Synthetic sections: files of the field that others' readers read, and planted genes that counts and pixels show."""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import openslide
import pandas as pd
import pytest
import scanpy
from histocarta import simulate_counts, simulate_sections
from histocarta.errors import InputError
from histocarta.files import read_json, sha256
from histocarta.sheets import read_slides
from histocarta.simulate_section_files import barcode
from scipy.spatial import cKDTree

WINDOW = 75  # px: 37.5 µm at 0.5 µm/px
SQUARE = replace(simulate_sections.PRESETS["demo"], patients=4, second_sections=1)
HEXAGONAL = replace(simulate_sections.PRESETS["hexagonal"], patients=2)


def table(path: Path | str) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False, na_values=["nan"])


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    folder = tmp_path_factory.mktemp("square")
    simulate_sections.simulate_sections(output=folder, recipe=SQUARE, seed=3, processes=1)
    return folder


@pytest.fixture(scope="module")
def hexagonal(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hexagonal")
    simulate_sections.simulate_sections(output=folder, recipe=HEXAGONAL, seed=3, processes=1)
    return folder


def read_st(folder: Path, slide: str) -> pd.DataFrame:
    """Counts of the spots of one section (index row, col), all genes of the cohort."""
    counts = pd.read_csv(folder / "counts" / f"{slide}.tsv.gz", sep="\t", index_col=0)
    places = counts.index.str.split("x", expand=True)
    counts.index = pd.MultiIndex.from_arrays([places.get_level_values(axis).astype(int) for axis in (1, 0)])
    return counts.reindex(columns=table(folder / "truth" / "genes.tsv")["gene"], fill_value=0)


def expression(counts: pd.DataFrame) -> pd.DataFrame:
    return np.log((counts + 1).div(counts.sum(axis=1) + counts.shape[1], axis=0))  # He 2020, Methods


def by_section(folder: Path) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
    """Per section: its spots' truth, and their expression in the same order."""
    pairs = []
    for slide, own in table(folder / "truth" / "spots.tsv").groupby("slide"):
        values = expression(read_st(folder, slide)).loc[list(zip(own["row"], own["col"], strict=True))]
        pairs.append((own.reset_index(drop=True), values.reset_index(drop=True)))
    return pairs


def window_density(folder: Path, own: pd.DataFrame) -> list[np.ndarray]:
    """Optical density (75, 75, 3) of each spot's window."""
    with openslide.OpenSlide(folder / "slides" / f"{own['slide'][0]}.svs") as slide:
        corners = [
            (round(x - WINDOW / 2), round(y - WINDOW / 2)) for x, y in zip(own["x_px"], own["y_px"], strict=True)
        ]
        tiles = [np.asarray(slide.read_region(corner, 0, (WINDOW, WINDOW)).convert("RGB")) for corner in corners]
    return [-np.log((tile + 1.0) / 244) for tile in tiles]


def test_the_sheets_name_files_that_exist(square, hexagonal):
    for folder in (square, hexagonal):
        slides, sections = read_slides(folder / "slides.tsv"), table(folder / "sections.tsv")
        assert list(slides["slide"]) == list(sections["slide"])
        assert all(Path(file).is_file() for file in slides["file"])
        assert all(Path(path).exists() for path in sections["counts"])
        assert set(sections["pitch_um"]) == {37.5}
    assert list(table(square / "slides.tsv")["slide"]) == ["S001-1", "S001-2", "S002-1", "S003-1", "S004-1"]
    sections = table(hexagonal / "sections.tsv")
    assert list(sections.columns) == ["slide", "counts", "spots", "lattice", "pitch_um", "diameter_um", "annotation"]
    assert all(Path(path).is_file() for path in sections["annotation"])


def test_an_st_section_is_counts_by_place_and_a_spot_file(square):
    spots = table(square / "spots" / "S002-1.tsv")
    # The columns of /her2st/spots of Andersson 2021, and one for the class.
    assert list(spots.columns) == ["x", "y", "new_x", "new_y", "pixel_x", "pixel_y", "selected", "annotation"]
    counts = pd.read_csv(square / "counts" / "S002-1.tsv.gz", sep="\t", index_col=0)
    own = spots[spots["selected"] == 1]
    assert list(counts.index) == [f"{x}x{y}" for x, y in zip(own["x"], own["y"], strict=True)]
    assert 0 < len(own) < len(spots)
    assert set(own["annotation"]) == {"tumour", "normal"} and set(spots["annotation"][spots["selected"] == 0]) == {""}
    np.testing.assert_allclose(spots[["new_x", "new_y"]], spots[["x", "y"]].to_numpy(), atol=0.15)
    slopes = [np.polyfit(spots[axis], spots[f"pixel_{axis}"], 1)[0] for axis in "xy"]
    np.testing.assert_allclose(slopes, WINDOW, rtol=0.01)  # x runs along the width, y along the height


def test_a_gene_without_counts_has_no_column_in_that_section(square):
    headers = {
        path.name: set(pd.read_csv(path, sep="\t", index_col=0, nrows=0).columns)
        for path in (square / "counts").iterdir()
    }
    known = set(table(square / "truth" / "genes.tsv")["gene"])
    assert all(header <= known for header in headers.values())
    assert len({frozenset(header) for header in headers.values()}) > 1
    assert all(
        (read_st(square, name.removesuffix(".tsv.gz"))[list(own)].sum() > 0).all() for name, own in headers.items()
    )


@pytest.mark.filterwarnings("ignore:Use `squidpy.read.visium`:FutureWarning")
def test_scanpy_reads_a_visium_section_as_it_was_planted(hexagonal):
    section = scanpy.read_visium(hexagonal / "visium" / "V001-1")
    truth = table(hexagonal / "truth" / "spots.tsv").query("slide == 'V001-1'").set_index(["row", "col"])
    assert section.shape == (len(truth), 40)
    assert list(section.var_names) == list(table(hexagonal / "truth" / "genes.tsv")["gene"])
    own = truth.loc[list(zip(section.obs["array_row"], section.obs["array_col"], strict=True))]
    np.testing.assert_array_equal(section.obsm["spatial"], own[["x_px", "y_px"]])
    assert (section.obs["in_tissue"] == 1).all()
    totals = np.asarray(section.X.sum(axis=1)).ravel()
    assert np.corrcoef(np.log(totals), np.log(own["depth"]))[0, 1] > 0.8  # the spots' counts stand in their own rows
    classes = table(hexagonal / "annotations" / "V001-1.tsv").set_index("barcode")["annotation"]
    assert list(classes[section.obs_names]) == list(own["annotation"])
    with openslide.OpenSlide(hexagonal / "slides" / "V001-1.svs") as slide:
        width, height = slide.dimensions
    stored = section.uns["spatial"]["V001-1"]
    assert stored["images"]["hires"].shape == (round(height / 2), round(width / 2), 3)
    assert stored["scalefactors"]["spot_diameter_fullres"] == 40.0


def test_a_visium_folder_has_the_layout_of_space_ranger(hexagonal):
    folder = hexagonal / "visium" / "V001-1"
    with h5py.File(folder / "filtered_feature_bc_matrix.h5") as file:
        group = file["matrix"]
        assert {"barcodes", "data", "indices", "indptr", "shape", "features"} == set(group)
        assert {"id", "name", "feature_type", "genome", "_all_tag_keys"} == set(group["features"])
        assert group["shape"][0] == 40 and len(group["indptr"]) == group["shape"][1] + 1  # genes × spots, by columns
        barcodes = group["barcodes"].asstr()[:]
    positions = pd.read_csv(folder / "spatial" / "tissue_positions.csv", index_col=0)
    header = ["in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    assert list(positions.columns) == header
    assert set(barcodes) == set(positions.index[positions["in_tissue"] == 1]) and list(barcodes) == sorted(barcodes)
    assert (positions["in_tissue"] == 0).any() and positions.index.is_unique
    assert json.loads((folder / "spatial" / "scalefactors_json.json").read_text())["tissue_hires_scalef"] == 0.5


def test_the_hexagonal_lattice_has_six_neighbours_at_one_pitch(hexagonal):
    spots = pd.read_csv(hexagonal / "visium" / "V001-1" / "spatial" / "tissue_positions.csv")
    assert ((spots["array_row"] + spots["array_col"]) % 2 == 0).all()
    places = spots[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    distances, neighbours = cKDTree(places).query(places, k=7)
    inner = (distances[:, 6] < 1.2 * WINDOW).nonzero()[0]
    assert len(inner) > 50
    np.testing.assert_allclose(distances[inner, 1:], WINDOW, atol=1.5)  # whole pixels
    lattice = spots[["array_row", "array_col"]].to_numpy()
    steps = {tuple(step) for spot in inner for step in np.abs(lattice[neighbours[spot, 1:]] - lattice[spot])}
    assert steps == {(0, 2), (1, 1)}


def test_barcodes_belong_to_places_and_are_unique():
    codes = {barcode(row, col) for row in range(78) for col in range(row % 2, 128, 2)}  # a Visium's 4,992 spots
    assert len(codes) == 78 * 64
    assert all(len(code) == 18 and code.endswith("-1") and set(code[:16]) <= set("ACGT") for code in codes)


def test_planted_genes_follow_their_fields_within_every_section(square):
    for own, values in by_section(square):
        assert np.corrcoef(values["PLANT_A"], own["A"])[0, 1] > 0.75
        assert np.corrcoef(values["PLANT_B"], own["B"])[0, 1] > 0.75
        assert np.corrcoef(values["PLANT_D"], own["nuclei"])[0, 1] > 0.6


def test_null_genes_follow_nothing(square):
    """No null gene may be consistent over sections, and all of them together must not lean to one side."""
    nulls = table(square / "truth" / "genes.tsv").query("follows == 'nothing'")["gene"]
    correlations = pd.DataFrame(
        [{gene: np.corrcoef(values[gene], own["A"])[0, 1] for gene in nulls[:20]} for own, values in by_section(square)]
    )
    assert correlations.mean().abs().max() < 0.25  # sd of a mean of five sections of about 100 spots: 0.045
    assert abs(correlations.to_numpy().mean()) < 0.05


def test_the_shares_of_all_genes_make_one_wherever_the_fields_stand():
    genes = simulate_counts.list_genes(nulls=35, span=1e-4)
    corners = np.stack(np.meshgrid(*[[0.0, 0.5, 1.0]] * 3), axis=-1).reshape(-1, 3)
    shares = simulate_counts.expected_shares(pd.DataFrame(corners, columns=["A", "B", "nuclei"]), genes)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.min() > 0
    of_a = shares[:, list(genes["gene"]).index("PLANT_A")]
    assert of_a[corners[:, 0] == 1].min() / of_a[corners[:, 0] == 0].max() == pytest.approx(8)


def test_counts_have_the_mean_and_variance_of_a_negative_binomial():
    genes = simulate_counts.list_genes(nulls=35, span=1e-4)
    spots = pd.DataFrame({"A": 0.5, "B": 0.5, "nuclei": 0.3, "depth": 1000.0}, index=range(20_000))
    counts = simulate_counts.draw_counts(np.random.default_rng(1), spots=spots, genes=genes, overdispersion=0.08)
    mean = 1000 * genes.set_index("gene")["share"]["PLANT_A"]
    assert counts["PLANT_A"].mean() == pytest.approx(mean, rel=0.02)
    assert counts["PLANT_A"].var() == pytest.approx(mean + 0.08 * mean**2, rel=0.05)


def test_half_of_the_patients_were_sequenced_eight_times_as_deeply(square):
    patients = table(square / "truth" / "patients.tsv").set_index("patient")["depth"]
    assert sorted(patients) == [800, 800, 6400, 6400]
    for slide in table(square / "slides.tsv").itertuples():
        total = read_st(square, slide.slide).sum(axis=1)
        assert np.log(total).mean() == pytest.approx(np.log(patients[slide.patient]), abs=0.15)
        assert 0.25 < np.log(total).std() < 0.5


def test_the_commonest_genes_are_planted_and_null_ones(square):
    slides = table(square / "slides.tsv")["slide"]
    means = pd.concat([read_st(square, slide) for slide in slides]).mean().sort_values(ascending=False)
    top = set(means.index[:16])
    assert {"PLANT_A", "PLANT_B", "PLANT_D", "NULL001", "NULL005"} <= top
    assert "PLANT_A_RARE" not in top


def test_a_simple_measure_of_the_windows_pixels_tells_the_planted_genes(square):
    """Share of dark nuclei for A and D, excess of green over red density (eosin) for B; a wrong place tells nothing."""
    astray = []
    for own, values in by_section(square):
        windows = window_density(square, own)
        dark = [(window[..., 0] > 0.6).mean() for window in windows]
        eosin = [np.percentile(window[..., 1] - window[..., 0], 80) for window in windows]
        assert np.corrcoef(dark, values["PLANT_A"])[0, 1] > 0.6
        assert np.corrcoef(dark, values["PLANT_D"])[0, 1] > 0.6
        assert np.corrcoef(eosin, values["PLANT_B"])[0, 1] > 0.6
        astray.append(np.corrcoef(dark[::-1], values["PLANT_A"])[0, 1])
    assert np.mean(astray) < 0.35


def test_the_class_is_by_the_field_and_spots_lie_on_tissue(square):
    spots = table(square / "truth" / "spots.tsv")
    assert ((spots["annotation"] == "tumour") == (spots["A"] > 0.5)).all()
    assert spots["tissue"].min() >= 0.5
    assert spots[["A", "B", "nuclei"]].min().min() >= 0 and spots[["A", "B", "nuclei"]].max().max() <= 1
    assert spots.groupby("slide").size().between(75, 125).all()
    assert not spots.duplicated(["slide", "row", "col"]).any()


def test_window_means_weigh_a_field_by_the_tissue():
    maps = {
        "tissue": np.zeros((8, 8), np.float32),
        "A": np.zeros((8, 8), np.float32),
        "B": np.ones((8, 8), np.float32),
        "nuclei": np.zeros((8, 8), bool),
    }
    maps["tissue"][:, :4] = 1  # tissue left, glass right
    maps["A"][:, :4], maps["A"][:, 4:] = 0.25, 1.0
    maps["nuclei"][2, 2] = True
    spots = pd.DataFrame({"x_px": [4.0, 6.0], "y_px": [4.0, 4.0]})
    means = simulate_sections.window_means(maps, spots, window=4)
    np.testing.assert_allclose(means.loc[0, ["tissue", "A", "B", "nuclei"]].astype(float), [0.5, 0.25, 1.0, 1 / 16])
    assert means["tissue"][1] == 0 and np.isnan(means["A"][1])


@pytest.mark.parametrize("preset", ["small", "hexagonal"])
def test_same_seed_same_bytes_in_any_number_of_processes(preset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = replace(simulate_sections.PRESETS[preset], patients=2, cells=(6, 6))
    digests = []
    for folder, processes in (("one", 1), ("two", 2)):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        simulate_sections.simulate_sections(output="study", recipe=recipe, seed=9, processes=processes)
        files = sorted(path for path in Path("study").rglob("*") if path.is_file())
        digests.append({path.as_posix(): sha256(path) for path in files})
    assert len(digests[0]) >= 12
    assert digests[0] == digests[1]
    simulate_sections.simulate_sections(output="other", recipe=recipe, seed=10, processes=1)
    slides = sorted(Path("other/slides").iterdir())
    assert slides and not {sha256(path) for path in slides} & set(digests[0].values())


def test_the_table_of_counts_holds_no_time_and_no_name(square):
    raw = (square / "counts" / "S001-1.tsv.gz").read_bytes()
    assert raw[3] == 0 and raw[4:8] == bytes(4)  # RFC 1952: no flags (no file name), no time
    assert gzip.decompress(raw).startswith(b"\tPLANT_A\t")


def test_cohorts_of_other_names_share_no_tissue():
    """A cohort of the same seed may serve as the external one of another."""
    seeds = []
    for prefix in ("S", "V"):
        recipe = replace(SQUARE, prefix=prefix)
        patients = simulate_sections.draw_patients(np.random.default_rng(0), recipe=recipe)
        plans = simulate_sections.plan_sections(patients, output=Path("unused"), recipe=recipe, seed=1)
        seeds += [seed for plan in plans for seed in (plan.seed, plan.slide.seed)]
    assert len(set(seeds)) == len(seeds) == 20


def test_the_recipe_is_written_beside_the_truth(square):
    recipe = read_json(square / "truth" / "recipe.json")
    assert (recipe["seed"], recipe["patients"], recipe["lattice"]) == (3, 4, "square")


def test_errors_say_what_there_is(tmp_path, capsys):
    with pytest.raises(InputError, match="Expected a lattice of square, hexagonal, found 'triangular'; choose one"):
        simulate_sections.simulate_sections(output=tmp_path, recipe=replace(SQUARE, lattice="triangular"), seed=1)
    with pytest.raises(SystemExit):
        simulate_sections.main(["--output", "unused", "--patients", "1"])
    assert "--patients: expected at least 2 (one per depth), found 1" in capsys.readouterr().err

"""Virtual cores of the breast sections: places, blocks, pseudo-bulk and controls."""

import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from histocarta import her2st
from histocarta.errors import InputError
from histocarta.sheets import read_slides
from histocarta.tables import read_text_table

REAL_DATA = os.environ.get("REAL_DATA")
needs_real_data = pytest.mark.skipif(not REAL_DATA, reason="REAL_DATA is not set")

SIDE = 5000  # px
TISSUE = np.array([(700, 1500), (3900, 600), (4500, 3300), (2300, 4400)], np.float32)
TURN, SHIFT = 6.0, (180.0, -120.0)  # of the second section, degrees and px
GENES = ("ERBB2", "FASN", "GNAS")


def turned(points: np.ndarray) -> np.ndarray:
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), -TURN, 1.0)
    return (points @ matrix[:, :2].T + matrix[:, 2] + SHIFT).astype(np.float32)


def write_section(folder: Path, name: str, polygon: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = np.full((SIDE, SIDE, 3), 235, np.uint8)
    cv2.fillPoly(image, [polygon.round().astype(np.int32)], (170, 100, 150))
    rows = []
    for x in range(1, 17):
        for y in range(1, 17):
            centre = (x * her2st.SPOT_PITCH, y * her2st.SPOT_PITCH)
            if cv2.pointPolygonTest(polygon, centre, False) > 0:
                rows.append({"x": x, "y": y, "pixel_x": centre[0], "pixel_y": centre[1], "selected": 1})
    spots = pd.DataFrame(rows)
    counts = pd.DataFrame(rng.poisson((30, 8, 12), (len(spots), 3)), columns=list(GENES))
    counts.index = spots["x"].astype(str) + "x" + spots["y"].astype(str)
    left = (spots["x"] <= 8).to_numpy()
    counts["EPCAM"] = np.where(left, 9, 1)
    for part in ("images", "counts", "spots", "clusters"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / "images" / f"{name}.jpg"), image)
    counts.iloc[1:].to_csv(folder / "counts" / f"{name}.tsv.gz", sep="\t")  # the first spot was not sequenced
    spots.to_csv(folder / "spots" / f"{name}.tsv", sep="\t", index=False)
    clusters = spots[["x", "y"]].assign(label=np.where(left, 4, 2))
    clusters.drop(index=5).to_csv(folder / "clusters" / f"{name}.tsv.gz", sep="\t")  # a spot in no cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_section(folder / "her2st", "Q1", TISSUE, seed=1)
    write_section(folder / "her2st", "Q2", turned(TISSUE), seed=2)
    write_section(folder / "her2st", "R1", TISSUE, seed=3)
    return folder


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    output = tmp_path_factory.mktemp("study")
    sections = {"Q": ("Q1", "Q2"), "R": ("R1",)}
    cores = her2st.prepare_study(
        data=data, output=output, sections=sections, traits=("ERBB2", "FASN"), controls=("ERBB2",), seed=1
    )
    return output, cores


def numbers(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def test_registration_finds_a_known_turn_and_shift(data):
    fixed = her2st.tissue_outline(data / "her2st" / "images" / "Q1.jpg")
    moving = her2st.tissue_outline(data / "her2st" / "images" / "Q2.jpg")
    found = her2st.register(moving, fixed)
    assert abs(found.degrees) == pytest.approx(TURN, abs=0.5)
    assert found.dice > 0.98
    back = turned(TISSUE) @ found.matrix[:, :2].T + found.matrix[:, 2]
    np.testing.assert_allclose(back, TISSUE, atol=64)  # two pixels of the reduced outline


def test_a_section_registered_to_itself_does_not_move(data):
    outline = her2st.tissue_outline(data / "her2st" / "images" / "Q1.jpg")
    found = her2st.register(outline, outline)
    np.testing.assert_allclose(found.matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)
    assert found.dice == 1


def test_the_sheet_is_valid_and_names_every_core_once(study):
    sheet = read_slides(study[0] / "slides.tsv")
    assert set(sheet["patient"]) == {"Q", "R"}
    assert set(sheet["mpp"]) == {"0.686"}
    assert sheet["file"].str.endswith((".jpg",)).all()
    assert (sheet["block"].str.split("-").str[0] == sheet["patient"]).all()


def test_the_same_place_in_consecutive_sections_is_the_same_tissue_and_block(study):
    cores = study[1].set_index("slide")
    first, second = (cores[cores["section"] == name].rename(lambda slide: slide[3:]) for name in ("Q1", "Q2"))
    shared = first.index.intersection(second.index)
    assert len(shared) >= 5
    assert (first.loc[shared, "block"] == second.loc[shared, "block"]).all()
    centre = {name: part.loc[shared, ["x", "y"]] + part.loc[shared, ["width", "height"]].to_numpy() / 2
              for name, part in (("first", first), ("second", second))}  # fmt: skip
    np.testing.assert_allclose(turned(centre["first"].to_numpy()), centre["second"], atol=64)


def test_cores_are_08_mm_do_not_overlap_and_hold_half_of_their_possible_spots(study):
    cores = study[1]
    assert (cores["width"] * her2st.MPP).between(790, 801).all()
    assert (cores["n_spots"] >= 0.5 * (cores["width"] / her2st.SPOT_PITCH) ** 2).all()
    for _, section in cores.groupby("section"):
        corners = section[["x", "y"]].to_numpy()
        side = section["width"].iloc[0]
        apart = np.abs(corners[:, None] - corners[None]).max(axis=2) + side * np.eye(len(corners))
        assert (apart >= side - 1).all()  # a pixel of rounding


def test_spots_lie_in_the_core_that_they_name(study):
    output, cores = study
    spots = numbers(output / "spots.tsv").merge(cores, on=["slide", "section"])
    assert list(numbers(output / "spots.tsv").columns) == [
        "slide", "section", "x_px", "y_px", "total", "ERBB2", "FASN", "ERBB2_shuffled",
    ]  # fmt: skip
    assert ((spots["x_px"] >= spots["x"]) & (spots["x_px"] < spots["x"] + spots["width"])).all()
    assert ((spots["y_px"] >= spots["y"]) & (spots["y_px"] < spots["y"] + spots["height"])).all()
    assert spots.groupby("slide").size().to_dict() == cores.set_index("slide")["n_spots"].to_dict()


def test_pseudo_bulk_is_log_cpm_of_the_summed_counts(study, data):
    output, cores = study
    expression = numbers(output / "expression.tsv").set_index("trait")
    assert list(expression.columns) == list(cores["slide"])
    assert list(expression.index) == [*GENES, "EPCAM", "ERBB2_shuffled"]
    core = cores[cores["section"] == "R1"].iloc[0]
    spots = numbers(data / "her2st" / "spots" / "R1.tsv")
    inside = spots["pixel_x"].between(core.x, core.x + core.width) & spots["pixel_y"].between(
        core.y, core.y + core.height
    )
    counts = pd.read_csv(data / "her2st" / "counts" / "R1.tsv.gz", sep="\t", index_col=0)
    ids = [f"{x}x{y}" for x, y in zip(spots["x"][inside], spots["y"][inside], strict=True)]
    summed = counts.reindex(ids).dropna().sum()
    expected = np.log2((summed["FASN"] + 0.5) / (summed.sum() + 1) * 1e6)
    assert expression.loc["FASN", core.slide] == pytest.approx(expected, abs=1e-4)


def test_log_cpm_closed_form():
    values = her2st.log_cpm(pd.DataFrame({"g": [3, 0], "h": [1, 9]}))
    assert values.loc[0, "g"] == pytest.approx(np.log2(3.5 / 5 * 1e6))
    assert values.loc[1, "g"] == pytest.approx(np.log2(0.5 / 10 * 1e6))


def test_depth_cancels_out_of_log_cpm():
    counts = pd.DataFrame({"g": [300, 30_000], "h": [700, 70_000]})
    assert her2st.log_cpm(counts)["g"].diff().abs().max() < 0.01


def test_the_control_keeps_each_patients_values_and_loses_their_order(study):
    output, cores = study
    expression = numbers(output / "expression.tsv").set_index("trait")
    for _, members in cores.groupby("patient"):
        true, control = (expression.loc[name, members["slide"]] for name in ("ERBB2", "ERBB2_shuffled"))
        assert sorted(true) == pytest.approx(sorted(control))
        assert (true != control).any()
    assert list(numbers(output / "traits.tsv")["trait"]) == ["ERBB2", "ERBB2_shuffled", "FASN"]


def test_shuffling_is_seeded():
    values, groups = np.arange(40.0), np.repeat([0, 1], 20)
    first, again, other = (her2st.shuffle_within(values, groups, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert set(first[:20]) == set(values[:20])


def test_blocks_are_two_by_two_and_part_as_few_neighbours_as_possible():
    row, column = np.array([1, 1, 2, 2]), np.array([3, 4, 3, 4])
    assert len(set(her2st.group_blocks(row, column))) == 1
    row, column = (axis.ravel() for axis in np.indices((5, 4)))
    names = her2st.group_blocks(row, column)
    assert pd.Series(names).value_counts().max() == 4
    for name in set(names):
        assert np.ptp(row[names == name]) <= 1
        assert np.ptp(column[names == name]) <= 1


def test_an_unknown_gene_is_named_with_the_nearest(data, tmp_path):
    with pytest.raises(InputError, match=r"Expected a gene of .*counts \(4 genes\), found 'ERB2'; nearest: ERBB2"):
        her2st.prepare_study(data=data, output=tmp_path, sections={"R": ("R1",)}, traits=("ERB2",), controls=())


def test_a_missing_section_is_named_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"Expected .*images/B4.jpg, found no such file; give the folder .* as --data"):
        her2st.prepare_study(data=tmp_path, output=tmp_path / "out")


def test_glass_without_tissue_is_an_error(tmp_path):
    cv2.imwrite(str(tmp_path / "glass.jpg"), np.full((2000, 2000, 3), 235, np.uint8))
    with pytest.raises(InputError, match=r"Expected a tissue section, found only glass in .*glass.jpg"):
        her2st.tissue_outline(tmp_path / "glass.jpg")


def test_clusters_with_more_of_the_marker_stand_in_for_marked_carcinoma(study):
    """The left half of every section holds nine times as much EPCAM; a spot without a cluster is not marked."""
    marked, spots = (read_text_table(study[0] / name) for name in ("annotations.tsv", "spots.tsv"))
    both = marked.merge(spots, on=["slide", "x_px", "y_px"], validate="one_to_one")
    assert len(spots) - 3 <= len(both) == len(marked)
    left = both["x_px"].astype(float) < 8.5 * her2st.SPOT_PITCH
    assert (both["class"] == np.where(left, "carcinoma", "other")).all() and left.any() and not left.all()


@needs_real_data
def test_the_five_real_sections_give_about_64_cores():
    folder = Path(REAL_DATA) / "her2st"
    sections = {}
    for name in ("B4", "C2", "C3", "C4", "C5"):
        spots = pd.read_csv(folder / "spots" / f"{name}.tsv", sep="\t")[["pixel_x", "pixel_y"]].to_numpy()
        sections[name] = her2st.Section(
            name, folder / "images" / f"{name}.jpg", pd.DataFrame(), spots, pd.Series(dtype=int)
        )
    tumour = her2st.cut_patient("C", [sections[name] for name in ("C2", "C3", "C4", "C5")])
    other = her2st.cut_patient("B", [sections["B4"]])
    assert 60 <= len(tumour) + len(other) <= 80
    assert tumour.groupby("section").size().min() >= 10
    outlines = {name: her2st.tissue_outline(sections[name].image) for name in ("C2", "C3", "C4", "C5")}
    agreement = [her2st.register(outlines[name], outlines["C2"]).dice for name in ("C3", "C4", "C5")]
    assert min(agreement) > 0.96  # consecutive sections of one piece of tissue
    places = tumour["slide"].str[3:]
    assert tumour.groupby(places)["block"].nunique().max() == 1
    assert places.value_counts().eq(4).sum() >= 8


@needs_real_data
def test_the_small_real_study(tmp_path):
    her2st.main(["--data", REAL_DATA, "--output", str(tmp_path), "--small"])
    sheet = read_slides(tmp_path / "slides.tsv")
    assert set(sheet["slide"].str[:2]) == {"B4", "C2"}
    expression = numbers(tmp_path / "expression.tsv").set_index("trait")
    assert list(read_text_table(tmp_path / "traits.tsv")["trait"]) == ["ERBB2", "ERBB2_shuffled", "FASN"]
    # Counts per spot differ 13-fold between the patients (3.7 on the log2 scale): log CPM of expressed genes must not.
    median = expression.T.groupby(sheet["patient"].to_numpy()).median().T
    expressed = median.min(axis=1) > 9
    assert expressed.sum() > 100
    assert abs((median["B"] - median["C"])[expressed].median()) < 0.5

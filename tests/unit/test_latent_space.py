"""What a network sees in spots: purity by hand, the right neighbours on either lattice, a plane that repeats itself."""

import numpy as np
import pandas as pd
import pytest
import simplejpeg
from histocarta.files import read_json, read_table, write_json, write_table
from histocarta.latent_charts import chart_latent, group_classes, typical_windows
from histocarta.latent_space import (
    cluster_purity,
    distance_of_nearest,
    ends_among_neighbours,
    neighbour_correlations,
    purity,
    share_of_class,
)
from histocarta.tilestore import write_shard

SIDE = 8


def test_purity_is_the_share_of_the_commonest_class_of_each_cluster():
    assert purity(list("aabbb"), [0, 0, 0, 1, 1]) == pytest.approx(4 / 5)
    assert purity(list("abab"), [0, 0, 1, 1]) == 0.5


def test_clusters_of_separate_classes_are_pure_and_beat_classes_that_changed_places():
    rng = np.random.default_rng(0)
    classes = np.array(["t"] * 30 + ["n"] * 30 + [""] * 5)
    features = rng.normal(size=(65, 4)) + np.where(classes == "t", 8, 0)[:, None]
    clusters, found = cluster_purity(features, classes, seed=1)
    assert found["purity"] == 1 and 0.5 <= found["chance"] < 0.65 and len(clusters) == 65
    _, lone = cluster_purity(features, np.where(classes == "n", "", classes), seed=1)
    assert np.isnan(lone["purity"]) and lone["reason"]


def test_nearest_and_farthest_are_of_the_four_sides_or_of_the_six_of_a_hexagonal_lattice():
    row, col = np.indices((3, 3)).reshape(2, -1)
    features = np.arange(9.0)[:, None] ** 2  # the centre is 4: 16; above 1: 1, left 3: 9, right 5: 25, below 7: 49
    spots, near, far = ends_among_neighbours(features, row, col, lattice="square")
    assert len(spots) == 9 and (near[4], far[4]) == (3, 7)  # 7 and 33 away
    row, col = np.array([1, 1, 1, 0, 0, 2]), np.array([2, 0, 4, 1, 3, 2])
    spots, near, far = ends_among_neighbours(
        np.array([[0.0], [3], [2], [1], [9], [0.1]]), row, col, lattice="hexagonal"
    )
    centre = list(spots).index(0)
    assert near[centre] == 3 and far[centre] == 4  # (2, 2) is no neighbour on a hexagonal lattice


def test_what_a_latent_neighbour_holds_tells_more_than_what_the_farthest_does():
    rng = np.random.default_rng(1)
    row, col = np.indices((20, 20)).reshape(2, -1)
    field = rng.normal(size=400)
    spots = pd.DataFrame({"slide": "s", "row": row, "col": col})
    features = np.column_stack([field, rng.normal(size=400) * 0.01])
    near, far = neighbour_correlations(features, field[:, None], spots, lattices=["square"] * 400)
    assert near[0] > 0.5 > far[0]


def test_distance_of_the_latent_neighbour_is_a_step_where_features_are_the_place():
    row, col = np.indices((6, 6)).reshape(2, -1)
    spots = pd.DataFrame({"slide": "s", "row": row, "col": col})
    found, chance = distance_of_nearest(spots[["row", "col"]].to_numpy(float), spots)
    assert found == 1 and chance > 2.5
    assert np.isnan(distance_of_nearest(np.zeros((2, 2)), spots.iloc[:2])[0])


def test_a_share_counts_the_others_within_the_radius_that_have_a_class():
    plane = np.array([[0, 0], [1, 0], [0, 1], [9, 9], [0.5, 0.5]])
    share = share_of_class(plane, np.array(["t", "t", "n", "t", ""]))
    assert share[:3].tolist() == [0.5, 0.5, 0.0] and np.isnan(share[3:]).all()


def test_groups_of_classes_stand_for_their_members():
    found = group_classes(pd.Series(["inv", "ins", "fat", ""]), {"tumour": ["inv", "ins"]})
    assert found.tolist() == ["tumour", "tumour", "", ""]
    assert group_classes(pd.Series(["fat", None]), {}).tolist() == ["fat", ""]


@pytest.fixture
def study(tmp_path):
    """Two patients, one too small, with windows whose class is in what the network sees."""
    rng = np.random.default_rng(2)
    row, col = np.indices((SIDE, SIDE)).reshape(2, -1)
    labels, latent, slides = [], [], []
    for slide, n in (("a", SIDE**2), ("b", 5)):
        where = pd.DataFrame({"slide": slide, "row": row[:n].astype(np.int32), "col": col[:n].astype(np.int32)})
        tumour = col[:n] < SIDE // 2
        target = [[value, rng.normal()] for value in tumour + rng.normal(size=n) / 5]
        labels.append(where.assign(patient=f"P{slide}", section=slide, total=9.0, target=target,
                                   annotation=np.where(tumour, "tumour", "normal")))  # fmt: skip
        features = rng.normal(size=(n, 6)).astype(np.float32) + 6 * tumour[:, None].astype(np.float32)
        latent.append(where.assign(round=1 if slide == "a" else 2, features=list(features)))
        jpeg = simplejpeg.encode_jpeg(np.full((16, 16, 3), 90, np.uint8))
        records = [(int(r), int(c), jpeg) for r, c in zip(row[:n], col[:n], strict=True)]
        write_shard(tmp_path / f"{slide}.tfrecord", records)
        slides.append((slide, str(tmp_path / f"{slide}.tfrecord")))
    write_table(pd.concat(labels, ignore_index=True), tmp_path / "labels.parquet")
    write_table(pd.concat(latent, ignore_index=True), tmp_path / "latent.parquet")
    write_table(pd.DataFrame(slides, columns=["slide", "shard"]), tmp_path / "manifest.tsv")
    write_json({"trait": "t", "genes": ["G", "H"], "lattice": {"a": "square", "b": "square"}}, tmp_path / "labels.json")
    genes = pd.DataFrame({"gene": ["G", "H"], "median_r": [0.5, 0.1], "n_patients": [2, 2]})
    write_table(genes, tmp_path / "genes.tsv")
    names = {"latent": "latent.parquet", "labels": "labels.parquet", "summary": "labels.json", "genes": "genes.tsv",
             "manifest": "manifest.tsv", "table": "spots.parquet", "of_genes": "out.tsv", "record": "latent.json",
             "picture": "plane.png", "patches": "windows.png"}  # fmt: skip
    return {key: str(tmp_path / name) for key, name in names.items()}


def test_each_patient_is_charted_by_itself_and_the_same_each_time(study):
    chart_latent(**study, classes={}, seed=1)
    first, told = read_table(study["table"]), read_json(study["record"])
    assert [patient["purity"] for patient in told["patients"]] == [1.0, None]
    assert told["patients"][1]["reason"] == "5 spots, need 20" and told["mean_purity"] == 1.0
    assert first.loc[first["patient"] == "Pb", "umap_x"].isna().all()
    known = first[first["patient"] == "Pa"]
    assert known[["umap_x", "umap_y"]].notna().all(axis=None) and (known["share_of_class"].median() > 0.9)
    genes = read_table(study["of_genes"]).set_index("gene").astype(float)
    assert genes.loc["G", "r_nearest"] > genes.loc["G", "r_farthest"]
    chart_latent(**study, classes={}, seed=1)
    pd.testing.assert_frame_equal(read_table(study["table"]), first)
    windows = typical_windows(first)
    assert windows.groupby(["class", "kind"]).size().to_dict() == {
        (name, kind): 4 for name in ("normal", "tumour") for kind in ("atypical", "representative")
    }


def test_a_trait_without_rows_gives_empty_tables_and_pictures_that_say_so(study, tmp_path):
    write_table(read_table(study["latent"]).iloc[:0], study["latent"])
    chart_latent(**study, classes={}, seed=1)
    assert read_table(study["table"]).empty and read_json(study["record"])["patients"] == []
    assert (tmp_path / "plane.png").exists() and (tmp_path / "windows.png").exists()

"""Genes predicted in spots: planted agreement is found, chance is not, and every figure is that of its spots."""

import time

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.spot_comparisons import compare_ways, depth_report, evaluate_classes, evaluate_subset
from histocarta.spot_evaluation import evaluate_spots
from histocarta.spot_nulls import blocks, null_curve, shuffle
from histocarta.spot_statistics import smooth
from scipy import stats
from sklearn.metrics import root_mean_squared_error


def _study(*, patients=4, sections=2, side=8, genes=("A", "B", "C", "D"), seed=0):
    """Predicted, measured and the spots; A is predicted well, B inversely, the others not at all."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((side, side)).reshape(2, -1)
    one = pd.DataFrame({"row": row, "col": col, "lattice": "square"})
    names = [(f"p{p}", f"p{p}_{s}") for p in range(patients) for s in range(sections)]
    spots = pd.concat([one.assign(slide=n, section="1", patient=p) for p, n in names], ignore_index=True)
    spots["total"] = rng.integers(200, 9000, len(spots))
    spots["annotation"] = np.where(spots["col"] < side // 2, "tumour", "normal")
    measured = pd.DataFrame(rng.normal(size=(len(spots), len(genes))), columns=list(genes))
    predicted = pd.DataFrame(rng.normal(size=measured.shape), columns=list(genes))
    predicted["A"] += measured["A"]
    predicted["B"] -= measured["B"]
    return predicted, measured, spots


def test_every_figure_is_that_of_its_patient_or_section():
    predicted, measured, spots = _study()
    found = evaluate_spots(predicted, measured, spots, permutations=20, seed=1)
    assert list(found.genes["gene"]) == ["A", "B", "C", "D"]
    assert len(found.sections) == 4 * 8 and len(found.patients) == 4 * 4
    depth = np.log(spots["total"])
    for table, by in ((found.sections, "slide"), (found.patients, "patient")):
        for _, line in table.iterrows():
            own = spots[by] == line[by]
            x, y, z = predicted.loc[own, line["gene"]], measured.loc[own, line["gene"]], depth[own]
            assert line["n_spots"] == own.sum() and line["patient"] == spots.loc[own, "patient"].iloc[0]
            assert line["r"] == pytest.approx(stats.pearsonr(x, y).statistic)
            assert line["rho"] == pytest.approx(stats.spearmanr(x, y).statistic)
            assert line["rmse"] == pytest.approx(root_mean_squared_error(y, x))
            assert line["r_depth"] == pytest.approx(stats.pearsonr(y, z).statistic)
            left = [values - np.polyval(np.polyfit(z, values, 1), z) for values in (x, y)]
            assert line["r_partial"] == pytest.approx(stats.pearsonr(*left).statistic)
    for gene, lines in found.patients.groupby("gene"):
        row = found.genes.set_index("gene").loc[gene]
        assert row["median_r"] == pytest.approx(lines["r"].median())
        assert row["median_auroc"] == pytest.approx(lines["auroc"].median())
        assert row["rmse"] == pytest.approx(root_mean_squared_error(measured[gene], predicted[gene]))
    assert found.summary["rmse"] == pytest.approx(root_mean_squared_error(measured.stack(), predicted.stack()))


def test_the_measurement_alone_is_smoothed_and_within_its_section():
    predicted, measured, spots = _study(patients=1)
    found = evaluate_spots(predicted, measured, spots, permutations=1, seed=1).patients.set_index("gene")
    halves = [measured.loc[own, ["A"]].to_numpy() for own in (spots["slide"] == "p0_0", spots["slide"] == "p0_1")]
    row, col = np.indices((8, 8)).reshape(2, -1)
    whole = np.concatenate([smooth(half, row, col, "square") for half in halves])[:, 0]
    assert found.loc["A", "r_smooth"] == pytest.approx(stats.pearsonr(predicted["A"], whole).statistic)


def test_the_order_of_spots_changes_nothing_but_the_draws():
    predicted, measured, spots = _study()
    order = np.random.default_rng(5).permutation(len(spots))
    one = evaluate_spots(predicted, measured, spots, permutations=5, seed=1)
    moved = (table.iloc[order].reset_index(drop=True) for table in (predicted, measured, spots))
    other = evaluate_spots(*moved, permutations=5, seed=1)
    for a, b in ((one.genes, other.genes), (one.patients, other.patients), (one.sections, other.sections)):
        same = [name for name in a if "permut" not in name]
        pd.testing.assert_frame_equal(a[same], b[same])
    again = evaluate_spots(predicted, measured, spots, permutations=5, seed=1)
    pd.testing.assert_frame_equal(one.genes, again.genes)


def test_consistent_patients_of_planted_genes():
    found = evaluate_spots(*_study(patients=12, sections=1), permutations=199, seed=2)
    genes = found.genes.set_index("gene")
    assert genes.loc["A", "consistent"] == 12 and genes.loc["B", "consistent"] == 0
    assert genes.loc["A", "p_binomial"] == 0.5**12 == genes.loc["A", "smallest_p"]
    assert genes.loc["A", "p_holm"] == pytest.approx(4 * 0.5**12) and genes.loc["B", "p_holm"] == 1
    assert genes.loc["A", "p_permutation"] == genes.loc["A", "p_permutation_r"] == pytest.approx(1 / 200)
    assert genes.loc["B", "p_permutation"] == 1
    assert genes["median_r_permuted"].abs().max() < 0.03
    assert found.summary["n_holm"] == found.summary["n_benjamini_hochberg"] == found.summary["n_bonferroni"] == 1
    assert found.curve["observed"].iloc[-1] == 1 and found.summary["note"] == ""


def test_two_patients_can_prove_nothing_and_it_is_said():
    found = evaluate_spots(*_study(patients=2), permutations=9, seed=2)
    assert found.genes.set_index("gene").loc["A", "p_binomial"] == 0.25
    assert found.summary["note"].startswith("No gene can be significant: with 2 patients the smallest p that")
    assert "can give is 0.25, before any correction" in found.summary["note"]
    found = evaluate_spots(*_study(patients=6), permutations=9, seed=2)  # 4 genes × 1/64 > .05
    assert found.summary["note"].startswith("No gene can be significant by Holm or Bonferroni over 4 genes")


def test_genes_that_some_folds_did_not_choose_have_fewer_patients():
    predicted, measured, spots = _study()
    predicted.loc[spots["patient"] == "p1", "A"] = np.nan
    predicted["D"] = np.nan
    predicted.loc[spots["patient"] == "p2", "C"] = -9.0  # a constant prediction
    found = evaluate_spots(predicted, measured, spots, permutations=9, seed=1)
    genes = found.genes.set_index("gene")
    assert genes["n_patients"].tolist() == [3, 4, 3, 0]
    assert genes["n_spots"].tolist() == [6 * 64, 8 * 64, 8 * 64, 0]
    assert genes.loc["D", ["p_binomial", "p_holm", "fdr_bh"]].tolist() == [1, 1, 1]
    assert np.isnan(genes.loc["D", ["median_r", "rmse", "p_permutation", "median_r_permuted"]].astype(float)).all()
    assert found.summary["n_genes_without_r"] == 1
    assert set(found.patients.loc[found.patients["gene"] == "A", "patient"]) == {"p0", "p2", "p3"}
    # What is missing of one gene changes nothing of another.
    whole = evaluate_spots(*_study(), permutations=9, seed=1)
    same = ["median_r", "median_r_smooth", "median_auroc", "p_permutation", "median_r_permuted"]
    pd.testing.assert_series_equal(genes.loc["B", same], whole.genes.set_index("gene").loc["B", same])
    mask = ~spots["patient"].eq("p1").to_numpy()
    without = evaluate_subset(predicted, measured, spots, mask=mask, permutations=9, seed=1)
    assert without.genes.set_index("gene").loc["A", "median_r"] == genes.loc["A", "median_r"]


def test_the_null_keeps_what_sections_differ_by():
    """Two sections whose means differ in both: r over the patient is high with the spots shuffled; in each it is 0."""
    predicted, measured, spots = _study(patients=3)
    shift = np.where(spots["slide"].str.endswith("_1"), 3.0, 0.0)
    predicted["C"] += shift
    measured["C"] += shift
    found = evaluate_spots(predicted, measured, spots, permutations=99, seed=3)
    gene = found.genes.set_index("gene").loc["C"]
    assert gene["median_r"] > 0.5 and abs(gene["median_r_sections"]) < 0.2
    assert gene["consistent"] == 3 and gene["p_permutation"] == 1
    # Var = 1 + 9/4 within and between, covariance 9/4.
    assert gene["median_r_permuted"] == pytest.approx(2.25 / 3.25, abs=0.06)
    assert found.sections["r_permuted"].abs().max() < 0.5  # that of A's own r is .7
    assert found.sections["r_permuted"].std() == pytest.approx(1 / np.sqrt(63), rel=0.4)


def test_the_null_of_consistent_patients_is_binomial_where_nothing_is_shared():
    rng = np.random.default_rng(4)
    predicted, measured = rng.normal(size=(2, 5 * 40, 60))
    patient = np.repeat(np.arange(5), 40)
    parts = blocks(predicted, measured, patient=patient, section=patient)
    pairs = [(predicted[patient == number], measured[patient == number]) for number in range(5)]
    r = np.array([[stats.pearsonr(x[:, gene], y[:, gene]).statistic for gene in range(60)] for x, y in pairs])
    null = shuffle(parts, r, permutations=400, rng=rng)
    curve = null_curve(r, null)
    np.testing.assert_allclose(curve["binomial"], 60 * stats.binom.sf(np.arange(6) - 1, 5, 0.5))
    np.testing.assert_allclose(curve["null_mean"], curve["binomial"], atol=1)
    assert (curve["null_low"] <= curve["null_mean"]).all() and (curve["null_mean"] <= curve["null_high"]).all()
    assert (curve["observed"].diff().dropna() <= 0).all() and curve["observed"][0] == 60
    # p of the median r is uniform under the null.
    assert stats.kstest(null.p_r, "uniform").pvalue > 0.01
    assert null.p_r.min() >= 1 / 401
    # One shuffle's r is that of SciPy on the values that changed places.
    keys = rng.random(200)
    order = np.argsort(keys[:40])
    got = parts[0].shuffled(keys)
    assert got[7] == pytest.approx(stats.pearsonr(predicted[:40, 7], measured[:40, 7][order]).statistic)


def test_shuffles_move_all_genes_alike():
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(2, 30, 1))
    parts = blocks(np.tile(one, 3), np.tile(other, 3), patient=np.zeros(30, int), section=np.arange(30) // 10)
    got = parts[0].shuffled(rng.random(30))
    assert got[0] == got[1] == got[2]


def test_classes_are_evaluated_with_the_patients_that_have_them():
    predicted, measured, spots = _study()
    spots.loc[spots["patient"] == "p3", "annotation"] = "tumour"  # He 2020: two patients without normal tissue
    classes = {"healthy": ["normal"]}
    found = evaluate_classes(predicted, measured, spots, classes=classes, permutations=9, seed=1)["healthy"]
    assert set(found.genes["n_patients"]) == {3} and set(found.patients["patient"]) == {"p0", "p1", "p2"}
    own = (spots["annotation"] == "normal") & (spots["patient"] == "p0")
    line = found.patients.set_index(["gene", "patient"]).loc[("A", "p0")]
    assert line["r"] == pytest.approx(stats.pearsonr(predicted.loc[own, "A"], measured.loc[own, "A"]).statistic)
    with pytest.raises(InputError, match=r"annotations of the spots \(normal, tumour\), found 'tumor'; name them"):
        evaluate_classes(predicted, measured, spots, classes={"t": ["tumor"]}, permutations=9, seed=1)
    none = evaluate_subset(predicted, measured, spots, mask=np.zeros(len(spots), bool), permutations=9, seed=1)
    assert none.genes["p_holm"].tolist() == [1] * 4 and none.summary["n_patients"] == 0
    with pytest.raises(InputError, match="Expected a mask of 512 bools, found int64"):
        evaluate_subset(predicted, measured, spots, mask=np.zeros(512, int), permutations=9, seed=1)


def test_ways_are_compared_gene_by_gene():
    rng = np.random.default_rng(6)
    genes = [f"G{number}" for number in range(40)]
    r = rng.uniform(0, 0.3, 40)
    model = pd.DataFrame({"gene": genes, "median_r": r})
    nuclei = pd.DataFrame({"gene": genes[::-1], "median_r": (r - rng.normal(0.02, 0.03, 40))[::-1]})
    nuclei.loc[3, "median_r"] = np.nan
    wide, against = compare_ways({"model": model, "nuclei": nuclei, "same": model}, model="model")
    assert wide["gene"].tolist() == genes and wide["model"].tolist() == r.tolist()
    joined = wide.dropna()
    against = against.set_index("way")
    expected = stats.wilcoxon(joined["model"], joined["nuclei"])
    assert against.loc["nuclei", "p"] == pytest.approx(expected.pvalue) and against.loc["nuclei", "n_genes"] == 39
    assert against.loc["nuclei", "better"] == (joined["model"] > joined["nuclei"]).sum()
    assert "Wilcoxon" in against.loc["nuclei", "test"]
    assert against.loc["same", "reason"] == "no gene differs" and np.isnan(against.loc["same", "p"])
    with pytest.raises(InputError, match="Expected the model 'ours' among the ways model"):
        compare_ways({"model": model}, model="ours")
    with pytest.raises(InputError, match="a row per gene in the way 'model', found 'G0' twice"):
        compare_ways({"model": pd.concat([model, model])}, model="model")


def test_what_is_left_of_depth_is_reported():
    """ln((1 + c) / (n + Z)) with n far above Z hardly removes depth (B.16); ln of the share does."""
    rng = np.random.default_rng(8)
    _, _, spots = _study(patients=2, side=20)
    counts = rng.poisson(spots["total"].to_numpy()[:, None] * [0.02, 0.01])
    total = spots["total"].to_numpy()[:, None]
    table = pd.DataFrame(np.log((1 + counts) / (26_949 + total)), columns=["X", "Y"])
    table = table.assign(share=np.log((counts[:, 0] + 1) / total[:, 0]), flat=1.0)
    sections, genes = depth_report(table, spots)
    genes = genes.set_index("gene")
    assert genes.loc["X", "median_r_depth"] > 0.8 and abs(genes.loc["share", "median_r_depth"]) < 0.5
    each = sections[sections["gene"] == "share"]["r_depth"]
    assert len(each) == 4 and genes.loc["share", "shared"] == pytest.approx((each**2).median())
    assert genes.loc["share", ["lowest", "highest"]].tolist() == [each.min(), each.max()]
    assert genes.loc["flat", "n_sections"] == 0 and np.isnan(genes.loc["flat", "lowest"])
    own = spots["slide"] == "p1_0"
    line = sections.set_index(["gene", "slide"]).loc[("Y", "p1_0")]
    assert line["r_depth"] == pytest.approx(stats.pearsonr(table.loc[own, "Y"], np.log(spots.loc[own, "total"]))[0])
    table.loc[own & (spots["row"] == 0), "Y"] = np.nan
    own &= spots["row"] > 0
    line = depth_report(table, spots)[0].set_index(["gene", "slide"]).loc[("Y", "p1_0")]
    assert line["n_spots"] == own.sum()
    assert line["r_depth"] == pytest.approx(stats.pearsonr(table.loc[own, "Y"], np.log(spots.loc[own, "total"]))[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, m, s: (p, m, s.drop(columns="total")), "of the spots, found no total"),
        (lambda p, m, s: (p[["A", "B"]], m, s), "predicted and measured values, found C, D in one only"),
        (lambda p, m, s: (p[["B", "A", "C", "D"]], m, s), "values, found another order"),
        (lambda p, m, s: (p.iloc[:-1], m, s), "found 511, 512 and 512 rows"),
        (lambda p, m, s: (p, m, s.assign(slide="one")), "one patient of each section, found 4 of 1"),
        (lambda p, m, s: (p, m, s.assign(row=0)), "one spot at each place of a section's lattice, found two at row 0"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        evaluate_spots(*change(*_study()), permutations=9, seed=1)


def test_a_thousand_permutations_of_250_genes_in_3000_spots_take_seconds():
    rng = np.random.default_rng(9)
    names = [f"G{number}" for number in range(250)]
    _, _, spots = _study(patients=6, sections=5, side=10)
    predicted, measured = (pd.DataFrame(rng.normal(size=(3000, 250)), columns=names) for _ in range(2))
    start = time.process_time()
    evaluate_spots(predicted, measured, spots, permutations=1000, seed=1)
    assert time.process_time() - start < 60

"""What regions measure: over negative controls, in logarithms; probes of several genes; columns that hardly vary."""

import numpy as np
import pandas as pd
import pytest
from histocarta.errors import InputError
from histocarta.roi_values import hardly_varying, probe_members, read_roi_values, sum_probes


@pytest.fixture
def rois(tmp_path):
    """Three regions: counts of two genes and two negative controls."""
    table = pd.DataFrame({"slide": "s", "CD4": [8.0, 32, 4], "BCL2": [4.0, 4, 4], "N1": [1.0, 3, 1], "N2": [3.0, 5, 1]})
    path = tmp_path / "rois.parquet"
    table.to_parquet(path)
    return str(path)


def test_counts_are_divided_by_the_controls_mean_and_logged(rois):
    """By hand: means 2, 4 and 1, so CD4 is 4, 8 and 4 times and BCL2 2, 1 and 4 times the background."""
    found = read_roi_values(rois, columns=["CD4", "BCL2"], negatives=["N1", "N2"])
    assert found.to_numpy().tolist() == [[2, 1], [3, 0], [2, 2]]
    assert read_roi_values(rois, columns=["CD4"], negatives=[])["CD4"].tolist() == [8, 32, 4]


def test_what_has_no_logarithm_and_controls_that_are_not_there_are_errors(rois):
    with pytest.raises(InputError, match=r"Expected the columns N9 \(roi_values\) in .*rois\.parquet, found"):
        read_roi_values(rois, columns=["CD4"], negatives=["N9"])
    pd.read_parquet(rois).assign(CD4=[8.0, 0, 4]).to_parquet(rois)
    with pytest.raises(InputError, match=r"Expected counts above 0 in .*, found 0 in row 2 as CD4; add a pseudocount"):
        read_roi_values(rois, columns=["CD4"], negatives=["N1"])
    assert len(read_roi_values(rois, columns=["CD4"], negatives=["N1"], rows=[0, 2])) == 2  # the second is on no tile


def test_a_probe_of_several_genes_is_their_sum_on_the_scale_that_is_chosen():
    """By hand: log2 3 and 5 are 3 and 5 counts of 2^3 and 2^5; their sum is 40, that of the logarithms 8."""
    predicted = pd.DataFrame({"KRT7": [3.0, 0.0], "KRT18": [5.0, 0.0], "CD4": [9.0, 9.0]})
    sums = {"multi-KRT": ["KRT7", "KRT18", "KRT99"], "pan-melanocyte": ["SOX10"]}
    assert sum_probes(predicted, sums=sums, probe_sum="log")["multi-KRT"].tolist() == [8.0, 0.0]
    linear = sum_probes(predicted, sums=sums, probe_sum="linear")
    assert list(linear) == ["multi-KRT"] and linear["multi-KRT"].tolist() == pytest.approx([np.log2(40), 1.0])


def test_columns_that_hardly_vary_are_named():
    values = pd.DataFrame({"CCL5": [1.0, 1.01, 1.0], "CD4": [1.0, 2.0, 3.0]})
    found = hardly_varying(values, min_variance=0.001)
    assert found.tolist() == ["varies by 3.33e-05 between the regions, need 0.001", ""]
    assert hardly_varying(values, min_variance=0.0).tolist() == ["", ""]


def test_a_probes_genes_are_found_by_their_symbols():
    sums = {"multi-KRT": ["KRT18", "KRT7|3855", "KRT99"], "pan": ["SOX10"]}
    found = probe_members(sums, columns=["multi-KRT", "pan", "CD4"], genes=["KRT18|3875", "KRT7", "CD4"])
    assert found == {"multi-KRT": ["KRT18|3875", "KRT7"], "pan": []}
    with pytest.raises(InputError, match=r"Expected the probes of roi_values among the columns .* found no pan"):
        probe_members(sums, columns=["multi-KRT"], genes=[])

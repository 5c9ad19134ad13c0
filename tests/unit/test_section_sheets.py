"""The sheet of sections: what it may say, and which files a section is read from."""

import pytest
import section_kit
from histocarta.errors import InputError
from histocarta.section_sheets import COLUMNS, read_sections, section_files, section_row


def sheet(folder, *rows, header="slide\tcounts\tspots"):
    path = folder / "sections.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.fixture
def files(tmp_path):
    table = section_kit.lattice(hexagonal=True).head(4)
    section_kit.write_visium(tmp_path / "v", table, section_kit.counts_of(table), h5=False, header=True)
    for name in ("c.tsv.gz", "s.tsv", "a.tsv", "x.h5ad"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_all_columns_are_there_and_blank_where_nothing_is_said(files):
    found = read_sections(sheet(files, f"s1\t{files}/c.tsv.gz\t{files}/s.tsv", f"s2\t{files}/v\tNA"))
    assert list(found.columns) == list(COLUMNS)
    assert section_row(found, slide="s2") == {
        "counts": f"{files}/v", "spots": "", "lattice": "", "pitch_um": "", "diameter_um": "", "annotation": "",
    }  # fmt: skip


def test_the_files_of_a_section_are_those_that_it_is_read_from(files):
    table = {
        "s1": f"s1\t{files}/c.tsv.gz\t{files}/s.tsv\t{files}/a.tsv",
        "s2": f"s2\t{files}/v\t\tregion",
        "s3": f"s3\t{files}/x.h5ad\t\t",
    }
    found = read_sections(sheet(files, *table.values(), header="slide\tcounts\tspots\tannotation"))
    paths = {slide: section_files(section_row(found, slide=slide)) for slide in table}
    inner, spatial = f"{files}/v/filtered_feature_bc_matrix", f"{files}/v/spatial"
    assert paths["s1"] == [f"{files}/c.tsv.gz", f"{files}/s.tsv", f"{files}/a.tsv"]
    assert paths["s2"] == [
        f"{inner}/matrix.mtx.gz", f"{inner}/barcodes.tsv.gz", f"{inner}/features.tsv.gz",
        f"{spatial}/tissue_positions.csv", f"{spatial}/scalefactors_json.json",
    ]  # fmt: skip
    assert paths["s3"] == [f"{files}/x.h5ad"]


def test_an_unknown_column_is_named_with_the_nearest(files):
    path = sheet(files, "s1\tc\ts\t200", header="slide\tcounts\tspots\tpitch")
    with pytest.raises(InputError, match=r"Expected the columns slide, .*found 'pitch'; nearest: pitch_um; rename"):
        read_sections(path)


def test_all_faults_of_a_sheet_come_in_one_message(files):
    path = sheet(
        files,
        f"s 1\t{files}/v\t\t\t",
        f"s2\t{files}/v\t\thexagon\t-3",
        f"s3\t{files}/c.tsv.gz\t\t\t",
        f"s4\t{files}/absent.h5ad\t\t\t",
        f"s5\t{files}/v\tspots.tsv\t\t0,5",
        f"s3\t{files}/c.tsv.gz\t{files}/none.tsv\t\t",
        header="slide\tcounts\tspots\tlattice\tpitch_um",
    )
    with pytest.raises(InputError) as caught:
        read_sections(path)
    message = str(caught.value)
    for part in (
        "8 problem(s)",
        "line 2, column slide: expected letters, digits, . _ - only, found 's 1'",
        "line 3, column lattice: expected square or hexagonal, found 'hexagon'; nearest: hexagonal",
        "line 3, column pitch_um: expected micrometres above 0, found '-3'",
        "line 4, column spots: expected the file with the spots' positions",
        f"line 5, column counts: expected a file or folder, found nothing at {files}/absent.h5ad",
        "line 6, column pitch_um: expected micrometres above 0, found '0,5'; write decimals with a point",
        f"line 7, column spots: found no file {files}/none.tsv",
        "lines 4, 7, column slide: 's3' stands more than once",
    ):
        assert part in message


def test_positions_beside_a_folder_that_has_its_own_are_refused(files):
    with pytest.raises(InputError, match=r"column spots: expected a blank, found 's.tsv'; the positions are in"):
        read_sections(sheet(files, f"s1\t{files}/v\ts.tsv"))


def test_files_that_will_be_made_are_not_looked_for(files):
    path = sheet(files, "s1\tmade/c.tsv\tmade/s.tsv")
    assert len(read_sections(path, check_files=False)) == 1
    with pytest.raises(InputError, match=r"found nothing at made/c.tsv"):
        read_sections(path)


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        (
            "filtered_feature_bc_matrix/features.tsv.gz",
            r"Expected filtered_feature_bc_matrix.h5 or .* calls outs",
        ),
        (
            "spatial/tissue_positions.csv",
            r"Expected spatial/scalefactors_json.* found scalefactors_json.json;",
        ),
    ],
)
def test_a_visium_folder_that_lacks_a_file_says_which(files, missing, message):
    (files / "v" / missing).unlink()
    with pytest.raises(InputError, match=message):
        read_sections(sheet(files, f"s1\t{files}/v\t"))


def test_a_slide_without_a_section_is_named_with_the_nearest(files):
    found = read_sections(sheet(files, f"BC1_A\t{files}/v\t"))
    with pytest.raises(InputError, match=r"Expected a row for slide 'BC1_B' .* found 1 other slides; nearest: BC1_A"):
        section_row(found, slide="BC1_B")

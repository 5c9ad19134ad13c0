"""Tables as users bring them and no run can use: each stops it before its first job, with one exact message."""

import copy
import gzip
import io

import pandas as pd
import pytest
import yaml
from histocarta.config import read_study_file
from histocarta.errors import InputError
from histocarta.preflight import check_tables
from histocarta.sheets import read_cohort_slides, read_traits

UUID = "0000000{}-0000-4000-8000-000000000000"
MANIFEST = "".join(
    f"{UUID.format(n)}\tTCGA-A1-000{n}-01Z-00-DX1.AB{n}.svs\t{n}{'0' * 31}\t100{n}\tvalidated\n" for n in (1, 2, 3)
)
GOOD = {
    "slides.tsv": "slide\tpatient\tfile\nS1\tP1\ta.svs\nS2\tP2\tb.svs\nS3\tP3\tc.svs\n",
    "manifest.txt": f"id\tfilename\tmd5\tsize\tstate\n{MANIFEST}",
    "expression.tsv": "gene\tP1\tP2\tP3\nERBB2\t1.5\t2.5\t3.5\nFASN\t4\t5\t6\n",
    "clinical.tsv": "patient\ttime\tevent\nP1\t10\t1\nP2\t20\t0\nP3\t30\t1\n",
    "traits.tsv": "trait\nERBB2\nFASN\n",
}
STUDY = {
    "study": "bad",
    "cohorts": {
        "bad": {"slides": "slides.tsv", "expression": [{"path": "expression.tsv"}], "clinical": "clinical.tsv"}
    },
    "layouts": {"grid": {}},
    "splits": {"halves": {"test": 0.2, "validation": 0.2, "rounds": 3}},
    "tasks": {"extremes": {"layout": "grid", "scheme": "halves", "traits": "traits.tsv"}},
}
MATRIX = pd.DataFrame({"P1": [1.0, 2.0], "P2": [3.0, 4.0], "P3": [5.0, 6.0]}, index=["ERBB2", "FASN"])


def changed(file, old, new):
    assert old in GOOD[file]
    return {file: GOOD[file].replace(old, new, 1)}


def with_column(file, name, value):
    """The table with a further column that says something on its second row (line 3) alone."""
    head, *rows = GOOD[file].splitlines()
    return {file: "\n".join([f"{head}\t{name}", *(f"{row}\t{value if n == 1 else ''}" for n, row in enumerate(rows))])}


def parquet(frame):
    packed = io.BytesIO()
    frame.to_parquet(packed)
    return {"expression.parquet": packed.getvalue()}


# Settings of the cohort, then tables in place of the good ones and what is said of them.
BAD = [
    (
        {},
        [
            ({"slides.tsv": None}, "Expected the table slides.tsv, found no such file; check the path in the config"),
            ({"slides.tsv": ""}, "Expected a header line in slides.tsv, found an empty file"),
            ({"slides.tsv": "slide\tpatient\tfile\n"}, "Expected rows below the header of slides.tsv, found none"),
            (
                {"slides.tsv": GOOD["slides.tsv"].encode("utf-16")},
                "Expected UTF-8 text, found UTF-16 in slides.tsv; save it as UTF-8",
            ),
            (
                {"slides.tsv": GOOD["slides.tsv"].replace("P2", "Pé").encode("latin-1")},
                "Expected UTF-8 text, found other bytes in slides.tsv, line 3; save it as UTF-8",
            ),
            (
                {"slides.tsv": GOOD["slides.tsv"].replace("\t", ";")},
                "Expected tabs or commas in slides.tsv, line 1, found semicolons; save it as TSV",
            ),
            (
                {"slides.tsv": gzip.compress(GOOD["slides.tsv"].encode())[:-10]},
                "Expected a whole gzip file, found a damaged one: slides.tsv; fetch it again",
            ),
            (
                {"slides.tsv": b"\0" * 100},
                "Expected a table in slides.tsv, found bytes that are no text in line 1; fetch it again",
            ),
            (
                {"slides.tsv": "<!DOCTYPE html>\n<title>404</title>\n"},
                "Expected a table in slides.tsv, found a web page in line 1; fetch it again",
            ),
            (
                changed("slides.tsv", "P2\tb.svs", "P2"),
                "Expected 3 cells as in the header, found 2 in slides.tsv, line 3",
            ),
            (
                changed("slides.tsv", "file\n", "slide\n"),
                "Expected every column once in slides.tsv, line 1, found twice: slide",
            ),
            (
                changed("slides.tsv", "patient", "pateint"),
                "Expected the column(s) patient in slides.tsv, found: slide, pateint, file",
            ),
            (
                changed("slides.tsv", "file\n", "\n"),
                "Expected a name for column 3 of slides.tsv, line 1, found a blank",
            ),
            (
                changed("slides.tsv", "S2", "S1"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  lines 2, 3, column slide: 'S1' stands more than once",
            ),
            (
                changed("slides.tsv", "S2", "../S2"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column slide: expected letters, digits, . _ - only, found '../S2'",
            ),
            (
                changed("slides.tsv", "P2", ""),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column patient: expected letters, digits, . _ - only, found ''",
            ),
            (
                changed("slides.tsv", "P2", "P 2"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column patient: expected letters, digits, . _ - only, found 'P 2'",
            ),
            (
                changed("slides.tsv", "b.svs", ""),
                "Expected valid slides in slides.tsv; 1 problem(s):\n  line 3, column file: expected a path, found ''",
            ),
            (
                changed("slides.tsv", "b.svs", "b\0.svs"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column file: expected a path, found 'b\\x00.svs'",
            ),
            (
                changed("slides.tsv", "b.svs", "{x}.svs"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column file: expected a path without { and }, found '{x}.svs'; rename the file",
            ),
            (
                with_column("slides.tsv", "mpp", "half"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column mpp: expected 0.1-2 um/px, found 'half'",
            ),
            (
                with_column("slides.tsv", "mpp", "0,5"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column mpp: expected 0.1-2 um/px, found '0,5'; write decimals with a point",
            ),
            (
                with_column("slides.tsv", "mpp", "25"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column mpp: expected 0.1-2 um/px, found '25'",
            ),
            (
                with_column("slides.tsv", "region", "0,0,100"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column region: expected x,y,width,height in level-0 px, found '0,0,100'",
            ),
            (
                with_column("slides.tsv", "region", "0,0,-5,100"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column width: expected a whole number of level-0 px above 0, found '-5'",
            ),
            (
                with_column("slides.tsv", "x", "5"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, columns x, y, width, height: expected all four or none, found only x",
            ),
            (
                with_column("slides.tsv", "reason", "pen"),
                "Expected the column exclude (yes or no) beside the column reason in slides.tsv, found reason "
                "alone; add it, or give reason another name",
            ),
            (
                with_column("slides.tsv", "sample_type", "1"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column sample_type: expected two digits such as 01, found '1'",
            ),
            (
                with_column("slides.tsv", "dx", "DX1"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column dx: expected the number after DX, found 'DX1'",
            ),
            (
                changed("slides.tsv", "S2\tP2", "TCGA-A1-0001-01Z-00-DX1\tTCGA-A1-0002"),
                "Expected valid slides in slides.tsv; 1 problem(s):\n"
                "  line 3, column patient: expected TCGA-A1-0001 as in the slide's name, found 'TCGA-A1-0002'",
            ),
        ],
    ),
    (
        {"slides": None, "gdc_manifest": "manifest.txt", "slides_folder": "raw"},
        [
            (
                changed("manifest.txt", "md5", "MD5sum"),
                "Expected the column(s) md5 in manifest.txt, found: id, filename, MD5sum, size, state",
            ),
            (
                changed("manifest.txt", UUID.format(2), "2"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column id: expected a UUID, found '2'",
            ),
            (
                changed("manifest.txt", "TCGA-A1-0002", "../TCGA-A1-0002"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column filename: expected a plain file name, found "
                "'../TCGA-A1-0002-01Z-00-DX1.AB2.svs'",
            ),
            (
                changed("manifest.txt", "TCGA-A1-0002-01Z-00-DX1", "slide2"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column filename: expected a TCGA slide, found 'slide2.AB2.svs'; use slides.tsv for "
                "others",
            ),
            (
                changed("manifest.txt", f"2{'0' * 31}", f"2{'0' * 30}"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column md5: expected 32 hexadecimal digits, found '2000000000000000000000000000000'",
            ),
            (
                changed("manifest.txt", "1002", "big"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column size: expected a number of bytes, found 'big'",
            ),
            (
                changed("manifest.txt", "TCGA-A1-0002-01Z-00-DX1.AB2", "TCGA-A1-0001-01Z-00-DX1.AB1"),
                "Expected a GDC manifest of slides in manifest.txt; 1 problem(s):\n"
                "  line 3, column filename: slide 'TCGA-A1-0001-01Z-00-DX1' stands on line 2 already",
            ),
            (
                {"manifest.txt": GOOD["manifest.txt"][:150]},
                "Expected 5 cells as in the header, found 1 in manifest.txt, line 3",
            ),
        ],
    ),
    (
        {},
        [
            (
                {"expression.tsv": None},
                "Expected the table expression.tsv, found no such file; check the path in the config",
            ),
            ({"expression.tsv": "gene\tP1\n"}, "Expected rows below the header of expression.tsv, found none"),
            (
                {"expression.tsv": "sample\tERBB2\tFASN\nP1\t1\t2\nP2\t3\t4\nP3\t5\t6\n"},
                "Expected samples on the declared axis of expression.tsv, found them on the other (such as "
                "'P1'); the table is transposed: change its orientation in the config",
            ),
            (
                changed("expression.tsv", "P2", "P1"),
                "Expected every column once in expression.tsv, line 1, found twice: P1",
            ),
            (
                changed("expression.tsv", "P2", ""),
                "Expected a name for column 3 of expression.tsv, line 1, found a blank",
            ),
            (
                changed("expression.tsv", "P1\tP2\tP3", "Q1\tQ2\tQ3"),
                "Expected slides and expression of the same patients, found no patient of a slide in "
                "expression.tsv: slides are of patients such as 'P1', samples are named like 'Q1'",
            ),
            (
                changed("expression.tsv", "FASN", "ERBB2"),
                "Expected every trait once in expression.tsv, found 'ERBB2' in line 2 and line 3 (1 such "
                "name(s)); mend the file or set duplicates to mean, max or first",
            ),
            (
                changed("expression.tsv", "2.5", "high"),
                "Expected a number in expression.tsv, line 2, column 'P2', found 'high'",
            ),
            (
                changed("expression.tsv", "2.5", "2,5"),
                "Expected a number in expression.tsv, line 2, column 'P2', found '2,5'; write decimals with a point",
            ),
            (
                changed("expression.tsv", "2.5", "1_0"),
                "Expected a number in expression.tsv, line 2, column 'P2', found '1_0'",
            ),
            (
                changed("expression.tsv", "2.5", "inf"),
                "Expected finite numbers in expression.tsv, found inf for 'ERBB2' in 'P2'",
            ),
            (
                changed("expression.tsv", "\t2.5", ""),
                "Expected 4 cells as in the header, found 3 in expression.tsv, line 2",
            ),
        ],
    ),
    (
        {"expression": [{"path": "expression.xlsx"}]},
        [
            (
                {"expression.xlsx": b"PK"},
                "Expected a text table, found the spreadsheet expression.xlsx; save the sheet as tab-separated text",
            ),
        ],
    ),
    (
        {"expression": [{"path": "expression.tsv", "scale": "raw"}]},
        [
            (
                changed("expression.tsv", "2.5", "-2.5"),
                "Expected raw values in expression.tsv, found values from -2.5 to 6, 16.67% negative, a typical "
                "trait's mean 2.6 sd from 0 (at most 1% of raw values are negative); state the true scale in the "
                "config",
            ),
        ],
    ),
    (
        {"expression": [{"path": "expression.tsv"}, {"path": "second.tsv"}]},
        [
            (
                {"second.tsv": GOOD["expression.tsv"].replace("ERBB2", "MKI67")},
                "Expected every trait in one expression table, found 'FASN' in expression.tsv and in second.tsv "
                "(1 such name(s)); leave it out of one",
            ),
        ],
    ),
    (
        {"expression": [{"path": "expression.tsv.gz"}]},
        [
            (
                {"expression.tsv.gz": gzip.compress(GOOD["expression.tsv"].encode())[:-12]},
                "Expected a whole gzip file, found a damaged one: expression.tsv.gz; fetch it again",
            ),
        ],
    ),
    (
        {"expression": [{"path": "expression.parquet"}]},
        [
            (
                {"expression.parquet": b"PAR1"},
                "Expected a whole Parquet file, found a damaged one: expression.parquet; fetch it again (Could "
                "not open Parquet input source '<Buffer>': Parquet file size is 4 bytes, smaller than the "
                "minimum file footer (8 bytes))",
            ),
            (parquet(MATRIX.astype(str)), "Expected numbers in expression.parquet, found another type in column 'P1'"),
            (
                parquet(MATRIX.reset_index(drop=True)),
                "Expected names in the index or the first column of expression.parquet, found numbers in column "
                "'P1'; write it with its index",
            ),
        ],
    ),
    (
        {},
        [
            (
                {"clinical.tsv": None},
                "Expected the table clinical.tsv, found no such file; check the path in the config",
            ),
            (
                changed("clinical.tsv", "20\t0", "20\tDeceasd"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column event: B-STATUS 'Deceasd'; nearest: DECEASED (event columns know 1:DECEASED, "
                "DECEASED, Dead, died, event, yes, TRUE, 1, 0:LIVING, LIVING, Alive, censored, no, FALSE, 0)",
            ),
            (
                changed("clinical.tsv", "20\t0", "20\t2"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column event: B-STATUS '2' (event columns know 1:DECEASED, DECEASED, Dead, died, "
                "event, yes, TRUE, 1, 0:LIVING, LIVING, Alive, censored, no, FALSE, 0)",
            ),
            (
                changed("clinical.tsv", "event", "evnt"),
                "Expected columns for event in clinical.tsv (event: event, os_status, overall_survival_status, "
                "vital_status), found: patient, time, evnt",
            ),
            (
                changed("clinical.tsv", "time", "OS_DAYS"),
                "Expected times in months (time_unit in the config), found the column 'OS_DAYS' in clinical.tsv",
            ),
            (
                changed("clinical.tsv", "20\t0", "soon\t0"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column time: expected a number, found 'soon'",
            ),
            (
                changed("clinical.tsv", "20\t0", "20,5\t0"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column time: expected a number, found '20,5'; write decimals with a point",
            ),
            (
                changed("clinical.tsv", "20\t0", "inf\t0"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column time: expected a number, found 'inf'",
            ),
            (
                changed("clinical.tsv", "20\t0", "20"),
                "Expected 3 cells as in the header, found 2 in clinical.tsv, line 3",
            ),
            (
                changed("clinical.tsv", "P2", "P1"),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  lines 2 and 3: patient 'P1' with different times or events",
            ),
            (
                changed("clinical.tsv", "P2", ""),
                "Expected a clinical sheet in clinical.tsv; 1 problem(s):\n"
                "  line 3, column patient: expected an id, found a blank",
            ),
            (
                with_column("clinical.tsv", "censorship", "1"),
                "Expected either an event or a censorship column in clinical.tsv, found both; remove one",
            ),
            (
                {"clinical.tsv": GOOD["clinical.tsv"].replace("\t1\n", "\t0\n")},
                "Expected at least one event (death) in clinical.tsv, column 'event', found none among 3 patients",
            ),
            (
                {"clinical.tsv": GOOD["clinical.tsv"].replace("P", "Q")},
                "Expected slides and survival of the same patients, found no patient of a slide in clinical.tsv: "
                "slides are of patients such as 'P1', the sheet has 'Q1'",
            ),
            (
                {"clinical.tsv": "patient\tP1\tP2\ntime\t1\t2\nevent\t1\t0\n"},
                "Expected columns for time, event in clinical.tsv (time: time, os_months, "
                "overall_survival_months, survival_months, os_days, os_time; event: event, os_status, "
                "overall_survival_status, vital_status), found: patient, P1, P2",
            ),
        ],
    ),
    (
        {},
        [
            ({"traits.tsv": None}, "Expected the table traits.tsv, found no such file; check the path in the config"),
            ({"traits.tsv": ""}, "Expected a header line in traits.tsv, found an empty file"),
            ({"traits.tsv": "trait\n"}, "Expected rows below the header of traits.tsv, found none"),
            (
                {"traits.tsv": "gene\tname\nERBB2\tHER2\n"},
                "Expected the column(s) trait in traits.tsv, found: gene, name",
            ),
            (
                changed("traits.tsv", "FASN", "ERBB2"),
                "Expected trait names, each once, in traits.tsv; 1 problem(s):\n"
                "  line 3: 'ERBB2' stands on line 2 already",
            ),
            (
                changed("traits.tsv", "FASN", "$(touch hacked)"),
                "Expected trait names, each once, in traits.tsv; 1 problem(s):\n"
                "  line 3: '$(touch hacked)' (expected letters, digits, . _ | @ -)",
            ),
            (
                changed("traits.tsv", "FASN", "../FASN"),
                "Expected trait names, each once, in traits.tsv; 1 problem(s):\n"
                "  line 3: '../FASN' (expected letters, digits, . _ | @ -)",
            ),
            (
                changed("traits.tsv", "FASN", "ERBB2+FASN"),
                "Expected trait names, each once, in traits.tsv; 1 problem(s):\n"
                "  line 3: 'ERBB2+FASN' (expected letters, digits, . _ | @ -)",
            ),
        ],
    ),
]


CASES = [(settings, files, message) for settings, bad in BAD for files, message in bad]


def stopped(folder, *, settings, files):
    """What stops the study whose tables are good but for ``files``: what Snakemake reads, and checks as it starts."""
    study = copy.deepcopy(STUDY)
    study["cohorts"]["bad"] |= settings
    for name, content in {**GOOD, "study.yaml": yaml.safe_dump(study), **files}.items():
        if content is not None:
            (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    try:
        read = read_study_file("study.yaml")
        for cohort in read.cohorts.values():
            read_cohort_slides(cohort.model_dump())
        for task in read.tasks.values():
            read_traits(task.traits)
        check_tables(read)
    except InputError as error:
        return str(error)
    return ""


def test_the_study_is_good_but_for_the_table(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert stopped(tmp_path, settings={}, files={}) == ""
    assert len(CASES) >= 60


@pytest.mark.parametrize(("settings", "files", "message"), CASES, ids=[message[-60:] for _, _, message in CASES])
def test_a_bad_table_stops_the_run_before_its_first_job(tmp_path, monkeypatch, settings, files, message):
    monkeypatch.chdir(tmp_path)
    found = stopped(tmp_path, settings=settings, files=files)
    assert found == message
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        {"study.yaml", *GOOD, *files} - {name for name, content in files.items() if content is None}
    )

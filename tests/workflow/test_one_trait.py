"""The whole workflow on fifteen small synthetic slides with hostile names, and what happens when it is asked again."""

import csv
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
import yaml
from histocarta.files import read_json, read_table
from histocarta.simulate import UNUSABLE
from workflow_kit import FLAT, ROOT, STUDY, jobs, simulate_study, snakemake

# Usable ones: five of each class train and validate, two test. One of them has two slides; on top come two patients
# whose slides cannot be used (one is empty, one has no resolution), and a slide of the third patient that is not there.
PATIENTS = 12
ABSENT = "P003-9"
# What a shell, a browser or a spreadsheet would act on. A file name cannot hold a slash, nor a sheet's cell a tab.
COMMANDS = [
    "a;touch PWNED;",
    "$(touch PWNED)",
    "`touch PWNED`",
    "a|touch PWNED",
    "a&&touch PWNED",
    "a >PWNED",
    "'a\"b",
    "-rf",
]
COMMANDS += ["*", "~", "#a b", "=cmd()", "%2e%2e"]
PAGE = """"><img src=x onerror=alert(1)><script>alert(2)</script>"""


class Elements(HTMLParser):
    """Collects a page's tags and the attributes that run code."""

    def __init__(self):
        super().__init__()
        self.tags, self.active = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.active += [name for name, value in attrs if name.startswith("on") or "javascript:" in (value or "")]


def write_rows(path, rows):
    with path.open("w", newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows(rows)


def make_hostile(folder):
    """Give slides names that are commands, and a slide, columns, values and a gene more that are pages."""
    data = folder / "data"
    sheet = read_table(data / "slides.tsv")
    for row, name in enumerate(COMMANDS):
        (folder / sheet.loc[row, "file"]).rename(data / "slides" / f"{name}.svs")
        sheet.loc[row, "file"] = f"data/slides/{name}.svs"
    sheet[["exclude", "reason", PAGE]] = ["no", "", PAGE]
    sheet.loc[len(sheet)] = [ABSENT, "P003", f"data/slides/{ABSENT}.svs", "no", "", ""]
    sheet.loc[len(sheet)] = ["P004-9", "P004", "../../etc/passwd", "yes", PAGE, PAGE]
    write_rows(data / "slides.tsv", [sheet.columns, *sheet.to_numpy()])
    for name, cells in (("expression.tsv", [PAGE, "1"]), ("clinical.tsv", None)):
        rows = [line.split("\t") for line in (data / name).read_text().splitlines()]
        rows = [*rows, cells[:1] + cells[1:] * (len(rows[0]) - 1)] if cells else [[*row, PAGE] for row in rows]
        write_rows(data / name, rows)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a study that ran to its report."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "study.yaml").write_text(yaml.safe_dump(simulate_study(folder, patients=PATIENTS)))
    make_hostile(folder)
    code, text = snakemake(folder)
    assert code == 0, text[-10000:]
    return folder


def test_the_report_opens_offline(finished):
    page = (finished / "results" / "tiny" / "report.html").read_text(encoding="utf-8")
    titles = re.findall(r"<h2[^>]*>(.*?)</h2>", page)
    for part in ("Cohort", "Slides and tiles", "Performance", "Learning", "Cartographies", "Heterogeneity", "Survival"):
        assert [title for title in titles if title.startswith(part)], part
    pictures = re.findall(r"""<img[^>]* src=["']?([^"'>]{16})""", page)
    assert len(pictures) >= 12 and all(source.startswith("data:image/") for source in pictures)
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", page)


def test_hostile_names_run_nothing_and_are_text_in_the_report(finished):
    written = [path.relative_to(finished).parts[0] for path in finished.rglob("*")]
    assert set(written) == {"study.yaml", "data", "results", "state", ".snakemake"}
    assert not list(finished.rglob("PWNED")) and not list(ROOT.glob("PWNED"))
    page = Elements()
    words = (finished / "results" / "tiny" / "report.html").read_text(encoding="utf-8")
    page.feed(words)
    assert "&lt;script&gt;alert(2)" in words
    assert page.active == [] and not {"script", "iframe", "object", "embed", "form"} & set(page.tags)


def test_a_trait_that_was_left_out_opens_the_performance_section(finished):
    page = (finished / "results" / "tiny" / "report.html").read_text(encoding="utf-8")
    section = page[page.index("<h2>Performance") : page.index("<h2>Learning")]
    assert "1 of 3 traits was left out" in section
    record = read_json(finished / "results" / "tiny" / "traits" / FLAT / "extremes" / "consensus" / "metrics.json")
    places = [section.index(text) for text in (FLAT, record["reason"], "AUC per trait", "<img")]
    assert places == sorted(places)


def test_every_result_has_its_place(finished):
    results = finished / "results" / "tiny"
    for trait in ("A", "B", FLAT):
        metrics = read_json(results / "traits" / trait / "extremes" / "consensus" / "metrics.json")
        assert (metrics["trait"], metrics["status"]) == (trait, "excluded" if trait == FLAT else "ok")
        models = sorted((results / "traits" / trait / "extremes").glob("round-*/model.keras"))
        assert [path.parent.name for path in models] == ["round-1", "round-2"]
    table = read_table(results / "tables" / "extremes.tsv").set_index("trait")
    assert set(table.index) == {"A", "B", FLAT}
    assert table.loc[FLAT, "status"] == "excluded"
    heterogeneity = read_table(results / "heterogeneity" / "extremes" / "A+B" / "hti.tsv")
    assert set(heterogeneity["slide"]) == set(usable(finished))
    defined = heterogeneity[heterogeneity["hti_low"] != ""]
    assert len(defined) and (defined["hti_low"].astype(float) <= defined["hti"].astype(float)).all()
    spots = read_json(results / "traits" / "A" / "extremes" / "consensus" / "spots.json")
    assert {row["part"] for row in spots["sections"]} >= {"all"} and all(
        row["n_spots"] > 20 for row in spots["sections"]
    )
    assert not list((finished / "state").glob("*/*/*/round-*")), "checkpoints of finished rounds are cleared"
    logs = list((results / "logs").rglob("*.log"))
    assert len(logs) >= 2 * len(read_table(finished / "data" / "slides.tsv")) + 3 * 5


def usable(folder):
    """Slides that the generator made fit for use."""
    sheet = read_table(folder / "data" / "slides.tsv")
    patients = sorted(sheet["patient"].unique())
    return list(
        sheet.loc[~sheet["patient"].isin(patients[-len(UNUSABLE) :]) & ~sheet["slide"].str.endswith("-9"), "slide"]
    )


def test_the_ledger_adds_up(finished):
    """Checked against the generator: 17 slides of 14 patients came in, 2 patients and 4 slides cannot be used."""
    ledger = read_table(finished / "results" / "tiny" / "ledger.tsv").astype({"count": int})
    totals = ledger.pivot_table(
        index=["stage", "scope", "kind"], columns="outcome", values="count", aggfunc="sum", fill_value=0
    )
    # Before rows of zero go: networks this small may leave no slide with an HTI.
    indexed, analysed = (totals.loc[(stage, "extremes/A+B", "slide")] for stage in ("heterogeneity", "survival"))
    assert indexed["in"] == len(usable(finished)) and analysed["in"] == indexed["used"]
    totals = totals[totals["in"] > 0]
    assert len(totals) >= 5
    pd.testing.assert_series_equal(totals["in"], totals["used"] + totals["excluded"], check_names=False)
    assert totals.loc[("sheet", "", "slide"), "in"] == PATIENTS + 1 + len(UNUSABLE) + 2
    assert totals.loc[("tiles", "grid", "slide"), "used"] == len(usable(finished)) == PATIENTS + 1
    assert totals.loc[("tiles", "grid", "patient"), ["used", "excluded"]].tolist() == [PATIENTS, len(UNUSABLE)]
    assert totals.loc[("labels", "extremes", "trait"), ["used", "excluded"]].tolist() == [2, 1]
    assert totals.loc[("training", "extremes/A", "round"), ["used", "excluded"]].tolist() == [2, 0]
    absent = ledger[ledger["item"] == ABSENT].iloc[0]
    assert (absent["stage"], absent["code"], absent["outcome"]) == ("tiles", "S-ABSENT", "excluded")
    assert absent["reason"] == f"{ABSENT}: no such file; put it where the slide sheet says, or exclude it"
    tiles = read_table(finished / "results" / "tiny" / "grid" / "manifest.tsv")["n_tiles"].astype(int).sum()
    assert totals.loc[("tiles", "grid", "tile"), "used"] == tiles > 0


def test_a_second_run_does_nothing(finished):
    code, text = snakemake(finished)
    assert (code, jobs(text)) == (0, []), text
    assert "Nothing to be done" in text


def test_one_trait_again_runs_its_jobs_alone(finished):
    target = "results/tiny/traits/A/extremes/consensus/metrics.json"
    before = read_json(finished / target)
    (finished / target).unlink()
    code, text = snakemake(finished, target)
    assert code == 0, text
    assert jobs(text) == [("vote_extremes", {"cohort": "tiny", "trait": "A", "task": "extremes"})]
    assert read_json(finished / target) == before
    # The same seed gave the same bytes, so that nothing made from them is out of date.
    code, text = snakemake(finished)
    assert (code, jobs(text)) == (0, []), text


def test_a_trait_that_fails_is_named_and_the_next_run_mends_it(finished):
    labels, target = (finished / "results/tiny/traits/B/extremes" / name for name in ("labels.json", "labels.parquet"))
    whole = labels.read_bytes()
    labels.write_text("{")  # newer than what was made of it
    code, text = snakemake(finished)
    assert code == 1 and target.exists()
    record = read_json(finished / "results/tiny/run.json")
    (failure,) = record["failures"]
    assert (record["code"], failure["rule"], failure["log"]) == (
        3,
        "audit_leaks",
        "results/tiny/logs/audit_leaks/B/extremes.log",
    )
    assert f"failed: audit_leaks: {failure['message']}" in text
    labels.write_bytes(whole)
    code, text = snakemake(finished)
    assert code == 0, text
    assert read_json(finished / "results/tiny/run.json")["failures"] == []


def test_a_mistyped_key_ends_in_one_clear_line(tmp_path):
    study = STUDY | {"layouts": {"grid": {"size": 75, "stian": "none"}}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    code, text = snakemake(tmp_path)
    lines = [line for line in text.splitlines() if "stian" in line]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith("Expected one of the keys sites, size, mpp, stain, ")
    assert lines[0].endswith("found 'stian' in layouts.grid; nearest: stain")
    assert "Traceback (most recent call last)" not in text
    assert not (tmp_path / "results").exists()


def test_a_bad_table_ends_the_run_before_its_first_job(tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY))
    tables = {
        "slides.tsv": "slide\tpatient\tfile\nS1\tP1\tdata/S1.svs\n",
        "expression.tsv": "gene\tP1\nA\t1\n",
        "clinical.tsv": "patient\ttime\tevent\nP1\t10\tDeceasd\n",
        "spots.tsv": "",
        "S1.svs": "",
    }
    (tmp_path / "data").mkdir()
    for name, content in tables.items():
        (tmp_path / "data" / name).write_text(content)
    code, text = snakemake(tmp_path)
    assert code == 1
    assert "  line 2, column event: B-STATUS 'Deceasd'; nearest: DECEASED" in text
    assert jobs(text) == [] and "Traceback (most recent call last)" not in text
    assert not (tmp_path / "results").exists()

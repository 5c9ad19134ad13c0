"""Traits by variance within a panel: by hand, by np.var as in the released code, and from a study's own tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from histocarta.choose_traits import choose_traits, main
from histocarta.errors import InputError
from histocarta.files import read_table, write_table
from histocarta.sheets import read_traits


@pytest.fixture
def choose(tmp_path):
    """Chooses among the columns of a table; gives the sheet's rows."""

    def chosen(values, panel, highest):
        frame = pd.DataFrame(values).rename_axis("sample")
        write_table(frame, tmp_path / "e.parquet", index=True)
        output = tmp_path / "traits.tsv"
        choose_traits(expression=str(tmp_path / "e.parquet"), output=output, panel=panel, highest=highest)
        return read_table(output).astype({"variance": float}).to_numpy().tolist()

    return chosen


def test_population_variance_within_the_panel(choose, capsys):
    """((-2)² + 2²) / 2 = 4 and (1 + 1) / 2 = 1, ddof 0; C varies most but is not of the panel, LOST is not measured."""
    values = {"A|1": [0.0, 4.0], "B|2": [0.0, 2.0], "C|3": [0.0, 9.0], "D|4": [1.0, np.nan]}
    assert choose(values, ["B", "A", "D", "LOST"], 2) == [["A", 4.0], ["B", 1.0]]
    assert capsys.readouterr().err == "left out, not in the cohort's expression: LOST (1 of 4)\n"


def test_a_symbol_of_several_ids_is_for_the_user_to_settle(choose):
    with pytest.raises(InputError, match=r"one trait 'A' in the cohort's expression, found A\|1, A\|2; name one"):
        choose({"A|1": [0.0, 4.0], "A|2": [0.0, 2.0]}, ["A"], 1)
    assert choose({"A|1": [0.0, 4.0], "A|2": [0.0, 2.0]}, ["A|2"], 1) == [["A|2", 1.0]]


def test_the_order_is_that_of_np_var(choose):
    values = np.random.default_rng(0).normal(size=(30, 8)) * [3, 1, 4, 1.5, 9, 2.6, 5, 3.5]
    names = [f"G{n}" for n in range(8)]
    order = np.argsort(-np.var(values, axis=0))
    found = choose(dict(zip(names, values.T, strict=True)), names, 5)
    assert [name for name, _ in found] == [names[n] for n in order[:5]]
    assert [variance for _, variance in found] == pytest.approx(np.var(values, axis=0)[order[:5]], rel=1e-12)


def test_equal_traits_keep_the_panels_order(choose):
    values = {name: [0.0, spread] for name, spread in (("A", 2), ("B", 2), ("C", 1), ("D", 2))}
    assert [name for name, _ in choose(values, ["D", "C", "B", "A"], 2)] == ["D", "B"]
    assert [name for name, _ in choose(values, ["A", "B", "C", "D"], 3)] == ["A", "B", "D"]


def test_genes_are_found_under_their_names_of_other_years_and_never_measured_ones_are_none(choose):
    values = {"KNTC2|10403": [0.0, 6.0], "ORC6L|23594": [0.0, 2.0], "ESR1|2099": [np.nan, np.nan]}
    assert [name for name, _ in choose(values, ["NDC80", "ORC6", "ESR1"], 2)] == ["NDC80", "ORC6"]
    with pytest.raises(InputError, match=r"Expected at least 3 of the panel's 3 genes with values, found 2; ask for"):
        choose(values, ["NDC80", "ORC6", "ESR1"], 3)
    with pytest.raises(InputError, match="panel's 1 genes with values, found 0"):
        choose(values, ["X"], 1)


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A study of two patients in the working folder: its configuration, to be changed and written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slides.tsv").write_text("slide\tpatient\tfile\ns1\tp1\ts1.svs\ns2\tp2\ts2.svs\n")
    # Of p3, a stranger to the cohort, nothing may count: with it B would vary most.
    (tmp_path / "e.tsv").write_text("gene\tp1\tp2\tp3\nA|1\t0\t4\t0\nB|2\t0\t2\t50\nC|3\t0\t3\t0\n")
    (tmp_path / "panel.txt").write_text("# three genes\ntrait\nB\nC\nA\n")
    task = {"layout": "grid", "scheme": "all", "traits": "data/traits.tsv"}
    return {
        "study": "mine",
        "cohorts": {"one": {"slides": "slides.tsv", "expression": [{"path": "e.tsv"}]}},
        "layouts": {"grid": {}},
        "tasks": {"extremes": task},
        "splits": {"all": {}},
    }


def command(study, *arguments, highest=2):
    Path("study.yaml").write_text(yaml.safe_dump(study))
    main(["--configfile", "study.yaml", "--panel", "panel.txt", "--highest", str(highest), *arguments])


def refused(study, capsys, *arguments, highest=2):
    """What the command says before it ends with 2."""
    with pytest.raises(SystemExit) as caught:
        command(study, *arguments, highest=highest)
    assert caught.value.code == 2
    return capsys.readouterr().err


def test_the_command_writes_the_sheet_that_the_study_names(study, capsys, tmp_path):
    command(study)
    assert read_traits("data/traits.tsv") == ["A", "C"]
    assert capsys.readouterr().out.splitlines()[-1] == "data/traits.tsv: A, C"
    command(study, "--task", "extremes", "--cohort", "one", highest=1)
    assert read_traits("data/traits.tsv") == ["A"]


def test_the_command_overwrites_nothing_but_its_own(study, capsys, tmp_path):
    study["tasks"]["extremes"]["traits"] = "panel.txt"
    before = (tmp_path / "panel.txt").read_text()
    assert "found another table in panel.txt; move it" in refused(study, capsys)
    assert (tmp_path / "panel.txt").read_text() == before
    study["tasks"]["extremes"]["traits"] = ["A"]
    assert "Expected a sheet to write at tasks.extremes.traits, found a list" in refused(study, capsys)


def test_the_command_names_what_it_does_not_know(study, capsys):
    study["cohorts"]["two"] = study["cohorts"]["one"]
    assert "the name of a cohort (one, two), found none named; give it as --cohort" in refused(study, capsys)
    assert "found 'tow'; nearest: two" in refused(study, capsys, "--cohort", "tow")
    assert "expected a whole number above 0, found '0'" in refused(study, capsys, highest=0)
    del study["splits"]["all"]
    assert "Expected" in refused(study, capsys, "--cohort", "one")

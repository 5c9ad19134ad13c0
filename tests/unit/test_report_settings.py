"""The settings of a report: every key once, with its value, and what the study really does at each disputed point."""

from pathlib import Path

import pytest
import yaml
from histocarta.config import read_study, set_by_study
from histocarta.fidelity import TABLE
from histocarta.report_page import Table, Verbatim
from histocarta.report_settings import choice_rows, setting_rows, settings_section

CONFIGS = sorted((Path(__file__).parents[2] / "config").glob("*.yaml"))

SETS = ("tasks.spots.classes.", "tasks.spots.genes.", "tasks.regions.classes.")  # mappings from names to lists


def study(**changes):
    """The demo without its regression: one task, one scheme."""
    plain = yaml.safe_load((Path(__file__).parents[2] / "config" / "demo.yaml").read_text(encoding="utf-8"))
    del plain["tasks"]["regression"], plain["splits"]["55-15-30-once"], plain["cohorts"]["demo-external"]
    return read_study(plain | changes)


def keys_of(plain, place=""):
    """Paths of all values of a plain study; lists of plain values and empty sections are values."""
    members = plain.items() if isinstance(plain, dict) else enumerate(plain, 1) if isinstance(plain, list) else ()
    inner = [(f"{place}.{key}".strip("."), item) for key, item in members]
    if not inner or not (isinstance(plain, dict) or isinstance(plain[0], dict)):
        return [place]
    return [path for where, item in inner for path in keys_of(item, where)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_key_of_every_study_stands_there_once_with_its_meaning(config):
    found = read_study(yaml.safe_load(config.read_text(encoding="utf-8")))
    rows = setting_rows(found)
    # Mappings from names to plain values are one value each.
    plain = [key for key in ("fidelity_overrides", "gene_sets", "panels", "statuses") if getattr(found, key)]
    expected = [key for key in keys_of(found.model_dump()) if key.partition(".")[0] not in plain]
    expected = {".".join(key.split(".")[:3]) if key.startswith(SETS) else key for key in expected}
    assert sorted(row[1] for row in rows) == sorted([*expected, *plain])
    assert all(row[4] for row in rows)
    sections = [row[0] for row in rows]
    assert sections[0] == "study" and len(dict.fromkeys(sections)) == len(
        [here for here, before in zip(sections, [None, *sections], strict=False) if here != before]
    )


def test_a_value_stands_beside_its_default():
    rows = {row[1]: row[2:4] for row in setting_rows(study())}
    assert rows["tasks.extremes.labels.low"] == ("50.0", "20.0")
    assert rows["tasks.extremes.traits"] == ("[A, B]", "required")
    assert rows["survival.cuts"] == ("[[0.5, 0.5], [0.3, 0.7]]", "[[0.5, 0.5], [0.3, 0.7]]")
    assert rows["cohorts.demo.expression.1.path"] == ("data/demo/expression.tsv", "required")


def test_a_choice_is_what_the_study_does_and_not_what_the_column_says():
    rows = {row[0]: row[1] for row in choice_rows(study(fidelity="paper", fidelity_overrides={"hti_zero": "dropped"}))}
    assert set(rows) == set(TABLE)
    assert rows["hti_zero"] == "dropped (overridden)"
    assert rows["validation_share"] == "0.15 (splits.55-15-30.validation), else 0.1"
    assert rows["pooling"] == "avg" and rows["percentiles_fitted_on"] == "all"


def test_keys_that_contradict_the_table_are_found():
    assert set_by_study(study()) == {"validation_share": {"splits.55-15-30.validation": 0.15}}
    other = study(survival={"horizon_years": 7}, layouts={"grid": {"size": 75, "background": "otsu"}}, splits={
        "55-15-30": {"test": 0.3, "validation": 0.1}
    })  # fmt: skip
    assert set_by_study(other) == {
        "background": {"layouts.grid.background": "otsu"}, "horizon_years": {"survival.horizon_years": 7.0}
    }  # fmt: skip


def test_the_settings_as_yaml_are_the_same_study():
    here = study()
    section = settings_section(here.model_dump())
    (text,) = [block.text for block in section.blocks if isinstance(block, Verbatim)]
    assert read_study(yaml.safe_load(text)) == here
    folded = [block.title for block in section.blocks if isinstance(block, Table) and block.folded]
    assert "Settings: tasks" in folded and "Versions of software" in folded

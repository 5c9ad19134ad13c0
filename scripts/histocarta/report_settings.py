"""What the report says of how it came about: every setting, paper, released code or correction, and the versions."""

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import yaml
from pydantic import BaseModel

from histocarta import fidelity
from histocarta.config import Study, set_by_study
from histocarta.report_page import Note, Section, Table, Verbatim
from histocarta.versions import VERSION, software

CHOICES = ("point", "this study", "paper", "released code", "corrected", "what it decides", "source")
KEYS = ("key", "value", "default", "meaning")


def settings_section(study: Mapping[str, Any]) -> Section:
    """Every setting by section of the config, each choice between paper, released code and correction, and versions."""
    typed = Study.model_validate(dict(study))
    note = (
        f"Where the paper, its released code and sound practice differ, this study follows the column "
        f"«{typed.fidelity}»{', but for the points marked as overridden' if typed.fidelity_overrides else ''}."
    )
    keys = [
        Table(KEYS, [row[1:] for row in rows], f"Settings: {name}", folded=True)
        for name, rows in groupby(setting_rows(typed), key=lambda row: row[0])
    ]
    faults = list(fidelity.NOT_REPRODUCED.items())
    stages = list(VERSION.items())
    return Section(
        "Settings and versions",
        [
            Note(note),
            Table(CHOICES, choice_rows(typed), "Paper, released code or corrected"),
            Table(("released fault", "what was wrong"), faults, "Faults that no column reproduces", folded=True),
            *keys,
            Verbatim(
                "The same settings as YAML, to run the study again",
                yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True),
            ),
            Table(("software", "version"), list(software().items()), "Versions of software", folded=True),
            Table(("stage", "version"), stages, "Versions of stages, raised when their results change", folded=True),
        ],
    )


def choice_rows(study: Study) -> list[tuple]:
    """Each row of the fidelity table with what the study does: the column's value, an override, or its own keys."""
    own = set_by_study(study)
    rows = []
    for row in fidelity.TABLE.values():
        said = _words(study.choice(row.name))
        said += " (overridden)" if row.name in study.fidelity_overrides else ""
        if row.name in own:
            said = f"{', '.join(f'{_words(value)} ({key})' for key, value in own[row.name].items())}, else {said}"
        columns = (_words(value) for value in (row.paper, row.released, row.corrected))
        rows.append((row.name, said, *columns, row.what, row.source))
    return rows


def setting_rows(study: Study) -> list[tuple[str, str, str, str, str]]:
    """Section, key, value, default and meaning of every setting; keys that stand in no section come first."""
    rows = [
        (path.partition(".")[0] if "." in path else "study", path, *said) for path, *said in _leaves(study, place="")
    ]
    return sorted(rows, key=lambda row: row[0] != "study")


def _leaves(section: BaseModel, *, place: str) -> Iterator[tuple[str, str, str, str]]:
    """Path, value, default and meaning of the keys below a section, in the order of its type."""
    present = section.model_dump()  # a task that the study does not have is not in it
    for name, field in type(section).model_fields.items():
        if name not in present:
            continue
        path, value = f"{place}{name}", getattr(section, name)
        inner = value.items() if isinstance(value, dict) else enumerate(value, 1) if isinstance(value, list) else ()
        members = [(f"{path}.{key}.", item) for key, item in inner if isinstance(item, BaseModel)]
        if isinstance(value, BaseModel):
            members = [(f"{path}.", value)]
        for below, member in members:
            yield from _leaves(member, place=below)
        if not members:
            default = "required" if field.is_required() else _words(field.get_default(call_default_factory=True))
            yield path, _words(value), default, field.description or ""


def _words(value: Any) -> str:
    """A value as the config would write it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_words, value))}]"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_words(item)}" for key, item in value.items()) or "{}"
    return value if isinstance(value, str) else json.dumps(value)

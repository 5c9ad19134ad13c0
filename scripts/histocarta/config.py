"""How a configuration is checked: all problems at once, each with its place; open values are filled in."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from histocarta.crosschecks import disagreements, repeated_keys
from histocarta.errors import InputError, nearest
from histocarta.settings import CHOOSING, Study

__all__ = ["Study", "read_study", "set_by_study"]

# Keys that follow the fidelity table where the study leaves them null: (section, key inside each member, table row).
_BY_FIDELITY = (
    ("cohorts", ("match_sample_types",), "match_sample_types"),
    ("layouts", ("background",), "background"),
    ("tasks", ("model", "pooling"), "pooling"),
    ("splits", ("validation",), "validation_share"),
)


def read_study(mapping: Mapping[str, Any], *, files: Iterable[str | Path] = ()) -> Study:
    """Check a configuration and fill in every default; InputError names all problems at once.

    ``files`` are the YAML files that ``mapping`` was read from: what stands twice in them is in the text only.

    Keys that are null «by fidelity» hold the table's value in the result, so that what a job gets is what it does.
    """
    if not isinstance(mapping, Mapping):
        raise InputError(f"Expected a configuration of keys and values, found {type(mapping).__name__}")
    problems = [*repeated_keys(files), *_cross_references(mapping)]
    try:
        study = Study.model_validate(dict(mapping))
    except ValidationError as error:
        raise InputError(_joined([*_described(error), *problems])) from error
    problems += [*_fidelity_problems(study), *disagreements(study)]
    if problems:
        raise InputError(_joined(problems))
    return _filled(study)


def read_study_file(path: str | Path) -> Study:
    """The study in a YAML file, for commands that run without Snakemake."""
    if not Path(path).is_file():
        raise InputError(f"Expected a study's configuration, found no file {path}.")
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise InputError(f"Expected a configuration in YAML, found what cannot be read in {path}: {said}") from error
    return read_study(content, files=[path])


def set_by_study(study: Study) -> dict[str, dict[str, Any]]:
    """By row of the fidelity table, the keys in which a study says something else than the table, and what they say."""
    plain, found = study.model_dump(), {}
    for section, path, row in _BY_FIDELITY:
        for name, member in plain[section].items():
            value = member
            for key in path:
                value = value[key]
            # A scheme without training and validation draws of its own has no use for the share.
            if value != study.choice(row) and not member.get("leave_out"):
                found.setdefault(row, {})[".".join([section, name, *path])] = value
    if plain["survival"]["horizon_years"] != study.choice("horizon_years"):
        found["horizon_years"] = {"survival.horizon_years": plain["survival"]["horizon_years"]}
    return found


def _filled(study: Study) -> Study:
    """``study`` with the fidelity table's values where it left them open."""
    plain = study.model_dump()
    for section, path, row in _BY_FIDELITY:
        for member in plain[section].values():
            for key in path[:-1]:
                member = member[key]
            if member[path[-1]] is None:
                member[path[-1]] = study.choice(row)
    for name, layout in plain["layouts"].items():
        if layout["of"]:
            own = {key: layout[key] for key in CHOOSING}
            plain["layouts"][name] = plain["layouts"][layout["of"]] | own
    if plain["survival"]["horizon_years"] is None:
        plain["survival"]["horizon_years"] = study.choice("horizon_years")
    for name, scheme in plain["splits"].items():
        if not scheme["leave_out"] and scheme["test"] + scheme["validation"] + scheme["tuning"] >= 1:
            raise InputError(
                f"Expected test + validation + tuning below 1 in splits.{name}, found nothing left to train on"
            )
    return Study.model_validate(plain)


def _fidelity_problems(study: Study) -> list[str]:
    problems = []
    for name in study.fidelity_overrides:
        try:
            study.choice(name)
        except InputError as error:
            problems.append(f"{error} in fidelity_overrides")
    return problems


def _cross_references(mapping: Mapping[str, Any]) -> list[str]:
    """Names that point to no layout, scheme or task; read from the raw mapping, so that no other fault hides them."""
    members = [(f"tasks.{name}", task) for name, task in _items(mapping.get("tasks"))]
    pairs = [
        (where, task, key, section)
        for where, task in members
        for key, section in (("layout", "layouts"), ("scheme", "splits"))
    ]
    sets = mapping.get("heterogeneity")
    sets = sets if isinstance(sets, list) else []
    pairs += [(f"heterogeneity.{number}", entry, "task", "tasks") for number, entry in enumerate(sets)]
    problems = []
    for where, member, key, section in pairs:
        known = [name for name, _ in _items(mapping.get(section))]
        named = member.get(key) if isinstance(member, Mapping) else None
        if isinstance(named, str) and named not in known:
            expected = f"Expected one of the {section} {', '.join(known)} at {where}.{key}"
            problems.append(f"{expected}, found {named!r}{nearest(named, known)}")
    return problems


def _items(section: object) -> list[tuple[str, Any]]:
    return list(section.items()) if isinstance(section, Mapping) else []


def _joined(problems: list[str]) -> str:
    return problems[0] if len(problems) == 1 else f"{len(problems)} problems in the config:\n  " + "\n  ".join(problems)


def _described(error: ValidationError) -> list[str]:
    """One line per problem; what pydantic says of each member of a union is joined by «or»."""
    by_place: dict[tuple, list[dict]] = {}
    for problem in error.errors():
        by_place.setdefault(_place(problem["loc"]), []).append(problem)
    # [A b] is neither a text nor a list of names: only the name inside is worth a line.
    outer = {place[:length] for place in by_place for length in range(len(place))}
    return [_sentence(place, problems) for place, problems in by_place.items() if place not in outer]


def _place(loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The keys that lead to a problem, without pydantic's marks for union members."""
    unions = ("str", "float", "int", "bool", "none")
    inner = [part for part in loc[1:] if not (isinstance(part, str) and (part in unions or part.startswith("list[")))]
    return (*loc[:1], *inner)


def _sentence(place: tuple[int | str, ...], problems: list[dict]) -> str:
    kind, found = problems[0]["type"], problems[0]["input"]
    where = ".".join(map(str, place)) or "the config"
    parent = ".".join(map(str, place[:-1])) or "the config"
    if kind == "extra_forbidden":
        known = _keys_at(place[:-1])
        hint = nearest(place[-1], known)
        return f"Expected one of the keys {', '.join(known)}, found {place[-1]!r} in {parent}{hint}"
    if kind == "missing":
        return f"Expected the key {place[-1]!r} in {parent}, found none"
    if place and place[-1] == "[key]":
        section = ".".join(map(str, place[:-2]))
        return f"Expected a name that matches {problems[0]['ctx']['pattern']} in {section}, found {found!r}"
    expected = " or ".join(dict.fromkeys(_expectation(problem) for problem in problems))
    if kind == "value_error":
        return f"Expected {expected} at {where}, found {_short(found)}"
    hint = nearest(found, re.findall(r"'([^']+)'", expected)) if kind == "literal_error" else ""
    return f"Expected {expected} at {where}, found {_short(found)}{hint}"


def _expectation(problem: dict) -> str:
    if problem["type"] == "value_error":
        return str(problem["ctx"]["error"])
    text = problem["msg"].replace(" after validation", "").split(", unable to parse")[0]
    return re.sub("^(Input should be|List should have|String should) ", "", text)


def _short(value: object) -> str:
    text = repr(dict(value) if isinstance(value, Mapping) else value)
    return text if len(text) <= 120 else text[:117] + "…"


def _keys_at(place: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at ``place`` may hold."""
    kind: Any = Study
    for part in place:
        kind = kind.model_fields[part].annotation if _is_section(kind) else get_args(kind)[-1]
        while get_origin(kind) not in (dict, list) and not _is_section(kind):  # Annotated, or a section or None
            kind = next(option for option in get_args(kind) if option is not NoneType)
    return list(kind.model_fields)


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


if __name__ == "__main__":
    from histocarta.configpages import write_pages

    write_pages("config")

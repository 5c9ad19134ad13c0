"""What the report shows of survival: curves, log-rank tests and Cox models, as survival.json tells them."""

from pathlib import Path
from typing import Any

import yaml

from histocarta.files import read_json
from histocarta.report_page import Block, Caution, Note, Picture, Section, Table, Verbatim, cell, picture_uri


def survival_section(summary: str) -> Section:
    """Kaplan–Meier curves, Cox models and heterogeneity by clinical group of one set of traits."""
    folder, found = Path(summary).parent, read_json(summary)
    rows = [row for cut in found.get("cuts", []) for row in _survival_rows(cut)]
    searched = found.get("cut_search", {})
    blocks: list[Block] = [Caution(found["reason"])] if found.get("reason") else []
    blocks += [
        Note(
            f"{cell(found.get('patients'))} patients (test part, and slides between the labels of all traits; one "
            f"slide each), {cell(found.get('events'))} deaths. The cuts were stated beforehand; Holm adjusts for them."
        ),
        Note(
            f"Best cut by search: {cell(searched.get('cut'))}, p corrected for the search "
            f"{cell(searched.get('p_corrected'))} {searched.get('reason') or ''}"
        ),
        Picture(picture_uri(folder / "survival.png"), "Kaplan–Meier curves with 95 % bands and patients at risk"),
        Picture(picture_uri(folder / "groups.png"), "HTI by expression and by clinical group (their Figs 5b and 6)"),
        Table(("split", "group", "patients", "deaths", "median, months", "log-rank p", "Holm", "Cox"), rows),
        Verbatim("Every figure", yaml.safe_dump(found, sort_keys=False, allow_unicode=True)),
    ]
    return Section(f"Survival by heterogeneity of {folder.name.replace('+', ' + ')}", blocks)


def _survival_rows(cut: dict[str, Any]) -> list[tuple]:
    """A row per group of a cut, and of the bulk-expression baselines on the same patients."""
    splits = [cut] + [pair["bulk"] for pair in cut.get("baselines", [])]
    return [
        (
            split["name"],
            group["label"],
            group["n"],
            group["events"],
            cell(group["median"]),
            cell(split["logrank"]["p"]) if split["logrank"]["p"] is not None else split["logrank"]["reason"],
            cell(split["logrank"].get("p_holm")),
            _hazard(split.get("cox", {})),
        )
        for split in splits
        for group in split["groups"]
    ]


def _hazard(cox: dict[str, Any]) -> str:
    """Hazard ratio of the first term with its interval, or why there is none."""
    if not cox.get("terms"):
        return cox.get("reason", "")
    term = cox["terms"][0]
    return f"{term['name']}: {term['hazard_ratio']:.2f} ({term['low']:.2f}–{term['high']:.2f})"

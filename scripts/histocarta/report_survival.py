"""What the report shows of survival: curves, log-rank tests and Cox models, as survival.json tells them."""

from pathlib import Path
from typing import Any

import yaml

from histocarta.files import read_json
from histocarta.report_page import (
    Block,
    Caution,
    Note,
    Picture,
    Section,
    Table,
    Verbatim,
    cell,
    interval,
    number,
    p_text,
    picture_uri,
)

TESTS = ("compared", "group", "patients", "deaths", "median months (95 % CI)", "log-rank p", "Holm")
MODELS = ("model", "term", "hazard ratio (95 % CI)", "p", "proportional: p", "patients", "deaths", "concordance")


def survival_section(summary: str) -> Section:
    """Kaplan–Meier curves, Cox models and heterogeneity by clinical group of one set of traits."""
    folder, found = Path(summary).parent, read_json(summary)
    blocks: list[Block] = [Caution(found["reason"])] if found["reason"] else []
    blocks += [
        Note(
            f"{found['patients']} patients (test part, and slides between the labels of all traits; one slide each), "
            f"{found['events']} deaths. The cuts were stated beforehand; Holm adjusts for them. Bulk expression, which "
            "heterogeneity is held against, is compared on the patients of the same cut."
        ),
        Picture(picture_uri(folder / "survival.png"), "Kaplan–Meier curves with 95 % bands and patients at risk"),
        Table(TESTS, [row for cut in found["cuts"] for row in _cut_rows(cut)], "Groups and log-rank tests"),
        Note(_search_words(found["cut_search"])),
        Table(MODELS, _model_rows(found), "Cox models"),
        *(Caution(f"{name}: {text}.") for name, text in _model_cautions(found)),
        Picture(picture_uri(folder / "groups.png"), "HTI by expression and by clinical group (their Figs 5b and 6)"),
        Table(
            ("rule", "slides", "patients", "left out"),
            [tuple(step[name] for name in ("rule", "slides", "patients", "left_out")) for step in found["selection"]],
            "How the patients were selected",
            folded=True,
        ),
        Verbatim(
            "Every figure of this analysis, as survival.json holds it",
            yaml.safe_dump(found, sort_keys=False, allow_unicode=True),
        ),
    ]
    return Section(f"Survival by heterogeneity of {folder.name.replace('+', ' + ')}", blocks)


def _cut_rows(cut: dict[str, Any]) -> list[tuple]:
    """The groups of a cut, and of the bulk-expression baselines on the same patients."""
    whom = f" ({' or '.join(group['label'] for group in cut['groups'])} only)" if cut["in_neither"] else ""
    rows = _group_rows(_against(cut), cut)
    for pair in cut["baselines"]:
        rows += _group_rows(f"bulk expression: {pair['bulk']['name']}{whom}", pair["bulk"])
    return rows


def _against(cut: dict[str, Any]) -> str:
    return " against ".join(group["label"] for group in cut["groups"])


def _group_rows(name: str, split: dict[str, Any]) -> list[tuple]:
    """A row per group; the test of both, or why there is none, stands on the first."""
    test = split["logrank"]
    said = (p_text(test["p"]) if test["p"] is not None else test["reason"], p_text(test.get("p_holm")))
    return [
        (
            *(name if first else "", one["label"], one["n"], one["events"]),
            _median_words(one),
            *(said if first else ("", "")),
        )
        for first, one in zip((True, False), split["groups"], strict=True)
    ]


def _median_words(one: dict[str, Any]) -> str:
    """Median survival with its interval; a bound that the curve does not reach has no number."""
    median, low, high = (
        "not reached" if one[name] is None else number(one[name], 0) for name in ("median", "median_low", "median_high")
    )
    return f"{median} ({low} to {high})" if one["n"] else "–"


def _models(found: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The Cox models of heterogeneity by name, alone and adjusted."""
    records = [(_against(cut), cut) for cut in found["cuts"]] + [("HTI as a number", found["continuous"])]
    keys = (("cox", ""), ("cox_adjusted", ", adjusted"))
    return [(f"{name}{how}", record[key]) for name, record in records for key, how in keys if key in record]


def _model_rows(found: dict[str, Any]) -> list[tuple]:
    """A row per term of each model, or why there is no model."""
    return [row for name, model in _models(found) for row in _term_rows(name, model)]


def _model_cautions(found: dict[str, Any]) -> list[tuple[str, str]]:
    """What speaks against trusting a model."""
    return [(name, model["caution"]) for name, model in _models(found) if model["caution"]]


def _term_rows(title: str, cox: dict[str, Any]) -> list[tuple]:
    size = (cox["n"], cox["events"], number(cox["concordance"]))
    if not cox["terms"]:
        return [(title, cox["reason"], "–", "–", "–", *size)]
    return [
        (
            *(title, term["name"], interval(term["hazard_ratio"], term["low"], term["high"])),
            *(p_text(term["p"]), p_text(term["proportional_p"]), *size),
        )
        for term in cox["terms"]
    ]


def _search_words(search: dict[str, Any]) -> str:
    """The best cut of all and what it is worth, or why there is none."""
    if search["cut"] is None:
        return f"No best cut was searched: {search['reason']}."
    return (
        f"For comparison: of {search['cuts_tried']} cuts that were tried, HTI {cell(search['cut'])} parts the curves "
        f"most; its p corrected for the search is {p_text(search['p_corrected'])} (uncorrected, and misleading: "
        f"{p_text(search['p_uncorrected'])})."
    )

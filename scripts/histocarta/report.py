"""What a cohort's report shows and in which order: one HTML file that opens offline and carries its pictures."""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from histocarta import fidelity, figures
from histocarta.cartography import draw_combination_map, draw_map
from histocarta.files import read_json, read_table
from histocarta.report_page import (
    Picture,
    Section,
    Table,
    cell,
    data_uri,
    gallery_uri,
    interval,
    number,
    p_text,
    picture_uri,
    whole_table,
    write_page,
)
from histocarta.stain_gallery import stain_pairs
from histocarta.versions import software

GALLERY = 12  # pictures of a kind; the rest lie beside the report
NOT_INDEPENDENT = "not independent: the same patients stand on both sides of the split"


def write_report(
    *,
    ledger: str,
    flow: str,
    manifests: list[str],
    tables: list[str],
    heterogeneity: list[str],
    survival: list[str],
    spots: list[str],
    report: str,
    study: dict[str, Any],
    cohort: str,
    root: str,
) -> None:
    """Write the report of one cohort whose results lie under ``root``.

    ``manifests`` (one per layout), ``tables`` (one per task), ``heterogeneity`` (hti.tsv per set of traits),
    ``survival`` (survival.json likewise) and ``spots`` (spots.json per trait) name what there is to show; pictures are
    looked up beside them. Names from sheets are escaped.
    """
    sections = [cohort_section(ledger, flow), *(slide_section(path, root) for path in manifests)]
    sections += [section for path in tables for section in task_sections(path, root, study)]
    sections += [heterogeneity_section(path, root, study) for path in heterogeneity]
    sections += [survival_section(path) for path in survival]
    sections += [spot_section(spots)] if spots else []
    sections.append(settings_section(study))
    write_page(report, cohort=cohort, study=study, sections=sections)


def cohort_section(ledger: str, flow: str) -> Section:
    """Who came in, who was left out and why."""
    rows = read_table(ledger)
    left_out = rows[rows["code"] != ""]
    return Section(
        "Cohort",
        notes=["What came in is what was used plus what is listed here; the run fails where it does not add up."],
        figures=[Picture(picture_uri(flow), "From the sheet to the analysis")],
        tables=[whole_table(left_out, title="Left out, and why", folded=True)],
    )


def slide_section(manifest: str, root: str) -> Section:
    """Tiles kept and dropped: the slides that lost most first, then others for comparison."""
    layout = Path(manifest).parent.name
    slides = read_table(manifest).astype({"n_tiles": int}).sort_values(["n_tiles", "slide"])
    shown = pd.concat([slides.head(GALLERY // 2), slides.tail(GALLERY - GALLERY // 2)]).drop_duplicates("slide")
    section = Section(
        f"Slides and tiles ({layout})",
        notes=[
            f"{(slides['n_tiles'] > 0).sum()} of {len(slides)} slides have tiles, {slides['n_tiles'].sum():,} in all. "
            "Shown: the slides with fewest and with most tiles."
        ],
        gallery=[
            Picture(
                gallery_uri(f"{root}/slides/{row.slide}/{layout}/tiles.png"),
                f"{row.slide}: {row.n_tiles} tiles {row.reason}",
            )
            for row in shown.itertuples()
        ],
    )
    usable = slides.loc[slides["n_tiles"] > 0, "slide"]
    section.gallery += [
        Picture(data_uri(picture), caption) for picture, caption in stain_pairs(usable, root=root, layout=layout)
    ]
    return section


def task_sections(table: str, root: str, study: dict[str, Any]) -> list[Section]:
    """Performance, learning curves and cartographies of one task."""
    task, rows = Path(table).stem, read_table(table)
    slides = {
        row.trait: read_table(f"{root}/traits/{row.trait}/{task}/consensus/slides.parquet") for row in rows.itertuples()
    }
    scored = {trait: frame for trait, frame in slides.items() if len(frame)}
    layout = study["tasks"][task]["layout"]
    return [
        performance_section(rows, scored, task=task),
        learning_section(list(slides), root, task=task),
        map_section(scored, root, task=task, layout=layout),
    ]


def performance_section(rows: pd.DataFrame, scored: dict[str, pd.DataFrame], *, task: str) -> Section:
    """Table 1 and the score box plots (their Fig. 2)."""
    section = Section(
        f"Performance ({task})",
        notes=[
            "AUC by slide with the 95 % bootstrap interval over independent units; OOD: expression between the "
            "training thresholds, judged against the median. FDR: Benjamini–Hochberg over the traits."
        ],
        warnings=[NOT_INDEPENDENT] if set(rows["independent"]) - {"True", "true", "1"} else [],
        tables=[_performance(rows)],
        gallery=[
            Picture(data_uri(figures.png(figures.score_deciles(frame, trait=trait))), f"{trait}: score by decile")
            for trait, frame in scored.items()
        ],
    )
    if scored:
        picture = data_uri(figures.png(figures.score_boxes(scored)))
        section.figures.append(Picture(picture, "Slide score below and above the median (their Fig. 2)"))
    return section


def learning_section(traits: list[str], root: str, *, task: str) -> Section:
    """Loss and validation AUC of every round."""
    section = Section(f"Learning curves ({task})")
    for trait in traits:
        paths = sorted(Path(f"{root}/traits/{trait}/{task}").glob("round-*/history.csv"))
        histories = {int(path.parent.name.removeprefix("round-")): pd.read_csv(path) for path in paths}
        drawn = {number: history for number, history in histories.items() if len(history)}
        if drawn:
            picture = data_uri(figures.png(figures.learning_curves(drawn, trait=trait)))
            section.figures.append(Picture(picture, trait))
        else:
            section.notes.append(f"{trait}: no model was trained")
    return section


def map_section(scored: dict[str, pd.DataFrame], root: str, *, task: str, layout: str) -> Section:
    """The cartographies of each trait's highest and lowest test slides."""
    section = Section(
        f"Cartographies ({task})",
        notes=["Tiles that most voting rounds call positive; highest and lowest slide scores of the test part."],
    )
    for trait, frame in scored.items():
        test = frame[frame["part"] == "test"].sort_values("score", ascending=False)
        chosen = pd.concat([test.head(2), test.tail(2)]).drop_duplicates("slide")
        section.gallery += [
            _map(root, row.slide, [trait], task, layout, f"{trait}, {row.slide}: {row.score:.2f}")
            for row in chosen.itertuples()
        ]
    return section


def heterogeneity_section(table: str, root: str, study: dict[str, Any]) -> Section:
    """Maps in the order of increasing HTI (their Fig. 3) and the table."""
    traits, task = Path(table).parent.name.split("+"), Path(table).parent.parent.name
    rows = read_table(table)
    rows["hti"] = pd.to_numeric(rows["hti"])
    defined = rows[rows["hti"].notna() & rows["part"].eq("test")].sort_values(["hti", "slide"])
    picks = (
        defined.iloc[[round(place * (len(defined) - 1) / (GALLERY - 1)) for place in range(GALLERY)]]
        if len(defined)
        else defined
    )
    layout = study["tasks"][task]["layout"]
    return Section(
        f"Heterogeneity of {' + '.join(traits)}",
        notes=[
            f"HTI = 0: one combination only; 1: all {2 ** len(traits) - 1} combinations equally frequent; undefined "
            f"without a positive tile ({rows['hti'].isna().sum()} of {len(rows)} slides). Shown: test slides."
        ],
        tables=[whole_table(rows, title="All slides", folded=True)],
        gallery=[
            _map(root, row.slide, traits, task, layout, f"{row.slide}: HTI {row.hti:.2f}")
            for row in picks.drop_duplicates("slide").itertuples()
        ],
    )


def survival_section(summary: str) -> Section:
    """Kaplan–Meier curves, Cox models and heterogeneity by clinical group, as survival.json tells them."""
    folder, found = Path(summary).parent, read_json(summary)
    rows = [row for cut in found.get("cuts", []) for row in _survival_rows(cut)]
    searched = found.get("cut_search", {})
    section = Section(
        f"Survival by heterogeneity of {folder.name.replace('+', ' + ')}",
        notes=[
            f"{cell(found.get('patients'))} patients (test part, and slides between the labels of all traits; one "
            f"slide each), {cell(found.get('events'))} deaths. The cuts were stated beforehand; Holm adjusts for them.",
            f"Best cut by search: {cell(searched.get('cut'))}, p corrected for the search "
            f"{cell(searched.get('p_corrected'))} {searched.get('reason') or ''}",
        ],
        figures=[
            Picture(picture_uri(folder / "survival.png"), "Kaplan–Meier curves with 95 % bands and patients at risk"),
            Picture(
                picture_uri(folder / "groups.png"), "HTI by expression and by clinical group (their Figs 5b and 6)"
            ),
        ],
        tables=[Table(("split", "group", "patients", "deaths", "median, months", "log-rank p", "Holm", "Cox"), rows)],
        preformatted=yaml.safe_dump(found, sort_keys=False, allow_unicode=True),
    )
    section.warnings += [found["reason"]] if found.get("reason") else []
    return section


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


def spot_section(agreements: list[str]) -> Section:
    """Tile scores against expression measured in place, per trait, section and part."""
    rows = [{"trait": found["trait"], **row} for found in map(read_json, agreements) for row in found["sections"]]
    columns = ("trait", "section", "part", "n_spots", "rho", "p", "rho_total_counts", "partial_rho")
    cells = [[cell(row[name]) for name in columns] for row in rows]
    return Section(
        "Cartography against measured spots",
        notes=[
            "Spearman correlation of the mean tile score with the expression of the spots on the tile. Beside it: with "
            "the spots' total counts (what depth and cell density alone would give), and with the total held constant. "
            "Part «test»: tissue that no round trained on. Spots of one section are neighbours, so p is too small."
        ],
        tables=[Table(columns, cells)],
    )


def settings_section(study: dict[str, Any]) -> Section:
    """Every setting, each choice between paper, released code and correction, and the versions."""
    column, overrides = study["fidelity"], study["fidelity_overrides"]
    choices = [
        (
            row.name,
            fidelity.choice(row.name, column=column, overrides=overrides),
            row.paper,
            row.released,
            row.corrected,
            row.what,
        )
        for row in fidelity.TABLE.values()
    ]
    return Section(
        "Settings and versions",
        notes=[f"Where the paper, its released code and sound practice differ, this study follows: {column}."],
        tables=[
            Table(("point", "this study", "paper", "released", "corrected", "what"), choices),
            Table(
                ("released fault", "what was wrong"),
                list(fidelity.NOT_REPRODUCED.items()),
                "Never reproduced",
                folded=True,
            ),
            Table(("software", "version"), list(software().items()), "Versions", folded=True),
        ],
        preformatted=yaml.safe_dump(study, sort_keys=False, allow_unicode=True),
    )


def _performance(rows: pd.DataFrame) -> Table:
    """Table 1 of the paper from the cohort table's text cells."""
    shown = []
    for row in rows.to_dict("records"):
        cells = [row["trait"], row["reason"] or row["status"]]
        cells.append(interval(row["test_rounds_mean"], row["test_rounds_min"], row["test_rounds_max"]))
        for name in figures.SETS:
            counts = f"{number(row[f'{name}_n_high'], 0)} / {number(row[f'{name}_n_low'], 0)}"
            cells += [
                interval(row[f"{name}_auc"], row[f"{name}_low"], row[f"{name}_high"]),
                number(row[f"{name}_patient_auc"]),
                counts,
            ]
        cells += [number(row["test_rho"]), p_text(row["test_p"]), p_text(row["test_fdr"])]
        shown.append(cells)
    heads = [
        part for title in figures.SETS.values() for part in (f"{title}: AUC (95 % CI)", "by patient", "high / low")
    ]
    return Table(("trait", "status", "test: mean of rounds (range)", *heads, "Spearman ρ", "p", "FDR"), shown)


def _map(root: str, slide: str, traits: Iterable[str], task: str, layout: str, caption: str) -> Picture:
    """A cartography drawn for the page only; as a file of its own it is one target away."""
    traits = list(traits)
    paths = {
        "sites": f"{root}/slides/{slide}/{layout}/sites.parquet",
        "survey": f"{root}/slides/{slide}/slide.json",
        "thumbnail": f"{root}/slides/{slide}/thumbnail.png",
    }
    scores = [f"{root}/traits/{trait}/{task}/consensus/scores.parquet" for trait in traits]
    with tempfile.TemporaryDirectory() as folder:
        picture = f"{folder}/map.png"
        if len(traits) == 1:
            draw_map(scores=scores[0], picture=picture, trait=traits[0], **paths)
        else:
            draw_combination_map(scores=scores, picture=picture, traits=traits, **paths)
        return Picture(gallery_uri(picture), caption)

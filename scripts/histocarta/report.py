"""What a cohort's report shows and in which order: one HTML file that opens offline and carries its pictures."""

import base64
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment

from histocarta import fidelity, figures
from histocarta.cartography import draw_combination_map, draw_map
from histocarta.files import read_json, read_table, replacing
from histocarta.stain_gallery import stain_pairs
from histocarta.versions import software

GALLERY = 12  # pictures of a kind; the rest lie beside the report
NOT_INDEPENDENT = "not independent: the same patients stand on both sides of the split"


@dataclass(frozen=True)
class Picture:
    """An image inside the page, as a data URI, and what it shows."""

    uri: str
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows for the page; numbers are right-aligned, a folded table opens on a click."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    title: str = ""
    folded: bool = False


@dataclass
class Section:
    """One part of the report."""

    title: str
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    gallery: list[Picture] = field(default_factory=list)
    preformatted: str = ""


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
    page = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
        files("histocarta").joinpath("templates/report.html").read_text(encoding="utf-8")
    )
    with replacing(report) as temporary:
        text = page.render(cohort=cohort, study=study, software=software(), sections=sections)
        temporary.write_text(text, encoding="utf-8")


def cohort_section(ledger: str, flow: str) -> Section:
    """Who came in, who was left out and why."""
    rows = read_table(ledger)
    left_out = rows[rows["code"] != ""]
    return Section(
        "Cohort",
        notes=["What came in is what was used plus what is listed here; the run fails where it does not add up."],
        figures=[Picture(_uri(flow), "From the sheet to the analysis")],
        tables=[_table(left_out, title="Left out, and why", folded=True)],
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
                _uri(f"{root}/slides/{row.slide}/{layout}/tiles.png"), f"{row.slide}: {row.n_tiles} tiles {row.reason}"
            )
            for row in shown.itertuples()
        ],
    )
    usable = slides.loc[slides["n_tiles"] > 0, "slide"]
    section.gallery += [
        Picture(_data_uri(picture), caption) for picture, caption in stain_pairs(usable, root=root, layout=layout)
    ]
    return section


def task_sections(table: str, root: str, study: dict[str, Any]) -> list[Section]:
    """Table 1, score box plots, learning curves and cartographies of one task."""
    task = Path(table).stem
    rows = read_table(table)
    slides = {
        row.trait: read_table(f"{root}/traits/{row.trait}/{task}/consensus/slides.parquet") for row in rows.itertuples()
    }
    scored = {trait: frame for trait, frame in slides.items() if len(frame)}
    performance = Section(
        f"Performance ({task})",
        notes=[
            "AUC by slide with the 95 % bootstrap interval over independent units; OOD: expression "
            "between the training thresholds, judged against the median. FDR: Benjamini–Hochberg over the traits."
        ],
        warnings=[NOT_INDEPENDENT] if set(rows["independent"]) - {"True", "true", "1"} else [],
        tables=[_performance(rows)],
    )
    if scored:
        performance.figures.append(
            Picture(
                _data_uri(figures.png(figures.score_boxes(scored))),
                "Slide score below and above the median (their Fig. 2)",
            )
        )
    performance.gallery = [
        Picture(
            _data_uri(figures.png(figures.score_deciles(frame, trait=trait))), f"{trait}: score by decile of expression"
        )
        for trait, frame in scored.items()
    ]
    learning = Section(f"Learning curves ({task})")
    for trait in slides:
        histories = {
            int(path.parent.name.removeprefix("round-")): pd.read_csv(path)
            for path in sorted(Path(f"{root}/traits/{trait}/{task}").glob("round-*/history.csv"))
        }
        drawn = {number: history for number, history in histories.items() if len(history)}
        if drawn:
            learning.figures.append(Picture(_data_uri(figures.png(figures.learning_curves(drawn, trait=trait))), trait))
        else:
            learning.notes.append(f"{trait}: no model was trained")
    maps = Section(
        f"Cartographies ({task})",
        notes=["Tiles that most voting rounds call positive; highest and lowest slide scores of the test part"],
    )
    for trait, frame in scored.items():
        test = frame[frame["part"] == "test"].sort_values("score", ascending=False)
        chosen = pd.concat([test.head(2), test.tail(2)]).drop_duplicates("slide")
        layout = study["tasks"][task]["layout"]
        maps.gallery += [
            _map(root, row.slide, [trait], task, layout, f"{trait}, {row.slide}: {row.score:.2f}")
            for row in chosen.itertuples()
        ]
    return [performance, learning, maps]


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
        tables=[_table(rows, title="All slides", folded=True)],
        gallery=[
            _map(root, row.slide, traits, task, layout, f"{row.slide}: HTI {row.hti:.2f}")
            for row in picks.drop_duplicates("slide").itertuples()
        ],
    )


def survival_section(summary: str) -> Section:
    """Kaplan–Meier curves, Cox models and heterogeneity by clinical group, as survival.json tells them."""
    folder = Path(summary).parent
    found = read_json(summary)
    notes = [f"{name}: {value}" for name, value in sorted(found.items()) if isinstance(value, str | int | float)]
    return Section(
        f"Survival by heterogeneity of {folder.name.replace('+', ' + ')}",
        notes=notes,
        figures=[
            Picture(_uri(folder / "survival.png"), "Kaplan–Meier curves with 95 % bands and patients at risk"),
            Picture(_uri(folder / "groups.png"), "HTI by expression and by clinical group (their Figs 5b and 6)"),
        ],
        preformatted=yaml.safe_dump(found, sort_keys=False, allow_unicode=True),
    )


def spot_section(agreements: list[str]) -> Section:
    """Tile scores against expression measured in place, per trait, section and part."""
    rows = [{"trait": found["trait"], **row} for found in map(read_json, agreements) for row in found["sections"]]
    columns = ("trait", "section", "part", "n_spots", "rho", "p", "rho_total_counts", "partial_rho")
    cells = [[_cell(row[name]) for name in columns] for row in rows]
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
        cells.append(_interval(row["test_rounds_mean"], row["test_rounds_min"], row["test_rounds_max"]))
        for name in figures.SETS:
            counts = f"{_number(row[f'{name}_n_high'], 0)} / {_number(row[f'{name}_n_low'], 0)}"
            cells += [
                _interval(row[f"{name}_auc"], row[f"{name}_low"], row[f"{name}_high"]),
                _number(row[f"{name}_patient_auc"]),
                counts,
            ]
        cells += [_number(row["test_rho"]), _p(row["test_p"]), _p(row["test_fdr"])]
        shown.append(cells)
    heads = [
        part for title in figures.SETS.values() for part in (f"{title}: AUC (95 % CI)", "by patient", "high / low")
    ]
    return Table(("trait", "status", "test: mean of rounds (range)", *heads, "Spearman ρ", "p", "FDR"), shown)


def _interval(value: str, low: str, high: str) -> str:
    return f"{_number(value)} ({_number(low)}–{_number(high)})" if value else "–"


def _number(value: str, digits: int = 2) -> str:
    return f"{float(value):.{digits}f}" if value else "–"


def _p(value: str) -> str:
    """A p value as text: three decimals, small ones in powers of ten."""
    return "–" if not value else f"{float(value):.3f}" if float(value) >= 0.001 else f"{float(value):.0e}"


def _cell(value: Any) -> str | int:
    """A value of a JSON record as the page shows it."""
    return "–" if value is None else f"{value:.3g}" if isinstance(value, float) else value


def _table(frame: pd.DataFrame, *, title: str, folded: bool = False) -> Table:
    return Table(list(frame.columns), frame.astype(str).to_numpy().tolist(), title, folded)


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
        return Picture(_uri(picture), caption)


def _uri(path: str | Path) -> str:
    return _data_uri(Path(path).read_bytes())


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"

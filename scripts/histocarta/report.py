"""What a cohort's report shows and in which order: one HTML file that opens offline and carries its pictures."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from histocarta.files import read_json, read_table
from histocarta.report_contrasts import common_section, contrast_section, enrichment_section, unpredicted_section
from histocarta.report_external import external_section
from histocarta.report_fits import fit_sections
from histocarta.report_galleries import heterogeneity_section, map_section, slide_section
from histocarta.report_models import learning_section, performance_section, shown_traits
from histocarta.report_page import Caution, Note, Picture, Section, Table, cell, picture_uri, whole_table, write_page
from histocarta.report_panels import panel_section
from histocarta.report_regions import region_section
from histocarta.report_rois import spatial_section, variability_section
from histocarta.report_settings import settings_section
from histocarta.report_spots import spot_sections
from histocarta.report_statuses import status_section
from histocarta.report_survival import survival_section
from histocarta.tasks import TASKS

NOT_INDEPENDENT = "not independent: the same patients stand on both sides of the split"


def write_report(
    *,
    ledger: str,
    flow: str,
    manifests: list[str],
    regions: list[str],
    tables: list[str],
    heterogeneity: list[str],
    survival: list[str],
    spots: list[str],
    panels: list[str],
    statuses: list[str],
    spatial: list[str],
    variability: list[str],
    contrasts: list[str],
    enrichment: list[str],
    unpredicted: list[str],
    external: list[str],
    others: list[str],
    in_spots: list[str],
    report: str,
    study: dict[str, Any],
    cohort: str,
    root: str,
) -> None:
    """Write the report of one cohort whose results lie under ``root``.

    ``manifests`` (one per layout), ``regions`` (metrics.json per region), ``tables`` (one per task),
    ``heterogeneity`` (hti.tsv per set of traits), ``survival`` (survival.json likewise), ``spots`` (spots.json per
    trait), ``contrasts`` (contrasts/{contrast}/{source}.tsv), ``panels``, ``statuses``, ``spatial``, ``variability``,
    ``enrichment``, ``unpredicted`` and ``external`` (of tables/), ``others`` (ledger.tsv of external cohorts) and
    ``in_spots`` (pictures and tables of genes in spots) name what there is to show; other pictures are looked up
    beside them. Names from sheets are escaped.
    """
    sections = [
        cohort_section(ledger, flow),
        *map(other_section, others),
        *(slide_section(path, root, study["layouts"]) for path in manifests),
    ]
    if regions:
        sections.append(_regions(regions, root, study["tasks"]["regions"]))
    mixed = {_task_of(path) for path in tables if not is_independent(path)}
    for path in tables:
        shown = SECTIONS[TASKS[_task_of(path)].combination](path, root, study, made=in_spots)
        sections += [_marked(section, _task_of(path) in mixed) for section in shown]
    for path in heterogeneity:
        sections.append(_marked(heterogeneity_section(path, root, study), Path(path).parents[1].name in mixed))
    for path in survival:
        sections.append(_marked(survival_section(path), Path(path).parents[1].name in mixed))
    if spots:
        sections.append(_marked(spot_section(spots), bool({Path(path).parents[1].name for path in spots} & mixed)))
    sections += [external_section(path, root) for path in external]
    sections += [_marked(panel_section(path, root, study["panels"]), "regression" in mixed) for path in panels]
    sections += [_marked(status_section(path, root), "regression" in mixed) for path in statuses]
    sections += [_marked(spatial_section(path, root), "regression" in mixed) for path in spatial]
    sections += [variability_section(path) for path in variability]
    sections += [contrast_section(path) for path in contrasts if Path(path).stem == "measured"]
    sections += [
        _marked(common_section(path), "regression" in mixed) for path in contrasts if Path(path).stem != "measured"
    ]
    sections += [enrichment_section(path, study["gene_sets"]) for path in enrichment]
    sections += [unpredicted_section(path) for path in unpredicted]
    sections.append(settings_section(study))
    write_page(report, cohort=cohort, study=study, sections=sections)


def cohort_section(ledger: str, flow: str) -> Section:
    """Who came in, who was left out and why."""
    rows = read_table(ledger)
    left_out, noted = (rows[rows["outcome"] == outcome] for outcome in ("excluded", "noted"))
    note = "What came in is what was used plus what is listed here; the run fails where it does not add up."
    return Section(
        "Cohort",
        [
            Note(note),
            Picture(picture_uri(flow), "From the sheet to the analysis"),
            whole_table(left_out, title="Left out, and why", folded=True),
            whole_table(noted, title="Used, with something to know of it", folded=True),
        ],
    )


def other_section(ledger: str) -> Section:
    """Who was left out of an external cohort, and why."""
    rows = read_table(ledger)
    left_out = rows[rows["outcome"] == "excluded"]
    note = "A cohort on which nothing was fitted; the models above are held against it below."
    table = whole_table(left_out, title="Left out, and why", folded=True)
    return Section(f"Cohort {Path(ledger).parent.name} (external)", [Note(note), table])


def class_sections(table: str, root: str, study: dict[str, Any], **_: Any) -> list[Section]:
    """Performance, learning curves and cartographies of a task with classes."""
    task, rows = _task_of(table), read_table(table)
    settings = study["tasks"][task]
    shown = shown_traits(rows, by="test_auc")
    scored = {trait: read_table(f"{root}/traits/{trait}/{task}/consensus/slides.parquet") for trait in shown}
    return [
        performance_section(rows, scored, task=task, labels=settings["labels"]),
        learning_section(shown, root, task=task),
        map_section(scored, root, task=task, layout=settings["layout"]),
    ]


def _regions(metrics: list[str], root: str, settings: dict[str, Any]) -> Section:
    """How regions are told, said not to be independent where a region's test is not."""
    mixed = not all(read_json(path)["independent"] for path in metrics)
    return _marked(region_section(metrics, root, settings), mixed)


def _task_of(table: str) -> str:
    """The task that a table of performance is of: tables/{task}.tsv, or tables/{task}-{way}.tsv."""
    return Path(table).stem.partition("-")[0]


def is_independent(table: str) -> bool:
    """Whether no patient stands on both sides of the split, by the cohort table of a task."""
    return "False" not in set(read_table(table)["independent"])


def spot_section(agreements: list[str]) -> Section:
    """Tile scores against expression measured in place, per trait, section and part."""
    records = [read_json(path) for path in agreements]
    absent = [(found["trait"], found["reason"]) for found in records if found["status"] != "ok"]
    rows = [{"trait": found["trait"], **row} for found in records for row in found["sections"]]
    columns = ("trait", "section", "part", "n_spots", "rho", "p", "rho_total_counts", "partial_rho", "reason")
    cells = [[cell(row[name]) for name in columns] for row in rows]
    note = (
        "Spearman correlation of the mean tile score with the expression of the spots on the tile. Beside it: with "
        "the spots' total counts (what depth and cell density alone would give), and with the total held constant. "
        "Part «test»: tissue that no round trained on. Spots of one section are neighbours, so p is too small."
    )
    left_out = [Table(("trait", "why not compared"), absent)] if absent else []
    return Section("Cartography against measured spots", [*left_out, Note(note), Table(columns, cells)])


def _marked(section: Section, mixed: bool) -> Section:
    """``section``; where patients stand on both sides of the split it says so at its top and at every figure."""
    if not mixed:
        return section
    marked = [
        replace(block, caption=f"{block.caption} (not independent)") if isinstance(block, Picture) else block
        for block in section.blocks
    ]
    return Section(section.title, [Caution(NOT_INDEPENDENT), *marked])


# By how a task's rounds become one: what is shown of its table of performance.
SECTIONS = {"vote_consensus": class_sections, "average_rounds": fit_sections, "join_spots": spot_sections}

"""That nothing is lost: every slide, patient, tile and trait that came in was used or left out, and for which reason.

The ledger has one row per thing left out and one per total. ``outcome`` is ``in``, ``used``, ``excluded`` or ``noted``
(used, but there is something to know); within a stage, scope and kind, in = used + excluded, or the run fails.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from histocarta.consort import draw_flow
from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_table

COLUMNS = ["stage", "scope", "kind", "outcome", "item", "code", "reason", "count"]
CLASSES = ("high", "low", "ood_near", "ood_far")  # of labels.json: slides that a trait uses, to learn or to test
UNLABELLED = {
    "no_expression": "no expression of the slide's patient",
    "one_sample": "the patient's only sample, with nothing to be centred on",
    "not_measured": "the trait is not measured in the slide's patient",
}


class LedgerMismatch(RuntimeError):
    """Totals that do not add up: a fault of the program or of mixed-up results, never of the data."""


def write_ledger(
    *,
    slides: str,
    exclusions: str,
    manifests: Sequence[str],
    summaries: Sequence[str],
    labels: Sequence[str],
    ledger: str,
    flow: str,
    layouts: Mapping[str, str],
    max_excluded: float,
    stains: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> None:
    """Account for a cohort: write the ``ledger`` (table) and the ``flow`` of slides, patients and traits (picture).

    ``slides`` is the cohort's sheet and ``exclusions`` what preparing it left out; ``manifests`` one per layout;
    ``summaries`` and ``stains`` the tiles.json and stain.json of all slides in all layouts; ``labels`` and ``metrics``
    one labels.json and metrics.json per trait and task. ``layouts`` names the layout of each task.

    Raises :class:`LedgerMismatch` where totals do not add up, and InputError where more than the share
    ``max_excluded`` of the slides (one slide always may) is excluded by anything but the sheet. Snakemake deletes the
    outputs of a failed job, so the ledger of a refused run stays beside ``ledger`` as ``*-refused.tsv``.
    """
    sheet = read_table(slides)
    rows, faults = sheet_rows(sheet, read_table(exclusions)), []
    for path in manifests:
        layout, manifest = Path(path).parent.name, read_table(path).astype({"n_tiles": int})
        faults += manifest_faults(sheet, manifest, layout=layout)
        rows += slide_rows(sheet, manifest, layout=layout)
        rows += tile_rows(manifest, _read(summaries, folder=layout), layout=layout)
        rows += stain_rows(_read(stains, folder=layout), layout=layout)
    tiled = {row[1]: row[-1] for row in rows if row[:4] == ("tiles", row[1], "slide", "used")}
    for task, layout in layouts.items():
        labelled = _read(labels, folder=task)
        rows += label_rows(labelled, task=task, tiled=tiled[layout])
        rows += metric_rows(_read(metrics, folder=task, above=1), labelled, task=task)
    table = pd.DataFrame(rows, columns=COLUMNS)
    faults += mismatches(table)
    _refuse(table, faults, max_excluded=max_excluded, beside=Path(ledger))
    write_table(table, ledger)
    draw_flow(table, flow)


def mismatches(table: pd.DataFrame) -> list[str]:
    """One line for each stage, scope and kind of a ledger whose totals are given and do not add up."""
    faults = []
    for key, group in table.groupby(["stage", "scope", "kind"], sort=False):
        counts = group.groupby("outcome")["count"].sum()
        used, excluded = counts.get("used", 0), counts.get("excluded", 0)
        if "in" in counts and counts["in"] != used + excluded:
            where = " ".join(part for part in key if part)
            faults.append(f"{where}: {counts['in']:,} in, but {used:,} used and {excluded:,} excluded")
    return faults


def too_many_excluded(table: pd.DataFrame, *, max_excluded: float) -> list[str]:
    """One line for each layout that lost more slides than may be lost, those that the sheet excludes not counted."""
    lines = []
    for layout, group in table[(table["stage"] == "tiles") & (table["kind"] == "slide")].groupby("scope", sort=False):
        total = int(group.loc[group["outcome"] == "in", "count"].sum())
        lost = group[group["outcome"] == "excluded"]
        if len(lost) > max(1, max_excluded * total):
            codes = "; ".join(
                f"{code} {len(items)} ({', '.join(items[:3])}{', …' if len(items) > 3 else ''})"
                for code, items in lost.groupby("code")["item"].apply(list).items()
            )
            lines.append(
                f"Expected at most {max_excluded:.0%} of the {total:,} slides of layout {layout} to be left out (one "
                f"always may), found {len(lost):,}: {codes}. Mend them, exclude them in the slide sheet with a reason, "
                "or raise max_excluded."
            )
    return lines


def manifest_faults(sheet: pd.DataFrame, manifest: pd.DataFrame, *, layout: str) -> list[str]:
    """What a manifest and the sheet contradict each other in, slide by slide."""
    faults = [f"in only one of sheet and manifest: {slide}" for slide in set(sheet["slide"]) ^ set(manifest["slide"])]
    faults += [f"in the manifest twice: {slide}" for slide in manifest.loc[manifest["slide"].duplicated(), "slide"]]
    excluded = set(sheet.loc[sheet["exclude"] != "", "slide"])
    for row in manifest.itertuples():
        if (row.status == "ok") != (row.n_tiles > 0):
            faults.append(f"{row.slide} has status {row.status} and {row.n_tiles} tiles")
        if row.status != "ok" and not (row.code and row.reason):
            faults.append(f"{row.slide} is excluded without code and reason")
        if row.status == "ok" and row.slide in excluded:
            faults.append(f"{row.slide} is excluded by the sheet but has tiles")
    return [f"layout {layout}: {fault}" for fault in sorted(faults)]


def sheet_rows(sheet: pd.DataFrame, exclusions: pd.DataFrame) -> list[tuple]:
    """Who the sheet names, whom it excludes, and what preparing the tables took in, used, left out and noted."""
    excluded = sheet[sheet["exclude"] != ""]
    rows = [("sheet", "", "slide", "in", "", "", "slides of the sheet", len(sheet))]
    rows += [("sheet", "", "slide", "excluded", row.slide, "S-SHEET", row.exclude, 1) for row in excluded.itertuples()]
    rows.append(("sheet", "", "slide", "used", "", "", "slides to be tiled", int(sheet["exclude"].eq("").sum())))
    rows += _patient_rows(sheet.assign(used=sheet["exclude"] == "", code="S-SHEET"), stage="sheet")
    # A slide of the sheet is accounted for above and by its layouts.
    known = exclusions["kind"].eq("slide") & exclusions["item"].isin(sheet["slide"])
    others = exclusions[~known | exclusions["outcome"].eq("noted")]
    return rows + [
        (row["stage"], "", row["kind"], row["outcome"], row["item"], row["code"], row["reason"], int(row["count"]))
        for row in others.to_dict("records")
    ]


def slide_rows(sheet: pd.DataFrame, manifest: pd.DataFrame, *, layout: str) -> list[tuple]:
    """Slides and patients of a layout, among the slides that the sheet does not exclude."""
    wanted = sheet.loc[sheet["exclude"] == "", "slide"]
    found = manifest[manifest["slide"].isin(wanted)]
    lost = found[found["status"] != "ok"]
    rows = [("tiles", layout, "slide", "in", "", "", "slides to be tiled", len(wanted))]
    rows += [("tiles", layout, "slide", "excluded", row.slide, row.code, row.reason, 1) for row in lost.itertuples()]
    rows.append(("tiles", layout, "slide", "used", "", "", "slides with tiles", int((manifest["n_tiles"] > 0).sum())))
    return rows + _patient_rows(found.assign(used=found["n_tiles"] > 0), stage="tiles", scope=layout)


def tile_rows(manifest: pd.DataFrame, summaries: Sequence[dict], *, layout: str) -> list[tuple]:
    """Grid cells of a layout: kept as tiles, or dropped, per slide and reason."""
    lost = manifest[manifest["status"] != "ok"]
    code = dict(zip(lost["slide"], lost["code"], strict=True))
    rows = [("tiles", layout, "tile", "in", "", "", "grid cells", sum(record["n_cells"] for record in summaries))]
    for record in summaries:
        slide, dropped = record["slide"], {why: count for why, count in record["counts"].items() if count}
        rows += [
            ("tiles", layout, "tile", "excluded", slide, why, f"grid cells dropped: {why}", count)
            for why, count in sorted(dropped.items())
        ]
        if slide in code and record["n_tiles"]:
            why = "tiles of a slide that was excluded after tiling"
            rows.append(("tiles", layout, "tile", "excluded", slide, code[slide], why, record["n_tiles"]))
    return [*rows, ("tiles", layout, "tile", "used", "", "", "tiles", int(manifest["n_tiles"].sum()))]


def stain_rows(records: Iterable[dict], *, layout: str) -> list[tuple]:
    """Slides that keep their own colours although the layout asks for normalised ones."""
    return [
        ("stain", layout, "slide", "noted", record["slide"], record["code"], f"own colours kept: {record['reason']}", 1)
        for record in records
        if record["status"] == "fallback"
    ]


def label_rows(records: Sequence[dict], *, task: str, tiled: int) -> list[tuple]:
    """A task's traits, and each trait's slides of every class and without a value, of ``tiled`` slides with tiles."""
    usable = [record for record in records if record["status"] == "ok"]
    rows = _trait_rows("labels", task, records, total=len(records), used=len(usable))
    for record in usable:
        scope, counts = f"{task}/{record['trait']}", dict(record["n"])
        counts["not_measured"] -= counts.get("no_expression", 0) + counts.get("one_sample", 0)
        rows.append(("labels", scope, "slide", "in", "", "", "slides with tiles", tiled))
        rows += [("labels", scope, "slide", "used", "", name, f"slides {name}", counts[name]) for name in CLASSES]
        rows += [
            ("labels", scope, "slide", "excluded", "", name, why, counts[name])
            for name, why in UNLABELLED.items()
            if counts.get(name)
        ]
    return rows


def metric_rows(records: Sequence[dict], labelled: Sequence[dict], *, task: str) -> list[tuple]:
    """The labelled traits that could be learnt and evaluated; nothing where no metrics are given."""
    usable = {record["trait"] for record in labelled if record["status"] == "ok"}
    records = [record for record in records if record["trait"] in usable]
    if not records:
        return []
    used = sum(record["status"] == "ok" for record in records)
    return _trait_rows("consensus", task, records, total=len(usable), used=used)


def _trait_rows(stage: str, task: str, records: Sequence[dict], *, total: int, used: int) -> list[tuple]:
    return [
        (stage, task, "trait", "in", "", "", "traits of the task", total),
        *(
            (stage, task, "trait", "excluded", record["trait"], record["code"], record["reason"], 1)
            for record in records
            if record["status"] != "ok"
        ),
        (stage, task, "trait", "used", "", "", "traits left", used),
    ]


def _patient_rows(slides: pd.DataFrame, *, stage: str, scope: str = "") -> list[tuple]:
    """Patients of ``slides`` (patient, used, code); one is excluded where all its slides are."""
    lost = slides[~slides.groupby("patient")["used"].transform("any")]
    return [
        (stage, scope, "patient", "in", "", "", "patients of these slides", slides["patient"].nunique()),
        *(
            (stage, scope, "patient", "excluded", patient, "P-NOSLIDE", f"no slide left: {codes}", 1)
            for patient, codes in lost.groupby("patient")["code"].apply(", ".join).items()
        ),
        (stage, scope, "patient", "used", "", "", "patients left", slides.loc[slides["used"], "patient"].nunique()),
    ]


def _read(paths: Iterable[str], *, folder: str, above: int = 0) -> list[dict]:
    """The JSON files that lie in a folder of this name, or ``above`` folders deeper: names are read off the paths.

    results/{cohort}/slides/{slide}/{layout}/…, results/{cohort}/traits/{trait}/{task}/labels.json and, one folder
    deeper, …/{task}/consensus/metrics.json.
    """
    return [read_json(path) for path in paths if Path(path).parents[above].name == folder]


def _refuse(table: pd.DataFrame, faults: list[str], *, max_excluded: float, beside: Path) -> None:
    refused = beside.with_name(f"{beside.stem}-refused{beside.suffix}")
    excess = too_many_excluded(table, max_excluded=max_excluded)
    if not faults and not excess:
        refused.unlink(missing_ok=True)
        return
    write_table(table, refused)
    if faults:
        shown = "; ".join(faults[:10])
        raise LedgerMismatch(f"Expected totals that add up, found {shown}. All rows are in {refused}.")
    raise InputError(f"{' '.join(excess)} All rows are in {refused}.")

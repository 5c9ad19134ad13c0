"""What the ledger says of slides and patients: the sheet's, the tiled ones, their grid cells and colours."""

from collections.abc import Iterable, Sequence

import pandas as pd


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
    """Who the sheet names, whom it excludes, and what preparing the cohort's tables left out."""
    excluded = sheet[sheet["exclude"] != ""]
    rows = [("sheet", "", "slide", "in", "", "", "slides of the sheet", len(sheet))]
    rows += [("sheet", "", "slide", "excluded", row.slide, "S-SHEET", row.exclude, 1) for row in excluded.itertuples()]
    rows.append(("sheet", "", "slide", "used", "", "", "slides to be tiled", int(sheet["exclude"].eq("").sum())))
    rows += _patient_rows(sheet.assign(used=sheet["exclude"] == "", code="S-SHEET"), stage="sheet")
    # A slide of the sheet is accounted for above and by its layouts; what is only noted of it is not.
    told = exclusions["kind"].eq("slide") & exclusions["item"].isin(sheet["slide"])
    others = exclusions[~told | exclusions["outcome"].eq("noted")]
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


def warning_rows(records: Iterable[dict], *, stage: str, layout: str = "", code: str) -> list[tuple]:
    """What a slide's slide.json or tiles.json warns of: one row per slide and warning."""
    return [
        (stage, layout, "slide", "noted", record["slide"], code, warning, 1)
        for record in records
        for warning in record["warnings"]
    ]


def stain_rows(records: Iterable[dict], *, layout: str) -> list[tuple]:
    """Slides that keep their own colours although the layout asks for normalised ones."""
    return [
        ("stain", layout, "slide", "noted", record["slide"], record["code"], f"own colours kept: {record['reason']}", 1)
        for record in records
        if record["status"] == "fallback"
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

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
from histocarta.ledger_sets import index_rows, survival_rows
from histocarta.ledger_slides import manifest_faults, sheet_rows, slide_rows, stain_rows, tile_rows, warning_rows
from histocarta.ledger_traits import gene_rows, label_rows, metric_rows, round_rows, split_rows, unlabelled_slides

COLUMNS = ["stage", "scope", "kind", "outcome", "item", "code", "reason", "count"]


class LedgerMismatch(RuntimeError):
    """Totals that do not add up: a fault of the program or of mixed-up results, never of the data."""


def write_ledger(
    *,
    slides: str,
    exclusions: str,
    manifests: Sequence[str],
    surveys: Sequence[str],
    summaries: Sequence[str],
    labels: Sequence[str],
    tables: Sequence[str],
    ledger: str,
    flow: str,
    layouts: Mapping[str, str],
    max_excluded: float,
    stains: Sequence[str] = (),
    audits: Sequence[str] = (),
    metrics: Sequence[str] = (),
    heterogeneity: Sequence[str] = (),
    survival: Sequence[str] = (),
    genes: Sequence[str] = (),
) -> None:
    """Account for a cohort: write the ``ledger`` (table) and the ``flow`` of slides, patients and traits (picture).

    ``slides`` is the cohort's sheet and ``exclusions`` what preparing it left out; ``manifests`` one per layout;
    ``surveys`` the slide.json of all slides, ``summaries`` and ``stains`` their tiles.json and stain.json in all
    layouts; ``labels``, ``tables``, ``audits`` and ``metrics`` one labels.json, labels.parquet, leaks.json and
    metrics.json per trait and task; ``heterogeneity`` and ``survival`` one hti.tsv and survival.json per set of traits.
    ``genes`` one fates.tsv per way of predicting all genes at once. ``layouts`` names the layout of each task.

    Raises :class:`LedgerMismatch` where totals do not add up, and InputError where more than the share
    ``max_excluded`` of the slides (one slide always may) is excluded by anything but the sheet. Snakemake deletes the
    outputs of a failed job, so the ledger of a refused run stays beside ``ledger`` as ``*-refused.tsv``.
    """
    sheet = read_table(slides)
    rows, faults, tiled = sheet_rows(sheet, read_table(exclusions)), [], {}
    rows += warning_rows(map(read_json, surveys), stage="survey", code="S-WARNED")
    for path in manifests:
        layout, manifest = Path(path).parent.name, read_table(path).astype({"n_tiles": int})
        faults += manifest_faults(sheet, manifest, layout=layout)
        rows += slide_rows(sheet, manifest, layout=layout)
        cut = _read(summaries, folder=layout)
        rows += tile_rows(manifest, cut, layout=layout)
        rows += warning_rows(cut, stage="tiles", layout=layout, code="T-WARNED")
        rows += stain_rows(_read(stains, folder=layout), layout=layout)
        tiled[layout] = manifest[manifest["n_tiles"] > 0]
    notes = {}
    for task, layout in layouts.items():
        audited = _read(audits, folder=task)
        notes[task] = next((audit["note"] for audit in audited if not audit["independent"]), "")
        rows += _task_rows(task, audited, labels=labels, tables=tables, metrics=metrics, tiled=len(tiled[layout]))
    for path in genes:
        rows += gene_rows(read_table(path), way=Path(path).parent.name)
    analysed = {_scope_of_set(path): read_json(path) for path in survival}
    for path in heterogeneity:
        scope, index = _scope_of_set(path), read_table(path)
        task = scope.split("/")[0]
        rows += index_rows(index, scope=scope, tiled=tiled[layouts[task]], note=notes[task])
        if scope in analysed:
            rows += survival_rows(index, analysed[scope], scope=scope, note=notes[task])
    table = pd.DataFrame(rows, columns=COLUMNS)
    faults += mismatches(table)
    _refuse(table, faults, max_excluded=max_excluded, beside=Path(ledger))
    write_table(table, ledger)
    draw_flow(table, flow)


def _task_rows(
    task: str,
    audited: Sequence[dict],
    *,
    labels: Sequence[str],
    tables: Sequence[str],
    metrics: Sequence[str],
    tiled: int,
) -> list[tuple]:
    """What became of a task's traits, from labels to metrics; nothing of a task without traits of its own."""
    labelled, learnt = _read(labels, folder=task), _read(metrics, folder=task, above=1)
    unlabelled = {Path(path).parents[1].name: unlabelled_slides(path) for path in _in_folder(tables, task)}
    if not labelled:
        return []
    return [
        *label_rows(labelled, unlabelled, task=task, tiled=tiled),
        *split_rows(audited, task=task),
        *round_rows(learnt, audited, task=task),
        *metric_rows(learnt, labelled, task=task),
    ]


def mismatches(table: pd.DataFrame) -> list[str]:
    """One line for each stage, scope and kind of a ledger whose totals are given and do not add up."""
    key = ["stage", "scope", "kind"]
    counts = table.groupby([*key, "outcome"])["count"].sum().unstack("outcome")
    counts = counts.reindex(columns=["in", "used", "excluded"])
    counts = counts[counts["in"].notna()].fillna(0).astype(int)
    wrong = counts[counts["in"] != counts["used"] + counts["excluded"]]
    return [
        f"{' '.join(filter(None, where))}: {row['in']:,} in, but {row['used']:,} used and {row['excluded']:,} excluded"
        for where, row in wrong.iterrows()
    ]


def too_many_excluded(table: pd.DataFrame, *, max_excluded: float) -> list[str]:
    """One line for each layout that lost more slides than may be lost.

    Not counted are those that the sheet excludes, a patient's others where the cohort keeps one slide of each, and
    slides without a tile in the region that the layout keeps to, or without spots: nothing is wrong with them.
    """
    lines = []
    for layout, group in table[(table["stage"] == "tiles") & (table["kind"] == "slide")].groupby("scope", sort=False):
        total = int(group.loc[group["outcome"] == "in", "count"].sum())
        lost = group[(group["outcome"] == "excluded") & ~group["code"].isin(("T-SECOND", "T-REGION", "S-NOSPOTS"))]
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


def _read(paths: Iterable[str], *, folder: str, above: int = 0) -> list[dict]:
    """The JSON files of :func:`_in_folder`."""
    return [read_json(path) for path in _in_folder(paths, folder, above=above)]


def _in_folder(paths: Iterable[str], folder: str, *, above: int = 0) -> list[str]:
    """The paths in a folder of this name, or ``above`` folders deeper: names are read off the paths.

    results/{cohort}/slides/{slide}/{layout}/…, results/{cohort}/traits/{trait}/{task}/labels.json and, one folder
    deeper, …/{task}/consensus/metrics.json.
    """
    return [path for path in paths if Path(path).parents[above].name == folder]


def _scope_of_set(path: str) -> str:
    """task/traits of a file in results/{cohort}/heterogeneity/{task}/{traits}/."""
    return "/".join(Path(path).parts[-3:-1])


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

"""How a cohort's ledger is drawn: a CONSORT-style flow, what goes on downwards and what was left out beside it."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure

from histocarta.codes import LEDGER
from histocarta.files import replacing

SHEETS = ("expression", "clinical")  # stages that say what was left out of these tables
SETS = {"heterogeneity": "HTI defined", "survival": "Survival"}
MAIN, SIDE = 38, 62  # characters per line of the two columns
LINE, GAP = 0.19, 0.35  # inches


@dataclass(frozen=True)
class Step:
    """One box of the flow and, where anything was left out on the way to the next, the box beside it."""

    main: str
    side: str = ""


def flow_steps(table: pd.DataFrame) -> list[Step]:
    """The boxes of a ledger, from the slide sheet to the traits of each task and the survival of each set of them."""
    chosen = [layout for layout in _scopes(table, "tiles") if "elsewhere" in set(_rows(table, "tiles", layout)["code"])]
    whole = [layout for layout in _scopes(table, "tiles") if layout not in chosen]
    tasks = list(dict.fromkeys([*_scopes(table, "labels", "trait"), *_scopes(table, "consensus", "trait")]))
    of_tiles = {scope.split("/")[0] for scope in _scopes(table, "labels", "tile")}  # by whose scores others are chosen
    steps = [_sheet_step(table), *(_tiles_step(table, layout) for layout in whole)]
    steps += _task_steps(table, [task for task in tasks if task in of_tiles])
    steps += [_tiles_step(table, layout) for layout in chosen]
    steps += _task_steps(table, [task for task in tasks if task not in of_tiles])
    steps += [_genes_step(table, scope) for scope in _scopes(table, "genes", "gene")]
    for scope in _scopes(table, "heterogeneity"):
        steps += [_set_step(table, stage, scope) for stage in SETS if scope in _scopes(table, stage)]
    return steps


def _task_steps(table: pd.DataFrame, tasks: list[str]) -> list[Step]:
    """What became of the traits of ``tasks``."""
    return [
        step(table, task)
        for task in tasks
        for stage, step in LEARNING.items()
        if task in _scopes(table, stage, "trait")
    ]


def _sheet_step(table: pd.DataFrame) -> Step:
    # Expression and clinical tables list what was left out of them, without totals of their own.
    others = [stage for stage in dict.fromkeys(table["stage"]) if stage in SHEETS]
    beside = [_told(_rows(table, stage, ""), head=f"Of {stage}") for stage in others]
    warned = _told(_once(_rows(table, "survey", "", "noted")), head="Noted")
    main = _totals(table, "sheet", "", "in", ("slide", "patient"), "Slide sheet")
    return Step(main, _joined([_told(_rows(table, "sheet", "")), *beside, warned]))


def _tiles_step(table: pd.DataFrame, layout: str) -> Step:
    own = _told(_rows(table, "stain", layout, "noted"), head="Own colours kept")
    warned = _told(_once(_rows(table, "tiles", layout, "noted")), head="Noted")
    main = _totals(table, "tiles", layout, "used", ("slide", "patient", "tile"), f"Tiled, layout {layout}")
    return Step(main, _joined([_told(_rows(table, "tiles", layout)), own, warned]))


def _labels_step(table: pd.DataFrame, task: str) -> Step:
    main = _totals(table, "labels", task, "used", ("trait",), f"Labelled, task {task}")
    return Step(main + _labelled_slides(table, task), _told(_rows(table, "labels", task)))


def _learnt_step(table: pd.DataFrame, task: str) -> Step:
    main = _totals(table, "consensus", task, "used", ("trait",), f"Learnt and evaluated, task {task}")
    rounds = _told(_rows_of_traits(table, "training", task), head="Without a model")
    return Step(_joined([main, *_tested(table, task)]), _joined([_told(_rows(table, "consensus", task)), rounds]))


def _genes_step(table: pd.DataFrame, scope: str) -> Step:
    task, way = scope.split("/")
    main = _totals(table, "genes", scope, "used", ("gene",), f"All genes at once, task {task}, {way}")
    return Step(main, _told(_rows(table, "genes", scope)))


def _set_step(table: pd.DataFrame, stage: str, scope: str) -> Step:
    task, traits = scope.split("/")
    main = _totals(table, stage, scope, "used", ("slide", "patient"), f"{SETS[stage]}, {traits}, task {task}")
    return Step(_joined([main, *_rows(table, stage, scope, "noted")["reason"]]), _told(_rows(table, stage, scope)))


LEARNING = {"labels": _labels_step, "consensus": _learnt_step}


def draw_flow(table: pd.DataFrame, path: str | Path) -> None:
    """Draw the flow of a ledger (columns stage, scope, kind, outcome, item, code, reason, count) as PNG."""
    steps = [Step(_wrapped(step.main, MAIN), _wrapped(step.side, SIDE)) for step in flow_steps(table)]
    heights = [LINE * max(_lines(step.main), _lines(step.side)) + GAP for step in steps]
    total = sum(heights) + GAP
    figure = Figure(figsize=(8.2, total), dpi=150)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 8.2), ylim=(total, 0))
    axes.set_axis_off()
    box = {"boxstyle": "round,pad=0.4", "facecolor": "white", "edgecolor": "black", "linewidth": 0.8}
    arrow = {"arrowstyle": "->", "linewidth": 0.8}
    top, before = GAP / 2, None
    for step, height in zip(steps, heights, strict=True):
        middle = top + height / 2
        if before is not None:
            axes.annotate("", (1.8, middle - LINE * _lines(step.main) / 2 - 0.07), (1.8, before), arrowprops=arrow)
        axes.text(1.8, middle, step.main, ha="center", va="center", fontsize=9, bbox=box)
        if step.side:
            axes.annotate("", (3.95, middle), (1.8, middle), arrowprops=arrow, zorder=0)  # from behind the box
            axes.text(4.1, middle, step.side, ha="left", va="center", fontsize=8, bbox=box | {"facecolor": "#f4f4f4"})
        before = middle + LINE * _lines(step.main) / 2 + 0.07
        top += height
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")


def _scopes(table: pd.DataFrame, stage: str, kind: str = "slide") -> list[str]:
    return list(dict.fromkeys(table.loc[(table["stage"] == stage) & (table["kind"] == kind), "scope"]))


def _totals(table: pd.DataFrame, stage: str, scope: str, outcome: str, kinds: tuple[str, ...], head: str) -> str:
    counts = _rows(table, stage, scope, outcome).groupby("kind")["count"].sum()
    return "\n".join([head, ", ".join(_counted(int(counts.get(kind, 0)), kind) for kind in kinds)])


def _rows(table: pd.DataFrame, stage: str, scope: str, outcome: str = "excluded") -> pd.DataFrame:
    return table[(table["stage"] == stage) & (table["scope"] == scope) & (table["outcome"] == outcome)]


def _rows_of_traits(table: pd.DataFrame, stage: str, task: str, outcome: str = "excluded") -> pd.DataFrame:
    own = (table["stage"] == stage) & (table["outcome"] == outcome)
    return table[own & table["scope"].str.startswith(f"{task}/")]


def _told(rows: pd.DataFrame, *, head: str = "Left out") -> str:
    """What the rows leave out, one line per kind: the number in words of each code, largest first."""
    lines = []
    for kind, group in rows.groupby("kind", sort=False):
        codes = group.groupby("code", sort=False)["count"].sum().sort_values(ascending=False, kind="stable")
        why = "; ".join(f"{LEDGER.get(code, code)} {count:,}" for code, count in codes.items())
        lines.append(f"{head}: {_counted(int(codes.sum()), 'grid cell' if kind == 'tile' else kind)} ({why})")
    return "\n".join(lines)


def _once(rows: pd.DataFrame) -> pd.DataFrame:
    """A slide with two warnings is one slide."""
    return rows.drop_duplicates(["item", "code"])


def _joined(parts: Iterable[str]) -> str:
    return "\n".join(part for part in parts if part)


def _labelled_slides(table: pd.DataFrame, task: str) -> str:
    """The range over the task's traits of the slides that are high or low, or have a value; or the tiles of regions."""
    rows = _rows_of_traits(table, "labels", task, "used")
    tiles = rows[rows["kind"] == "tile"]
    if len(tiles):
        counts = tiles.groupby("code")["count"].sum()
        if "windows" in counts:  # the same spots for every set of genes
            return f"\n{tiles['count'].max():,} windows on spots with counts"
        return f"\n{counts['inside']:,} tiles marked inside, {counts['outside']:,} outside"
    slides = rows[rows["code"].isin(["high", "low", "measured"])].groupby("scope")["count"].sum()
    if slides.empty:
        return ""
    low, high = int(slides.min()), int(slides.max())
    words = "with a value" if (rows["code"] == "measured").any() else "high or low"
    return f"\n{low:,} to {high:,} slides {words}" if low < high else f"\n{low:,} slides {words}"


def _tested(table: pd.DataFrame, task: str) -> list[str]:
    """How many slides are tested, and that the test is not independent where it is not."""
    rows = _rows(table, "split", task, "used")
    tested = int(rows.loc[rows["code"] == "test", "count"].sum())
    notes = _rows_of_traits(table, "split", task, "noted")["reason"].unique()
    return [f"tested on {_counted(tested, 'slide')}" if len(rows) else "", *notes]


def _counted(count: int, kind: str) -> str:
    return f"{count:,} {kind}{'' if count == 1 else 's'}"


def _wrapped(text: str, width: int) -> str:
    return "\n".join(fill(line, width, subsequent_indent="   ") for line in text.splitlines())


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0

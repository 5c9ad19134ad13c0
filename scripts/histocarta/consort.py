"""How a cohort's ledger is drawn: a CONSORT-style flow, what goes on downwards and what was left out beside it."""

from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import pandas as pd
from matplotlib.figure import Figure

from histocarta.codes import LEDGER
from histocarta.files import replacing

LEARNING = {"labels": "Labelled", "consensus": "Learnt and evaluated"}
MAIN, SIDE = 38, 62  # characters per line of the two columns
LINE, GAP = 0.19, 0.35  # inches


@dataclass(frozen=True)
class Step:
    """One box of the flow and, where anything was left out on the way to the next, the box beside it."""

    main: str
    side: str = ""


def flow_steps(table: pd.DataFrame) -> list[Step]:
    """The boxes of a ledger, from the slide sheet to the traits of each task."""
    # Expression and clinical tables list what was left out of them, without totals of their own.
    others = [stage for stage in dict.fromkeys(table["stage"]) if stage not in ("sheet", "tiles", "stain", *LEARNING)]
    beside = [_left_out(table, "sheet", ""), *(_left_out(table, stage, "", head=f"Of {stage}") for stage in others)]
    main = _totals(table, "sheet", "", "in", ("slide", "patient"), "Slide sheet")
    steps = [Step(main, "\n".join(part for part in beside if part))]
    for layout in _scopes(table, "tiles"):
        kinds = ("slide", "patient", "tile")
        own = _left_out(table, "stain", layout, outcome="noted", head="Own colours kept")
        steps.append(
            Step(
                _totals(table, "tiles", layout, "used", kinds, f"Tiled, layout {layout}"),
                "\n".join(part for part in (_left_out(table, "tiles", layout), own) if part),
            )
        )
    for task in dict.fromkeys([*_scopes(table, "labels", "trait"), *_scopes(table, "consensus", "trait")]):
        for stage, head in LEARNING.items():
            if task in _scopes(table, stage, "trait"):
                main = _totals(table, stage, task, "used", ("trait",), f"{head}, task {task}")
                steps.append(Step(main + _labelled_slides(table, stage, task), _left_out(table, stage, task)))
    return steps


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
    rows = table[(table["stage"] == stage) & (table["scope"] == scope) & (table["outcome"] == outcome)]
    counts = rows.groupby("kind")["count"].sum()
    return "\n".join([head, ", ".join(_counted(int(counts.get(kind, 0)), kind) for kind in kinds)])


def _left_out(table: pd.DataFrame, stage: str, scope: str, *, outcome: str = "excluded", head: str = "Left out") -> str:
    """What was left out of a stage, one line per kind: the number in words of each code, largest first."""
    rows = table[(table["stage"] == stage) & (table["scope"] == scope) & (table["outcome"] == outcome)]
    lines = []
    for kind, group in rows.groupby("kind", sort=False):
        codes = group.groupby("code")["count"].sum().sort_values(ascending=False, kind="stable")
        why = ", ".join(f"{LEDGER.get(code, code)} {count:,}" for code, count in codes.items())
        lines.append(f"{head}: {_counted(int(codes.sum()), 'grid cell' if kind == 'tile' else kind)} ({why})")
    return "\n".join(lines)


def _labelled_slides(table: pd.DataFrame, stage: str, task: str) -> str:
    """The range over the task's traits of the slides that are high or low."""
    own = table["scope"].str.startswith(f"{task}/") & (table["stage"] == stage) & table["code"].isin(["high", "low"])
    slides = table[own].groupby("scope")["count"].sum()
    if slides.empty:
        return ""
    low, high = int(slides.min()), int(slides.max())
    return f"\n{low:,} to {high:,} slides high or low" if low < high else f"\n{low:,} slides high or low"


def _counted(count: int, kind: str) -> str:
    return f"{count:,} {kind}{'' if count == 1 else 's'}"


def _wrapped(text: str, width: int) -> str:
    return "\n".join(fill(line, width, subsequent_indent="   ") for line in text.splitlines())


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0

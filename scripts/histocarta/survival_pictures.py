"""How survival looks: Kaplan-Meier curves with their patients at risk, and HTI in groups of patients as boxes."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.ticker import MaxNLocator

from histocarta.files import replacing
from histocarta.hazards import kaplan_meier
from histocarta.survival_groups import LevelTest

DPI = 120
MONTHS = 12
PANEL = (3.9, 3.9)  # inches
TITLE_WIDTH = 52  # characters that fit over a panel
BOX_WIDTH, BOX_HEIGHT = 0.75, 3.4
ACROSS, WIDEST = 3, 12.0  # panels in a row, inches of a row of boxes: on a page more would be too small to read
COLOURS = ("#d55e00", "#0072b2")  # low orange, high blue as in the paper's Fig. 4, in the Okabe-Ito palette
GOLDEN = 0.6180339887498949


@dataclass(frozen=True)
class Panel:
    """One pair of curves: (label, times in months, events) of low and high, and what the tests said."""

    title: str
    groups: Sequence[tuple[str, pd.Series, pd.Series]]
    logrank: dict
    cox: dict


@dataclass(frozen=True)
class Boxes:
    """HTI in the levels of one grouping: (label, values) per level, and the test over them."""

    title: str
    levels: Sequence[tuple[str, pd.Series]]
    test: LevelTest


def in_rows(panels: Sequence[Panel], *, across: int = ACROSS) -> list[Sequence[Panel]]:
    """Panels that belong together, ``across`` in a row."""
    return [panels[start : start + across] for start in range(0, len(panels), across)]


def draw_curves(rows: Sequence[Sequence[Panel]], path: str) -> None:
    """Write rows of panels as PNG: curves with 95 % CI over a table of the patients at risk."""
    shape = max(len(rows), 1), max((len(row) for row in rows), default=0) or 1
    width, height = PANEL[0] * shape[1], PANEL[1] * shape[0]
    figure = Figure(figsize=(width, height))
    # Fixed margins: measuring every text for an automatic layout takes longer than drawing 20 axes.
    grid = figure.add_gridspec(
        *shape, left=0.65 / width, right=1 - 0.1 / width, bottom=0.1 / height, top=1 - 0.65 / height, wspace=0.3,
        hspace=0.34,
    )  # fmt: skip
    for line, row in enumerate(rows):
        for column, panel in enumerate(row):
            _draw_panel(figure, grid[line, column], panel)
    _save(figure, path)


def draw_boxes(boxes: Sequence[Boxes], path: str, *, what: str) -> None:
    """Write one box plot per grouping as PNG: whiskers 1.5 IQR, every patient a point, size and p given."""
    rows = _box_rows(boxes)
    widest = max((sum(map(_box_width, row)) for row in rows), default=4.0)
    figure = Figure(figsize=(widest + 0.8, BOX_HEIGHT * max(len(rows), 1)), layout="constrained")
    for part, row in zip(np.atleast_1d(figure.subfigures(max(len(rows), 1), 1)), rows or [[]], strict=True):
        widths = [*map(_box_width, row)] or [widest]
        spare = [widest - sum(widths)] if widest - sum(widths) > 0.1 else []
        axes = np.atleast_1d(part.subplots(1, len(widths) + len(spare), sharey=True, width_ratios=widths + spare))
        for axis, box in zip(axes, row, strict=False):
            _draw_box(axis, box)
        if not row:
            _words(axes[0], "no grouping of these patients")
        for axis in axes[len(widths) :]:
            axis.set_axis_off()
        axes[0].set_ylabel(what)
    _save(figure, path)


def p_text(p: float | None, reason: str = "") -> str:
    """A p-value in words, two significant digits; the reason where there is none."""
    if p is None or np.isnan(p):
        return f"no p: {reason}"
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _draw_panel(figure: Figure, place: SubplotSpec, panel: Panel) -> None:
    rows = place.subgridspec(2, 1, height_ratios=[4, 0.9], hspace=0.24)
    curves, table = figure.add_subplot(rows[0]), figure.add_subplot(rows[1])
    curves.set_title("\n".join([*wrap(panel.title, TITLE_WIDTH), *_findings(panel)]), fontsize=9)
    table.axis("off")
    known = [(label, times, events) for label, times, events in panel.groups if len(times)]
    if not known:
        _words(curves, "no patients")
        return
    for (label, times, events), colour in zip(panel.groups, COLOURS, strict=True):
        if len(times):
            words = f"{label} (n = {len(times)})"
            _curve(curves, times.to_numpy() / MONTHS, events.to_numpy(), label=words, colour=colour)
    longest = max(float(times.max()) for _, times, _ in known) / MONTHS
    curves.set(xlabel="years", ylabel="survival", ylim=(-0.02, 1.28), xlim=(0, longest * 1.03))
    curves.set_yticks([0, 0.25, 0.5, 0.75, 1])
    curves.xaxis.set_major_locator(MaxNLocator(5, integer=longest > 3))
    curves.legend(fontsize=8, loc="upper right", frameon=False)
    curves.spines[["top", "right"]].set_visible(False)
    ticks = [tick for tick in curves.get_xticks() if 0 <= tick <= longest]
    _at_risk(table, panel, ticks=ticks, limits=curves.get_xlim())


def _curve(axis: Axes, time: np.ndarray, event: np.ndarray, *, label: str, colour: str) -> None:
    fitted = kaplan_meier(time, event)
    survival, interval = fitted.survival_function_.iloc[:, 0], fitted.confidence_interval_
    axis.step(survival.index, survival, where="post", color=colour, label=label, linewidth=1.6)
    axis.fill_between(survival.index, interval.iloc[:, 0], interval.iloc[:, 1], step="post", color=colour, alpha=0.16)
    censored = np.sort(time[~event.astype(bool)])
    axis.plot(censored, fitted.survival_function_at_times(censored), "|", color=colour, markersize=5)


def _at_risk(axis: Axes, panel: Panel, *, ticks: list[float], limits: tuple[float, float]) -> None:
    """Numbers of patients still at risk (time >= tick) under the ticks of the curves."""
    axis.set(xlim=limits, ylim=(0, 3))
    axis.text(limits[0], 2.5, "at risk", fontsize=8, va="center")
    for line, ((_, times, _), colour) in enumerate(zip(panel.groups, COLOURS, strict=True)):
        for tick in ticks:
            number = int((times / MONTHS >= tick).sum())
            axis.text(tick, 1.5 - line, str(number), color=colour, fontsize=8, ha="center", va="center")


def _findings(panel: Panel) -> list[str]:
    """The tests in words; a hazard ratio stands only beside a p."""
    test = panel.logrank
    words = [f"log-rank {p_text(test['p'], test['reason'])}"]
    if test.get("tests", 1) > 1 and not np.isnan(test["p"]):
        words[0] += f", Holm over {test['tests']} {p_text(test['p_holm'])}"
    for term in panel.cox["terms"][:1]:
        words.append(f"HR {term['hazard_ratio']:.2f} (95 % CI {term['low']:.2f} to {term['high']:.2f})")
    return [line for finding in words for line in wrap(finding, TITLE_WIDTH)]


def _box_width(box: Boxes) -> float:
    return max(len(box.levels), 2) * BOX_WIDTH + 1


def _box_rows(boxes: Sequence[Boxes]) -> list[list[Boxes]]:
    """Groupings in their order, as many in a row as fit into ``WIDEST``."""
    rows: list[list[Boxes]] = []
    for box in boxes:
        if not rows or sum(map(_box_width, [*rows[-1], box])) > WIDEST:
            rows.append([])
        rows[-1].append(box)
    return rows


def _draw_box(axis: Axes, box: Boxes) -> None:
    for place, (_, values) in enumerate(box.levels):
        if not len(values):
            continue
        # Points beside one another by the golden ratio: spread evenly, and the same in every run.
        jitter = (np.arange(len(values)) * GOLDEN % 1 - 0.5) * 0.5
        axis.plot(place + jitter, values, ".", color="0.6", markersize=3)
        parts = axis.boxplot([values], positions=[place], widths=0.6, showfliers=False, medianprops={"color": "black"})
        for line in parts["boxes"]:
            line.set_linewidth(1.2)
    words = [p_text(box.test.p, box.test.reason)]
    if not np.isnan(box.test.p):
        words.append(f"BH over {box.test.tests}: {p_text(box.test.p_adjusted)}")
    finding = [line for word in words for line in wrap(word, 14 * max(len(box.levels), 2))]
    axis.set_title("\n".join([box.title, *finding]), fontsize=9)
    axis.set_xticks(range(len(box.levels)), [f"{label}\nn = {len(values)}" for label, values in box.levels], fontsize=8)
    axis.set(ylim=(-0.03, 1.03))


def _words(axis: Axes, text: str) -> None:
    axis.text(0.5, 0.5, text, ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])


def _save(figure: Figure, path: str) -> None:
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata={"Software": None})

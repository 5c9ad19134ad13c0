"""How learning, scores and their agreement with expression are drawn (Levy-Jurgenson 2020, Fig. 2)."""

import io
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

DPI = 110
LOW, HIGH = "#4477aa", "#ee6677"  # Paul Tol's bright scheme: safe for colour-blind readers
MOST_BESIDE = 9  # groups of boxes in a row; the page is 10 inches wide
RHO = ("validation_slide_rho", "Spearman ρ", 0.0)
SETS = {"test": "test", "ood_near": "OOD-near", "ood_all": "OOD-all"}


def png(figure: Figure) -> bytes:
    """The figure as PNG bytes, without a time stamp: the same data give the same bytes."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, bbox_inches="tight", metadata={"Software": None})
    return stream.getvalue()


def learning_curves(histories: Mapping[int, pd.DataFrame], *, trait: str) -> Figure:
    """Loss and the slides' figure of validation (AUC or rho) over the steps, a line per round; as history.csv."""
    columns = next(iter(histories.values())).columns
    name, title, floor = ("validation_slide_auc", "AUC", 0.5) if "validation_slide_auc" in columns else RHO
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    loss, right = figure.subplots(1, 2)
    for number, history in histories.items():
        (line,) = loss.plot(history["step"], history["validation_loss"], label=f"round {number}")
        loss.plot(history["step"], history["loss"], color=line.get_color(), linestyle=":", linewidth=1)
        right.plot(history["step"], history[name], color=line.get_color())
    loss.set(xlabel="step", ylabel="loss (dotted: training)", title=f"{trait}: loss")
    right.set(xlabel="step", ylabel=f"slide {title}", title=f"{trait}: validation {title}")
    right.set_ylim(2 * floor - 1.02 if floor == 0 else 0, 1.02)
    right.axhline(floor, color="0.7", linewidth=0.8)
    loss.legend(fontsize=7)
    return figure


def in_set(slides: pd.DataFrame, name: str) -> pd.Series:
    """Which slides of consensus/slides.parquet belong to ``test``, ``ood_near`` or ``ood_all``."""
    if name == "test":
        return (slides["part"] == "test") & slides["label"].notna()
    return slides["ood"].eq("near") if name == "ood_near" else slides["ood"].isin(["near", "far"])


def score_boxes(scores: Mapping[str, pd.DataFrame], *, sets: Sequence[str]) -> Figure:
    """Slide score of each trait below and above the median of its expression, a frame for each of ``sets``.

    Boxes as their Fig. 2: whiskers 1.5 IQR, white median; every slide is a point as well. Frames stand side by side
    while they are narrow enough to be read on a page, else below one another.
    """
    beside = len(scores) * len(sets) <= MOST_BESIDE
    width, height = 1.2 + 0.8 * max(2, len(scores)), 2.8
    size = (1.4 + width * len(sets), height) if beside else (1.4 + width, height * len(sets))
    figure = Figure(figsize=size, layout="constrained")
    shape = (1, len(sets)) if beside else (len(sets), 1)
    for axes, name in zip(np.ravel(figure.subplots(*shape, sharey=True)), sets, strict=True):
        for place, slides in enumerate(scores.values()):
            chosen = slides[in_set(slides, name)]
            for side, (above, colour) in enumerate(((0.0, LOW), (1.0, HIGH))):
                values = chosen.loc[chosen["above_median"] == above, "score"].dropna()
                _box(axes, values.to_numpy(), place + 0.2 * (2 * side - 1), colour)
        axes.set(title=SETS[name], ylim=(-0.03, 1.03), xlim=(-0.6, len(scores) - 0.4))
        axes.set_xticks(range(len(scores)), list(scores), rotation=45 if len(scores) > 4 else 0)
    figure.supylabel("share of positive tiles", fontsize=10)
    handles = [
        figure.axes[0].scatter([], [], color=colour, label=label)
        for colour, label in ((LOW, "≤ median"), (HIGH, "> median"))
    ]
    figure.legend(handles=handles, fontsize=8, loc="outside right upper", title="expression", title_fontsize=8)
    return figure


def score_deciles(slides: pd.DataFrame, *, trait: str) -> Figure:
    """Slide score against the decile of expression, all scored slides that were not trained on."""
    figure = Figure(figsize=(3.0, 2.2), layout="constrained")  # as large as a gallery shows it
    axes = figure.subplots()
    unseen = slides[(slides["decile"] > 0) & (slides["part"] == "test") | slides["ood"].isin(["near", "far"])]
    for decile, chosen in unseen[unseen["decile"] > 0].groupby("decile"):
        _box(axes, chosen["score"].dropna().to_numpy(), float(decile), "0.55")
    axes.set(
        xlabel="decile of expression",
        ylabel="share of positive tiles",
        ylim=(-0.03, 1.03),
        xlim=(0.3, 10.7),
    )
    axes.set_xticks(range(1, 11))
    axes.set_title(trait, fontsize=10)
    axes.tick_params(labelsize=8)
    return figure


def _box(axes, values: np.ndarray, place: float, colour: str) -> None:  # noqa: ANN001 - matplotlib's Axes
    """One box with its points; nothing where there are no values."""
    if not len(values):
        return
    box = axes.boxplot(
        values, positions=[place], widths=0.34, whis=1.5, patch_artist=True, showfliers=False, manage_ticks=False
    )
    box["boxes"][0].set(facecolor=colour, alpha=0.75)
    box["medians"][0].set(color="white", linewidth=1.6)
    spread = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(1)
    axes.scatter(place + spread, np.sort(values), s=6, color="0.15", alpha=0.6, linewidths=0, zorder=3)

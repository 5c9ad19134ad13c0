"""What He 2020 draws of spots: a gene as measured and predicted on the tissue, consistent patients, and the data."""

from collections.abc import Sequence
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from scipy import stats

from histocarta.colours import combination_colours
from histocarta.errors import InputError, nearest
from histocarta.evaluation import spearman
from histocarta.figures import HIGH, LOW, png
from histocarta.files import read_table, replacing
from histocarta.spot_export import ABOUT

BAR_UM = 1000.0
HALF_RANGE = 1.5  # sd from the mean to either end of the colours: the released clip((v - mean) / (3 sd) + .5)
FADED = 0.35  # opacity of the tissue below coloured spots
UNKNOWN = "0.75"  # a spot without a value or class
MOST_CLASSES = 11  # of an annotation that are told apart by colour
CAPTION = (
    "ln of normalised counts; one scale for both panels, measured mean ± 1.5 sd; the bracket beside it spans 95 % of "
    "the predictions"
)
CURVE = ["patients", "observed", "null_mean", "null_low", "null_high", "binomial"]


def draw_spot_maps(*, exported: str, gene: str, picture: str) -> None:
    """Write the PNG of one gene on one slide: tissue, measured, predicted, and annotation where there is one (Fig. 2a).

    ``exported``: the slide's .h5ad of :mod:`histocarta.spot_export`. A slide without spots, or without this gene, gives
    a picture that says so, and so does "" for a gene; InputError only where no slide could have the gene.
    """
    table = anndata.read_h5ad(exported)
    about = table.uns[ABOUT]
    absent = [str(name) for name in about.get("genes_not_predicted", [])]
    if not len(table) or gene in ("", *absent):
        words = f"{about['code']} {about['reason']}".strip() or "no prediction of it on this slide"
        _write(_no_map(f"{gene or 'no gene'} on {about['slide']}", words), picture)
        return
    if gene not in table.var_names:
        known = [*table.var_names, *absent]
        raise InputError(
            f"Expected gene {gene!r} among the {len(known)} predicted ones of {exported}, found none"
            f"{nearest(gene, known)}; predict it, or draw another"
        )
    number = table.var_names.get_loc(gene)
    measured, predicted = (np.asarray(values[:, number], float) for values in (table.layers["measured"], table.X))
    ((slide, library),) = table.uns["spatial"].items()
    title = f"{gene} on {slide}: {agreement_words(measured, predicted)}"
    figure = spot_maps(
        table.obsm["spatial"],
        measured=measured,
        predicted=predicted,
        annotation=table.obs["annotation"].astype(object).to_numpy(),
        rgb=library["images"]["hires"],
        downsample=1 / library["scalefactors"]["tissue_hires_scalef"],
        diameter=library["scalefactors"]["spot_diameter_fullres"],
        mpp=about["mpp"],
        title=title,
    )
    _write(figure, picture)


def spot_maps(
    xy: np.ndarray,
    *,
    measured: np.ndarray,
    predicted: np.ndarray,
    annotation: np.ndarray,
    rgb: np.ndarray,
    downsample: float,
    diameter: float,
    mpp: float,
    title: str,
) -> Figure:
    """Tissue, measured, predicted and, where a spot has a class, annotation, side by side around the spots.

    ``xy``: (n, 2) px from the corner of ``rgb`` (uint8, height × width × 3, ``downsample`` px each), ``diameter`` px,
    ``mpp`` µm per px; ``measured``, ``predicted``: ln-normalised, NaN where there is none; ``annotation``: None where
    a spot has no class. Both panels of values have the colours of the measured mean and standard deviation, so that
    predictions that vary less look as flat as they are.
    """
    low, high = colour_range(measured if np.isfinite(measured).any() else predicted)
    scale = ScalarMappable(Normalize(low, high, clip=True), colormaps["viridis"])
    classes = [word for word in annotation if isinstance(word, str)]
    panels = 4 if classes else 3
    left, top, wide, high_px = _window(xy, rgb, downsample, diameter)
    figure = Figure(figsize=(3.4 * panels + 0.9, 3.4 * high_px / wide + 1.5), layout="constrained")
    axes = figure.subplots(1, panels)
    extent = (0, rgb.shape[1] * downsample, rgb.shape[0] * downsample, 0)
    for axis, opacity in zip(axes, [1, FADED, FADED, FADED][:panels], strict=True):
        axis.imshow(rgb, extent=extent, alpha=opacity, interpolation="bilinear")
        axis.set(xlim=(left, left + wide), ylim=(top + high_px, top), xticks=[], yticks=[])
    axes[0].set_title("tissue", fontsize=10)
    _scale_bar(axes[0], mpp)
    for axis, values, name in ((axes[1], measured, "measured"), (axes[2], predicted, "predicted")):
        colours = np.where(np.isfinite(values)[:, None], scale.to_rgba(values), (1, 1, 1, 0))
        _spots(axis, xy, diameter, colours)
        axis.set_title(f"{name}\n{_spread_words(values)}", fontsize=10)
    bar = figure.colorbar(scale, ax=axes[2], fraction=0.05, pad=0.02, extend="both", extendfrac=0.03)
    bar.ax.tick_params(labelsize=8)
    _mark_range(bar.ax, predicted)
    if classes:
        _classes(axes[3], xy, diameter, annotation)
    figure.suptitle(title, fontsize=11)
    figure.supxlabel(CAPTION, fontsize=8)
    return figure


def colour_range(values: np.ndarray) -> tuple[float, float]:
    """Values of the first and the last colour: mean ∓ 1.5 sd (of n, not n - 1), as the released clip has them.

    Equal values give a range of ± 0.5 around them, so that they take the middle colour.
    """
    known = values[np.isfinite(values)]
    half = HALF_RANGE * known.std() or 0.5
    return float(known.mean() - half), float(known.mean() + half)


def agreement_words(measured: np.ndarray, predicted: np.ndarray) -> str:
    """Pearson's r and Spearman's ρ of the spots that have both, in words; why there is none where there is none."""
    found = spearman(measured, predicted)
    if np.isnan(found.rho):
        return f"no r: {found.reason}"
    both = np.isfinite(measured) & np.isfinite(predicted)
    r = stats.pearsonr(measured[both], predicted[both]).statistic
    return f"r = {r:.2f}, ρ = {found.rho:.2f} ({found.n} spots)"


def draw_consistent_curve(*, curve: str, picture: str) -> None:
    """Write the PNG of how many genes have at least k consistent patients (r > 0), beside chance (Fig. 2b).

    ``curve``: a table with patients (k), observed, null_mean, null_low, null_high (95 % of the permutations) and
    binomial (the expectation if each patient's sign were a coin).
    """
    table = read_table(curve)
    if missing := set(CURVE) - set(table):
        raise InputError(f"Expected the columns {', '.join(sorted(missing))} in {curve}, found {', '.join(table)}")
    figure = Figure(figsize=(5.4, 3.8), layout="constrained")
    axes = figure.subplots()
    if len(table):
        k, observed, mean, low, high, coin = (table[name].astype(float).to_numpy() for name in CURVE)
        axes.fill_between(k, low, high, color="0.8", label="95 % of permutations, each k")
        axes.plot(k, mean, color="0.45", linewidth=1.2, label="permutations, mean")
        axes.plot(k, coin, color=LOW, linestyle="--", linewidth=1.2, label="binomial expectation")
        axes.plot(k, observed, color=HIGH, marker="o", markersize=3.5, linewidth=1.6, label="predicted")
        axes.set_ylim(0, 1.05 * max(observed.max(), high.max(), coin.max(), 1))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=8, frameon=False)
    else:
        axes.text(0.5, 0.5, "no gene was predicted", ha="center", transform=axes.transAxes)
    axes.set(xlabel="patients with r > 0, at least", ylabel="genes", title="Genes consistent across patients")
    axes.spines[["top", "right"]].set_visible(False)
    _write(figure, picture)


def draw_data_panels(*, counts: Sequence[str], slides: Sequence[str], patients: Sequence[str], picture: str) -> None:
    """Write the PNG of the data: spots per section, genes and counts per spot, by patient (Fig. 1b–d).

    ``counts``: counts.h5ad of each section; ``slides``, ``patients``: their ids, in the same order. A section without
    spots is a bar of no height.
    """
    sections = [measured_depth(path) for path in counts]
    order = sorted(range(len(sections)), key=lambda number: (patients[number], slides[number]))
    _write(
        data_panels(
            [sections[number] for number in order],
            slides=[slides[number] for number in order],
            patients=[patients[number] for number in order],
        ),
        picture,
    )


def measured_depth(counts: str) -> pd.DataFrame:
    """Of each spot of a counts.h5ad: genes (with a count) and total (counts over all genes)."""
    table = anndata.read_h5ad(counts)
    genes = np.asarray((table.X != 0).sum(axis=1)).ravel() if len(table) else np.zeros(0)
    return pd.DataFrame({"genes": genes.astype(float), "total": table.obs["total"].astype(float).to_numpy()})


def data_panels(sections: Sequence[pd.DataFrame], *, slides: Sequence[str], patients: Sequence[str]) -> Figure:
    """Three panels below one another; ``sections``: genes and total of their spots, sections of a patient together."""
    groups = list(dict.fromkeys(patients))
    figure = Figure(figsize=(np.clip(2 + 0.2 * len(sections), 5, 12), 7.2), layout="constrained")
    bars, *boxes = figure.subplots(3, 1)
    own = [groups.index(patient) for patient in patients]
    places = np.arange(len(sections)) + 0.7 * np.array(own)  # a gap between patients
    bars.bar(places, [len(spots) for spots in sections], width=0.85, color=[(LOW, "0.6")[number % 2] for number in own])
    bars.margins(x=0.01)
    few = len(sections) <= 30
    middles = [places[[number == group for number in own]].mean() for group in range(len(groups))]
    bars.set_xticks(places if few else middles, slides if few else groups, rotation=90, fontsize=7)
    bars.set(ylabel="spots", title=f"Spots per section ({len(sections)} sections, {sum(map(len, sections)):,} spots)")
    for axis, name, what in ((boxes[0], "genes", "genes with counts"), (boxes[1], "total", "counts")):
        spots = [pd.concat([part[name] for part, of in zip(sections, own, strict=True) if of == g]) for g in
                 range(len(groups))]  # fmt: skip
        drawn = axis.boxplot(spots, widths=0.6, whis=(5, 95), showfliers=False, patch_artist=True)
        for number, (box, median) in enumerate(zip(drawn["boxes"], drawn["medians"], strict=True)):
            box.set(facecolor=(LOW, "0.6")[number % 2], alpha=0.8)
            median.set(color="black")
        axis.set_xticks(range(1, len(groups) + 1), groups, rotation=90, fontsize=7)
        every = pd.concat(spots)
        median = f", median {every.median():,.0f}" if len(every) else ""
        axis.set(ylabel=what, title=f"{what.capitalize()} per spot by patient{median}")
        if (every > 0).any():
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:,.0f}")
            axis.yaxis.set_minor_formatter(NullFormatter())
    boxes[1].set_xlabel("boxes: quartiles; whiskers: 5 and 95 %", fontsize=8)
    for axis in figure.axes:
        axis.title.set_fontsize(10)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _window(xy: np.ndarray, rgb: np.ndarray, downsample: float, diameter: float) -> tuple[float, float, float, float]:
    """Left, top, width, height (px) of what is drawn: the spots with a rim, within the picture."""
    rim = 0.06 * np.ptp(xy, axis=0).max() + diameter
    low = np.maximum(xy.min(axis=0) - rim, 0)
    high = np.minimum(xy.max(axis=0) + rim, np.array(rgb.shape[1::-1]) * downsample)
    return float(low[0]), float(low[1]), float(high[0] - low[0]), float(high[1] - low[1])


def _spots(axis: Axes, xy: np.ndarray, diameter: float, colours: np.ndarray) -> None:
    """Circles as large as the spots are; a hollow one where the colour is transparent."""
    size = np.full(len(xy), diameter)
    edges = np.where(np.asarray(colours)[:, 3:] == 0, [[0.6, 0.6, 0.6, 1]], colours)
    axis.add_collection(
        EllipseCollection(
            size, size, np.zeros(len(xy)), units="xy", offsets=xy, offset_transform=axis.transData,
            facecolors=colours, edgecolors=edges, linewidths=0.4,
        )
    )  # fmt: skip


def _classes(axis: Axes, xy: np.ndarray, diameter: float, annotation: np.ndarray) -> None:
    """Spots in the colour of their class, grey without one; a legend below."""
    words, counts = np.unique([word for word in annotation if isinstance(word, str)], return_counts=True)
    named = sorted(words[np.argsort(-counts, kind="stable")][:MOST_CLASSES])
    colours = dict(zip(named, combination_colours(len(named)) / 255, strict=True))
    grey = np.full(3, float(UNKNOWN))
    _spots(axis, xy, diameter, np.array([[*colours.get(word, grey), 1.0] for word in annotation]))
    for word in named:
        axis.scatter([], [], color=[colours[word]], label=word)
    if any(word not in colours for word in annotation):
        axis.scatter([], [], color=UNKNOWN, label="other or none")
    axis.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=2, frameon=False)
    axis.set_title("annotation", fontsize=10)


def _scale_bar(axis: Axes, mpp: float) -> None:
    """A bar of 1 mm under the tissue, where it hides none of it; 0.1 mm where less than that is shown."""
    left, right = axis.get_xlim()
    length = BAR_UM if BAR_UM / mpp <= right - left else BAR_UM / 10
    share = length / mpp / (right - left)
    axis.plot([0, share], [-0.03, -0.03], color="black", linewidth=3, transform=axis.transAxes, clip_on=False,
              solid_capstyle="butt")  # fmt: skip
    axis.text(share + 0.02, -0.03, f"{length / 1000:g} mm", transform=axis.transAxes, va="center", fontsize=8)


def _mark_range(axis: Axes, values: np.ndarray) -> None:
    """A bracket beside the colour bar over the middle 95 % of ``values``, cut to the bar."""
    known = values[np.isfinite(values)]
    if len(known):
        ends = np.clip(np.quantile(known, [0.025, 0.975]), *axis.get_ylim())
        axis.plot([-0.45, -0.45], ends, color="black", linewidth=2, marker="_", markersize=5, clip_on=False,
                  transform=axis.get_yaxis_transform())  # fmt: skip


def _spread_words(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    return f"mean {known.mean():.2f}, sd {known.std():.2f}".replace("-", "−") if len(known) else "no values"


def _no_map(title: str, words: str) -> Figure:
    figure = Figure(figsize=(6, 1.2))
    figure.text(0.02, 0.65, title, fontsize=11)
    figure.text(0.02, 0.25, f"no map: {words}", fontsize=9)
    return figure


def _write(figure: Figure, path: str | Path) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(png(figure))

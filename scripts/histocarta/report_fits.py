"""What the report shows of a regression: how well expression is predicted, gene by gene or of all genes at once."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as parquet

from histocarta import figures, fit_figures
from histocarta.associations import Q
from histocarta.codes import LEDGER
from histocarta.files import read_json, read_table
from histocarta.predictions import MEAN
from histocarta.report_external import opening_blocks
from histocarta.report_galleries import value_map_section
from histocarta.report_models import SHOWN, learning_pictures, learning_section, left_out, shown_traits
from histocarta.report_page import Block, Caution, Gallery, Note, Picture, Section, Table, data_uri, number, p_text

BEST = 25  # genes of a table and of scatter plots where there are many (Wang 2021 draws 25)
MANY = 20  # tested genes that are worth a histogram
_COLUMNS = (
    "trait", "slides", "Spearman ρ", "p", "FDR", "R²", "ρ, mean of rounds", "samples", "ρ by sample", "remark",
)  # fmt: skip
CONTROLS = {
    "colour": "mean colour, and its spread between tiles",
    "nuclei": "density and share of nuclei",
    "tiles": "number of tiles",
    "untrained": "an untrained network",
    "shuffled": "the probe's features, values shuffled",
}
WAYS = {
    "per-gene": "a network for each gene",
    "panel": "one network with an output per gene",
    "probe": "ridge regression on what a network sees, fitted for all genes at once",
}


def fit_sections(table: str, root: str, study: Mapping[str, Any], **_: Any) -> list[Section]:
    """Performance, learning curves and, of genes with a model each, maps: all of one tables/regression-{way}.tsv."""
    rows, way = read_table(table), Path(table).stem.removeprefix("regression-")
    settings, folder = study["tasks"]["regression"], Path(root) / "transcriptome" / way
    sections = [fit_section(rows, folder, way=way, centre=settings["labels"]["centre"])]
    if way == "panel":
        histories = {int(path.parent.name.removeprefix("round-")): path for path in folder.glob("round-*/history.csv")}
        blocks = learning_pictures(histories, what="all genes")
        sections.append(Section("Learning curves (regression, panel)", blocks))
    if way == "per-gene" and settings["genes_per_job"] == 1:
        shown = shown_traits(rows, by="test_rho")
        scored = {trait: read_table(f"{root}/traits/{trait}/regression/consensus/slides.parquet") for trait in shown}
        sections += [
            learning_section(shown, root, task="regression"),
            value_map_section(scored, root, task="regression", layout=settings["layout"]),
        ]
    return sections


def fit_section(rows: pd.DataFrame, folder: Path, *, way: str, centre: str | None) -> Section:
    """What was left out, the table of fits, their distribution where there are many, and a scatter of the best.

    ``rows``: the way's table as text; ``folder``: transcriptome/{way} of the cohort.
    """
    tested = rows[rows["status"] == "ok"]
    blocks: list[Block] = [Note(f"Way «{way}»: {WAYS[way]}.{_of_network(folder)}"), *_left_out(rows)]
    if len(tested):
        best = tested.loc[pd.to_numeric(tested["test_rho"]).sort_values(ascending=False, kind="stable").index[:BEST]]
        shown = tested if len(tested) <= BEST else best
        blocks += [_table(shown, many=len(shown) < len(tested)), _reading(tested, centre=centre)]
        blocks += _controls(tested) + _selection(tested)
        if "brought_forward" in tested:
            blocks += _opening(folder.parents[1] / "openings" / f"test-{way}.json")
        if len(tested) >= MANY:
            blocks += _distribution(tested)
        names = shown_traits(tested, by="test_rho") if len(tested) <= MANY else best["trait"].tolist()
        pictures = [
            Picture(data_uri(figures.png(fit_figures.fit_scatter(slides, trait=trait))), trait)
            for trait, slides in read_fits(folder, names=names).items()
        ]
        blocks.append(Gallery(pictures, "Predicted against measured expression of the test slides; line: equality"))
        if len(pictures) < len(tested):
            blocks.append(Note(f"Shown: the {len(pictures)} of {len(tested)} genes with the highest test ρ."))
    return Section(f"Performance (regression, {way})", blocks)


def _opening(register: Path) -> list[Block]:
    """When the test part was opened, where that is on record."""
    return opening_blocks(read_json(register)) if register.is_file() else []


def read_fits(folder: Path, *, names: list[str]) -> dict[str, pd.DataFrame]:
    """Per gene a row per slide: part, value, score (the mean of the rounds)."""
    scores = parquet.read_table(folder / "predictions.parquet", columns=["slide", "round", "part", *names]).to_pandas()
    scores = scores[scores["round"] == MEAN]
    values = parquet.read_table(folder / "measured.parquet", columns=["slide", *names]).to_pandas().set_index("slide")
    values = values.reindex(scores["slide"])
    return {
        name: scores[["slide", "part"]].assign(score=scores[name].to_numpy(), value=values[name].to_numpy())
        for name in names
    }


def _of_network(folder: Path) -> str:
    """Which network's features a probe reads."""
    path = folder / "features" / "network.json"
    if not path.is_file():
        return ""
    record = read_json(path)
    if record["untrained"]:
        return " The network is untrained: what follows is what colour and texture alone give."
    source = record["model"] or record["network"]["weights"]
    return f" Features: {source}."


def _left_out(rows: pd.DataFrame) -> list[Block]:
    """Genes without a figure: each and why, or, where they are many, how many for each reason."""
    lost = rows[rows["status"] != "ok"]
    if len(lost) <= 10 * SHOWN:
        return left_out(rows)
    counts = [(LEDGER.get(code, code), code, count) for code, count in Counter(lost["code"]).most_common()]
    said = f"{len(lost)} of {len(rows)} genes were left out and not evaluated; the table names each."
    return [Caution(said), Table(("left out", "code", "genes"), counts, "Genes left out")]


def _table(tested: pd.DataFrame, *, many: bool) -> Table:
    cells = [
        [
            row["trait"], row["test_n"], number(row["test_rho"]), p_text(row["test_p"]), p_text(row["test_fdr"]),
            number(row["test_r2"]), number(row["test_rounds_rho"]), row["test_sample_n"],
            number(row["test_sample_rho"]), row["test_reason"] or row["reason"],
        ]
        for row in tested.to_dict("records")
    ]  # fmt: skip
    title = "Measured against predicted expression, test slides"
    return Table(_COLUMNS, cells, f"{title}: the {len(tested)} genes with the highest ρ" if many else title)


def _reading(tested: pd.DataFrame, *, centre: str | None) -> Note:
    centred = " Values are centred within each patient first." if centre else ""
    return Note(
        "A slide's prediction is the mean of its tiles', over the rounds' models. R² is 1 less the share of the "
        "variance that is left: below 0 the mean of the test slides would have been nearer. FDR: Benjamini–Hochberg "
        f"over all {tested['n_tests'].iloc[0]} genes that were tried.{centred}"
    )


def _controls(tested: pd.DataFrame) -> list[Block]:
    """What the controls reach, and how many genes beat all of them."""
    if "predictable" not in tested:
        return []
    names = [name.removeprefix("control_") for name in tested if name.startswith("control_") and name[-2:] != "_p"]
    rows = []
    for name in names:
        rho, p = (pd.to_numeric(tested[f"control_{name}{end}"]) for end in ("", "_p"))
        rows.append((CONTROLS[name], number(str(rho.median())), number(str(rho.max())), int((p < Q).sum())))
    count = int((tested["predictable"] == "True").sum())
    own = " This way is itself the control «untrained network»." if "untrained" not in names else ""
    return [
        Table(("control", "median ρ", "highest ρ", f"genes that beat it, p < {Q}"), rows, "Against controls"),
        Note(
            f"{count} of {len(tested)} genes are called predictable: ρ > 0 with an FDR below {Q}, and better than each "
            f"control by Steiger's test.{own}"
        ),
    ]


def _selection(tested: pd.DataFrame) -> list[Block]:
    """How many genes the validation part brought forward, and how many the test then bears out."""
    if "brought_forward" not in tested:
        return []
    forward, validated = (int((tested[name] == "True").sum()) for name in ("brought_forward", "validated"))
    note = Note(
        f"{forward} of {len(tested)} genes were brought forward by the validation part, on which nothing was fitted or "
        f"chosen; the test bears out {validated} of them (ρ > 0, p times {forward} below {Q})."
    )
    pairs = tested[["validation_rho", "test_rho"]].apply(pd.to_numeric).dropna()
    if len(pairs) < MANY:
        return [note]
    figure = fit_figures.concordance(*(pairs[name] for name in pairs), names=("validation part", "test part"))
    return [note, Picture(data_uri(figures.png(figure)), "The same genes on the validation and on the test part")]


def _distribution(tested: pd.DataFrame) -> list[Block]:
    """Counts and histograms over all genes (Wang 2021, Fig. 1B-D and S1)."""
    numbers = tested[["test_rho", "test_p", "test_fdr", "test_r2", "variance"]].apply(pd.to_numeric)
    positive = numbers["test_rho"] > 0
    counts = [("ρ > 0 and FDR < 0.05", int((positive & (numbers["test_fdr"] < 0.05)).sum()))]
    counts += [("p < 0.05, uncorrected (chance alone: 5 %)", int((numbers["test_p"] < 0.05).sum()))]
    counts += [(f"R² > {bound}", int((numbers["test_r2"] > bound).sum())) for bound in (0.2, 0.3, 0.4)]
    rows = [(what, count, f"{count / len(tested):.2%}") for what, count in counts]
    return [
        Table(("genes with", "number", "of all tried"), rows, "How many genes are predicted"),
        Picture(
            data_uri(figures.png(fit_figures.fit_histograms(numbers))),
            "Spearman's ρ and R² of all genes on the test slides, and ρ against the variance of the expression",
        ),
    ]

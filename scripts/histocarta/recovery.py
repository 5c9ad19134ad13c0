"""Whether a run on synthetic slides has found what was planted in them: its figures beside the truth, and the bounds.

``python -m histocarta.recovery --demo results/demo --truth data/demo`` judges one cohort,
``python -m histocarta.recovery --study results/recovery-1 … --truth data/recovery-1 …`` one cohort per seed. Both print
the figures and end with status 1 where a bound does not hold.
"""

import argparse
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import binom

from histocarta.errors import InputError
from histocarta.evaluation import spearman
from histocarta.files import read_json, read_table, write_table
from histocarta.gene_recovery import gene_checks, gene_figures
from histocarta.recovery_figures import NAN, Check, Figure

AUC, MAP, HTI, FIT = "test AUC", "map Spearman", "HTI Spearman", "regression Spearman"
DEMO_AUC, DEMO_SLIDES = 0.75, 20
DEMO_FIT = 0.5  # Spearman of predicted with measured expression; the noise of the expression leaves about 0.9
STUDY_AUC, STUDY_HTI = 0.85, 0.7
STUDY_MAP = 0.3  # 0 is what a model would reach that knows the slide and nothing of its tiles
COVERAGE, TOLERANCE = 0.95, 0.05  # of an interval, and the risk of failing a run whose intervals hold that coverage


def read_cohort(
    results: str | Path, truth: str | Path, *, task: str = "extremes", layout: str = "grid", need_null: bool = True
) -> list[Figure]:
    """The figures of one cohort: of every trait the ensemble's test AUC, of planted ones the map, and the HTI; and how
    well a regression predicts, where the study has one.

    ``results``: results/{cohort}; ``truth``: the folder that the generator wrote (it holds truth/). Maps and HTI are
    judged on slides that no model trained on. Null traits that were not trained are an error only where they are
    needed (``need_null``): the demo leaves them out to be quick. Raises InputError where a file is missing or the tiles
    are not the truth's cells.
    """
    results, truth = Path(results), Path(truth) / "truth"
    recipe = read_json(_existing(truth / "recipe.json", "simulate the cohort first"))
    _check_tiles(results / layout / "manifest.tsv", cell_um=recipe["cell_um"])
    cells = read_table(truth / "cells.tsv")
    numbers = cells.columns.drop("slide")
    cells[numbers] = cells[numbers].astype(float)
    planted = [name.removeprefix("positive_") for name in cells if name.startswith("positive_")]
    figures = []
    null = [name for name in recipe["null_traits"] if need_null or (results / "traits" / name / task).is_dir()]
    for trait in [*planted, *null]:
        folder = results / "traits" / trait / task / "consensus"
        metrics = read_json(_existing(folder / "metrics.json", "run the workflow first"))
        figures.append(_auc_figure(metrics, cohort=results.name, trait=trait, planted=trait in planted))
        if trait in planted:
            slides, scores = read_table(folder / "slides.parquet"), read_table(folder / "scores.parquet")
            figures.append(map_figure(scores, cells, unseen=unseen(slides), cohort=results.name, trait=trait))
        fit = results / "traits" / trait / "regression" / "consensus" / "metrics.json"
        if fit.is_file():  # of the studies here the demo has a regression
            figures.append(_fit_figure(read_json(fit), cohort=results.name, trait=trait, planted=trait in planted))
    table = _existing(results / "heterogeneity" / task / "+".join(planted) / "hti.tsv", "run the workflow first")
    genes = results / "tables" / "regression-probe.parquet"
    if genes.is_file():
        figures += gene_figures(read_table(genes), planted=planted, cohort=results.name)
    figures.append(hti_figure(read_table(table), read_table(truth / "slides.tsv"), results.name, "+".join(planted)))
    return figures


def map_figure(scores: pd.DataFrame, cells: pd.DataFrame, *, unseen: set[str], cohort: str, trait: str) -> Figure:
    """Mean over ``unseen`` slides of Spearman's correlation of tile scores with the planted field, within a slide.

    Within a slide, for across slides the slide's own level (what it was labelled by) would speak for the map.
    """
    tiles = scores[scores["slide"].isin(unseen)].merge(cells[["slide", "row", "col", trait]], how="left")
    if tiles[trait].isna().any():
        raise InputError(
            f"Expected the tiles of {cohort} to be cells of the truth, found {int(tiles[trait].isna().sum())} that are "
            "not; give the folder from which the cohort was made as --truth."
        )
    found = [spearman(tile["score"], tile[trait]).rho for _, tile in tiles.groupby("slide")]
    rho = np.array([value for value in found if not math.isnan(value)])
    if not len(rho):
        return Figure(cohort, trait, True, MAP, NAN, NAN, NAN, 0, f"none of {len(found)} maps varies")
    reason = f"{len(found) - len(rho)} of {len(found)} maps are constant" if len(rho) < len(found) else ""
    low, high = np.quantile(rho, [0.25, 0.75])
    return Figure(cohort, trait, True, MAP, float(rho.mean()), float(low), float(high), len(rho), reason)


def hti_figure(table: pd.DataFrame, truth: pd.DataFrame, cohort: str, traits: str) -> Figure:
    """Spearman's correlation of the predicted HTI with the true one, over slides that trained no model.

    ``table``: hti.tsv; ``truth``: truth/slides.tsv; both as text, blank where an index is not defined.
    """
    rows = table[table["slide"].isin(unseen(table))].merge(truth[["slide", "hti"]], on="slide", suffixes=("", "_true"))
    found = spearman(pd.to_numeric(rows["hti"]), pd.to_numeric(rows["hti_true"]))
    return Figure(cohort, traits, True, HTI, found.rho, NAN, NAN, found.n, found.reason)


def unseen(slides: pd.DataFrame) -> set[str]:
    """Slides that trained no model: of the test part, or without a label by lying between the classes."""
    return set(slides.loc[(slides["part"] == "test") | slides["ood"].isin(["near", "far"]), "slide"])


def demo_checks(figures: Sequence[Figure]) -> list[Check]:
    """Each planted trait reaches its AUC, and its Spearman where it is regressed, on at least 20 test slides."""
    bounds = [
        Check(
            f"{one.figure} of {one.trait} >= {least} on >= {DEMO_SLIDES} test slides",
            f"{_number(one.value)} on {one.n}{_because(one.reason)}",
            one.value >= least and one.n >= DEMO_SLIDES,
        )
        for figure, least in ((AUC, DEMO_AUC), (FIT, DEMO_FIT))
        for one in figures
        if one.figure == figure and one.planted
    ]
    return [*bounds, *gene_checks(figures)]


def study_checks(figures: Sequence[Figure]) -> list[Check]:
    """Means over the seeds of AUC and map per planted trait and of HTI, and the null traits' intervals."""
    checks = []
    for figure, least in ((AUC, STUDY_AUC), (MAP, STUDY_MAP), (HTI, STUDY_HTI)):
        chosen = [one for one in figures if one.figure == figure and one.planted]
        for trait in dict.fromkeys(one.trait for one in chosen):
            checks.append(_mean_check([one for one in chosen if one.trait == trait], least=least))
    nulls = _null_check([one for one in figures if one.figure == AUC and not one.planted])
    return [*checks, nulls, *gene_checks(figures)]


def fewest_covering(intervals: int) -> int:
    """Fewest of ``intervals`` 95 % intervals that may hold the truth: fewer happen with a probability below 5 %."""
    return int(binom.ppf(TOLERANCE, intervals, COVERAGE))


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: print figures and bounds; 0 where all bounds hold, else 1."""
    parser = argparse.ArgumentParser(description="Hold results on synthetic slides against what was planted.")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--demo", metavar="RESULTS", help="results/{cohort} of the demo")
    mode.add_argument("--study", metavar="RESULTS", nargs="+", help="results/{cohort} of every seed")
    parser.add_argument("--truth", metavar="DATA", nargs="+", required=True, help="simulated folders, in that order")
    parser.add_argument("--task", default="extremes")
    parser.add_argument("--layout", default="grid")
    parser.add_argument("--table", help="write the figures as .tsv")
    given = parser.parse_args(arguments)
    cohorts = given.study or [given.demo]
    if len(cohorts) != len(given.truth):
        parser.error(f"--truth: expected a folder per cohort ({len(cohorts)}), found {len(given.truth)}")
    figures = []
    for results, truth in zip(cohorts, given.truth, strict=True):
        figures += read_cohort(results, truth, task=given.task, layout=given.layout, need_null=bool(given.study))
    table = pd.DataFrame([asdict(one) for one in figures])
    print(table.round(3).to_string(index=False, na_rep="-"))
    if given.table:
        write_table(
            table.round(4).assign(date=time.strftime("%Y-%m-%d"), commit=_commit(), machine=_machine()), given.table
        )
    checks = study_checks(figures) if given.study else demo_checks(figures)
    for check in checks:
        print(f"{'holds' if check.holds else 'FAILS'}  {check.bound}: {check.found}")
    return 0 if all(check.holds for check in checks) else 1


def _auc_figure(metrics: dict, *, cohort: str, trait: str, planted: bool) -> Figure:
    test = (metrics.get("ensemble") or {}).get("test") or {}
    value, low, high = (NAN if test.get(key) is None else float(test[key]) for key in ("auc", "low", "high"))
    reason = "; ".join(
        text for text in (metrics.get("reason"), test.get("reason"), test.get("interval_reason")) if text
    )
    n = int(test.get("n_high", 0)) + int(test.get("n_low", 0))
    return Figure(cohort, trait, planted, AUC, value, low, high, n, reason)


def _fit_figure(metrics: dict, *, cohort: str, trait: str, planted: bool) -> Figure:
    test = metrics.get("test") or {}
    value, reason = test.get("rho"), metrics["reason"] or test.get("reason", "")
    return Figure(cohort, trait, planted, FIT, NAN if value is None else value, NAN, NAN, int(test.get("n", 0)), reason)


def _mean_check(chosen: Sequence[Figure], *, least: float) -> Check:
    mean = float(np.mean([one.value for one in chosen]))
    each = ", ".join(_number(one.value) for one in chosen)
    absent = "; ".join(f"{one.cohort}: {one.reason}" for one in chosen if math.isnan(one.value))
    bound = f"mean {chosen[0].figure} of {chosen[0].trait} over seeds >= {least}"
    return Check(bound, f"{_number(mean)} ({each}){_because(absent)}", mean >= least)


def _null_check(chosen: Sequence[Figure]) -> Check:
    """An interval that is not defined covers nothing."""
    covering, least = sum(one.low <= 0.5 <= one.high for one in chosen), fewest_covering(len(chosen))
    bound = f"95 % intervals of null traits that cover 0.5: >= {least} of {len(chosen)}"
    each = ", ".join(f"{_number(one.low)} to {_number(one.high)}" for one in chosen)
    return Check(bound, f"{covering} ({each})", covering >= least and len(chosen) > 0)


def _check_tiles(manifest: Path, *, cell_um: float) -> None:
    table = read_table(_existing(manifest, "run the workflow first"))
    sides = {round(float(size) * float(mpp), 6) for size, mpp in zip(table["size"], table["mpp"], strict=True)}
    if sides != {round(cell_um, 6)}:
        found = ", ".join(f"{side:g}" for side in sorted(sides))
        raise InputError(f"Expected tiles of {cell_um:g} um in {manifest}, the cells of the truth, found {found} um.")


def _existing(path: Path, advice: str) -> Path:
    if not path.is_file():
        raise InputError(f"Expected {path}, found no such file; {advice}.")
    return path


def _commit() -> str:
    """The checkout's commit, with a + where files differ from it."""
    done = subprocess.run(["git", "describe", "--always", "--dirty=+"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "not a checkout"


def _machine() -> str:
    names = [line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else platform.machine()}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def _number(value: float) -> str:
    return "none" if math.isnan(value) else f"{value:.3f}"


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


if __name__ == "__main__":
    sys.exit(main())

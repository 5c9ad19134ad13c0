"""What the report shows of regions: how well tiles inside are told from those outside, and where they lie."""

from collections.abc import Mapping
from typing import Any

from histocarta.files import read_json, read_table
from histocarta.report_galleries import SHOWN, value_maps
from histocarta.report_page import Block, Caution, Note, Section, Table, interval, number

COLUMNS = (
    "region", "annotated slides", "test AUC of tiles (95 % CI)", "tiles inside / outside", "sensitivity", "specificity",
    "AUC of each round: validation; test", "remark",
)  # fmt: skip


def region_section(metrics: list[str], root: str, settings: Mapping[str, Any]) -> Section:
    """``metrics``: consensus/metrics.json of every region; ``settings``: the task's."""
    records = [read_json(path) for path in metrics]
    lost = [(found["trait"], found["code"], found["reason"]) for found in records if found["status"] != "ok"]
    blocks: list[Block] = []
    if lost:
        blocks += [
            Caution(f"{len(lost)} of {len(records)} regions cannot be told."),
            Table(("region", "code", "why"), lost),
        ]
    tested = [found for found in records if found["status"] == "ok"]
    rows = [_row(found, read_json(f"{root}/traits/{found['trait']}/regions/labels.json")) for found in tested]
    if rows:
        blocks += [_note(settings), Table(COLUMNS, rows, "Tiles inside a region told from those outside")]
        scored = {
            found["trait"]: read_table(f"{root}/traits/{found['trait']}/regions/consensus/slides.parquet").assign(
                value=None
            )
            for found in tested[:SHOWN]
        }
        blocks += value_maps(scored, root, task="regions", layout=settings["layout"])
    return Section("Regions", blocks)


def _note(settings: Mapping[str, Any]) -> Note:
    rest = {
        "left_out": "Tiles that nobody marked take no part in it.",
        "outside": "On annotated slides tiles that nobody marked count as outside.",
    }[settings["unmarked"]]
    return Note(
        "A network tells tiles inside a region from those outside by the annotated ones; of each tile all rounds' "
        f"scores are averaged. Figures are of annotated tiles of test slides, at a threshold of 0.5. {rest} Below: the "
        "two test slides with the highest and the two with the lowest mean score, from outside (dark) to inside."
    )


def _row(found: Mapping[str, Any], labels: Mapping[str, Any]) -> tuple[str, ...]:
    test = found["test"]
    rounds = "; ".join(
        f"{number(row.get('validation_auc'))}, {number(row.get('test_auc'))}"
        for row in found["rounds"]
        if not row["code"]
    )
    return (
        found["trait"], str(labels["annotated"]), interval(test["auc"], test["low"], test["high"]),
        f"{test['n_high']:,} / {test['n_low']:,}", number(test["sensitivity"]), number(test["specificity"]), rounds,
        test["reason"] or test["interval_reason"],
    )  # fmt: skip

"""What the ledger says of traits: which could be labelled, learnt and evaluated, and with which slides."""

from collections.abc import Mapping, Sequence

import pandas as pd

from histocarta.codes import LEDGER

# Of labels.json: slides that a trait uses, to learn or to test; a task has the classes, or values as they are.
CLASSES = ("high", "low", "ood_near", "ood_far", "measured")
UNLABELLED = ("no_expression", "one_sample", "not_measured")  # of labels.parquet, column reason
# Of labels.json, where tiles have labels of their own: those with one, and those without.
TILES = {"inside": "tiles marked inside", "outside": "tiles marked outside", "windows": LEDGER["windows"]}
BARE_TILES = ("unmarked", "no_counts")


def unlabelled_slides(labels: str) -> pd.DataFrame:
    """The slides of a labels.parquet that have no value (slide, reason)."""
    table = pd.read_parquet(labels)
    if "reason" not in table:  # tiles have labels of their own
        return table.iloc[:0]
    return table.loc[table["reason"] != "", ["slide", "reason"]]


def label_rows(
    records: Sequence[dict], unlabelled: Mapping[str, pd.DataFrame], *, task: str, tiled: int
) -> list[tuple]:
    """A task's traits, and each trait's slides of every class and without a value, of ``tiled`` slides with tiles.

    ``records``: the traits' labels.json; ``unlabelled``: by trait, the slides without a value (slide, reason).
    """
    usable = [record for record in records if record["status"] == "ok"]
    rows = _trait_rows("labels", task, records, total=len(records), used=len(usable))
    for record in usable:
        scope, counts = f"{task}/{record['trait']}", record["n"]
        if set(counts) & set(TILES):
            rows.append(("labels", scope, "tile", "in", "", "", "tiles", sum(counts.values())))
            rows += [
                ("labels", scope, "tile", "used", "", name, TILES[name], counts[name])
                for name in TILES
                if name in counts
            ]
            rows += [
                ("labels", scope, "tile", "excluded", "", name, LEDGER[name], counts[name])
                for name in BARE_TILES
                if name in counts
            ]
            continue
        rows.append(("labels", scope, "slide", "in", "", "", "slides with tiles", tiled))
        rows += [
            ("labels", scope, "slide", "used", "", name, f"slides {name}", counts[name])
            for name in CLASSES
            if name in counts
        ]
        rows += [
            ("labels", scope, "slide", "excluded", row.slide, row.reason, LEDGER[row.reason], 1)
            for row in unlabelled[record["trait"]].itertuples()
        ]
    return rows


def metric_rows(records: Sequence[dict], labelled: Sequence[dict], *, task: str) -> list[tuple]:
    """The labelled traits that could be learnt and evaluated; nothing where no metrics are given."""
    usable = {record["trait"] for record in labelled if record["status"] == "ok"}
    records = [record for record in records if record["trait"] in usable]
    if not records:
        return []
    used = sum(record["status"] == "ok" for record in records)
    return _trait_rows("consensus", task, records, total=len(usable), used=used)


def split_rows(audits: Sequence[dict], *, task: str) -> list[tuple]:
    """How many slides a task learns from and how many it tests, and each trait whose test is not independent.

    ``audits``: the traits' leaks.json, all of one split.
    """
    if not audits:
        return []
    rounds = audits[0]["rounds"]
    total = sum(part["slides"] for part in rounds[0].values())
    # With one test part every round tests the same slides; leaving one out, each slide is tested once.
    tested = sum(parts["test"]["slides"] for parts in (rounds[:1] if audits[0]["one_test_part"] else rounds))
    return [
        ("split", task, "slide", "in", "", "", "slides of the split", total),
        ("split", task, "slide", "used", "", "learn", "slides that only train or validate", total - tested),
        ("split", task, "slide", "used", "", "test", "slides that are tested", tested),
        *(
            ("split", f"{task}/{audit['trait']}", "trait", "noted", audit["trait"], "L-SHARED", audit["note"], 1)
            for audit in audits
            if audit["status"] == "ok" and not audit["independent"]
        ),
    ]


def round_rows(records: Sequence[dict], audits: Sequence[dict], *, task: str) -> list[tuple]:
    """Each labelled trait's rounds: with a model or without, by its metrics, of those that the leak audit saw."""
    drawn = {audit["trait"]: len(audit["rounds"]) for audit in audits if audit["status"] == "ok"}
    rows = []
    for record in records:
        if record["trait"] not in drawn:
            continue
        scope, lost = f"{task}/{record['trait']}", [found for found in record["rounds"] if found["code"]]
        rows.append(("training", scope, "round", "in", "", "", "rounds of the split", drawn[record["trait"]]))
        rows += [
            ("training", scope, "round", "excluded", f"round {found['round']}", found["code"], found["reason"], 1)
            for found in lost
        ]
        used = len(record["rounds"]) - len(lost)
        rows.append(("training", scope, "round", "used", "", "", "rounds with a model", used))
    return rows


def gene_rows(fates: pd.DataFrame, *, way: str) -> list[tuple]:
    """The genes that one way predicts at once, and those left out: a row of ``fates`` each, as text."""
    lost = fates[fates["status"] != "ok"]
    scope = f"regression/{way}"
    return [
        ("genes", scope, "gene", "in", "", "", "genes asked for", len(fates)),
        *(("genes", scope, "gene", "excluded", row.trait, row.code, row.reason, 1) for row in lost.itertuples()),
        ("genes", scope, "gene", "used", "", "", "genes predicted", len(fates) - len(lost)),
    ]


def _trait_rows(stage: str, task: str, records: Sequence[dict], *, total: int, used: int) -> list[tuple]:
    return [
        (stage, task, "trait", "in", "", "", "traits of the task", total),
        *(
            (stage, task, "trait", "excluded", record["trait"], record["code"], record["reason"], 1)
            for record in records
            if record["status"] != "ok"
        ),
        (stage, task, "trait", "used", "", "", "traits left", used),
    ]

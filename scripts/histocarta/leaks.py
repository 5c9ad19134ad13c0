"""How what is tested could leak into what is trained: every way is looked for in the files; one found stops the run."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from histocarta.errors import InputError
from histocarta.files import read_json, read_table, write_json
from histocarta.sheets import REGION
from histocarta.splits import PARTS, UNIT_COLUMN, patients_on_both_sides
from histocarta.versions import VERSION

NOT_INDEPENDENT = "not independent: {who} {unit}s in the test part and in another"


class LeakError(InputError):
    """Test data would reach training, or the files that would show it do not fit together."""


def audit_leaks(
    *,
    manifest: str,
    labels: str,
    summary: str,
    splits: list[str],
    audit: str,
    unit: str,
    fitted_on: str | None = None,
    version: int = VERSION["split"],
) -> None:
    """Check a trait's labels and the rounds they are used with; write what was checked, or raise LeakError.

    manifest : says of which file and region each slide is. splits : every round of the scheme, in order.
    unit : what must not be divided. fitted_on : what the study asks for ("non_test" or "all"); None takes the word of
    ``summary``.

    The audit says whether the test is ``independent`` (no round tests a patient whom it also trains or validates on;
    always so where the unit is the patient), and whether the thresholds saw test samples ("all" asks for it).
    """
    facts = read_json(summary)
    table, slides = read_table(labels), read_table(manifest)
    rounds = [read_table(path) for path in splits]
    for number, (path, split) in enumerate(zip(splits, rounds, strict=True), start=1):
        check_round(split, unit=unit, number=number, path=path)
        check_units(split, slides, unit=unit, path=path)
        check_regions(split, slides, path=path)
    check_schemes(rounds)
    check_labelled(table, rounds[0], labels=labels)
    if facts["fitted_on"] and fitted_on not in (None, facts["fitted_on"]):
        raise LeakError(
            f"Expected thresholds of {facts['trait']} fitted on '{fitted_on}', found '{facts['fitted_on']}' in "
            f"{summary}; make the labels again."
        )
    if facts["status"] == "ok" and facts["fitted_on"] == "non_test":
        check_fitted(table, rounds, facts=facts)
    shared = set().union(*(patients_on_both_sides(split) for split in rounds))
    record = {
        "trait": facts["trait"], "status": facts["status"], "code": facts["code"], "reason": facts["reason"],
        "unit": unit, "independent": not shared,
        "note": _note(len(shared), unit=unit) if shared else "",
        "fitted_on": facts["fitted_on"], "thresholds_saw_test": facts["fitted_on"] not in ("non_test", ""),
        "genes_saw_test": facts.get("genes_saw_test", False),
        "one_test_part": _one_test_part(rounds), "rounds": [_sizes(split, table) for split in rounds],
        "version": version,
    }  # fmt: skip
    write_json(record, audit)


def check_round(split: pd.DataFrame, *, unit: str, number: int, path: str) -> None:
    """One round: each slide once, known parts, no unit in two of them, and the round's number."""
    if twice := _first(split["slide"][split["slide"].duplicated()]):
        raise LeakError(f"Expected every slide once in {path}, found {twice!r} twice; draw the split again.")
    if strange := _first(split["part"][~split["part"].isin(PARTS)]):
        raise LeakError(f"Expected the parts {', '.join(PARTS)} in {path}, found {strange!r}; draw the split again.")
    if set(split["round"].astype(int)) - {number}:
        raise LeakError(f"Expected round {number} in {path}, found round {split['round'].iloc[0]}; draw it again.")
    parts = split.groupby("unit")["part"].nunique()
    if divided := _first(parts.index[parts > 1]):
        found = " and ".join(sorted(set(split.loc[split["unit"] == divided, "part"])))
        raise LeakError(
            f"Expected each {unit} in one part of {path}, found {divided!r} in {found}; draw the split again."
        )


def check_units(split: pd.DataFrame, slides: pd.DataFrame, *, unit: str, path: str) -> None:
    """Every slide of a round stands under the unit that the manifest (``slides``) gives it."""
    units = split["slide"].map(slides.set_index("slide")[UNIT_COLUMN[unit]])
    if wrong := _first(split["slide"][split["unit"] != units]):
        raise LeakError(
            f"Expected the {unit} as unit of every slide in {path}, found another for {wrong!r}; redraw it."
        )


def check_regions(split: pd.DataFrame, slides: pd.DataFrame, *, path: str) -> None:
    """No two regions of one file that share pixels are in different parts; a slide without a region is all of its file.

    Where the unit is the section they cannot be; blocks and patients are what the sheet says they are.
    """
    cut = split[["slide", "part"]].merge(slides[["slide", "file", *REGION]], on="slide").sort_values("slide")
    for file, group in cut.groupby("file"):
        if group["part"].nunique() < 2:
            continue
        box = group[list(REGION)].replace("", np.nan).astype(float)
        low = box[["x", "y"]].fillna(-np.inf).to_numpy()
        high = (box[["x", "y"]] + box[["width", "height"]].to_numpy()).fillna(np.inf).to_numpy()
        part = group["part"].to_numpy()
        shared = (low[:, None] < high[None]).all(axis=2) & (low[None] < high[:, None]).all(axis=2)
        pairs = np.argwhere(shared & (part[:, None] != part[None]))
        if len(pairs):
            (one, other), names = pairs[0], group["slide"].to_numpy()
            raise LeakError(
                f"Expected regions that overlap in one part of {path}, found {names[one]} in {part[one]} and "
                f"{names[other]} in {part[other]}, both of {file}; give them one block or patient in the slide sheet, "
                "split by section, or mend the regions."
            )


def check_schemes(rounds: list[pd.DataFrame]) -> None:
    """All rounds: one scheme, the same slides with the same units, and one test part or none that repeats."""
    key = ["slide", "patient", "unit", "scheme"]
    first = rounds[0][key].sort_values("slide", ignore_index=True)
    for number, split in enumerate(rounds[1:], start=2):
        if not split[key].sort_values("slide", ignore_index=True).equals(first):
            raise LeakError(
                f"Expected the slides, units and scheme of round 1 in round {number}, found others; redraw."
            )
    tests = pd.concat([split.loc[split["part"] == "test", "slide"] for split in rounds])
    if not _one_test_part(rounds) and (again := _first(tests[tests.duplicated()])):
        raise LeakError(
            f"Expected one test part for all rounds, or each slide tested once (leave-one-out), found {again!r} in "
            "several test parts that differ; draw the split again."
        )


def check_labelled(table: pd.DataFrame, split: pd.DataFrame, *, labels: str) -> None:
    """Every labelled slide is in the split, once (or with a row per tile), under the same patient."""
    table = table.drop_duplicates(["slide", "patient"]) if "row" in table else table
    if twice := _first(table["slide"][table["slide"].duplicated()]):
        raise LeakError(f"Expected every slide once in {labels}, found {twice!r} twice; make the labels again.")
    patients = table["slide"].map(split.set_index("slide")["patient"])
    if wrong := _first(table["slide"][patients != table["patient"]]):
        found = patients[table["slide"] == wrong].iloc[0]
        raise LeakError(
            f"Expected slide {wrong!r} of {labels} in the split under its patient, found {found!r}; "
            "make the labels again."
        )


def check_fitted(table: pd.DataFrame, rounds: list[pd.DataFrame], *, facts: dict) -> None:
    """Fit thresholds, or mean and variance, again on samples that no round tests: a claim is not a check."""
    tested = set(pd.concat([split.loc[split["part"] == "test", "slide"] for split in rounds]))
    used = table[table["sample"] != ""]
    clean = used[~used["sample"].isin(used.loc[used["slide"].isin(tested), "sample"])]
    values = clean.drop_duplicates("sample")["value"].dropna()
    claimed, fitted = _claimed_and_fitted(facts, values)
    differs = ~np.isclose(fitted, claimed, rtol=1e-9, atol=1e-12).all(axis=0)
    if differs.any():
        expected, found = fitted[:, differs][:, 0], claimed[:, differs][:, 0]
        raise LeakError(
            f"Expected what {facts['trait']} is labelled by to be fitted outside the test parts of all rounds "
            f"({expected[0]:g}, {expected[1]:g} on {len(values)} samples), found {found[0]:g}, {found[1]:g}: "
            "test samples took part. Make the labels again; leave-one-out schemes must fit on 'all' "
            "(fidelity row percentiles_fitted_on), and the report then says so."
        )


def _claimed_and_fitted(facts: dict, values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """The two numbers that labels.json says were fitted, and what they are on ``values``: 2 × traits."""
    if "fit" in facts:
        claimed = np.reshape([facts["fit"][name] for name in ("mean", "variance")], (2, -1))
        matrix = np.array(values.tolist(), float).reshape(len(values), -1)
        return claimed, np.stack([matrix.mean(axis=0), matrix.var(axis=0)])
    claimed = np.reshape([facts["thresholds"][name] for name in ("low", "high")], (2, 1))
    percent = [facts["rule"][name] for name in ("low", "high")]
    return claimed, np.reshape(np.percentile(values, percent) if len(values) else [np.nan, np.nan], (2, 1))


def _note(patients: int, *, unit: str) -> str:
    """That the test is not independent, and by how many patients."""
    who = "1 patient has" if patients == 1 else f"{patients} patients have"
    return NOT_INDEPENDENT.format(who=who, unit=unit)


def _one_test_part(rounds: list[pd.DataFrame]) -> bool:
    tests = [frozenset(split.loc[split["part"] == "test", "slide"]) for split in rounds]
    return len(set(tests)) == 1


def _sizes(split: pd.DataFrame, table: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Per part: units, patients, slides, and slides (or tiles) of each class where there are classes."""
    label = table.set_index("slide")["label"] if "label" in table else None
    sizes = {}
    for name in PARTS:
        here = split["part"] == name
        sizes[name] = {f"{column}s": int(split.loc[here, column].nunique()) for column in ("unit", "patient", "slide")}
        if label is not None:
            own = label[label.index.isin(split.loc[here, "slide"])]
            sizes[name] |= {"high": int((own == 1).sum()), "low": int((own == 0).sum())}
    return sizes


def _first(values: Sequence[str] | pd.Series | pd.Index) -> str | None:
    """The first in sorted order, so that the same fault always names the same item; None where there is none."""
    return min(values, default=None)

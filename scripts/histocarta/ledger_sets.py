"""What the ledger says of a set of traits: who has no index of heterogeneity, and who did not enter its survival."""

import pandas as pd

from histocarta.codes import LEDGER


def index_rows(index: pd.DataFrame, *, scope: str, tiled: pd.DataFrame, note: str = "") -> list[tuple]:
    """Slides and patients of ``tiled`` (slide, patient: those with tiles) with an HTI or without, by hti.tsv.

    Where every trait of the set is excluded the table is empty, and no slide has an index. ``note``: why tests of the
    set's task are not independent, blank where they are.
    """
    known = index if len(index) else tiled.assign(hti="", reason="trait_excluded")
    defined, lost = known[known["hti"] != ""], known[known["hti"] == ""]
    lost = lost.assign(code=lost["reason"].str.split(":").str[0], detail=lost["reason"].str.extract("(:.*)")[0])
    lost["reason"] = lost["code"].map(LEDGER) + lost["detail"].fillna("")
    used = {"slide": len(defined), "patient": defined["patient"].nunique()}
    rows = _block("heterogeneity", scope, tiled, lost, used=used, words="with an HTI")
    return rows + _noted("heterogeneity", scope, note)


def survival_rows(index: pd.DataFrame, record: dict, *, scope: str, note: str = "") -> list[tuple]:
    """Slides and patients with an HTI (hti.tsv) that the survival analysis used or not (survival.json)."""
    defined = index[index["hti"] != ""]
    lost = pd.DataFrame(
        [slide for step in record["selection"] for slide in step["excluded"]], columns=["slide", "patient", "code"]
    )
    lost = lost[lost["slide"].isin(defined["slide"])]
    # Of each patient one slide is used.
    used = {"slide": record["patients"], "patient": record["patients"]}
    lost = lost.assign(reason=lost["code"].map(LEDGER))
    rows = _block("survival", scope, defined, lost, used=used, words="of the analysis")
    return rows + _noted("survival", scope, note)


def _noted(stage: str, scope: str, note: str) -> list[tuple]:
    return [(stage, scope, "trait", "noted", scope.split("/")[1], "L-SHARED", note, 1)] if note else []


def _block(
    stage: str, scope: str, every: pd.DataFrame, lost: pd.DataFrame, *, used: dict[str, int], words: str
) -> list[tuple]:
    """Slides and patients in, left out and used; a patient without any slide left gets the last slide's reason.

    every : slide, patient; lost : slide, patient, code, reason, in the order in which they were left out.
    """
    left = set(every.loc[~every["slide"].isin(lost["slide"]), "patient"])
    patients = lost[~lost["patient"].isin(left)].drop_duplicates("patient", keep="last")
    rows = []
    for kind, gone in {"slide": lost, "patient": patients}.items():
        rows.append((stage, scope, kind, "in", "", "", f"{kind}s that came in", every[kind].nunique()))
        rows += [
            (stage, scope, kind, "excluded", item, code, reason, 1)
            for item, code, reason in zip(gone[kind], gone["code"], gone["reason"], strict=True)
        ]
        rows.append((stage, scope, kind, "used", "", "", f"{kind}s {words}", used[kind]))
    return rows

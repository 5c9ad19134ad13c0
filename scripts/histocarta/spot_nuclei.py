"""Which genes go with the shape, size, colour and number of nuclei in their spots, as measured and as predicted."""

import numpy as np
import pandas as pd

from histocarta.files import read_json, read_table, write_table
from histocarta.spot_features import COLOUR
from histocarta.spot_statistics import median, spearman

PLACE = ["slide", "row", "col"]
SHOWN = ("nuclei_count", "nuclei_area_mean", "nuclei_area_sd", "nuclei_ratio_mean", "nuclei_red_mean",
         "nuclei_blue_mean", "nuclei_nearest_mean", *COLOUR)  # fmt: skip
COLUMNS = ["gene", "feature", "n_patients", "rho_measured", "agree_measured", "rho_predicted", "agree_predicted"]


def relate_nuclei(*, features: str, scores: str, labels: str, summary: str, table: str) -> None:
    """Write how each gene ranks with each feature of its windows' nuclei and colour (He 2020, Tables S2 and S3).

    features : of :func:`histocarta.spot_features.measure_spots`. scores, labels, summary : of a trait. A row per gene
    and feature of ``SHOWN``: Spearman's rho over a patient's spots, its median over patients, measured and predicted,
    and in how many of the n_patients with one its sign is the median's. Spots of a section are neighbours: no p.
    """
    facts, known = read_json(summary), read_table(labels)
    known = known[known["target"].notna()] if len(known) else known
    spots = known.merge(read_table(features)[[*PLACE, *SHOWN]], on=PLACE, validate="one_to_one")
    predicted = spots[PLACE].merge(read_table(scores), on=PLACE, how="left").reindex(columns=facts["genes"])
    values = {
        "measured": np.array(spots["target"].to_list(), float).reshape(len(spots), len(facts["genes"])),
        "predicted": predicted.to_numpy(float),
    }
    shape = spots[list(SHOWN)].to_numpy(float)
    owners = list(spots.groupby("patient", observed=True).indices.values())
    parts = {name: np.array([rank_with(shape[at], table[at]) for at in owners]) for name, table in values.items()}
    found = pd.DataFrame(
        {"gene": np.tile(facts["genes"], len(SHOWN)), "feature": np.repeat(SHOWN, len(facts["genes"]))}
    )
    for name, rho in parts.items():
        flat = rho.reshape(len(owners), len(found))
        middle = median(flat) if len(owners) else np.full(len(found), np.nan)
        agree = (np.sign(flat) == np.sign(middle)).sum(axis=0)
        found = found.assign(**{f"rho_{name}": middle, f"agree_{name}": agree})
    found["n_patients"] = len(owners)
    write_table(found[COLUMNS], table)


def rank_with(features: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Spearman's rho of every feature with every gene over one patient's spots that have both: features × genes."""
    rows = []
    for feature in features.T:
        row = np.full(values.shape[1], np.nan)
        use = ~np.isnan(feature)
        genes = ~np.isnan(values[use]).any(axis=0)
        own = values[use][:, genes]
        row[genes] = spearman(np.broadcast_to(feature[use, None], own.shape), own)
        rows.append(row)
    return np.array(rows)

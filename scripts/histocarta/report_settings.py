"""What the report says of how it came about: every setting, paper, released code or correction, and the versions."""

from collections.abc import Mapping
from typing import Any

import yaml

from histocarta import fidelity
from histocarta.report_page import Note, Section, Table, Verbatim
from histocarta.versions import software


def settings_section(study: Mapping[str, Any]) -> Section:
    """Every setting, each choice between paper, released code and correction, and the versions."""
    column, overrides = study["fidelity"], study["fidelity_overrides"]
    choices = [
        (
            row.name,
            fidelity.choice(row.name, column=column, overrides=overrides),
            row.paper,
            row.released,
            row.corrected,
            row.what,
        )
        for row in fidelity.TABLE.values()
    ]
    return Section(
        "Settings and versions",
        [
            Note(f"Where the paper, its released code and sound practice differ, this study follows: {column}."),
            Table(("point", "this study", "paper", "released", "corrected", "what"), choices),
            Table(
                ("released fault", "what was wrong"),
                list(fidelity.NOT_REPRODUCED.items()),
                "Never reproduced",
                folded=True,
            ),
            Table(("software", "version"), list(software().items()), "Versions", folded=True),
            Verbatim("Settings, every key", yaml.safe_dump(dict(study), sort_keys=False, allow_unicode=True)),
        ],
    )

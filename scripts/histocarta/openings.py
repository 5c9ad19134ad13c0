"""Which models a test set was opened for, and when first: a set that chooses among models is no test of them."""

import datetime
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from histocarta.errors import InputError
from histocarta.files import read_json, sha256, write_json


def open_test_set(register: str | Path, *, test_set: str, models: Iterable[str], reopen: bool) -> dict[str, Any]:
    """Write down, in the file ``register``, that ``test_set`` is held against ``models`` (files); what it says then.

    The first opening stays on record. The same models, byte for byte, may be held against it again (a run that was
    killed, a new table); others only with ``reopen``, and the record then has both. Raises InputError without it.
    """
    digest = digest_of(models)
    record = read_json(register) if Path(register).is_file() else {"test_set": test_set, "openings": []}
    if record["openings"] and record["openings"][-1]["models_sha256"] == digest:
        return record
    if record["openings"] and not reopen:
        last = record["openings"][-1]
        raise InputError(
            f"E-OPENED Expected the models for which {test_set} was opened on {last['on']} (SHA-256 "
            f"{last['models_sha256'][:12]}…, {register}), found others ({digest[:12]}…). A test set that is opened for "
            "one model after another chooses among them, and tests none: set reopen_tests: true to do so all the same, "
            "and the report says it"
        )
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    record["openings"].append({"on": now, "models_sha256": digest})
    write_json(record, register)
    return record


def digest_of(files: Iterable[str]) -> str:
    """SHA-256 of the files' SHA-256, in order."""
    found = hashlib.sha256()
    for path in files:
        found.update(sha256(path).encode())
    return found.hexdigest()

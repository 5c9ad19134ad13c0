"""How a file comes into being: whole or not at all, and read back without guessing types."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # loaded where they are used: pandas and PyArrow take 95 MB
    import numpy as np
    import pandas as pd
    import pyarrow


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A private temporary path beside ``path`` that takes its place only when the block ends without an error.

    A killed or doubled job can therefore never leave half a file under the final name. What one killed before left
    under a temporary name is deleted; if that job still lives, it fails, and this one's file stands.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    suffix = "".join(path.suffixes[-1:])
    for left in path.parent.glob(f".{glob.escape(path.stem)}-????????{glob.escape(suffix)}"):
        left.unlink(missing_ok=True)
    # The suffix stays last: libvips, Keras and pandas choose the format by it.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes private files; results are shared within a group
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_table(frame: pd.DataFrame, path: str | Path, *, index: bool = False) -> None:
    """Write ``frame`` as .tsv or .parquet, chosen by the suffix; the index only where asked for."""
    with replacing(path) as temporary:
        if temporary.suffix == ".parquet":
            frame.to_parquet(temporary, index=index)
        else:
            frame.to_csv(temporary, sep="\t", index=index, lineterminator="\n")


def write_columns(columns: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write equally long columns of numbers, bools or text (dtype object) as .parquet; :func:`read_table` reads it.

    It loads no pandas, which takes more memory than all else that cuts a slide into tiles.
    """
    import pyarrow
    from pyarrow import parquet

    table = pyarrow.table({name: _arrow(values) for name, values in columns.items()})
    with replacing(path) as temporary:
        parquet.write_table(table, temporary)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table that the workflow wrote; every cell of a .tsv is text (a slide may be called ``0012`` or ``NA``)."""
    import pandas as pd

    if Path(path).suffix == ".parquet":
        return pd.read_parquet(path)
    return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)


def write_json(value: Any, path: str | Path) -> None:
    """Write ``value`` as indented JSON with sorted keys; NaN becomes null, so that every reader can parse it."""
    with replacing(path) as temporary:
        temporary.write_text(
            json.dumps(_plain(value), indent=2, sort_keys=True, allow_nan=False) + "\n", encoding="utf-8"
        )


def read_json(path: str | Path) -> Any:
    """Read what :func:`write_json` wrote."""
    return json.loads(Path(path).read_text(encoding="utf-8"))


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in blocks."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _arrow(values: np.ndarray) -> pyarrow.Array:
    """``values`` in PyArrow's memory layout; ``pyarrow.array`` would load pandas to see whether they are its own."""
    import numpy as np
    import pyarrow

    if values.dtype == object:
        texts = [text.encode() for text in values]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        return pyarrow.StringArray.from_buffers(len(texts), pyarrow.py_buffer(ends), pyarrow.py_buffer(b"".join(texts)))
    memory = np.packbits(values, bitorder="little") if values.dtype == bool else np.ascontiguousarray(values)
    kind = pyarrow.from_numpy_dtype(values.dtype)
    return pyarrow.Array.from_buffers(kind, len(values), [None, pyarrow.py_buffer(memory)])


def _plain(value: Any) -> Any:
    """``value`` in JSON's own types: NumPy scalars and arrays unwrapped, NaN and infinities as null, paths as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    return str(value) if isinstance(value, Path) else value

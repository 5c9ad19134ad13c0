"""How the models of many genes lie in one file, and how one of them is taken out."""

import shutil
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from histocarta.errors import InputError, nearest
from histocarta.files import replacing


def write_archive(models: Iterable[tuple[str, Path]], path: str | Path) -> None:
    """Write an archive with a member ``{name}.keras`` per pair of a name and a file, which may change from one to the
    next; equal models give equal bytes."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, file in models:
            member = zipfile.ZipInfo(f"{name}.keras")  # dated 1980; stored, as weights do not shrink
            with file.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)


@contextmanager
def unpacked(path: str | Path, *, names: Sequence[str], near: str | Path) -> Iterator[list[str]]:
    """The models called ``names`` as files in a temporary folder beside the file ``near``; their paths, in order.

    Raises InputError for an archive that is damaged or lacks one of them.
    """
    Path(near).parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=Path(near).parent) as folder:
        files = [Path(folder) / f"{number}.keras" for number in range(len(names))]
        try:
            with zipfile.ZipFile(path) as archive:
                for name, file in zip(names, files, strict=True):
                    _take_out(archive, name, file, path=path)
        except (zipfile.BadZipFile, FileNotFoundError) as error:
            raise InputError(
                f"I-MODEL Expected an archive of models at {path}, found: {error}; train these genes again"
            ) from error
        yield [str(file) for file in files]


def extract_model(*, models: str, trait: str, model: str) -> None:
    """Write the model of one gene of an archive as a file of its own."""
    with unpacked(models, names=[trait], near=model) as (file,), replacing(model) as temporary:
        shutil.copyfile(file, temporary)


def _take_out(archive: zipfile.ZipFile, name: str, file: Path, *, path: str | Path) -> None:
    if f"{name}.keras" not in archive.namelist():
        held = [Path(member).stem for member in archive.namelist()]
        raise InputError(f"I-MODEL Expected a model of {name} in {path}, found none{nearest(name, held)}")
    with archive.open(f"{name}.keras") as source, file.open("wb") as target:
        shutil.copyfileobj(source, target)  # its checksum is held against what is read

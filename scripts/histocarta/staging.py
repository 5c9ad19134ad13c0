"""Tiles on a node's own disk: one copy of each shard, shared by all jobs of the node (Wang 2021 copied theirs, too)."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from histocarta.errors import InputError
from histocarta.files import replacing
from histocarta.progress import progress

_BLOCK = 2**22  # bytes read at a time


def local_copies(shards: Mapping[str, str], *, folder: str) -> dict[str, str]:
    """Paths of the copies of ``shards`` (path: SHA-256) in ``folder``, by path; those that are there are not copied.

    ``folder`` may name variables of the job's environment ($TMPDIR, $USER). Copies are called by their SHA-256, which
    each is checked against as it is made, so that jobs and studies can share them. Nobody deletes them here: name a
    folder that the cluster clears. Raises InputError where there is no room, or a shard is not what the manifest says.
    """
    place = Path(os.path.expandvars(folder))
    if "$" in str(place):
        raise InputError(
            f"M-STAGE Expected the folder for tiles on the node, found {folder!r} with a variable unset here"
        )
    place.mkdir(parents=True, exist_ok=True)
    copies = {path: place / f"{digest}.tfrecord" for path, digest in shards.items()}
    missing = [path for path, copy in copies.items() if not copy.is_file()]
    need, free = sum(Path(path).stat().st_size for path in missing), shutil.disk_usage(place).free
    if need > free:
        raise InputError(
            f"M-STAGE Expected {need / 1e9:.1f} GB free in {place} for tiles, found {free / 1e9:.1f} GB; take the "
            "resource staging out of the profile, or name another folder"
        )
    for path in progress(missing, total=len(missing), what="shards copied to the node"):
        with _alone(copies[path].with_suffix(".lock")):
            if not copies[path].is_file():  # another job may have made it meanwhile
                _copy(path, copies[path], digest=shards[path])
    return {path: str(copy) for path, copy in copies.items()}


def _copy(source: str, copy: Path, *, digest: str) -> None:
    found = hashlib.sha256()
    with replacing(copy) as temporary, Path(source).open("rb") as stream, Path(temporary).open("wb") as target:
        while block := stream.read(_BLOCK):
            found.update(block)
            target.write(block)
        if found.hexdigest() != digest:
            raise InputError(f"M-SHARD Expected the SHA-256 {digest} of the manifest, found another in {source}")


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Wait for the lock; the kernel frees it when its holder dies."""
    with lock.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield

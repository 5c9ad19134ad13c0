"""How a file comes from the GDC: it goes on where it broke off, and has no name until its bytes are the manifest's.

Faults that pass (a dropped connection, a busy server) are waited for; those that do not (no such file, no permission)
end the download at once. What has arrived lies in ``.<name>.part`` beside the file, which no rule names as an output:
Snakemake deletes the outputs of a failed job, and would take it along.
"""

import errno
import hashlib
import shutil
import stat
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from histocarta.errors import InputError
from histocarta.locks import only_writer
from histocarta.progress import progress
from histocarta.servers import Passing, opened

BLOCK = 1 << 20
TIMEOUT = httpx.Timeout(60, pool=None)  # seconds to connect, and until the next bytes come
SLOWEST = 300.0  # seconds that a block may take
LONGEST_PAUSE = 120.0  # seconds between two tries, where the server does not ask for more


@dataclass(frozen=True)
class Policy:
    """How long a download is tried: ``patience`` seconds without a block, and ``wrong`` times that bytes are wrong."""

    patience: float = 1800.0
    wrong: int = 4
    pause: float = 1.0  # seconds: the first pause is drawn between 0 and this, each further range is twice as wide


class WrongBytes(Passing):
    """What came, or is on offer, is not the file that was asked for."""


@dataclass
class Transfer:
    """One file on its way: where from, what it must be, how often it was not, and when its last block came.

    size : bytes, 0 where they are not known. mark, began : at which byte and when the block under way begins.
    """

    url: str
    file: Path
    md5: str
    size: int
    policy: Policy
    wrong: int = 0
    mark: int = 0
    began: float = 0.0
    last_block: float = field(default_factory=time.monotonic)

    @property
    def part(self) -> Path:
        return self.file.with_name(f".{self.file.name}.part")

    @property
    def bad(self) -> Path:
        return self.file.with_name(f"{self.file.name}.bad")

    @property
    def arrived(self) -> int:
        """Bytes in the part file."""
        return self.part.stat().st_size if self.part.exists() else 0

    def begin_block(self, position: int) -> None:
        """A block is under way from ``position`` on."""
        self.mark, self.began = position, time.monotonic()

    def ends_block(self, position: int) -> bool:
        """Whether the bytes up to ``position`` complete the block; Passing where it takes too long."""
        if position >= self.mark + BLOCK:
            self.begin_block(position)
            self.last_block = self.began
            return True
        if time.monotonic() - self.began > SLOWEST:
            raise Passing(f"less than {BLOCK:,} bytes in {SLOWEST:.0f} s")
        return False

    def is_wrong(self, found: str, *, spoilt: bool = False) -> WrongBytes:
        """Count wrong bytes; where they are ``spoilt`` what arrived is deleted, or kept as ``.bad`` the last time."""
        self.wrong += 1
        if spoilt and self.wrong >= self.policy.wrong:
            self.part.replace(self.bad)
        elif spoilt:
            self.part.unlink()
        return WrongBytes(found)


def download(
    *,
    url: str,
    file: str | Path,
    md5: str,
    size: int = 0,
    token_file: str | None = None,
    policy: Policy = Policy(),
) -> None:
    """Fetch ``url`` into ``file``, which then has ``size`` bytes (0: any number) and the MD5 ``md5``.

    token_file : a GDC token for controlled data, sent to the server of ``url`` only and never printed.
    Raises InputError, one line, with D-GONE (no such file), D-AUTH (no permission), D-MD5 (other bytes again and again,
    the last kept as ``<name>.bad``), D-NET (nothing for ``policy.patience`` seconds), D-DISK (no room), D-TOKEN or
    D-REDIRECT; RuntimeError where another job downloads the file. The next call goes on with what has arrived.
    """
    transfer, token = Transfer(url, Path(file), md5.lower(), int(size), policy), read_token(token_file)
    name = transfer.file.name
    transfer.file.parent.mkdir(parents=True, exist_ok=True)
    lock = transfer.file.with_name(f".{name}.lock")
    with only_writer(lock, busy=f"another job downloads {name}"), httpx.Client(timeout=TIMEOUT) as client:
        _check_room(transfer)
        retrying = Retrying(
            retry=retry_if_exception_type(Passing),
            wait=_pause(policy),
            stop=lambda state: _is_over(state, transfer),
            before_sleep=lambda state: _say(
                f"{name}: {state.outcome.exception()}; trying again in {state.upcoming_sleep:.1f} s"
            ),
            reraise=True,
        )
        try:
            retrying(_attempt, client, transfer, token)
        except WrongBytes as wrong:
            kept = f"; the last is kept as {transfer.bad}" if transfer.bad.exists() else ""
            expected = f"{transfer.size} bytes with the MD5" if transfer.size else "the MD5"
            raise InputError(
                f"D-MD5 Expected {name} to have {expected} {transfer.md5} (manifest), found {wrong}, {transfer.wrong} "
                f"attempts{kept}; refresh the manifest, or take its line out"
            ) from None
        except Passing as passing:
            raise InputError(
                f"D-NET Expected {httpx.URL(url).host} to send {name}, found: {passing}; given up after "
                f"{policy.patience / 60:.3g} min. Start again later: it goes on at byte {transfer.arrived}"
            ) from None
        transfer.part.replace(transfer.file)
        transfer.bad.unlink(missing_ok=True)


def read_token(path: str | None) -> str | None:
    """The GDC token in ``path``; InputError where there is none, or where others may read the file."""
    if path is None:
        return None
    if not Path(path).is_file():
        raise InputError(f"D-TOKEN Expected a GDC token in {path}, found no such file; download one from the portal")
    if stat.S_IMODE(Path(path).stat().st_mode) & 0o077:
        raise InputError(f"D-TOKEN Expected {path} to be open to you alone, found it open to others; chmod 600 {path}")
    words = Path(path).read_text(encoding="utf-8").split()
    if len(words) != 1:
        raise InputError(f"D-TOKEN Expected one token and nothing else in {path}, found {len(words)} words")
    return words[0]


def _attempt(client: httpx.Client, transfer: Transfer, token: str | None) -> None:
    """One try at the rest of the part file, and whether the whole is what it must be."""
    if transfer.size and transfer.arrived > transfer.size:
        transfer.part.unlink()  # of another file, or another program's
    try:
        if not transfer.size or transfer.arrived < transfer.size:
            _receive(client, transfer, token)
    except httpx.TransportError as error:
        raise Passing(f"{str(error) or type(error).__name__} at byte {transfer.arrived}") from None
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _no_room(transfer, max(transfer.size - transfer.arrived, 1)) from None
        raise
    if transfer.size and transfer.arrived < transfer.size:
        raise Passing(f"the connection ended at byte {transfer.arrived} of {transfer.size}")
    with transfer.part.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if digest != transfer.md5:
        raise transfer.is_wrong(f"MD5 {digest} of {transfer.arrived} bytes", spoilt=True)


def _receive(client: httpx.Client, transfer: Transfer, token: str | None) -> None:
    """Append what the server sends to the part file, or write it anew where the server does not go on."""
    have, size = transfer.arrived, transfer.size
    with opened(client, transfer.url, begin=have, token=token) as reply:
        if reply.at_end:  # of a file whose size is not known it may be all: the MD5 tells
            if size:
                raise transfer.is_wrong(f"a server whose file ends before byte {have}", spoilt=True)
            return
        if reply.begin not in (0, have):
            raise transfer.is_wrong(f"a part that begins at byte {reply.begin} and not {have}", spoilt=True)
        if reply.is_text:
            raise transfer.is_wrong(f"a page of {reply.kind}")
        if size and reply.total not in (None, size):
            raise transfer.is_wrong(f"{reply.total} bytes on offer")
        if have:
            how = f"resumed at byte {have}" if reply.begin else "begun again, for the server cannot go on inside a file"
            _say(f"{transfer.file.name}: {how}")
        transfer.begin_block(reply.begin)
        with transfer.part.open("ab" if reply.begin else "wb") as out:
            blocks = -(-(size - reply.begin) // BLOCK) if size else None
            for _ in progress(_blocks(reply.chunks, out, transfer), total=blocks, what=f"MB of {transfer.file.name}"):
                pass


def _blocks(chunks: Iterator[bytes], out: BinaryIO, transfer: Transfer) -> Iterator[None]:
    """Write ``chunks``; one item for every whole block."""
    for chunk in chunks:
        out.write(chunk)
        if transfer.size and out.tell() > transfer.size:
            out.flush()
            raise transfer.is_wrong(f"more than {transfer.size} bytes", spoilt=True)
        if transfer.ends_block(out.tell()):
            yield


def _check_room(transfer: Transfer) -> None:
    missing = transfer.size - transfer.arrived - shutil.disk_usage(transfer.file.parent).free
    if missing > 0:
        raise _no_room(transfer, missing)


def _no_room(transfer: Transfer, missing: int) -> InputError:
    return InputError(
        f"D-DISK Expected room for {transfer.file.name} in {transfer.file.parent}, found {missing / 1e6:,.0f} MB too "
        "little; free some and start again: what has arrived is kept"
    )


def _pause(policy: Policy) -> Callable[[RetryCallState], float]:
    """Seconds until the next try: drawn from a range that doubles, and never less than the server asks."""
    drawn = wait_random_exponential(multiplier=policy.pause, max=LONGEST_PAUSE)
    return lambda state: max(drawn(state), state.outcome.exception().after)


def _is_over(state: RetryCallState, transfer: Transfer) -> bool:
    """Whether no further try is due: too many wrong files, or the next one would come after the patience is lost."""
    if isinstance(state.outcome.exception(), WrongBytes):
        return transfer.wrong >= transfer.policy.wrong
    return time.monotonic() + state.upcoming_sleep - transfer.last_block > transfer.policy.patience


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

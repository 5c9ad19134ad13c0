"""A download ends with the right bytes or a named failure, whatever the server does; killed, it goes on from there."""

import random
import signal
import ssl
import subprocess
import sys
import time

import pytest
from fault_server import NEWER, UUID, content, md5_of, serving
from histocarta.download import Policy, download
from histocarta.errors import InputError

SIZES = (100, 300_000, 3_000_000)
QUICK = Policy(patience=20, pause=0.01)
DOWNLOAD = """
import sys
from histocarta.download import download
download(url=sys.argv[1], file=sys.argv[2], md5=sys.argv[3], size=int(sys.argv[4]))
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
LOST = Policy(patience=0.3, pause=0.1)


@pytest.fixture(scope="module")
def server():
    with serving() as other, serving(other.root) as server:
        server.neighbour = other
        yield server


def fetch(server, behaviour, length, folder, *, policy=QUICK, **changes):
    """Download a file of ``length`` bytes that behaves as named; its path."""
    server.tries.clear()
    server.requests.clear()
    server.sent.clear()
    file = folder / UUID / "slide.svs"
    arguments = {"url": server.url(behaviour, length), "file": file, "md5": md5_of(length), "size": length} | changes
    download(**arguments, policy=policy)
    return file


def failure(server, behaviour, length, folder, **changes):
    """The message of a download that must fail, and leave nothing under the file's name."""
    with pytest.raises(InputError) as caught:
        fetch(server, behaviour, length, folder, **changes)
    assert not (folder / UUID / "slide.svs").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("known", [True, False], ids=["size known", "size unknown"])
@pytest.mark.parametrize(
    "behaviour",
    ["ok", "busy-once", "limited-once", "drops-once", "drops-always", "resets-once", "resets-inside", "wrong-once",
     "no-range", "other-range", "no-length", "chunked", "page-once", "moved", "moved-elsewhere"],
)  # fmt: skip
def test_what_passes_ends_with_the_right_bytes(server, tmp_path, behaviour, size, known):
    file = fetch(server, behaviour, size, tmp_path, size=size if known else 0)
    assert file.read_bytes() == content(size)
    assert [path.name for path in file.parent.iterdir()] == ["slide.svs"]


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A server with a certificate, and the file that makes it trusted."""
    folder = tmp_path_factory.mktemp("certificate")
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    files = ["-keyout", "key.pem", "-out", "certificate.pem"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names, *files]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    with serving(context=context) as server:
        yield server, folder / "certificate.pem"


@pytest.mark.parametrize("behaviour", ["ok", "drops-once", "resets-once", "busy-once", "moved"])
def test_over_https(secure, tmp_path, monkeypatch, behaviour):
    server, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert fetch(server, behaviour, 3_000_000, tmp_path).read_bytes() == content(3_000_000)


def test_a_server_that_nobody_vouches_for_is_not_believed(secure, tmp_path):
    said = failure(secure[0], "ok", 100, tmp_path, policy=LOST)
    assert "D-NET" in said and "certificate verify failed" in said


@pytest.mark.parametrize("size", SIZES)
def test_without_a_length_the_manifests_size_shows_that_a_file_is_short(server, tmp_path, size):
    assert fetch(server, "no-length-drops-once", size, tmp_path).read_bytes() == content(size)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("behaviour", "tries", "said"),
    [
        ("wrong", 4, "D-MD5 Expected slide.svs to have {size} bytes with the MD5 {md5} (manifest), found MD5 "),
        ("longer", 4, "found more than {size} bytes, 4 attempts; the last is kept as "),
        ("other-length", 4, "found {half} bytes on offer, 4 attempts; refresh the manifest, or take its line out"),
        ("page", 4, "found a page of text/html, 4 attempts; refresh the manifest"),
        ("gone", 1, "D-GONE Expected a file at {url}, found 404 Not Found; the GDC knows no newer {uuid}; refresh"),
        ("gone-superseded", 1, "the GDC has superseded it by {newer}; refresh the manifest, or take its line out"),
        ("gone-silent", 1, "whether the GDC has superseded {uuid} could not be asked; refresh the manifest"),
        ("forbidden", 1, "D-AUTH Expected {url} to be open to you, found 403 Forbidden: controlled data, or a token"),
        ("teapot", 1, "D-REFUSED Expected {url} to send a file, found 418"),
        ("moved-in-circles", 6, "D-REDIRECT Expected {url} to lead to a file, found more than 5 redirects"),
        ("moved-out", 1, "D-REDIRECT Expected localhost to point to an https address, found http://gdc.example"),
    ],
)
def test_what_stays_is_named(server, tmp_path, behaviour, tries, said, size):
    url = server.url(behaviour, size)
    facts = {"size": size, "half": size // 2, "md5": md5_of(size), "url": url, "uuid": UUID, "newer": NEWER}
    assert said.format(**facts) in failure(server, behaviour, size, tmp_path)
    assert len(server.requests) == tries


@pytest.mark.parametrize("size", SIZES)
def test_patience_has_an_end(server, tmp_path, size):
    said = failure(server, "busy", size, tmp_path, policy=LOST)
    assert said.startswith("D-NET Expected localhost to send slide.svs, found: localhost says 503 Service Unavailable")
    assert len(server.requests) > 1


def test_a_server_that_asks_for_hours_is_not_waited_for(server, tmp_path):
    began = time.monotonic()
    assert "D-NET" in failure(server, "limited-for-hours", 100, tmp_path)
    assert len(server.requests) == 1 and time.monotonic() - began < 10


def test_retry_after_may_be_seconds_or_a_date(server, tmp_path):
    for behaviour in ("limited-once", "limited-until-a-date"):
        began = time.monotonic()
        fetch(server, behaviour, 100, tmp_path / behaviour)
        assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:9/data/x", "refused"),
        ("http://no-such-host.invalid/data/x", "([Nn]ame|address)"),
    ],
)
def test_a_server_that_is_not_there_is_named_with_the_last_error(tmp_path, url, cause):
    with pytest.raises(InputError, match=rf"^D-NET Expected \S+ to send s.svs, found: .*{cause}.* at byte 0; given up"):
        download(url=url, file=tmp_path / "s.svs", md5=md5_of(100), size=100, policy=LOST)


def test_wrong_bytes_are_deleted_at_once_and_kept_the_last_time(server, tmp_path, capsys):
    failure(server, "wrong", 300_000, tmp_path)
    assert [path.name for path in (tmp_path / UUID).iterdir()] == ["slide.svs.bad"]
    assert capsys.readouterr().err.count("MD5") == 3  # and the fourth is the error
    fetch(server, "ok", 300_000, tmp_path)
    assert [path.name for path in (tmp_path / UUID).iterdir()] == ["slide.svs"]


def test_what_has_arrived_is_not_sent_again(server, tmp_path, capsys):
    fetch(server, "drops-once", 3_000_000, tmp_path)
    assert server.requests[1][1]["Range"] == "bytes=1500000-"
    assert "slide.svs: resumed at byte 1500000" in capsys.readouterr().err
    assert sum(server.sent.values()) == 3_000_000


def test_a_part_that_another_program_left_is_not_trusted(server, tmp_path):
    """The GDC's own client makes its part file as long as the whole from the start."""
    part = tmp_path / UUID / ".slide.svs.part"
    part.parent.mkdir()
    for left in (bytes(300_000), bytes(300_001), bytes(1000)):
        part.write_bytes(left)
        assert fetch(server, "ok", 300_000, tmp_path).read_bytes() == content(300_000)


def test_a_whole_part_needs_no_server(tmp_path):
    part = tmp_path / ".s.svs.part"
    part.write_bytes(content(100))
    download(url="http://127.0.0.1:9/data/x", file=tmp_path / "s.svs", md5=md5_of(100).upper(), size=100, policy=LOST)
    assert (tmp_path / "s.svs").read_bytes() == content(100)


def test_the_token_goes_to_one_server_and_nowhere_else(server, tmp_path, capfd):
    token = tmp_path / "token"
    token.write_text("secret-token\n")
    token.chmod(0o600)
    fetch(server, "forbidden", 100, tmp_path, token_file=str(token))
    assert server.requests[0][1]["X-Auth-Token"] == "secret-token"
    server.neighbour.requests.clear()
    fetch(server, "moved-elsewhere", 100, tmp_path, token_file=str(token))
    assert server.requests[0][1]["X-Auth-Token"] == "secret-token"
    assert "X-Auth-Token" not in server.neighbour.requests[0][1]
    assert "secret" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (None, 0o600, "found no such file"),
        ("secret-token", 0o644, "found it open to others; chmod 600"),
        ("secret-token two", 0o600, "Expected one token and nothing else in .*, found 2 words"),
        ("", 0o600, "found 0 words"),
    ],
)
def test_a_token_that_is_missing_open_or_no_token(server, tmp_path, text, mode, said):
    token = tmp_path / "token"
    if text is not None:
        token.write_text(text)
        token.chmod(mode)
    with pytest.raises(InputError, match=f"^D-TOKEN .*{said}") as caught:
        fetch(server, "ok", 100, tmp_path, token_file=str(token))
    assert "secret" not in str(caught.value)


def test_a_file_without_room_is_not_begun(server, tmp_path):
    size = 10**15
    said = failure(server, "ok", 100, tmp_path, size=size)
    assert "D-DISK Expected room for slide.svs in" in said and "MB too little; free some and start again" in said
    assert not server.requests


def test_a_disk_that_fills_up_keeps_what_has_arrived(server, tmp_path, monkeypatch):
    from histocarta import download as module

    class Full:
        """A file that takes a million bytes."""

        def __init__(self, stream):
            self.stream = stream

        def __getattr__(self, name):
            return getattr(self.stream, name)

        def write(self, data):
            if self.stream.tell() + len(data) > 1_000_000:
                raise OSError(28, "No space left on device")
            return self.stream.write(data)

    blocks = module._blocks
    monkeypatch.setattr(module, "_blocks", lambda chunks, out, transfer: blocks(chunks, Full(out), transfer))
    assert "D-DISK" in failure(server, "ok", 3_000_000, tmp_path)
    monkeypatch.undo()
    fetch(server, "ok", 3_000_000, tmp_path)
    assert server.requests[0][1]["Range"].startswith("bytes=9")


def test_two_jobs_do_not_write_one_file(server, tmp_path):
    slow = start(server, "throttled", 3_000_000, tmp_path)
    wait_for(tmp_path / ".slide.svs.part")
    with pytest.raises(
        RuntimeError, match=rf"M-LOCK .* held by process {slow.pid} .*: another job downloads slide.svs"
    ):
        download(url=server.url("ok", 3_000_000), file=tmp_path / "slide.svs", md5=md5_of(3_000_000), size=3_000_000)
    assert slow.wait() == 0
    assert (tmp_path / "slide.svs").read_bytes() == content(3_000_000)


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_moment_it_goes_on_there(server, tmp_path, seed):
    size, drawn = 3_000_000, random.Random(seed)
    file, part = tmp_path / "slide.svs", tmp_path / ".slide.svs.part"
    server.sent.clear()
    for _ in range(3):
        before = part.stat().st_size if part.exists() else 0
        process = start(server, "throttled", size, tmp_path)
        while not (part.exists() and part.stat().st_size > before) and process.poll() is None:
            time.sleep(0.01)
        time.sleep(drawn.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not file.exists() or file.read_bytes() == content(size)
    if not file.exists():
        download(url=server.url("ok", size), file=file, md5=md5_of(size), size=size)
    assert file.read_bytes() == content(size)
    assert sum(server.sent.values()) < size + 3 * 8_000_000


def test_memory_does_not_grow_with_the_file(server, tmp_path):
    peaks = []
    for size in (3_000_000, 60_000_000):
        process = start(server, "ok", size, tmp_path / str(size))
        peaks.append(int(process.stdout.read()))
        assert process.wait() == 0
    assert peaks[1] < peaks[0] + 8_000  # kB


def start(server, behaviour, size, folder):
    """A process of its own that downloads, and at its end prints the most memory that it had, kB."""
    words = [server.url(behaviour, size), str(folder / "slide.svs"), md5_of(size), str(size)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-c", DOWNLOAD, *words], **pipes, text=True)


def wait_for(path, seconds=20):
    for _ in range(100 * seconds):
        if path.exists():
            return
        time.sleep(0.01)
    pytest.fail(f"{path} did not come")

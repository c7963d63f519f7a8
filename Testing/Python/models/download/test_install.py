"""Downloads against a server of our own that breaks off, lies, redirects, dawdles and refuses; and files by hand."""

import contextlib
import random
import shutil
import stat
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from AcuteFindingsLib.errors import CancelledError, DownloadError, ModelError
from AcuteFindingsLib.models.download.catalogue import ArchiveSource, CatalogueEntry, load_catalogue
from AcuteFindingsLib.models.download.fetch import Patience
from AcuteFindingsLib.models.download.install import PARTIAL_FOLDER, download_model, install_package
from AcuteFindingsLib.models.download.mirror import write_mirror
from AcuteFindingsLib.models.runtime import torch_weights

QUICK = Patience(connect_s=2, read_s=1, retries=2, pause_s=0.01)


@dataclass
class Behavior:
    """What the server does, and what it was asked."""

    folder: Path
    breaks: list[int] = field(default_factory=list)  # how many bytes each answer sends before the line breaks
    ranges: bool = True
    lie: bytes | None = None
    status: list[int] = field(default_factory=list)  # error statuses, one an answer
    redirects: int = 0
    delay: float = 0.0  # seconds before each piece
    stall: bool = False  # nothing comes after the first piece of the first answer
    wrong_start: bool = False
    leads_to: str = ""  # another address
    piece: int = 4096  # bytes at once
    asked: list[tuple[str, str]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    behavior: Behavior

    def do_GET(self):
        does = self.behavior
        asked = self.headers.get("Range", "")
        does.asked.append((self.path, asked))
        if does.status:
            self.answer(does.status.pop(0), b"no")
            return
        if does.leads_to:
            self.send_response(302)
            self.send_header("Location", does.leads_to)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if does.redirects:
            does.redirects -= 1
            self.send_response(302)
            self.send_header("Location", f"{self.path}?again")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = does.folder / self.path.split("?")[0].lstrip("/")
        if not file.is_file():
            self.answer(404, b"not here")
            return
        data = does.lie if does.lie is not None and file.suffix == ".zip" else file.read_bytes()
        start = int(asked[6:-1]) if asked and does.ranges else 0
        if start > len(data):
            self.answer(416, b"")
            return
        self.send_response(206 if start else 200)
        if start:
            told = start - 1 if does.wrong_start else start
            self.send_header("Content-Range", f"bytes {told}-{len(data) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        self.send(data[start:])

    def send(self, data):
        does = self.behavior
        most = does.breaks.pop(0) if does.breaks else len(data)
        for position in range(0, most, does.piece):
            if does.delay:
                time.sleep(does.delay)
            if does.stall and (position or len(does.asked) > 1):
                time.sleep(1)
            self.wfile.write(data[position : min(position + does.piece, most)])
            self.wfile.flush()
        if most < len(data):
            self.close_connection = True

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self):
        # A client that leaves in the middle is what these tests are about.
        with contextlib.suppress(ConnectionError):
            super().handle()

    def log_message(self, *_arguments):
        pass


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch, build):
    """Let the small package of these tests be verified with its own network."""
    made = torch_weights.make_network
    monkeypatch.setattr(
        torch_weights,
        "make_network",
        lambda network, *, source, build=None: made(network, source=source, build=build or tiny),
    )
    tiny = build


@pytest.fixture
def server(tmp_path, network, write) -> Iterator[Behavior]:
    """A server with a mirror of one small package, its archive about 200 kB."""
    # Random, so that the archive does not shrink.
    license = random.Random(1).randbytes(150_000).hex()
    package = write(tmp_path / "source" / "tiny-test", network.state_dict(), license_text=license)
    write_mirror([package], tmp_path / "mirror")
    behavior = Behavior(tmp_path / "mirror")
    handler = type("BoundHandler", (Handler,), {"behavior": behavior})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    running.daemon_threads = True
    thread = threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    behavior.url = f"http://127.0.0.1:{running.server_port}"
    yield behavior
    running.shutdown()
    running.server_close()
    thread.join()


@pytest.fixture
def entry(server) -> CatalogueEntry:
    made = load_catalogue(f"{server.url}/catalogue.json").entry("tiny-test")
    server.asked.clear()
    return made


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


def get(entry, cache, **options):
    return download_model(entry, cache=cache, patience=QUICK, **options)


def partial(cache) -> Path:
    return next((cache / PARTIAL_FOLDER).glob("*.partial"))


def installed(cache) -> list[str]:
    return sorted(path.name for path in cache.iterdir() if not path.name.startswith(".")) if cache.is_dir() else []


def left_over(cache) -> list[str]:
    """Everything but packages and what a later download can use."""
    found = [path.name for path in cache.iterdir() if path.name.startswith(".") and path.name != PARTIAL_FOLDER]
    return found + [
        path.name for path in (cache / PARTIAL_FOLDER).iterdir() if path.suffix not in (".partial", ".lock")
    ]


def test_a_model_is_downloaded_verified_and_installed(entry, server, cache):
    told = []
    package = get(entry, cache, progress=lambda text, share: told.append((text, share)))
    package.verify_files()
    assert (package.id, package.folder) == ("tiny-test", cache / "tiny-test")
    assert [path for path, _ in server.asked] == ["/tiny-test-0.1.0.zip"]
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[-1], len(shares) > 10) == (1.0, True)
    assert "Downloading tiny-test (0.2 MB)" in {text for text, _ in told}
    assert not list((cache / PARTIAL_FOLDER).iterdir())
    assert not left_over(cache)


def test_what_is_installed_is_not_downloaded_again(entry, server, cache):
    get(entry, cache)
    server.asked.clear()
    assert get(entry, cache).id == "tiny-test"
    assert server.asked == []
    newer = entry.model_copy(update={"version": "0.2.0"})
    with pytest.raises(ModelError, match=r"installed in version 0\.1\.0; delete it first to get 0\.2\.0"):
        get(newer, cache)


def test_a_line_that_breaks_is_taken_up_where_it_broke(entry, server, cache):
    server.breaks = [50_000, 60_000]
    assert get(entry, cache).id == "tiny-test"
    starts = [int(asked[6:-1]) for _, asked in server.asked if asked]
    assert len(server.asked) == 3
    assert 0 < starts[0] <= 50_000 < starts[1] <= 110_000


def test_a_download_that_failed_goes_on_in_the_next_one(entry, server, cache):
    server.breaks = [50_000, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"broke off.*is kept"):
        get(entry, cache)
    kept = partial(cache).stat().st_size
    assert 40_000 < kept <= 50_000
    assert installed(cache) == []
    server.breaks, server.asked = [], []
    get(entry, cache)
    assert server.asked == [("/tiny-test-0.1.0.zip", f"bytes={kept}-")]


def test_a_server_without_ranges_sends_all_again(entry, server, cache):
    server.breaks, server.ranges = [50_000], False
    assert get(entry, cache).id == "tiny-test"
    assert len(server.asked) == 2


def test_wrong_bytes_are_refused_and_not_kept(entry, server, cache):
    server.lie = b"x" * entry.source.size
    with pytest.raises(DownloadError, match="SHA-256"):
        get(entry, cache)
    assert installed(cache) == []
    assert not left_over(cache)
    assert not list((cache / PARTIAL_FOLDER).glob("*.partial"))
    server.lie = None
    assert get(entry, cache).id == "tiny-test"


def test_a_part_of_another_file_is_thrown_away_and_all_is_fetched_anew(entry, server, cache):
    folder = cache / PARTIAL_FOLDER
    folder.mkdir(parents=True)
    (folder / f"{entry.source.sha256[:16]}.partial").write_bytes(b"y" * 1000)
    assert get(entry, cache).id == "tiny-test"
    assert [bool(asked) for _, asked in server.asked] == [True, False]


@pytest.mark.parametrize("more", [-1000, 1000])
def test_a_file_of_another_size_is_refused_before_it_is_fetched(entry, server, cache, more):
    server.lie = b"<html>" + b" " * (entry.source.size + more - 6)
    with pytest.raises(DownloadError, match="login page"):
        get(entry, cache)
    assert len(server.asked) == 1


def test_redirects_are_followed_but_not_in_a_circle(entry, server, cache):
    server.redirects = 3
    assert get(entry, cache).id == "tiny-test"
    shutil.rmtree(cache)
    server.redirects = 1000
    with pytest.raises(DownloadError, match="in a loop"):
        get(entry, cache)


@pytest.mark.slow
def test_a_slow_server_is_waited_for(entry, server, cache):
    server.delay = 0.02
    assert get(entry, cache).id == "tiny-test"
    assert len(server.asked) == 1


@pytest.mark.slow
def test_a_server_that_falls_silent_is_given_up_with_the_part_kept(entry, server, cache):
    server.stall = True
    server.breaks = [8192] * 9
    with pytest.raises(DownloadError, match=r"did not answer in time\..*is kept"):
        download_model(entry, cache=cache, patience=Patience(connect_s=1, read_s=0.2, retries=1, pause_s=0.01))
    assert installed(cache) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "told", "times"),
    [(404, "is not there", 1), (410, "out of date", 1), (403, "login", 1), (500, "a problem", 2), (503, "later", 2)],
)
def test_refusals_are_told_and_passing_troubles_tried_again(entry, server, cache, status, told, times):
    server.status = [status] * 9
    with pytest.raises(DownloadError, match=told) as caught:
        get(entry, cache)
    assert str(status) in str(caught.value)
    assert len(server.asked) == times
    assert installed(cache) == []


def test_a_server_that_recovers_is_enough(entry, server, cache):
    server.status = [503]
    assert get(entry, cache).id == "tiny-test"


def test_the_next_address_is_tried_and_goes_on_with_the_same_part(entry, server, cache):
    source = entry.source.model_copy(update={"urls": [f"{server.url}/gone.zip", *entry.source.urls]})
    assert get(entry.model_copy(update={"source": source}), cache).id == "tiny-test"
    assert [path for path, _ in server.asked] == ["/gone.zip", "/tiny-test-0.1.0.zip"]


def test_another_part_than_asked_for_is_refused(entry, server, cache):
    server.breaks, server.wrong_start = [50_000], True
    with pytest.raises(DownloadError, match="another part"):
        get(entry, cache)


def test_cancel_in_the_middle_keeps_the_part_and_installs_nothing(entry, server, cache):
    shares = []
    with pytest.raises(CancelledError, match="kept"):
        get(
            entry,
            cache,
            progress=lambda _text, share: shares.append(share),
            cancelled=lambda: bool(shares) and shares[-1] > 0.4,
        )
    assert installed(cache) == []
    assert not left_over(cache)
    kept = partial(cache).stat().st_size
    assert 0.4 < kept / entry.source.size < 0.9
    server.asked.clear()
    get(entry, cache)
    assert server.asked[0][1] == f"bytes={kept}-"


def test_two_downloads_of_one_model_do_not_meet(entry, cache):
    from filelock import FileLock

    (cache / PARTIAL_FOLDER).mkdir(parents=True)
    with (
        FileLock(cache / PARTIAL_FOLDER / f"{entry.source.sha256[:16]}.lock"),
        pytest.raises(DownloadError, match="another program"),
    ):
        get(entry, cache)


def test_offline_is_told_with_what_to_do(entry, cache):
    source = entry.source.model_copy(update={"urls": ["http://127.0.0.1:9/a.zip"]})
    with pytest.raises(DownloadError) as caught:
        get(entry.model_copy(update={"source": source}), cache)
    for wanted in ("127.0.0.1:9 cannot be reached", "offline", "HTTP_PROXY", "models install FILE"):
        assert wanted in str(caught.value)


def test_a_proxy_that_does_not_answer_is_named_without_its_login(entry, cache, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://somebody:secret@127.0.0.1:9")
    source = entry.source.model_copy(update={"urls": ["http://models.example/a.zip?token=secret"]})
    with pytest.raises(DownloadError) as caught:
        get(entry.model_copy(update={"source": source}), cache)
    assert "127.0.0.1:9" in str(caught.value)
    assert "HTTP_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_proxy_of_the_environment_is_used(entry, server, cache, monkeypatch):
    # To a proxy, the address is asked for in full; the small server reads only its path.
    monkeypatch.setenv("http_proxy", server.url)
    source = entry.source.model_copy(update={"urls": ["http://models.example/tiny-test-0.1.0.zip"]})
    (server.folder / "http:" / "models.example").mkdir(parents=True)
    shutil.copy(server.folder / "tiny-test-0.1.0.zip", server.folder / "http:" / "models.example")
    assert get(entry.model_copy(update={"source": source}), cache).id == "tiny-test"
    assert server.asked[-1][0] == "http://models.example/tiny-test-0.1.0.zip"


def test_a_full_disk_is_told_before_anything_is_fetched(entry, server, cache, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: shutil._ntuple_diskusage(10, 10, 1000))
    with pytest.raises(DownloadError, match="make room"):
        get(entry, cache)
    assert server.asked == []


def test_a_redirect_to_what_is_not_the_web_is_not_followed(entry, server, cache):
    server.leads_to = "file:///etc/passwd"
    with pytest.raises(DownloadError, match=r"redirects to file://.*it was not followed"):
        get(entry, cache)
    assert not installed(cache)


@pytest.mark.slow
def test_a_line_that_drips_is_given_up_with_the_part_kept(entry, server, cache):
    server.delay, server.piece = 0.3, 1
    patience = Patience(connect_s=0.3, read_s=0.5, retries=1, pause_s=0.01)
    start = time.monotonic()
    with pytest.raises(DownloadError, match="did not answer in time"):
        download_model(entry, cache=cache, patience=patience)
    assert time.monotonic() - start < 8


def test_a_size_beyond_the_budget_is_not_downloaded(entry, server, cache):
    huge = entry.model_copy(update={"source": entry.source.model_copy(update={"size": 9 * 2**30})})
    with pytest.raises(DownloadError, match="more than any model package takes"):
        get(huge, cache)
    assert server.asked == []


def test_a_disk_that_fills_up_on_the_way_is_told(entry, server, cache, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("AcuteFindingsLib.models.download.fetch._fetch_rest", full)
    with pytest.raises(DownloadError, match=r"could not be written to .*No space left on device"):
        get(entry, cache)


def test_an_archive_of_another_model_is_not_installed(entry, cache):
    other = entry.model_copy(update={"id": "other"})
    with pytest.raises(ModelError, match="holds the model 'tiny-test'"):
        get(other, cache)
    assert installed(cache) == []


def test_what_is_not_an_archive_says_how_it_is_had(entry, cache):
    for listed in load_catalogue().models:
        with pytest.raises(ModelError, match=r"nothing to download|providers consent"):
            get(listed, cache)
    assert not cache.exists()


def test_a_catalogue_out_of_reach_is_told(server):
    with pytest.raises(DownloadError, match="is not there"):
        load_catalogue(f"{server.url}/nowhere.json")
    (server.folder / "page.json").write_text("<html>Welcome to our network</html>")
    with pytest.raises(ModelError, match="not valid JSON"):
        load_catalogue(f"{server.url}/page.json")


def test_a_mirror_in_a_shared_folder_needs_no_server(server, cache):
    entry = load_catalogue(server.folder).entry("tiny-test")
    assert isinstance(entry.source, ArchiveSource)
    assert get(entry, cache).id == "tiny-test"
    assert server.asked == []


def test_a_zip_file_and_a_folder_by_hand_give_the_same_package(server, tmp_path):
    by_zip = install_package(server.folder / "tiny-test-0.1.0.zip", cache=tmp_path / "a")
    by_folder = install_package(tmp_path / "source" / "tiny-test", cache=tmp_path / "b")
    assert by_zip.checksums == by_folder.checksums
    assert installed(tmp_path / "a") == installed(tmp_path / "b") == ["tiny-test"]
    with pytest.raises(ModelError, match="already; delete it first"):
        install_package(tmp_path / "source" / "tiny-test", cache=tmp_path / "b")


def repacked(server, target, change):
    """Write the archive again with its entries changed: `change(entries)` gets and gives {name: bytes or ZipInfo}."""
    with zipfile.ZipFile(server.folder / "tiny-test-0.1.0.zip") as packed:
        entries = {name: packed.read(name) for name in packed.namelist()}
    with zipfile.ZipFile(target, "w") as packed:
        for name, data in change(entries):
            packed.writestr(name, data)
    return target


def link(name):
    made = zipfile.ZipInfo(name)
    made.external_attr = (stat.S_IFLNK | 0o777) << 16
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda e: [*e.items(), ("../outside.txt", b"x")], "outside its folder"),
        (lambda e: [*e.items(), ("/outside.txt", b"x")], "outside its folder"),
        (lambda e: [*e.items(), ("tiny-test/..\\outside.txt", b"x")], "outside its folder"),
        (lambda e: [*e.items(), (link("tiny-test/docs/link"), b"/etc/passwd")], "holds a link"),
        (lambda e: [*e.items(), ("tiny-test/license", b"x")], "twice"),
        (lambda e: [*e.items(), ("tiny-test/extra.py", b"x")], "does not belong"),
        (lambda e: [(n, d) for n, d in e.items() if "model.safe" not in n], "missing"),
        (lambda e: [(n, d + b" " if n.endswith("LICENSE") else d) for n, d in e.items()], "SHA-256"),
        (lambda e: [("notes.txt", b"x")], "0 model packages"),
    ],
)
def test_an_archive_that_will_not_do_leaves_nothing(server, tmp_path, change, told):
    cache = tmp_path / "cache"
    with pytest.raises(ModelError, match=told):
        install_package(repacked(server, tmp_path / "bad.zip", change), cache=cache)
    assert list(cache.iterdir()) == []
    assert not list(tmp_path.rglob("outside.txt"))


def test_no_zip_and_half_a_zip_are_told(server, tmp_path):
    (tmp_path / "no.zip").write_text("nothing")
    whole = (server.folder / "tiny-test-0.1.0.zip").read_bytes()
    (tmp_path / "half.zip").write_bytes(whole[: len(whole) // 2])
    for name in ("no.zip", "half.zip", "gone.zip"):
        with pytest.raises(ModelError, match=f"{name} could not be unpacked"):
            install_package(tmp_path / name, cache=tmp_path / "cache")
    assert installed(tmp_path / "cache") == []


def test_a_folder_with_a_link_is_refused(server, tmp_path):
    folder = tmp_path / "source" / "tiny-test"
    (folder / "docs" / "link.md").symlink_to("/etc/hostname")
    with pytest.raises(ModelError, match="link"):
        install_package(folder, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_stopping_while_unpacking_leaves_nothing(server, tmp_path):
    with pytest.raises(CancelledError):
        install_package(server.folder / "tiny-test-0.1.0.zip", cache=tmp_path / "cache", cancelled=lambda: True)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.fixture
def acutefindings(monkeypatch, tmp_path, capsys):
    """Run the command in this process with a home folder of its own: `status, out, err = acutefindings(...)`."""
    import sys

    from AcuteFindingsLib import cli

    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["acutefindings", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return run


def test_the_command_lists_asks_and_downloads(server, acutefindings, tmp_path):
    address = ("--catalogue", f"{server.url}/catalogue.json")
    status, out, _ = acutefindings("models", "download", "--list", *address)
    assert status == 0
    assert "tiny-test 0.1.0  for hemorrhage  0.2 MB" in out
    assert "license  BSD-3-Clause" in out
    status, out, err = acutefindings("models", "download", "tiny-test", *address)
    assert (status, "add --yes" in err) == (2, True)
    assert "cite     RADnet (2017)" in out
    status, out, _ = acutefindings("models", "download", "--all", "--yes", *address)
    assert status == 0
    assert f"tiny-test 0.1.0 is installed in {tmp_path / 'home' / '.cache' / 'acutefindings' / 'tiny-test'}" in out
    _, out, _ = acutefindings("models", "catalogue", *address)
    assert "how      installed" in out


def test_the_command_tells_what_cannot_be_downloaded(server, acutefindings):
    status, _, err = acutefindings("models", "download", "lungs-unet-small")
    assert (status, "came with the extension" in err) == (2, True)
    status, _, err = acutefindings("models", "download", "no-such", "--catalogue", server.folder)
    assert (status, "lists no model 'no-such'; it lists tiny-test" in err) == (2, True)
    status, _, err = acutefindings("models", "download", "tiny-test", "--all")
    assert (status, "not several" in err) == (2, True)
    status, out, _ = acutefindings("models", "download", "--all")
    assert (status, "no model that is downloaded" in out) == (0, True)


def test_the_command_makes_a_mirror_and_installs_by_hand(server, acutefindings, tmp_path):
    status, out, _ = acutefindings("models", "mirror", tmp_path / "source" / "tiny-test", "--out", tmp_path / "disk")
    assert (status, str(tmp_path / "disk" / "catalogue.json") in out) == (0, True)
    status, out, _ = acutefindings("models", "install", tmp_path / "disk" / "tiny-test-0.1.0.zip")
    assert (status, "is installed in" in out) == (0, True)
    status, _, err = acutefindings("models", "install", tmp_path / "nothing.zip")
    assert (status, "does not exist" in err) == (2, True)

"""The download of CIFAR-10, against a small server on this machine that can misbehave."""

import gzip
import socket
import threading
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from common.data import download
from common.data.download import DownloadError
from common.tests.data.fake_cifar10 import fake_cifar10, md5


@pytest.fixture(scope="module")
def cifar10():
    return fake_cifar10()


class Server:
    """What the server does with requests for its one file, and what it was asked for."""

    def __init__(self, content):
        self.content = content
        self.cuts = []  # the number of bytes after which each of the next answers breaks off
        self.knows_ranges = True
        self.gives = True  # more than its first byte
        self.status = None  # an error to answer with
        self.silent = 0.0  # seconds before it answers
        self.wanted = []  # first bytes asked for, questions whether the file is there left out


@pytest.fixture
def serve():
    """Starts servers on this machine: each holds one file, at its ``url``."""
    running = []

    def start(content):
        server = Server(content)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers["Range"].removeprefix("bytes=")
                time.sleep(server.silent)
                if server.status:
                    self.send_error(server.status)
                    return
                first, last = wanted.split("-")
                first = int(first) if server.knows_ranges else 0
                if first >= len(server.content) or not (last or server.gives):
                    self.send_error(416)
                    return
                body = server.content[first:]
                probe = last != ""
                if probe and server.knows_ranges:
                    body = body[: int(last) + 1]
                if not probe:
                    server.wanted.append(int(wanted[:-1]))
                self.send_response(206 if server.knows_ranges else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                cut = server.cuts.pop(0) if server.cuts and not probe else len(body)
                # The other side may only have wanted to know whether there is an answer.
                with suppress(ConnectionError):
                    self.wfile.write(body[:cut])

            def log_message(self, *_):
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        running.append(httpd)
        server.url = f"http://127.0.0.1:{httpd.server_port}/cifar.tar.gz"
        return server

    yield start
    for httpd in running:
        httpd.shutdown()
        httpd.server_close()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


CONTENT = np.random.default_rng(1).bytes(300_000)


def get(folder, *sources, patience=2.0):
    target = folder / "file.bin"
    download.fetch([getattr(s, "url", s) for s in sources], target, md5(CONTENT), patience=patience)
    return target


def test_fetches_the_file_and_leaves_nothing_else(serve, tmp_path, capsys):
    target = get(tmp_path, serve(CONTENT))
    assert target.read_bytes() == CONTENT
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]
    assert "300k/300k" in capsys.readouterr().err  # the progress bar


def test_goes_on_after_a_cut_connection(serve, tmp_path):
    server = serve(CONTENT)
    server.cuts = [100_000, 50_000]
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert server.wanted == [0, 100_000, 150_000]


def test_goes_on_at_the_next_call(serve, tmp_path):
    server = serve(CONTENT)
    server.cuts = [100_000, 0]
    with pytest.raises(DownloadError, match=r"connection was cut.*0\.1 MB of it are here"):
        get(tmp_path, server)
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert server.wanted == [0, 100_000, 100_000]


def test_goes_on_after_the_reader_stopped_it(serve, tmp_path, monkeypatch):
    server = serve(CONTENT)
    monkeypatch.setattr(download, "BLOCK", 10_000)
    update, calls = download.tqdm.update, []

    def stop(bar, n=1):
        calls.append(n)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return update(bar, n)

    with monkeypatch.context() as patch:
        patch.setattr(download.tqdm, "update", stop)
        with pytest.raises(KeyboardInterrupt):
            get(tmp_path, server)
    arrived = (tmp_path / "file.bin.part").stat().st_size
    assert 0 < arrived <= 50_000
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert server.wanted == [0, arrived]


def test_another_source_goes_on_where_one_stopped(serve, tmp_path):
    first, second = serve(CONTENT), serve(CONTENT)
    first.cuts = [120_000, 0]
    assert get(tmp_path, first, second).read_bytes() == CONTENT
    assert second.wanted == [120_000]


def test_a_server_that_ignores_ranges_loses_nothing(serve, tmp_path):
    server = serve(CONTENT)
    server.knows_ranges = False
    (tmp_path / "file.bin.part").write_bytes(CONTENT[:77_777])
    server.cuts = [200_000]
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert server.wanted == [77_777, 200_000]


def test_a_wrong_file_is_removed_and_named(serve, tmp_path):
    server = serve(b"<html>please log in</html>")
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+: sent another file \(wrong md5"):
        get(tmp_path, server)
    assert list(tmp_path.iterdir()) == []


def test_after_a_wrong_file_the_next_source_starts_afresh(serve, tmp_path):
    wrong, right = serve(CONTENT[::-1]), serve(CONTENT)
    assert get(tmp_path, wrong, right).read_bytes() == CONTENT
    assert right.wanted == [0]


@pytest.mark.parametrize("wrong", [b"<html>please log in</html>", CONTENT[::-1], CONTENT * 2])
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_source_with_another_file_takes_nothing_from_the_others(
    serve, tmp_path, wrong, knows_ranges
):
    other, right, part = serve(wrong), serve(CONTENT), tmp_path / "file.bin.part"
    other.knows_ranges = knows_ranges
    part.write_bytes(CONTENT[:77_777])
    with pytest.raises(DownloadError, match=r"sent another file .*0\.1 MB of it are here"):
        get(tmp_path, other)
    assert part.read_bytes() == CONTENT[:77_777]
    assert get(tmp_path, other, right).read_bytes() == CONTENT
    assert right.wanted == [77_777]
    assert [path.name for path in tmp_path.iterdir()] == ["file.bin"]


def test_a_source_that_gives_its_first_byte_alone_is_named(serve, tmp_path):
    server, part = serve(CONTENT), tmp_path / "file.bin.part"
    server.gives = False
    part.write_bytes(CONTENT[:77_777])
    with pytest.raises(DownloadError, match=r"127\.0\.0\.1:\d+: HTTP 416"):
        get(tmp_path, server)
    assert part.read_bytes() == CONTENT[:77_777]


@pytest.mark.parametrize("leftover", [b"something else", CONTENT + b"and more", CONTENT[::-1]])
def test_a_useless_leftover_is_replaced_from_the_same_source(serve, tmp_path, leftover):
    server = serve(CONTENT)
    (tmp_path / "file.bin.part").write_bytes(leftover)
    assert get(tmp_path, server).read_bytes() == CONTENT
    assert server.wanted[-1] == 0


def test_a_complete_leftover_needs_no_network(tmp_path):
    (tmp_path / "file.bin.part").write_bytes(CONTENT)
    assert get(tmp_path).read_bytes() == CONTENT


def test_a_missing_file_sends_it_to_the_next_source(serve, tmp_path):
    first, second = serve(CONTENT), serve(CONTENT)
    first.status = 404
    assert get(tmp_path, first, second).read_bytes() == CONTENT
    second.status = 503
    (tmp_path / "file.bin").unlink()
    with pytest.raises(DownloadError, match=r"HTTP 404 .*; .*HTTP 503 "):
        get(tmp_path, first, second)


@contextmanager
def deaf_server():
    """A port that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def test_silent_servers_are_left_behind_together(serve, tmp_path):
    with deaf_server() as one, deaf_server() as two, deaf_server() as three:
        started = time.monotonic()
        with pytest.raises(DownloadError, match=r"no answer within 0\.4 s"):
            get(tmp_path, one, two, three, patience=0.4)
        assert time.monotonic() - started < 1.2 * 0.4 + 0.5
        # One that answers is found behind them.
        assert get(tmp_path, one, serve(CONTENT), patience=0.4).read_bytes() == CONTENT


def test_a_name_server_that_stays_silent_is_left_behind(tmp_path, monkeypatch):
    over = threading.Event()

    def answer_late(*_, **__):
        over.wait(10)
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", answer_late)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=r"no answer within 0\.3 s"):
        get(tmp_path, "http://no.such.host/x", "http://nor.this.one/x", patience=0.3)
    assert time.monotonic() - started < 2
    over.set()


def test_a_machine_without_network_is_told_so_at_once(tmp_path, monkeypatch):
    def offline(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", offline)
    started = time.monotonic()
    with pytest.raises(DownloadError, match="is this machine online"):
        get(tmp_path, *download.SOURCES, patience=download.PATIENCE)
    assert time.monotonic() - started < 2


def test_default_patience_notices_a_missing_network_in_time():
    assert download.PATIENCE < 10


def test_refused_connections_and_nonsense_are_reported_plainly(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError) as caught:
        get(tmp_path, f"http://127.0.0.1:{port}/x", "ftp//nonsense")
    message = str(caught.value)
    assert "refused" in message
    assert "unknown url type" in message
    assert f"put the file into {tmp_path}" in message
    assert "\n" not in message


def test_a_server_that_falls_silent_in_the_middle_is_left(serve, tmp_path, monkeypatch):
    silent, other = serve(CONTENT), serve(CONTENT)
    silent.silent = 0.1
    read = download.HTTPResponse.read1
    asked = []

    def stall(response, n=-1):
        asked.append(n)
        if len(asked) == 3:
            raise TimeoutError("timed out")
        return read(response, n)

    monkeypatch.setattr(download.HTTPResponse, "read1", stall)
    assert get(tmp_path, silent, other).read_bytes() == CONTENT
    assert silent.wanted[0] == 0
    assert silent.wanted[1] > 0  # it had given something, so it was asked again


def test_a_full_disk_is_not_taken_for_the_network(serve, tmp_path, monkeypatch, cifar10):
    archive, layout = cifar10

    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(download.Path, "open", fail)
    with pytest.raises(DownloadError, match=r"cannot be written to .*No space left.*NORMS_DATA"):
        download.download_cifar10(tmp_path, sources=[serve(archive).url], layout=layout)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, cifar10):
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DownloadError, match="data cannot be written to"):
        download.download_cifar10(tmp_path / "data", sources=[], layout=cifar10[1])


def test_downloads_unpacks_and_tidies_up(serve, tmp_path, cifar10):
    archive, layout = cifar10
    folder = download.download_cifar10(
        tmp_path / "data", sources=[serve(archive).url], layout=layout
    )
    assert folder == tmp_path / "data" / "cifar-10-batches-py"
    assert {path.name for path in folder.iterdir()} == set(download.files(layout))
    assert download.damaged(tmp_path / "data", layout) == []
    # The archive is gone, a lock file may stay; nothing was written outside.
    left = {path.name for path in (tmp_path / "data").iterdir()} - {"cifar-10-batches-py"}
    assert left <= {f"{layout.filename}.lock"}
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(layout(tmp_path / "data", train=True).data) == 100


def test_whole_files_are_not_fetched_again(serve, tmp_path, cifar10):
    archive, layout = cifar10
    server = serve(archive)
    download.download_cifar10(tmp_path, sources=[server.url], layout=layout)
    download.download_cifar10(tmp_path, sources=[server.url], layout=layout)
    assert server.wanted == [0]


def test_a_damaged_file_is_found_and_replaced(serve, tmp_path, cifar10):
    archive, layout = cifar10
    folder = download.download_cifar10(tmp_path, sources=[serve(archive).url], layout=layout)
    (folder / "test_batch").write_bytes(b"broken")
    (folder / "data_batch_3").unlink()
    assert download.damaged(tmp_path, layout) == ["data_batch_3", "test_batch"]
    download.download_cifar10(tmp_path, sources=[serve(archive).url], layout=layout)
    assert download.damaged(tmp_path, layout) == []


def test_an_archive_put_there_by_hand_is_used_and_kept(tmp_path, cifar10):
    archive, layout = cifar10
    (tmp_path / layout.filename).write_bytes(archive)
    download.download_cifar10(tmp_path, sources=[], layout=layout)
    assert download.damaged(tmp_path, layout) == []
    assert (tmp_path / layout.filename).exists()


@pytest.mark.parametrize("name", ["cifar-10-python (1).tar.gz", "cifar-10-python.tar"])
def test_an_archive_under_another_name_or_half_unpacked_is_used(tmp_path, cifar10, name):
    archive, layout = cifar10
    content = gzip.decompress(archive) if name.endswith(".tar") else archive
    (tmp_path / name).write_bytes(content)
    download.download_cifar10(tmp_path, sources=[], layout=layout)
    assert download.damaged(tmp_path, layout) == []
    assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, "a page"])
def test_an_archive_that_was_cut_short_is_named(tmp_path, cifar10, share):
    archive, layout = cifar10
    content = b"<html>" if share == "a page" else archive[: int(len(archive) * share)]
    (tmp_path / layout.filename).write_bytes(content)
    words = rf"{layout.filename} is not the original.*cut short: it has \d\.\d MB .*no source gave"
    with pytest.raises(DownloadError, match=words):
        download.download_cifar10(tmp_path, sources=[], layout=layout)
    assert (tmp_path / layout.filename).read_bytes() == content
    assert not list(tmp_path.rglob("*.part"))


def test_files_that_are_damaged_or_one_folder_too_deep_are_named(tmp_path, cifar10):
    _, layout = cifar10
    inner = tmp_path / "cifar-10-python" / layout.base_folder
    inner.mkdir(parents=True)
    base = tmp_path / layout.base_folder
    base.mkdir()
    words = rf"{base} lacks the original data_batch_1, .*Move {inner} up into {tmp_path}\."
    with pytest.raises(DownloadError, match=words):
        download.download_cifar10(tmp_path, sources=[], layout=layout)


def test_an_archive_without_the_right_files_is_named(serve, tmp_path, cifar10):
    archive, layout = cifar10
    files = (*layout.test_list, ("another_batch", "0" * 32))
    other = type("Other", (layout,), {"test_list": files})
    with pytest.raises(DownloadError, match="lacks the right another_batch"):
        download.download_cifar10(tmp_path, sources=[serve(archive).url], layout=other)


def test_two_at_once_download_it_once(serve, tmp_path, cifar10):
    archive, layout = cifar10
    server = serve(archive)
    server.silent = 0.05
    threads = [
        threading.Thread(
            target=download.download_cifar10,
            args=(tmp_path,),
            kwargs={"sources": [server.url], "layout": layout},
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.wanted == [0]
    assert download.damaged(tmp_path, layout) == []


def test_the_real_sources_are_addresses_of_the_real_file():
    assert download.CIFAR10.tgz_md5 == "c58f30108f718f92721af3b95e74349a"
    assert len(set(download.SOURCES)) == len(download.SOURCES) >= 3
    for source in download.SOURCES:
        assert source.startswith("https://")
        assert source.endswith("/cifar-10-python.tar.gz")

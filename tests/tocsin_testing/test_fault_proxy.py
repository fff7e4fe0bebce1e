"""The proxy breaks links in the way each mode says."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from tocsin.testing import FaultProxy, run_process, wait_until, wait_until_sync


@pytest.fixture
def echo_port() -> Iterator[int]:
    """A server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_serve, args=(server,), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5.0)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            link, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(link,), daemon=True).start()


def _echo(link: socket.socket) -> None:
    with link:
        try:
            while data := link.recv(1000):
                link.sendall(data)
        except OSError:
            return


def _dial(port: int) -> socket.socket:
    link = socket.create_connection(("127.0.0.1", port), 5.0)
    link.settimeout(5.0)
    return link


def test_bytes_pass_and_are_counted(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _dial(proxy.port) as link:
        link.sendall(b"hello")
        assert link.recv(10) == b"hello"
        assert (proxy.accepted, proxy.bytes_up, proxy.bytes_down) == (1, 5, 5)


def test_a_slow_line_passes_so_many_bytes_a_second_and_resume_makes_it_fast(
    echo_port: int,
) -> None:
    with FaultProxy(echo_port) as proxy, _dial(proxy.port) as link:
        proxy.slow(1000)
        began_s = time.monotonic()
        link.sendall(bytes(300))
        got = b""
        while len(got) < 300:
            got += link.recv(1000)
        assert (
            time.monotonic() - began_s > 0.3
        )  # no faster; how much slower is the machine's affair
        proxy.resume()
        link.sendall(b"hello")
        assert link.recv(10) == b"hello"


def test_a_cut_resets_and_refuses_until_resume(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy:
        with _dial(proxy.port) as link:
            link.sendall(b"a")
            assert link.recv(10) == b"a"
            proxy.cut()
            with pytest.raises(ConnectionError):
                _read_or_fail(link)
        with pytest.raises(ConnectionError), _dial(proxy.port) as refused:
            _read_or_fail(refused)
        proxy.resume()
        with _dial(proxy.port) as again:
            again.sendall(b"b")
            assert again.recv(10) == b"b"


def _read_or_fail(link: socket.socket) -> None:
    if link.recv(10) == b"":
        raise ConnectionResetError


def test_a_stall_holds_bytes_and_delivers_them_later(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _dial(proxy.port) as link:
        link.sendall(b"a")
        assert link.recv(10) == b"a"
        proxy.stall()
        link.sendall(b"held")
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            link.recv(10)
        link.settimeout(5.0)
        proxy.resume()
        assert link.recv(10) == b"held"


def test_a_half_open_link_swallows_everything_and_stays_open(echo_port: int) -> None:
    with FaultProxy(echo_port) as proxy, _dial(proxy.port) as link:
        link.sendall(b"a")
        assert link.recv(10) == b"a"
        proxy.half_open()
        for _ in range(3):
            link.sendall(b"lost")
        link.settimeout(0.3)
        with pytest.raises(TimeoutError):
            link.recv(10)
        proxy.resume()
        with pytest.raises(TimeoutError):
            link.recv(10)
        with _dial(proxy.port) as fresh:
            fresh.sendall(b"b")
            assert fresh.recv(10) == b"b"


def test_a_process_is_captured_spoken_to_killed_and_reaped() -> None:
    code = "import sys\nprint('ready', flush=True)\nfor line in sys.stdin: print('got', line, flush=True)"
    with run_process([sys.executable, "-c", code], env={"A": "b"}) as child:
        child.wait_line("ready")
        child.write_line("x1")
        assert child.wait_line("x1") == "got x1"
        assert child.returncode is None
        assert child.kill9() == -9
    with (
        run_process([sys.executable, "-c", "import sys; sys.exit('why')"]) as child,
        pytest.raises(TimeoutError, match="why"),
    ):
        child.wait_line("never", 10.0)


async def test_waiting_ends_with_the_condition_or_says_what_was_waited_for() -> None:
    calls: list[int] = []

    async def third() -> bool:
        calls.append(1)
        return len(calls) == 3

    await wait_until(third)
    with pytest.raises(TimeoutError, match="the moon"):
        await wait_until(lambda: False, 0.05, "the moon")
    with pytest.raises(TimeoutError, match="the sun"):
        wait_until_sync(lambda: False, 0.05, "the sun")

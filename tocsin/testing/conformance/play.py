"""The other side of a case, made of a file: `play.py serve|send FILE HOST PORT AGAIN_S|close`. A process of its own; stdlib only."""

from __future__ import annotations

import socket
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

_RETRY_S = 0.05


def content(file: Path) -> bytes:
    """The bytes of a file; one named `.hex` holds them as hex digits, with `#` before remarks."""
    if file.suffix != ".hex":
        return file.read_bytes()
    lines = file.read_text("utf-8").splitlines()
    return bytes.fromhex(" ".join(line.partition("#")[0] for line in lines))


def play(link: socket.socket, data: bytes, after: str) -> None:
    """Send the bytes, then hang up, wait, or send them again and again; what comes back is read and passed over."""
    threading.Thread(target=_drain, args=(link,), daemon=True).start()
    with suppress(OSError):
        link.sendall(data)
        if after == "close":
            link.shutdown(socket.SHUT_RDWR)
            link.close()
            return
        while float(after):
            time.sleep(float(after))
            link.sendall(data)


def _drain(link: socket.socket) -> None:
    with suppress(OSError):
        while link.recv(4096):
            pass


def main() -> None:
    """Until standard input closes."""
    what, file, host, port, after = sys.argv[1:]
    data = content(Path(file))
    target = _serve if what == "serve" else _send
    threading.Thread(target=target, args=((host, int(port)), data, after), daemon=True).start()
    sys.stdin.read()


def _serve(address: tuple[str, int], data: bytes, after: str) -> None:
    with socket.create_server(address) as server:
        sys.stdout.write('"ready"\n')
        sys.stdout.flush()
        while True:
            link, _ = server.accept()
            threading.Thread(target=play, args=(link, data, after), daemon=True).start()


def _send(address: tuple[str, int], data: bytes, after: str) -> None:
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    while True:
        with suppress(OSError), socket.create_connection(address, timeout=1.0) as link:
            link.settimeout(None)
            play(link, data, after)
            if after == "close" or not float(after):
                time.sleep(3600)
        time.sleep(_RETRY_S)


if __name__ == "__main__":
    main()

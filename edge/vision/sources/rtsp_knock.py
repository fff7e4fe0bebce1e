"""Asks an RTSP camera for its stream's description, to know why a stream does not come: OpenCV never says."""

from __future__ import annotations

import socket

from edge.vision.sources.address import Address
from edge.vision.sources.http_auth import authorization
from tocsin.errors import DriverReason, LinkError

_MAX_HEAD = 16_384


def knock(address: Address, timeout_s: float) -> None:
    """DESCRIBE (RFC 2326, 10.2), with the account when the camera asks for it.

    Raises:
        LinkError: with the reason: nothing listens, no answer, account refused, no such stream.
    """
    try:
        with socket.create_connection((address.host, address.port), timeout_s) as line:
            line.settimeout(timeout_s)
            status, challenges = _describe(line, address, 1, "")
            if status == 401 and address.username:
                answer = authorization(
                    challenges, "DESCRIBE", address.url, address.username, address.password
                )
                status, _ = _describe(line, address, 2, f"Authorization: {answer}\r\n")
    except TimeoutError as exc:
        raise LinkError(
            DriverReason.NO_ANSWER, f"{address} does not answer within {timeout_s:g} s"
        ) from exc
    except ConnectionRefusedError as exc:
        raise LinkError(
            DriverReason.REFUSED, f"{address}: connection refused",
            hint="is the camera's RTSP on, and the port right?",
        ) from exc  # fmt: skip
    except socket.gaierror as exc:
        raise LinkError(
            DriverReason.NO_PORT, f"{address}: {exc.strerror}", hint="is the name right?"
        ) from exc
    except OSError as exc:
        raise LinkError(DriverReason.NO_PORT, f"{address}: {exc.strerror or exc}") from exc
    if status != 200:
        raise _refused(address, status)


def _refused(address: Address, status: int) -> LinkError:
    if status in (401, 403):
        asked = "its password is wrong" if address.username else "it wants a username and password"
        return LinkError(DriverReason.PERMISSION, f"{address} refuses us ({status})", hint=asked)
    if status == 404:
        return LinkError(
            DriverReason.BAD_FILE, f"{address}: no such stream (404)", hint="the path of the URL"
        )
    return LinkError(DriverReason.EXCEPTION_CODE, f"{address} answers {status}")


def _describe(
    line: socket.socket, address: Address, number: int, extra: str
) -> tuple[int, list[str]]:
    """(status, its challenges)."""
    request = f"DESCRIBE {address.url} RTSP/1.0\r\nCSeq: {number}\r\nAccept: application/sdp\r\nUser-Agent: tocsin\r\n{extra}\r\n"
    line.sendall(request.encode())
    head = bytearray()
    while b"\r\n\r\n" not in head:
        got = line.recv(4096)
        if not got or len(head) > _MAX_HEAD:
            raise LinkError(DriverReason.CLOSED, f"{address} ended the connection")
        head += got
    first, *fields = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    words = first.split(" ", 2)
    if len(words) < 2 or not words[0].startswith("RTSP/") or not words[1].isdigit():
        raise LinkError(
            DriverReason.GARBAGE, f"{address} does not speak RTSP", hint="is the port right?"
        )
    pairs = [field.partition(":") for field in fields]
    return int(words[1]), [v.strip() for k, _, v in pairs if k.lower() == "www-authenticate"]

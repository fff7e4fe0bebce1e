"""`tocsin decode`: frames of a field protocol to JSON, one line in, one object out, whatever the input is."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Annotated, Any, get_args

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.names import codecs
from tocsin.errors import CodecError, CodecReason, MissingExtraError, UsageError
from tocsin.sdk.codec import Describe, FrameInput, Kind, codec_names, load_codec

app = new_app("Read frames of a field protocol and print what they say.")

MAX_LINE = 1 << 20
_HEX = frozenset(b"0123456789abcdefABCDEF")
_BETWEEN = bytes.maketrans(b"", b""), b" \t:-"


@app.command()
def decode(
    protocol: Annotated[
        str, typer.Argument(help="Protocol; none lists them.", autocompletion=codecs)
    ] = "",
    frames: Annotated[
        list[str] | None, typer.Argument(help="Frames; without any, lines of standard input.")
    ] = None,
    accept_variants: Annotated[
        bool,
        typer.Option("--accept-variants", help="Take known vendor variants, and flag them."),
    ] = False,
    as_json: Json = False,
) -> None:
    """One JSON object a line, in the order of the input: {"ok": true, "frame"} or {"ok": false, "error"}.

    A line is hex, a text sentence, or a JSON object with `hex`, `frame` or `sentence`, and `kind` and `device` where
    they apply. Refused frames do not change the exit code.
    """
    if not protocol:
        names = sorted(codec_names())
        output.emit({"protocols": names}, as_json=as_json, human="\n".join(names))
        return
    describe = find(protocol)
    lines = map(os.fsencode, frames) if frames else _stdin()
    for line in lines:
        output.stream_line(answer(describe, line, accept_variants=accept_variants))


def find(protocol: str) -> Describe:
    """The codec of that name.

    Raises:
        UsageError: there is none.
        MissingExtraError: it is there, what it needs is not.
    """
    known = sorted(codec_names())
    if protocol in known:
        try:
            return load_codec(protocol)
        except ImportError as exc:
            raise MissingExtraError("edge", exc.name or protocol) from exc
    near = get_close_matches(protocol, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else "known: " + ", ".join(known)
    raise UsageError(f"no protocol is called {protocol!r}", hint=hint)


def answer(describe: Describe, line: bytes, *, accept_variants: bool = False) -> dict[str, Any]:
    """What to print for one line."""
    try:
        frame = describe(read(line, accept_variants=accept_variants))
    except CodecError as error:
        told = {"code": error.reason, "message": error.message, "offset": error.offset}
        return {"ok": False, "error": told}
    return {"ok": True, "frame": frame}


def read(line: bytes, *, accept_variants: bool = False) -> FrameInput:
    """The frame of one line.

    Raises:
        CodecError: the line is too long, or JSON that holds no frame.
    """
    if len(line) > MAX_LINE:
        raise CodecError(CodecReason.OVERSIZED, f"a line has at most {MAX_LINE} bytes")
    text = line.strip(b"\r\n")
    if text.lstrip()[:1] == b"{":
        return _from_json(text, accept_variants)
    if not text.strip():
        raise CodecError(CodecReason.BAD_INPUT, "an empty line")
    return FrameInput(_unhex(text) or text, accept_variants=accept_variants)


class _Given(msgspec.Struct):
    hex: str | None = None
    frame: str | None = None
    sentence: str | None = None
    kind: str | None = None
    device: str | None = None


def _from_json(text: bytes, accept_variants: bool) -> FrameInput:
    try:
        given = msgspec.json.decode(text, type=_Given)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise CodecError(CodecReason.BAD_INPUT, f"not a frame as JSON: {exc}") from exc
    if given.kind is not None and given.kind not in get_args(Kind):
        raise CodecError(CodecReason.BAD_INPUT, f"kind is none of {', '.join(get_args(Kind))}")
    kind: Any = given.kind
    if given.hex is not None:
        data = _unhex(given.hex.encode("utf-8"))
        if data is None:
            raise CodecError(CodecReason.BAD_INPUT, "hex has other characters, or half a byte")
    elif (told := given.frame if given.frame is not None else given.sentence) is not None:
        data = told.encode("utf-8")
    else:
        raise CodecError(CodecReason.BAD_INPUT, "none of hex, frame, sentence")
    return FrameInput(data, kind, given.device, accept_variants)


def _unhex(text: bytes) -> bytes | None:
    """The bytes that hex digits stand for, spaces, colons and dashes between them allowed; None for other text."""
    digits = text.translate(*_BETWEEN)
    if not digits or len(digits) % 2 or not _HEX.issuperset(digits):
        return None
    return bytes.fromhex(digits.decode("ascii"))


def _stdin() -> Iterator[bytes]:
    return bounded_lines(iter(lambda: sys.stdin.buffer.readline(MAX_LINE + 2), b""))


def bounded_lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Lines out of pieces that end with a line or at the limit; of a longer line only its beginning."""
    inside = False
    for piece in pieces:
        if not inside:
            yield piece
        inside = not piece.endswith(b"\n")

"""A picture as lines of a terminal of any size. Pure."""

from __future__ import annotations

from collections import Counter

from edge.field.picture import Line, Picture, Rank
from tocsin.cli.output import cell_width, printable

_HEADS = ("device", "quantity", "value", "unit", "age", "quality", "alarm")
_LEAST = (12, 10, 10, 7, 6, 12, 12)
_MOST = (24, 18, 14, 10, 6, 30, 16)
_RIGHT = (2, 4)
_COLOURS = {Rank.ALARM: "1;37;41", Rank.BAD: "31", Rank.STALE: "33", Rank.UNCERTAIN: "36"}


def age(seconds: float | None) -> str:
    """At most six characters."""
    if seconds is None:
        return "never"
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    if seconds < 5_990:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.0f}h" if seconds < 359_000 else f"{seconds / 86_400:.0f}d"


def cells(line: Line) -> tuple[str, ...]:
    """The columns of one row."""
    texts = (
        line.device,
        line.quantity,
        _number(line.value),
        line.unit,
        age(line.age_s),
        line.quality,
        line.alarm,
    )
    return tuple(map(printable, texts))


def _number(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def lines(picture: Picture, width: int, height: int, page: int = 0, *, note: str = "") -> list[str]:
    """Exactly `height` lines of at most `width` columns, without colours; row `i` of the page is line `i` + 2."""
    body = height - 3
    pages = page_count(picture, height)
    shown = picture.rows[page % pages * body :][:body]
    widths = _widths(picture.rows, width)
    out = [_cut(_title(picture), width), _row(_HEADS, widths, width)]
    out += [_row(cells(line), widths, width) for line in shown]
    out += [""] * (height - 1 - len(out))
    where = f"   space: page {page % pages + 1} of {pages}" if pages > 1 else ""
    out.append(
        _cut(note or f"q: quit{where}   tocsin test DEVICE, tocsin trace DEVICE tell more", width)
    )
    return out


def page_count(picture: Picture, height: int) -> int:
    """How many screens the rows fill."""
    return max(1, -(-len(picture.rows) // (height - 3)))


def coloured(picture: Picture, drawn: list[str], height: int, page: int) -> list[str]:
    """The same lines with colours (SGR)."""
    body = height - 3
    shown = picture.rows[page % page_count(picture, height) * body :][:body]
    out = [f"\x1b[1m{drawn[0]}\x1b[0m", f"\x1b[4m{drawn[1]}\x1b[0m"]
    for line, text in zip(shown, drawn[2:], strict=False):
        colour = _COLOURS.get(line.rank)
        out.append(f"\x1b[{colour}m{text}\x1b[0m" if colour else text)
    return out + drawn[len(out) :]


def _title(picture: Picture) -> str:
    counts = Counter(line.rank for line in picture.rows)
    link = {True: "uplink connected", False: "UPLINK DOWN", None: "no uplink"}[picture.connected]
    named = [(counts[Rank.BAD], "bad"), (counts[Rank.STALE], "stale"),
             (counts[Rank.UNCERTAIN], "uncertain"), (counts[Rank.OK], "ok")]  # fmt: skip
    parts = [f"{picture.alarms} alarm{'s' * (picture.alarms != 1)}"]
    parts += [f"{n} {name}" for n, name in named if n]
    if picture.left_out:
        parts.append(f"{picture.left_out} sections of the file left out")
    where = f"{picture.gateway} at {picture.site}"
    return f"{where}   {', '.join(parts)}   {link}   up {age(picture.uptime_s)}"


def _widths(rows: list[Line], width: int) -> list[int]:
    """As wide as wanted while there is room; at 80 columns at least `_LEAST`."""
    wanted = [
        min(most, max(least, *map(cell_width, column), 0))
        for least, most, column in zip(
            _LEAST, _MOST, zip(_HEADS, *map(cells, rows), strict=True), strict=True
        )
    ]
    room = width - (len(wanted) - 1)
    for i in (5, 1, 0, 6, 3, 2):
        over = sum(wanted) - room
        if over > 0:
            wanted[i] = max(_LEAST[i], wanted[i] - over)
    return wanted


def _row(texts: tuple[str, ...], widths: list[int], width: int) -> str:
    parts = []
    for i, (text, size) in enumerate(zip(texts, widths, strict=True)):
        cut = _cut(text, size)
        space = " " * (size - cell_width(cut))
        parts.append(space + cut if i in _RIGHT else cut + space)
    return _cut(" ".join(parts), width)


def _cut(text: str, width: int) -> str:
    if cell_width(text) <= width:
        return text
    while text and cell_width(text) > width - 1:
        text = text[:-1]
    return text + "…"

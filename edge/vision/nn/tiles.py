"""Pieces of a large picture at its own resolution, and which of them are looked at in one frame."""

from __future__ import annotations

from edge.vision.nn.settings import InputTable


def places(width: int, height: int, table: InputTable) -> tuple[tuple[int, int], ...]:
    """(x, y) of the upper left corner of each tile, row by row; none when the picture is no larger than a tile."""
    if width <= table.width and height <= table.height:
        return ()
    across = _starts(width, table.width, table.overlap)
    down = _starts(height, table.height, table.overlap)
    return tuple((x, y) for y in down for x in across)


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(i * (length - tile) / (count - 1)) for i in range(count)]


class Rotation:
    """Of one camera's tiles: half of a frame's share goes to the hottest, the rest to those not seen for the longest time."""

    def __init__(self, count: int, per_frame: int) -> None:
        self._heat = [0.0] * count
        self._seen = [-1] * count  # number of the frame
        self._share, self._frame = min(per_frame, count), 0

    def choose(self) -> list[int]:
        """Numbers of the tiles for the next frame."""
        hottest = sorted(range(len(self._heat)), key=lambda i: -self._heat[i])
        hot = [i for i in hottest[: self._share // 2] if self._heat[i] > 0]
        waiting = sorted(
            (i for i in range(len(self._heat)) if i not in hot), key=lambda i: self._seen[i]
        )
        return sorted(hot + waiting[: self._share - len(hot)])

    def saw(self, heat: dict[int, float]) -> None:
        """The highest score of each tile that was looked at."""
        self._frame += 1
        for tile, score in heat.items():
            self._heat[tile], self._seen[tile] = score, self._frame

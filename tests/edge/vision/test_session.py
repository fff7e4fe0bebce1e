"""A graph that is run with pictures of many shapes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.vision.nn import session
from edge.vision.nn.session import SHAPES, Session
from tests.edge.vision.graphs import heat_graph

FALLS_BACK = "fall back to default allocation"  # what ONNX Runtime says of an array that is not as it planned


def _feeds(height: int, width: int) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(height * width)
    pictures = rng.integers(0, 256, (2, 1, height, width, 3), dtype=np.uint8)
    return {"image": pictures[0], "reference": pictures[1]}


def test_memory_is_planned_for_each_of_the_first_shapes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "LOG_SEVERITY", 0)
    graph = Session(heat_graph(), "graph.onnx")
    shapes = [(64 * n, 96 * n) for n in range(1, SHAPES + 2)]
    for _ in range(2):
        for shape in shapes[:SHAPES]:
            graph.run(_feeds(*shape))
    assert FALLS_BACK not in capfd.readouterr().err
    for _ in range(2):
        graph.run(_feeds(*shapes[-1]))
    assert FALLS_BACK in capfd.readouterr().err  # one more is run all the same


def test_pictures_of_many_shapes_at_once_get_each_its_own_answer() -> None:
    graph = Session(heat_graph(), "graph.onnx")
    pictures = [_feeds(64 * (1 + n % 6), 96) for n in range(60)]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(graph.run, pictures))
    for n in range(6):
        alone = Session(heat_graph(), "graph.onnx").run(pictures[n])["heat"]
        assert all(np.array_equal(heat["heat"], alone) for heat in found[n::6])

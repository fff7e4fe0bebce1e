"""An ONNX graph on this processor: one thread a call, no spinning; many threads may call at once."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state

from tocsin.errors import ModelError, ModelReason

Arrays = Mapping[str, NDArray[Any]]
FAILURES: tuple[type[Exception], ...] = tuple(
    kind
    for kind in vars(onnxruntime_pybind11_state).values()
    if isinstance(kind, type) and issubclass(kind, Exception)
)  # they have no common ancestor of their own
_REFUSALS: tuple[type[Exception], ...] = (*FAILURES, ValueError)  # ValueError: a missing input
LOG_SEVERITY = 4  # what fails is raised
SHAPES = 4  # of inputs that have a session of their own
_Shapes = tuple[tuple[int, ...], ...]
_TYPES: dict[str, type[np.generic]] = {
    "tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output of a graph. `shape` has None where any length goes."""

    name: str
    type: str  # as ONNX says it: tensor(float)
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        sides = ",".join("?" if s is None else str(s) for s in self.shape)
        return f"{self.name}: {self.type}[{sides}]"


class Session:
    """`shown` stands for the file in messages. Each of the first four shapes of inputs has a session of its own.

    ONNX Runtime plans one block of memory for a whole run and finds that plan again by the exclusive or of all lengths of the inputs
    (CalculateMemoryPatternsKey): of two inputs of one shape it is 0 whatever that shape is. Every shape after a session's first then pays for
    a block that does not fit and has its arrays made one by one, which takes up to a third longer.
    """

    def __init__(self, data: bytes, shown: str) -> None:
        """Raises:
        ModelError: not an ONNX graph that this runtime knows.
        """
        self.shown, self._data = shown, data
        self._first = self._opened()
        self._by_shape: dict[_Shapes, onnxruntime.InferenceSession] = {}
        self._lock = threading.Lock()
        self.inputs = tuple(map(_port, self._first.get_inputs()))
        self.outputs = tuple(map(_port, self._first.get_outputs()))

    def run(self, feeds: Arrays) -> dict[str, NDArray[Any]]:
        """Outputs by name.

        Raises:
            ModelError: the graph does not take these inputs, or failed.
        """
        session = self._for(tuple(array.shape for array in feeds.values()))
        try:
            found = session.run(None, dict(feeds))
        except _REFUSALS as exc:
            given = ", ".join(f"{k}: {v.dtype}{list(v.shape)}" for k, v in feeds.items())
            raise ModelError(
                ModelReason.RUN_FAILED, f"{self.shown} failed on {given}: {_one_line(exc)}"
            ) from exc
        return {port.name: array for port, array in zip(self.outputs, found, strict=True)}

    def _for(self, shapes: _Shapes) -> onnxruntime.InferenceSession:
        session = self._by_shape.get(shapes)
        if session is not None:
            return session
        with self._lock:
            if shapes not in self._by_shape and len(self._by_shape) < SHAPES:
                self._by_shape[shapes] = self._opened() if self._by_shape else self._first
            return self._by_shape.get(shapes, self._first)

    def _opened(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        options.log_severity_level = LOG_SEVERITY
        try:
            return onnxruntime.InferenceSession(
                self._data, options, providers=["CPUExecutionProvider"]
            )
        except FAILURES as exc:
            raise ModelError(
                ModelReason.UNREADABLE,
                f"{self.shown} is not an ONNX graph that onnxruntime {onnxruntime.__version__} runs: {_one_line(exc)}",
                hint="export it as one ONNX file without external data, opset 17",
            ) from exc


def dtype_of(port: Port) -> type[np.generic] | None:
    """The numpy type that an input takes."""
    return _TYPES.get(port.type)


def _port(node: Any) -> Port:
    return Port(
        node.name, node.type, tuple(s if isinstance(s, int) and s > 0 else None for s in node.shape)
    )


def _one_line(exc: Exception) -> str:
    return " ".join(str(exc).split())[:400]

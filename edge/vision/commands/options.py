"""Options that several sub-commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Numbers(StrEnum):
    """Which file of a model."""

    AUTO = "auto"
    FP32 = "fp32"
    INT8 = "int8"


Model = Annotated[
    str, typer.Option("--model", help="A model under models/, or the path of its folder.")
]
Variant = Annotated[
    Numbers,
    typer.Option("--variant", help="auto: the 8-bit file where there is one and the processor is fast with it."),
]  # fmt: skip
DEFAULT_MODEL = "smoke-fire"

"""`tocsin sample DRIVER`: a driver's tables, ready to paste into gateway.toml."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.cli.names import drivers
from tocsin.sdk.driver import driver_names, driver_point
from tocsin.sdk.plugins import PluginError, folder_of

app = new_app("Print a driver's sample configuration.")


class Sample(msgspec.Struct, frozen=True):
    """What `--json` prints: the driver and its sample as TOML text."""

    driver: str
    sample: str


@app.command()
def sample(
    driver: Annotated[
        str, typer.Argument(help="Driver; none lists them.", autocompletion=drivers)
    ] = "",
    as_json: Json = False,
) -> None:
    """Print the driver's [[drivers]] tables, to be pasted into gateway.toml."""
    if not driver:
        names = sorted(driver_names())
        output.emit({"drivers": names}, as_json=as_json, human="\n".join(names))
        return
    text = sample_of(driver)
    output.emit(Sample(driver, text), as_json=as_json, human=text)


def sample_of(driver: str) -> str:
    """The text of the driver's `sample.toml`.

    Raises:
        PluginError: no such driver, or it ships no sample.
    """
    file = folder_of(driver_point(driver)) / "sample.toml"
    try:
        return file.read_text("utf-8")
    except OSError as exc:
        raise PluginError(
            f"driver {driver!r} ships no sample: {file} cannot be read",
            hint="`tocsin conformance` tells its author",
        ) from exc

"""`tocsin doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge.control.place import Config, config_path
from edge.doctor.findings import Finding, Report
from tocsin.cli import output
from tocsin.cli.apps import Json, new_app
from tocsin.sdk import SystemClock

app = new_app("Look at everything around the gateway's agent and say how to mend it.")

FAILED = 9
_SHOWN = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


@app.command()
def doctor(
    config: Config = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Also write an archive for a bug report, without secrets (.tar.gz)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Permissions, ports, clock, disk, broker, certificates, models: one line each, with what mends it. Exit code 9 if one failed."""
    from edge.doctor.examination import examine

    path = config_path(config)
    findings: list[Finding] = []
    for finding in examine(path, SystemClock()):
        findings.append(finding)
        if not as_json:
            _show(finding)
    report = Report(all(f.state != "fail" for f in findings), str(path), findings)
    if bundle is not None:
        from edge.doctor.bundle import write

        names = write(bundle, path, report)
        output.note(f"{bundle}: {', '.join(names)}; secrets are left out, look before you send it")
    output.emit(report, as_json=as_json, human=_sum(findings))
    if not report.ok:
        raise typer.Exit(FAILED)


def _show(finding: Finding) -> None:
    typer.echo(f"{_SHOWN[finding.state]}  {finding.check:<12} {finding.text}")
    if finding.fix:
        typer.echo(f"      {'':<12} > {finding.fix}")


def _sum(findings: list[Finding]) -> str:
    counts = {state: sum(f.state == state for f in findings) for state in ("ok", "warn", "fail")}
    return f"{counts['ok']} ok, {counts['warn']} to watch, {counts['fail']} to mend"

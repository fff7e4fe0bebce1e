"""`tocsin vision export`: what people judged at a cloud, as labelled pictures."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated, Any, Literal
from urllib.parse import urlencode, urlsplit

import msgspec
import typer

from edge.vision.commands.progress import progress
from tocsin.cli import output
from tocsin.cli.apps import Json
from tocsin.cli.moments import moment_ns
from tocsin.errors import (
    DatasetError,
    FolderError,
    IdentityError,
    IdentityReason,
    NotFoundError,
    UplinkError,
    UsageError,
)

TIMEOUT_S = 60.0
_PIECE = 1 << 20
_AGAIN = "run it again; nothing was left behind"


class Exported(msgspec.Struct, frozen=True):
    """What `--json` prints. `left_out`: why pictures that were chosen are not there, and how many."""

    to: str
    pictures: int
    confirmed: int
    rejected: int
    boxes: int
    ignored: int
    cameras: int
    bytes: int
    truncated: bool
    left_out: dict[str, int]


def export(
    to: Annotated[
        Path, typer.Argument(help="A new .zip, or a new or empty folder.", show_default=False)
    ],
    url: Annotated[str, typer.Option("--url", help="Address of the cloud.")],
    token: Annotated[
        str, typer.Option("--token", envvar="TOCSIN_TOKEN", help="API token with the scope alarms.")
    ] = "",
    since: Annotated[
        str | None,
        typer.Option("--from", help="Confirmed from then on: an ISO time (UTC unless it says), or -1h, -2d."),
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Up to then; the same forms.")] = None,
    site: Annotated[str, typer.Option("--site", help="Only this site.")] = "",
    camera: Annotated[str, typer.Option("--camera", help="Only this camera (its device id).")] = "",
    label: Annotated[
        list[str] | None, typer.Option("--label", help="Only this class; may be given again.")
    ] = None,
    spectrum: Annotated[
        Literal["visible", "infrared", "thermal", "all"],
        typer.Option("--spectrum", help="visible, infrared, thermal (false colours) or all."),
    ] = "visible",
    unjudged: Annotated[
        bool, typer.Option("--unjudged", help="Also what nobody judged, as regions that count neither way.")
    ] = False,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=10_000, help="Pictures at most, the newest.")
    ] = 10_000,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Fetch the pictures that people confirmed or rejected, labelled as `tocsin vision eval` and models/smoke-fire/train read them."""
    now_ns = time.time_ns()
    wanted: dict[str, object] = {
        "site": site, "device": camera, "label": label or [], "spectrum": spectrum,
        "unjudged": str(unjudged).lower(), "limit": limit,
    }  # fmt: skip
    for name, moment in (("from_ns", since), ("to_ns", until)):
        if moment is not None:
            wanted[name] = moment_ns(moment, now_ns)
    if urlsplit(url).scheme not in ("http", "https"):
        raise UsageError(f"{url!r} is no http or https address", hint="--url http://HOST:PORT")
    zipped = to.suffix == ".zip"
    if to.is_file() or (to.is_dir() and (zipped or any(to.iterdir()))):
        raise FolderError(f"{to} is there already", hint="a new .zip, or a new or empty folder")
    address = f"{url.rstrip('/')}/api/v1/detections/export?{urlencode(wanted, doseq=True)}"
    draft = to.with_name(f".{to.name}.part")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        count = _fetch(address, token, draft)
        with zipfile.ZipFile(draft) as archive:
            labels = _checked(archive, count)
            if not zipped:
                _unpack(archive, to)
        if zipped:
            draft.rename(to)
        size = to.stat().st_size if zipped else draft.stat().st_size
    except OSError as exc:
        hint = "make room there, or another place; nothing was left behind"
        why = exc.strerror or exc
        raise FolderError(f"{to} cannot be written: {why}", hint=hint) from exc
    finally:
        draft.unlink(missing_ok=True)
    told = _told(to, labels, size)
    output.emit(told, as_json=as_json, human=_text(told, zipped=zipped))


def _fetch(address: str, token: str, draft: Path) -> int:
    """How many pictures the cloud said would come."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - http or https, checked
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer, draft.open("wb") as file:  # noqa: S310
            total = int(answer.headers.get("X-Tocsin-Bytes", 0))
            with progress("MiB", max(1, -(-total // _PIECE))) as step:
                _copy(answer, file, step)
            return int(answer.headers.get("X-Tocsin-Pictures", 0))
    except urllib.error.HTTPError as exc:
        raise _refused(exc) from exc
    except urllib.error.URLError as exc:
        raise UplinkError(f"no cloud answers at {address.partition('/api/')[0]}: {exc.reason}", hint="is it running?") from exc  # fmt: skip
    except (http.client.HTTPException, ConnectionError, TimeoutError) as exc:
        raise UplinkError(f"the cloud broke off: {exc}", hint=_AGAIN) from exc


def _copy(answer: http.client.HTTPResponse, file: IO[bytes], step: Callable[[], None]) -> None:
    while piece := answer.read(_PIECE):
        file.write(piece)
        step()


def _refused(exc: urllib.error.HTTPError) -> Exception:
    try:
        told = json.loads(exc.read(10_000))["error"]
        message, hint = str(told["message"]), str(told.get("hint", ""))
        reason = str(told.get("reason", ""))
    except (ValueError, KeyError, TypeError):
        message, hint, reason = f"HTTP {exc.code}: {exc.reason}", "", ""
    if exc.code in (401, 403):
        why = next((r for r in IdentityReason if r == reason), IdentityReason.BAD_CREDENTIALS)
        return IdentityError(why, message, hint=hint or "an API token with the scope alarms")
    if exc.code == 404:
        return NotFoundError(message, hint=hint or "is this a Tocsin cloud of this version?")
    return UsageError(message, hint=hint) if exc.code == 400 else UplinkError(message, hint=hint)


def _unpack(archive: zipfile.ZipFile, to: Path) -> None:
    """All of it into a new or empty folder or, where the disk refuses, nothing: half of it would be taken for the whole."""
    new = not to.exists()
    try:
        archive.extractall(to)
    except BaseException:
        for made in to.iterdir() if to.is_dir() else ():
            shutil.rmtree(made, ignore_errors=True) if made.is_dir() else made.unlink()
        if new and to.is_dir():
            to.rmdir()
        raise


def _checked(archive: zipfile.ZipFile, count: int) -> dict[str, Any]:
    """The labels; every picture is what its hash says."""
    labels: dict[str, Any] = json.loads(archive.read("train.json"))
    with progress("pictures", count) as step:
        for image in labels["images"]:
            data = archive.read(f"images/{image['file_name']}")
            if hashlib.sha256(data).hexdigest() != image["sha256"]:
                raise DatasetError(f"{image['file_name']} is not what its hash says", hint=_AGAIN)
            step()
    return labels


def _told(to: Path, labels: dict[str, Any], size: int) -> Exported:
    images, notes = labels["images"], labels["annotations"]
    return Exported(
        str(to),
        len(images),
        sum(i["verdict"] == "confirmed" for i in images),
        sum(i["verdict"] == "rejected" for i in images),
        sum(not n["iscrowd"] for n in notes),
        sum(n["iscrowd"] for n in notes),
        len({i["group"] for i in images}),
        size,
        bool(labels["info"]["truncated"]),
        dict(labels["info"]["left_out"]),
    )


def _text(told: Exported, *, zipped: bool) -> str:
    lines = [
        f"{told.to}: {told.pictures} pictures of {told.cameras} cameras, {told.confirmed} confirmed, {told.rejected} rejected; "
        f"{told.boxes} boxes, {told.ignored} regions that count neither way"
    ]
    if told.truncated:
        lines.append("not all: --limit left older ones out")
    lines += [f"left out, {why}: {n}" for why, n in told.left_out.items()]
    if not zipped and told.pictures:
        lines.append(f"tocsin vision eval --coco {told.to}/train.json --images {told.to}/images")
    return "\n".join(lines)

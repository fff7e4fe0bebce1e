"""`tocsin provision`: an authority of your own, and a certificate for the broker, the cloud and every gateway."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from tocsin.cli.apps import Json, new_app
from tocsin.cli.output import emit, table

app = new_app("Keys and certificates: mutual TLS between gateways, broker and cloud.")

LEAF_DAYS = 825
Dir = Annotated[Path, typer.Option("--dir", help="Folder of the authority.")]
Days = Annotated[int, typer.Option(min=1, max=3650, help="How long the certificate counts.")]
_DIR = Path("provision")


@app.command("init")
def init(
    broker_host: Annotated[
        list[str],
        typer.Option(help="Name or address by which gateways reach the broker; may be repeated."),
    ],
    directory: Dir = _DIR,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the broker.")] = 8883,
    cloud: Annotated[str, typer.Option(help="Name of the cloud, as in cloud.toml.")] = "cloud-0",
    broker_dir: Annotated[
        Path | None,
        typer.Option(help="Where the folder broker/ will lie on the broker's machine."),
    ] = None,
    days: Days = LEAF_DAYS,
    as_json: Json = False,
) -> None:
    """Make an authority, mosquitto's configuration with its certificate and access rules, and the cloud's identity."""
    from cloud.provision.folder import Folder

    folder = Folder.create(
        directory, _now(), hosts=broker_host, port=port, cloud=cloud, days=days, broker_dir=broker_dir
    )  # fmt: skip
    made = {
        "directory": str(folder.path),
        "broker": str(folder.path / "broker" / "tocsin.conf"),
        "cloud": str(folder.path / "cloud" / "cloud.toml"),
    }
    human = (
        f"{folder.path}/authority  keep it here: its key makes any identity\n"
        f"{folder.path}/broker     to the broker's machine: {folder.register.broker_dir}\n"
        f"{folder.path}/cloud      to the cloud's machine\n"
        f"next: tocsin provision gateway ID --site SITE --dir {directory}"
    )
    emit(made, as_json=as_json, human=human)


@app.command("gateway")
def gateway(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of the gateway.")],
    site: Annotated[str, typer.Option(help="Site it belongs to.")],
    directory: Dir = _DIR,
    days: Days = LEAF_DAYS,
    as_json: Json = False,
) -> None:
    """Make a gateway's identity: a folder to carry to it."""
    from cloud.provision.folder import Folder

    place = Folder.open(directory).gateway(name, site, _now(), days)
    human = (
        f"{place}  to the gateway's /etc/tocsin: certificate, key, command key, gateway.toml\n"
        f"add to cloud.toml ({place}/cloud-block.toml):\n\n"
        + (place / "cloud-block.toml").read_text()
    )
    emit({"gateway": name, "site": site, "directory": str(place)}, as_json=as_json, human=human)


@app.command("page")
def page(
    name: Annotated[str, typer.Argument(metavar="ID", help="Id of the gateway.")],
    host: Annotated[
        list[str],
        typer.Option(
            help="Name or address by which phones reach the gateway on its LAN; may be repeated."
        ),
    ],
    directory: Dir = _DIR,
    days: Days = LEAF_DAYS,
    as_json: Json = False,
) -> None:
    """Make the certificate of a gateway's attendant's page; phones that trust the authority trust it."""
    from cloud.provision.authority import fingerprint
    from cloud.provision.folder import Folder

    place = Folder.open(directory).page(name, _now(), days, host)
    print_of = fingerprint((place / "ca.pem").read_bytes())
    made = {
        "gateway": name,
        "hosts": host,
        "cert": str(place / "page-cert.pem"),
        "key": str(place / "page-key.pem"),
        "ca": str(place / "ca.pem"),
        "ca_sha256": print_of,
    }
    human = (
        f"{place}/page-cert.pem, page-key.pem  to the gateway's /etc/tocsin; in its gateway.toml:\n\n"
        '[permits]\nlisten = "0.0.0.0:8443"\ncert = "page-cert.pem"\nkey = "page-key.pem"\n\n'
        f"{place}/ca.pem  to each phone, once (docs/attendant.md); its SHA-256:\n{print_of}"
    )
    emit(made, as_json=as_json, human=human)


@app.command("renew")
def renew(
    name: Annotated[
        str,
        typer.Argument(
            help="A gateway's id, `ID.page` of its page, the cloud's name, or `broker`."
        ),
    ],
    directory: Dir = _DIR,
    days: Days = LEAF_DAYS,
    revoke_old: Annotated[
        bool, typer.Option("--revoke-old", help="The old key is lost: shut it out.")
    ] = False,
    as_json: Json = False,
) -> None:
    """A new key and certificate for a name that has one; its other files stay."""
    from cloud.provision.folder import Folder

    folder = Folder.open(directory)
    place = folder.renew(name, _now(), days, revoke_old=revoke_old)
    entry = folder.register.current(name)
    files = "page-cert.pem and page-key.pem" if entry.role == "page" else "cert.pem and key.pem"
    human = f"{place}: {files} are new, until {entry.not_after:%Y-%m-%d}"
    emit(entry, as_json=as_json, human=human + _told(revoke_old, folder.register.broker_dir))


@app.command("revoke")
def revoke(
    name: Annotated[str, typer.Argument(help="A gateway's id, or the cloud's name.")],
    directory: Dir = _DIR,
    as_json: Json = False,
) -> None:
    """Shut a gateway out, whoever has its key."""
    from cloud.provision.folder import Folder

    folder = Folder.open(directory)
    hit = folder.revoke(name, _now())
    human = f"{name}: {len(hit)} certificates revoked" + _told(True, folder.register.broker_dir)
    emit(hit, as_json=as_json, human=human)


@app.command("list")
def list_(directory: Dir = _DIR, as_json: Json = False) -> None:
    """Every certificate issued, and until when it counts."""
    from cloud.provision.folder import Folder

    now, entries = _now(), Folder.open(directory).register.entries
    rows = [
        [e.name, e.role, e.site, f"{e.not_after:%Y-%m-%d}", _state(e.revoked, e.not_after, now)]
        for e in entries
    ]
    emit(entries, as_json=as_json, human=table(["name", "role", "site", "until", "state"], rows))


def _state(revoked: datetime | None, not_after: datetime, now: datetime) -> str:
    if revoked is not None:
        return f"revoked {revoked:%Y-%m-%d}"
    days = (not_after - now).days
    return "expired" if not_after < now else f"{days} days left"


def _told(revoked: bool, broker_dir: str) -> str:
    if not revoked:
        return ""
    return (
        f"\nbring broker/crl.pem to {broker_dir} and restart mosquitto: until then it does not know"
    )


def _now() -> datetime:
    return datetime.now(UTC)

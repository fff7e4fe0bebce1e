"""`cloud.toml`: every setting of the cloud. The page docs/reference/cloud-config.md is its manual."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from cloud.sealing import FILE as SECRETS_KEY
from cloud.stores.local.options import LocalOptions
from tocsin.config import (
    Clear,
    ConfigPath,
    Loaded,
    Mistake,
    MistakesError,
    Secret,
    Section,
    TlsOptions,
    is_loopback,
    load,
)
from tocsin.contract import topics
from tocsin.contract.evidence import Role


def _name(text: str) -> str:
    if not topics.is_name(text):
        raise ValueError("1-64 of a-z 0-9 . _ -, first and last a letter or digit")
    return text


def _buckets(text: str) -> str:
    topics.bucket_numbers(text)
    return text


Name = Annotated[str, AfterValidator(_name)]
Buckets = Annotated[str, AfterValidator(_buckets)]


_CLEAR = "is beyond this machine: add a {} table, or say `clear = true`"


class CloudSection(Section):
    """Which cloud this is, and where it keeps what it knows."""

    name: Name = Field(
        default="cloud-0",
        description="Name of this ingester: its broker account and its session. Never change it while a broker holds messages.",
    )
    data_dir: ConfigPath = Field(
        description="Folder for store, state database, broker and socket; one cloud per folder."
    )
    state_db: Secret | None = Field(
        default=None,
        description="PostgreSQL URL of the state database; default the SQLite file data_dir/state.db.",
    )
    secrets_key: ConfigPath | None = Field(
        default=None,
        description="File with the key of sealed secrets (second factors, lock keys), made where there is none; default data_dir/secrets.key. Keep a copy apart from the backups.",
    )


class ListenerTls(Section):
    """Certificate that our own broker shows to gateways."""

    cert: ConfigPath = Field(description="PEM certificate chain of the broker.")
    key: ConfigPath = Field(description="PEM key of that certificate.")
    ca: ConfigPath | None = Field(
        default=None, description="PEM authority with which the cloud verifies its own broker."
    )


class BrokerSection(Section):
    """The MQTT broker: a child of ours, or one that runs elsewhere."""

    mode: Literal["child", "external"] = Field(
        default="child", description="child: started and stopped with the cloud."
    )
    kind: Literal["auto", "mosquitto", "amqtt"] = Field(
        default="auto", description="Child only: auto takes mosquitto where it is installed."
    )
    bind: str = Field(
        default="127.0.0.1", description="Child only: address gateways connect to; 0.0.0.0 is all."
    )
    host: str = Field(default="127.0.0.1", description="External only: broker host.", min_length=1)
    port: int = Field(
        default=1883, ge=0, le=65535, description="Broker port; 0 (child only) is any free one."
    )
    username: str | None = Field(
        default=None, description="External only: account; default the cloud's name."
    )
    password: Secret | None = Field(default=None, description="External only: its password.")
    tls: TlsOptions | None = Field(default=None, description="External only: speak TLS.")
    listener_tls: ListenerTls | None = Field(
        default=None, description="Child only: the broker speaks TLS with this certificate."
    )
    clear: Clear = False
    keepalive_s: int = Field(default=15, ge=5, le=1200, description="MQTT keep-alive, seconds.")
    window_messages: int = Field(
        default=8192,
        ge=16,
        le=65535,
        description="Most messages in hand and not yet stored (MQTT 5 receive maximum).",
    )
    protocol: Literal["auto", "5", "3.1.1"] = Field(
        default="auto",
        description="External only: MQTT version; auto asks in 5 first, which a broker of 3.1.1 may answer 2 s late.",
    )

    @model_validator(mode="after")
    def _mode(self) -> BrokerSection:
        if self.mode == "external" and self.port == 0:
            raise ValueError("an external broker needs its port")
        if self.clear:
            return self
        if self.mode == "external" and self.tls is None and not is_loopback(self.host):
            raise MistakesError([Mistake(("host",), _CLEAR.format("[broker.tls]"))])
        if self.mode == "child" and self.listener_tls is None and not is_loopback(self.bind):
            raise MistakesError([Mistake(("bind",), _CLEAR.format("[broker.listener_tls]"))])
        return self


class LocalStoreSection(LocalOptions):
    """The embedded store: DuckDB for hours, Parquet for the rest."""

    directory: ConfigPath | None = Field(
        default=None, description="Folder of the store; default data_dir/store."
    )


class InfluxStoreSection(Section):
    """An InfluxDB: 1.x, 2.x, 3.x or Cloud, by line protocol."""

    type: Literal["influx"] = Field(description="local or influx.")
    url: str = Field(description="Base URL, such as http://127.0.0.1:8086.")
    version: Literal["auto", "v1", "v2", "v3"] = Field(
        default="auto", description="Write API to use: v1 /write, v2 /api/v2/write, v3 as v2."
    )
    bucket: str = Field(default="tocsin", description="Bucket (2.x, 3.x) or database (1.x).")
    org: str = Field(default="", description="Organisation (2.x only).")
    token: Secret | None = Field(default=None, description="API token (2.x, 3.x).")
    username: str = Field(default="", description="Account (1.x).")
    password: Secret | None = Field(default=None, description="Password (1.x).")
    timeout_s: float = Field(default=10.0, gt=0, le=300, description="Longest wait, seconds.")
    ca: ConfigPath | None = Field(default=None, description="PEM authority for https.")


StoreSection = Annotated[LocalStoreSection | InfluxStoreSection, Field(discriminator="type")]


class IngestSection(Section):
    """From the broker to the store."""

    commit_ms: int = Field(
        default=200, ge=1, le=60_000, description="Longest time a message waits for its commit."
    )
    commit_rows: int = Field(
        default=20_000, ge=1, description="Rows that trigger a commit before that."
    )
    max_future_s: float = Field(
        default=300.0, gt=0, description="A row stamped later than this is kept but flagged."
    )
    queue_bytes: int = Field(
        default=64 << 20,
        ge=1 << 20,
        description="Bytes of messages waiting to be stored; beyond, the broker keeps them.",
    )
    dead_letter_bytes: int = Field(
        default=64 << 20, ge=1 << 16, description="Bytes of dead letters kept; the oldest go first."
    )
    buckets: Buckets | None = Field(
        default=None,
        description='Buckets (0-63) whose telemetry is taken, such as "0-31, 40"; "" is none, default all.',
    )
    share: bool = Field(
        default=False,
        description="`tocsin cloud ingest` and `forward` only: the broker deals telemetry out (MQTT 5 shared subscription).",
    )

    @property
    def bucket_numbers(self) -> list[int] | None:
        """`buckets` spelt out; None is all."""
        return None if self.buckets is None else topics.bucket_numbers(self.buckets)

    @model_validator(mode="after")
    def _dealt_out_once(self) -> IngestSection:
        if self.share and self.buckets is not None:
            raise MistakesError([Mistake(("buckets",), "not with `share`: the broker deals out")])
        return self


class LogSection(Section):
    """A log between the broker and the ingesters: NATS JetStream."""

    type: Literal["jetstream"] = Field(default="jetstream", description="jetstream.")
    servers: list[Annotated[str, Field(pattern=r"^(nats|tls)://[^/\s@]+$")]] = Field(
        min_length=1, description="Servers of the cluster, such as nats://127.0.0.1:4222."
    )
    stream: str = Field(
        default="tocsin",
        pattern=r"^[A-Za-z0-9_-]{1,64}$",
        description="Its name; made where it is not there. Subjects are `<stream>.<lane>`.",
    )
    replicas: Literal[1, 3, 5] = Field(default=3, description="Servers that hold each message.")
    max_bytes: int = Field(
        default=10 << 30,
        ge=1 << 20,
        description="Most bytes of messages not yet stored; beyond, they stay with the broker.",
    )
    lanes: Literal[1, 2, 4, 8, 16, 32, 64] = Field(
        default=16,
        description="Parts it is dealt into, at most so many ingesters; never change it while it holds messages.",
    )
    duplicate_window_s: float = Field(
        default=120.0, ge=1, le=3600, description="A repeat within so many seconds is not kept."
    )
    ack_wait_s: float = Field(
        default=30.0,
        ge=1,
        le=3600,
        description="After so long what a dead ingester had in hand is dealt anew.",
    )
    max_ack_pending: int = Field(
        default=2000, ge=1, description="Most messages of one lane in hand and not yet stored."
    )
    username: str = Field(default="", description="Account at the servers.")
    password: Secret | None = Field(default=None, description="Its password.")
    tls: TlsOptions | None = Field(default=None, description="Speak TLS.")
    clear: Clear = False

    @model_validator(mode="after")
    def _covered(self) -> LogSection:
        for i, server in enumerate(self.servers):
            host = urlsplit(server).hostname or ""
            if self.tls is None and not self.clear and not is_loopback(host):
                raise MistakesError([Mistake(("servers", i), _CLEAR.format("[log.tls]"))])
        return self


class HttpSection(Section):
    """API and console."""

    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(
        default=8080,
        ge=0,
        le=65535,
        description="Port; 0 is any free one (see data_dir/http.json).",
    )
    cert: ConfigPath | None = Field(default=None, description="PEM certificate: speak HTTPS.")
    key: ConfigPath | None = Field(default=None, description="PEM key of that certificate.")
    clear: Clear = False
    tiles: ConfigPath | None = Field(
        default=None, description="PMTiles file: base map of the console; without it a graticule."
    )

    @model_validator(mode="after")
    def _cert_and_key(self) -> HttpSection:
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key belong together")
        if self.cert is None and not self.clear and not is_loopback(self.host):
            allowed = "is beyond this machine: give `cert` and `key`, or say `clear = true`"
            raise MistakesError([Mistake(("host",), allowed)])
        return self


class QuerySection(Section):
    """Limits of one query at the door."""

    timeout_s: float = Field(default=30.0, gt=0, le=3600, description="Longest run, seconds.")
    max_rows: int = Field(default=100_000, ge=1, description="Most rows in an answer.")
    concurrent: int = Field(default=2, ge=1, le=64, description="Queries that run at once.")


class AlarmsSection(Section):
    """Alarms that the cloud raises itself."""

    silent_periods: float = Field(
        default=5.0, gt=1, description="A device is silent after so many expected periods."
    )
    silent_min_s: float = Field(default=10.0, gt=0, description="But never before so many seconds.")
    gateway_silent_s: float = Field(
        default=30.0, gt=0, description="A gateway is silent after so many seconds without health."
    )
    command_expires_s: float = Field(
        default=3600.0, gt=0, description="How long a command waits for its gateway, seconds."
    )


class PermitsSection(Section):
    """Permits for work in confined spaces."""

    rules_folder: ConfigPath | None = Field(
        default=None,
        description="Folder with rule packs of your own (*.toml) and hazard templates (hazards/*.toml); they go before those of the same name that come with Tocsin.",
    )
    photo_bytes: int = Field(
        default=2 << 30,
        ge=1 << 20,
        description="Bytes of pictures kept; beyond, new ones are refused, since an old one may be evidence.",
    )


class VisionSection(Section):
    """Pictures and clips from cameras."""

    fetch: tuple[Role, ...] = Field(
        default=("thumbnail", "at"),
        description="Of each detection, what is fetched unasked: thumbnail, before, at, after, clip. The rest when somebody wants to see it.",
    )
    keep_days: float = Field(default=90.0, gt=0, le=36_500, description="Days they are kept.")
    max_bytes: int = Field(
        default=10 << 30, ge=1 << 20, description="Bytes of them kept; then the oldest go."
    )


class GatewayEntry(Section):
    """One gateway that may speak."""

    id: Name = Field(description="Name of the gateway, as in its gateway.toml.")
    site: Name = Field(description="Site it belongs to; messages that name another are refused.")
    password: Secret | None = Field(
        default=None, description="Password of its account at our child broker."
    )
    command_key: Secret | None = Field(
        default=None, description="Key that signs commands for it; without it none are sent."
    )


def _gateway_ids(raw: Mapping[str, Any]) -> Iterator[Mistake]:
    """Names used twice, in a file of any shape."""
    cloud, gateways = raw.get("cloud"), raw.get("gateways")
    own = cloud.get("name", "cloud-0") if isinstance(cloud, Mapping) else "cloud-0"
    first: dict[str, int] = {}
    for i, table in enumerate(gateways if isinstance(gateways, list) else []):
        name = table.get("id") if isinstance(table, Mapping) else None
        if not isinstance(name, str):
            continue
        if name == own:
            yield Mistake(("gateways", i, "id"), "is the cloud's own name: choose another")
        elif name in first:
            allowed = f"already used by gateways[{first[name]}]: each gateway has a name of its own"
            yield Mistake(("gateways", i, "id"), allowed)
        first.setdefault(name, i)


class CloudConfig(Section):
    """The whole file."""

    schema_: Literal[1] = Field(alias="schema", description="Version of this file's format.")
    cloud: CloudSection = Field(description="Name and folder.")
    broker: BrokerSection = Field(default=BrokerSection(), description="MQTT broker.")
    store: StoreSection = Field(default=LocalStoreSection(), description="Time-series store.")
    ingest: IngestSection = Field(default=IngestSection(), description="Broker to store.")
    log: LogSection | None = Field(
        default=None, description="`tocsin cloud forward` and `ingest` only: a log between them."
    )
    http: HttpSection = Field(default=HttpSection(), description="API and console.")
    query: QuerySection = Field(default=QuerySection(), description="Query limits.")
    alarms: AlarmsSection = Field(default=AlarmsSection(), description="Alarms of the cloud.")
    permits: PermitsSection = Field(default=PermitsSection(), description="Permits to work.")
    vision: VisionSection = Field(
        default=VisionSection(), description="Pictures and clips from cameras."
    )
    gateways: list[GatewayEntry] = Field(default=[], description="Gateways that may speak.")

    @model_validator(mode="after")
    def _consistent(self) -> CloudConfig:
        raw = {
            "cloud": {"name": self.cloud.name},
            "gateways": [{"id": g.id} for g in self.gateways],
        }
        if found := list(_gateway_ids(raw)):
            raise MistakesError(found)
        return self

    @property
    def socket_path(self) -> Path:
        """The spine's Unix socket."""
        return self.cloud.data_dir / "spine.sock"

    @property
    def store_directory(self) -> Path | None:
        """Where the embedded store lies; None where it is another."""
        section = self.store
        if not isinstance(section, LocalStoreSection):
            return None
        return section.directory or self.cloud.data_dir / "store"

    @property
    def state_place(self) -> str | Path:
        """What `cloud.db.open_engine` opens."""
        if self.cloud.state_db is not None:
            return self.cloud.state_db.reveal()
        return self.cloud.data_dir / "state.db"

    @property
    def state_file(self) -> Path | None:
        """The SQLite file of the state; None: it is in PostgreSQL."""
        place = self.state_place
        if isinstance(place, Path):
            return place
        return Path(place.removeprefix("sqlite:///")) if place.startswith("sqlite:///") else None

    @property
    def secrets_key(self) -> Path:
        """The key of sealed secrets; see `cloud.sealing`."""
        return self.cloud.secrets_key or self.cloud.data_dir / SECRETS_KEY

    @property
    def http_json(self) -> Path:
        """Where the console's address is written once it answers."""
        return self.cloud.data_dir / "http.json"


def load_cloud(path: Path) -> Loaded[CloudConfig]:
    """Read and validate `path`.

    Raises:
        ConfigError: all mistakes at once.
    """
    return load(path, CloudConfig, cross=lambda draft: _gateway_ids(draft.raw))

"""One fixed example of every message; the golden vectors are made of these."""

from __future__ import annotations

from typing import Final

import msgspec

from tocsin.contract.evidence import (
    Detection,
    EvidenceAsk,
    EvidencePart,
    Exhibit,
    sign_ask,
)
from tocsin.contract.messages import (
    VERSION,
    Alarm,
    AlarmChange,
    Batch,
    ClockState,
    Command,
    CommitAck,
    DeviceHealth,
    Event,
    Group,
    Health,
    Resume,
    StreamAck,
    StreamState,
)
from tocsin.contract.quality import Quality
from tocsin.contract.signing import sign

SITE, GATEWAY = "plant-7", "gw-07"
STREAM = "01HF7YAT00TE1EMETRY0000000"
ALARM_STREAM = "01HF7YAT00ARARMSTREAM00000"
OCCURRENCE = "01HF7YAT5G0CCVRRENCE000000"
KEY = b"a key of 32 bytes, for this only"
T0 = 1_700_000_000_123_000_000  # 2023-11-14T22:13:20.123Z

BATCH = Batch(
    version=VERSION,
    site=SITE,
    gateway=GATEWAY,
    stream=STREAM,
    first_seq=42,
    t0=T0,
    tu="ms",
    clock=ClockState("ntp", 0.8),
    epoch=3,
    groups=[
        Group(
            device="gas-03",
            measurement="gas",
            quantities=("h2s", "o2", "ex", "status"),
            types="fffi",
            times=[0, 1000, 2000],
            columns=[
                [0.0, 3.25, 21.5],
                [20.9, 20.875, None],
                [0.0, None, 1e-3],
                [0, 1, 9007199254740993],
            ],
            quality=[(1, 2, int(Quality.COMMS)), (2, 0, int(Quality.RATE))],
            raw={"h2s": ("mA", [4.0, 4.52, 7.44])},
        ),
        Group(
            device="pump-12",
            measurement="vehicle",
            quantities=("lat", "lon", "speed"),
            types="fff",
            times=[500],
            columns=[[31.234567891], [121.473701234], [0.514444444444]],
            source_times=[123456],
        ),
        Group(
            device="fan-1",
            measurement="machine",
            quantities=("running", "note"),
            types="bs",
            times=[-5, 1500],
            columns=[[True, False], ["运行 “ok”", None]],
            source_times=[None, -5],
        ),
    ],
)

ALARM = Alarm(
    v=VERSION,
    site=SITE,
    gateway=GATEWAY,
    stream=ALARM_STREAM,
    seq=7,
    alarm=OCCURRENCE,
    device="gas-03",
    measurement="gas",
    quantity="h2s",
    rule="h2s-high",
    change=AlarmChange.ESCALATED,
    level=2,
    t=T0,
    value=21.5,
    unit="[ppm]",
    limit=20.0,
    latched=True,
    note="二级报警",
    n=3,
    first_ns=T0 - 2_000_000_000,
    last_ns=T0,
    clock=ClockState("gps"),
)

EVENT = Event(
    v=VERSION,
    site=SITE,
    gateway=GATEWAY,
    stream=ALARM_STREAM,
    seq=0,
    kind="device.announced",
    t=T0,
    device="gas-03",
    text="gas-03 answers",
    data={"period_s": 0.5, "channels": [{"quantity": "h2s", "unit": "[ppm]"}], "model": None},
)

COMMAND = sign(
    Command(
        v=VERSION,
        id="01HF7YAT5GC0MMAND000000000",
        site=SITE,
        gateway=GATEWAY,
        kind="alarm.acknowledge",
        actor="王芳",
        issued_ns=T0,
        expires_ns=T0 + 3_600_000_000_000,
        args={"alarm": OCCURRENCE, "level": 2, "note": "on my way", "forced": False},
    ),
    KEY,
)

ACK = CommitAck(
    v=VERSION,
    ingester="cloud-0",
    streams={STREAM: StreamAck(48, [(52, 60)], [(45, 46)]), ALARM_STREAM: StreamAck(8)},
)

RESUME = Resume(
    v=VERSION,
    site=SITE,
    gateway=GATEWAY,
    streams=[
        StreamState("telemetry", STREAM, 10, 48, 40),
        StreamState("alarm", ALARM_STREAM, 0, 8),
    ],
)

HEALTH = Health(
    v=VERSION,
    site=SITE,
    gateway=GATEWAY,
    t=T0,
    boot="01HF7YAT00B00T000000000000",
    version="0.1.0",
    uptime_s=12.5,
    clock=ClockState("free", None),
    streams=[StreamState("telemetry", STREAM, 10, 48, 40)],
    devices=[
        DeviceHealth("gas-03", "gas", "line-1", "ok", 0.5, T0, 25, 1, "no-answer"),
        DeviceHealth("gas-04", "gas", "line-1", "unavailable"),
    ],
    unjournalled_ms=200,
    pending_rows=8,
    outbox_bytes=40_960,
    outbox_cap_bytes=1 << 30,
    rss_bytes=45_000_000,
    cpu_s=1.25,
    counters={"samples": 25, "future_time": 0},
)

THUMBNAIL = "3a7bd3e2360a3d29eea436fcfb7e44c735d117c42d1c1835420b6b9942dd4f1b"
DETECTION: Final = Detection(
    "01HF7YB000DETECT10N0000000",
    "confirmed",
    "smoke",
    0.83,
    (0.41, 0.22, 0.06, 0.11),
    1_700_000_003_000_000_000,
    why=["seen in 4 of the last 5 frames"],
    why_zh=["最近 5 帧中见于 4 帧"],
    model="smoke-fire",
    version="1",
    bearing=212.4,
    bearing_error=0.6,
    elevation=1.2,
    elevation_error=0.4,
    frame=118,
    evidence=[Exhibit(THUMBNAIL, "thumbnail", "image/jpeg", 9214, 1_700_000_003_000_000_000)],
)
PART: Final = EvidencePart(1, SITE, GATEWAY, THUMBNAIL, 4096, 9214, bytes(range(16)))
ASK: Final = EvidenceAsk(1, SITE, GATEWAY, THUMBNAIL, 4096)
JOURNALLED: Final[dict[str, Batch | Alarm | Event]] = {
    "batch": BATCH,
    "alarm": ALARM,
    "event": EVENT,
}
DIRECT: Final[dict[str, msgspec.Struct]] = {
    "command": COMMAND,
    "commit-ack": ACK,
    "resume": RESUME,
    "health": HEALTH,
    "detection": DETECTION,
    "evidence-part": PART,
    "evidence-ask": msgspec.json.decode(sign_ask(ASK, KEY), type=EvidenceAsk),
}

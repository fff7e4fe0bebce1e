"""A virtual camera's side of SOAP 1.2: what was asked, who asked, and the answers (ONVIF core, media and PTZ). Pure."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

import msgspec

_ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
_SECURITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
_UTILITY = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd"
_SPACES = {
    "tds": "http://www.onvif.org/ver10/device/wsdl",
    "trt": "http://www.onvif.org/ver10/media/wsdl",
    "tptz": "http://www.onvif.org/ver20/ptz/wsdl",
    "tt": "http://www.onvif.org/ver10/schema",
    "ter": "http://www.onvif.org/ver10/error",
}
PROFILE = "main"


class Asked(msgspec.Struct, frozen=True):
    """One request: its operation, account (None without one), whether the password fits, and the position in it."""

    operation: str
    user: str | None
    proven: bool
    pan_tilt: tuple[float, float] | None
    zoom: float | None


class State(msgspec.Struct, frozen=True):
    """Where the camera looks, in the generic spaces: pan and tilt from -1 to 1, zoom from 0 to 1."""

    pan: float
    tilt: float
    zoom: float
    moving: bool
    zooming: bool


def read(data: bytes, password: str) -> Asked:
    """What a request asks.

    Raises:
        ValueError: not a SOAP 1.2 envelope.
    """
    try:
        root = ET.fromstring(data)  # noqa: S314 - a virtual device on loopback
    except ET.ParseError as exc:
        raise ValueError("not XML") from exc
    body = root.find(f"{{{_ENVELOPE}}}Body")
    if body is None or not len(body):
        raise ValueError("no SOAP body")
    tt = _SPACES["tt"]
    pan_tilt, zoom = body.find(f".//{{{tt}}}PanTilt"), body.find(f".//{{{tt}}}Zoom")
    user, proven = _account(root, password)
    return Asked(
        operation=body[0].tag.rpartition("}")[2],
        user=user,
        proven=proven,
        pan_tilt=None
        if pan_tilt is None
        else (float(pan_tilt.get("x", "0")), float(pan_tilt.get("y", "0"))),
        zoom=None if zoom is None else float(zoom.get("x", "0")),
    )


def _account(root: ET.Element, password: str) -> tuple[str | None, bool]:
    """Name, and whether its digest is Base64(SHA-1(nonce + created + password)) (WS-Security, username token 1.0)."""
    token = root.find(f".//{{{_SECURITY}}}UsernameToken")
    if token is None:
        return None, False
    texts = [
        token.findtext(f"{{{space}}}{name}") or ""
        for space, name in (
            (_SECURITY, "Username"),
            (_SECURITY, "Password"),
            (_SECURITY, "Nonce"),
            (_UTILITY, "Created"),
        )
    ]
    name, told, nonce, created = texts
    raw = base64.b64decode(nonce) + created.encode() + password.encode()
    right = base64.b64encode(hashlib.sha1(raw).digest()).decode()  # noqa: S324 - the standard's own
    return name, told == right


def envelope(content: str) -> bytes:
    """An answer's bytes."""
    spaces = "".join(f' xmlns:{name}="{uri}"' for name, uri in _SPACES.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><s:Envelope xmlns:s="{_ENVELOPE}"{spaces}>'
        f"<s:Body>{content}</s:Body></s:Envelope>"
    ).encode()


def fault(code: str, text: str) -> bytes:
    """A refusal, `code` one of ONVIF's such as `ter:NotAuthorized`."""
    return envelope(
        f"<s:Fault><s:Code><s:Value>s:Sender</s:Value><s:Subcode><s:Value>{code}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en">{escape(text)}</s:Text></s:Reason></s:Fault>'
    )


def services(address: str, *, ptz: bool) -> bytes:
    """GetServices: each at `address`."""
    offered = ["tds", "trt", *(["tptz"] if ptz else [])]
    listed = "".join(
        f"<tds:Service><tds:Namespace>{_SPACES[name]}</tds:Namespace><tds:XAddr>{address}</tds:XAddr>"
        "<tds:Version><tt:Major>2</tt:Major><tt:Minor>60</tt:Minor></tds:Version></tds:Service>"
        for name in offered
    )
    return envelope(f"<tds:GetServicesResponse>{listed}</tds:GetServicesResponse>")


def date_and_time(now: datetime) -> bytes:
    """GetSystemDateAndTime."""
    return envelope(
        "<tds:GetSystemDateAndTimeResponse><tds:SystemDateAndTime><tt:DateTimeType>NTP</tt:DateTimeType>"
        "<tt:DaylightSavings>false</tt:DaylightSavings><tt:UTCDateTime>"
        f"<tt:Time><tt:Hour>{now.hour}</tt:Hour><tt:Minute>{now.minute}</tt:Minute><tt:Second>{now.second}</tt:Second></tt:Time>"
        f"<tt:Date><tt:Year>{now.year}</tt:Year><tt:Month>{now.month}</tt:Month><tt:Day>{now.day}</tt:Day></tt:Date>"
        "</tt:UTCDateTime></tds:SystemDateAndTime></tds:GetSystemDateAndTimeResponse>"
    )


def profiles() -> bytes:
    """GetProfiles: one that cannot move, and one that can."""
    return envelope(
        '<trt:GetProfilesResponse><trt:Profiles token="fixed" fixed="true"><tt:Name>fixed</tt:Name></trt:Profiles>'
        f'<trt:Profiles token="{PROFILE}" fixed="true"><tt:Name>main</tt:Name><tt:PTZConfiguration token="ptz">'
        "<tt:Name>ptz</tt:Name><tt:UseCount>1</tt:UseCount><tt:NodeToken>node</tt:NodeToken>"
        "</tt:PTZConfiguration></trt:Profiles></trt:GetProfilesResponse>"
    )


def snapshot_uri(uri: str) -> bytes:
    """GetSnapshotUri of the media service."""
    return envelope(
        f"<trt:GetSnapshotUriResponse><trt:MediaUri><tt:Uri>{escape(uri)}</tt:Uri>"
        "<tt:InvalidAfterConnect>false</tt:InvalidAfterConnect><tt:InvalidAfterReboot>false</tt:InvalidAfterReboot>"
        "<tt:Timeout>PT60S</tt:Timeout></trt:MediaUri></trt:GetSnapshotUriResponse>"
    )


def status(state: State, now: datetime) -> bytes:
    """GetStatus of the PTZ service."""
    moves = ["MOVING" if moves else "IDLE" for moves in (state.moving, state.zooming)]
    return envelope(
        "<tptz:GetStatusResponse><tptz:PTZStatus><tt:Position>"
        f'<tt:PanTilt x="{state.pan:.4f}" y="{state.tilt:.4f}"/><tt:Zoom x="{state.zoom:.4f}"/></tt:Position>'
        f"<tt:MoveStatus><tt:PanTilt>{moves[0]}</tt:PanTilt><tt:Zoom>{moves[1]}</tt:Zoom></tt:MoveStatus>"
        f"<tt:UtcTime>{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond // 1000:03d}Z</tt:UtcTime>"
        "</tptz:PTZStatus></tptz:GetStatusResponse>"
    )


def done(operation: str) -> bytes:
    """The empty answer to a movement."""
    return envelope(f"<tptz:{operation}Response/>")

"""WS-Discovery (OASIS 1.1, namespace of April 2005, as ONVIF Core 7 wants it): the probe, and what cameras answer. Pure."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import msgspec

PORT = 3702
GROUP = "239.255.255.250"
LONGEST = 65_507

_PROBE = """<?xml version="1.0" encoding="UTF-8"?>
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
 xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"
 xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"
 xmlns:dn="http://www.onvif.org/ver10/network/wsdl">
<e:Header><w:MessageID>urn:uuid:{id}</w:MessageID>
<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>
<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>
<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"""
_SCOPE = "onvif://www.onvif.org/"


class Camera(msgspec.Struct, frozen=True):
    """One device that answered. `services`: addresses of its device service (XAddrs)."""

    id: str
    name: str
    hardware: str
    location: str
    services: list[str]


class _NoDoctype(ElementTree.TreeBuilder):
    """SOAP forbids document types; one is how entity-expansion attacks begin."""

    def doctype(self, name: str, pubid: str, system: str) -> None:
        raise ValueError("a document type declaration is not allowed")


def probe(message_id: str) -> bytes:
    """A search for video transmitters. `message_id` is a UUID."""
    return _PROBE.format(id=message_id).encode()


def matches(data: bytes, message_id: str) -> list[Camera]:
    """The devices of one answer to our probe; none where it is another's, or no answer at all."""
    parser = ElementTree.XMLParser(target=_NoDoctype())  # noqa: S314 - refuses document types
    try:
        parser.feed(data)
        root: ElementTree.Element = parser.close()
    except (ValueError, LookupError, ElementTree.ParseError):
        return []
    if not _text(root, "RelatesTo").endswith(message_id):
        return []
    found = (_camera(element) for element in root.iter() if _local(element) == "ProbeMatch")
    return [camera for camera in found if camera.services]


def _is_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _camera(match: ElementTree.Element) -> Camera:
    scopes = [unquote(s.removeprefix(_SCOPE)) for s in _text(match, "Scopes").split()]
    told = dict(part for scope in reversed(scopes) if len(part := scope.partition("/")[::2]) == 2)
    return Camera(
        id=_printable(_text(match, "Address")),
        name=_printable(told.get("name", "")),
        hardware=_printable(told.get("hardware", "")),
        location=_printable(told.get("location", "")),
        services=[
            url for text in _text(match, "XAddrs").split() if _is_url(url := _printable(text))
        ],
    )


def _text(parent: ElementTree.Element, name: str) -> str:
    """The text of the first element of that name, in any name space."""
    return next(((e.text or "").strip() for e in parent.iter() if _local(e) == name), "")


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _printable(text: str) -> str:
    return "".join(c for c in text if c.isprintable() and c not in '"\\')[:200]

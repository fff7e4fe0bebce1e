"""Basic and Digest access authentication (RFC 7617, RFC 2617) as RTSP cameras ask for it."""

from __future__ import annotations

import base64
import hashlib
import re

_PAIR = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s,]+))')


def authorization(
    challenges: list[str], method: str, url: str, username: str, password: str
) -> str:
    """The value of `Authorization` for the strongest of these `WWW-Authenticate` values we can answer; empty for none."""
    digests = [c[6:] for c in challenges if c[:7].lower() == "digest "]
    if digests:
        asked = {m[1].lower(): m[2] or m[3] or "" for m in _PAIR.finditer(digests[0])}
        if asked.get("algorithm", "MD5").upper() == "MD5":
            return _digest(asked, method, url, username, password)
    if any(c[:5].lower() == "basic" for c in challenges):
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    return ""


def _digest(asked: dict[str, str], method: str, url: str, username: str, password: str) -> str:
    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")
    first, second = _md5(f"{username}:{realm}:{password}"), _md5(f"{method}:{url}")
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": url}
    if "auth" in asked.get("qop", "").split(","):
        count, own = "00000001", hashlib.sha256(nonce.encode()).hexdigest()[:16]
        fields["response"] = _md5(f"{first}:{nonce}:{count}:{own}:auth:{second}")
        tail = f', qop=auth, nc={count}, cnonce="{own}"'
    else:
        fields["response"], tail = _md5(f"{first}:{nonce}:{second}"), ""
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    return "Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items()) + tail


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()

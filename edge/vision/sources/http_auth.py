"""Basic and Digest access authentication (RFC 7617, RFC 7616 and 2617) as cameras ask for it."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
# from the start of a word alone: 65,000 letters without "=", tried from each, held all threads for most of a minute
_PAIR = re.compile(r'(?<!\w)(\w+)=(?:"([^"]*)"|([^\s,]+))')


def authorization(
    challenges: list[str], method: str, url: str, username: str, password: str, count: int = 1
) -> str:
    """The value of `Authorization` for the strongest of these `WWW-Authenticate` values we can answer; empty for none.

    `count`: how often these were answered, this time included; a server may insist that it grows.
    """
    for challenge in challenges:
        if challenge[:7].lower() == "digest ":
            asked = {m[1].lower(): m[2] or m[3] or "" for m in _PAIR.finditer(challenge[7:])}
            if asked.get("algorithm", "MD5").upper() in _HASHES:
                return _digest(asked, method, url, username, password, count)
    if any(c[:5].lower() == "basic" for c in challenges):
        return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
    return ""


def _digest(
    asked: dict[str, str], method: str, url: str, username: str, password: str, count: int
) -> str:
    algorithm = asked.get("algorithm", "MD5").upper()
    realm, nonce = asked.get("realm", ""), asked.get("nonce", "")

    def hashed(*parts: str) -> str:
        return _HASHES[algorithm](":".join(parts).encode(), usedforsecurity=False).hexdigest()

    first, second = hashed(username, realm, password), hashed(method, url)
    fields = {"username": username, "realm": realm, "nonce": nonce, "uri": url}
    tail = f", algorithm={algorithm}" if "algorithm" in asked else ""
    if "auth" in asked.get("qop", "").replace(" ", "").split(","):
        number, own = f"{count:08x}", secrets.token_hex(8)
        fields["response"] = hashed(first, nonce, number, own, "auth", second)
        tail += f', qop=auth, nc={number}, cnonce="{own}"'
    else:
        fields["response"] = hashed(first, nonce, second)
    if "opaque" in asked:
        fields["opaque"] = asked["opaque"]
    return "Digest " + ", ".join(f'{k}="{v}"' for k, v in fields.items()) + tail

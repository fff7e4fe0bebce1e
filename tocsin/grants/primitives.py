"""The cryptographic primitives grants and locks use; nothing here is our own arithmetic.

Ed25519 (RFC 8032), HMAC-SHA-256 (RFC 2104), HKDF-SHA-256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439), X25519 (RFC 7748).
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
MAC_BYTES: Final = 16  # length of every truncated MAC
TAG_BYTES: Final = 16  # of ChaCha20-Poly1305


def sha256(*parts: bytes) -> bytes:
    """SHA-256 of the parts in a row, 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()


def mac(key: bytes, *parts: bytes) -> bytes:
    """HMAC-SHA-256 of the parts in a row, 32 bytes."""
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def is_mac(key: bytes, presented: bytes, *parts: bytes) -> bool:
    """Whether `presented` is the MAC cut to 16 bytes; takes as long for a wrong one as for the right one."""
    return hmac.compare_digest(mac(key, *parts)[:MAC_BYTES], presented)


def hkdf(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256, 32 bytes (one block)."""
    return mac(mac(salt, secret), info, b"\x01")


def public_key(seed: bytes) -> bytes:
    """The Ed25519 public key of a private key of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, message: bytes) -> bytes:
    """An Ed25519 signature, 64 bytes."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    return Ed25519PrivateKey.from_private_bytes(seed).sign(message)


def is_signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the Ed25519 signature holds. A public key that is no point of the curve signs nothing."""
    from cryptography.exceptions import InvalidSignature

    try:
        _public(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def seal(key: bytes, nonce: bytes, plain: bytes, beside: bytes) -> bytes:
    """ChaCha20-Poly1305: `plain` encrypted with its tag; `beside` is authenticated only. `nonce` has 12 bytes."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    return ChaCha20Poly1305(key).encrypt(nonce, plain, beside)


def unseal(key: bytes, nonce: bytes, sealed: bytes, beside: bytes) -> bytes | None:
    """What `seal` took; None where anything was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    if len(sealed) < TAG_BYTES:
        return None
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, beside)
    except InvalidTag:
        return None


def exchange_public(private: bytes) -> bytes:
    """The X25519 public key of a private key of 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def exchange(private: bytes, public: bytes) -> bytes | None:
    """The X25519 shared secret; None for a public key of small order (RFC 7748, 6.1)."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

    try:
        return X25519PrivateKey.from_private_bytes(private).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        return None


def _public(public: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public)

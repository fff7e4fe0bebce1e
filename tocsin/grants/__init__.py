"""Grants: who may open which lock, until when. COSE_Sign1 (RFC 9052) over CWT claims (RFC 8392); docs/specs/grant.md.

Pure: times and random bytes come in as arguments. `cryptography` is loaded with the first signature or seal.
"""

"""Names that a shell may complete; each is installed, none is imported."""

from __future__ import annotations


def drivers(incomplete: str) -> list[str]:
    """Installed drivers that begin so."""
    from tocsin.sdk.driver import driver_names

    return [name for name in sorted(driver_names()) if name.startswith(incomplete)]


def codecs(incomplete: str) -> list[str]:
    """Protocols of `tocsin decode` that begin so."""
    from tocsin.sdk.codec import codec_names

    return [name for name in sorted(codec_names()) if name.startswith(incomplete)]


def schemas(incomplete: str) -> list[str]:
    """Messages and kinds of configuration that begin so."""
    from tocsin.cli.configs import kinds
    from tocsin.contract.schemas import SCHEMAS

    return [name for name in (*SCHEMAS, *kinds()) if name.startswith(incomplete)]

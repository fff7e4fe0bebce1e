"""The conformance kit for drivers: the rules of tocsin.sdk.Driver, for the built-in ones and yours alike."""

from tocsin.testing.conformance.kit import ALL, conform, problems
from tocsin.testing.conformance.subject import Outcome

__all__ = ["ALL", "Outcome", "conform", "problems"]

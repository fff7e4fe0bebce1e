"""Permits for work in confined spaces: what they are and by which rules they move. Pure: no I/O, no clock; docs/reference/permits.md.

The cloud and the gateway run the same rules on the same journal, so that a gateway without the cloud decides as the cloud would.
"""

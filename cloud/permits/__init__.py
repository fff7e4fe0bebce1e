"""Permits for work in confined spaces: kept, moved by the shared rules, granted to locks, told to gateways."""

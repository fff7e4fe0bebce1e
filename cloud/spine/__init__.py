"""The process that ingests, stores, judges alarms and answers queries."""

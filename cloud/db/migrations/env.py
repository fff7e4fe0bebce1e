"""Alembic's entry: the connection comes from `cloud.db.upgrade`, the target is the one metadata."""

from __future__ import annotations

from alembic import context

from cloud.db.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    render_as_batch=connection.dialect.name == "sqlite",
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()

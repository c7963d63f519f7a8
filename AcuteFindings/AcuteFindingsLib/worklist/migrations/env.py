"""Run by Alembic with the connection that `worklist.store.Store` hands it; does nothing where it is only imported."""

from alembic import context

from AcuteFindingsLib.worklist.tables import METADATA

if hasattr(context, "config"):
    context.configure(
        connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True
    )
    with context.begin_transaction():
        context.run_migrations()

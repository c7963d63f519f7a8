"""Run by Alembic with the connection that `worklist.store.Store` hands it."""

from alembic import context

from AcuteFindingsLib.worklist.tables import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()

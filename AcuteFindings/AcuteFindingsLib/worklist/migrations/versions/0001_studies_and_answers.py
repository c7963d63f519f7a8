"""Studies and what readers said of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "studies",
        sa.Column("key", sa.String(64), primary_key=True),
        sa.Column("detector", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("study_uid", sa.String(128), nullable=False),
        sa.Column("series_uid", sa.String(128), nullable=False),
        sa.Column("arrived", sa.String(40), nullable=False),
        sa.Column("finished", sa.String(40), nullable=False),
        sa.Column("verdict", sa.String(32)),
        sa.Column("probability", sa.Float),
        sa.Column("urgency", sa.Float, nullable=False),
        sa.Column("model", sa.String(160), nullable=False),
        sa.Column("said", sa.Text, nullable=False),
    )
    op.create_index("ix_studies_state", "studies", ["state"])
    op.create_index("ix_studies_study_uid", "studies", ["study_uid"])
    op.create_table(
        "answers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(64), sa.ForeignKey("studies.key"), nullable=False),
        sa.Column("answer", sa.String(16), nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("reader", sa.String(128), nullable=False),
        sa.Column("at", sa.String(40), nullable=False),
    )
    op.create_index("ix_answers_key", "answers", ["key"])


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("answers")
    op.drop_table("studies")

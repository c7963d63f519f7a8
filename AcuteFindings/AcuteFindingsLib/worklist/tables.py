"""The tables of the worklist's database; how they came to be stands in `migrations/versions`.

==========  =============================================================================================
studies     one row a study and detector: what became of it. An index of the folder of results, made anew by
            ``worklist rebuild``; `key` is the name of the study's folder there, and tells nothing of the patient
answers     what readers said of a verdict, one row each time: the last of each reader counts
==========  =============================================================================================

Times are ISO 8601 in UTC, as records have them, so that they sort as text.
"""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, MetaData, String, Table, Text

METADATA = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_name)s", "pk": "pk_%(table_name)s"},
)

STUDIES = Table(
    "studies",
    METADATA,
    Column("key", String(64), primary_key=True),
    Column("detector", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("study_uid", String(128), nullable=False),
    Column("series_uid", String(128), nullable=False),
    Column("arrived", String(40), nullable=False),
    Column("finished", String(40), nullable=False),
    Column("verdict", String(32)),
    Column("probability", Float),
    Column("urgency", Float, nullable=False),
    Column("model", String(160), nullable=False),
    Column("said", Text, nullable=False),
    Index("ix_studies_state", "state"),
    Index("ix_studies_study_uid", "study_uid"),
)

ANSWERS = Table(
    "answers",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("key", String(64), ForeignKey("studies.key"), nullable=False),
    Column("answer", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("reader", String(128), nullable=False),
    Column("at", String(40), nullable=False),
    Index("ix_answers_key", "key"),
)

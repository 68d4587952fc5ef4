"""The index of the full text search. Its table is written in SQL, because its columns with words are not fields, and
because the database itself has to delete its rows: a process of the release before knows nothing of them."""

import sqlite3

import django.db.models.deletion
from django.db import migrations, models

_POSTGRESQL = """
CREATE TABLE chat_searchentry (
    id bigint PRIMARY KEY,
    conversation_id uuid NOT NULL REFERENCES chat_conversation ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    message_id uuid UNIQUE REFERENCES chat_message ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    words tsvector NOT NULL
);
CREATE INDEX chat_searchentry_conversation ON chat_searchentry (conversation_id);
CREATE UNIQUE INDEX one_search_entry_per_title ON chat_searchentry (conversation_id) WHERE message_id IS NULL;
CREATE INDEX chat_searchentry_words ON chat_searchentry USING gin (words);
DROP INDEX IF EXISTS chat_message_text_trigrams;
"""

# FTS5 reads the words in this table (external content) and keeps the index alone.
_SQLITE = """
CREATE TABLE chat_searchentry (
    id integer NOT NULL PRIMARY KEY,
    conversation_id char(32) NOT NULL REFERENCES chat_conversation (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    message_id char(32) UNIQUE REFERENCES chat_message (id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    facts text NOT NULL,
    words text NOT NULL
);
CREATE INDEX chat_searchentry_conversation ON chat_searchentry (conversation_id);
CREATE UNIQUE INDEX one_search_entry_per_title ON chat_searchentry (conversation_id) WHERE message_id IS NULL;
CREATE VIRTUAL TABLE chat_search USING fts5(
    facts, words, content='chat_searchentry', content_rowid='id', prefix='1 2 3',
    tokenize="unicode61 remove_diacritics 0 categories 'L* N* M* Co'"
);
CREATE TRIGGER chat_searchentry_added AFTER INSERT ON chat_searchentry BEGIN
    INSERT INTO chat_search (rowid, facts, words) VALUES (new.id, new.facts, new.words);
END;
CREATE TRIGGER chat_searchentry_deleted AFTER DELETE ON chat_searchentry BEGIN
    INSERT INTO chat_search (chat_search, rowid, facts, words) VALUES ('delete', old.id, old.facts, old.words);
END;
"""


def make_table(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(_POSTGRESQL, params=None)
        return
    with schema_editor.connection.cursor() as cursor:
        for statement in _statements(_SQLITE):
            cursor.execute(statement)


def _statements(script):
    """Splits a script: a trigger has a semicolon before its END."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if statement.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def drop_table(apps, schema_editor):
    if schema_editor.connection.vendor == "sqlite":
        schema_editor.execute("DROP TABLE chat_search")
    schema_editor.execute("DROP TABLE chat_searchentry")


class Migration(migrations.Migration):

    dependencies = [
        ("chat", "0013_summaries"),
    ]

    operations = [
        migrations.AddField(
            model_name="conversation",
            name="indexed_title",
            field=models.CharField(editable=False, max_length=200, null=True),
        ),
        migrations.AddField(
            model_name="message",
            name="is_indexed",
            field=models.BooleanField(editable=False, null=True),
        ),
        migrations.AddIndex(
            model_name="conversation",
            index=models.Index(
                condition=models.Q(
                    ("indexed_title__isnull", True),
                    models.Q(("indexed_title", models.F("title")), _negated=True),
                    _connector="OR",
                ),
                fields=["created_at"],
                name="chat_title_not_indexed",
            ),
        ),
        migrations.AddIndex(
            model_name="message",
            index=models.Index(
                condition=models.Q(("is_indexed__isnull", True)),
                fields=["created_at"],
                name="chat_message_not_indexed",
            ),
        ),
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunPython(make_table, drop_table)],
            state_operations=[
                migrations.CreateModel(
                    name="SearchEntry",
                    fields=[
                        ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                        (
                            "conversation",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="chat.conversation",
                            ),
                        ),
                        (
                            "message",
                            models.OneToOneField(
                                null=True,
                                on_delete=django.db.models.deletion.DO_NOTHING,
                                related_name="+",
                                to="chat.message",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name_plural": "search entries",
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("message", None)),
                                fields=("conversation",),
                                name="one_search_entry_per_title",
                            )
                        ],
                    },
                ),
            ],
        ),
    ]

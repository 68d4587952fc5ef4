"""What counts a conversation's changes is called its revision in the code. The database stays as it is: processes
of the release before use its columns while they are replaced."""

from django.db import migrations, models


def renamed(model, old, new, **options):
    return [
        migrations.AlterField(model, old, models.PositiveBigIntegerField(db_column=old, **options)),
        migrations.RenameField(model, old, new),
        migrations.AlterField(model, new, models.PositiveBigIntegerField(db_column=old, **options)),
    ]


class Migration(migrations.Migration):
    dependencies = [("chat", "0015_log_in_throttle")]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RemoveIndex("message", "chat_messag_convers_3b202f_idx"),
                *renamed("conversation", "version", "revision", default=0),
                *renamed("conversation", "path_version", "path_revision", default=0),
                *renamed("conversation", "seen_version", "seen_revision", default=0, editable=False,
                         help_text="The revision that its owner's page last showed."),
                *renamed("message", "added_version", "added_revision",
                         help_text="The conversation's revision that added it."),
                *renamed("message", "version", "revision",
                         help_text="The conversation's revision that last changed it."),
                migrations.AddIndex("message", models.Index(fields=["conversation", "revision"],
                                                            name="chat_messag_convers_3b202f_idx")),
            ],
        ),
    ]

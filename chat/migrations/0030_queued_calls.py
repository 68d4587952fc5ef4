"""Names a model and a field anew. The table and the column keep their names: processes of an earlier version may
still use them."""

import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0029_deleted_messages'),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.RenameModel(old_name='LineCall', new_name='QueuedCall'),
                migrations.AlterModelTable(name='queuedcall', table='chat_linecall'),
                migrations.RenameField(
                    model_name='generation', old_name='in_line', new_name='queued_by_endpoint'
                ),
                migrations.AlterField(
                    model_name='generation',
                    name='queued_by_endpoint',
                    field=models.BooleanField(db_column='in_line', db_default=False, default=False, help_text='When it was sent, it had to wait for its endpoint.'),
                ),
            ],
        ),
        migrations.AlterField(
            model_name='endpoint',
            name='at_once',
            field=models.PositiveIntegerField(blank=True, help_text='Further replies wait in a queue that is fair between people. Empty: no limit.', null=True, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(10000)], verbose_name='requests at once'),
        ),
    ]

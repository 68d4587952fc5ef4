from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0028_preset_choice'),
    ]

    operations = [
        migrations.AddIndex(
            model_name='message',
            index=models.Index(condition=models.Q(('deleted_at__isnull', False)), fields=['deleted_at'], name='chat_message_deleted'),
        ),
    ]

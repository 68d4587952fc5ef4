from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ("chat", "0022_tags"),
    ]

    operations = [
        migrations.AddField(
            model_name="chatimport",
            name="extras",
            field=models.JSONField(
                null=True,
                blank=True,
                help_text="How many folders, presets and saved prompts are in it, or were taken.",
            ),
        ),
    ]

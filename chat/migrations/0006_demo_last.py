from django.db import migrations


def put_demo_last(apps, schema_editor):
    """It came before every other provider of the same position; an administrator's own position stays."""
    apps.get_model("chat", "ModelProvider").objects.filter(slug="demo", position=100).update(position=1000)


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0005_streaming_styles'),
    ]

    operations = [migrations.RunPython(put_demo_last, migrations.RunPython.noop)]

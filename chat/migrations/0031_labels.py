import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('chat', '0030_queued_calls'),
    ]

    operations = [
        migrations.AlterField(
            model_name='chatmodel',
            name='highest_effort',
            field=models.CharField(blank=True, choices=[('none', 'none'), ('low', 'low'), ('medium', 'medium'), ('high', 'high')], db_default='', default='', help_text='Up to here. The same as the lowest: people cannot choose it.', max_length=10, verbose_name='highest reasoning effort'),
        ),
        migrations.AlterField(
            model_name='chatmodel',
            name='highest_temperature',
            field=models.FloatField(blank=True, help_text='Up to here. The same as the lowest: people cannot set it.', null=True, validators=[django.core.validators.MinValueValidator(0), django.core.validators.MaxValueValidator(2)], verbose_name='highest temperature'),
        ),
        migrations.AlterField(
            model_name='chatmodel',
            name='reasons',
            field=models.BooleanField(blank=True, help_text='Reasons before it answers.', null=True, verbose_name='reasons'),
        ),
        migrations.AlterField(
            model_name='preset',
            name='visibility',
            field=models.CharField(choices=[('own', 'Only me'), ('groups', 'My groups'), ('all', 'Everyone')], default='own', max_length=6, verbose_name='Who can use it'),
        ),
        migrations.AlterField(
            model_name='savedprompt',
            name='visibility',
            field=models.CharField(choices=[('own', 'Only me'), ('groups', 'My groups'), ('all', 'Everyone')], default='own', max_length=6, verbose_name='Who can use it'),
        ),
        migrations.AlterField(
            model_name='serversettings',
            name='share_links',
            field=models.CharField(choices=[('none', 'Nobody: there are no links'), ('team', 'People who are logged in here'), ('anyone', 'Anyone with the link')], db_default='team', default='team', help_text='Who can open the links that people create to their chats. Applies to existing links too.', max_length=6, verbose_name='share links'),
        ),
        migrations.AlterField(
            model_name='serversettings',
            name='sharers',
            field=models.CharField(choices=[('staff', 'Administrators'), ('all', 'Everyone')], db_default='staff', default='staff', help_text='Presets and saved prompts. Everyone may share them with their own groups.', max_length=5, verbose_name='who may share with everyone'),
        ),
        migrations.AlterField(
            model_name='share',
            name='shows_steps',
            field=models.BooleanField(default=False, verbose_name='with reasoning and tool calls'),
        ),
        migrations.AlterField(
            model_name='tool',
            name='asks',
            field=models.BooleanField(default=True, help_text='Each tool call needs the approval of the person in the chat.', verbose_name='asks'),
        ),
        migrations.AlterField(
            model_name='toolserver',
            name='asks',
            field=models.BooleanField(db_default=True, default=True, help_text='Each tool call needs the approval of the person in the chat. Off: none of its tools asks.', verbose_name='asks'),
        ),
        migrations.AlterField(
            model_name='toolserver',
            name='seconds',
            field=models.FloatField(db_default=30, default=30, validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(600)], verbose_name='seconds for one tool call'),
        ),
        migrations.AlterField(
            model_name='toolserver',
            name='slug',
            field=models.SlugField(help_text='The names of its tools begin with it. Letters, digits and hyphens.', max_length=20, unique=True, validators=[django.core.validators.RegexValidator('^[a-z0-9-]+$', 'Use small letters, digits and hyphens.')], verbose_name='short name'),
        ),
        migrations.AlterField(
            model_name='transcriptread',
            name='how',
            field=models.CharField(choices=[('read', 'Read'), ('exported', 'Exported'), ('searched', 'Searched'), ('titles', 'Viewed titles'), ('erased', 'Erased'), ('link', 'Created a log-in link'), ('used', 'Used a log-in link'), ('added', 'Added a person'), ('changed', 'Changed a person'), ('active', 'Activated or deactivated a person'), ('rights', 'Changed rights'), ('factor', 'Removed a second factor'), ('deleted', 'Deleted a person'), ('group', 'Changed a group'), ('token', 'Created an API token'), ('revoked', 'Revoked an API token'), ('shared', 'Created a share link'), ('unshared', 'Revoked a share link'), ('settings', 'Changed the server settings')], max_length=8, verbose_name='what'),
        ),
    ]

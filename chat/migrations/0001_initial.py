"""The whole schema of the first release: people, the catalog, conversations and what they consist of, then what
belongs to a person, the record, and what the processes share."""

import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
import django.db.models.functions.text
import django.utils.timezone
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        migrations.CreateModel(
            name="User",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("password", models.CharField(max_length=128, verbose_name="password")),
                ("last_login", models.DateTimeField(blank=True, null=True, verbose_name="last login")),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                ("first_name", models.CharField(blank=True, max_length=150, verbose_name="first name")),
                ("last_name", models.CharField(blank=True, max_length=150, verbose_name="last name")),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                (
                    "date_joined",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="date joined"),
                ),
                ("email", models.EmailField(max_length=254, unique=True, verbose_name="email address")),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "verbose_name": "person",
                "verbose_name_plural": "people",
                "constraints": [
                    models.UniqueConstraint(
                        django.db.models.functions.text.Lower("email"), name="one_person_per_address"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                ("slug", models.SlugField(primary_key=True, serialize=False, verbose_name="short name")),
                ("name", models.CharField(max_length=100, verbose_name="name")),
                (
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="Off: none of its models can be used.", verbose_name="enabled"
                    ),
                ),
                (
                    "position",
                    models.PositiveIntegerField(
                        default=100, help_text="Lower numbers come first in the model list.", verbose_name="position"
                    ),
                ),
                (
                    "synced_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="last synced"
                    ),
                ),
                (
                    "sync_error",
                    models.CharField(
                        blank=True, editable=False, max_length=300, verbose_name="sync error"
                    ),
                ),
                (
                    "sync_detail",
                    models.CharField(
                        blank=True, editable=False, max_length=300, verbose_name="provider's response"
                    ),
                ),
            ],
            options={
                "verbose_name": "provider",
                "verbose_name_plural": "providers",
                "ordering": ["position", "slug"],
            },
        ),
        migrations.CreateModel(
            name="ChatModel",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="models",
                        to="chat.endpoint",
                        verbose_name="provider",
                    ),
                ),
                (
                    "name",
                    models.CharField(
                        help_text="The provider's ID of the model.", max_length=200, verbose_name="name"
                    ),
                ),
                ("display_name", models.CharField(blank=True, max_length=200, verbose_name="display name")),
                ("enabled", models.BooleanField(default=True, verbose_name="enabled")),
                (
                    "available",
                    models.BooleanField(
                        default=True,
                        editable=False,
                        help_text="Off: the provider has stopped listing it.",
                        verbose_name="available",
                    ),
                ),
                (
                    "listed_at",
                    models.DateTimeField(
                        blank=True,
                        editable=False,
                        help_text="When the provider last listed it.",
                        null=True,
                        verbose_name="listed",
                    ),
                ),
                (
                    "for_everyone",
                    models.BooleanField(
                        default=True,
                        help_text="Off: only the groups below may use it.",
                        verbose_name="for everyone",
                    ),
                ),
                (
                    "context_window",
                    models.PositiveIntegerField(
                        blank=True, help_text="In tokens.", null=True, verbose_name="context window"
                    ),
                ),
                (
                    "max_output_tokens",
                    models.PositiveIntegerField(blank=True, null=True, verbose_name="maximum output tokens"),
                ),
                ("takes_images", models.BooleanField(blank=True, null=True, verbose_name="takes images")),
                (
                    "reasons",
                    models.BooleanField(
                        blank=True, help_text="Thinks before it answers.", null=True, verbose_name="reasons"
                    ),
                ),
                (
                    "input_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="US dollars per million input tokens.",
                        max_digits=12,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                0, "A price cannot be negative. Leave it empty if it is not known."
                            )
                        ],
                        verbose_name="input price",
                    ),
                ),
                (
                    "cached_input_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="US dollars per million tokens in that the provider had in its cache. Empty: the input price.",
                        max_digits=12,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                0, "A price cannot be negative. Leave it empty if it is not known."
                            )
                        ],
                        verbose_name="price of cached input",
                    ),
                ),
                (
                    "output_price",
                    models.DecimalField(
                        blank=True,
                        decimal_places=4,
                        help_text="US dollars per million output tokens.",
                        max_digits=12,
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(
                                0, "A price cannot be negative. Leave it empty if it is not known."
                            )
                        ],
                        verbose_name="output price",
                    ),
                ),
                ("position", models.PositiveIntegerField(default=100, verbose_name="position")),
                ("groups", models.ManyToManyField(blank=True, to="auth.group", verbose_name="groups")),
            ],
            options={
                "verbose_name": "model",
                "verbose_name_plural": "models",
                "ordering": ["endpoint__position", "endpoint_id", "position", "name"],
                "constraints": [
                    models.UniqueConstraint(fields=("endpoint", "name"), name="one_row_per_model"),
                    models.CheckConstraint(
                        condition=models.Q(("input_price__gte", 0)),
                        name="input_price_is_not_negative",
                        violation_error_message="A price cannot be negative. Leave it empty if it is not known.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("cached_input_price__gte", 0)),
                        name="cached_input_price_is_not_negative",
                        violation_error_message="A price cannot be negative. Leave it empty if it is not known.",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("output_price__gte", 0)),
                        name="output_price_is_not_negative",
                        violation_error_message="A price cannot be negative. Leave it empty if it is not known.",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="conversations",
                        to=settings.AUTH_USER_MODEL,
                        verbose_name="person",
                    ),
                ),
                ("title", models.CharField(blank=True, max_length=200, verbose_name="title")),
                ("revision", models.PositiveBigIntegerField(default=0)),
                ("path_revision", models.PositiveBigIntegerField(default=0)),
                ("last_position", models.PositiveIntegerField(default=0)),
                ("sent_from", models.PositiveIntegerField(db_default=0, default=0, editable=False)),
                (
                    "created_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="started"
                    ),
                ),
                (
                    "updated_at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="last change"
                    ),
                ),
                (
                    "deleted_at",
                    models.DateTimeField(
                        blank=True, editable=False, null=True, verbose_name="deleted by its owner"
                    ),
                ),
                ("pinned_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("archived_at", models.DateTimeField(blank=True, editable=False, null=True)),
                (
                    "seen_revision",
                    models.PositiveBigIntegerField(
                        default=0, editable=False, help_text="The revision that its owner's page last showed."
                    ),
                ),
            ],
            options={
                "verbose_name": "chat",
                "verbose_name_plural": "chats",
                "ordering": ["-updated_at", "-id"],
                "indexes": [
                    models.Index(fields=["owner", "-updated_at"], name="chat_conver_owner_i_77b144_idx")
                ],
            },
        ),
        migrations.CreateModel(
            name="Message",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="chat.conversation",
                    ),
                ),
                (
                    "parent",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="children",
                        to="chat.message",
                    ),
                ),
                ("position", models.PositiveIntegerField()),
                (
                    "shown",
                    models.BooleanField(default=True, help_text="Whether it is on the path to the head."),
                ),
                (
                    "role",
                    models.CharField(choices=[("user", "Person"), ("assistant", "Model")], max_length=10),
                ),
                ("client_id", models.UUIDField(blank=True, null=True)),
                ("text", models.TextField(blank=True)),
                ("parts", models.JSONField(blank=True, default=list)),
                (
                    "added_revision",
                    models.PositiveBigIntegerField(help_text="The conversation's revision that added it."),
                ),
                (
                    "revision",
                    models.PositiveBigIntegerField(
                        help_text="The conversation's revision that last changed it."
                    ),
                ),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("deleted_at", models.DateTimeField(blank=True, editable=False, null=True)),
                ("deletion", models.UUIDField(blank=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["position"],
                "indexes": [
                    models.Index(fields=["conversation", "revision"], name="chat_messag_convers_c49b8a_idx"),
                    models.Index(
                        fields=["conversation", "shown", "position"], name="chat_messag_convers_a003e7_idx"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("conversation", "position"), name="one_message_per_position"
                    ),
                    models.UniqueConstraint(
                        fields=("conversation", "client_id"), name="one_message_per_client_id"
                    ),
                ],
            },
        ),
        # A conversation points at a message, and a message at its conversation.
        migrations.AddField(
            model_name="conversation",
            name="head",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to="chat.message",
            ),
        ),
        migrations.CreateModel(
            name="Generation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "conversation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="generations",
                        to="chat.conversation",
                    ),
                ),
                (
                    "message",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="generation",
                        to="chat.message",
                    ),
                ),
                (
                    "continues",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="continuations",
                        to="chat.message",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="generations",
                        to="chat.chatmodel",
                    ),
                ),
                ("model_label", models.CharField(help_text="The model's name at the time.", max_length=200)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("queued", "Waiting to start"),
                            ("running", "Answering"),
                            ("complete", "Complete"),
                            ("length", "Cut off at the length limit"),
                            ("stopped", "Stopped"),
                            ("interrupted", "Interrupted"),
                            ("failed", "Failed"),
                            ("refused", "Refused"),
                        ],
                        default="queued",
                        max_length=12,
                    ),
                ),
                ("batch", models.UUIDField(blank=True, null=True)),
                ("owner", models.CharField(blank=True, max_length=64)),
                ("heartbeat_at", models.DateTimeField(blank=True, null=True)),
                ("stop_requested", models.BooleanField(default=False)),
                ("queued_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("first_token_at", models.DateTimeField(blank=True, null=True)),
                (
                    "first_text_at",
                    models.DateTimeField(blank=True, help_text="When the reasoning was over.", null=True),
                ),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("sent_from", models.PositiveIntegerField(blank=True, null=True)),
                ("input_estimate", models.PositiveIntegerField(blank=True, null=True)),
                ("input_tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("output_tokens", models.PositiveIntegerField(blank=True, null=True)),
                ("cached_input_tokens", models.PositiveIntegerField(default=0)),
                ("reasoning_tokens", models.PositiveIntegerField(default=0)),
                ("usage_estimated", models.BooleanField(default=False)),
                ("cost", models.DecimalField(blank=True, decimal_places=8, max_digits=14, null=True)),
                (
                    "finish_reason",
                    models.CharField(blank=True, help_text="The provider's own word.", max_length=100),
                ),
                ("error_code", models.CharField(blank=True, max_length=40)),
                ("error_message", models.CharField(blank=True, max_length=500)),
                (
                    "error_detail",
                    models.CharField(
                        blank=True,
                        db_default="",
                        help_text="The provider's own sentence, for administrators.",
                        max_length=500,
                    ),
                ),
            ],
            options={
                "ordering": ["queued_at"],
                "indexes": [
                    models.Index(fields=["status", "heartbeat_at"], name="chat_genera_status_e0bf5d_idx"),
                    models.Index(fields=["conversation", "status"], name="chat_genera_convers_273f73_idx"),
                    models.Index(
                        condition=models.Q(("error_detail", ""), _negated=True),
                        fields=["model", "-finished_at"],
                        name="failures_by_model",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="JournalEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "generation",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="journal",
                        to="chat.generation",
                    ),
                ),
                (
                    "start",
                    models.PositiveBigIntegerField(help_text="Characters of output before this entry."),
                ),
                (
                    "segments",
                    models.JSONField(help_text='[[kind, text], ...]; kind is "text", "reasoning" or "tool_call".'),
                ),
            ],
            options={
                "verbose_name_plural": "journal entries",
                "ordering": ["start"],
                "constraints": [
                    models.UniqueConstraint(fields=("generation", "start"), name="one_entry_per_offset")
                ],
            },
        ),
        migrations.CreateModel(
            name="Feedback",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="feedback",
                        to="chat.message",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("is_good", models.BooleanField()),
                (
                    "reason",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("incorrect", "Not correct"),
                            ("unhelpful", "Not helpful"),
                            ("instructions", "Did not follow the instructions"),
                            ("style", "Tone, length or format"),
                            ("unsafe", "Harmful or offensive"),
                            ("other", "Something else"),
                        ],
                        max_length=12,
                    ),
                ),
                ("comment", models.CharField(blank=True, max_length=2000)),
                ("at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
            ],
            options={
                "verbose_name_plural": "feedback",
                "constraints": [
                    models.UniqueConstraint(fields=("message", "user"), name="one_verdict_per_reply")
                ],
            },
        ),
        migrations.CreateModel(
            name="Preferences",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="preferences",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("language", models.CharField(blank=True, max_length=10, verbose_name="Language")),
                (
                    "theme",
                    models.CharField(
                        choices=[("system", "Match system"), ("light", "Light"), ("dark", "Dark")],
                        default="system",
                        max_length=8,
                        verbose_name="Theme",
                    ),
                ),
                (
                    "density",
                    models.CharField(
                        choices=[("comfortable", "Comfortable"), ("compact", "Compact")],
                        default="comfortable",
                        max_length=12,
                        verbose_name="Density",
                    ),
                ),
                (
                    "text_size",
                    models.CharField(
                        choices=[
                            ("small", "Small"),
                            ("medium", "Medium"),
                            ("large", "Large"),
                            ("larger", "Larger"),
                        ],
                        default="medium",
                        max_length=8,
                        verbose_name="Text size",
                    ),
                ),
                (
                    "streaming",
                    models.CharField(
                        choices=[
                            ("instant", "Immediately"),
                            ("words", "Word by word"),
                            ("sentences", "Sentence by sentence"),
                            ("lines", "Line by line"),
                            ("calm", "A few times per second"),
                            ("paragraphs", "Paragraph by paragraph"),
                            ("whole", "When it is complete"),
                        ],
                        default="words",
                        max_length=12,
                        verbose_name="Show replies",
                    ),
                ),
                (
                    "send_key",
                    models.CharField(
                        choices=[
                            ("auto", "Enter sends, except on touch screens"),
                            ("enter", "Enter sends, Shift+Enter adds a new line"),
                            ("mod-enter", "Ctrl+Enter (⌘+Enter) sends, Enter adds a new line"),
                        ],
                        default="auto",
                        max_length=10,
                        verbose_name="Enter key",
                    ),
                ),
                (
                    "single_keys",
                    models.BooleanField(
                        default=True,
                        help_text="For example, ? for help. Turn off if you use voice input.",
                        verbose_name="Single-key shortcuts",
                    ),
                ),
                (
                    "announcements",
                    models.CharField(
                        choices=[
                            ("state", "When a reply starts and ends"),
                            ("sentences", "Each sentence as it arrives"),
                            ("end", "The whole reply when it is complete"),
                        ],
                        default="state",
                        max_length=10,
                        verbose_name="Screen reader announcements",
                    ),
                ),
                (
                    "default_model",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="chat.chatmodel",
                        verbose_name="Model for new chats",
                    ),
                ),
                ("favourites", models.ManyToManyField(blank=True, related_name="+", to="chat.chatmodel")),
            ],
            options={
                "verbose_name_plural": "preferences",
            },
        ),
        migrations.CreateModel(
            name="TranscriptRead",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "number",
                    models.PositiveBigIntegerField(
                        editable=False, null=True, unique=True, verbose_name="number"
                    ),
                ),
                (
                    "reader",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("reader_email", models.EmailField(max_length=254, verbose_name="who")),
                (
                    "owner",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("owner_email", models.EmailField(blank=True, max_length=254, verbose_name="person affected")),
                ("conversation_id", models.UUIDField(db_index=True, null=True, verbose_name="chat")),
                ("words", models.CharField(blank=True, max_length=200, verbose_name="searched for")),
                ("found", models.PositiveIntegerField(null=True, verbose_name="found")),
                (
                    "how",
                    models.CharField(
                        choices=[
                            ("read", "Read"),
                            ("exported", "Exported"),
                            ("searched", "Searched"),
                            ("titles", "Viewed titles"),
                            ("erased", "Erased"),
                            ("link", "Made a log-in link"),
                            ("used", "Used a log-in link"),
                            ("added", "Added a person"),
                            ("changed", "Changed a person"),
                            ("active", "Activated or deactivated a person"),
                            ("rights", "Changed rights"),
                            ("factor", "Removed a second factor"),
                            ("deleted", "Deleted a person"),
                            ("group", "Changed a group"),
                        ],
                        max_length=8,
                        verbose_name="what",
                    ),
                ),
                ("details", models.TextField(blank=True, db_default="", verbose_name="details")),
                (
                    "at",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, verbose_name="time"
                    ),
                ),
                (
                    "seal",
                    models.CharField(
                        blank=True, db_default="", editable=False, max_length=64, verbose_name="seal"
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "ordering": ["-at", "-id"],
            },
        ),
        migrations.CreateModel(
            name="LogInThrottle",
            fields=[
                ("key", models.CharField(max_length=32, primary_key=True, serialize=False)),
                ("failures", models.PositiveIntegerField(db_default=0, default=0)),
                ("retry_at", models.DateTimeField(null=True)),
                ("succeeded_at", models.DateTimeField(null=True)),
                (
                    "updated_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), db_index=True),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PeriodicTask",
            fields=[
                ("name", models.SlugField(primary_key=True, serialize=False)),
                ("due_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
            ],
        ),
        migrations.CreateModel(
            name="Probe",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("written_at", models.DateTimeField()),
            ],
            options={
                "verbose_name": "probe",
            },
        ),
        migrations.CreateModel(
            name="Schema",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("number", models.PositiveIntegerField()),
            ],
            options={
                "verbose_name": "schema",
            },
        ),
    ]

"""What the request for a reply was made of, for the page "What was sent"."""

from __future__ import annotations

from django.db import models

from chat.models.generation import Generation


class SentRequest(models.Model):
    """Written at the end of the reply, from the last request that was sent. The messages of the request are
    not repeated here: they are those from `Generation.sent_from` on, and `Generation.summary`.

    `system` is a list of pairs: the source of a system prompt (a key of `chat.views.sent.SOURCES`) and its
    text, in order. `options` has the parameters by their names in `ChatRequest`, `tools` the names of the
    tools."""

    generation = models.OneToOneField(
        Generation, primary_key=True, on_delete=models.CASCADE, related_name="sent_request"
    )
    system = models.JSONField(default=list)
    options = models.JSONField(default=dict)
    tools = models.JSONField(default=list)

    def __str__(self) -> str:
        return f"Request of {self.generation_id}"

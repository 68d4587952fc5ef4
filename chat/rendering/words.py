"""Words from rooms that know no language. What providers, the pipeline, generations and actions say to
people is English, is stored so, and is translated where it is shown; it is listed here so that the
translators' catalog has it. A test holds the list to the code.
"""

from __future__ import annotations

from django.utils.formats import number_format
from django.utils.translation import gettext
from django.utils.translation import gettext_noop as _


def translated(words: str) -> str:
    """In the active language, if the catalog has these words."""
    return gettext(words) if words else ""


def in_words(error: Exception) -> str:
    """What an error that is meant for people says, in the active language."""
    values = getattr(error, "values", None)
    if not values:
        return translated(str(error))
    values = {name: _Number(value) if isinstance(value, int) else value for name, value in values.items()}
    return gettext(error.words).format(**values)  # type: ignore[attr-defined]


def seconds(value: float | None) -> str:
    """A duration as people say it: 0.8 s (in German 0,8 s), 12 s, 3 min 5 s."""
    if value is None:
        return ""
    if value < 10:
        return f"{number_format(round(value, 1), 1)}\N{NO-BREAK SPACE}s"
    minutes, rest = divmod(round(value), 60)
    return (f"{minutes}\N{NO-BREAK SPACE}min " if minutes else "") + f"{rest}\N{NO-BREAK SPACE}s"


class _Number(int):
    """Written with the separators of the active language."""

    def __format__(self, specification: str) -> str:
        return number_format(int(self), force_grouping=True)


KNOWN = (
    _("This log-in has ended already."),
    _("Too many failed attempts. Wait {seconds} s, then try again."),
    _("The model ended its answer without a word. Retry, or choose another model."),
    _("The model called a tool instead of answering, and it has none here. Retry, or choose another model."),
    _("The length limit was reached before the first word of the answer. Retry, or choose another model."),
    _("This message was sent before with another text. Reload the page and send it again."),
    _("There is no such conversation."),
    _("There is no such message."),
    _("This model cannot be used. Choose another one from the list."),
    _("The title is empty. Give the chat a name."),
    _("The title may have at most {limit} characters."),
    _("This reason is not one of the list."),
    _("This is not a reply."),
    _("The comment may have at most {limit} characters."),
    _("Someone with this address is already here. Use another one."),
    _("The conversation went on since. What was deleted cannot come back."),
    _("This message is not in the chat any more. Reload the page."),
    _("This reply is still running. Stop it first."),
    _("A reply from here on is still running. Stop it first."),
    _("This reply is complete. Ask a new question to go on."),
    _("The conversation went on after this reply. Use the last one."),
    _("You have as many replies running as one person may have. Wait for one, or stop one."),
    _("This reply has no prompt to answer."),
    _("The message is empty. Write something first."),
    _("The message has {length:,} characters; the limit is {limit:,}. Shorten it or send it in parts."),
    _("No model is chosen. Choose one from the list."),
    _("At most {limit} models can answer at once."),
    _("This model is no longer available. Choose another one and retry."),
    _("The server stopped while this reply was being written. What had come is kept."),
    _("The server stopped before this reply could begin. Retry to send it now."),
    _("The connection to the provider ended in the middle of the answer. What had come is kept."),
    _("Something went wrong in Steady while this reply was being written. What had come is kept. Retry it."),
    _("The provider fell silent in the middle of its answer. Continue, or retry."),
    _("The answer took longer than this server allows. Continue, or retry."),
    _("This model cannot read this kind of file. Remove it, or choose another model."),
    _("The model provider reported an error. Try again, or choose another model."),
    _("This model's provider is not set up. Ask an administrator to set its key."),
    _("The provider refused Steady's key. Ask an administrator to check it."),
    _("Steady's key may not use this model. Choose another one or ask an administrator."),
    _("The provider account has no credit left. Ask an administrator to check its billing."),
    _("The provider does not know this model any more. Choose another one."),
    _("The provider did not accept this request. Try a different prompt or another model."),
    _("This conversation is longer than the model can take. Start a new chat or choose a larger model."),
    _("The provider is limiting requests right now. Wait a moment, then retry."),
    _("The provider is overloaded right now. Wait a moment, then retry, or choose another model."),
    _("The provider's server failed. Wait a moment, then retry."),
    _("The connection to the provider failed. Retry; if it stays, ask an administrator."),
    _("The provider did not answer in time. Retry, or choose another model."),
    _("The provider sent an answer that could not be read. Retry, or choose another model."),
    _(
        "The provider sent too much at once, so the rest of its answer was not read. "
        "Retry, or choose another model."
    ),
    _("The provider's address does not answer as expected. Ask an administrator to check it."),
    _("The provider's content filter refused this prompt. Try to word it differently."),
    _("The server's database does not answer. Nothing was changed; try again."),
    _(
        "The server's database file was deleted or replaced. Nothing was changed; "
        "an administrator must restart the server."
    ),
    _("The page sent something that cannot be read. Reload it."),
    _("The message is not text."),
    _("The page said hello twice. Reload it."),
    _("The page sent something unknown. Reload it."),
    _("The page sent no valid {name}. Reload it."),
    _("The provider of this model is not set up on this server any more. Choose another one and retry."),
    _(
        "The message and the answer so far are together longer than this model can take. "
        "Nothing was sent. Ask for the rest in a new message."
    ),
    _(
        "The message is longer than this model can take. Nothing was sent. "
        "Shorten it, or choose a model that reads more, and send it again."
    ),
)

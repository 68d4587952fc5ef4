"""The line below a reply: its tokens, its duration, its speed and its cost."""

from __future__ import annotations

from decimal import Decimal

from django.template.defaultfilters import floatformat
from django.utils.formats import localize, number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext, ngettext

from chat.models import Generation
from chat.rendering.words import parameters_in_words, seconds


def reply_facts(generation: Generation, *, is_beside: bool = False) -> SafeString:
    """Returns the line as HTML, in the active language. `is_beside`: another reply is shown beside it."""
    first, tokens = generation.fell_back_from, generation.output_tokens
    words = ""
    if first:
        sentence = gettext("%(first)s failed, so %(second)s answered.")
        words = sentence % {"first": first, "second": generation.model_label} + " "
    if tokens:
        words += gettext("%(tokens)s tokens") % {"tokens": localize(tokens)} + _speed(generation, is_beside)
        if count := generation.searches:
            found = ngettext("%(count)s search", "%(count)s searches", count)
            words += " · " + found % {"count": localize(count)}
        if generation.cost:
            words += gettext(" · $%(cost)s") % {"cost": price(generation.cost)}
        words += "".join(f" · {parameter}" for parameter in parameters_in_words(generation.parameters))
    return format_html('<span class="facts">{}</span>', words)


def price(dollars: Decimal) -> str:
    """Formats a price with two decimals, or more if it has more: 3.70, 0.075."""
    _, _, exponent = dollars.normalize().as_tuple()
    return number_format(dollars, max(2, -int(exponent)))


def _speed(generation: Generation, is_beside: bool) -> str:
    took, rate = generation.seconds, generation.tokens_per_second
    if took is None or (took < 1 and not is_beside):
        return ""
    words = f" · {seconds(took)}"
    if is_beside and (first := generation.seconds_to_first_token) is not None:
        words += " · " + gettext("first word after %(time)s") % {"time": seconds(first)}
    return words + (f" · {floatformat(rate, '0')}/s" if rate else "")

"""Code is coloured as by Pygments, and only output that the cleaner would not change bypasses the cleaner."""

import random
from pathlib import Path

import pytest
from django.utils.translation import override

from chat.rendering import sanitise as sanitise_module
from chat.rendering.code import highlight
from chat.rendering.markdown import render_markdown
from chat.rendering.sanitise import sanitise
from tests.rendering.bad_inputs import HOSTILE
from tests.rendering.documents import tokens as cut_tokens


def samples(seed: int) -> list[str]:
    """Returns Python, random combinations of its words and marks, and hostile attempts."""
    source, python = random.Random(seed), Path(__file__).read_text(encoding="utf-8")
    words = [*cut_tokens(python), "/*", "*/", "//", "--", "$x", "${", "<!--", "é", "0x1f", "=>"]
    return [python, "".join(source.choice(words) for _ in range(1_500)), *HOSTILE[:20]]


@pytest.mark.parametrize("language", ["python", "html", "nosuch", ""])
def test_a_code_block_is_what_the_cleaner_would_leave_alone(language: str) -> None:
    for text in samples(1):
        text = text.replace("```", "").replace("\x00", "")
        (block, *_) = [render_markdown(f"~~~~{language}\n{text}\n~~~~")]
        assert block == sanitise_module._CLEANER.clean(block)


@pytest.mark.parametrize(
    "inside",
    [
        "<script>alert(1)</script>",
        '<span class="k" onclick="alert(1)">x</span>',
        '<span class="copy-code">x</span>',
        '<span class="k"><b>x</b></span>',
        '<span class="k">x',
        "x</span>",
        "x</code></pre></div><img src=x onerror=alert(1)>",
        "&#x3c;script>",
        "a &amp b",
    ],
)
def test_any_other_shape_of_a_code_block_is_cleaned(inside: str) -> None:
    whole = render_markdown("```py\nHERE\n```").replace('<span class="n">HERE</span>', "HERE")
    assert "HERE" in whole
    forged = whole.replace("HERE", inside)
    assert sanitise(forged) == sanitise_module._CLEANER.clean(forged)
    assert sanitise(forged) != forged
    assert sanitise(whole.replace(">py<", f">{inside}<")) != whole.replace(">py<", f">{inside}<")


@pytest.mark.parametrize("language", ["en", "de"])
def test_code_is_not_cleaned_in_any_language_of_the_page(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with override(language):
        html = render_markdown("```py\nx = 1\n```")

        class Cleaner:
            def clean(self, html: str) -> str:
                raise AssertionError(html)

        monkeypatch.setattr(sanitise_module, "_CLEANER", Cleaner())
        assert sanitise(html) == html


def test_neighbours_of_one_class_share_an_element_and_plain_names_need_none() -> None:
    assert highlight("f(a, 'b' 'c')", "python") == (
        'f(a, <span class="s1">&#x27;b&#x27;</span> <span class="s1">&#x27;c&#x27;</span>)'
    ).replace("&#x27;", "'")
    assert highlight("# a < b & c", "python") == '<span class="c1"># a &lt; b &amp; c</span>'

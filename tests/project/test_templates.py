"""How templates are written, and what is left of their layout when they are loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.template import Context, Template

from chat.templatetags.chat import _ICONS
from chatproject.template_loader import without_layout

TEMPLATES = Path(__file__).resolve().parents[2] / "templates"
FILES = sorted(TEMPLATES.rglob("*.html"))
LINE = 120  # characters
INDENT = 2  # blanks


def test_no_line_of_a_template_is_too_long() -> None:
    assert FILES
    lines = [(path, number, line) for path in FILES for number, line in _lines(path)]
    assert [f"{path.name}:{number}" for path, number, line in lines if len(line) > LINE] == []


def test_each_line_of_a_template_is_indented_by_steps_of_two_blanks() -> None:
    for path in FILES:
        before = 0
        for number, line in _lines(path):
            indent = len(line) - len(line.lstrip())
            assert "\t" not in line, f"{path}:{number}"
            assert line == line.rstrip(), f"{path}:{number}"
            if not line:
                continue
            assert indent % INDENT == 0, f"{path}:{number}"
            assert indent <= before + INDENT, f"{path}:{number}"
            before = indent


def test_a_line_has_one_element() -> None:
    """Or text with elements in it: no line ends an element and begins another block."""
    crowded = [
        f"{path.name}:{number}"
        for path in FILES
        for number, line in _lines(path)
        if any(
            f"{end}<{begin}" in line
            for end in (">", "%}")
            for begin in ("div", "form", "li", "p>", "section")
        )
        and not line.lstrip().startswith("{%")
    ]
    assert crowded == []


def test_each_fragment_says_what_it_is_for() -> None:
    fragments = [path for path in FILES if path.name.startswith("_") or path.parent.name == "streams"]
    assert len(fragments) > 20
    silent = [p.name for p in fragments if not p.read_text().startswith(("{# ", "{% comment %}\n"))]
    assert silent == []


@pytest.mark.parametrize(
    ("written", "loaded"),
    [
        ("<ul>\n  <li>One</li>\n  <li>Two</li>\n</ul>\n", "<ul><li>One</li><li>Two</li></ul>"),
        (
            "<p>\n  Some <b>bold</b>\n  text,\n  <i>and</i> more\n</p>",
            "<p>Some <b>bold</b> text, <i>and</i> more</p>",
        ),
        (
            '<a\n  href="{% url "x" %}"\n  {% if y %}data-y{% endif %}\n>',
            '<a href="{% url "x" %}" {% if y %}data-y{% endif %}>',
        ),
        ('<i\n  title="a > b"\n>\n  {{ x }}\n  {{ y }}\n</i>', '<i title="a > b">{{ x }} {{ y }}</i>'),
        ("{% if a > b %}\n  <br>\n  text\n{% endif %}", "{% if a > b %}<br>text{% endif %}"),
        ("{# What for. #}\n{% load i18n %}\n{{ x }}\n", "{# What for. #}{% load i18n %}{{ x }}"),
        (
            "<{% if a %}a{% else %}b{% endif %}\n  id='x'\n>\n  x\n</{{ c }}>",
            "<{% if a %}a{% else %}b{% endif %} id='x'>x</{{ c }}>",
        ),
    ],
)
def test_the_layout_of_a_template_is_not_sent(written: str, loaded: str) -> None:
    assert without_layout(written) == loaded


@pytest.mark.parametrize("context", [{}, {"csrf_token": "a-token"}], ids=["for all viewers", "in a page"])
def test_a_form_that_deletes_has_the_field_for_it(context: dict[str, str]) -> None:
    source = '{% load chat %}{% htmx_form "delete" "/x/" %}<button>Stop</button>{% endhtmx_form %}'
    html = Template(source).render(Context(context))
    assert '<form method="post" action="/x/" hx-post="/x/" hx-swap="none">' in html
    assert '<input type="hidden" name="_method" value="delete"><button>Stop</button></form>' in html
    assert ("csrfmiddlewaretoken" in html) == bool(context)


def test_no_template_breaks_a_line_where_line_breaks_count() -> None:
    for path in FILES:
        for tag in ("pre", "textarea"):
            lines = [line for _, line in _lines(path) if f"</{tag}>" in line]
            assert all(f"<{tag}" in line or line.strip().startswith(">") for line in lines), path


def _lines(path: Path) -> list[tuple[int, str]]:
    return list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))


def test_each_icon_of_the_chat_page_is_in_its_sprite() -> None:
    """A name that is missing there shows nothing."""
    used = {
        (path.name, icon)
        for path in FILES
        if path.parent.name in {"chat", "streams"}
        for icon in re.findall(r'{% icon "([\w-]+)"', path.read_text())
    }
    assert [(name, icon) for name, icon in sorted(used) if icon not in _ICONS.split()] == []

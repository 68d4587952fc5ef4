"""The HTML of a whole reply, case by case."""

import pytest

from chat.rendering.markdown import render_markdown
from chat.rendering.sanitise import sanitise

WEB = 'target="_blank" rel="noopener noreferrer nofollow"'


@pytest.mark.parametrize(
    ("source", "html"),
    [
        ("Hello *world*", "<p>Hello <em>world</em></p>"),
        ("a\r\nb\rc", "<p>a\nb\nc</p>"),
        ("- [x] a\n- [ ] b", None),
        ("<b onclick=x>hi</b>", "<p>&lt;b onclick=x&gt;hi&lt;/b&gt;</p>"),
        ("<div>\n*x*\n</div>", '<p class="raw-html">&lt;div&gt;\n*x*\n&lt;/div&gt;</p>'),
        ("[a](https://x.org 't')", f'<p><a href="https://x.org" title="t" {WEB}>a</a></p>'),
        ("[a](javascript:alert(1))", "<p><span>a</span></p>"),
        ("[a](//evil.org)", "<p><span>a</span></p>"),
        ("see https://x.org/a_b_c.", f'<p>see <a href="https://x.org/a_b_c" {WEB}>https://x.org/a_b_c</a>.</p>'),
        ("(www.x.org)", f'<p>(<a href="http://www.x.org" {WEB}>www.x.org</a>)</p>'),
        ("m@x.org", f'<p><a href="mailto:m@x.org" {WEB}>m@x.org</a></p>'),
        # No image of our own site: loading one is a request in the reader's name.
        ("![a](/files/1.png)", "<p>a</p>"),
        ("![a](/admin/chat/conversation/?q=x)", "<p>a</p>"),
        ("![a](//evil/x)", "<p>a</p>"),
        ("![a](/\\evil/x)", "<p>a</p>"),
        ("![a *b*](https://evil/x)", f'<p><a href="https://evil/x" {WEB}>a b</a></p>'),
        ("$5 and $10", "<p>$5 and $10</p>"),
        ("$5-$10, US$3, `$x$`", "<p>$5-$10, US$3, <code>$x$</code></p>"),
        ("$x$", '<p><math data-tex="x"><mi>x</mi></math></p>'),
        (r"\(x\) \$", '<p><math data-tex="x"><mi>x</mi></math> $</p>'),
        (r"`\(x\)`", r"<p><code>\(x\)</code></p>"),
        ("$$\nx\n\ny\n$$", '<p><math data-tex="x%0A%0Ay" display="block"><mi>x</mi><mi>y</mi></math></p>'),
        ("\\[\nx\n\\]", '<p><math data-tex="x" display="block"><mi>x</mi></math></p>'),
        (r"$\nosuch{x}$", r'<p><code class="math-source">\nosuch{x}</code></p>'),
        ("```math\nx\n```", '<p><math data-tex="x" display="block"><mi>x</mi></math></p>'),
        ("- > 25", "<ul><li>&gt; 25</li></ul>"),
        ("- > quoted", "<ul><li><blockquote><p>quoted</p></blockquote></li></ul>"),
        ("20~25 ~~x~~", "<p>20~25 <del>x</del></p>"),
        ("2 * 3 * 4", "<p>2 * 3 * 4</p>"),
        ("3. a", '<ol start="3"><li>a</li></ol>'),
        ("> [!TIP]\n> a", None),
        ("a\x00b\ud800", "<p>a\ufffdb\ufffd</p>"),
        ("", ""),
        (" \n\n", ""),
    ],
)  # fmt: skip
def test_a_reply_is_rendered(source: str, html: str | None) -> None:
    rendered = {
        "- [x] a\n- [ ] b": (
            '<ul><li><input type="checkbox" disabled="" checked="" aria-label="Done"> a</li>'
            '<li><input type="checkbox" disabled="" aria-label="To do"> b</li></ul>'
        ),
        "> [!TIP]\n> a": (
            '<blockquote class="markdown-alert markdown-alert-tip">'
            '<p class="markdown-alert-title">Tip</p><p>a</p></blockquote>'
        ),
    }
    assert render_markdown(source) == (html if html is not None else rendered[source])


def test_code_has_a_language_a_copy_button_and_colours() -> None:
    assert render_markdown("```py\nreturn 1\n```") == (
        '<div class="code-block"><div class="code-header"><span class="code-language">py</span>'
        '<button type="button" class="wrap-code" aria-label="Wrap"></button>'
        '<button type="button" class="save-code" aria-label="Download"></button>'
        '<button type="button" class="copy-code" aria-label="Copy"></button></div>'
        '<pre tabindex="0"><code><span class="k">return</span> <span class="mi">1</span></code></pre></div>'
    )


def test_a_table_scrolls_in_itself_and_keeps_its_alignment() -> None:
    assert render_markdown("|a|b|\n|-|-:|\n|1|2|") == (
        '<div class="table-scroll" tabindex="0"><table>'
        '<thead><tr><th>a</th><th class="align-right">b</th></tr></thead>'
        '<tbody><tr><td>1</td><td class="align-right">2</td></tr></tbody></table></div>'
    )


def test_footnotes_are_numbered_by_mention_and_have_ids_only_with_a_prefix() -> None:
    source = "a[^z] b[^y]\n\n[^y]: why\n[^z]: zed\n[^unused]: no"
    assert render_markdown(source) == (
        '<p>a<sup class="footnote-ref">1</sup> b<sup class="footnote-ref">2</sup></p>'
        '<section class="footnotes"><ol><li><p>zed</p></li><li><p>why</p></li></ol></section>'
    )
    linked = render_markdown(source, id_prefix="m7")
    assert '<a href="#fn-m7-1" rel="noopener noreferrer nofollow">1</a>' in linked
    assert '<li id="fn-m7-1"><p>zed</p></li>' in linked


def test_nesting_is_limited() -> None:
    html = render_markdown(">" * 10_000 + " deep")
    assert "deep" in html
    assert html.count("<blockquote>") < 50


@pytest.mark.parametrize(
    ("tex", "written"),
    [
        (r"\raisebox{1000em}{x}", 'voffset="2em"'),
        (r"\raisebox{-9000pt}{x}", 'voffset="-2em"'),
        (r"\raisebox{0.3em}{x}", 'voffset="0.3em"'),
        (r"a\hspace{99999999cm}b", 'width="20em"'),
        (r"a\kern900em b", 'width="20em"'),
        (r"a\quad b", 'width="1em"'),
        (r"\genfrac{}{}{100em}{}{a}{b}", 'linethickness="0.5em"'),
    ],
)
def test_tex_moves_and_stretches_only_as_far_as_a_formula_needs(tex: str, written: str) -> None:
    assert written in render_markdown(f"${tex}$")


def test_a_length_that_no_formula_needs_does_not_pass_the_sanitiser() -> None:
    html = '<math><mspace width="1000em"></mspace><mpadded voffset="9e9em"><mi>x</mi></mpadded></math>'
    assert sanitise(html) == "<math><mspace></mspace><mpadded><mi>x</mi></mpadded></math>"

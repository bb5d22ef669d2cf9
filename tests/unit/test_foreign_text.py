"""Foreign text in each medium: what is dangerous is not, what is harmless stays."""

import re
from html import escape

import pytest
from markdown_it import MarkdownIt

from evergreen.foreign_text import for_chart, for_markdown, for_script, for_slack, for_terminal, one_line, restrict

PLAIN = "Höhe 12,5 km/h 高さ (rows 3), 50 %; naïve? 'x' \"y\" = z+1"


@pytest.mark.parametrize("medium", [one_line, for_terminal, for_slack, for_markdown, for_chart, for_script])
def test_harmless_text_stays_as_it_is(medium):
    assert medium(PLAIN) == PLAIN


@pytest.mark.parametrize(
    ("control", "shown"),
    [("\n", r"\n"), ("\r", r"\r"), ("\x1b[31m", r"\x1b[31m"), ("\x9b", r"\x9b"), ("\u202e", r"\u202e"),
     ("\u2028", r"\u2028"), ("\u200b", r"\u200b"), ("\udcff", r"\udcff"), ("\0", r"\x00")],
)  # fmt: skip
def test_control_characters_are_shown_and_do_nothing(control, shown):
    assert one_line(f"a{control}b") == f"a{shown}b"
    assert for_chart(f"a{control}b") == f"a{shown}b"
    assert for_terminal(f"a{control}b") == (f"a{control}b" if control == "\n" else f"a{shown}b")
    for_markdown(f"a{control}b").encode()


def test_slack_reads_no_mention_and_nothing_is_cut_within_an_escape():
    assert for_slack("<!channel> & <@U1>") == "&lt;!channel&gt; &amp; &lt;@U1&gt;"
    for most in range(20, 60):
        cut = for_slack("<&>" * 20, most)
        assert most - 6 < len(cut) <= most
        assert re.fullmatch("(&lt;|&amp;|&gt;)* …", cut)


@pytest.mark.parametrize(
    "hostile",
    ["a | b", "`code`", "**bold**", "_x_", "<img src=x>", "[m](http://x.y)", "https://x.y", "www.x.y", "@team", "#12",
     "~~gone~~", "$x$", "&lt;", ":tada:", "\\| still"],
)  # fmt: skip
def test_markdown_shows_it_as_it_is_in_a_line_and_in_a_cell(hostile):
    escaped = for_markdown(hostile)
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    seen = escape(hostile).replace("&#x27;", "'")
    assert reader.renderInline(escaped).replace("\u2060", "") == seen
    cell = reader.render(f"| a | b |\n|---|---|\n| {escaped} | 1 |").replace("\u2060", "")
    assert f"<td>{seen}</td>\n<td>1</td>" in cell
    # What GitHub links on its own, in whatever text.
    assert not re.search(r"[@#]\w|(?<!\\)://|www\.", escaped)


def test_markdown_is_one_line_of_a_length():
    assert "\n" not in for_markdown("a\n# heading")
    assert len(for_markdown("|" * 9000, 5000)) <= 5000


def test_what_a_chart_reads_is_no_tag_and_no_entity():
    told = for_chart("<b>x</b> &lt; 5 < 6")
    assert not re.search("<[/a-z]|&[a-z]", told)
    assert told.replace("\u2060", "") == "<b>x</b> &lt; 5 < 6"


def test_a_page_is_held_to_the_scripts_that_it_has():
    page = restrict("<html><head></head><body><script>a()</script><script>b()\n</script></body></html>")
    assert len(set(re.findall("'sha256-[^']+'", page))) == 2
    assert page.index("Content-Security-Policy") < page.index("<script>")
    assert "default-src 'none'" in page

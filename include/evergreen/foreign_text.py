"""Foreign text, of data, config, files and exceptions: shown as it is, and read as markup by no medium."""

import re
import unicodedata
from base64 import b64encode
from bisect import bisect_right
from collections.abc import Callable
from hashlib import sha256

# What moves a cursor, colours a terminal, begins a line, turns the direction of writing, or shows nothing at all; and
# bytes of a file's name that are no UTF-8, which cannot be written.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]"
)
# Half a character, which UTF-8 cannot hold: as an exception may have it, or a terminal in another encoding.
HALF = re.compile("[\ud800-\udfff]")
_CONTROL_BUT_LINES = re.compile(f"(?!\n){_CONTROL.pattern}")
_MARKDOWN = re.compile(r"[\\`*_\[\]<>#|~&$@]|:(?=\S)|(?<=www)\.", re.IGNORECASE)
_SLACK = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
# Between two characters it is not seen, and they are no tag, mention or reference any more.
_JOINER = "\u2060"
# Longer ones cannot be read, or are refused: a section of Slack takes 3,000 characters, a description of MLflow 5,000.
SLACK_SECTION, SLACK_HEADER, SLACK_CONTEXT, DESCRIPTION = 3000, 150, 2000, 5000


def one_line(text: str) -> str:
    r"""Text for a line of a log: control characters and line ends stand as escapes, such as ``\n``."""
    # Pages ask this of each cell; what can be printed has none of these.
    return text if text.isprintable() else _CONTROL.sub(_escaped, text)


def spelt_out(text: str) -> str:
    """A name as it can be told from another that looks alike, by spaces at its ends or accents apart from letters."""
    return text if text == text.strip() and unicodedata.is_normalized("NFC", text) else ascii(text)


def for_terminal(text: str) -> str:
    """Text for a terminal: as ``one_line``, but lines stay lines."""
    return _CONTROL_BUT_LINES.sub(_escaped, text)


def for_slack(text: str, most: int = SLACK_SECTION) -> str:
    """Text for a ``plain_text`` of Slack, which would read ``<!channel>`` otherwise.

    :param most: characters that are taken; what is longer is cut.
    """
    return _fit(for_terminal(text), lambda part: part.translate(_SLACK), most)


def for_markdown(text: str, most: int = DESCRIPTION) -> str:
    """Text within a line or a table's cell of Markdown, as GitHub, Airflow and MLflow read it.

    :param most: characters that are taken; what is longer is cut.
    """

    def escape(part: str) -> str:
        return _MARKDOWN.sub(lambda found: f"\\{found[0]}{_JOINER if found[0] in '@#' else ''}", part)

    return _fit(one_line(text), escape, most)


def for_chart(text: str) -> str:
    """Text that Plotly reads as HTML of its own, and other parts of a page as it is."""
    return re.sub("([<&])", rf"\1{_JOINER}", one_line(text))


def for_script(json: str) -> str:
    """JSON that stands within a page's script, which nothing in it ends."""
    return json.replace("<", "\\u003c")


def restrict(page: str) -> str:
    """An HTML page that runs the scripts that it has now and no other, and loads nothing from elsewhere.

    :param page: with a ``<head>``, and foreign text escaped.
    """
    hashes = (sha256(script.encode()).digest() for script in re.findall("<script>(.*?)</script>", page, re.DOTALL))
    allowed = " ".join(f"'sha256-{b64encode(one).decode()}'" for one in hashes)
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; font-src data:; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return page.replace("<head>", f'<head>\n<meta http-equiv="Content-Security-Policy" content="{policy}">', 1)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _fit(text: str, escape: Callable[[str], str], most: int) -> str:
    """The escaped text, cut where it would be too long, never within an escape."""
    whole = escape(text)
    if len(whole) <= most:
        return whole
    fitting = bisect_right(range(len(text)), most - 2, key=lambda end: len(escape(text[:end]))) - 1
    return f"{escape(text[:fitting])} …"

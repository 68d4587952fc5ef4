"""Shows the end of a growing reply as its probable continuation.

An unfinished line may still change its meaning: `-` may become an item, a rule or the underline of a heading,
`**` bold text or nothing. Text that could change its kind is held back, and open inline marks are closed
temporarily. This only affects the display; which blocks are finished is decided on complete lines alone.
"""

import re
import unicodedata
from dataclasses import dataclass

# Markers alone: the next character decides. A digit may begin "1. ".
_MARKERS_ONLY = re.compile(
    r"[ \t>]*+(?:[-+*][ \t]++)*+(?:\d{1,9}(?:[.)][ \t]*+)?)?[-+*_=~`#|:<\\ \t>]*+(?:!?\[[ xX^]?\]?[ \t]*+)?\Z"
)
_FENCE_LINE = re.compile(r"[ \t>]*(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)*(?:`{3,}[^`]*|~{3,}.*)\Z")
_FENCE_END = re.compile(r"[ \t>]*[`~]*[ \t]*\Z")
_DELIMITER_ROW = re.compile(r"[ \t>|:-]*\Z")
_BLOCK_START = re.compile(
    r"(?:[ \t]*>)*[ \t]*(?:\n|(?:(?:[-+*]|\d{1,9}[.)])[ \t]+)+(?:\[[ xX]\][ \t])?|#{1,6}[ \t])"
)
# Each alternative begins with one literal character: then `re` passes over other text ten times as fast.
_TOKEN = re.compile(
    r"""\\[\s\S]? | ``* | \$\$? | \*\** | __* | ~~* | !\[ | \[ | <[A-Za-z/!?][^\s<>]*\Z
    | h(?<![A-Za-z0-9_/.@-]h)ttps?:[^\s<>]* | w(?<![A-Za-z0-9_/.@-]w)ww\.[^\s<>]*""",
    re.VERBOSE,
)
# Searched at the end of a text alone, since a search tries every place before it.
_UNDECIDED_END = re.compile(r"(?:[!<]|&\#?\w{0,10}|(?<!\w)(?:https?|www))\Z")
_PLAIN_END = re.compile(r"[^\W_][,;.]?[ ]?\Z")

_HALF_MAIL = re.compile(r"@[A-Za-z0-9.-]*\Z")
_NUMBERS = re.compile(r"[\d ,–-]+\Z")  # in brackets: a citation
_DIGITS_TO_END = re.compile(r"\d+\Z")
_LINE_LEAD = re.compile(r"\s*\Z")
_LONGEST_LEAD = 100  # of blanks before a definition
_FIRST_CJK = "\u2e80"  # from here on words have no spaces between them

_MOST_OPEN = 16

# Characters that one search for a mark looks at: nothing else runs meanwhile.
_SEARCHED = 32_768
_LONGEST_START = 6  # of a mark that is found by more than its first characters: "https:"
_LONGEST_END = 640  # that the patterns of an end look at; an address of mail is not longer

# Half a formula, link or image longer than this is ordinary text.
_LONGEST_FORMULA = 8_000
_LONGEST_INLINE_FORMULA = 160
_LONGEST_LABEL = 300
_LONGEST_ADDRESS = 2_000


@dataclass(frozen=True, slots=True)
class Visible:
    """Text to show, and whether following letters can be appended to the last element unchanged."""

    text: str
    plain: bool = False


def visible(text: str, context: str) -> Visible:
    """Returns the visible part of `text`, the source of the open block. `context` is the kind of its last
    block."""
    begin = text.rfind("\n") + 1
    head, line = text[:begin], hold_grapheme(text[begin:])
    whole = len(line) == len(text) - begin
    if context == "Fence":
        held = line != "" and _FENCE_END.match(line) is not None
        return Visible(head if held else head + line, whole and not held)
    if context == "Table":
        return Visible(head)
    if context in ("HtmlBlock", "Indented"):
        return Visible(head + line)
    if _MARKERS_ONLY.match(line) or _FENCE_LINE.match(line):
        whole, line = False, ""
    if _DELIMITER_ROW.match(line):
        head = _hold_header(head)
    if (pipe := _first_pipe(line)) >= 0:
        whole, line = False, line[:pipe]
    text = head + line
    start = _last_block_start(text)
    repaired = repair_inline(text[start:])
    if start >= len(head) and not repaired.text.strip("> \t"):
        return Visible(head)  # a marker with nothing after it
    return Visible(text[:start] + repaired.text, whole and bool(line) and repaired.plain)


def _last_block_start(text: str) -> int:
    """Returns where the text of the last block that starts on a line of its own begins."""
    start, begin = 0, max(0, text.rfind("\n\n"))
    while begin < len(text):
        found = _BLOCK_START.match(text, begin, begin + _SEARCHED)
        if found:
            start = begin = found.end()
        if not found or text[begin - 1] != "\n":
            begin = text.find("\n", begin) + 1 or len(text)
    return start


def hold_grapheme(text: str) -> str:
    """Removes a last user-perceived character that the next code point may still join."""
    end = len(text)
    if not end or text[-1] < "\u0300" or "\u3000" <= text[-1] <= "\ud7a3":
        return text
    while end > 1 and len(text) - end < 32:
        end -= 1
        joined = text[end - 1] == "\u200d" or (_is_flag(text[end]) and _is_flag(text[end - 1]))
        if not joined and not _joins(text[end]):
            break
    else:
        end = 0 if len(text) < 32 else end
    return text[:end]


def repair_inline(text: str) -> Visible:
    """Closes open marks in the text of one block, or holds the text back if it shows nothing yet."""
    return _Repair(text).run()


def _is_flag(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _joins(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Mn", "Mc", "Me")
        or char in "\u200c\u200d"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _hold_header(head: str) -> str:
    """Holds back a last complete line that the next one may turn into the header of a table."""
    begin = head.rfind("\n", 0, -1) + 1
    return head[:begin] if _first_pipe(head[begin:]) >= 0 else head


def _first_pipe(line: str) -> int:
    begin, in_code = 0, False
    while (pipe := line.find("|", begin)) >= 0:
        in_code ^= line.count("`", begin, pipe) % 2 == 1
        if not in_code and line[pipe - 1 : pipe] != "\\":
            return pipe
        begin = pipe + 1
    return -1


class _Repair:
    def __init__(self, text: str) -> None:
        self.text = text
        self.open: list[tuple[str, int, int]] = []  # its closer, its start, the start of its content
        self.end = len(text)  # of the visible text
        self.code = ""  # closes an open code span
        self.absent: set[str] = set()  # closers that do not occur any more

    def run(self) -> Visible:
        pos = 0
        while pos < self.end and (token := self.token(pos)):
            pos = self.step(token)
        shown = self.text[: self.end]
        if not self.code and (undecided := _UNDECIDED_END.search(shown, max(0, self.end - _LONGEST_END))):
            self.end = undecided.start()
            shown = shown[: self.end]
        while self.open and not self.text[self.open[-1][2] : self.end].strip():
            self.end = self.open.pop()[1]
            shown = self.text[: self.end]
        begin = max(0, self.end - _LONGEST_END)
        plain = self.end == len(self.text) and _PLAIN_END.search(shown, begin) is not None
        plain = plain and not (self.code and shown[-1] == " ") and not _HALF_MAIL.search(shown, begin)
        if self.open and not self.code:
            shown = shown.rstrip()
        return Visible(shown + self.code + "".join(closer for closer, *_ in reversed(self.open)), plain)

    def token(self, pos: int) -> re.Match[str] | None:
        """The first mark from `pos` on."""
        while pos < self.end:
            limit = min(self.end, pos + _SEARCHED)
            found = _TOKEN.search(self.text, pos, limit)
            if limit == self.end or (found and found.end() < limit):
                return found
            if found is None:
                pos = limit - _LONGEST_START
            elif whole := _TOKEN.match(self.text, found.start(), self.end):
                return whole
            else:  # it is none, seen with what follows
                pos = found.start() + 1
        return None

    def step(self, token: re.Match[str]) -> int:
        start, end, mark = token.start(), token.end(), token.group()
        if mark[0] == "\\":
            return self.escape(mark, start, end)
        if mark[0] == "`":
            return self.code_span(mark, start, end)
        if mark[0] == "$":
            return self.formula(mark, start, end)
        if mark[-1] == "[":
            return self.bracket(mark, start, end)
        if mark[0] in "*_~":
            return self.emphasis(mark, start, end)
        if end == len(self.text):  # half a tag or half an address
            self.end = start
        return end

    def hold(self, start: int) -> int:
        self.end = start
        return start

    def line_start(self, index: int) -> int:
        """Returns the start of the line of `index`, or a position so far before it that the difference has no
        effect."""
        least = max(0, index - _LONGEST_LEAD)
        return max(least, self.text.rfind("\n", least, index) + 1)

    def escape(self, mark: str, start: int, end: int) -> int:
        if mark == "\\" or (mark == "\\\n" and end == len(self.text)):
            return self.hold(start)
        if mark[1] not in "([":
            return end
        closer = "\\)" if mark == "\\(" else "\\]"
        close = -1 if closer in self.absent else self.text.find(closer, end)
        if close < 0:
            self.absent.add(closer)
            return self.hold(start) if len(self.text) - end < _LONGEST_FORMULA else end
        return close + 2

    def code_span(self, ticks: str, start: int, end: int) -> int:
        closer = re.compile(rf"(?<!`)`{{{len(ticks)}}}(?!`)")
        close = None if ticks in self.absent else closer.search(self.text, end)
        if close:
            return close.end()
        content = self.text[end:].rstrip("`")
        if not content.strip():
            return self.hold(start)
        self.end = end + len(content)
        self.code = ticks
        return self.end

    def formula(self, mark: str, start: int, end: int) -> int:
        following = self.text[end : end + 1]
        if mark == "$" and (following.isspace() or self.text[start - 1 : start].isalnum()):
            return end
        if mark == "$" and following.isdigit():  # a price, or a short formula
            return self.hold(start) if _DIGITS_TO_END.match(self.text, end) else end
        close = -1 if mark in self.absent else self.text.find(mark, end)
        if close >= 0:
            return close + len(mark)
        self.absent.add(mark)
        longest = _LONGEST_FORMULA if mark == "$$" else _LONGEST_INLINE_FORMULA
        return self.hold(start) if len(self.text) - end < longest else end

    def bracket(self, mark: str, start: int, end: int) -> int:
        text = self.text
        close = text.find("]", end, end + _LONGEST_LABEL)
        if close < 0:
            if len(text) - end >= _LONGEST_LABEL:
                return end
            if mark == "![" or text[end : end + 1] in ("", "^", "!") or _NUMBERS.match(text, end):
                return self.hold(start)
            if text[start - 1 : start].isalnum():  # an index
                return end
            self.open.append(("](#)", start, end))
            return end
        following = text[close + 1 : close + 2]
        if not following and (mark == "![" or text[end] in "^!" or _NUMBERS.match(text, end, close)):
            return self.hold(start)
        if following != "(" and text[start - 1 : start].isalnum():
            return end
        if following in ("(", "["):
            done = text.find(")" if following == "(" else "]", close + 2, close + _LONGEST_ADDRESS)
            if done >= 0 or len(text) - close >= _LONGEST_ADDRESS:
                return max(done, close) + 1
            if mark == "![":
                return self.hold(start)
        elif (
            following == ":"
            and _LINE_LEAD.match(text, self.line_start(start), start)
            and text.find("\n", start) < 0
        ):
            return self.hold(start)  # a definition, which shows nothing
        elif following:
            return end
        self.open.append(("](#)", start, end))
        self.end = close
        return end

    def emphasis(self, mark: str, start: int, end: int) -> int:
        before, after = self.text[start - 1 : start] if start else " ", self.text[end : end + 1]
        matching = [i for i, (closer, *_) in enumerate(self.open) if closer[0] == mark[0]]
        if before.isalnum() and after.isalnum() and before < _FIRST_CJK and not (matching and mark[0] == "*"):
            return end
        if matching and not before.isspace():
            closer, opened, content = self.open[matching[-1]]
            if len(closer) > len(mark) and not after:
                return self.hold(start)
            del self.open[matching[-1] :]
            if len(closer) > len(mark):
                self.open.append((closer[len(mark) :], opened, content))
        elif not after:
            return self.hold(start)
        elif (
            len(mark) <= 3
            and len(self.open) < _MOST_OPEN
            and (after.isalnum() or not (after.isspace() or before.isalnum()))
        ):
            self.open.append((mark, start, end))
        return end

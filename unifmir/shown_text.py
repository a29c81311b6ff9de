"""Text that others had a hand in, as it may be shown: names of files, metadata, addresses.

What a terminal would obey (escape sequences) or lay out otherwise than it reads (overrides of
direction, invisible letters) is written out, and what opens doors (passwords and tokens in
addresses) is left out. Errors show themselves so; commands print everything else so.
"""

import re
import string

_PLAIN = re.compile(r"[^\n\x20-\x7e]")
"""Everything but the letters that need no second look."""
_USER = re.compile(r"(?<=[a-z0-9]:/)(/?)[^\s/\"'<>\\]*@", re.IGNORECASE)
"""Name and password in an address; also where a `Path` made its two slashes one."""
_KEYS = "token|secret|passw|signature|credential|api_?key|access_?key|auth"
_WORD = r"[^=&?;\s\"'\\]{0,40}"  # bounded: it is tried at every start
_END = r"(?=[:,.;]?(?:[&#\s\"'\\<>]|$))"
_VALUE = re.compile(rf"([?&;]{_WORD}(?:{_KEYS}){_WORD}=)[^&#\s\"'\\<>]+?{_END}", re.IGNORECASE)
"""Value of an address that lets in whoever knows it."""
_HEADER = re.compile(r"(authorization\W{1,4}(?:bearer|basic|token)\s+)[^\s\"',]+", re.IGNORECASE)
HIDDEN = "***"


def shown(text: str) -> str:
    """Text as it may be shown: without secrets, and with nothing that a terminal obeys.

    Line breaks stay; whatever else is no printable character is written as Python writes it:
    backslash, x1b.
    """
    return _PLAIN.sub(_python_escape, without_secrets(text))


def shown_cell(text: str) -> str:
    """Text as it may be shown in one line, as `shown`; line breaks are written out too."""
    return shown(text).replace("\n", "\\n")


def shown_json(text: str) -> str:
    """A JSON document as it may be shown: the same values, without secrets."""
    return _PLAIN.sub(_json_escape, without_secrets(text))


def without_secrets(text: str) -> str:
    """Text whose addresses have no name and password, and no value that is a token."""
    if "@" in text:
        text = _USER.sub(r"\1", text)
    if "=" in text:
        text = _VALUE.sub(rf"\1{HIDDEN}", text)
    if "uthorization" in text.lower():
        text = _HEADER.sub(rf"\1{HIDDEN}", text)
    return text


def _python_escape(found: re.Match[str]) -> str:
    letter = found[0]
    return letter if letter.isprintable() else ascii(letter)[1:-1]


def _json_escape(found: re.Match[str]) -> str:
    letter = found[0]
    if letter.isprintable() or letter in string.whitespace:
        return letter
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))

"""Whether a text says of each PSNR, SSIM and NRMSE if it was taken after a fit to the truth."""

import re
from itertools import pairwise

_FIGURE = re.compile(r"(?P<word>(?:un)?fitted )?\b(?:PSNR|SSIM|NRMSE)\b")
_MARKDOWN_RULE = re.compile(r"\|[ :|-]+\|")


def figures_of_unknown_fit(text: str) -> list[str]:
    """Places of a text that name a figure and do not say before it whether it is fitted."""
    flat = " ".join(text.split())
    return [
        flat[max(0, found.start() - 40) : found.end() + 10]
        for found in _FIGURE.finditer(flat)
        if not found["word"]
    ]


def markdown_headings(text: str) -> list[str]:
    """Header lines of the tables in a Markdown document."""
    lines = text.splitlines()
    return [
        line
        for line, below in pairwise(lines)
        if line.startswith("|") and _MARKDOWN_RULE.fullmatch(below)
    ]

"""An evaluation on one HTML page: means, comparison, box plots, every image, error maps."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from unifmir.benchmarks.report.html_page import (
    heading,
    page,
    paragraph,
    picture,
    section,
    table,
    text,
)
from unifmir.metrics.base import FIT, Metric
from unifmir.metrics.paired_comparison import PairedDifference, compare_scores, interval_of_mean
from unifmir.metrics.scores import Score

Values = Float64[np.ndarray, " images"]
_WIDTH, _LABEL, _ROW, _EDGE = 720, 200, 26, 12
"""Pixels of a box plot: width, names' part of it, height of a line, margin."""
_COLOURS = ("#0072b2", "#d55e00", "#777777")
"""Colours of the first set, the second, and the rest (Okabe & Ito, for colour-blind people)."""
_PICTURES = (
    "Restored, truth, their difference (grey: none, white: half of the contrast too much, black: "
    "too little), and SQUIRREL's error map: what is left once scale, offset and blur are forgiven "
    "(black: none, white: a quarter of the contrast)."
)


@dataclass(frozen=True, slots=True)
class EvaluationFacts:
    """Content of a page."""

    title: str
    sets: Mapping[str, Mapping[str, Score]]
    """Scores by image of each set of restored images; the first is the one that it is about."""
    metrics: Mapping[str, Metric]
    notes: Sequence[str] = ()
    """Sentences on what was measured."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by image, of the first set."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Reasons why images were not measured."""


def evaluation_page(facts: EvaluationFacts) -> str:
    """Write an evaluation as one HTML document; every name on it is shown as text."""
    first, *others = facts.sets
    sections = [
        *(paragraph(note) for note in facts.notes),
        paragraph(f"Fitted: after {FIT}; unfitted: before."),
        section("Means", table(("metric", *facts.sets), _means(facts))),
    ]
    for other in others[:1]:
        differences = compare_scores(facts.sets[first], facts.sets[other])
        columns = ("metric", "difference", "95 % interval", "p", "images")
        words = (
            f"{first} minus {other}, image by image. Interval: bootstrap over images (BCa); p: "
            "Wilcoxon's signed-rank test, from six images on."
        )
        rows = _differences(differences, facts.metrics)
        sections.append(section("Comparison", paragraph(words) + "\n" + table(columns, rows)))
    words = (
        "Box: quartiles, line: median; whiskers: the furthest image within 1.5 boxes, points: "
        "images beyond."
    )
    plots = "\n".join(_box_plot(name, facts) for name in facts.metrics)
    sections.append(section("Distributions", paragraph(words) + "\n" + plots))
    heads = ("image", *(metric.heading for metric in facts.metrics.values()))
    sections.append(section(f"Images: {first}", table(heads, _images(facts, first))))
    if facts.pictures:
        shown = [heading(name) + "\n" + picture(png, name) for name, png in facts.pictures.items()]
        sections.append(section("Pictures", "\n".join([paragraph(_PICTURES), *shown])))
    if facts.failed:
        sections.append(section("Not measured", table(("image", "reason"), facts.failed.items())))
    return page(facts.title, sections, command="unifmir evaluate")


def _means(facts: EvaluationFacts) -> Iterator[Sequence[str]]:
    for name, metric in facts.metrics.items():
        row = [metric.heading]
        for scores in facts.sets.values():
            values = [score[name] for score in scores.values()]
            told = f"{np.mean(values):.{metric.decimals}f}"
            ends = interval_of_mean(values) if len(facts.sets) < 3 else None
            if ends is not None:
                told += f" ({ends[0]:.{metric.decimals}f} to {ends[1]:.{metric.decimals}f})"
            row.append(told)
        yield row


def _differences(
    differences: Mapping[str, PairedDifference], metrics: Mapping[str, Metric]
) -> Iterator[Sequence[str]]:
    for name, one in differences.items():
        digits = metrics[name].decimals
        interval = ""
        if one.low is not None and one.high is not None:
            interval = f"{one.low:+.{digits}f} to {one.high:+.{digits}f}"
        p = "" if one.p is None else f"{one.p:.2g}"
        yield metrics[name].heading, f"{one.mean:+.{digits}f}", interval, p, str(one.images)


def _images(facts: EvaluationFacts, which: str) -> Iterator[Sequence[str]]:
    for image, score in facts.sets[which].items():
        figures = (f"{score[name]:.{one.decimals}f}" for name, one in facts.metrics.items())
        yield image, *figures


def _box_plot(name: str, facts: EvaluationFacts) -> str:
    """Boxes of all sets for one metric, as a drawing inside the page."""
    sets = {
        which: np.array([score[name] for score in scores.values()], np.float64)
        for which, scores in facts.sets.items()
    }
    finite = {which: values[np.isfinite(values)] for which, values in sets.items()}
    everything = np.concatenate(list(finite.values()))
    low, high = (float(everything.min()), float(everything.max())) if len(everything) else (0, 0)
    span = (high - low) or 1.0
    scale = (_WIDTH - _LABEL - 2 * _EDGE) / span
    metric = facts.metrics[name]
    height = _ROW * (len(sets) + 1) + 8

    def at(value: float) -> str:
        return f"{_LABEL + _EDGE + (value - low) * scale:.1f}"

    parts = []
    for line, (which, values) in enumerate(finite.items()):
        middle = _ROW * line + _ROW / 2
        colour = _COLOURS[min(line, len(_COLOURS) - 1)]
        box = _box(values, middle, at) if len(values) else ""
        parts.append(
            f'<text x="0" y="{middle + 4:.1f}" font-size="13">{text(which[:32])}</text>'
            f'<g stroke="{colour}" fill="none">{box}</g>'
        )
    bottom = _ROW * len(sets) + 4
    left_out = sum(map(len, sets.values())) - len(everything)
    said = paragraph(f"Infinite, so not drawn: {left_out} images.") if left_out else ""
    parts.append(f'<path d="M{at(low)} {bottom}H{at(high)}" stroke="#222" fill="none"/>')
    ends = (("start", low), ("end", high)) if high > low else (("start", low),)
    parts += [
        f'<text x="{at(value)}" y="{bottom + 16}" font-size="12" text-anchor="{anchor}">'
        f"{value:.{metric.decimals}f}</text>"
        for anchor, value in ends
    ]
    label = text(metric.heading)
    drawing = "".join(parts)
    return (
        f'{heading(metric.heading)}\n<svg role="img" aria-label="{label}" width="{_WIDTH}" '
        f'height="{height}" viewBox="0 0 {_WIDTH} {height}">{drawing}</svg>{said}'
    )


def _box(values: Values, middle: float, at: Callable[[float], str]) -> str:
    """Box, whiskers and points beyond them, around the line `middle`."""
    first, median, third = (float(one) for one in np.percentile(values, (25, 50, 75)))
    reach = 1.5 * (third - first)
    inside = values[(values >= first - reach) & (values <= third + reach)]
    beyond = values[(values < first - reach) | (values > third + reach)]
    top, bottom = middle - 8, middle + 8
    path = (
        f"M{at(first)} {top}H{at(third)}V{bottom}H{at(first)}Z"
        f"M{at(median)} {top}V{bottom}"
        f"M{at(float(inside.min()))} {middle}H{at(first)}"
        f"M{at(third)} {middle}H{at(float(inside.max()))}"
    )
    points = "".join(f'<circle cx="{at(float(v))}" cy="{middle}" r="2.5"/>' for v in beyond)
    return f'<path d="{path}"/>{points}'

"""The zoo's expected score in a line, for `unifmir export` and `unifmir zoo lint`."""

from collections.abc import Mapping
from typing import Any


def score_line(score: Mapping[str, Any]) -> str:
    """An expected score and its parts, and which of them were run.

    Parameters
    ----------
    score : mapping
        As `ExpectedScore.to_dict` gives it.
    """
    parts = ("metadata_format", "metadata_completeness", "core", "partner")
    told = " + ".join(f"{name} {score[name]:.3f}" for name in parts)
    expected = ", ".join(score["expected"])
    text = (
        f"\nexpected zoo score {score['total']:.3f} = ({told}) / 4; target {score['target']}"
        f"\nrun: {', '.join(score['run'])}"
    )
    if expected:
        text += f"; expected by their rules: {expected} (`unifmir zoo lint PACKAGE` runs them)"
    if "deepimagej" in score["expected"]:
        text += f"\n{score['with_deepimagej']:.3f} with what is expected of deepImageJ"
    return text

"""The model card of Hugging Face: a package's README with the site's metadata before it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from unifmir.zoo.publish.publication import Publication
from unifmir.zoo.publish.published_facts import published_facts


def card_metadata(rdf: Mapping[str, Any], *, base_model: str = "") -> dict[str, Any]:
    """Metadata of a card, from a package's description; what nobody told is left out.

    Parameters
    ----------
    rdf : mapping
    base_model : str
        Repository on the site of the model that this one was made from, `OWNER/NAME`.
    """
    facts = published_facts(rdf)
    results = list(_results(rdf))
    found = {
        "license": facts.licence.lower(),
        "library_name": "unifmir",
        "pipeline_tag": "image-to-image",
        "tags": [*facts.tags, "bioimage.io"],
        "base_model": base_model,
        "model-index": [{"name": facts.title, "results": results}] if results else [],
    }
    return {key: value for key, value in found.items() if value}


def model_card(publication: Publication, metadata: Mapping[str, Any]) -> bytes:
    """The card: metadata, title and description, authors, citations, and the package's README.

    Each value of the metadata is written as JSON, which YAML reads as it is.
    """
    facts = published_facts(publication.rdf)
    front = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in metadata.items()]
    authors = "; ".join(
        ", ".join(part for part in (one.name, one.affiliation, one.orcid) if part)
        for one in facts.authors
    )
    head = [
        "---",
        *front,
        "---",
        "",
        f"**{facts.title}** {facts.version}. {facts.description}",
        "",
        *([f"Authors: {authors}", ""] if authors else []),
        *([f"Repository: {facts.repository}", ""] if facts.repository else []),
        *(["Cite:", "", *(f"- {one}" for one in facts.cite), ""] if facts.cite else []),
    ]
    body = publication.content(str(publication.rdf["documentation"]))
    return "\n".join(head).encode() + b"\n" + body


def _results(rdf: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """One result of the model index for each evaluation that the package carries."""
    config = (rdf.get("config") or {}).get("bioimageio") or {}
    for evaluation in config.get("evaluations") or []:
        name = str(evaluation.get("dataset_id") or evaluation.get("dataset_source") or "unnamed")
        yield {
            "task": {"type": "image-to-image", "name": str(config.get("task") or "restoration")},
            "dataset": {"type": name, "name": name},
            "metrics": list(_metrics(evaluation)),
        }


def _metrics(evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    metrics = evaluation.get("metrics") or []
    long = evaluation.get("metrics_long") or metrics
    factors = evaluation.get("evaluation_factors_long") or evaluation.get("evaluation_factors")
    for metric, words, row in zip(metrics, long, evaluation.get("results") or [], strict=True):
        for factor, value in zip(factors or [""] * len(row), row, strict=True):
            name = f"{words}, {factor}" if factor else str(words)
            yield {"type": str(metric), "name": name, "value": value}

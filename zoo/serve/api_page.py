"""The API as a page for people: made of its OpenAPI document, with nothing from elsewhere."""

from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;"
    "color-scheme:light dark}code{font-size:1rem}dt{margin-top:1rem}"
)


def text(document: Mapping[str, Any]) -> str:
    """HTML of an OpenAPI document: each route with what it does, and the entries of settings."""
    routes = "".join(
        f"<dt><code>{method.upper()} {escape(path)}</code></dt>"
        f"<dd>{escape(facts.get('description', facts.get('summary', '')))}</dd>"
        for path, methods in document["paths"].items()
        for method, facts in methods.items()
    )
    title = escape(f"{document['info']['title']} {document['info']['version']}")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title>"
        f"<meta name=viewport content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{title}</h1><p>{escape(document['info']['description'])} "
        "For programs: <a href='/api/openapi.json'>openapi.json</a>.</p>"
        f"<dl>{routes}</dl></html>"
    )

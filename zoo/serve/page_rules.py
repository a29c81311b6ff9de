"""Rules of what the page may load and do, wherever it is served from."""

PAGE_RULES = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; "
    "connect-src 'self' blob:; worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'self'; object-src 'none'"
)
"""Content security policy: all of it from the page's own place."""

"""Results as tables: for a terminal, plain text, Markdown, LaTeX, and one flat CSV."""

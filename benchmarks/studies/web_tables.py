"""Tables of the documents on the web page, the server and the static site, and their results."""

from collections.abc import Callable
from typing import Any

from unifmir.benchmarks.studies.main_thread_table import main_thread_table
from unifmir.benchmarks.studies.server_load import server_load_table
from unifmir.benchmarks.studies.site_speed import site_speed_table

WEB_TABLES: dict[str, tuple[str, str, Callable[[dict[str, Any]], str]]] = {
    "zoo-site.md": ("site-speed", "site-speed.json", site_speed_table),
    "serve.md": ("server-load", "server-load.json", server_load_table),
    "web-page.md": ("page-main-thread", "page-main-thread.json", main_thread_table),
}
"""Document -> name of its table, its result file, and what writes it."""

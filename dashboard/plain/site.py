"""All pages without scripts, put into a server."""

from pathlib import Path

from flask import Flask

from dashboard.plain.account import account_pages
from dashboard.plain.admin import admin_pages
from dashboard.plain.assessments import assessment_pages
from dashboard.plain.export import export_pages
from dashboard.plain.flags import flag_pages
from dashboard.plain.help import help_pages
from dashboard.plain.my_data import my_data_pages
from dashboard.plain.quality import quality_pages
from dashboard.sources import Sources

_STYLESHEET = Path(__file__).parents[1] / "assets" / "plain.css"
_PAGES = (
    flag_pages,
    quality_pages,
    assessment_pages,
    export_pages,
    admin_pages,
    my_data_pages,
    account_pages,
    help_pages,
)


def install_plain_pages(server: Flask, sources: Sources) -> None:
    """Register the pages; who may open which is the gate's business."""
    for pages in _PAGES:
        server.register_blueprint(pages(sources))
    server.context_processor(lambda: {"plain_version": int(_STYLESHEET.stat().st_mtime)})

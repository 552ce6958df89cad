"""Help: the words of the pages, how a band is made, and what evenkeel cannot do."""

from flask import Blueprint, render_template

from dashboard.routes import HELP_PATH
from dashboard.sources import Sources
from features.specs import NIGHT_FEATURES
from store.registry.accounts import SESSION_IDLE_S, SESSION_TOTAL_S


def help_pages(sources: Sources) -> Blueprint:
    """Return the page `/help`."""
    pages = Blueprint("help", __name__)

    def show() -> str:
        return render_template(
            "plain/help.html",
            title="Help · evenkeel",
            specs=NIGHT_FEATURES,
            flags=sources.settings.flags,
            features=sources.settings.features,
            dashboard=sources.settings.dashboard,
            idle_min=SESSION_IDLE_S // 60,
            total_h=SESSION_TOTAL_S // 3600,
        )

    pages.add_url_rule(HELP_PATH, "show", show, methods=["GET"])
    return pages

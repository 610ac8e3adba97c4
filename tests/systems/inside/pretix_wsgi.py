"""pretix, and a door beside its API through which a test gets an organizer of its own. Run by pretix's Python.

Organizers cannot be made through the API. Making one here, in the server's own process, takes milliseconds; a process
of its own takes as long as starting the server.
"""

import json
import secrets
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from pretix.wsgi import application as pretix  # sets Django up, which the models need

# isort: split
from django.db import connection, transaction
from django.utils.timezone import now
from django_scopes import scopes_disabled
from pretix.api.models import OAuthApplication
from pretix.base.models import Event, Organizer, Team, User


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Answer a POST to `/fresh-organizer`; pass everything else to pretix."""
    if environ["PATH_INFO"] != "/fresh-organizer" or environ["REQUEST_METHOD"] != "POST":
        return pretix(environ, start_response)
    with scopes_disabled(), transaction.atomic():
        body = json.dumps(fresh_organizer()).encode()
    connection.close()
    start_response("201 Created", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def fresh_organizer() -> dict[str, Any]:
    """Make an organizer with an event, two items to sell, a team that may do everything and one that may do nothing."""
    slug = f"org-{secrets.token_hex(4)}"
    organizer = Organizer.objects.create(name=slug, slug=slug)
    organizer.settings.customer_accounts = True
    user = the_user()
    team = Team.objects.create(
        organizer=organizer,
        name="sync",
        all_events=True,
        all_event_permissions=True,
        all_organizer_permissions=True,
    )
    team.members.add(user)
    guests = Team.objects.create(
        organizer=organizer, name="guests", all_events=True, limit_event_permissions={}, limit_organizer_permissions={}
    )
    event = Event.objects.create(
        organizer=organizer,
        name="Fair",
        slug="fair",
        currency="EUR",
        live=True,
        is_public=True,
        plugins="pretix.plugins.banktransfer",
        date_from=now() + timedelta(days=90),
    )
    event.set_defaults()
    event.settings.payment_banktransfer__enabled = True
    ticket = event.items.create(name="Ticket", default_price=20, admission=True, active=True)
    mug = event.items.create(name="Mug", default_price=8, admission=False, active=True)
    event.quotas.create(name="all", size=None).items.add(ticket, mug)
    return {
        "slug": slug,
        "event": event.slug,
        "ticket": ticket.pk,
        "mug": mug.pk,
        "token": team.tokens.create(name="sync").token,
        "weak_token": guests.tokens.create(name="weak").token,
    }


def the_user() -> User:
    """Return the user of all organizers, who also owns the OAuth application; make both the first time."""
    user = User.objects.filter(email="sync@example.com").first()
    if user is None:
        user = User.objects.create_user("sync@example.com", "sync-pass")
        OAuthApplication.objects.create(
            name="sync-app",
            user=user,
            client_type="confidential",
            authorization_grant_type="authorization-code",
            redirect_uris="https://127.0.0.1:9876/callback",  # https alone is taken; a test reads the Location header
            client_id="sync-app",
            client_secret="demo-app-secret",
        )
    return user

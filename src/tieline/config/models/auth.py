"""How an API is told who calls."""

from __future__ import annotations

from tieline.config.models.base import Declared


class ApiKeyAuth(Declared):
    """An API key in a header or in the query."""

    header: str | None = None
    """Header that carries the key, such as `X-Api-Key`."""
    query: str | None = None
    """Query parameter that carries the key; it is masked wherever the URL is shown."""
    prefix: str = ""
    """Text before the key, such as `Token `."""


class BearerAuth(Declared):
    """A token in the Authorization header (RFC 6750)."""

    scheme: str = "Bearer"
    """The word before the token; some vendors say `Token`."""


class BasicAuth(Declared):
    """User name and password (RFC 7617)."""


class AuthMethods(Declared):
    """The ways in which this API lets a caller prove who it is; a connection uses one of them."""

    api_key: ApiKeyAuth | None = None
    """An API key in a header or query parameter."""
    bearer: BearerAuth | None = None
    """A token in the Authorization header."""
    basic: BasicAuth | None = None
    """User name and password."""

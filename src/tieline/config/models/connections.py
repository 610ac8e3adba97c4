"""A connection: your account at a vendor. Credentials by reference only."""

from __future__ import annotations

from pydantic import PositiveInt

from tieline.config.models.base import Declared, Name
from tieline.config.models.limits import RateLimit


class BasicCredentials(Declared):
    """User name and password."""

    username: str
    """The user's name, or a reference."""
    password: str
    """A reference to the password: `${env:NAME}` or `${file:PATH}`."""


class Credentials(Declared):
    """One of the connector's ways to prove who is calling."""

    api_key: str | None = None
    """A reference to the API key."""
    bearer: str | None = None
    """A reference to the token."""
    basic: BasicCredentials | None = None
    """User name and a reference to the password."""


class Connection(Declared):
    """Your account at a vendor."""

    connector: Name
    """The connector, by its name."""
    environment: str = "production"
    """One of the connector's environments."""
    auth: Credentials = Credentials.model_construct()
    """Credentials, by reference."""
    webhook_secret: str | tuple[str, ...] | None = None
    """A reference to the secret by which the vendor's events are known, `${env:NAME}`; several while it is being changed: any one is enough."""
    variables: dict[str, str] = {}
    """What the connector asks for: an organisation, a list, a region."""
    owner: str | None = None
    """Who answers for this account: a person or a team."""
    limits: tuple[RateLimit, ...] | None = None
    """Limits of your plan, in place of the connector's."""
    concurrency: PositiveInt | None = None
    """Most calls at once, in place of the connector's."""

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        """The references to the secrets by which its events are known."""
        if self.webhook_secret is None:
            return ()
        return (self.webhook_secret,) if isinstance(self.webhook_secret, str) else self.webhook_secret

"""singer-sdk: a tap whose Singer messages go to standard output. The vendor's address is in BENCH_URL."""

import os
from typing import Any

from singer_sdk import RESTStream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import JSONPathPaginator


class Contacts(RESTStream[int]):
    """The vendor's contacts."""

    name = "contacts"
    path = "/contacts"
    primary_keys = ("id",)
    url_base = os.environ.get("BENCH_URL", "")
    records_jsonpath = "$.data[*]"
    schema = th.PropertiesList(
        th.Property("id", th.IntegerType),
        th.Property("email", th.StringType),
        th.Property("first_name", th.StringType),
        th.Property("last_name", th.StringType),
        th.Property("phone", th.StringType),
        th.Property("status", th.StringType),
        th.Property("updated_at", th.StringType),
    ).to_dict()

    def get_new_paginator(self) -> JSONPathPaginator:
        """Go on while a page names the next."""
        return JSONPathPaginator("$.next_page")

    def get_url_params(self, context: Any, next_page_token: int | None) -> dict[str, Any]:
        """Ask for 100 contacts a page."""
        return {"limit": 100, **({"page": next_page_token} if next_page_token else {})}


class BenchTap(Tap):
    """The one stream."""

    name = "tap-bench"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[RESTStream[int]]:
        """Return the one stream."""
        return [Contacts(self)]


if __name__ == "__main__":
    BenchTap.cli()

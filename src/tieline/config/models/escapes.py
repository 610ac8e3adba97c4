"""The gaps of a connector's texts, `{id}` and `{value|odata}`, and the escapes that may stand in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

GAP: Final = re.compile(r"(?<!\$)\{([^{}|]*)(?:\|([^{}]*))?\}")
"""A gap: its name, and its escape if it has one. `${env:NAME}` is none."""

ESCAPES: Final = {
    "odata": "a text in single quotes of an OData `$filter`: `'` is doubled",
    "sql": "a text in single quotes of SQL, as in SuiteQL: `'` is doubled",
    "soql": "a text in quotes of Salesforce's SOQL, and of QuickBooks' queries: a backslash before quotes and backslashes",
    "jql": "a text in quotes of Jira's JQL: a backslash before quotes and backslashes",
    "nql": "a text in quotes of NQL: a backslash before quotes and backslashes",
    "formula": "a text in quotes of Airtable's `filterByFormula`: a backslash before quotes and backslashes",
    "lucene": "a term of a Lucene query, as in Shopify's `query` and Elasticsearch: a backslash before each special character",
    "json": "a text in double quotes of JSON",
    "graphql": "a text in double quotes of GraphQL",
    "number": "a number; another value is refused",
}
"""What is known, each with where it goes."""
BARE: Final = frozenset(("number", "lucene"))
"""Those that need no quotes around them."""


def gaps(text: str) -> list[str]:
    """Return the names in braces, references aside."""
    return [match[1] for match in GAP.finditer(text)]


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from texts_in(entry)
    elif isinstance(value, (list, tuple)):
        for entry in value:
            yield from texts_in(entry)

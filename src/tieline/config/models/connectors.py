"""A connector: a vendor's API as data. No secret, no customer, no code.

Says where the API lives, how a caller proves itself, what it limits, and for each resource how records are listed, fetched, found
and written, how pages follow each other, and what the fields are. `dialects` speaks it, `lint.linter` judges it.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, Literal

from pydantic import GetJsonSchemaHandler, PositiveFloat, PositiveInt, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core.core_schema import CoreSchema

from tieline.config.models.auth import AuthMethods
from tieline.config.models.base import Declared, Duration, Name, Path
from tieline.config.models.derived import OPERATIONS, Operation, expand
from tieline.config.models.limits import BreakerPolicy, LimitHeaders, RateLimit, Timeouts
from tieline.config.models.operations import Batches, Change, Deleted, Find, Get, IdPart, List, ListCalls, Request, Upsert, Write
from tieline.config.models.success import InSuccess
from tieline.config.models.webhooks import ResourceWebhook, Webhooks

FieldType = Literal["string", "integer", "number", "boolean", "date", "datetime", "object", "array", "any"]


FieldFormat = Literal["email", "phone", "uri", "uuid", "country", "currency", "language"]


IdForm = Literal["text", "guid", "number", "salesforce", "case_insensitive"]


class ApiVersion(Declared):
    """The version of the vendor's API that this connector was written for."""

    name: str
    """The version as the vendor spells it: `3.1`, `2024-10`."""
    send: Literal["path", "header", "query"] = "path"
    """Where it goes: `path` fills `{version}` in URLs; `header` and `query` send it under the name in `param`."""
    param: str | None = None
    """Name of the header or query parameter."""
    retires: dt.date | None = None
    """The day on which the vendor switches this version off, if it has said so; `status` warns half a year ahead."""


class Errors(Declared):
    """Where the vendor says what went wrong."""

    message: tuple[Path, ...] | Path = ()
    """Where the text is in an error answer; several addresses are tried in order."""
    in_success: InSuccess | None = None
    """When an answer of 2xx means failure: an address that is filled then, such as `error`; `{at: success, equals: false}`;
    `{at: code, not: [0, OK]}`; or a list of them. A write so answered is refused, a read fails. A call's own `in_success` wins."""
    throttled: tuple[int | str, ...] = ()
    """Statuses, or words in an error's text, that mean `too many requests`: nothing leaves for the system for a while, and no attempt is
    spent. 420, 429, 430, 477, 509 and 529 mean so unless stated. In the results of a batch too."""
    passing: tuple[int | str, ...] = ()
    """Statuses, or words in an error's text, that mean a refusal that passes by itself, such as a lock: `[423, UNABLE_TO_LOCK_ROW]`. Only that
    record is tried again, as `retry` says; refused in three runs, it is parked. 423 means so unless stated, and so does any 4xx but 401 that
    comes with `Retry-After`. In the results of a batch too."""


FORMATTED: Final = ("string", "any")
"""Types of a field that a `format` may narrow: the others have a form of their own, and are judged by that alone."""


SIZED: Final = ("string", "array", "date", "datetime", "any")
"""Types of a field that have a length."""


NUMERIC: Final = ("integer", "number", "any")
"""Types of a field that have a size as numbers do."""


class Field(Declared):
    """One field of a record."""

    type: FieldType = "any"
    """What it holds. A `number` keeps every digit; a `datetime` without an offset needs `zone`."""
    required: bool = False
    """A create without it is refused."""
    nullable: bool = True
    """Whether null may be written."""
    read_only: bool = False
    """The vendor sets it; a mapping can't."""
    format: FieldFormat | None = None
    """What a string must look like: `email`, `uuid` …. Only with `type: string`, or without a type."""
    min_length: int | None = None
    """Fewest characters of a string, or entries of an array."""
    max_length: int | None = None
    """Most characters of a string, or entries of an array."""
    minimum: float | None = None
    """Smallest number."""
    maximum: float | None = None
    """Largest number."""
    decimals: int | None = None
    """Most digits after the point."""
    enum: tuple[Any, ...] | None = None
    """The only values that are accepted."""
    zone: str | None = None
    """Time zone of values that come without an offset, such as `Australia/Sydney`; rules that turn them into times use it."""
    entries: Literal["kept"] | None = None
    """Of a list of objects: entries that an update does not send are `kept` by the vendor, as Zendesk keeps other custom fields. Only then,
    or where the record is read and sent back whole (`replaces`), can a mapping write one entry, such as `custom_fields[id=7].value`, of a record
    that is there."""
    precision: Duration | None = None
    """Finest step of a time that the vendor keeps: `1s`, `1ms`. Times that differ by less are the same."""
    sparse: bool = False
    """The vendor leaves it out of records in which it is empty. A field that is read, not `sparse`, and in no record is told."""
    personal: bool = False
    """Personal data: hidden by `--mask`, in what is shared with others."""
    description: str = ""
    """What it means, for people."""


class Idempotency(Declared):
    """A key by which the vendor recognises a repeated write and answers as it did the first time."""

    header: str
    """Header that carries the key."""
    keeps: Duration | None = None
    """How long the vendor knows a key, such as `24h`. A creation in doubt that is older is looked for before it is sent again; unless stated,
    a key is known for ever."""


class Resource(Declared):
    """A collection of records: contacts, orders, members."""

    title: str = ""
    """What people call it."""
    path: str | None = None
    """Where the collection is, below the environment's URL: `/contacts`. `list`, `get`, `create`, `update` and `delete` follow from it: GET,
    GET `/contacts/{id}`, POST, PATCH and DELETE. What one of them says itself wins; `false` takes it away."""
    operations: tuple[Operation, ...] = OPERATIONS
    """With `path`: the operations that the vendor has."""
    records: Path = ""
    """Where the records are in an answer that holds many, for `list` and `find` unless they say otherwise."""
    record: Path = ""
    """Where the record is in an answer that holds one, for `get`, `create` and `update` unless they say otherwise: `data`, `posts[0]`."""
    wrap: Path = ""
    """Address in a body under which a record is sent, for `create` and `update` unless they say otherwise: `contact`, `posts[0]`."""
    id: Path = "id"
    """Field that holds the record's id."""
    id_part: IdPart = "whole"
    """Which part of that is the id, where the vendor writes more: the `key` of `accounts(7)` or `accounts('a')`, the `last_segment` of an
    address (`gid://shop/Product/7`), or a pattern whose one group is the id. The same for ids in events, answers and results."""
    id_form: IdForm = "text"
    """How the vendor compares ids: as `text`; as a `guid`, with or without braces, large or small letters; as a `number` (`007` is `7`);
    `salesforce` ids, of 15 or 18 characters; or `case_insensitive`. All spellings of one id are then one."""
    fields: dict[str, Field] = {}
    """The fields by address: `email`, `company.name`. `tieline connector sample CONNECTION.RESOURCE` writes them from a page of records."""
    list: List | None = None
    """All records, page by page."""
    deleted: Deleted | None = None
    """The records that were deleted, where the vendor lists them apart."""
    get: Get | None = None
    """One record by id."""
    find: dict[str, Find] = {}
    """Records by a field's value, by field."""
    create: Write | None = None
    """A new record."""
    update: Change | None = None
    """Some fields of a record."""
    upsert: Upsert | None = None
    """Create or update in one call."""
    delete: Change | None = None
    """Remove a record."""
    batch: Batches = Batches.model_construct()
    """Writes of many records in one call."""
    lag: Duration | None = None
    """How long reads can be behind writes, because the vendor answers them from a copy: `lag: 5m`. What is not there for so long is not
    believed to be gone. Unless stated, what we made or wrote ourselves is not believed to be gone for 15 minutes, and anything else is at
    once; a record that shows up later than that teaches a longer one. `0s`: reads are never behind."""
    lists: dict[Path, ListCalls] = {}
    """Lists of a record that are not written with it, but by calls that add entries and take them out, by field: tags, labels, members."""
    page: str | None = None
    """Address of a record in the vendor's own user interface, `{id}` and variables filled in; `explain` shows it."""
    webhook: ResourceWebhook | None = None
    """The events that concern its records."""

    @property
    def merges_updates(self) -> bool:
        """Whether an update is taken for the whole record, and can be: the record is read, merged and sent back."""
        update = self.update
        if update is None or self.get is None:
            return False
        return update.replaces if update.replaces is not None else update.method == "PUT" and update.whole

    @model_validator(mode="before")
    @classmethod
    def _in_full(cls, written: Any) -> Any:
        return expand(written)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = super().__get_pydantic_json_schema__(core_schema, handler)
        members = handler.resolve_ref_schema(schema)["properties"]
        for operation in OPERATIONS:
            members[operation]["anyOf"].append({"const": False})
        return schema


class Connector(Declared):
    """A vendor's API."""

    connector: Name
    """Its name, used in connections."""
    title: str = ""
    """What people call it."""
    docs: str | None = None
    """Where the vendor documents it."""
    protocol: Literal["rest"] = "rest"
    """How it is spoken to."""
    version: ApiVersion | None = None
    """The API version that is used."""
    environments: dict[str, str]
    """Base URLs by name: `production`, `sandbox`. https, or http to this machine itself. `${env:NAME}` and `{variable}` may stand in it."""
    same_place: tuple[str, ...] = ()
    """Host names under which the vendor's answers name the same place, such as an internal one in the next page's address:
    `[api-internal.example.com]`. Such an address is asked for at the environment's own, so that credentials go nowhere else."""
    auth: AuthMethods = AuthMethods.model_construct()
    """How a caller proves who it is."""
    variables: dict[str, str] = {}
    """Names that a connection must give, each with what it means: `{organizer}` in paths."""
    headers: dict[str, str] = {}
    """Headers of every call; variables are filled in."""
    escapes: dict[Name, dict[str, str]] = {}
    """Ways of quoting of the vendor's own, by name: in `{value|doubled}` with `doubled: {"'": "''"}`, each apostrophe is doubled."""
    limits: tuple[RateLimit, ...] = ()
    """What the vendor accepts; all of them hold."""
    limit_headers: tuple[LimitHeaders, ...] = ()
    """The vendor's own headers that tell of limits, in addition to the usual ones."""
    concurrency: PositiveInt = 8
    """Most calls at once."""
    timeouts: Timeouts = Timeouts.model_construct()
    """How long a call may take."""
    breaker: BreakerPolicy = BreakerPolicy()
    """When the system counts as down, and how often it is probed then."""
    max_answer_mib: PositiveFloat = 32.0
    """Largest answer that is read, in MiB."""
    errors: Errors = Errors.model_construct()
    """Where the vendor says what went wrong."""
    idempotency: Idempotency | None = None
    """A key that makes repeated writes harmless."""
    ping: Request | None = None
    """A cheap call that needs the credentials, for `check --live`."""
    webhooks: Webhooks | None = None
    """The events that the vendor sends by itself."""
    resources: dict[Name, Resource]
    """The collections of records."""

"""What a resource can do, call by call: list, get, find, writes and batches."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field as Declare
from pydantic import PositiveInt, StringConstraints

from tieline.config.models.base import Declared, Duration, Path
from tieline.config.models.escapes import gaps as gaps_in
from tieline.config.models.escapes import texts_in
from tieline.config.models.lists import Ceiling, ChangedSince, Conditional
from tieline.config.models.paging import Paging
from tieline.config.models.success import InSuccess

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]

IdPart = Literal["whole", "key", "last_segment"] | Annotated[str, StringConstraints(max_length=256)]

Shape = Literal["list", "one_or_list", "by_id"]


class Tombstone(Declared):
    """How the vendor marks a record that was deleted: in its list, and where it shows one by id or in a search.

    One of `equals`, `present` and `not_equals`; without any of them, the field is true. A record without the field is not deleted.
    """

    field: Path
    """Field to look at."""
    equals: Any = True
    """Its value in a deleted record, or a list of them: `equals: [deleted, spam]`."""
    present: bool = False
    """Any value marks a deleted record, as of `deleted_at`. Null, blank, false, zero and a date of zeros are no value."""
    not_equals: Any = None
    """Its value in a record that is there, or a list of them: `not_equals: [active, paused]`. Any other marks a deleted one; null marks none."""
    into: Path | None = None
    """Field of a deleted record that names the one into which it was merged. Null, blank or absent: it was not merged."""


class Request(Declared):
    """A call."""

    path: str
    """Path below the environment's URL; `{id}`, the connector's variables and, where stated, fields are filled in."""
    method: Method = "GET"
    """HTTP method."""
    params: dict[str, str | list[str]] = {}
    """Query parameters; variables are filled in. They are text: a blank, `&` or `#` is percent-encoded, and what is so already stays. `{value|odata}`
    quotes a value for a query language. A list is sent as one parameter for each of its texts: `f: [id, name]` is `f=id&f=name`."""
    headers: dict[str, str] = {}
    """Further headers; variables are filled in."""
    cost: PositiveInt = 1
    """What the call takes from the limits."""
    in_success: InSuccess | None = None
    """When an answer of 2xx to this call means failure, instead of what `errors` says; `[]`: never."""

    @property
    def query(self) -> list[tuple[str, str]]:
        """Names and texts of `params`, one for each parameter that is sent."""
        return [(name, text) for name, texts in self.params.items() for text in ([texts] if isinstance(texts, str) else texts)]


class Listing(Request):
    """Entries, page by page.

    `params`, `headers` and `body` may hold `{cursor}`, `{page}`, `{offset}`, `{size}`, `{last_time}` and `{last_id}`, by its style of `paging`.
    A parameter, or a member of the body, whose text holds one that has no value yet is left out: the first page has no `{cursor}`.
    """

    records: Path = ""
    """Where the records are in the answer; empty when the answer is the list itself."""
    when_missing: Literal["error", "empty"] = "error"
    """An answer without that address is an `error`, or an `empty` page."""
    empty: tuple[int, ...] = (204,)
    """Statuses that mean a page without records: `[204, 404]`."""
    shape: Shape = "list"
    """What is at `records`: a `list`; `one_or_list`, where a single record comes without a list around it; or records `by_id`, an object
    whose members are the records, each under its id."""
    record: Path = ""
    """Where the record is in an entry, when it is wrapped."""
    body: dict[str, Any] | None = None
    """JSON body, for vendors whose list is a POST: `{limit: 100, after: "{cursor}"}`. A text that is nothing but a gap becomes the value
    itself, a number as a number."""
    paging: Paging | None = None
    """How pages follow each other; without it, one answer holds all."""
    total: Path | None = None
    """Where the answer says how many records there are, to compare with."""
    total_counts: Literal["all", "asked"] = "all"
    """What `total` counts: `all` records, whatever was asked for, or those that were `asked` for. Only with `asked` can reads of changes,
    and of windows, be compared too."""
    shifts: bool | None = None
    """Whether a record's place moves when others come or go, so that one can slip from a page that is still to come to one that was read.
    So it is where pages are counted (`page`, `offset`), unless stated; with `next_url`, `link_header` and `cursor` say so where the
    vendor counts behind the mark. Such a list is read again until it held still."""
    ceiling: Ceiling | None = None
    """The most records that the vendor shows of one list."""
    conditional: Conditional | None = None
    """How the vendor says that nothing has changed."""
    changed_since: ChangedSince | None = None
    """How to ask for changes only."""


class List(Listing):
    """All records, page by page."""

    takes_over: ClassVar[frozenset[str]] = frozenset(("path",))

    lag: Duration | None = None
    """How long what was made, changed or deleted can be missing from the list, or shown as it was. As the resource's `lag`, of the list alone."""

    tombstone: Tombstone | None = None
    """How a deleted record looks, in the list and elsewhere."""


class Deleted(Listing):
    """The records that were deleted, page by page, where the vendor lists them apart from the others: a feed of deletions."""

    id: Path | None = None
    """Where an entry names the record that was deleted; unless stated, where a record has its id."""
    into: Path | None = None
    """Where an entry names the record into which it was merged. Null, blank or absent: it was not merged."""


class Get(Request):
    """One record by id. An answer whose record has another id, or none, is not that record, and proves nothing about it."""

    takes_over: ClassVar[frozenset[str]] = frozenset(("path",))

    body: dict[str, Any] | None = None
    """JSON body, for vendors that are asked for a record by a POST: `{ids: ["{id}"]}`, `{q: "SELECT * FROM customer WHERE id = {id|number}"}`.
    A text that is nothing but `{id}` becomes the id itself, a number as a number."""
    record: Path = ""
    """Where the record is in the answer. A list is looked through for the id; an empty one means that there is none."""
    none: tuple[int, ...] = (404, 410)
    """Statuses that mean `there is none`, such as `[403, 404]` where the vendor refuses to speak of ids that it does not know."""
    merged: Literal["error", "survivor"] = "error"
    """What an answer with another id means: an `error`, or that the record was merged into that one (`survivor`). Where `tombstone` names the
    record into which one was merged, that is followed without this."""
    lag: Duration | None = None
    """How long a new record can be missing when it is asked for by its id. As the resource's `lag`, of `get` alone."""


class Find(Request):
    """Records with a field of a given value, which `{value}` stands for in `path`, `params`, `headers` and `body`."""

    body: dict[str, Any] | None = None
    """JSON body, for vendors whose search is a POST: `{filter: {email: "{value}"}}`. A text that is nothing but `{value}` becomes the value
    itself, a number as a number."""
    paging: Paging | None = None
    """How pages of what was found follow each other; as in `list` where path and method are the same, unless stated."""
    shape: Shape = "one_or_list"
    """What is at `records`, as in a list."""

    takes_over: ClassVar[frozenset[str]] = frozenset(("path",))

    records: Path = ""
    """Where the records are in the answer."""
    when_missing: Literal["error", "empty"] = "error"
    """An answer without that address is an `error`, or none found."""
    record: Path = ""
    """Where the record is in an entry, when it is wrapped."""
    none: tuple[int, ...] = (204, 404)
    """Statuses that mean `there is none`."""
    lag: Duration | None = None
    """How long a new record can be missing from the answer."""
    cache: Duration | None = None
    """How long a record that was found is remembered, over runs and for all integrations, instead of being searched for again. What
    others change is seen late by as much; that there is none is never remembered, and what we write ourselves is forgotten at once."""


class IdFrom(Declared):
    """Where the id of a written record is."""

    body: Path | None = None
    """Address in the answer's body; empty where the answer itself is the id, `7`. A list of one, `[7]` (Odoo), is its entry."""
    header: str | None = None
    """Header that holds it, such as `Location` or `OData-EntityId`."""
    part: IdPart | None = None
    """Which part of that is the id: `whole`, `key`, `last_segment` or a pattern, as `id_part` of the resource. Unless stated, the
    `last_segment` of a header, with the key of `accounts(7)`, and in a body what `id_part` says."""


class Write(Request):
    """A call that writes one record."""

    takes_over: ClassVar[frozenset[str]] = frozenset(("path",))

    method: Method = "POST"
    wrap: Path = ""
    """Address in the body under which the record goes; empty when the body is the record."""
    constants: dict[str, Any] = {}
    """Further members of the body, merged with what is under `wrap`; where both say something, the record wins. Gaps are filled: variables,
    `{id}` of an update or a deletion, and `{changed_fields}`."""
    body: Any = None
    """Or: the shape of the whole body, as `item` of a batch: any JSON in which `{record}` stands for the record and `{id}` for its id, as in
    `["{record}"]`. `"...": "{record}"` puts the record's fields beside others."""
    form: Literal["brackets", "dots"] | bool = False
    """Send as `application/x-www-form-urlencoded` instead of JSON. Objects inside are `brackets`, `address[city]=Perth` (the same as `true`), or
    `dots`, `address.city=Perth`."""
    form_lists: Literal["repeated", "brackets", "indexed"] = "repeated"
    """With `form`: how lists of plain values are sent, `tags=a&tags=b`, `tags[]=a&tags[]=b` or `tags[0]=a&tags[1]=b`. Objects in lists are always
    numbered: `items[0][price]=9`."""
    id: IdFrom = IdFrom.model_construct()
    """Where the answer holds the id; without it, the record's own id field is taken from the answer, then from what was sent."""
    record: Path = ""
    """Where the answer holds the record as stored. An answer that has none there is no success: whether it was done is looked for."""
    already: tuple[int | str, ...] = ()
    """Statuses, or words in an error's text, that mean `it is so already`: success, and the record is looked up."""
    gone: tuple[int, ...] = (404, 410)
    """Statuses that mean the record is not there any more."""
    whole: bool = False
    """An update sends all mapped fields, not only the changed ones: where objects inside a record are replaced as a whole."""


class Condition(Declared):
    """How a write is made only if the record is still as it was read (RFC 9110, 13.1): what someone has edited since is not overwritten.

    Two-way integrations send it, with single writes: records are then written one by one, whatever `batch` could take together. In a
    one-way integration the source owns its fields, and none is sent, unless it is declared `always`.
    """

    field: Path
    """Field of the record that is another one after each change: a version, an ETag, a time."""
    header: str | None = None
    """Header that carries it, such as `If-Match`."""
    value: str | None = None
    """The header's value, where it is more than the field's own: `'"{last_modified}"'`; the field's address in braces stands for it."""
    param: str | None = None
    """Or: query parameter that carries it."""
    body: Path | None = None
    """Or: address in the body that carries it."""
    stale: tuple[int | str, ...] = (409, 412)
    """Statuses, or words in an error's text, that mean that the record has changed since. Whether it has is seen by reading it again."""
    always: bool = False
    """The vendor takes no change without it: it is sent one way too, and by an undo. The record is then read just before it is written, where its
    version is not known."""


class Change(Write):
    """A call that changes or removes one record: a PATCH or a DELETE, unless `method` says otherwise."""

    condition: Condition | None = None
    """How it is made only if no one has changed the record since it was read."""
    replaces: bool | None = None
    """Of an update: the vendor takes what is sent for the whole record, and empties what is not sent. The record is then read with `get`, merged with
    what is written, and sent back without its `read_only` fields. Unless stated, so it is for a PUT with `whole: true` where there is `get`."""


class Upsert(Write):
    """Create or update, decided by the vendor by one field."""

    takes_over: ClassVar[frozenset[str]] = frozenset()

    method: Method = "PUT"
    by: str
    """The field by which the vendor knows the record; `{FIELD}` may stand in the path."""


class BatchErrors(Declared):
    """Where the answer to a batch lists what it refused, apart from what it did."""

    records: Path
    """Where the list of errors is, such as `errors`."""
    by: Literal["id", "index", "member"] = "id"
    """Errors carry the value of `key`, or the record's `index` in the batch, or are members of an object that are named by it."""
    key: Path = ""
    """With `by: id`: the address, in an error, of the value that names the record, such as `context.email[0]`."""
    field: str = ""
    """With `by: id` and `member`: the field that was sent and is repeated there; the record's id when empty."""
    index: Path = ""
    """With `by: index`: the address, in an error, of the record's place in the batch, such as `failedElementNumber`."""
    first: Annotated[int, Declare(ge=0, le=1)] = 0
    """The index of the first record: 0, or 1 where the vendor counts from one."""
    status: Path = ""
    """Address of the status in an error."""
    error: tuple[Path, ...] | Path = ()
    """Address of the error's text in an error."""


class BatchResults(Declared):
    """How the answer tells what became of each record."""

    records: tuple[Path, ...] | Path = ""
    """Where the list of results is; several addresses where there are several lists, such as `[new_members, updated_members]`."""
    by: Literal["position", "id", "index", "member"] = "position"
    """Results are in the order of what was sent; carry the value of `key`; carry the record's place under `index`; or are members of an object
    that are named by what `field` says. By position there must be as many as records were sent, those under `errors` aside."""
    key: Path = ""
    """With `by: id`: the address, in a result, of the value that names the record. With `by: position` it must be that of the record."""
    index: Path = ""
    """With `by: index`: the address, in a result, of the record's place in the batch."""
    first: Annotated[int, Declare(ge=0, le=1)] = 0
    """The index of the first record: 0, or 1 where the vendor counts from one."""
    errors: tuple[BatchErrors, ...] | BatchErrors = ()
    """Where errors are listed apart: `{records: errors, by: id, key: "context.email[0]", field: email, error: message}`."""
    field: str = ""
    """With `by: id`, `member` and `key`: the field that was sent and that is repeated; the record's id when empty."""
    status: Path = ""
    """Address of the status in a result."""
    ok: tuple[Any, ...] = ()
    """Statuses that mean success; without it, a 2xx number, or a result without `error`."""
    id: Path = ""
    """Address of the record's id in a result."""
    error: tuple[Path, ...] | Path = ()
    """Address of the error's text in a result."""
    already: tuple[int | str, ...] = ()
    """Statuses, or words in the error's text, that mean `it is so already`: success, and the record is looked up."""


class Batch(Request):
    """A call that writes many records."""

    method: Method = "POST"
    size: PositiveInt = 100
    """Most records per call."""
    wrap: Path = ""
    """Address in the body under which the list goes; empty when the body is the list."""
    constants: dict[str, Any] = {}
    """Further members of the body."""
    item: Any = None
    """Shape of an entry: any JSON in which `{record}` stands for the record, `{id}` for its id, `{FIELD}` for one of its fields, and
    `{index}` for its place in the batch, as a text, for a vendor that gives back such a mark; the record itself when absent. `"...": "{record}"` puts the record's fields beside others. A record that lacks a field is parked, and goes in no call."""
    results: BatchResults | None = None
    """How the answer tells what became of each record; without it, the call's status holds for all."""


class Batches(Declared):
    """Writes of many records in one call."""

    create: Batch | None = None
    """Many new records."""
    update: Batch | None = None
    """Many known records; each entry carries its id."""
    upsert: Batch | None = None
    """Many records, new or known."""
    delete: Batch | None = None
    """Many deletions."""


class ListCall(Request):
    """A call that adds entries to a list of a record, or takes them out: `{id}` is the record's id."""

    method: Method = "POST"
    body: Any = None
    """JSON body: any JSON in which `{entries}` stands for the entries, and `{id}` for the record's id: `{tags: "{entries}"}`. With `{entry}`, here
    or in the path, each entry is a call of its own."""
    entry: Any = None
    """Shape of an entry in `{entries}`, in which `{entry}` stands for it: `{name: "{entry}", status: active}`; the entry itself when absent."""
    already: tuple[int | str, ...] = ()
    """Statuses, or words in an error's text, that mean `it is so already`: success."""

    @property
    def one_by_one(self) -> bool:
        """Whether each entry is a call of its own."""
        return any("entry" in gaps_in(text) for text in (self.path, *texts_in(self.params), *texts_in(self.body)))


class ListCalls(Declared):
    """The calls by which a list is changed entry by entry, whatever else is in it."""

    add: ListCall
    """Adds entries."""
    remove: ListCall
    """Takes entries out; an entry that is not there (404, 410) is out."""

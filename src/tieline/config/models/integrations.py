"""An integration: what must move, how it is mapped, matched, and what happens when things go wrong."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, NonNegativeInt, PositiveInt, Tag
from pydantic import Field as Declare

from tieline.config.models.base import Declared, Length, Name, Path, Share

Conflict = Literal["source", "target", "left", "right", "newest", "fill_empty", "union", "never", "hold"]
"""Who decides when two sides differ: the first two of a one-way integration, the others of a two-way one; `fill_empty` and `hold` of both, and
of a rule `union`."""

Conversion = Literal[
    "string",
    "integer",
    "number",
    "boolean",
    "date",
    "datetime",
    "phone",
    "money",
    "country",
    "lower",
    "upper",
    "trim",
    "email",
]


class Rule(Declared):
    """How one field of the destination gets its value. The steps apply in the order of this list."""

    source: Path | tuple[Path, ...] | None = Declare(default=None, alias="from")
    """The source's field, or several with `join`, `expr` or `call`."""
    const: Any = None
    """A fixed value, instead of `from`."""
    expr: str | None = None
    """An expression over the source's fields: a safe subset of Python. `value` is the field in `from`, if there is one."""
    call: str | None = None
    """A function in the project's `mappings.py`, as `mappings:NAME`. It gets the value of `from` (of several: one argument each, in
    order), or the whole record."""
    lookup: Name | None = None
    """Another integration: the value is an id of its source, and becomes the id of the linked record."""
    values: dict[str, Any] | None = None
    """A table of values. A key is compared with the value as text; `true`, `false` and `null` stand for themselves."""
    otherwise: Any = None
    """With `values`: what any other value becomes; null stays null unless the table has it. Without it, such a record is parked."""
    join: str | None = None
    """Text between the parts of several fields; absent, null and blank parts are left out."""
    split: str | None = None
    """Text at which the value is cut; `take` chooses the part."""
    take: Literal["first", "last", "rest", "all"] | int = "all"
    """With `split`: the `first` or `last` part, the `rest` after the first, `all` as a list, or a part by its number from 0."""
    convert: Conversion | None = Declare(default=None, alias="as")
    """What the value is turned into. `phone`: E.164. `money`: a decimal with the currency's digits. `country`: ISO 3166 alpha-2."""
    region: str | None = None
    """With `as: phone`: the country of numbers that are written without one, such as `AU`."""
    zone: str | None = None
    """With `as: date` or `datetime`: the zone of times written without one; the result is in UTC unless `to_zone` says otherwise."""
    to_zone: str | None = None
    """With `as: date` or `datetime`: the zone of the result."""
    format: str | None = None
    """With `as: date` or `datetime`: how the source writes it (strptime), `unix` or `unix_ms`."""
    to_format: str | None = None
    """With `as: date` or `datetime`: how the destination wants it (strftime), `unix` or `unix_ms`. RFC 3339 otherwise."""
    currency: str | None = None
    """With `as: money`: an ISO 4217 code, for its number of digits. More digits than that are refused, never rounded."""
    country: Literal["alpha2", "alpha3", "name"] = "alpha2"
    """With `as: country`: how the result is written."""
    true: Any = None
    """With `as: boolean`: what true is written as, when the destination wants words."""
    false: Any = None
    """With `as: boolean`: what false is written as."""
    default: Any = None
    """Value when the source's field is absent or null, or the result is; `null` turns absent into null."""
    default_blank: bool = False
    """The default also takes the place of blank text."""
    add: tuple[Any, ...] = ()
    """Entries that the destination's list is to have, beside those that `from` gives; the list keeps its other entries, as with `conflict: union`."""
    remove: tuple[Any, ...] = ()
    """Entries that it is not to have, wherever they come from; it keeps its other entries."""
    only: Literal["create", "forward", "back"] | None = None
    """`create`: the field is written when the record is made, and left alone from then on. In a two-way integration also `forward`: the
    rule runs only from `from` to `to`; `back`: only from `to` to `from`."""
    back: BackRule | None = None
    """In a two-way integration: how the field of `from` gets its value back, where the rule can't be run backwards by itself. A field of `to`
    or a rule over its fields (with `from`, `const`, `expr` or `call`), when the rule reads one field; otherwise a table: each field of
    `from`, with a field of `to` or a rule."""
    conflict: Conflict | None = None
    """In a two-way integration: who decides when both sides changed this field; the integration's `conflict` unless stated. `union`, one way
    too: lists are merged entry by entry. What one side has added is added on the other, what it has taken out is taken out there, and all else
    stays. One way the source's changes alone move, and the destination keeps the entries of its own."""
    missing: Literal["hold", "empty", "absent", "later"] = "hold"
    """With `lookup`: what happens while the other record has no link: the record waits, the field is null, or it is left out. `later`, in a
    two-way integration: it is left out, and written as soon as there is a link, so that two records can need each other."""

    @property
    def merges(self) -> bool:
        """Whether it changes entries of a list, and leaves the others."""
        return self.conflict == "union" or bool(self.add or self.remove)


def _rule_kind(value: Any) -> str:
    return "path" if isinstance(value, str) else "rule"


_HEADS = frozenset(("from", "source", "const", "expr", "call"))
_NO_FIELDS: Any = ["from", "const", "expr", "call"]


def _back_kind(value: Any) -> str:
    """Every rule has one of these keys. A field that is called so is written in quotes: `'"from"'`."""
    if isinstance(value, dict):
        return "rule" if _HEADS.intersection(value) else "table"
    return _rule_kind(value)


MapRule = Annotated[Annotated[Path, Tag("path")] | Annotated[Rule, Tag("rule")], Discriminator(_rule_kind)]
BackRule = Annotated[
    Annotated[Path, Tag("path")]
    | Annotated[Rule, Tag("rule")]
    | Annotated[dict[str, MapRule], Tag("table"), Declare(json_schema_extra={"propertyNames": {"not": {"enum": _NO_FIELDS}}})],
    Discriminator(_back_kind),
]


class MatchKey(Declared):
    """A field to match by that both systems spell in their own way."""

    source: Path = Declare(alias="from")
    """The source's field."""
    convert: Literal["phone", "company"] | None = Declare(default=None, alias="as")
    """What both values are compared as. `phone`: the number, however it is written. `company`: the name without its legal form (Ltd, Pty
    Ltd, GmbH, Inc, AG …) and without punctuation."""
    region: str | None = None
    """With `as: phone`: the country of numbers that are written without one, such as `AU`."""


def _match_kind(value: Any) -> str:
    return "path" if isinstance(value, str) else "key"


MatchBy = Annotated[Annotated[Path, Tag("path")] | Annotated[MatchKey, Tag("key")], Discriminator(_match_kind)]


class Example(Declared):
    """A record, and what the mapping must make of it."""

    given: dict[str, Any]
    """A source record."""
    expect: dict[str, Any] | None = None
    """The destination's fields, as the mapping must make them; fields that are not named are not compared."""
    parked: str | None = None
    """Or: a part of the reason for which the record is parked."""
    edited: dict[str, Any] | None = None
    """Of a two-way integration: what someone then makes of fields on the right, by address; the others say what `given` has made of them."""
    becomes: dict[str, Any] | None = None
    """With `edited`: the fields of the left, as the way back must make them then; fields that are not named are not compared."""


class Unavailable(Declared):
    """What happens while a system is down."""

    keep: Length
    """How long changes are kept for it. After that the integration halts and says so; nothing is dropped."""


class RetryPolicy(Declared):
    """How often a delivery, or a read, is tried again within a run after a passing failure."""

    attempts: PositiveInt = 5
    """Attempts in one run; after that the delivery stays owed, or the read ends, and the next run goes on."""
    base: Length = 1.0
    """Wait before the second attempt; it doubles each time, with jitter."""
    most: Length = 300.0
    """Longest wait between two attempts."""


class Brakes(Declared):
    """Limits on what one run may do by itself."""

    deletes: NonNegativeInt = 10
    """Most deletions (or archivings) in one run; with more, none is sent and the run halts. `tieline run NAME --allow-deletes N` allows more
    of them once. In a two-way integration: on each side."""
    deletes_share: Share | None = None
    """In a two-way integration: the most deletions (or archivings) in one run on each side as a share of its records that have a counterpart;
    the smaller of both limits holds."""
    clears: NonNegativeInt = 10
    """In a two-way integration: the most records of a side in which one run may clear the same field; with more, none is sent and the run
    halts. `tieline run NAME --allow-clears N` allows more once."""
    clears_share: Share | None = None
    """In a two-way integration: the same as a share of the side's records that have a counterpart; the smaller of both limits holds."""


class Archive(Declared):
    """Deletes become an update."""

    archive: dict[str, Any]
    """The fields that are set, by address."""


class Setting(Declared):
    """What is written once a record's condition does not hold any more."""

    set: dict[str, Any]
    """The fields that are set, by address: `{status: unsubscribed}`."""


class TwoWayDeletes(Declared):
    """What deletions do in a two-way integration."""

    left: Literal["ignore", "unlink", "delete"] | Archive = "ignore"
    """What a deletion on the left (`from`) does on the right: nothing; the right record is on its own from then on (`unlink`); it is deleted,
    or fields of it are set."""
    right: Literal["ignore", "unlink", "delete"] | Archive = "ignore"
    """What a deletion on the right (`to`) does on the left."""
    edited: Literal["hold", "delete", "keep"] = "hold"
    """When the other record was edited since both last agreed: a person decides, it is deleted all the same, or it is kept, on its own."""


class TwoWayUnmatched(Declared):
    """What happens to records without a counterpart in a two-way integration."""

    left: Literal["create", "hold", "ignore"]
    """To a record of the left (`from`)."""
    right: Literal["create", "hold", "ignore"]
    """To a record of the right (`to`)."""


def _deletes_kind(value: Any) -> str:
    if isinstance(value, TwoWayDeletes) or (isinstance(value, dict) and not {"left", "right", "edited"}.isdisjoint(value)):
        return "sides"
    return "archive" if isinstance(value, dict | Archive) else "word"


def _otherwise_kind(value: Any) -> str:
    return "set" if isinstance(value, dict | Setting) else "word"


class Integration(Declared):
    """What must move from one resource to another."""

    purpose: str | None = None
    """One sentence that a colleague understands: what moves, when, and why."""
    owner: str | None = None
    """Who must see it when this needs a person."""
    source: str = Declare(alias="from", pattern=r"^[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*$")
    """Where records come from: `CONNECTION.RESOURCE`."""
    target: str = Declare(alias="to", pattern=r"^[a-z][a-z0-9_-]*\.[a-z][a-z0-9_-]*$")
    """Where they go: `CONNECTION.RESOURCE`."""
    direction: Literal["one-way", "two-way"] | None = None
    """`one-way`: from the source to the destination. `two-way`: both ways; `from` is then the left side, `to` the right one. One way, until it is said."""
    freshness: Length | None = None
    """How old a change may be before it has arrived; `status` and its exit code hold us to it. Without it, nothing is ever late."""
    when: str | None = None
    """Which changes move: an expression over `new` and `old`, with `became(FIELD, VALUE)` and `changed(FIELD)`. All, without it."""
    otherwise: Annotated[
        Annotated[Literal["ignore", "delete"], Tag("word")] | Annotated[Setting, Tag("set")],
        Discriminator(_otherwise_kind),
    ] = "ignore"
    """With `when`: what happens in the destination once it does not hold any more for a record that has its counterpart: nothing, it is deleted
    (and made again when the condition returns), or fields of it are set, such as `{set: {status: unsubscribed}}` (and it is updated when the
    condition returns). Counted with the deletions, under `brakes: {deletes: N}`."""
    start: Literal["existing", "now"] = "existing"
    """At the first run, what is there counts as changed (`existing`), or is only noted (`now`)."""
    match: dict[str, MatchBy] = {}
    """How a record finds its counterpart before they are linked: the destination's field, and the source's. All must agree. A key with `as`
    compares both values in one form."""
    unmatched: Literal["create", "hold", "ignore"] | TwoWayUnmatched | None = None
    """What happens to a record without a counterpart. An ignored one is looked at again when it changes, or when the source is read whole.
    In a two-way integration a word counts for both sides."""
    conflict: Conflict | None = None
    """One-way, when a counterpart is found and its values differ: the `source`'s win, the `target`'s stay, only empty ones are filled
    (`fill_empty`), or a person decides (`hold`, until it is said). Two-way, when the same field changed on both sides: the `left`'s (of `from`) or the
    `right`'s (of `to`) holds, the `newest`, the one that is not empty (`fill_empty`; where both have one, each side keeps its own), lists are
    merged entry by entry (`union`), each side keeps its own (`never`), or a person decides (`hold`)."""
    skew: Length | None = None
    """With `conflict: newest`: changes that are less apart than this count as at the same time, and are held."""
    deletes: Annotated[
        Annotated[Literal["ignore", "delete"], Tag("word")] | Annotated[Archive, Tag("archive")] | Annotated[TwoWayDeletes, Tag("sides")],
        Discriminator(_deletes_kind),
    ] = "ignore"
    """What a deletion in the source does in the destination: `delete`, or `{archive: {status: closed}}`. Where its list never says that a record
    was deleted, what a whole list does not show is gone once that is proven. In a two-way integration, what one on either side does on the other."""
    unavailable: Unavailable | None = None
    """What happens while a system is down. Without it, changes are kept for as long as that takes."""
    unknown: Literal["hold", "resend"] = "hold"
    """When an answer was lost and nothing can tell whether the write was done: hold for a person, or send again and risk a double."""
    retry: RetryPolicy = RetryPolicy.model_construct()
    """How often a delivery, or a read, is tried again."""
    brakes: Brakes = Brakes.model_construct()
    """Limits on what one run may do by itself."""
    max_run: Length = 86400.0
    """Longest time of one run. It then ends in good order, and the next run goes on; a read that is not sorted begins again."""
    map: dict[str, MapRule]
    """The destination's fields, each with a field of the source or a rule."""
    tests: tuple[Example, ...] = ()
    """Examples of the mapping; `tieline check` runs them."""

    @property
    def matched(self) -> dict[str, str]:
        """The fields to match by: the destination's, and the source's."""
        return {target: by if isinstance(by, str) else by.source for target, by in self.match.items()}

    @property
    def match_back(self) -> dict[str, MatchBy]:
        """The same, seen from the other side."""
        return {
            by if isinstance(by, str) else by.source: target if isinstance(by, str) else by.model_copy(update={"source": target})
            for target, by in self.match.items()
        }

    @property
    def meeting(self) -> Conflict:
        """Whose values win where a counterpart has others, one way: a person says so until `conflict` does; what we made ourselves is ours."""
        return self.conflict or ("hold" if self.match else "source")

    @property
    def two_way(self) -> bool:
        """Whether changes of `to` go to `from` as well."""
        return self.direction == "two-way"

    @property
    def deletions(self) -> TwoWayDeletes:
        """What deletions do on either side of a two-way integration."""
        return self.deletes if isinstance(self.deletes, TwoWayDeletes) else TwoWayDeletes()

    @property
    def without_counterpart(self) -> TwoWayUnmatched:
        """What happens to a record without a counterpart on either side of a two-way integration."""
        if isinstance(self.unmatched, TwoWayUnmatched):
            return self.unmatched
        return TwoWayUnmatched(left=self.unmatched or "create", right=self.unmatched or "create")

"""A vendor's collection of records, with the habits that vendors have: how it lists, finds, writes, refuses and rewrites.

`Collection.declaration` is the connector's part for it, so that a test can't declare one thing and have another. People edit it with
`add`, `change` and `remove`; the API is `tieline.testing.vendor`.
"""

from __future__ import annotations

import copy
import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from tieline.model.paths import get, put
from tieline.model.records import ABSENT, Record

Paging: TypeAlias = Literal["page", "offset", "cursor", "next_url", "link_header", "keyset"]
AtCeiling: TypeAlias = Literal["error", "repeat", "empty", "stop"]


class Written(msgspec.Struct):
    """A write that a vendor carried out."""

    at: float
    operation: str
    id: str
    sent: Record
    key: str | None = None
    """The idempotency key that came with it."""


LOCKED = 423
_GUID_DIGITS = 32


class Refusal(Exception):
    """A write that the vendor does not want."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Entry(msgspec.Struct):
    """A record as the vendor keeps it."""

    id: Any
    record: Record
    made_at: float
    changed_at: float
    version: int
    deleted: bool = False


class Burial(msgspec.Struct):
    """A deletion, as a feed of them tells it."""

    id: Any
    at: float
    version: int
    into: Any = None


class Collection:
    """Records of one kind. Every keyword is a habit; the defaults are a vendor that one would wish for."""

    def __init__(
        self,
        name: str,
        fields: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        ids: Literal["number", "large", "text", "guid", "given"] = "number",
        paging: Paging | None = "cursor",
        page_size: int = 100,
        order: Literal["made", "changed"] = "made",
        changed_since: Literal["time", "version", "mark"] | None = None,
        times: Literal["rfc3339", "unix", "unix_ms", "date"] = "rfc3339",
        precision: float = 0.001,
        list_lag: float = 0.0,
        tombstones: bool = False,
        keeps_deleted: bool = False,
        feed: Literal["time", "version", "whole"] | None = None,
        feed_lag: float = 0.0,
        total: Literal["all", "asked"] | None = None,
        counted_marks: bool = False,
        ceiling: int | None = None,
        at_ceiling: AtCeiling = "error",
        windows: bool = True,
        conditional: Literal["etag", "last_modified"] | None = None,
        lists: bool = True,
        gets: bool = True,
        shows_survivor: bool = False,
        find: tuple[str, ...] = (),
        find_lag: float = 0.0,
        declared_find_lag: float | None = None,
        find_cache: float | None = None,
        lag: float = 0.0,
        declared_lag: float | None = 0.0,
        late_deletes: float = 0.0,
        hides: Callable[[str, Entry], bool] = lambda way, entry: False,
        creates: bool = True,
        update: Literal["patch", "put"] | None = "patch",
        deletes: bool = True,
        upsert: str | None = None,
        versions: Literal["header", "body"] | None = None,
        batch: Mapping[str, int] | None = None,
        results: Literal["position", "id", "none"] = "position",
        result_key: str = "",
        unique: str | None = None,
        refused: int = 409,
        already: tuple[int | str, ...] = (),
        tells: Literal["record", "location", "nothing"] = "record",
        webhooks: bool = False,
        normalise: Callable[[Record], Record] | None = None,
        refuses: Callable[[str, Record], str | None] = lambda operation, record: None,
        says_no: Literal["status", "flag", "code", "list"] = "status",
        apart: bool = False,
        locked: Callable[[], bool] = lambda: False,
        leaves_out: Callable[[], bool] = lambda: False,
        mixes_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Times are in seconds.

        `ids`: the vendor counts from 1001, from beyond what a float can hold, or as text; `given` ones come with the record. A `guid` is spelled in
        capitals, in braces or without hyphens, as the place that shows it likes.
        `order`: a list comes in the order in which records were made, or were last changed. `changed_since`: it can be asked for what
        changed after a time, a version, or the mark that the first page's `ETag` gave. `times`: how it writes times; `precision`: the finest step of those that it tells.
        `tombstones`: a list shows what is left of deleted records. `keeps_deleted`: they keep their fields, and whoever asks for one by id,
        or searches, is shown it, marked as deleted. `feed`: deletions are listed apart, for good, also of records that were made again; it can be
        asked for what was deleted after a time or a version, or only as a whole. `feed_lag`: how long a deletion can be missing from it; some are for less.
        `total`: the connector says that a list tells how many records there are: `all`, or what was `asked` for. `counted_marks`: marks and
        addresses of next pages stand for a number of records, so that records slip when others come or go. `ceiling`: no more records are
        shown of one list; `at_ceiling` is what comes instead: an `error`, the last page again (`repeat`), an `empty` page, or a page that
        says that it is the last (`stop`). `windows`: a list can be asked for between two times or versions. `conditional`: a list can be
        asked for on condition that something has changed. `find_cache`: how long the connector lets what was found be remembered.
        `list_lag`, `find_lag`: how long a change is missing from lists and searches; `declared_find_lag` is what the connector says of it.
        `lag`: how long a list and `get` show nothing of what was made; `declared_lag` is what the connector says of it, None nothing. `late_deletes`: how long
        `get` still shows what was deleted, where no mark is left of it. `hides`:
        whether a `list` or a `get` does not show a record that is there.
        `versions`: a record tells its version, and a single change is refused that comes with another one, in `If-Match` or in the body.
        `batch`: most records of a call, by operation; `results`: how the answer tells what became of each; with `none`, all or nothing.
        `shows_survivor`: the connector says that who asks for a merged record by its id is shown the one that it is now.
        `unique`: a field whose value only one record may have; `refused`: the status with which a second one is refused. `already`: what the connector says about the refusal.
        `tells`: what the answer to a write holds. `webhooks`: it tells of changes by itself, see `FakeSystem.webhook`. `normalise`: how it rewrites what it gets. `refuses`: why it does not want a record.
        `says_no`: a single write is refused by a status, or in a 200, by a flag that is false, a code that is not 0, or a list of errors. `apart`: a
        batch's answer lists errors apart from results. `locked`: whether a write meets a lock now. `leaves_out`: whether a batch's answer says
        nothing of a record. `mixes_up`: whether it gives a record's result the id and key of another one.
        """
        self.name, self.fields = name, dict(fields or {})
        self.ids, self.paging, self.page_size, self.order = ids, paging, page_size, order
        self.changed_since, self.list_lag, self.tombstones = changed_since, list_lag, tombstones
        self.keeps_deleted, self.feed, self.feed_lag = keeps_deleted, feed, feed_lag
        self.times, self.precision = times, 86400.0 if times == "date" else precision
        self.total, self.counted_marks, self.ceiling, self.at_ceiling = total, counted_marks, ceiling, at_ceiling
        self.windows, self.conditional, self.find_cache = windows, conditional, find_cache
        self.lists, self.gets, self.find, self.find_lag = lists, gets, find, find_lag
        self.shows_survivor = shows_survivor
        self.declared_find_lag = find_lag if declared_find_lag is None else declared_find_lag
        self.lag, self.declared_lag, self.hides = lag, declared_lag, hides
        self.late_deletes = late_deletes
        self._dropped: dict[str, tuple[Entry, float]] = {}
        self.creates, self.update, self.deletes, self.upsert, self.versions = creates, update, deletes, upsert, versions
        self.stale = 0
        """How many writes were refused because they came with another version than the record's."""
        self.batch, self.results, self.result_key = dict(batch or {}), results, result_key
        self.unique, self.refused, self.already, self.tells = unique, refused, already, tells
        self.normalise, self.refuses, self.webhooks = normalise, refuses, webhooks
        self.says_no, self.apart = says_no, apart
        self.locked, self.leaves_out, self.mixes_up = locked, leaves_out, mixes_up
        self.entries: dict[str, Entry] = {}
        self.merged: dict[str, Any] = {}
        """By id: into which record one was merged."""
        self.buried: list[Burial] = []
        """All deletions, in order."""
        self.written: list[Written] = []
        """What the API was asked to write and carried out, in order; what people did is not among it."""
        self.now: Callable[[], float] | None = None
        """The clock of the vendor that it belongs to."""
        self._made = self._version = 0
        self.changed_at = 0.0
        """When anything was last made, changed or deleted."""

    # -- people

    @property
    def records(self) -> list[Record]:
        """All records, in the order in which they were made; each with its id."""
        return [entry.record for entry in self.entries.values() if not entry.deleted]

    def record(self, id: Any) -> Record:
        """Return a record. Raises `KeyError` when there is none."""
        entry = self.entries[str(id)]
        if entry.deleted:
            raise KeyError(id)
        return entry.record

    def where(self, field: str, value: Any) -> list[Record]:
        """Return the records with this value."""
        return [record for record in self.records if get(record, field) == value]

    def add(self, **fields: Any) -> Any:
        """Make a record and return its id."""
        return self.create(fields, None).id

    def change(self, id: Any, **fields: Any) -> None:
        """Change fields of a record; the names are addresses."""
        record = copy.deepcopy(self.record(id))
        for address, value in fields.items():
            put(record, address, value)
        self._keep(self.entries[str(id)], record)

    def remove(self, id: Any) -> None:
        """Delete a record."""
        self._drop(self.entries[str(id)])

    def merge(self, id: Any, into: Any) -> None:
        """Merge a record into another: it is deleted, and whoever asks for it is shown the other."""
        self.merged[str(id)] = into
        self._drop(self.entries[str(id)])

    # -- the API; each raises `Refusal`

    def create(self, sent: Record, key: str | None) -> Entry:
        """Make a record."""
        self._judge("create", sent, None)
        self._made += 1
        id: Any
        if self.ids == "given":
            id = sent.get("id")
            if id is None or (str(id) in self.entries and not self.entries[str(id)].deleted):
                raise Refusal(409 if id is not None else 422, f"id {id} is missing or taken")
        else:
            number = self._made + (2**53 if self.ids == "large" else 1000)
            texts = {"text": f"{self.name}-{number}", "guid": f"{number:08x}-ab12-4cd3-8ef4-a1b2c3d4e5f6"}
            id = texts.get(self.ids, number)
        entry = Entry(id, {}, self._now(), 0.0, 0)
        self.entries[str(id)] = entry
        self._keep(entry, {**copy.deepcopy(sent), "id": id})
        if key is not None:
            self.written.append(Written(self._now(), "create", str(id), sent, key or None))
        return entry

    def replace(self, id: str, sent: Record, key: str | None, *, whole: bool) -> Entry:
        """Change a record: the fields that were sent, or with `whole` all of it."""
        entry = self.entries.get(id)
        if entry is None or entry.deleted:
            raise Refusal(404, f"there is no {self.name} {id}")
        self._judge("update", sent, entry)
        record: Record = {"id": entry.id} if whole else copy.deepcopy(entry.record)
        _merge(record, copy.deepcopy(sent))
        record["id"] = entry.id
        self._keep(entry, record)
        if key is not None:
            self.written.append(Written(self._now(), "update", id, sent, key or None))
        return entry

    def put(self, field: str, value: Any, sent: Record, key: str | None) -> tuple[Entry, bool]:
        """Create or update, by the value of a field; return the record and whether it was made."""
        wanted = str(value).casefold()
        for entry in self.entries.values():
            if not entry.deleted and str(get(entry.record, field)).casefold() == wanted:
                return self.replace(str(entry.id), {**sent, field: value}, key, whole=False), False
        return self.create({**sent, field: value}, key), True

    def delete(self, id: str, key: str | None) -> None:
        """Delete a record."""
        entry = self.entries.get(id)
        if entry is None or entry.deleted:
            raise Refusal(404, f"there is no {self.name} {id}")
        self._drop(entry)
        if key is not None:
            self.written.append(Written(self._now(), "delete", id, {}, key or None))

    def asked_for(self, id: str) -> Entry | None:
        """Return what is shown to someone who asks for a record by its id."""
        entry = self.entries.get(id if self.keeps_deleted else str(self.merged.get(id, id)))
        if entry is None and id in self._dropped and self._dropped[id][1] > self._now() - self.late_deletes:
            return self._dropped[id][0]
        if entry is None or self._is_too_new(entry) or self.hides("get", entry):
            return None
        return entry if self.keeps_deleted or not entry.deleted else None

    def _is_too_new(self, entry: Entry) -> bool:
        return bool(self.lag) and entry.made_at > self._now() - self.lag

    def check_lock(self) -> None:
        """Refuse a write because something else is at work on the record."""
        if self.locked():
            raise Refusal(LOCKED, "the record is locked")

    def expect(self, id: str, version: str | None) -> None:
        """Refuse a write that was meant for another version of a record."""
        entry = self.entries.get(id)
        if version is None or entry is None or entry.deleted or version.strip('"') == str(entry.version):
            return
        self.stale += 1
        raise Refusal(412 if self.versions == "header" else 409, f"{self.name} {id} is at version {entry.version}, not at {version}")

    def told(self, since: str | None, after: int | None, size: int) -> dict[str, Any]:
        """Return a page of the feed of deletions, by version or in no order of time; `after` is the version of the last one shown."""
        shown = [one for one in self.buried if one.at + self.feed_lag * (one.version % 3) / 2 <= self._now()]
        if since is not None:
            by_time = self.feed == "time"
            shown = [one for one in shown if (self.cut(one.at) >= self.moment(since) if by_time else one.version > int(since))]

        def place(one: Burial) -> tuple[Any, ...]:
            return (one.version,) if self.feed == "version" else (str(one.id), one.version)

        last = next((one for one in self.buried if one.version == after), None)
        shown = sorted((one for one in shown if last is None or place(one) > place(last)), key=place)
        page = shown[:size]
        entries = [
            {
                "item": self.spelled(one.id, "feed"),
                "at": self.told_time(one.at),
                "version": one.version,
                **({"merged_into": self.spelled(one.into, "feed")} if one.into is not None else {}),
            }
            for one in page
        ]
        return {"deleted": entries, "next": str(page[-1].version) if len(shown) > size else None}

    def listed(self) -> list[Entry]:
        """Return what a list shows now, in its order."""
        visible = self._now() - self.list_lag
        entries = [
            e
            for e in self.entries.values()
            if (self.tombstones or not e.deleted)
            and (not self.list_lag or e.changed_at <= visible)
            and not self._is_too_new(e)
            and not self.hides("list", e)
        ]
        return sorted(entries, key=self.position)

    def position(self, entry: Entry) -> tuple[Any, ...]:
        """Return an entry's place in the list."""
        if self.order == "made":
            return (entry.made_at, entry.id)
        if self.changed_since in ("version", "mark"):
            return (entry.version,)
        return (self.cut(entry.changed_at), entry.id)

    def found(self, field: str, value: str) -> list[Entry]:
        """Return what a search shows now: text is compared without case."""
        visible = self._now() - self.find_lag
        return [
            entry
            for entry in self.entries.values()
            if (self.keeps_deleted or not entry.deleted)
            and entry.made_at <= visible
            and str(get(entry.record, field)).casefold() == value.casefold()
        ]

    def cut(self, at: float) -> float:
        """Return a time as exactly as the vendor keeps it."""
        return round(int(at / self.precision + 1e-6) * self.precision, 6)

    def told_time(self, at: float) -> Any:
        """Return a time as the vendor tells it."""
        cut = self.cut(at)
        if self.times == "unix":
            return int(cut) if self.precision >= 1 else cut
        if self.times == "unix_ms":
            return round(cut * 1000)
        moment = dt.datetime.fromtimestamp(cut, dt.UTC)
        return moment.date().isoformat() if self.times == "date" else moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def moment(self, told: str) -> float:
        """Return what a time in a query means, in seconds since 1970."""
        if self.times in ("unix", "unix_ms"):
            return float(told) / (1000 if self.times == "unix_ms" else 1)
        moment = dt.datetime.fromisoformat(told)
        return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()

    def spelled(self, id: Any, place: str) -> Any:
        """Return an id as the vendor spells it in a place: `list`, `item`, `search`, `result`, `header` or `feed`."""
        if self.ids != "guid" or not isinstance(id, str):
            return id
        ways = (id, id.upper(), "{" + id.upper() + "}", id.replace("-", ""))
        return ways[(len(place) + int(id[:8], 16)) % len(ways)]

    def meant(self, id: Any) -> str:
        """Return the key of the entry that someone means by an id, however they spell it."""
        text = str(id)
        if self.ids != "guid":
            return text
        bare = text.strip("{}").replace("-", "").lower()
        return "-".join((bare[:8], bare[8:12], bare[12:16], bare[16:20], bare[20:])) if len(bare) == _GUID_DIGITS else text

    def shown(self, entry: Entry, place: str = "item") -> Record:
        """Return a record as the API shows it in a place, see `spelled`."""
        shown = dict(entry.record)
        if "id" in shown:
            shown["id"] = self.spelled(shown["id"], place)
        if self.changed_since is not None:
            shown["updated_at"] = self.told_time(entry.changed_at)
            shown["version"] = entry.version
        if self.versions is not None:
            shown["version"] = entry.version
        if self._marks:
            shown["deleted"] = entry.deleted
            if str(entry.id) in self.merged:
                shown["merged_into"] = self.spelled(self.merged[str(entry.id)], place)
        if self.ceiling is not None:
            shown["made_at"] = self.told_time(entry.made_at)
        return shown

    @property
    def version(self) -> int:
        """The version of the last change."""
        return self._version

    # -- the connector

    def declaration(self) -> dict[str, Any]:
        """Return the resource as a connector declares it."""
        items = f"/{self.name}/items/{{id}}"
        declared: dict[str, Any] = {"fields": {"id": {"type": "any", "read_only": self.ids != "given"}, **self.fields}}
        if self.ids == "guid":
            declared["id_form"] = "guid"
        if self.versions is not None:
            declared["fields"]["version"] = {"type": "integer", "read_only": True}
        if self.ceiling is not None:
            declared["fields"]["made_at"] = {"type": "datetime", "read_only": True}
        if self.declared_lag is not None:
            declared["lag"] = f"{self.declared_lag:g}s"
        if self.lists:
            declared["list"] = self._list_declaration()
        if self.feed is not None:
            declared["deleted"] = self._feed_declaration()
        if self.gets:
            declared["get"] = {"path": items, **({"merged": "survivor"} if self.shows_survivor else {})}
        for field in self.find:
            declared.setdefault("find", {})[field] = {
                "path": f"/{self.name}/search", "params": {"field": field, "value": "{value}"}, "records": "data", "lag": f"{self.declared_find_lag:g}s",
                **({"cache": f"{self.find_cache:g}s"} if self.find_cache is not None else {}),
            }  # fmt: skip
        answer: dict[str, Any] = {"id": {"header": "Location"}} if self.tells == "location" else {}
        spoken = self._in_success()
        if spoken and self.tells == "record":
            spoken["record"] = "data"
        if self.creates:
            declared["create"] = {"path": f"/{self.name}", **answer, **spoken, "already": list(self.already)}
        if self.update is not None:
            declared["update"] = {"path": items, "method": self.update.upper(), "whole": self.update == "put", "replaces": False, **spoken}
        if self.deletes:
            declared["delete"] = {"path": items, "method": "DELETE"}
        if self.versions is not None:
            told = {"header": {"header": "If-Match", "value": '"{version}"'}, "body": {"body": "version"}}[self.versions]
            for way in ("update", "delete"):
                if way in declared:
                    declared[way]["condition"] = {
                        "field": "version",
                        **(told if way == "update" or "header" in told else {"param": "version"}),
                    }
        if self.upsert is not None:
            declared["upsert"] = {"path": f"/{self.name}/by/{self.upsert}/{{{self.upsert}}}", "by": self.upsert, **answer, **spoken}
        for operation, size in self.batch.items():
            declared.setdefault("batch", {})[operation] = self._batch_declaration(operation, size)
        if self.webhooks:
            types = {kind: [f"{self.name}.{kind}"] for kind in ("changed", "deleted", "merged")}
            declared["webhook"] = {**types, "id": "data.id", "into": "data.into"}
        return declared

    def _list_declaration(self) -> dict[str, Any]:
        declared: dict[str, Any] = {"path": f"/{self.name}", "records": "data"}
        size = {"size": self.page_size, "size_param": "limit"}
        match self.paging:
            case "page":
                declared["paging"] = {"style": "page", "start": 1, **size}
            case "offset":
                declared["paging"] = {"style": "offset", **size}
            case "cursor":
                declared["paging"] = {"style": "cursor", "at": "meta.next", "param": "after", **size}
            case "next_url":
                declared["paging"] = {"style": "next_url", "at": "meta.next_url", **size}
            case "link_header":
                declared["paging"] = {"style": "link_header", **size}
            case "keyset":
                declared["paging"] = {"style": "keyset", "time": "updated_at", "time_param": "after_time", "id_param": "after_id", **size}
            case None:
                pass
        # What a list lags behind, and the finest step of its times, is what a reader has to reach back by.
        overlap = f"{self.list_lag:g}s"
        by_change = self.order == "changed"
        match self.changed_since:
            case "time":
                declared["changed_since"] = {
                    "param": "since", "field": "updated_at", "format": self.times, "overlap": overlap, "precision": f"{self.precision:g}s", "sorted": by_change,
                }  # fmt: skip
            case "version":
                declared["changed_since"] = {"param": "since", "field": "version", "format": "raw", "sorted": by_change}
            case "mark":
                declared["changed_since"] = {"param": "since", "header": "ETag", "format": "raw"}
            case None:
                pass
        if self._marks:
            declared["tombstone"] = {"field": "deleted", "into": "merged_into"}
        if self.total is not None:
            declared |= {"total": "meta.total", "total_counts": self.total}
        if self.counted_marks:
            declared["shifts"] = True
        if self.ceiling is not None:
            declared["ceiling"] = {"records": self.ceiling, **({"until": "until"} if self.windows else {})}
            if self.changed_since != "time" and self.changed_since != "version":
                declared["ceiling"] |= {
                    "field": "made_at",
                    "from": "made_from",
                    "until": "made_until",
                    "precision": f"{self.precision:g}s",
                    "format": self.times,
                }
        if self.conditional is not None:
            declared["conditional"] = {"by": self.conditional, "of": "answer" if self.paging is None else "collection"}
        return declared

    def _feed_declaration(self) -> dict[str, Any]:
        declared: dict[str, Any] = {"path": f"/{self.name}/deleted", "records": "deleted", "id": "item", "into": "merged_into"}
        declared["paging"] = {"style": "cursor", "at": "next", "param": "after", "size": self.page_size, "size_param": "limit"}
        if self.feed == "time":
            overlap = f"{self.feed_lag:g}s"
            declared["changed_since"] = {
                "param": "since", "field": "at", "format": self.times, "overlap": overlap, "precision": f"{self.precision:g}s",
            }  # fmt: skip
        elif self.feed == "version":
            declared["changed_since"] = {"param": "since", "field": "version", "format": "raw", "sorted": True}
        return declared

    def _in_success(self) -> dict[str, Any]:
        """Return how an answer of 200 says that a write was refused."""
        if self.says_no == "status":
            return {}
        return {"in_success": {"flag": {"at": "ok", "equals": False}, "code": {"at": "code", "not": 0}, "list": "errors"}[self.says_no]}

    def _batch_declaration(self, operation: str, size: int) -> dict[str, Any]:
        declared: dict[str, Any] = {"path": f"/{self.name}/batch/{operation}", "size": size, "wrap": "items"}
        if self.results == "none":
            declared |= self._in_success()
        else:
            declared["results"] = {
                "records": "results", "by": self.results, "status": "status", "id": "id", "error": "error", "already": list(self.already),
            }  # fmt: skip
            if self.apart:
                declared["results"]["errors"] = {"records": "errors", "by": "index", "index": "index", "status": "status", "error": "error"}
        if self.results == "id":
            declared["results"] |= {"key": "key", "field": "" if operation in ("update", "delete") else self.result_key}
        return declared

    # -- details

    @property
    def _marks(self) -> bool:
        """Whether deleted records are marked rather than forgotten."""
        return self.tombstones or self.keeps_deleted

    def _now(self) -> float:
        assert self.now is not None, f"the collection {self.name} belongs to no system yet"
        return self.now()

    def _judge(self, operation: str, sent: Record, entry: Entry | None) -> None:
        if reason := self.refuses(operation, sent):
            raise Refusal(422, reason)
        if self.unique is None or (value := get(sent, self.unique)) in (ABSENT, None):
            return
        wanted = str(value).casefold()
        for other in self.entries.values():
            if other is not entry and not other.deleted and str(get(other.record, self.unique)).casefold() == wanted:
                raise Refusal(self.refused, f"{self.unique} {value} already exists")

    def _keep(self, entry: Entry, record: Record) -> None:
        self._version += 1
        self.changed_at = self._now()
        entry.record = self.normalise(record) if self.normalise is not None else record
        entry.changed_at, entry.version, entry.deleted = self._now(), self._version, False

    def _drop(self, entry: Entry) -> None:
        self.changed_at = self._now()
        self.buried.append(Burial(entry.id, self._now(), self._version + 1, self.merged.get(str(entry.id))))
        if not self._marks:
            self._version += 1
            del self.entries[str(entry.id)]
            self._dropped[str(entry.id)] = entry, self._now()
            return
        self._version += 1
        entry.changed_at, entry.version, entry.deleted = self._now(), self._version, True
        if not self.keeps_deleted:
            entry.record = {"id": entry.id}


def _merge(record: Record, sent: Record) -> None:
    for key, value in sent.items():
        if isinstance(value, dict) and isinstance(record.get(key), dict):
            _merge(record[key], value)
        else:
            record[key] = value

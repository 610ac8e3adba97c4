"""The scenarios of `examples/two-way`: read, played against two fake systems, and told.

A scenario's own file says who edits what. What tieline does about it is played here, run by run: each is planned first, and has to do what
its plan said. Sides can be swapped: what is left then stands on the right, and nothing else is to change.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import yaml

from engine.world import NAME, World
from tieline.app import Tieline
from tieline.dialects.webhooks import Unverified
from tieline.engine.review import conflicts
from tieline.engine.runs.passes import Wanted
from tieline.engine.runs.undo import LEFT_ALONE, left_alone
from tieline.model.errors import TielineError
from tieline.model.records import Record, decode_json, encode_json
from tieline.store import journal, outbox, pairs, runs
from tieline.store.database import Database
from tieline.store.delivery import Delivery
from tieline.testing import Collection, Exchange, SimulatedDatabase
from tieline.testing.collection import Entry

FOLDER: Final = Path(__file__).parents[2] / "examples" / "two-way"
PAGE: Final = Path(__file__).parents[2] / "docs" / "two-way-scenarios.md"
BASE: Final = "integration.yaml"
SIDES: Final = ("left", "right")
OTHER: Final = {"left": "right", "right": "left"}
_LETTERS: Final = {"left": ("l", "c"), "right": ("r", "k")}
"""How ids begin on a side: of people, and of companies."""
_PLACES: Final = {"left": "crm.leads", "right": "mail.members"}
_WIDE: Final = 16

HABITS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "trims": lambda value: value.strip(),
    "lower-cases": lambda value: value.lower(),
    "reformats": lambda value: re.sub(r"^\+61(\d)(\d{4})(\d{4})$", r"+61 \1 \2 \3", value),
    "rounds": lambda value: round(value, 1),
    "abbreviates": lambda value: value.replace("Doctor", "Dr"),
    "spells out": lambda value: value.replace("Dr ", "Doctor "),
    "ignores": lambda value: value,
}
"""What a vendor does to a field, whoever writes it; one that ignores a field does so when it is written through the API."""


class Scenario(NamedTuple):
    """One folder."""

    name: str
    about: str
    integration: dict[str, Any]
    """What differs from the common integration."""
    records: Mapping[str, Mapping[str, Record]]
    edits: list[Any]
    fields: Mapping[str, Mapping[str, str]]
    vendors: Mapping[str, Mapping[str, Any]]
    companies: Mapping[str, Any]
    """A second integration, with its records: the first one's look-up."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return FOLDER / self.name


def every() -> list[Scenario]:
    """Return all scenarios, in order."""
    return [read(path.parent) for path in sorted(FOLDER.glob("*/scenario.yaml"))]


def read(folder: Path) -> Scenario:
    """Read one."""
    told = yaml.safe_load((folder / "scenario.yaml").read_text("utf-8"))
    unknown = told.keys() - {"about", "integration", "left", "right", "edits", "fields", "vendors", "companies"}
    assert not unknown, f"{folder.name}: {unknown}"
    return Scenario(
        folder.name, " ".join(told["about"].split()), told.get("integration", {}),
        {side: told.get(side) or {} for side in SIDES}, told["edits"], told.get("fields", {}), told.get("vendors", {}),
        told.get("companies", {}),
    )  # fmt: skip


def base() -> dict[str, Any]:
    """Return the integration that all scenarios share."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / BASE).read_text("utf-8"))
    return found


class Line(NamedTuple):
    """One thing that a run does, or sets aside; `key` says the same for sides that are swapped."""

    text: str
    key: Any


class Step(NamedTuple):
    """One step, and what it led to: nothing, where it is an edit."""

    told: str
    lines: list[Line] | None


class Played(NamedTuple):
    """What happened."""

    steps: list[Step]
    end: dict[str, Any]
    open: list[Line]


# -- swapping sides


def swapped(integration: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return an integration with its sides swapped; None where its rules have no mirror image that could be written as simply."""
    found = dict(integration)
    found["match"] = {
        **{left: right for right, left in integration["match"].items() if isinstance(left, str)},
        **{key["from"]: {**key, "from": right} for right, key in integration["match"].items() if not isinstance(key, str)},
    }
    found["map"] = {}
    for target, rule in integration["map"].items():
        if isinstance(rule, str):
            found["map"][rule] = target
            continue
        if not isinstance(rule.get("from"), str) or rule.keys() - {"from", "conflict", "only", "values"} or rule.get("only") == "create":
            return None
        other = {**rule, "from": target}
        if "values" in rule:
            other["values"] = {value: key for key, value in rule["values"].items()}
        if "only" in rule:
            other["only"] = "back" if rule["only"] == "forward" else "forward"
        if "conflict" in rule:
            other["conflict"] = OTHER.get(rule["conflict"], rule["conflict"])
        found["map"][rule["from"]] = other
    found["conflict"] = OTHER.get(integration["conflict"], integration["conflict"])
    for key in ("unmatched", "deletes"):
        if isinstance(integration.get(key), Mapping):
            found[key] = {OTHER.get(side, side): policy for side, policy in integration[key].items()}
    return found


# -- systems


class _Vendor(Collection):
    """A collection whose records are called by people as the scenario says, and by the vendor with the next number."""

    def __init__(self, name: str, letter: str, fields: Mapping[str, str], habits: Mapping[str, Any]) -> None:
        rewrites = self.rewrites = {field: habit for field, habit in habits.items() if habit in HABITS}

        def normalise(record: Record) -> Record:
            return {k: HABITS[rewrites[k]](v) if k in rewrites and v is not None else v for k, v in record.items()}

        super().__init__(
            name, {field: {"type": type_} for field, type_ in fields.items()}, ids="text", find=("email",) if "email" in fields else (),
            changed_since="time" if habits.get("tells times") else None, tombstones=bool(habits.get("tells deletions")),
            update="put" if habits.get("replaces whole records") else "patch", normalise=normalise,
            tells="nothing" if habits.get("answers nothing") else "record", webhooks=bool(habits.get("sends webhooks")),
            gets=not habits.get("shows lists alone"), shows_survivor=True, keeps_deleted=bool(habits.get("shows deleted records by id")),
            versions="header" if habits.get("keeps versions") else None,
            feed="time" if habits.get("tells deletions apart") else None,
        )  # fmt: skip
        self._letter, self._next, self.hidden = letter, 0, False
        self.ignored = {field for field, habit in rewrites.items() if habit == "ignores"}
        self.omitted: set[str] = set()
        self._refused = habits.get("refuses")
        self.refuses = lambda operation, record: (
            f"{self._refused} is refused" if self._refused is not None and self._refused in record.values() else None
        )

    def create(self, sent: Record, key: str | None) -> Entry:
        entry = super().create(self._taken({k: v for k, v in sent.items() if k != "id"}, key), key)
        del self.entries[str(entry.id)]
        if "id" not in sent:
            while f"{self._letter}{self._next + 1}" in self.entries:
                self._next += 1
            self._next += 1
        entry.id = entry.record["id"] = sent.get("id", f"{self._letter}{self._next}")
        self._next = max(self._next, int(entry.id[1:]))
        self.entries[entry.id] = entry
        return entry

    def replace(self, id: str, sent: Record, key: str | None, *, whole: bool) -> Entry:
        return super().replace(id, self._taken(sent, key), key, whole=whole)

    def listed(self) -> list[Entry]:
        return [] if self.hidden else super().listed()

    def shown(self, entry: Entry, place: str = "item") -> Record:
        return {field: value for field, value in super().shown(entry, place).items() if field not in self.omitted}

    def _taken(self, sent: Record, key: str | None) -> Record:
        return {field: value for field, value in sent.items() if key is None or field not in self.ignored}


_FIELDS: Final = {"email": "string", "name": "string", "phone": "string", "city": "string"}


class _Stage:
    """The world of one scenario; `swap` has its sides swapped."""

    def __init__(self, scenario: Scenario, folder: Path, *, swap: bool) -> None:
        self.scenario, self.swap = scenario, swap
        at = {side: OTHER[side] if swap else side for side in SIDES}
        self.edited_meanwhile = False
        """Someone edits a record while the next run is at it, so that it can't do what its plan says."""
        self._label = {engine: side for side, engine in at.items()}
        """What the scenario calls a side of the engine."""
        self.vendors: dict[str, _Vendor] = {}
        """By side, as the scenario calls it."""
        self.declared = {**base(), **scenario.integration}
        named = {"left": "leads", "right": "members"}
        for side, engine in at.items():
            fields = {**_FIELDS, **scenario.fields.get(side, {})}
            self.vendors[side] = _Vendor(named[engine], _LETTERS[side][0], fields, scenario.vendors.get(side, {}))
        others: dict[str, Any] = {}
        self.companies: dict[str, _Vendor] = {}
        if scenario.companies:
            for side in SIDES:
                self.companies[side] = _Vendor(f"companies-{side}", _LETTERS[side][1], {"name": "string"}, {})
            others["companies"] = {
                **base(), "from": "crm.companies-left", "to": "mail.companies-right", "match": {"name": "name"}, "map": {"name": "name"},
            }  # fmt: skip
        self.world = World(
            folder, self.vendors[self._label["left"]], self.vendors[self._label["right"]], *self._companies("left"),
            beside=self._companies("right"), integrations=others, **self._integration(),
        )  # fmt: skip
        for side in SIDES:
            for id, record in scenario.records[side].items():
                self.vendors[side].add(id=id, **record)
            for id, record in scenario.companies.get(side, {}).items():
                self.companies[side].add(id=id, **record)

    def _companies(self, side: str) -> list[Collection]:
        return [self.companies[side]] if self.companies else []

    def _integration(self) -> dict[str, Any]:
        declared: dict[str, Any] | None = self.declared
        if self.swap:
            declared = swapped(self.declared)
            assert declared is not None
        assert declared is not None
        return {**declared, "from": "crm.leads", "to": "mail.members"}

    def declare(self, **changes: Any) -> None:
        """Change the integration."""
        self.declared |= changes
        self.world.declare(**self._integration())

    def vendor(self, id: str) -> _Vendor:
        """Return where a record is."""
        side = "left" if id[0] in _LETTERS["left"] else "right"
        return self.companies[side] if id[0] in "ck" else self.vendors[side]

    def meanwhile(self, id: str, said: Mapping[str, Any]) -> None:
        """Let someone edit a record during the next run, just before a write to it leaves."""

        def passing(exchange: Exchange) -> None:
            if exchange.request.method in ("PATCH", "PUT", "DELETE") and exchange.request.url.endswith(f"/{id}"):
                self.world.network.passing = lambda exchange: None
                self.vendor(id).change(id, **said)

        self.world.network.passing = passing
        self.edited_meanwhile = True

    # -- what runs do

    def planned(self, name: str, wanted: Wanted) -> list[Line]:
        """Return what the plan says."""

        async def plan(tieline: Tieline) -> list[Line]:
            try:
                made = await tieline.plan(name, wanted)
            except TielineError as error:
                return [self._halted(str(error))]
            with made:
                lines = self.lines(made._db, name, made.outcome.run)
                return [*lines, *([self._halted("; ".join(map(str, made.outcome.brakes)))] if made.outcome.brakes else [])]

        with mock.patch("tieline.engine.runs.plan.Database", lambda path: SimulatedDatabase(path, self.world.clock)):
            return self.world.within(plan)

    def run(self, name: str, wanted: Wanted) -> list[Line]:
        """Run; return what was done."""
        outcome = self.world.run(name, **{field: getattr(wanted, field) for field in wanted.__struct_fields__})
        with self.world.store() as db:
            lines = self.lines(db, name, outcome.run)
        if outcome.state not in ("green", "attention"):
            lines.append(self._halted(outcome.error))
        return lines

    def refused(self) -> list[Line]:
        """Return what a system has refused."""
        with self.world.store() as db:
            return [
                self.letter(engine, letter)
                for engine, name in (("left", NAME), ("right", runs.back(NAME)))
                if (known := runs.state_of(db, name)) is not None
                for letter in outbox.open_of(db, known.id, ("held", "dead"))
                if letter.operation != "none"
            ]

    def _halted(self, why: object) -> Line:
        return Line(self._words(f"halt: {re.sub(r'^[a-z]+: ', '', str(why))}"), "halted")

    def lines(self, db: Database, name: str, run: int) -> list[Line]:
        """Return what a run decided, both ways."""
        found = []
        for engine, integration in (("left", name), ("right", runs.back(name))):
            known = runs.state_of(db, integration)
            for id, *_ in db.read(
                "SELECT id FROM delivery WHERE integration = ? AND run = ? ORDER BY id", (known.id if known else -1, run)
            ):
                _, delivery = outbox.get(db, id) or (0, None)
                assert delivery is not None
                found.append(self._line(engine, delivery))
        return sorted(found)

    def _line(self, engine: str, delivery: Delivery) -> Line:
        if delivery.operation == "none":
            return self.letter(engine, delivery)
        if delivery.operation == "create":
            there = OTHER[self._label[engine]]
            text = f"create on the {there}, from {delivery.source_id}: {_listed(delivery.fields)}"
        elif delivery.operation == "delete":
            text = f"delete {delivery.target_id}"
        else:
            before = decode_json(delivery.before) if delivery.before else {}
            fields = [_change(a, before, v) for a, v in delivery.fields.items() if before.get(a) != v]
            text = f"{delivery.target_id}: {', '.join(fields) or 'nothing'}"
        if delivery.why.get("kind") == "stale" and delivery.state == "superseded":
            text = f"{text}; {delivery.why['message']}"
        return Line(text, text)

    def letter(self, engine: str, delivery: Delivery) -> Line:
        """Return what is set aside."""
        why = delivery.why
        ids = [id for id in (why.get("left_id"), why.get("right_id")) if id] or [delivery.source_id]
        says = sorted((self._label[side], sorted(map(str, why[side].items()))) for side in SIDES if isinstance(why.get(side), dict))
        verb = "hold" if delivery.state == "held" else "park"
        return Line(self._words(f"{verb} {', '.join(sorted(ids))}: {why.get('message')}"), [verb, why.get("kind"), sorted(ids), says])

    def _words(self, text: str) -> str:
        for engine, place in _PLACES.items():
            text = text.replace(f"in {place}", f"on the {self._label[engine]}").replace(place, f"the {self._label[engine]}")
        return text

    # -- people

    def engine_side(self, label: str) -> str:
        """Return what the engine calls a side of the scenario."""
        return OTHER[label] if self.swap else label

    def letters(self, id: str) -> list[tuple[int, Delivery]]:
        """Return the open letters of a record."""
        with self.world.store() as db:
            return [
                (number, letter)
                for name in (NAME, runs.back(NAME))
                if (known := runs.state_of(db, name)) is not None
                for number in (known.id,)
                for letter in outbox.open_of(db, number, ("held", "dead"))
                if id in (letter.source_id, letter.why.get("left_id"), letter.why.get("right_id"))
            ]

    def rule(self, id: str, said: str) -> tuple[int, ...]:
        """Write a person's ruling into the letters of a record, and return their numbers."""
        found = self.letters(id)
        assert found, f"nothing is held of {id}"
        said = self.engine_side(said) if said in SIDES else said
        with self.world.store() as db:
            conflicts.say(db, found, {"ruling": said}, "as the scenario says", now=self.world.clock.now())
        return tuple(letter.id for _, letter in found)


def _told(value: Any) -> str:
    return "empty" if value in (None, "", []) else encode_json(value).decode()


def _change(address: str, before: Mapping[str, Any], value: Any) -> str:
    return f"{address} {_told(before[address])} -> {_told(value)}" if address in before else f"{address} -> {_told(value)}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{address} {_told(value)}" for address, value in values.items())


# -- playing


def play(scenario: Scenario, folder: Path, *, swap: bool = False) -> Played:
    """Play a scenario to its end: until runs have nothing to do any more."""
    stage = _Stage(scenario, folder, swap=swap)
    steps = [step for edit in scenario.edits for step in _step(stage, edit)]
    for _ in range(6):
        names = (NAME, *(("companies",) if stage.companies else ()))
        written = [lines for name in names if (lines := stage.run(name, Wanted()))]
        if not written:
            break
        steps += [Step("run", lines) for lines in written]
    else:
        raise AssertionError(f"{scenario.name} does not come to rest: {[line.text for line in steps[-1].lines or ()]}")
    assert [] == [line.text for line in stage.planned(NAME, Wanted())], "a plan after the end"
    opens = _open(stage)
    return Played(steps, _end(stage, opens), opens)


def _told_step(edit: Any) -> str:
    return str(edit) if not isinstance(edit, Mapping) else "".join(f"{verb}: {_flow(said)}" for verb, said in edit.items())


def _step(stage: _Stage, edit: Any) -> Iterator[Step]:
    verb, said = next(iter(edit.items())) if isinstance(edit, Mapping) else (edit, None)
    words, told = str(verb).split(), _told_step(edit)
    wanted, name = Wanted(), NAME
    match words:
        case ["run"]:
            wanted = Wanted(**(said or {}))
        case ["run", "companies"]:
            name = "companies"
        case ["undo"]:
            with stage.world.store() as db:
                known = runs.state_of(db, NAME)
                assert known is not None
                back = said or 1
                wanted = Wanted(undo=runs.latest(db, known.id, back)[back - 1].id)
        case ["resolve", id, side]:
            wanted = Wanted(redrive=stage.rule(id, side))
        case ["create" | "ignore" as ruling, id]:
            wanted = Wanted(redrive=stage.rule(id, ruling))
        case ["repair"]:
            _repair(stage)
            wanted = Wanted(full=True, remake=True, **(said or {}))
        case ["wait", seconds]:
            stage.world.clock.elapsed_seconds += float(seconds.removesuffix("s"))
            return (yield Step(told, None))
        case ["delete", id]:
            stage.vendor(id).remove(id)
            return (yield Step(told, None))
        case ["merge", id]:
            stage.vendor(id).merge(id, said["into"])
            return (yield Step(told, None))
        case ["new", id]:
            stage.vendor(id).add(id=id, **said)
            return (yield Step(told, None))
        case ["webhook"] | ["forged", "webhook"]:
            _tell(stage, said, forged=words[0] == "forged")
            return (yield Step(told, None))
        case [("left" | "right") as side, "shows", what]:
            stage.vendors[side].hidden = what == "nothing"
            return (yield Step(told, None))
        case [("left" | "right") as side, "omits", field]:
            stage.vendors[side].omitted.add(field)
            return (yield Step(told, None))
        case [("left" | "right") as side, ("ignores" | "takes") as what, field]:
            (stage.vendors[side].ignored.add if what == "ignores" else stage.vendors[side].ignored.discard)(field)
            stage.vendors[side].rewrites.pop(field, None)
            return (yield Step(told, None))
        case [("left" | "right") as side, what, field] if what in HABITS:
            stage.vendors[side].rewrites[field] = what
            return (yield Step(told, None))
        case ["meanwhile", id]:
            stage.meanwhile(id, said)
            return (yield Step(told, None))
        case ["unlink", id]:
            _unlink(stage, id)
            return (yield Step(told, None))
        case ["integration"]:
            stage.declare(**said)
            return (yield Step(told, None))
        case [id] if isinstance(said, Mapping):
            stage.vendor(id).change(id, **said)
            return (yield Step(told, None))
        case _:
            raise AssertionError(f"{stage.scenario.name}: no one knows what {edit!r} means")
    planned = stage.planned(name, wanted) if not wanted.redrive else None
    refused = [line.text for line in stage.refused()]
    done = stage.run(name, wanted)
    if stage.edited_meanwhile:
        planned, stage.edited_meanwhile = None, False
    if planned is not None and not any(line.key == "halted" for line in planned):
        assert [line.text for line in planned] == [line.text for line in done], (
            f"{stage.scenario.name}: {told} does not do what its plan said"
        )
    refusals = [line for line in stage.refused() if line.text not in refused]
    yield Step(told, [*(planned if planned is not None else done), *refusals])


def _tell(stage: _Stage, said: Mapping[str, Any], *, forged: bool) -> None:
    """Have a system tell of records by webhooks: `{deleted: l1}`, `{changed: [l1, l2]}`, `{merged: l1, into: l2}`."""
    kind, ids = next(iter(said.items()))
    for id in [ids] if isinstance(ids, str) else ids:
        with contextlib.suppress(Unverified) if forged else contextlib.nullcontext():
            stage.world.webhook(stage.vendor(id).name, kind, id, into=said.get("into"), forged=forged)
            assert not forged, "a forged webhook was taken"


def _repair(stage: _Stage) -> None:
    from tieline.engine.verify.pairs import apart, meet_anew

    async def verify(tieline: Tieline) -> list[str]:
        with await tieline.verify(NAME) as verification:
            return list(apart(verification))

    found = stage.world.within(verify)
    with stage.world.store() as db:
        meet_anew(db, NAME, found, stage.world.clock.now())


def _unlink(stage: _Stage, id: str) -> None:
    with stage.world.store() as db:
        known = runs.state_of(db, NAME)
        assert known is not None
        number = known.id
        pair = next(pair for pair in pairs.every(db, number) if id in (pair.left_id, pair.right_id))
        db.write(lambda connection: pairs.part(connection, number, pair))


def _open(stage: _Stage) -> list[Line]:
    with stage.world.store() as db:
        return sorted(
            stage.letter(engine, letter)
            for engine, name in (("left", NAME), ("right", runs.back(NAME)))
            if (known := runs.state_of(db, name)) is not None
            for letter in outbox.open_of(db, known.id)
        )


def _end(stage: _Stage, opens: list[Line]) -> dict[str, Any]:
    end: dict[str, Any] = {side: _records(stage.vendors[side]) for side in SIDES}
    if stage.companies:
        end["companies"] = {side: _records(stage.companies[side]) for side in SIDES}
    end["open"] = [line.text for line in opens]
    with stage.world.store() as db:
        lost, left = _lost(stage, db), _not_put_back(db)
    end["overwritten"], end["not put back"] = lost, left

    async def verify(tieline: Tieline) -> dict[str, int]:
        with await tieline.verify(NAME) as verification:
            result = verification.verified
            why = result.why
            if stage.swap:
                words = {"missing": "left over", "left over": "missing"}
                why = {f"{words.get(kind, kind)}:{reason}": n for word, n in why.items() for kind, _, reason in (word.partition(":"),)}
            plain = result.in_sync - result.kept - result.respelled
            return {"in sync": plain, "in another spelling": result.respelled, "kept apart": result.kept, **dict(sorted(why.items()))}

    end["verify"] = {word: number for word, number in stage.world.within(verify).items() if number}
    return {key: value for key, value in end.items() if value or key in SIDES}


def _records(vendor: Collection) -> dict[str, Record]:
    return {str(r["id"]): {k: v for k, v in r.items() if k != "id"} for r in sorted(vendor.records, key=lambda r: str(r["id"]))}


def _lost(stage: _Stage, db: Database) -> list[str]:
    rows = db.read("SELECT source_id, detail FROM event WHERE kind = 'conflict decided' ORDER BY id")
    return sorted(f"{id}: {_listed(decode_json(detail.encode())['lost'])}" for id, detail in rows)


def _not_put_back(db: Database) -> list[str]:
    rows = db.read("SELECT at, integration, run, source_id, kind, detail FROM event WHERE kind = ? ORDER BY id", (LEFT_ALONE,))
    return sorted(f"{one['target_id']}: {one['why']}" for one in left_alone([journal.Event(*row) for row in rows]))


# -- telling


def _flow(value: Any) -> str:
    return (
        str(yaml.safe_dump(_plain(value), default_flow_style=True, sort_keys=False, width=10_000, allow_unicode=True))
        .removesuffix("...\n")
        .strip()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value


def told_plan(played: Played) -> str:
    """Return `plan.txt`: what each run would do, before it did."""
    told = []
    for number, step in enumerate([step for step in played.steps if step.lines is not None], 1):
        lines = [f"  {line.text}" for line in step.lines or ()] or ["  nothing"]
        told.append("\n".join([f"{number}. {step.told}", *lines]))
    return "\n".join(told) + "\n"


def told_end(played: Played) -> str:
    """Return `end.yaml`."""
    lines = []
    for key, value in played.end.items():
        if key == "verify":
            lines.append(f"verify: {_flow(value)}")
        elif isinstance(value, Mapping):
            lines += [f"{key}:" if value else f"{key}: {{}}", *(f"  {id}: {_flow(record)}" for id, record in value.items())]
        else:
            lines += [f"{key}:", *(f"- {_flow(one)}" for one in value)]
    return "\n".join(lines) + "\n"


def has_mirror(scenario: Scenario) -> bool:
    """Whether a scenario can be played with its sides swapped."""
    return not scenario.companies and swapped({**base(), **scenario.integration}) is not None


# -- the page

GROUPS: Final = {
    "meeting": "When both sides meet",
    "change": "Edits",
    "conflict": "Conflicts",
    "empty": "Emptied fields",
    "mapping": "Fields that differ",
    "vendor": "Systems with habits",
    "delete": "Deletions",
    "race": "Edits while a run writes",
    "webhook": "Webhooks",
    "undo": "Undoing a run",
    "person": "By hand",
}
"""What scenarios are about, by how their names begin."""


def told_page(scenarios: list[Scenario]) -> str:
    """Return the page, made of the scenarios' files."""
    common = "\n".join(f"    {line}" for line in (FOLDER / BASE).read_text("utf-8").strip().splitlines())
    told = [_PAGE.format(number=len(scenarios), mirrored=sum(map(has_mirror, scenarios)), common=common).strip()]
    for beginning, group in GROUPS.items():
        told.append(f"## {group}")
        for scenario in scenarios:
            if scenario.name.startswith(f"{beginning}-"):
                title = scenario.name.removeprefix(f"{beginning}-").replace("-", " ").capitalize()
                link = f"../examples/two-way/{scenario.name}"
                told.append(f"### {title}\n\n{scenario.about} ([files]({link}))\n\n```text\n{_story(scenario)}\n```")
    return "\n\n".join(told) + "\n"


def _story(scenario: Scenario) -> str:
    end = yaml.safe_load((scenario.folder / "end.yaml").read_text("utf-8"))
    rows = [("with", f"{key}: {_flow(value)}") for key, value in scenario.integration.items()]
    for side, habits in scenario.vendors.items():
        rows += [(side, f"{habit} {field}" if habit in HABITS else _habit(field, habit)) for field, habit in habits.items()]
    for side in SIDES:
        rows += [(side, f"{id} {_flow(record)}") for id, record in scenario.records[side].items()]
        rows += [(side, f"{id} {_flow(record)}") for id, record in scenario.companies.get(side, {}).items()]
    planned = [
        block.splitlines() for block in re.split(r"^\d+\. ", (scenario.folder / "plan.txt").read_text("utf-8"), flags=re.MULTILINE)[1:]
    ]
    for edit in scenario.edits:
        told = _told_step(edit)
        rows += _run(planned.pop(0)) if planned and planned[0][0] == told else [("edit", told)]
    rows += [row for block in planned for row in _run(block)]
    for side in SIDES:
        was, now = scenario.records[side], end[side] or {}
        rows += [("end", f"{id} {_flow(now[id])}") for id in sorted(now) if was.get(id) != now[id]]
        rows += [("end", f"{id} is gone") for id in was if id not in now]
    rows += [(key, text) for key in ("overwritten", "not put back") for text in end.get(key, ())]
    rows += [("open", text.partition(":")[0]) for text in end.get("open", ())]
    rows.append(("verify", ", ".join(f"{word}: {number}" for word, number in end.get("verify", {}).items()) or "nothing is left"))
    width = max(len(word) for word, _ in rows if len(word) < _WIDE) + 2
    return "\n".join(f"{word:<{width}}{'' if len(word) < width else '  '}{text}".rstrip() for word, text in rows)


def _run(block: list[str]) -> list[tuple[str, str]]:
    return [(block[0] if number == 0 else "", line.strip().replace("nothing", "nothing to do")) for number, line in enumerate(block[1:])]


def _habit(name: str, value: Any) -> str:
    return name if value is True else f"{name} {_flow(value)}"


_PAGE = """
# Two-way: {number} scenarios

What happens when people and systems on both sides do what they do. Each was played against two systems, and is played again by the tests:
every run has to do what its plan said, and when no one edits anything any more, nothing more is written. {mirrored} of them are also played
with left and right swapped, and must end as their mirror image does.

`edit` is what people do; `run` is followed by what its plan says: `r1: name "Ann" -> "Anna"` writes to the record r1, `hold` waits for a
person ([conflicts](two-way.md)), `park` is a dead letter, `halt` a brake. `end` shows the records that are not as they were at first;
`overwritten` what the history keeps of edits that lost; `verify` what `tieline verify` says of all records then. The left is the CRM, with
l1, l2 …; the right a mailing list, with r1, r2 …. They share this integration, and each says under `with` what it has instead:

{common}
"""

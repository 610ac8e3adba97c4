"""What a two-way integration does about one pair: which fields go which way, what is held, what a deletion means.

`reconcile` is pure. Left and right are the two sides; swapping them mirrors every decision. A side has changed when it differs
from its own shadow, and only then; times order two edits, they never prove one. What we wrote and a vendor respelled is no
change (`rewriting`); what we wrote and has not shown yet is taken to be there. No edit is overwritten without an outcome that
keeps what it said.

Values are in each side's own spelling; the caller maps (`made`), writes, and remembers what a decision says to remember.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgspec

from tieline.model.lists import ListChange, change, entries, within, without
from tieline.model.records import ABSENT, Values, encode_json
from tieline.sync.decide import same
from tieline.sync.rewriting import is_rewriting

Policy: TypeAlias = Literal["left", "right", "newest", "fill_empty", "never", "union", "hold"]
Gone: TypeAlias = Literal["ignore", "unlink", "delete", "archive", "remake"]
"""What the deletion of a record leads to. `remake` makes it again: no one declares that, it is what a repair does."""
Edited: TypeAlias = Literal["hold", "delete", "keep"]
Way: TypeAlias = Literal["left", "right"]
Kind: TypeAlias = Literal["to_right", "to_left", "agreed", "kept", "held", "bounced"]
Deletion: TypeAlias = Literal[
    "",
    "delete_left",
    "delete_right",
    "archive_left",
    "archive_right",
    "unlink",
    "ignore",
    "held",
    "both_gone",
    "remake_left",
    "remake_right",
]


class Strand(msgspec.Struct, frozen=True):
    """Addresses of both sides that hang together, usually one each: they are decided together."""

    name: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    forward: bool = True
    """Whether it runs from left to right; otherwise the left's own changes are left alone."""
    back: bool = True
    """Whether it runs from right to left."""
    policy: Policy = "hold"
    """Which side wins when both have changed to different things."""
    key: Callable[[Any], Any] | None = None
    """Of a field that records are matched by: the form in which all spellings of one key are the same."""


class Side(msgspec.Struct, frozen=True):
    """What is known of one side of a pair."""

    now: Values | None
    """What it says, if it was read since we last wrote to it; a field that it does not show is left out. None: the record is gone."""
    shadow: Values | None
    """What it said when both last agreed. None: they never met."""
    made: Values
    """What the mapping makes of what stands on the other side, in this side's spelling."""
    sent: Values = {}
    """What was written to it and has not been seen there since."""
    unsettled: frozenset[str] = frozenset()
    """Strands of which a change of this side was decided before and has not arrived: they count as changed here."""
    at: float | None = None
    """When the record last changed, in seconds, as the system tells."""
    normal: Values = {}
    """What stands here in the mapping's normal form: as it would come back from the other side."""
    doubted: bool = False
    """It is not there, and was never shown since we made it: whether it was deleted, no one knows."""


class Terms(msgspec.Struct, frozen=True):
    """What the integration says about all its pairs."""

    strands: tuple[Strand, ...]
    skew: float = 0.0
    """How many seconds the two systems' clocks may be apart: edits that are closer than that have no order."""
    left_gone: Gone = "ignore"
    """What a deletion on the left does on the right."""
    right_gone: Gone = "ignore"
    edited: Edited = "hold"
    """What follows when one side was deleted, and the other edited since."""
    most_rounds: int = 3
    """How often a strand may come back different from what was written before it is held."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of a change. A union that goes both ways has one outcome each way."""

    strand: str
    kind: Kind
    lost: Values | None = None
    """What the side said whose change was overwritten, or deleted with its record."""
    why: str = ""


class Decision(msgspec.Struct, frozen=True):
    """What to write, and what to remember once it is decided."""

    write_left: Values
    write_right: Values
    left_shadow: Values | None
    right_shadow: Values | None
    left_sent: Values
    """What is still unseen there of what was written before; the caller adds what it writes."""
    right_sent: Values
    outcomes: list[Outcome]
    rounds: dict[str, int]
    """How often each strand came back different; strands that never did are left out."""
    deletion: Deletion = ""
    """What to do about a record that is gone; to remake it, the caller writes all of `made`."""
    clears_left: tuple[str, ...] = ()
    """Addresses on the left at which a value stands that is about to be emptied."""
    clears_right: tuple[str, ...] = ()


class _Seen(NamedTuple):
    """A side, compared with its own shadow and with what was sent to it."""

    way: Way
    side: Side
    before: Values
    shadow: Values
    says: Values
    """What stands there: what was sent and not seen yet, else what it shows, else what it said before."""
    unseen: Values
    moved: frozenset[str]
    """Addresses that someone else has changed."""
    settled: frozenset[str]
    """Addresses at which our own write has been seen."""
    returned: frozenset[str]
    """Addresses that were written and came back as something else."""


class _End(NamedTuple):
    """One end of a strand: a side, and the strand's addresses there."""

    seen: _Seen
    addresses: tuple[str, ...]
    goes: bool
    """Whether its changes go to the other end."""
    changed: bool = False

    @property
    def way(self) -> Way:
        return self.seen.way

    @property
    def values(self) -> Values:
        return _pick(self.seen.says, self.addresses)

    @property
    def empty(self) -> bool:
        return _all_empty(self.seen.says, self.addresses)

    @property
    def known(self) -> bool:
        return any(address in self.seen.before or address in self.seen.side.sent for address in self.addresses)

    @property
    def valued(self) -> bool:
        """Whether there was a value here when both last agreed, or it was written since."""
        return not _all_empty({**self.seen.before, **self.seen.side.sent}, self.addresses)

    @property
    def made(self) -> Values:
        """What the other side's record would say here."""
        return _pick(self.seen.side.made, self.addresses)

    @property
    def lacks(self) -> Values:
        """What of it does not stand here already, in one spelling or another."""
        says, normal = self.seen.says, self.seen.side.normal
        return {
            address: value
            for address, value in self.made.items()
            if not _agree(value, says.get(address, ABSENT)) and not (address in normal and _agree(value, normal[address]))
        }

    @property
    def says_what_it_said(self) -> bool:
        """Whether all that was written to it shows as if it had not been."""
        says, before = self.seen.says, self.seen.before
        return all(_alike(says.get(one), before.get(one, ABSENT)) for one in self.addresses if one in self.seen.returned)

    def touches(self, addresses: frozenset[str]) -> bool:
        return not addresses.isdisjoint(self.addresses)


class _Move(NamedTuple):
    """What to do about one strand, and how often it has come back by now."""

    rounds: int
    outcomes: tuple[Outcome, ...] = ()
    writes: Mapping[Way, Values] = {}


class _Verdict(NamedTuple):
    """The ends that win, or why none does."""

    winners: tuple[_End, ...] = ()
    kind: Kind = "held"
    why: str = ""


_NONE: Final[frozenset[str]] = frozenset()
NEVER_SEEN: Final = "it was never shown since we made it"
"""Why nothing follows from a record's absence before a person says what became of it."""
APART: Final = "each side keeps what it has"
"""Why nothing is written in a strand in which both sides say different things, and are to."""
_KEPT: Final = _Verdict((), "kept", APART)
_TO: Final[Mapping[Way, Kind]] = {"left": "to_left", "right": "to_right"}
_DELETE: Final[Mapping[Way, Deletion]] = {"left": "delete_left", "right": "delete_right"}
_ARCHIVE: Final[Mapping[Way, Deletion]] = {"left": "archive_left", "right": "archive_right"}
_REMAKE: Final[Mapping[Way, Deletion]] = {"left": "remake_left", "right": "remake_right"}
_BOTH: Final = "both sides have changed"
_SHOWN: Final = 40
"""How many characters of a value a reason shows."""


def reconcile(
    left: Side,
    right: Side,
    terms: Terms,
    rounds: Mapping[str, int] = {},
    rulings: Mapping[str, Way] = {},
    *,
    apart: AbstractSet[str] = _NONE,
    mapped_anew: bool = False,
) -> Decision:
    """Decide about a pair. `rulings` are a person's decisions: in these strands that side wins, if anything has changed.

    `apart` are the strands in which both sides were let differ: what one says there was someone's word, however long ago.

    `mapped_anew`: what both agreed on, they agreed on by another mapping. Where neither has changed and they differ by this one, they meet
    again; an edit is one all the same.

    A record whose counterpart never was is no pair: `ValueError`.
    """
    here, there = _look("left", left), _look("right", right)
    if left.now is None or right.now is None:
        deletion, outcomes = _without(here, there, terms)
        return Decision({}, {}, here.shadow, there.shadow, here.unseen, there.unseen, outcomes, dict(rounds), deletion)
    moves = {
        strand.name: _strand(strand, here, there, terms, rounds.get(strand.name, 0), rulings.get(strand.name), mapped_anew, apart)
        for strand in terms.strands
    }
    writes: dict[Way, Values] = {"left": {}, "right": {}}
    for move in moves.values():
        for way, values in move.writes.items():
            writes[way].update(values)
    return Decision(
        write_left=writes["left"],
        write_right=writes["right"],
        left_shadow=here.shadow,
        right_shadow=there.shadow,
        left_sent=here.unseen,
        right_sent=there.unseen,
        outcomes=[outcome for move in moves.values() for outcome in move.outcomes],
        rounds={name: move.rounds for name, move in moves.items() if move.rounds},
        clears_left=_clears(here, writes["left"]),
        clears_right=_clears(there, writes["right"]),
    )


def standing(now: Values, shadow: Values, sent: Values) -> Values:
    """Return what stands on a side as far as can be told; the mapping is given this, so that `made` knows our own writes."""
    return {**shadow, **_unseen(now, sent), **now}


def _unseen(now: Values, sent: Values) -> Values:
    return {address: value for address, value in sent.items() if address not in now}


def differing(left: Side, right: Side, terms: Terms) -> list[Strand]:
    """Return the strands in which two sides do not say the same, whoever said what before."""
    here, there = _look("left", left), _look("right", right)
    found = []
    for strand in terms.strands:
        one, other = _End(here, strand.left, strand.forward), _End(there, strand.right, strand.back)
        both_ways = strand.forward and strand.back
        if not (_mean_the_same(strand, one, other) if both_ways else not (other if strand.forward else one).lacks):
            found.append(strand)
    return found


def _look(way: Way, side: Side) -> _Seen:
    now, before, sent = side.now or {}, side.shadow or {}, side.sent
    settled = frozenset(address for address in now.keys() & sent.keys() if is_rewriting(sent[address], now[address])) if sent else _NONE
    # What was written and shows the old value was set back, or never taken: the caller shows no version from before the write.
    moved = frozenset(
        address
        for address, value in now.items()
        if address not in settled and (address in sent or not _alike(value, before.get(address, ABSENT)))
    )
    says = standing(now, before, sent)
    return _Seen(way, side, before, {**before, **now}, says, _unseen(now, sent), moved, settled, moved & sent.keys())


def _strand(
    strand: Strand,
    here: _Seen,
    there: _Seen,
    terms: Terms,
    rounds: int,
    ruling: Way | None,
    mapped_anew: bool,
    let_differ: AbstractSet[str],
) -> _Move:
    if not rounds and _say_exactly_the_same(strand, here, there):
        # Whatever has changed, and whoever would win: there is nothing to write. Most strands of most pairs end here.
        quiet = here.moved.isdisjoint(strand.left) and there.moved.isdisjoint(strand.right)
        return _Move(0) if quiet else _Move(0, (Outcome(strand.name, "agreed"),))
    left, right = _ends(strand, here, there)
    apart = mapped_anew and not left.changed and not right.changed and not _mean_the_same(strand, left, right)
    if apart:
        left, right = left._replace(changed=not left.empty), right._replace(changed=not right.empty)
    returned = any(end.touches(end.seen.returned) for end in (left, right))
    if not returned and any(end.touches(end.seen.settled) for end in (left, right)):
        rounds = 0
    if rounds >= terms.most_rounds:
        # What would not take a value has not emptied it: its emptiness is no answer to what someone has written over there since.
        left, right = _unless_untaken(left), _unless_untaken(right)
    if not left.changed and not right.changed:
        return _Move(rounds)
    if left.changed and right.changed and _mean_the_same(strand, left, right):
        return _Move(rounds, (Outcome(strand.name, "agreed"),))
    if ruling is not None:
        return _carry(strand, _Verdict((left if ruling == "left" else right,)), left, right, let_differ)
    waits = any(strand.name in end.seen.side.unsettled for end in (left, right))
    if rounds >= terms.most_rounds and waits and not any(end.touches(end.seen.moved) for end in (left, right)):
        return _Move(rounds, (Outcome(strand.name, "bounced", why=_spellings((left, right))),))
    verdict = _judge(strand.policy, left, right, terms.skew)
    edited = any(end.touches(end.seen.moved) for end in (left, right))
    if strand.policy == "newest" and not edited and all(strand.name in end.seen.side.unsettled for end in (left, right)):
        # Another field's edit makes a record newer, and says nothing about this one, which a person was to decide.
        verdict = _Verdict(why=f"{_BOTH}, and no one has edited it since")
    if apart:
        verdict = verdict._replace(why=verdict.why.replace(_BOTH, "they differ since the mapping has changed"))
    move = _carry(strand, verdict, left, right, let_differ)
    if not move.writes or not any(end.touches(end.seen.returned) for end in verdict.winners):
        return move._replace(rounds=rounds)
    # What says what it said before was most likely never taken: it must not overwrite where it came from.
    untaken = any(end.says_what_it_said for end in verdict.winners)
    rounds = terms.most_rounds if untaken else rounds + 1
    if rounds < terms.most_rounds:
        return move._replace(rounds=rounds)
    return _Move(rounds, (Outcome(strand.name, "bounced", why=_spellings(verdict.winners)),))


def _say_exactly_the_same(strand: Strand, here: _Seen, there: _Seen) -> bool:
    """Whether each side says in every field, letter for letter, what the mapping makes of the other."""
    for seen, addresses in ((here, strand.left), (there, strand.right)):
        made, says = seen.side.made, seen.says
        for address in addresses:
            if address not in made or address not in says or not same(made[address], says[address]):
                return False
    return True


def _unless_untaken(end: _End) -> _End:
    return end._replace(changed=end.changed and not (end.empty and not end.touches(end.seen.moved)))


def _ends(strand: Strand, here: _Seen, there: _Seen) -> tuple[_End, _End]:
    left, right = _End(here, strand.left, strand.forward), _End(there, strand.right, strand.back)
    if not _met(left, right):
        return left._replace(changed=not left.empty), right._replace(changed=not right.empty)
    return (
        left._replace(changed=_has_changed(strand.name, left, right)),
        right._replace(changed=_has_changed(strand.name, right, left)),
    )


def _met(left: _End, right: _End) -> bool:
    return left.known and right.known


def _has_changed(name: str, end: _End, other: _End) -> bool:
    if name in end.seen.side.unsettled:
        return True
    if not end.touches(end.seen.moved):
        return False
    # Emptiness beside a value clears it only if both had one: this end has moved, so it had; the other may have got its own since.
    cleared = end.empty and not other.empty
    return not cleared or other.valued


def _say_the_same(left: _End, right: _End) -> bool:
    return (left.empty and right.empty) or any(end.made and not end.lacks for end in (left, right))


def _mean_the_same(strand: Strand, left: _End, right: _End) -> bool:
    if _say_the_same(left, right):
        return True
    if strand.policy == "union" and _is_list(left) and _is_list(right):
        return not any(without(end.made[end.addresses[0]], end.seen.says[end.addresses[0]]) for end in (left, right))
    if strand.key is None or not right.made:
        return False
    return all((key := strand.key(made)) is not None and key == strand.key(right.seen.says.get(a)) for a, made in right.made.items())


def _judge(policy: Policy, left: _End, right: _End, skew: float) -> _Verdict:
    """Return who wins: whoever alone has changed, whoever alone may, and else whom the policy names."""
    if left.changed != right.changed:
        return _KEPT if policy == "never" and not _met(left, right) else _Verdict((left if left.changed else right,))
    if left.goes != right.goes:
        return _Verdict((left if left.goes else right,))
    if not left.goes:
        return _KEPT
    match policy:
        case "left":
            return _Verdict((left,))
        case "right":
            return _Verdict((right,))
        case "never":
            return _KEPT
        case "fill_empty":
            return _Verdict((right if left.empty else left,)) if left.empty != right.empty else _KEPT
        case "newest":
            return _newest(left, right, skew)
        case "union":
            both = all(_is_list(end) for end in (left, right))
            return _Verdict((left, right)) if both else _Verdict(why=f"{_BOTH}, and are not both lists")
    return _Verdict(why=_BOTH)


def _newest(left: _End, right: _End, skew: float) -> _Verdict:
    one, other = left.seen.side.at, right.seen.side.at
    if one is None or other is None:
        return _Verdict(why=f"{_BOTH}, and it is not known when")
    if abs(one - other) <= skew:
        return _Verdict(why=f"{_BOTH}, {abs(one - other):g} seconds apart: no one can tell which is the newest")
    return _Verdict((left if one > other else right,))


def _carry(strand: Strand, verdict: _Verdict, left: _End, right: _End, let_differ: AbstractSet[str]) -> _Move:
    """Return what brings the winners' values to the other ends."""
    if not verdict.winners:
        return _Move(0, (Outcome(strand.name, verdict.kind, why=verdict.why),))
    writes: dict[Way, Values] = {}
    outcomes: list[Outcome] = []
    takes_out = len(verdict.winners) == 2 and strand.name not in let_differ and _know_what_was_taken_out(strand, left, right)
    for winner in verdict.winners:
        loser = right if winner is left else left
        if not winner.goes:
            return _Move(0, (Outcome(strand.name, "kept", why=f"what changes on the {winner.way} does not go to the {loser.way}"),))
        if len(verdict.winners) == 2:
            write = _united(loser, takes_out=takes_out)
            lost = loser.values if loser.changed and _takes_back(loser, write) else None
        else:
            write = loser.lacks
            lost = loser.values if loser.changed or (strand.name in let_differ and not loser.empty) else None
        if not _met(left, right):
            write = {address: value for address, value in write.items() if not _is_empty(value)}
        if write:
            writes[loser.way] = write
            outcomes.append(Outcome(strand.name, _TO[loser.way], lost))
    if outcomes:
        return _Move(0, tuple(outcomes), writes)
    ends = [right if winner is left else left for winner in verdict.winners]
    if not _met(left, right) and any(end.lacks for end in ends):
        return _Move(0, (Outcome(strand.name, "kept", why="a first meeting empties nothing"),))
    if (left.empty and right.empty) or all(end.made for end in ends):
        return _Move(0, (Outcome(strand.name, "agreed"),))
    return _Move(0, (Outcome(strand.name, "kept", why="the mapping makes nothing of it for the other side"),))


def _is_list(end: _End) -> bool:
    return len(end.addresses) == 1 and all(isinstance(values.get(end.addresses[0]), list) for values in (end.seen.says, end.made))


def _know_what_was_taken_out(strand: Strand, left: _End, right: _End) -> bool:
    """Whether it can be told what each side has taken out of its list since both agreed.

    It can't where something is on its way still, or came back as something else; nor where one side is without more than the other has
    taken out: then what both agreed on was not the same. Nothing is taken out then.
    """
    ends = (left, right)
    if not _met(left, right) or any(strand.name in end.seen.side.unsettled or end.touches(end.seen.returned) for end in ends):
        return False
    return all(len(_taken_out(one)) == len(_missing(other)) for one, other in (ends, ends[::-1]))


def _united(end: _End, *, takes_out: bool) -> Values:
    """Return its list with the change of the other side applied; nothing when that changes nothing."""
    (address,) = end.addresses
    says = end.seen.says[address]
    add = without(end.made[address], says)
    # What it took out itself is not given back to it.
    change_ = ListChange(without(add, _taken_out(end)), _missing(end)) if takes_out else ListChange(add, [])
    united = change_.of(says)
    return {address: united} if change_.add or len(united) != len(says) else {}


def _agreed(end: _End) -> list[Any]:
    """Return its list when both sides agreed, or as it was written since."""
    return entries({**end.seen.before, **end.seen.side.sent}.get(end.addresses[0]))


def _taken_out(end: _End) -> list[Any]:
    """Return what was in its list when both sides agreed, and is not any more."""
    return change(_agreed(end), end.seen.says[end.addresses[0]]).remove


def _missing(end: _End) -> list[Any]:
    """Return what was in its list when both sides agreed, and is not in the other's any more, in this side's spelling."""
    return change(_agreed(end), end.made[end.addresses[0]]).remove


def _takes_back(end: _End, write: Values) -> bool:
    """Whether a list gets entries again that someone has taken out of it."""
    return bool(within(_taken_out(end), write.get(end.addresses[0], ())))


def _spellings(ends: Iterable[_End]) -> str:
    told = [
        f"`{address}` was written as {_told(end.seen.side.sent.get(address, value))} and says {_told(end.seen.says.get(address))}"
        for end in ends
        if end.touches(end.seen.returned)
        for address, value in end.lacks.items()
    ]
    return "; ".join([*sorted(told), "nothing more is written until someone edits it or decides"])


def _told(value: Any) -> str:
    text = encode_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _without(left: _Seen, right: _Seen, terms: Terms) -> tuple[Deletion, list[Outcome]]:
    """Decide about a pair of which a side is gone; every edit of the other since has an outcome."""
    if left.side.now is None and right.side.now is None:
        return "both_gone", []
    gone, rest, then = (left, right, terms.left_gone) if left.side.now is None else (right, left, terms.right_gone)
    if gone.side.shadow is None and not gone.side.sent:
        raise ValueError(f"there never was a record on the {gone.way}: one record alone is no pair")
    ends = {strand.name: _End(rest, strand.left if rest is left else strand.right, goes=True) for strand in terms.strands}
    edited = {name: end for name, end in ends.items() if name in rest.side.unsettled or end.touches(rest.moved)}
    if gone.side.doubted and then != "ignore":
        return "held", [Outcome(strand.name, "held", why=NEVER_SEEN) for strand in terms.strands]
    why = f"the record on the {gone.way} was deleted"
    if then == "ignore" or then == "unlink":
        return then, [Outcome(name, "kept", why=why) for name in edited]
    if then == "remake":
        return _REMAKE[gone.way], [Outcome(name, _TO[gone.way], why=f"{why}, and is made again") for name in edited]
    if edited and terms.edited == "hold":
        return "held", [Outcome(name, "held", why=f"{why}, and this edited on the {rest.way} since") for name in edited]
    if edited and terms.edited == "keep":
        return _REMAKE[gone.way], [Outcome(name, _TO[gone.way], why=f"{why}, and is made again") for name in edited]
    return (_DELETE if then == "delete" else _ARCHIVE)[rest.way], [
        Outcome(name, _TO[rest.way], end.values, why) for name, end in edited.items()
    ]


def _clears(seen: _Seen, write: Values) -> tuple[str, ...]:
    return tuple(address for address, value in write.items() if _is_empty(value) and not _is_empty(seen.says.get(address)))


def _pick(values: Values, addresses: Iterable[str]) -> Values:
    return {address: values[address] for address in addresses if address in values}


def _is_empty(value: Any) -> bool:
    return value is None or value is ABSENT or value == "" or value == []


def _all_empty(values: Values, addresses: Iterable[str]) -> bool:
    return all(_is_empty(values.get(address)) for address in addresses)


def _alike(one: Any, other: Any) -> bool:
    return same(one, other) or (_is_empty(one) and _is_empty(other))


def _agree(made: Any, there: Any) -> bool:
    """Return whether both say the same, white space at the ends of a text aside."""
    return _alike(made, there) or (isinstance(made, str) and isinstance(there, str) and made.strip() == there.strip())

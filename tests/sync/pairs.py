"""Pairs made up for tests: a small mapping that runs both ways, and sides in every state that a vendor can leave them in."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from hypothesis import strategies as st

from tieline.model.records import Values
from tieline.sync.reconcile import Decision, Outcome, Side, Strand, Terms, Way, standing

POLICIES = ("left", "right", "newest", "fill_empty", "never", "union", "hold")
WORDS = ("ann", "bob", "cy")
NAME = Strand("name", ("first", "last"), ("full",))
"""`first` and `last` on the left are `full` on the right."""
TAGS = Strand("tags", ("tags",), ("labels",))
PHONE = Strand("phone", ("phone",), ("tel",))
LEFT, RIGHT = ("first", "last", "tags", "phone"), ("full", "labels", "tel")


def to_right(left: Values) -> Values:
    """The mapping: the right spells with a mark in front."""
    made: Values = {right: _marked(left[here]) for here, right in (("tags", "labels"), ("phone", "tel")) if here in left}
    if "first" in left or "last" in left:
        parts = left.get("first") or "", left.get("last") or ""
        made["full"] = "+".join(parts) if any(parts) else None
    return made


def to_left(right: Values) -> Values:
    """The same mapping backwards."""
    made: Values = {left: _unmarked(right[there]) for left, there in (("tags", "labels"), ("phone", "tel")) if there in right}
    if "full" in right:
        first, _, last = (right["full"] or "").partition("+")
        made |= {"first": first or None, "last": last or None}
    return made


def _marked(value: Any) -> Any:
    return [_marked(entry) for entry in value] if isinstance(value, list) else f"~{value}" if value else value


def _unmarked(value: Any) -> Any:
    return [_unmarked(entry) for entry in value] if isinstance(value, list) else value.removeprefix("~") if value else value


def pair(left: Side, right: Side) -> tuple[Side, Side]:
    """Return both sides with what the mapping makes of each other."""
    stand_left, stand_right = (standing(side.now or {}, side.shadow or {}, side.sent) for side in (left, right))
    return (
        msgspec.structs.replace(left, made=to_left(stand_right) if right.now is not None else {}),
        msgspec.structs.replace(right, made=to_right(stand_left) if left.now is not None else {}),
    )


def later(left: Side, right: Side, decision: Decision) -> tuple[Side, Side]:
    """Return the pair as it is once the decision's writes have arrived, and no one has touched either side since."""
    waits = frozenset(outcome.strand for outcome in decision.outcomes if outcome.kind in ("held", "bounced"))
    return pair(
        _written(left, decision.write_left, decision.left_shadow, decision.left_sent, waits),
        _written(right, decision.write_right, decision.right_shadow, decision.right_sent, waits),
    )


def _written(side: Side, write: Values, shadow: Values | None, sent: Values, waits: frozenset[str]) -> Side:
    now = {**(side.now or {}), **sent, **write}
    return Side(now, shadow, {}, sent={**sent, **write}, unsettled=waits, at=side.at)


_words = st.sampled_from(("", *WORDS))
_phone = st.none() | _words
_tags = st.none() | st.lists(st.sampled_from(WORDS), max_size=3, unique=True)
_full = st.none() | st.tuples(_words, _words).map("+".join).map(lambda text: text.strip("+") and text)
_left_fields = {"first": _phone, "last": _phone, "tags": _tags, "phone": _phone}
_right_fields = {"full": _full, "labels": _tags.map(_marked), "tel": _phone.map(_marked)}
_names = st.frozensets(st.sampled_from(["name", "tags", "phone"]))


def _sides(fields: dict[str, Any]) -> Any:
    shown = st.fixed_dictionaries(fields) | st.fixed_dictionaries({}, optional=fields)
    return st.builds(
        Side,
        now=shown,
        shadow=shown | st.none(),
        made=st.just({}),
        sent=st.just({}) | shown,
        unsettled=st.just(frozenset()) | _names,
        at=st.sampled_from([None, 1.0, 2.0, 3.0, 4.0]),
    )


lefts, rights = _sides(_left_fields), _sides(_right_fields)
_mostly = st.sampled_from([True, True, True, False])
_strand = {"forward": _mostly, "back": _mostly, "policy": st.sampled_from(POLICIES)}
strands = st.tuples(
    *(
        st.builds(Strand, name=st.just(each.name), left=st.just(each.left), right=st.just(each.right), **_strand)
        for each in (NAME, TAGS, PHONE)
    )
)
_gone = st.sampled_from(["ignore", "unlink", "delete", "archive", "remake"])
terms = st.builds(
    Terms,
    strands=strands,
    skew=st.sampled_from([0.0, 1.0]),
    left_gone=_gone,
    right_gone=_gone,
    edited=st.sampled_from(["hold", "delete", "keep"]),
    most_rounds=st.integers(1, 3),
)
rounds = st.dictionaries(st.sampled_from(["name", "tags", "phone"]), st.integers(1, 3))
rulings = st.dictionaries(st.sampled_from(["name", "tags", "phone"]), st.sampled_from(["left", "right"]), max_size=1)


def other(way: Way) -> Way:
    return "right" if way == "left" else "left"


def mirrored_terms(terms: Terms) -> Terms:
    return msgspec.structs.replace(
        terms,
        strands=tuple(
            Strand(
                each.name,
                each.right,
                each.left,
                each.back,
                each.forward,
                other(each.policy) if each.policy in ("left", "right") else each.policy,
            )
            for each in terms.strands
        ),
        left_gone=terms.right_gone,
        right_gone=terms.left_gone,
    )


def mirrored(decision: Decision) -> Decision:
    return Decision(
        write_left=decision.write_right,
        write_right=decision.write_left,
        left_shadow=decision.right_shadow,
        right_shadow=decision.left_shadow,
        left_sent=decision.right_sent,
        right_sent=decision.left_sent,
        outcomes=in_order(
            Outcome(each.strand, _swapped(each.kind), each.lost, _swapped(each.why))  # type: ignore[arg-type]
            for each in decision.outcomes
        ),
        rounds=decision.rounds,
        deletion=_swapped(decision.deletion),  # type: ignore[arg-type]
        clears_left=decision.clears_right,
        clears_right=decision.clears_left,
    )


def in_order(outcomes: Any) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: (outcome.strand, outcome.kind))


def _swapped(text: str) -> str:
    return re.sub(r"left|right", lambda found: "right" if found[0] == "left" else "left", text)

"""One pair of a two-way integration: whatever both sides say, and whatever they said before."""

from unittest import mock

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.sync.pairs import (
    NAME,
    PHONE,
    TAGS,
    in_order,
    later,
    lefts,
    mirrored,
    mirrored_terms,
    other,
    pair,
    rights,
    rounds,
    rulings,
    terms,
)

from tieline.sync import reconcile as module
from tieline.sync.reconcile import APART, Side, Terms, differing, reconcile, standing
from tieline.sync.rewriting import is_rewriting

ANN = {"phone": "ann"}, {"tel": "~ann"}
"""What both sides said when they last agreed."""


def decide(left, right, before=ANN, strand=PHONE, *, of_left=None, of_right=None, rounds=None, rulings=None, **about):
    """Decide about one strand of one pair; the right marks with `~` what the left says plainly."""
    was = before or (None, None)
    sides = pair(Side(left, was[0], {}, **of_left or {}), Side(right, was[1], {}, **of_right or {}))
    return reconcile(*sides, Terms((strand,), **about), rounds or {}, rulings or {})


def kinds(decision):
    return [outcome.kind for outcome in decision.outcomes]


def with_(strand, **changes):
    return msgspec.structs.replace(strand, **changes)


def test_a_change_goes_over_and_the_other_side_is_compared_with_itself_alone():
    decision = decide({"phone": "bob"}, {"tel": "~ann"})

    assert {"tel": "~bob"} == decision.write_right
    assert ({}, ()) == (decision.write_left, decision.clears_right)
    assert ({"phone": "bob"}, {"tel": "~ann"}) == (decision.left_shadow, decision.right_shadow)
    assert ["to_right"] == kinds(decision)
    assert ["to_right"] == kinds(decide({"phone": "bob"}, {"tel": "~ann"}, strand=with_(PHONE, policy="never")))


def test_a_change_goes_over_though_the_mapping_says_less_on_the_way_back():
    left, right = Side({"phone": "bob"}, {"phone": "ann"}, {"phone": "bob"}), Side({"tel": "~ann"}, {"tel": "~ann"}, {"tel": "~bob"})

    assert {"tel": "~bob"} == reconcile(left, right, Terms((PHONE,))).write_right


def test_a_pair_that_nobody_touched_is_left_alone():
    decision = decide(*ANN)

    assert ([], {}, {}) == (decision.outcomes, decision.write_left, decision.write_right)


def test_only_what_differs_is_written_of_fields_that_hang_together():
    before = {"full": "ann+bob"}, {"first": "ann", "last": "bob"}
    strand = with_(NAME, left=NAME.right, right=NAME.left)
    left, right = pair(Side(before[1] | {"last": "cy"}, before[1], {}), Side(before[0], before[0], {}))

    assert {"full": "ann+cy"} == reconcile(left, right, Terms((NAME,))).write_right
    assert {"last": "cy"} == reconcile(
        Side({"full": "ann+cy"}, before[0], {}), Side(before[1], before[1], {"first": "ann", "last": "cy"}), Terms((strand,))
    ).write_right


def test_our_own_write_as_the_vendor_spells_it_is_no_change():
    decision = decide(
        {"phone": "bob"}, {"tel": " ~BOB"}, ({"phone": "bob"}, {"tel": "~ann"}), of_right={"sent": {"tel": "~bob"}}, rounds={"phone": 2}
    )

    assert [] == decision.outcomes
    assert ({"tel": " ~BOB"}, {}, {}) == (decision.right_shadow, decision.right_sent, decision.rounds)


def test_our_write_that_shows_what_stood_there_before_overwrites_nothing_and_waits_for_a_person():
    """The vendor ignores the field, or someone has set it back at once: no one can tell."""
    before = {"phone": "bob"}, {"tel": "~ann"}
    untaken = decide({"phone": "bob"}, {"tel": "~ann"}, before, of_right={"sent": {"tel": "~bob"}})
    not_shown = decide({"phone": "bob"}, {}, before, of_right={"sent": {"tel": "~bob"}})

    assert ({}, {}, ["bounced"]) == (untaken.write_left, untaken.write_right, kinds(untaken))
    assert ([], {"tel": "~bob"}) == (not_shown.outcomes, not_shown.right_sent)


def test_an_edit_over_our_write_goes_home_until_it_has_bounced_often_enough():
    came_back = {"of_right": {"sent": {"tel": "~bob"}}}
    first = decide({"phone": "bob"}, {"tel": "~cy"}, ({"phone": "bob"}, {"tel": "~ann"}), **came_back)
    third = decide({"phone": "bob"}, {"tel": "~cy"}, ({"phone": "bob"}, {"tel": "~ann"}), **came_back, rounds={"phone": 2})

    assert ({"phone": "cy"}, {"phone": 1}, {}) == (first.write_left, first.rounds, first.right_sent)
    assert ({}, {"phone": 3}, ["bounced"]) == (third.write_left, third.rounds, kinds(third))
    assert '`tel` was written as "~bob" and says "~cy"; nothing more is written until someone edits it or decides' == third.outcomes[0].why


def test_a_vendor_that_ignores_what_is_filled_in_empties_nothing_on_the_other_side():
    before = {"phone": "bob"}, {"tel": None}
    decision = decide(*before, before, of_right={"sent": {"tel": "~bob"}})
    still = decide(
        *before, before, rounds=decision.rounds, of_left={"unsettled": frozenset({"phone"})}, of_right={"unsettled": frozenset({"phone"})}
    )

    assert (["bounced"], {}, {}) == (kinds(decision), decision.write_left, decision.write_right)
    assert (["bounced"], {}, {}) == (kinds(still), still.write_left, still.write_right)


def test_two_systems_that_rewrite_each_others_values_come_to_rest():
    left, right, rounds, writes = Side({"phone": "bob"}, ANN[0], {}), Side(ANN[1], ANN[1], {}), {}, []
    for _ in range(9):
        decision = reconcile(*pair(left, right), Terms((PHONE,)), rounds)
        rounds, at_left, at_right = decision.rounds, decision.write_left, decision.write_right
        writes += [*at_left.values(), *at_right.values()]
        left = Side(left.now | {at: f"{value}<" for at, value in at_left.items()}, decision.left_shadow, {}, decision.left_sent | at_left)
        right = Side(
            right.now | {at: f"{value}>" for at, value in at_right.items()}, decision.right_shadow, {}, decision.right_sent | at_right
        )
        if not at_left and not at_right:
            break

    assert ["~bob", "bob>", "~bob><"] == writes
    assert ["bounced"] == kinds(decision)


def test_what_bounced_stays_held_until_somebody_edits_or_rules():
    before = {"phone": "bob"}, {"tel": "~" + 50 * "c"}
    held = {"of_right": {"unsettled": frozenset({"phone"})}, "rounds": {"phone": 3}}

    assert ["bounced"] == kinds(decide(*before, before, **held))
    assert {"tel": "~ann"} == decide({"phone": "ann"}, before[1], before, **held, rulings={"phone": "left"}).write_right
    assert {"phone": "ann"} == decide(before[0], {"tel": "~ann"}, before, **held).write_left
    assert {} == decide(*before, before, **held, rulings={"phone": "left"}).rounds


def test_two_equal_edits_are_agreement():
    decision = decide({"phone": "bob"}, {"tel": "~bob "})

    assert (["agreed"], {}, {}) == (kinds(decision), decision.write_left, decision.write_right)
    assert ["agreed"] == kinds(decide({"phone": None}, {"tel": ""}))
    assert ["agreed"] == kinds(decide({"phone": "bob"}, {"tel": "~bob"}, ({"phone": "ann"}, {"tel": "~bob"})))


@pytest.mark.parametrize(
    ("policy", "of_left", "of_right", "kind", "why"),
    [
        ("left", {}, {}, "to_right", ""),
        ("right", {}, {}, "to_left", ""),
        ("newest", {"at": 9.0}, {"at": 5.0}, "to_right", ""),
        ("newest", {"at": 5.0}, {"at": 9.0}, "to_left", ""),
        ("newest", {"at": 5.0}, {"at": 6.0}, "held", "1 seconds apart"),
        ("newest", {"at": 5.0}, {}, "held", "not known when"),
        ("fill_empty", {}, {}, "kept", "keeps what it has"),
        ("never", {}, {}, "kept", "keeps what it has"),
        ("union", {}, {}, "held", "not both lists"),
        ("hold", {}, {}, "held", "both sides have changed"),
    ],
)
def test_the_policy_decides_when_both_changed(policy, of_left, of_right, kind, why):
    decision = decide({"phone": "bob"}, {"tel": "~cy"}, strand=with_(PHONE, policy=policy), of_left=of_left, of_right=of_right, skew=1.0)
    (outcome,) = decision.outcomes

    assert kind == outcome.kind
    assert why in outcome.why
    assert {"to_right": {"tel": "~cy"}, "to_left": {"phone": "bob"}}.get(kind) == outcome.lost
    assert ({"tel": "~bob"} if kind == "to_right" else {}) == decision.write_right
    assert ({"phone": "cy"} if kind == "to_left" else {}) == decision.write_left


def test_a_persons_ruling_goes_before_the_policy_and_the_change():
    assert {"tel": "~bob"} == decide({"phone": "bob"}, {"tel": "~cy"}, rulings={"phone": "left"}).write_right
    ruled = decide({"phone": "bob"}, {"tel": "~ann"}, rulings={"phone": "right"})

    assert {"phone": "ann"} == ruled.write_left
    assert {"phone": "bob"} == ruled.outcomes[0].lost


def test_what_has_not_arrived_still_counts_as_changed():
    before = {"phone": "bob"}, {"tel": "~ann"}

    assert {"tel": "~bob"} == decide(*before, before, of_left={"unsettled": frozenset({"phone"})}).write_right
    assert ["held"] == kinds(decide({"phone": "bob"}, {"tel": "~cy"}, before, of_left={"unsettled": frozenset({"phone"})}))


@pytest.mark.parametrize("before", [None, ({}, {"tel": "~ann"}), ({"phone": "ann"}, {})])
def test_a_first_meeting_fills_what_is_empty_and_empties_nothing(before):
    for policy, wrote in (("left", {"phone": "ann"}), ("hold", {"phone": "ann"}), ("never", {})):
        for nothing in ({}, {"phone": None}, {"phone": ""}):
            assert (
                wrote
                == decide(nothing, {"tel": "~ann"}, before if before is None or nothing else None, with_(PHONE, policy=policy)).write_left
            )
    assert ["kept"] == kinds(decide({"phone": None}, {"tel": "~ann"}, None, with_(PHONE, policy="never")))
    assert ["held"] == kinds(decide({"phone": "bob"}, {"tel": "~ann"}, None))
    assert [] == kinds(decide({"phone": None}, {"tel": None}, None))
    ruled = decide({"phone": None}, {"tel": "~ann"}, None, rulings={"phone": "left"})
    assert ({}, ["kept"]) == (ruled.write_right, kinds(ruled))


def test_a_first_meeting_empties_no_part_of_a_value_either():
    left, right = pair(Side({"first": "ann", "last": "bob"}, None, {}), Side({"full": "cy+"}, None, {}))
    decision = reconcile(left, right, Terms((with_(NAME, policy="right"),)))

    assert {"first": "cy"} == decision.write_left
    assert {"first": "ann", "last": "bob"} == decision.outcomes[0].lost


def test_a_value_that_is_cleared_is_cleared_there_and_said_so():
    decision = decide({"phone": None}, {"tel": "~ann"})

    assert ({"tel": None}, ("tel",), ()) == (decision.write_right, decision.clears_right, decision.clears_left)


def test_a_field_that_is_not_shown_is_not_cleared():
    decision = decide({}, {"tel": "~ann"})

    assert ([], {"phone": "ann"}) == (decision.outcomes, decision.left_shadow)


def test_emptiness_that_nobody_made_clears_nothing():
    """The right never had a value, and what is empty on the left now never was there."""
    assert [] == decide({"phone": ""}, {"tel": "~ann"}, ({"phone": "x"}, {"tel": None}), of_right={"sent": {}}).outcomes[1:]
    assert {} == decide({"phone": ""}, {"tel": "~ann"}, ({"phone": "x"}, {"tel": None})).write_right
    assert {"phone": "ann"} == decide({"phone": ""}, {"tel": "~ann"}, ({"phone": "x"}, {"tel": None})).write_left


def test_what_was_written_and_never_seen_can_be_cleared_all_the_same():
    decision = decide({"phone": None}, {}, ({"phone": "ann"}, {"tel": None}), of_right={"sent": {"tel": "~ann"}})

    assert ({"tel": None}, ("tel",)) == (decision.write_right, decision.clears_right)


def test_clearing_one_side_while_the_other_is_edited_is_a_conflict_that_fill_empty_can_settle():
    assert ["held"] == kinds(decide({"phone": None}, {"tel": "~bob"}))
    assert {"phone": "bob"} == decide({"phone": None}, {"tel": "~bob"}, strand=with_(PHONE, policy="fill_empty")).write_left
    assert {"tel": "~bob"} == decide({"phone": "bob"}, {"tel": None}, strand=with_(PHONE, policy="fill_empty")).write_right


def test_a_union_has_everything_that_either_list_has_in_each_sides_spelling():
    strand = with_(TAGS, policy="union")
    before = {"tags": ["ann"]}, {"labels": ["~ann"]}
    decision = decide({"tags": ["ann", "bob"]}, {"labels": ["~cy", "~ann", "~cy"]}, before, strand)
    more = decide({"tags": ["ann", "bob"]}, {"labels": ["~ann", "~bob", "~cy"]}, before, strand)

    assert ({"tags": ["ann", "bob", "cy"]}, {"labels": ["~cy", "~ann", "~cy", "~bob"]}) == (decision.write_left, decision.write_right)
    assert ["to_right", "to_left"] == kinds(decision)
    assert ({"tags": ["ann", "bob", "cy"]}, {}) == (more.write_left, more.write_right)
    assert ["agreed"] == kinds(decide({"tags": ["bob", "ann"]}, {"labels": ["~ann", "~bob"]}, before, strand))


def test_a_strand_that_runs_one_way_has_one_winner():
    forward, back, none = with_(PHONE, back=False), with_(PHONE, forward=False), with_(PHONE, forward=False, back=False, policy="left")

    assert {"tel": "~bob"} == decide({"phone": "bob"}, {"tel": "~cy"}, strand=forward).write_right
    assert {"phone": "cy"} == decide({"phone": "bob"}, {"tel": "~cy"}, strand=back).write_left
    for decision in (
        decide({"phone": "ann"}, {"tel": "~cy"}, strand=forward),
        decide({"phone": "bob"}, {"tel": "~ann"}, strand=back),
        decide({"phone": "bob"}, {"tel": "~cy"}, strand=none),
    ):
        assert (["kept"], {}, {}) == (kinds(decision), decision.write_left, decision.write_right)


def test_what_the_mapping_makes_nothing_of_changes_nothing():
    left, right = Side({"phone": "bob"}, {"phone": "ann"}, {"phone": "ann"}), Side({"tel": "~ann"}, {"tel": "~ann"}, {})
    emptied, empty = Side({"phone": None}, {"phone": "ann"}, {}), Side({"tel": None}, {"tel": None}, {})

    assert ["kept"] == kinds(reconcile(left, right, Terms((PHONE,))))
    assert ["agreed"] == kinds(reconcile(emptied, empty, Terms((PHONE,))))
    assert ["agreed"] == kinds(reconcile(emptied, with_(empty, shadow={"tel": "~ann"}), Terms((PHONE,))))


@pytest.mark.parametrize(
    ("gone", "edited", "unchanged", "changed"),
    [
        ("ignore", "hold", "ignore", "ignore"),
        ("unlink", "keep", "unlink", "unlink"),
        ("delete", "hold", "delete_right", "held"),
        ("delete", "delete", "delete_right", "delete_right"),
        ("delete", "keep", "delete_right", "remake_left"),
        ("archive", "hold", "archive_right", "held"),
        ("archive", "delete", "archive_right", "archive_right"),
        ("remake", "hold", "remake_left", "remake_left"),
    ],
)
def test_a_deletion_does_what_the_integration_says_and_an_edit_since_is_told(gone, edited, unchanged, changed):
    about = {"left_gone": gone, "edited": edited}

    assert unchanged == decide(None, {"tel": "~ann"}, **about).deletion
    assert [] == decide(None, {"tel": "~ann"}, **about).outcomes
    decision = decide(None, {"tel": "~bob"}, **about)
    assert changed == decision.deletion
    assert ["phone"] == [outcome.strand for outcome in decision.outcomes]
    assert ({"tel": "~bob"} if changed in ("delete_right", "archive_right") else None) == decision.outcomes[0].lost
    assert changed == decide(None, {"tel": "~ann"}, **about, of_right={"unsettled": frozenset({"phone"})}).deletion


def test_a_union_takes_out_what_either_side_has_taken_out():
    """Left adds an entry, right takes one out: both have done so in the end, and nothing is lost."""
    union, before = with_(TAGS, policy="union"), ({"tags": ["ann", "bob"]}, {"labels": ["~ann", "~bob"]})
    added, taken = {"tags": ["ann", "bob", "cy"]}, {"labels": ["~ann"]}
    decision = decide(added, taken, before, union)
    both_took = decide({"tags": ["cy"]}, {"labels": ["~bob"]}, before, union)
    same = decide({"tags": ["bob", "cy"]}, {"labels": ["~bob", "~dan"]}, before, union)

    assert ({"tags": ["ann", "cy"]}, {"labels": ["~ann", "~cy"]}) == (decision.write_left, decision.write_right)
    assert ({}, {"labels": ["~cy"]}) == (both_took.write_left, both_took.write_right)
    assert ({"tags": ["bob", "cy", "dan"]}, {"labels": ["~bob", "~dan", "~cy"]}) == (same.write_left, same.write_right)
    assert [None] * 5 == [outcome.lost for one in (decision, both_took, same) for outcome in one.outcomes]


def test_what_a_union_puts_back_was_taken_out_by_somebody_and_is_not_lost():
    """What both agreed on can't be told, for something of it never arrived: the union has all of it, and what the right said is kept."""
    union, before = with_(TAGS, policy="union"), ({"tags": ["ann", "bob"]}, {"labels": ["~ann", "~bob"]})
    added, taken = {"tags": ["ann", "bob", "cy"]}, {"labels": ["~ann"]}
    decision = decide(added, taken, before, union, of_left={"unsettled": frozenset({union.name})})
    only_added = decide(added, {"labels": ["~ann", "~bob", "~dan"]}, before, union)

    assert ({}, {"labels": ["~ann", "~bob", "~cy"]}) == (decision.write_left, decision.write_right)
    assert [taken] == [outcome.lost for outcome in decision.outcomes if outcome.lost is not None]
    assert [None, None] == [outcome.lost for outcome in only_added.outcomes]


def test_what_both_sides_were_let_keep_is_not_lost_when_one_of_them_goes_over_it_later():
    never = with_(PHONE, policy="never")
    held = decide({"phone": "bob"}, {"tel": "~cy"}, ANN, never)
    before = {"phone": "bob"}, {"tel": "~cy"}
    later = reconcile(
        *pair(Side({"phone": "dan"}, before[0], {}), Side(before[1], before[1], {})), Terms((never,)), apart=frozenset({"phone"})
    )

    assert [APART] == [outcome.why for outcome in held.outcomes]
    assert ({"tel": "~dan"}, [{"tel": "~cy"}]) == (later.write_right, [outcome.lost for outcome in later.outcomes])


def test_an_edit_of_another_field_makes_no_value_newer_that_a_person_was_to_decide():
    """Times are of whole records."""
    newest, held = with_(PHONE, policy="newest"), frozenset({"phone"})
    sides = {"phone": "bob"}, {"tel": "~cy"}
    still = decide(*sides, sides, newest, of_left={"unsettled": held, "at": 9.0}, of_right={"unsettled": held, "at": 2.0}, skew=1.0)
    edited = decide(
        {"phone": "dan"}, sides[1], sides, newest, of_left={"unsettled": held, "at": 9.0}, of_right={"unsettled": held, "at": 2.0}, skew=1.0
    )

    assert ["held"] == kinds(still)
    assert {"tel": "~dan"} == edited.write_right


def test_what_is_gone_on_both_sides_is_over_and_what_never_was_is_refused():
    assert "both_gone" == decide(None, None).deletion
    with pytest.raises(ValueError, match="never was a record on the left"):
        decide(None, {"tel": "~ann"}, None)


def test_two_sides_differ_where_neither_way_of_the_mapping_says_the_same():
    left, right = {"phone": "bob"}, {"tel": "~cy"}
    both, forward, back = PHONE, with_(PHONE, back=False), with_(PHONE, forward=False)

    for strand in (both, forward, back):
        assert [strand] == differing(Side(left, left, {"phone": "cy"}), Side(right, right, {"tel": "~bob"}), Terms((strand,)))
    assert [] == differing(Side(left, left, {"phone": "bob"}), Side(right, right, {"tel": "~bob"}), Terms((both, back)))
    assert [] == differing(Side(left, left, {"phone": "cy"}), Side(right, right, {"tel": "~cy"}), Terms((both, forward)))


@given(lefts, rights, terms, rounds, rulings, st.sampled_from(["", "", "", "", "left", "right", "both"]))
@settings(max_examples=300)
def test_swapping_the_sides_mirrors_every_decision(left, right, terms, rounds, rulings, gone):
    left = with_(left, now=None, shadow={}) if gone in ("left", "both") else left
    right = with_(right, now=None, shadow={}) if gone in ("right", "both") else right
    left, right = pair(left, right)
    straight = reconcile(left, right, terms, rounds, rulings)
    swapped = reconcile(right, left, mirrored_terms(terms), rounds, {name: other(way) for name, way in rulings.items()})

    assert mirrored(straight) == with_(swapped, outcomes=in_order(swapped.outcomes))


@given(lefts, rights, terms, rounds, rulings)
def test_once_the_writes_have_arrived_nothing_more_is_written(left, right, terms, rounds, rulings):
    left, right = pair(left, right)
    first = reconcile(left, right, terms, rounds, rulings)
    then = later(left, right, first)
    again = reconcile(*then, terms, first.rounds, rulings)
    waiting = {outcome.strand for outcome in first.outcomes if outcome.kind in ("held", "bounced")}

    hung = {address for strand in terms.strands if strand.name in waiting for address in (*strand.left, *strand.right)}
    assert set() == (again.write_left.keys() | again.write_right.keys()) - hung
    assert {outcome.strand for outcome in again.outcomes if outcome.kind != "kept"} <= waiting
    for strand in terms.strands:
        met = (left.shadow or {}).keys() & strand.left and (right.shadow or {}).keys() & strand.right
        if met and any(outcome.strand == strand.name and outcome.kind in ("to_right", "to_left", "agreed") for outcome in first.outcomes):
            assert_agree(then[1], strand)


@given(lefts, rights, terms, rounds, rulings, st.booleans())
@settings(max_examples=500)
def test_what_says_the_same_letter_for_letter_is_decided_as_by_the_long_way(left, right, terms, rounds, rulings, mapped_anew):
    left, right = pair(left, right)
    short = reconcile(left, right, terms, rounds, rulings, mapped_anew=mapped_anew)
    with mock.patch.object(module, "_say_exactly_the_same", return_value=False):
        long = reconcile(left, right, terms, rounds, rulings, mapped_anew=mapped_anew)

    assert told(long) == told(short)


def told(decision):
    """Return a decision without what it only confirms."""
    return with_(decision, outcomes=[outcome for outcome in decision.outcomes if outcome.kind not in ("agreed", "kept")])


@given(lefts, rights, terms, rounds, rulings)
def test_no_edit_goes_without_an_outcome_that_keeps_what_it_said(left, right, terms, rounds, rulings):
    left, right = pair(left, right)
    decision = reconcile(left, right, terms, rounds, rulings)
    for side, write, at in ((left, decision.write_left, "left"), (right, decision.write_right, "right")):
        for strand in terms.strands:
            outcomes = [outcome for outcome in decision.outcomes if outcome.strand == strand.name]
            edits = {address: side.now[address] for address in getattr(strand, at) if is_edit(side, address)}
            if any(value not in (None, "", []) for value in edits.values()):
                assert outcomes
            for address, value in edits.items():
                if address not in write:
                    continue
                if strand.policy == "union" and isinstance(value, list) and strand.name not in rulings and isinstance(write[address], list):
                    before = (side.shadow or {}).get(address) or []  # what stood there when both agreed, the other may have taken out
                    assert any(value == (outcome.lost or {}).get(address) for outcome in outcomes) or all(
                        entry in write[address] for entry in value if entry not in before
                    )
                else:
                    assert value in (None, "", []) or any(value == (outcome.lost or {}).get(address) for outcome in outcomes)


def is_edit(side, address):
    """Tell, in other words than the module's, whether someone put there what stands there."""
    if address not in side.now:
        return False
    now, was = side.now[address], (side.shadow or {}).get(address)
    return not (now == was or not (now or was)) and not (address in side.sent and is_rewriting(side.sent[address], now))


def assert_agree(right, strand):
    stands = standing(right.now, right.shadow, right.sent)
    said = {address: stands.get(address) or None for address in strand.right}
    made = {address: value or None for address, value in right.made.items() if address in strand.right}
    if strand.name == "tags":
        assert sorted(said["labels"] or []) == sorted(made.get("labels") or [])
    else:
        assert said == {**dict.fromkeys(strand.right), **made}


def test_two_spellings_of_one_thing_are_no_difference_and_are_not_written_over():
    """The mapping's normal form is the judge: a number as people type it is the number."""
    left, right = {"phone": "0491 57"}, {"tel": "049157"}
    sides = (
        Side(left, None, {"phone": "+49157"}, normal={"phone": "+49157"}),
        Side(right, None, {"tel": "+49157"}, normal={"tel": "+49157"}),
    )
    met = reconcile(*sides, Terms((PHONE,)))

    assert ({}, {}, ["agreed"]) == (met.write_left, met.write_right, kinds(met))
    assert [] == differing(*sides, Terms((PHONE,)))


def test_a_changed_mapping_lets_a_strand_meet_anew_where_nobody_has_edited_it_and_it_differs():
    before = {"phone": "ann"}, {"tel": "~bob"}  # agreed on by another mapping
    held = reconcile(*pair(Side(before[0], before[0], {}), Side(before[1], before[1], {})), Terms((PHONE,)), mapped_anew=True)
    left = reconcile(
        *pair(Side(before[0], before[0], {}), Side(before[1], before[1], {})), Terms((with_(PHONE, policy="left"),)), mapped_anew=True
    )
    edited = reconcile(*pair(Side({"phone": "cy"}, before[0], {}), Side(before[1], before[1], {})), Terms((PHONE,)), mapped_anew=True)

    assert ["held"] == kinds(held)
    assert "they differ since the mapping has changed" == held.outcomes[0].why
    assert {"tel": "~ann"} == left.write_right
    assert {"tel": "~cy"} == edited.write_right


def test_two_lists_with_the_same_entries_in_another_order_are_united_already():
    union = with_(TAGS, policy="union")
    left, right = pair(Side({"tags": ["ann", "bob"]}, None, {}), Side({"labels": ["~bob", "~ann"]}, None, {}))

    assert ["agreed"] == kinds(reconcile(left, right, Terms((union,))))


def test_a_field_that_records_are_matched_by_is_the_same_in_every_spelling_of_the_key():
    keyed = with_(PHONE, key=lambda value: str(value).strip("~").casefold())
    same_key = reconcile(*pair(Side({"phone": "ANN"}, None, {}), Side({"tel": "~ann"}, None, {})), Terms((keyed,)))
    other_key = reconcile(*pair(Side({"phone": "ANN"}, None, {}), Side({"tel": "~bob"}, None, {})), Terms((keyed,)))

    assert (["agreed"], ["held"]) == (kinds(same_key), kinds(other_key))


def test_a_side_that_would_not_take_a_value_empties_nothing_that_is_written_over_there_later():
    bounced = {"of_left": {"unsettled": frozenset({"phone"})}, "of_right": {"unsettled": frozenset({"phone"})}, "rounds": {"phone": 3}}
    decision = decide({}, {"tel": "~cy"}, ({"phone": None}, {"tel": "~bob"}), with_(PHONE, policy="left"), **bounced)

    assert ({"phone": "cy"}, {}) == (decision.write_left, decision.write_right)


@pytest.mark.parametrize("policy", ["delete", "archive", "unlink", "remake"])
def test_what_was_never_shown_since_we_made_it_is_held(policy: module.Gone) -> None:
    """It may have been deleted, or never kept, or not be shown yet: nothing follows from it before a person says which."""
    there = Side(now={"a": 1}, shadow={"a": 1}, made={})
    gone = Side(now=None, shadow={}, made={}, doubted=True)
    terms = Terms((module.Strand("a", ("a",), ("a",)),), left_gone=policy, right_gone=policy)

    for left, right in ((there, gone), (gone, there)):
        decision = reconcile(left, right, terms)
        assert "held" == decision.deletion
        assert [("a", "held", module.NEVER_SEEN)] == [(one.strand, one.kind, one.why) for one in decision.outcomes]
        known = (msgspec.structs.replace(side, doubted=False) for side in (left, right))
        assert "held" != reconcile(*known, terms).deletion

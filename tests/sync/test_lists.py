"""Lists whose entries come and go one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tieline.model.lists import ListChange, change, once, within, without

some = st.lists(st.sampled_from(["a", "A ", "b", "c", 7, "7", 7.5, True, None, {"id": 1, "name": "b"}, {"name": "c"}, [1]]), max_size=6)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("vip", " VIP ", True),
        ("Straße", "STRASSE", True),
        (7, "7", True),
        (7.0, 7, True),
        ("vip", {"id": 7, "name": "VIP"}, True),
        ({"name": "vip"}, {"id": 7, "name": "Vip"}, True),
        ({"id": 8, "name": "vip"}, {"id": 7, "name": "vip"}, False),
        ("news", "newsletter", False),
        (True, 1, False),
        (None, "", False),
        ({"name": "vip"}, {"title": "vip"}, False),
    ],
)
def test_an_entry_is_the_same_in_every_spelling_of_it(one, other, same):
    assert ([one] if same else []) == within([one], [other])
    assert ([other] if same else []) == within([other], [one])


@given(some, some)
def test_a_change_leads_from_one_list_to_the_other(before, now):
    led = change(before, now).of(before)

    assert [] == without(led, now)
    assert [] == without(now, led)


@given(some, some, some)
def test_what_a_change_is_not_about_stays_where_it_is(there, before, now):
    wanted = change(before, now)
    others = without(without(there, wanted.remove), wanted.add)

    led = wanted.of(there)

    assert others == without(led, wanted.add)
    assert [] == within(led, without(wanted.remove, wanted.add))


@pytest.mark.parametrize(
    ("writes", "add", "remove", "shown", "late"),
    [
        ([(["a"], ["a", "b"])], ["c"], [], ["own", "a"], False),  # what we added is added again
        ([(["a", "b"], ["a"])], ["c"], [], ["own", "a", "b"], True),  # `b` would be sent back
        ([(["a", "b"], ["a"])], ["b"], [], ["a", "b"], True),  # `b` is not there any more, and would not be added
        ([(["a", "b"], ["a"])], [], ["b"], ["a", "b"], False),
        ([([], ["b"])], [], ["b"], ["own"], True),  # `b` is there by now, and would not be taken out
        ([(["a", "b"], ["a"]), (["a"], ["a", "b"])], ["c"], [], ["a", "b"], False),
        ([([], ["b"]), (["b"], [])], [], ["b"], ["own"], False),
        ([], ["c"], ["a"], ["a"], False),
    ],
)
def test_a_list_that_is_shown_as_it_was_before_our_last_writes_is_told(writes, add, remove, shown, late):
    assert late is ListChange(add, remove).is_late(writes, shown)


@given(some, some)
def test_a_change_that_is_applied_twice_changes_nothing_more(there, now):
    wanted = ListChange(once(without(now, there)), there[:1])
    led = wanted.of(there)

    assert led == wanted.of(led)

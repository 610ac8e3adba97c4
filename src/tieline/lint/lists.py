"""Judgements over lists that are changed entry by entry: the calls of a connector, and the rules that ask for it."""

from __future__ import annotations

from typing import Final

from tieline.config.loading.yaml_source import Key
from tieline.config.models.connectors import Resource
from tieline.config.models.escapes import gaps, texts_in
from tieline.config.models.fields import Fields
from tieline.config.models.integrations import Integration, Rule
from tieline.config.models.operations import ListCall
from tieline.lint.findings import Findings

LISTS: Final = ("array", "any")
"""Types of fields that can hold a list."""


def lint_list_call(found: Findings, at: tuple[Key, ...], call: ListCall) -> None:
    """Judge a call that adds entries to a list, or takes them out: does it say which record, and which entries?"""
    address = {name for text in (call.path, *texts_in(call.params)) for name in gaps(text)}
    body = {name for text in texts_in(call.body) for name in gaps(text)}
    if "id" not in address | body | {name for text in call.headers.values() for name in gaps(text)}:
        found.error(at, "never sends `{id}`, so it can't say of which record", f"such as `path: {call.path.rstrip('/')}/{{id}}/tags`")
    if not {"entry", "entries"} & (address | body):
        hint = 'such as `body: { tags: "{entries}" }`, or `{entry}` in the path for one call each'
        found.error(at, "never sends the entries", hint)
    if call.entry is not None and call.one_by_one:
        found.error((*at, "entry"), "is the shape of an entry in `{entries}`, and each entry is a call of its own", "take it out")
    elif call.entry is not None and not any("entry" in gaps(text) for text in texts_in(call.entry)):
        found.error((*at, "entry"), "never sends `{entry}`", 'such as `entry: { name: "{entry}" }`')


def lint_merged(found: Findings, integration: Integration, target: Resource) -> None:
    """Judge the rules of a one-way integration that change entries of a list: is it one, and can the others be kept?"""
    fields = Fields(target)
    for address, rule in integration.map.items():
        if not isinstance(rule, Rule) or not rule.merges:
            continue
        at = ("map", address)
        known = fields.at(address)
        if known is not None and known[0] == address and known[1].type not in LISTS:
            word = "conflict" if rule.conflict == "union" else "add" if rule.add else "remove"
            name = "union` joins" if word == "conflict" else f"{word}` changes entries of"
            found.error((*at, word), f"`{name} lists, and `{known[0]}` is none", "map it as it is, or correct its type in the connector")
        elif address in target.lists:
            continue
        elif target.get is None:
            message = f"entries of `{address}` are kept, and a record of `{integration.target}` can't be read by its id"
            found.error(at, message, f"declare `get` in the connector, or calls that add and take out entries: `lists: {{{address}: ...}}`")
        elif known is not None and known[1].entries == "kept":
            message = f"an update keeps the entries of `{known[0]}` that it does not send, so none can be taken out"
            found.error(at, message, f"declare the calls that add and take out entries: `lists: {{{address}: ...}}`")

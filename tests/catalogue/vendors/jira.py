"""Jira's issues: JQL with minutes in the account's zone, phrases in texts in quotes, creations that tell the id only, updates that tell nothing."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any
from zoneinfo import ZoneInfo

from cases.served import Asked

from catalogue.vendor import Entry, FakeVendor, Refused

_TEXT = r'"((?:[^"\\]|\\["\'\\nrt])*)"'
_JQL = re.compile(
    rf'project = {_TEXT}(?: and (?:updated >= "(\d{{4}}-\d\d-\d\d \d\d:\d\d)"|cf\[10001\] ~ {_TEXT}))?( order by updated asc)?'
)


class Jira(FakeVendor):
    connector, resource, email, name = "jira", "issues", "fields.customfield_10001", "fields.summary"
    connection = 'auth: { basic: { username: "${env:KEY}", password: "${env:KEY}" } }, variables: { site: acme, project: SUP, issue_type: Task, zone: Australia/Sydney }'
    seeds = 12
    tells_deletions = False
    new_id = staticmethod(lambda number: str(10000 + number))

    def respond(self, asked: Asked) -> tuple[Any, ...]:
        if not asked.headers.get("Authorization", "").startswith("Basic "):
            raise self._no(401, "Client must be authenticated to access this resource.")
        match asked.method, asked.path.removeprefix("/rest/api/3").strip("/").split("/"):
            case "GET", ["search", "jql"]:
                return self._search(asked)
            case "POST", ["issue"]:
                sent = self._taken(asked, {"project", "issuetype"})
                if (sent["project"], sent["issuetype"]) != ({"key": "SUP"}, {"name": "Task"}):
                    raise self._no(400, "valid project is required")
                entry = self.book.add(sent["customfield_10001"], sent["summary"])
                return 201, {"id": entry.id, "key": f"SUP-{entry.id}", "self": "…"}
            case method, ["issue", id] if (entry := self.book.get(id.removeprefix("SUP-"))) is not None:
                if method == "PUT":
                    sent = self._taken(asked, set())
                    self.book.edit(entry, email=sent.get("customfield_10001"), name=sent.get("summary"))
                    return 204, None
                if method == "DELETE":
                    self.book.delete(entry)
                    return 204, None
                self.only(asked, "fields")
                return 200, self._shown(entry)
        return 404, {"errorMessages": ["Issue does not exist or you do not have permission to see it."], "errors": {}}

    def _search(self, asked: Asked) -> tuple[Any, ...]:
        query = self.only(asked, "jql", "fields", "maxResults", "nextPageToken")
        jql = _JQL.fullmatch(query["jql"])
        if jql is None or jql[1] != "SUP":
            raise self._no(400, f"Error in the JQL Query: {query['jql']}")
        found = self.book.since(None)
        if jql[2]:
            found = self.book.since(dt.datetime.fromisoformat(jql[2]).replace(tzinfo=ZoneInfo("Australia/Sydney")))
        elif jql[3] is not None:
            phrase = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', re.sub(r"\\(.)", r"\1", jql[3]))  # what JQL's text holds is taken apart again
            if phrase is None:
                raise self._no(400, f"Unable to parse the text {jql[3]} for field 'cf[10001]'.")
            words = _words(re.sub(r"\\(.)", r"\1", phrase[1]))
            found = [entry for entry in found if f" {words} " in f" {_words(entry.email)} "]
        at, size = int(query.get("nextPageToken", 0)), int(query.get("maxResults", 50))
        if not jql[4] and "nextPageToken" in query:
            raise self._no(400, "nextPageToken")
        page = found[at : at + min(size, 5)]
        self.shown += len(page) if jql[3] is None else 0
        last = at + 5 >= len(found)
        answer = {"issues": [self._shown(entry) for entry in page], "isLast": last}
        return 200, answer if last else {**answer, "nextPageToken": str(at + 5)}

    def _taken(self, asked: Asked, more: set[str]) -> dict[str, Any]:
        sent = asked.json["fields"]
        if set(asked.json) != {"fields"} or set(sent) - {"summary", "customfield_10001", "labels", "duedate"} != more:
            raise self._no(400, f"Field cannot be set. It is not on the appropriate screen, or unknown: {sorted(sent)}")
        if "\n" in sent.get("summary", "") or sent.get("summary") == "":
            raise self._no(400, "The summary is invalid because it contains newline characters.")
        return sent

    @staticmethod
    def _no(status: int, message: str) -> Refused:
        return Refused(status, {"errorMessages": [message], "errors": {}})

    @staticmethod
    def _shown(entry: Entry) -> dict[str, Any]:
        updated = entry.updated.astimezone(dt.timezone(dt.timedelta(hours=1)))
        fields = {
            "summary": entry.name,
            "customfield_10001": entry.email,
            "labels": [],
            "duedate": None,
            "updated": updated.strftime("%Y-%m-%dT%H:%M:%S.") + f"{updated.microsecond // 1000:03}+0100",
        }
        return {"id": entry.id, "key": f"SUP-{entry.id}", "self": "…", "fields": fields}


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))

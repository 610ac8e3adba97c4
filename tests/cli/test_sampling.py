"""Fields from a sample that is a file: `tieline connector sample --from`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tieline.cli import sampling
from tieline.model.errors import TielineError

FILES = {
    "tieline.yaml": "project: cms\nowner: me@example.com\n",
    "connections.yaml": 'cms: { connector: cms, auth: { bearer: "${env:KEY}" } }\n',
    "connectors/cms.yaml": "connector: cms\nenvironments: { production: https://cms.example.com }\nauth: { bearer: {} }\n"
    "resources:\n  articles:\n    path: /items/articles\n    records: data\n",
}
ANSWER = '{"data": [{"id": 7, "title": "Tea", "updated": "2026-01-31T09:30:00Z"}, {"id": 8, "title": "Coffee", "updated": null}]}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project whose connector declares no fields yet."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("text", [ANSWER, ANSWER[9:-1], ANSWER[10:-2].replace("}, {", "}\n{"), "\ufeff" + ANSWER])
def test_fields_come_from_an_answer_a_list_or_lines(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever was saved, it means the same fields; nothing is called."""
    (folder / "answer.json").write_text(text, "utf-8")
    assert 0 == sampling.sample(folder, "cms.articles", write=False, of_file=folder / "answer.json")
    said = capsys.readouterr().out

    assert said.startswith("fields:\n")
    assert {"id", "title", "updated"} == {line.split(":")[0].strip() for line in said.splitlines()[1:]}
    assert "datetime" in said


def test_they_are_written_where_the_connector_has_none(folder: Path) -> None:
    """And then the connector reads as before, with them."""
    (folder / "answer.json").write_text(ANSWER)
    sampling.sample(folder, "cms.articles", write=True, of_file=folder / "answer.json")

    assert "title: { type: string }" in (folder / "connectors/cms.yaml").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "neither JSON nor JSON Lines"), ('{"data": []}', "no records at `data`"), ("[1, 2]", "no records"), (None, "can't be read")],
)
def test_a_file_without_records_is_told(folder: Path, text: str | None, why: str) -> None:
    """With what to do."""
    if text is not None:
        (folder / "answer.json").write_text(text)
    with pytest.raises(TielineError, match=why):
        sampling.sample(folder, "cms.articles", write=False, of_file=folder / "answer.json")

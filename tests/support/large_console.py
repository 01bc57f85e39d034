"""Answers of the API that are larger than a test has time to make, for the pages of the console.

The first of everything is what the real API says; the rest are copies of it, which the browser
gets instead of an answer.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

STEPS, TRANSITIONS, TASKS, ROWS = 5_000, 10_000, 1_000, 10_000


class Large:
    """Makes one instance large: `page` then shows it with the sizes above.

    `id` is an instance with a loop of at least two turns, whose document begins with the loop.
    """

    def __init__(self, page: Any, client: Any, id: str) -> None:
        self.client, self.id = client, id
        self.steps = self._steps(self._get(f"/v1/instances/{id}/steps?fields=summary"))
        self.transitions = self._get(f"/v1/instances/{id}/history?sort=-sequence")["items"]
        self.row = self._get(f"/v1/instances?id={id}")["items"][0]
        page.route(f"**/v1/instances/{id}/steps?*", self._answer_steps)
        page.route(f"**/v1/instances/{id}/history?*", self._answer_history)
        page.route("**/v1/instances?*", self._answer_rows)
        page.route("**/v1/workflows/*/*/versions/*", self._answer_version)

    def _get(self, path: str) -> Any:
        answer = self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def _steps(self, found: Any) -> list[dict[str, Any]]:
        loop = next(each for each in found["items"] if each["kind"] == "for")
        turn = next(each for each in found["items"] if each["parent"] == loop["id"])
        others = ({**turn, "id": 2 + at, "index": at} for at in range(STEPS - 1))
        return [{**loop, "id": 1}, *({**each, "parent": 1} for each in others)]

    def _answer_steps(self, route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start = int(query.get("cursor", ["0"])[0])
        part = [] if "since" in query else self.steps[start : start + 1000]
        more = "since" not in query and start + 1000 < len(self.steps)
        _json(route, {"items": part, "next": str(start + 1000) if more else None, "sequence": 1})

    def _answer_history(self, route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        numbers = range(TRANSITIONS - start, max(0, TRANSITIONS - start - limit), -1)
        first = self.transitions[0]
        items = [{**first, "sequence": number} for number in numbers]
        more = start + limit < TRANSITIONS
        _json(route, {"items": items, "next": str(start + limit) if more else None})

    def _answer_rows(self, route: Any) -> None:
        query = parse_qs(urlsplit(route.request.url).query)
        start, limit = int(query.get("cursor", ["0"])[0]), int(query.get("limit", ["50"])[0])
        ids = (f"{self.id[:-12]}{at:012x}" for at in range(start, min(ROWS, start + limit)))
        items = [{**self.row, "id": id, "business_id": f"row {id[-5:]}"} for id in ids]
        more = start + limit < ROWS
        _json(route, {"items": items, "next": str(start + limit) if more else None})

    def _answer_version(self, route: Any) -> None:
        answer = self._get(urlsplit(route.request.url).path)
        task = {"set": {"a": 1}}
        more = [{f"task{at}": task} for at in range(TASKS - len(answer["document"]["do"]))]
        answer["document"]["do"] += more
        _json(route, answer)


def _json(route: Any, body: Any) -> None:
    route.fulfill(status=200, content_type="application/json", body=json.dumps(body))


#: Scroll whatever scrolls below an element to its end; the number of elements of the page.
SCROLL = """
(selector) => {
  let at = document.querySelector(selector)
  while (at && at.scrollHeight <= at.clientHeight + 1) at = at.parentElement
  if (at) at.scrollTop = at.scrollHeight
}
"""
ELEMENTS = "document.querySelectorAll('*').length"

"""The search of the built site, as its own script does it: Sphinx's ``searchtools.js``.

Only what decides the order of the results is here. The index is the one that readers load.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sphinx.search.en import SearchEnglish

#: Scores of `searchtools.js`, which `docs/search_scorer.js` keeps.
_TERM, _PARTIAL_TERM, _TITLE, _PARTIAL_TITLE = 5, 2, 15, 7
_WORDS = re.compile(r"\w+")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Result:
    """One line of the results."""

    page: str
    title: str
    anchor: str
    score: int


class SiteSearch:
    """The index of a site that was built into `folder`."""

    def __init__(self, folder: Path) -> None:
        text = (folder / "searchindex.js").read_text(encoding="utf-8")
        self._index: dict[str, Any] = json.loads(text[text.index("(") + 1 : text.rindex(")")])
        # The script looks these up as well; our pages describe no objects and have no index.
        assert not self._index["objects"] and not self._index["indexentries"]
        script = (folder / "_static" / "language_data.js").read_text(encoding="utf-8")
        found = re.search(r"^const GUIDES = (\d+);$", script, re.MULTILINE)
        self._guides = int(found[1]) if found else 0
        self._language = SearchEnglish({})
        self._pages: list[str] = self._index["docnames"]
        self._titles: list[str] = self._index["titles"]

    def search(self, query: str) -> list[Result]:
        """What the site shows for `query`, in its order."""
        found = [*self._by_titles(query.lower().strip()), *self._by_words(self._stems(query))]
        found = [self._preferred(one) for one in found]
        found.sort(key=lambda one: (-one.score, one.title.lower()))
        unique: dict[tuple[str, str, str], Result] = {}
        for one in found:
            unique.setdefault((one.page, one.title, one.anchor), one)
        return list(unique.values())

    def _preferred(self, one: Result) -> Result:
        more = self._guides if one.page.startswith("guides/") else 0
        return replace(one, score=one.score + more)

    def _stems(self, query: str) -> set[str]:
        words = (word.lower() for word in _WORDS.findall(query) if not _DIGITS.fullmatch(word))
        return {self._language.stem(word) for word in words if word not in self._language.stopwords}

    def _by_titles(self, query: str) -> Iterator[Result]:
        for title, places in self._index["alltitles"].items():
            if query not in title.lower().strip() or len(query) < len(title) / 2:
                continue
            for page, anchor in places:
                own = self._titles[page]
                shown = title if own == title else f"{own} > {title}"
                score = round(_TITLE * len(query) / len(title)) + (own == title)
                yield Result(self._pages[page], shown, anchor or "", score)

    def _by_words(self, stems: set[str]) -> Iterator[Result]:
        scores: dict[int, dict[str, int]] = defaultdict(dict)
        for stem in stems:
            for pages, score in self._lists(stem):
                for page in [pages] if isinstance(pages, int) else pages:
                    scores[page][stem] = score
        long = sum(len(stem) > 2 for stem in stems)
        for page, by_stem in scores.items():
            if len(by_stem) in (len(stems), long):
                best = max(by_stem.values())
                yield Result(self._pages[page], self._titles[page], "", best)

    def _lists(self, stem: str) -> Iterator[tuple[Any, int]]:
        """The pages of a word, in the order in which the script sets their scores: the last
        one counts."""
        terms, titles = self._index["terms"], self._index["titleterms"]
        for found, score in ((terms, _TERM), (titles, _TITLE)):
            if stem in found:
                yield found[stem], score
        for found, score in ((terms, _PARTIAL_TERM), (titles, _PARTIAL_TITLE)):
            if len(stem) > 2 and stem not in found:
                yield from ((pages, score) for term, pages in found.items() if stem in term)

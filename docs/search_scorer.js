// What the site's search scores by: Sphinx's own figures, and that pages which answer questions
// (guides) come before those that merely mention the words.
const GUIDES = 3;
var Scorer = {
  score: ([docname, title, anchor, descr, score]) =>
    docname.startsWith("guides/") ? score + GUIDES : score,
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

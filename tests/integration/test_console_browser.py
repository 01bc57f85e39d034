"""The console in a real browser, on the whole product: what a person does, checked by the API."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from api.console import pages
from tests.support.console_page import CHROMIUM, Page
from tests.support.large_console import ELEMENTS, ROWS, SCROLL, STEPS, TRANSITIONS, Large
from tests.support.stack import Stack

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="this machine has no Chromium"),
    pytest.mark.skipif(
        not (pages.PAGES / "index.html").is_file(), reason="the console is not built (make console)"
    ),
    # Playwright's own event loop and its sockets end with the process.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NAMESPACE = "test"


def document(name: str, *tasks: dict[str, Any], version: str = "1.0.0") -> dict[str, Any]:
    head = {"dsl": "1.0.3", "namespace": NAMESPACE, "name": name, "version": version}
    return {"document": head, "do": list(tasks)}


def add(a: Any, b: Any, undo: dict[str, Any] | None = None) -> dict[str, Any]:
    """A call that adds, and that fails where it can't."""
    task: dict[str, Any] = {"call": "steps.add", "with": {"a": a, "b": b}}
    if undo is not None:
        task["metadata"] = {"compensate": undo}
    return task


UNDO = {"call": "steps.add", "with": {"a": 0, "b": 0}}
BROKEN_UNDO = {"call": "steps.fail", "with": {"message": "refund refused"}}
LISTEN = {"listen": {"to": {"one": {"with": {"type": "test.go"}}}}}

SUM = document("sum", {"first": add(1, 1)}, {"second": add("${ $workflow.input.a }", 1)})
WAITS = document("waits", {"done": add(1, 1, UNDO)}, {"gate": LISTEN}, {"after": add(1, 2)})
SAGA = document("saga", {"one": add(1, 1, UNDO)}, {"two": add(2, 2, UNDO)}, {"three": add("x", 1)})
GIVES_UP = document("gives-up", {"one": add(1, 1, BROKEN_UNDO)}, {"two": add("x", 1)})


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    database_url = request.getfixturevalue("module_database_url")
    broker_url = request.getfixturevalue("module_broker_url")
    folder = tmp_path_factory.mktemp("console")
    with Stack(folder, database_url, broker_url) as running:
        running.api()
        running.worker(concurrency=2)
        running.beat()
        for each in (SUM, WAITS, SAGA, GIVES_UP):
            running.deploy(each)
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        made = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


def at(stack: Stack) -> str:
    return str(stack.client.base_url)


@pytest.fixture
def console(browser: Any, stack: Stack) -> Iterator[Page]:
    made = Page(browser, at(stack))
    yield made
    made.close()
    assert made.problems == []


def instance(stack: Stack, id: str) -> dict[str, Any]:
    answer = stack.client.get(f"/v1/instances/{id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def begin(stack: Stack, name: str, **members: Any) -> str:
    head = {"namespace": NAMESPACE, "name": name}
    return stack.start({"workflow": head}, **members)


def waiting(stack: Stack, **members: Any) -> str:
    id = begin(stack, "waits", **members)
    stack.until(lambda: instance(stack, id)["status"] == "waiting", "it waits")
    return id


def becomes(stack: Stack, id: str, status: str, compensation: str | None = None) -> None:
    def fact() -> bool:
        found = instance(stack, id)
        return found["status"] == status and compensation in (None, found["compensation"])

    stack.until(fact, f"{id} becomes {status} {compensation}")


# Finding and reading


def test_a_row_says_where_it_stands_and_leads_to_its_instance(console: Page, stack: Stack) -> None:
    id = waiting(stack, business_id="find-me", labels={"team": "blue"})
    page = console.open("/instances?business_id=find-me")
    row = page.locator(".instances-table [role=row]", has_text="find-me")
    playwright.expect(row).to_contain_text("Waiting")
    playwright.expect(row).to_contain_text("gate")
    row.click()
    page.wait_for_url(f"**/console/instances/{id}")
    playwright.expect(page.locator("h1")).to_have_text("find-me")
    playwright.expect(page).to_have_title("find-me · orchestrator")


def test_a_selection_is_one_in_graph_timeline_panel_and_address(
    console: Page, stack: Stack
) -> None:
    id = begin(stack, "sum", input={"a": "x"})
    becomes(stack, id, "faulted")
    page = console.open(f"/instances/{id}")
    page.get_by_role("button", name="Show the step").click()
    playwright.expect(page.locator(".panel h2")).to_have_text("second")
    assert "step=" in page.url
    playwright.expect(page.locator(".g .node.is-on")).to_contain_text("second")
    playwright.expect(page.locator(".tl .r.is-on")).to_contain_text("second")
    playwright.expect(page.locator(".panel")).to_contain_text("Traceback")
    page.reload()
    playwright.expect(page.locator(".panel h2")).to_have_text("second")
    page.keyboard.press("Escape")
    playwright.expect(page.locator(".panel")).to_have_count(0)


def test_new_rows_are_offered_and_push_nothing_away(console: Page, stack: Stack) -> None:
    waiting(stack, labels={"live": "yes"}, business_id="live-1")
    page = console.open("/instances?label.live=yes")
    playwright.expect(page.locator(".link-row")).to_have_count(1)
    waiting(stack, labels={"live": "yes"}, business_id="live-2")
    offer = page.get_by_role("button", name="1 new")
    playwright.expect(offer).to_be_enabled()
    playwright.expect(page.locator(".link-row")).to_have_count(1)
    offer.click()
    playwright.expect(page.locator(".link-row")).to_have_count(2)
    playwright.expect(page.locator(".link-row").first).to_contain_text("live-2")


def test_keys_lead_everywhere(console: Page) -> None:
    page = console.open("/instances")
    page.keyboard.press("g")
    page.keyboard.press("w")
    playwright.expect(page.locator("h1")).to_have_text("Workflows")
    page.keyboard.press("?")
    playwright.expect(page.locator(".dialog")).to_contain_text("Go to instances")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.keyboard.type("health")
    page.keyboard.press("Enter")
    playwright.expect(page.locator("h1")).to_have_text("Health")
    page.keyboard.press("g")
    page.keyboard.press("i")
    page.keyboard.press("/")
    page.keyboard.type("status=faulted")
    page.keyboard.press("Enter")
    page.wait_for_url("**/instances?status=faulted")


def test_filters_are_saved_as_a_view(console: Page, stack: Stack) -> None:
    id = begin(stack, "sum", input={"a": "x"}, labels={"view": "mine"})
    becomes(stack, id, "faulted")
    page = console.open("/instances?label.view=mine&status=faulted")
    page.get_by_role("button", name="Save view…").click()
    page.locator(".dialog").get_by_label("Name").fill("My faults")
    page.keyboard.press("Control+Enter")
    tab = page.get_by_role("tab", name="My faults")
    playwright.expect(tab).to_have_attribute("aria-selected", "true")
    playwright.expect(tab).to_contain_text("1")
    page.get_by_role("tab", name="All").click()
    page.wait_for_url("**/instances")
    page.reload()
    tab.click()
    page.wait_for_url(re.compile("label.view=mine"))
    playwright.expect(page.locator(".link-row")).to_have_count(1)
    page.get_by_role("button", name="Remove view").click()
    playwright.expect(tab).to_have_count(0)


def test_two_runs_are_compared_step_by_step(console: Page, stack: Stack) -> None:
    good = begin(stack, "sum", input={"a": 4}, labels={"pair": "1"}, business_id="pair-good")
    stack.wait(good)
    bad = begin(stack, "sum", input={"a": "x"}, labels={"pair": "1"}, business_id="pair-bad")
    becomes(stack, bad, "faulted")
    page = console.open("/instances?label.pair=1")
    for name in ("pair-good", "pair-bad"):
        page.locator(".link-row", has_text=name).locator(".check").click()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(re.compile(f"/compare.a={good}&b={bad}"))
    heads = page.locator(".compare-heads")
    playwright.expect(heads).to_contain_text("Completed")
    playwright.expect(heads).to_contain_text("Faulted")
    row = page.locator(".pairs-table .differs", has_text="second")
    playwright.expect(row).to_contain_text("ended otherwise")
    row.get_by_role("button").click()
    playwright.expect(page.locator(".pair-data .diff .del").first).to_contain_text('"a": 4')
    playwright.expect(page.locator(".pair-data .diff .add").first).to_contain_text('"a": "x"')
    # From one instance, the other is picked among the runs of its workflow.
    page.goto(f"/console/instances/{bad}")
    page.get_by_role("button", name="Compare…").click()
    page.locator(".picker").get_by_role("button", name="pair-good").click()
    playwright.expect(page.locator(".pairs-table")).to_contain_text("ended otherwise")


def test_tabs_of_a_browser_share_one_feed(console: Page, stack: Stack) -> None:
    streams: list[str] = []

    def seen(request: Any) -> None:
        if "/v1/feed" in request.url:
            streams.append(request.url)

    console.context.on("request", seen)
    first = console.open("/instances?label.tabs=shared")
    playwright.expect(first.locator(".nav")).to_contain_text("Live")
    second = console.context.new_page()
    second.goto("/console/instances?label.tabs=shared")
    playwright.expect(second.locator(".nav")).to_contain_text("Live")
    waiting(stack, labels={"tabs": "shared"})
    for page in (first, second):
        page.bring_to_front()
        playwright.expect(page.locator(".link-row")).to_have_count(1)
    assert len(streams) == 1
    # The tab with the stream is closed: another one opens it.
    first.close()
    with console.context.expect_event("request", lambda request: "/v1/feed" in request.url):
        pass
    playwright.expect(second.locator(".nav")).to_contain_text("Live")


# Repair


def confirm(page: Any, name: str, reason: str) -> None:
    dialog = page.locator(".dialog")
    dialog.get_by_label("Reason").fill(reason)
    dialog.get_by_role("button", name=re.compile(f"^{name}")).click()
    playwright.expect(dialog).to_have_count(0)


def audited(stack: Stack, id: str, action: str, reason: str) -> None:
    entries = stack.client.get("/v1/audit", params={"target": id, "action": action}).json()["items"]
    assert [entry["reason"] for entry in entries] == [reason]


def test_retry_with_an_edited_input(console: Page, stack: Stack) -> None:
    id = begin(stack, "sum", input={"a": "x"})
    becomes(stack, id, "faulted")
    page = console.open(f"/instances/{id}")
    page.get_by_role("button", name="Retry…").first.click()
    dialog = page.locator(".dialog")
    playwright.expect(dialog).to_contain_text("first is kept")
    dialog.get_by_role("button", name="Edited").click()
    dialog.get_by_label("Input of the workflow").fill('{"a": 41}')
    playwright.expect(dialog.locator(".diff .add")).to_contain_text('"a": 41')
    playwright.expect(dialog.locator(".equivalent")).to_contain_text("orchestrator retry")
    confirm(page, "Retry as run 2", "a new number")
    assert stack.wait(id)["output"] == {"sum": 42}
    assert instance(stack, id)["run"] == 2
    audited(stack, id, "instance.retry", "a new number")


def test_skip_with_an_output(console: Page, stack: Stack) -> None:
    id = begin(stack, "sum", input={"a": "x"})
    becomes(stack, id, "faulted")
    page = console.open(f"/instances/{id}?act=skip")
    page.locator(".dialog").get_by_label("Output of the step").fill('{"sum": 7}')
    confirm(page, "Skip", "known otherwise")
    assert stack.wait(id)["output"] == {"sum": 7}


def test_suspend_and_resume(console: Page, stack: Stack) -> None:
    id = waiting(stack)
    page = console.open(f"/instances/{id}")
    page.get_by_role("button", name="Suspend…").click()
    confirm(page, "Suspend", "over the weekend")
    becomes(stack, id, "suspended")
    page.get_by_role("button", name="Resume…").click()
    confirm(page, "Resume", "it is Monday")
    becomes(stack, id, "waiting")
    audited(stack, id, "instance.suspend", "over the weekend")


def test_cancel_shows_before_what_it_undoes(console: Page, stack: Stack) -> None:
    id = waiting(stack)
    page = console.open(f"/instances/{id}")
    playwright.expect(page.get_by_role("button", name="Cancel and undo…")).to_be_visible()
    page.keyboard.press(".")
    playwright.expect(page.get_by_role("menu")).to_be_visible()
    page.keyboard.press("c")
    dialog = page.locator(".dialog")
    playwright.expect(dialog).to_contain_text("done is undone")
    confirm(page, "Cancel and undo", "not wanted any more")
    becomes(stack, id, "cancelled", "completed")
    playwright.expect(page.locator(".bar")).to_contain_text("Undone")


def test_compensate_what_has_ended(console: Page, stack: Stack) -> None:
    id = waiting(stack)
    stack.client.post(f"/v1/instances/{id}/skip", json={"step": gate(stack, id)})
    becomes(stack, id, "completed")
    page = console.open(f"/instances/{id}?act=compensate")
    playwright.expect(page.locator(".dialog")).to_contain_text("done is undone")
    confirm(page, "Compensate", "it was a mistake")
    becomes(stack, id, "completed", "completed")


def gate(stack: Stack, id: str) -> int:
    steps = stack.client.get(f"/v1/instances/{id}/steps").json()["items"]
    return int(next(step["id"] for step in steps if step["name"] == "gate"))


def test_a_dead_letter_is_resolved_by_hand(console: Page, stack: Stack) -> None:
    id = begin(stack, "gives-up", business_id="gives-up-1")
    becomes(stack, id, "faulted", "failed")
    page = console.open("/needs")
    row = page.locator("[role=row]", has_text="gives-up-1")
    playwright.expect(row).to_contain_text("refund refused")
    row.get_by_role("button", name="Resolve…").click()
    confirm(page, "Resolve", "refunded by phone")
    becomes(stack, id, "faulted", "completed")


def test_nothing_happens_to_an_instance_that_moved_meanwhile(console: Page, stack: Stack) -> None:
    id = waiting(stack)
    page = console.open(f"/instances/{id}?act=cancel")
    dialog = page.locator(".dialog")
    playwright.expect(dialog).to_contain_text("done is undone")
    # The plan is older than what happens now; the page has not heard of it yet.
    page.route(
        "**/v1/instances/*",
        lambda route: route.abort() if "steps" in route.request.url else route.continue_(),
    )
    stack.client.post(f"/v1/instances/{id}/suspend", json={})
    dialog.get_by_role("button", name="Cancel and undo").click()
    playwright.expect(dialog).to_contain_text("The instance moved meanwhile: nothing happened")
    assert instance(stack, id)["status"] == "suspended"
    dialog.get_by_role("button", name="Cancel and undo").click()
    becomes(stack, id, "cancelled", "completed")


def test_a_bulk_operation_needs_its_count_typed(console: Page, stack: Stack) -> None:
    label = {"bulk": "b1"}
    ids = [begin(stack, "waits", labels=label) for _ in range(22)]
    stack.until(lambda: all(instance(stack, id)["status"] == "waiting" for id in ids), "all wait")
    page = console.open("/instances?label.bulk=b1")
    page.locator(".link-row .check").first.click()
    page.get_by_role("button", name="or all 22 that match").click()
    page.get_by_role("button", name="Suspend…").click()
    dialog = page.locator(".dialog")
    button = dialog.get_by_role("button", name=re.compile("^Suspend 22"))
    playwright.expect(button).to_be_disabled()
    dialog.get_by_label("Type 22 to confirm").fill("21")
    playwright.expect(button).to_be_disabled()
    dialog.get_by_label("Type 22 to confirm").fill("22")
    dialog.get_by_label("Reason").fill("maintenance")
    button.click()
    page.wait_for_url("**/console/operations/*")
    playwright.expect(page.locator("main")).to_contain_text("22 of 22")
    playwright.expect(page.locator(".outcome-list .plan-row")).to_have_count(22)
    assert {instance(stack, id)["status"] for id in ids} == {"suspended"}


# Writing and events


def paste(editor: Any, text: str) -> None:
    """As a person pastes: the browser's own insertion of text would add styles of its own."""
    editor.evaluate(
        """(element, text) => {
          const data = new DataTransfer()
          data.setData('text/plain', text)
          const options = { clipboardData: data, bubbles: true, cancelable: true }
          element.dispatchEvent(new ClipboardEvent('paste', options))
        }""",
        text,
    )


def test_a_mistake_is_marked_at_its_line_and_the_mended_text_deployed(
    console: Page, stack: Stack
) -> None:
    page = console.open("/new-workflow")
    editor = page.locator(".cm-content")
    editor.click()
    page.keyboard.press("Control+a")
    text = (
        "document:\n  dsl: '1.0.3'\n  namespace: test\n  name: written\n  version: '0.1.0'\n"
        "do:\n- first:\n    cal: steps.add\n    with: {a: 1, b: 2}\n"
    )
    paste(editor, text)
    problem = page.locator(".problem-row").first
    playwright.expect(problem).to_contain_text("8:5")
    playwright.expect(problem).to_contain_text("did you mean 'call'?")
    playwright.expect(page.get_by_role("button", name="Deploy…")).to_be_disabled()
    page.keyboard.press("Control+a")
    paste(editor, text.replace("cal:", "call:"))
    playwright.expect(page.locator(".editor-graph .node", has_text="first")).to_be_visible()
    page.get_by_role("button", name="Deploy…").click()
    page.locator(".dialog").get_by_role("button", name="Deploy 0.1.0").click()
    page.wait_for_url("**/console/workflows/test/written")
    found = stack.client.get("/v1/workflows/test/written/versions/0.1.0").json()
    assert found["document"]["do"][0]["first"]["call"] == "steps.add"


def test_a_document_deployed_as_json_reads_as_yaml(console: Page) -> None:
    page = console.open("/workflows/test/saga?tab=document")
    lines = page.locator(".cm-line")
    playwright.expect(lines.first).to_have_text("document:")
    playwright.expect(page.locator(".cm-content")).to_contain_text("call: steps.add")
    playwright.expect(page.locator(".editor-bar")).to_contain_text("As deployed, 1.0.0")


def test_versions_are_compared_by_task_and_line(console: Page, stack: Stack) -> None:
    stack.deploy(document("compared", {"one": add(1, 1)}))
    stack.deploy(document("compared", {"one": add(1, 1)}, {"two": add(2, 2)}, version="1.1.0"))
    page = console.open("/workflows/test/compared?tab=versions")
    card = page.locator(".compared")
    playwright.expect(card).to_contain_text("From 1.0.0 to 1.1.0")
    playwright.expect(card.locator(".changes")).to_contain_text("two")
    playwright.expect(card.locator(".diff .add").first).to_contain_text("version: '1.1.0'")
    playwright.expect(card.locator(".diff .add", has_text="two:")).to_have_count(1)


def test_an_event_frees_a_listener(console: Page, stack: Stack) -> None:
    id = waiting(stack, business_id="hears-it")
    page = console.open("/events?find=hears-it&type=test.go")
    console.page.goto(f"/console/events?find={id}")
    page.locator("[role=row]", has_text="hears-it").get_by_role("button", name="Send…").click()
    dialog = page.locator(".dialog")
    playwright.expect(dialog.get_by_label("Type")).to_have_value("test.go")
    dialog.get_by_label("Data of the event").fill('{"by": "Ada"}')
    heard = dialog.get_by_role("region", name="Who would hear it")
    playwright.expect(heard).to_contain_text("test/waits, gate")
    dialog.get_by_label("Type").fill("test.nobody")
    playwright.expect(heard).to_contain_text("stays in the mailbox")
    dialog.get_by_label("Type").fill("test.go")
    playwright.expect(heard).to_contain_text("hears-it")
    dialog.get_by_role("button", name="Send to hears-it").click()
    playwright.expect(dialog).to_have_count(0)
    becomes(stack, id, "completed")


def test_start_by_a_form_and_start_again(console: Page, stack: Stack) -> None:
    form = document("formed", {"sum": add("${ $workflow.input.a }", 1)})
    properties = {"a": {"type": "integer"}, "kind": {"type": "string", "enum": ["x", "y"]}}
    form["input"] = {
        "schema": {"document": {"type": "object", "required": ["a"], "properties": properties}}
    }
    stack.deploy(form)
    page = console.open("/workflows/test/formed")
    page.get_by_role("button", name="Start…").click()
    dialog = page.locator(".dialog")
    dialog.get_by_label("a", exact=True).fill("4")
    dialog.get_by_label("kind (optional)").select_option("y")
    dialog.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/console/instances/*")
    first = stack.wait(page.url.rsplit("/", 1)[1])
    assert first["input"] == {"a": 4, "kind": "y"}
    page.get_by_role("button", name="Start again…").click()
    page.locator(".dialog").get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url(lambda url: first["id"] not in url)
    assert stack.wait(page.url.rsplit("/", 1)[1])["input"] == first["input"]


# The undo lane


@pytest.mark.parametrize("seed", range(5))
def test_the_undo_lane_is_what_the_api_says(console: Page, stack: Stack, seed: int) -> None:
    chance = random.Random(seed)
    tasks = [
        {f"t{at}": add(at, 1, UNDO if chance.random() < 0.7 else None)}
        for at in range(chance.randint(2, 7))
    ]
    stack.deploy(document(f"saga-{seed}", *tasks, {"last": add("x", 1)}))
    id = begin(stack, f"saga-{seed}")
    has_undo = any("metadata" in next(iter(task.values())) for task in tasks)
    becomes(stack, id, "faulted", "completed" if has_undo else "none")
    steps = stack.client.get(f"/v1/instances/{id}/steps").json()["items"]
    undone = [step for step in steps if step["compensates"] is not None]
    page = console.open(f"/instances/{id}?tab=undo")
    page.wait_for_selector(".lane-svg")
    shown = page.locator("[data-undo]")
    playwright.expect(shown).to_have_count(len(undone))
    told = shown.evaluate_all(
        "all => all.map(e => [+e.dataset.order, +e.dataset.undo, +e.dataset.undoes])"
    )
    assert sorted(told) == [
        [at + 1, step["id"], step["compensates"]] for at, step in enumerate(undone)
    ]
    lane = page.locator("[data-lane]").evaluate_all("all => all.map(e => +e.dataset.lane)")
    forward = [step for step in steps if step["compensates"] is None and step["ended_at"]]
    assert lane == [step["id"] for step in sorted(forward, key=lambda s: (s["ended_at"], s["id"]))]
    if undone:
        playwright.expect(page.locator(".undo-list li").first).to_contain_text(
            "because last faulted"
        )


# Everybody, and everything from outside

VIEWS = (
    "/instances",
    "/workflows",
    "/workflows/test/waits",
    "/workflows/test/waits?tab=document",
    "/workflows/test/waits?tab=versions",
    "/events",
    "/events?tab=received",
    "/schedules",
    "/needs",
    "/health",
    "/operations",
    "/audit",
    "/new-workflow",
)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_no_serious_violation(browser: Any, stack: Stack, theme: str) -> None:
    faulted = begin(stack, "saga")
    becomes(stack, faulted, "faulted", "completed")
    own = [
        f"/instances/{faulted}",
        f"/instances/{faulted}?step=1",
        f"/instances/{faulted}?tab=undo",
        f"/instances/{faulted}?tab=history",
        f"/instances/{faulted}?tab=data",
        f"/instances/{faulted}?tab=events",
        f"/instances/{waiting(stack)}?act=cancel",
        f"/compare?a={faulted}&b={waiting(stack)}",
        f"/compare?a={faulted}",
    ]
    console = Page(browser, at(stack), theme)
    found = []
    for path in (*VIEWS, *own):
        page = console.open(path)
        page.wait_for_load_state("networkidle")
        result = axe.Axe().run(page)
        found += [
            (path, each["id"], [node["html"][:160] for node in each["nodes"]][:3])
            for each in result.response["violations"]
            if each["impact"] in ("serious", "critical")
        ]
    console.close()
    assert found == []
    assert console.problems == []


MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
LONG = "w" * 900


def test_hostile_names_and_payloads_are_text_and_overflow_nothing(
    console: Page, stack: Stack
) -> None:
    odd = document("odd", {f"<b>{'t' * 200}</b>": {"set": {"said": "${ $workflow.input }"}}})
    odd["document"]["title"] = MARKUP
    stack.deploy(odd)
    payload = {
        "markup": MARKUP,
        "link": "javascript:alert(3)",
        "rtl": "\u202eabc\u202c \u2066x\u2069",
        "long": "x" * 1_000_000,
        "__proto__": {"polluted": True},
    }
    labels = {"k" * 60: "v" * 255, "markup": MARKUP[:200]}
    id = begin(stack, "odd", business_id=f"{MARKUP}{LONG}", labels=labels, input=payload)
    bad = begin(stack, "sum", input={"a": f"{MARKUP} {LONG}"}, business_id=f"bad {LONG}")
    stack.wait(id)
    becomes(stack, bad, "faulted")
    page = console.page
    page.on("dialog", lambda dialog: console.problems.append(f"it ran: {dialog.message}"))
    paths = ("", "?step=1", "?tab=data", "?tab=history", "?tab=events")
    for path in (
        "/instances",
        "/workflows",
        "/workflows/test/odd",
        "/needs",
        "/audit",
        *(f"/instances/{each}{path}" for each in (id, bad) for path in paths),
        f"/instances/{bad}?act=retry",
    ):
        console.open(path)
        page.wait_for_load_state("networkidle")
        assert page.locator("main img, main script").count() == 0, path
        assert page.locator('a[href^="javascript:"]').count() == 0, path
        wide = page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert wide <= 0, path
        heads = page.locator("main .bar").evaluate_all(
            "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
        )
        assert heads == 0, path


def test_without_permission_no_action_is_offered(console: Page, stack: Stack) -> None:
    me = {"name": "Vi Ewer", "role": "viewer", "namespaces": None, "authentication": "key"}
    page = console.page
    page.route("**/v1/me", lambda route: route.fulfill(status=200, body=json.dumps(me)))
    id = waiting(stack)
    console.open(f"/instances/{id}")
    playwright.expect(page.locator(".nav")).to_contain_text("Vi Ewer")
    playwright.expect(page.locator(".tl")).to_contain_text("gate")
    assert page.get_by_role("button", name="Cancel and undo…").count() == 0
    assert page.get_by_role("button", name="Start again…").count() == 0


# Bounds

LOOP = document(
    "loop", {"rows": {"for": {"in": "${ [1, 2, 3] }"}, "do": [{"turn": {"set": {"a": 1}}}]}}
)
#: The most elements of a page, however much it shows.
MOST_ELEMENTS = 3000


@pytest.fixture
def large(console: Page, stack: Stack) -> Large:
    """The page and an instance that it sees with 5,000 steps, 10,000 transitions, 1,000 tasks."""
    stack.deploy(LOOP)
    id = begin(stack, "loop")
    stack.wait(id)
    return Large(console.page, stack.client, id)


def scrolled(page: Any, selector: str, last: Any) -> int:
    """Scroll to the end, which is read by page, and return the most elements on the way."""
    most = 0
    while not last.is_visible():
        page.evaluate(SCROLL, selector)
        page.wait_for_timeout(20)  # the next page comes while one scrolls
        most = max(most, page.evaluate(ELEMENTS))
    return max(most, page.evaluate(ELEMENTS))


def test_a_list_of_ten_thousand_rows_has_few_elements(console: Page, large: Large) -> None:
    page = console.open("/instances")
    playwright.expect(page.locator(".link-row").first).to_be_visible()
    last = page.locator(".link-row", has_text=f"row {ROWS - 1:05x}")
    assert scrolled(page, ".instances-table", last) < MOST_ELEMENTS


def test_five_thousand_steps_and_a_thousand_nodes_have_few_elements(
    console: Page, large: Large
) -> None:
    page = console.open(f"/instances/{large.id}")
    playwright.expect(page.locator(".tl")).to_contain_text(re.compile("4.?999 turns"))
    playwright.expect(page.locator(".g .node", has_text="task0").first).to_be_attached()
    assert page.evaluate(ELEMENTS) < MOST_ELEMENTS
    page.get_by_role("button", name="more turns: show all").click()
    last = page.locator(".tl .r", has_text=f"turn [{STEPS - 2}]")
    assert scrolled(page, ".tl .r", last) < MOST_ELEMENTS


def test_ten_thousand_transitions_have_few_elements(console: Page, large: Large) -> None:
    page = console.open(f"/instances/{large.id}?tab=history")
    rows = page.get_by_role("table", name="History, the newest first")
    playwright.expect(rows).to_contain_text(str(TRANSITIONS))
    last = rows.get_by_role("cell", name="1", exact=True)
    assert scrolled(page, "[aria-label^=History] [role=row]", last) < MOST_ELEMENTS

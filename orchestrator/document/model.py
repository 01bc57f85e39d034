"""The compiled document: each task with its position, its siblings and its children.

A task's reference is its JSON pointer (RFC 6901) in the document, the form that the conformance kit
expects in an error's `instance`:

    /do/0/pay    /do/1/each/do/0/x    /do/2/t/try/0/y    /do/2/t/catch/do/0/h
    /do/3/f/fork/branches/1/b    /do/4/l/foreach/do/0/x    /use/functions/charge
    /use/extensions/0/log/before/0/say    /do/0/pay/metadata/compensate

A document never changes, so tasks and lists are created once and cached.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from orchestrator.errors import NotFound

#: The key that determines a task's kind (dsl-reference.md, Task). `for` comes before `do`, because
#: a `for` has both keys.
KINDS = (
    "for", "try", "call", "set", "switch", "do", "fork", "raise", "wait", "emit", "listen", "run",
)  # fmt: skip

#: Pointers to the lists of tasks within a task of each kind.
LISTS: dict[str, tuple[str, ...]] = {
    "do": ("/do",),
    "for": ("/do",),
    "fork": ("/fork/branches",),
    "try": ("/try", "/catch/do"),
    "listen": ("/foreach/do",),
}

COMPENSATE = "/metadata/compensate"


def escape(name: str) -> str:
    """Return a name as one token of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def unescape(token: str) -> str:
    """Return the name that a token of a JSON pointer stands for."""
    return token.replace("~1", "/").replace("~0", "~")


def look_up(document: Any, pointer: str) -> Any:
    """Return the value at a JSON pointer. Raise `NotFound` if there is none."""
    value = document
    for token in pointer.split("/")[1:]:
        try:
            value = value[int(token)] if isinstance(value, list) else value[unescape(token)]
        except (KeyError, IndexError, ValueError, TypeError):
            raise NotFound(f"the document has nothing at {pointer}") from None
    return value


def kind_of(body: dict[str, Any]) -> str:
    """Return the kind of a task. Raise `NotFound` if no key determines one."""
    for kind in KINDS:
        if kind in body:
            return kind
    raise NotFound("the task is of no known kind")


class Task:
    """A task of the document. `index` is its position in the list at `list_ref`; both are None for
    a task without siblings (a function, a compensation).

    The core stores in `plan` what it derives from the task to run it.
    """

    __slots__ = ("body", "index", "kind", "list_ref", "name", "plan", "reference", "workflow")

    def __init__(
        self,
        workflow: Workflow,
        ref: str,
        name: str,
        body: dict[str, Any],
        list_ref: str | None = None,
        index: int | None = None,
    ) -> None:
        self.workflow = workflow
        self.reference = ref
        self.name = name
        self.body = body
        self.kind = kind_of(body)
        self.list_ref = list_ref
        self.index = index
        self.plan: Any = None

    def __repr__(self) -> str:
        return f"<Task {self.kind} {self.reference}>"

    @property
    def metadata(self) -> dict[str, Any]:
        """The author's `metadata`, which includes the product's extensions of the DSL."""
        metadata = self.body.get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    @property
    def siblings(self) -> TaskList:
        """The list that contains the task; empty for a task without siblings."""
        return self.workflow.tasks(self.list_ref) if self.list_ref else EMPTY

    @property
    def compensation(self) -> Task | None:
        """The task that undoes this one, or None."""
        if "compensate" not in self.metadata:
            return None
        return self.workflow.task(self.reference + COMPENSATE)

    def children(self) -> Iterator[Task]:
        """Yield the tasks directly inside, in the order of the document."""
        for place in LISTS.get(self.kind, ()):
            yield from self.workflow.tasks(self.reference + place)

    def inside(self) -> Iterator[Task]:
        """Yield the task and every task inside it, parents first, without compensations."""
        waiting = [self]
        while waiting:
            task = waiting.pop()
            yield task
            waiting.extend(reversed(list(task.children())))


class TaskList:
    """A list of named tasks. If a name occurs twice, it means the first task."""

    __slots__ = ("names", "reference", "tasks")

    def __init__(self, ref: str, tasks: tuple[Task, ...]) -> None:
        self.reference = ref
        self.tasks = tasks
        self.names: dict[str, Task] = {task.name: task for task in reversed(tasks)}

    def __len__(self) -> int:
        return len(self.tasks)

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __getitem__(self, index: int) -> Task:
        return self.tasks[index]


EMPTY = TaskList("", ())


class Workflow:
    """A workflow version that can run. `document` is the one that `orchestrator.document.load`
    returns. The core stores what it derives in `plan`."""

    __slots__ = ("_lists", "_tasks", "document", "name", "namespace", "plan", "use", "version")

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        about = document["document"]
        self.namespace: str = about["namespace"]
        self.name: str = about["name"]
        self.version: str = about["version"]
        self.use: dict[str, Any] = document.get("use") or {}
        self.plan: Any = None
        self._tasks: dict[str, Task] = {}
        self._lists: dict[str, TaskList] = {}

    @property
    def do(self) -> list[Task]:
        """The tasks of the workflow itself."""
        return list(self.tasks("/do"))

    @property
    def metadata(self) -> dict[str, Any]:
        """The author's `document.metadata`."""
        metadata = self.document["document"].get("metadata")
        return metadata if isinstance(metadata, dict) else {}

    def task(self, ref: str) -> Task:
        """Return the task at a reference. Raise `NotFound` if there is none."""
        task = self._tasks.get(ref)
        return task if task is not None else self._load_task(ref)

    def tasks(self, ref: str) -> TaskList:
        """Return the list of tasks at a pointer; empty if the document has none."""
        task_list = self._lists.get(ref)
        if task_list is None:
            task_list = self._lists[ref] = self._load_list(ref)
        return task_list

    def every_task(self) -> Iterator[Task]:
        """Yield every task of the document: those of the workflow, functions and extensions, and
        the compensations of all of them."""
        for task in self._outermost():
            for inner in task.inside():
                yield inner
                yield from _compensations(inner)

    def _outermost(self) -> Iterator[Task]:
        yield from self.tasks("/do")
        for name in self.use.get("functions") or {}:
            yield self.task(f"/use/functions/{escape(name)}")
        for index, extension in enumerate(self.use.get("extensions") or ()):
            for name in extension:
                place = f"/use/extensions/{index}/{escape(name)}"
                yield from self.tasks(place + "/before")
                yield from self.tasks(place + "/after")

    def _load_list(self, ref: str) -> TaskList:
        try:
            items = look_up(self.document, ref)
        except NotFound:
            items = ()
        tasks = []
        for index, item in enumerate(items or ()):
            ((name, body),) = item.items()
            task = Task(self, f"{ref}/{index}/{escape(name)}", name, body, ref, index)
            tasks.append(self._tasks.setdefault(task.reference, task))
        return TaskList(ref, tuple(tasks))

    def _load_task(self, ref: str) -> Task:
        """Create a task on its first use. A task of a list is created with its siblings."""
        above, _, name = ref.rpartition("/")
        list_ref, _, index = above.rpartition("/")
        if index.isdecimal():
            self.tasks(list_ref)
            if ref in self._tasks:
                return self._tasks[ref]
        body = look_up(self.document, ref)
        if not isinstance(body, dict):
            raise NotFound(f"{ref} is no task")
        return self._tasks.setdefault(ref, Task(self, ref, unescape(name), body))


def _compensations(task: Task) -> Iterator[Task]:
    undoing = task.compensation
    if undoing is not None:
        for inner in undoing.inside():
            yield inner
            yield from _compensations(inner)

"""Log lines: a sentence, an action, ids; JSON outside terminals; no secrets, no forged lines."""

from __future__ import annotations

import io
import json
import logging
import pickle
from collections.abc import Iterator
from logging.handlers import QueueHandler
from queue import Queue

import pytest

from orchestrator.log import add_context, configure, get_logger
from orchestrator.outage_log import OutageLog
from orchestrator.settings import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_json_outside_a_terminal() -> None:
    stream = io.StringIO()
    configure(Settings(), stream)
    get_logger("orchestrator.test").info("It ended", action="ended", instance="i-1", step=3)
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "message"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "message": "It ended",
        "logger": "orchestrator.test",
        "action": "ended",
        "instance": "i-1",
        "step": 3,
    }


def test_lines_of_other_loggers_have_the_same_format() -> None:
    stream = io.StringIO()
    configure(Settings(), stream)
    logging.getLogger("somebody").warning("they say %s", "so", extra={"task": "t"})
    (line,) = lines(stream)
    assert (line["message"], line["logger"], line["task"]) == ("they say so", "somebody", "t")


def test_less_severe_lines_are_left_out() -> None:
    stream = io.StringIO()
    configure(Settings(log_level="WARNING"), stream)
    get_logger("orchestrator.test").info("no")
    get_logger("orchestrator.test").error("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_a_person_gets_text_in_one_line() -> None:
    stream = Terminal()
    configure(Settings(), stream)
    get_logger("orchestrator.test").info("forged\nline \x1b[2J é", action="a", id="x\ny")
    (line,) = stream.getvalue().splitlines()
    assert r"forged\nline \x1b[2J é" in line
    assert "action" in line


def test_the_format_can_be_chosen() -> None:
    stream = Terminal()
    configure(Settings(log_format="json"), stream)
    get_logger("orchestrator.test").info("It ended")
    assert lines(stream)


@pytest.mark.parametrize("form", ["json", "text"])
def test_tracebacks_show_no_variables(form: str) -> None:
    stream = io.StringIO()
    configure(Settings(log_format=form), stream)
    secret = "hidden" + "value"
    try:
        raise ValueError(len(secret))
    except ValueError:
        get_logger("orchestrator.test").exception("It failed", action="failed")
    assert "ValueError: 11" in stream.getvalue()
    assert secret not in stream.getvalue()


def test_a_keyword_may_have_the_name_of_a_record_s_field() -> None:
    stream = io.StringIO()
    configure(Settings(), stream)
    get_logger("orchestrator.test").info("It ended", process=7, name="n")
    (line,) = lines(stream)
    assert (line["process_"], line["name_"]) == (7, "n")


# -- users' processes: nothing of ours is configured ------------------------------------------


def test_in_users_processes_a_line_is_a_sentence_with_its_fields(
    caplog: pytest.LogCaptureFixture,
) -> None:
    get_logger("orchestrator.test").warning(
        "100 % ended", action="ended", step=3, error='connection to "db" refused\nIs it running?'
    )
    (record,) = caplog.records
    assert record.getMessage() == (
        "100 % ended [action=ended step=3"
        r' error="connection to \"db\" refused\nIs it running?"]'
    )
    # Error trackers group by the text without values; JSON formatters read the attributes.
    assert record.msg == "100 %% ended [action=%(action)s step=%(step)s error=%(error)s]"
    assert (record.action, record.step) == ("ended", 3)  # type: ignore[attr-defined]


def test_a_line_without_fields_is_its_sentence(caplog: pytest.LogCaptureFixture) -> None:
    get_logger("orchestrator.test").warning("100 % ended")
    assert caplog.records[0].getMessage() == "100 % ended"


def test_an_error_has_its_traceback_in_users_processes(caplog: pytest.LogCaptureFixture) -> None:
    try:
        raise ValueError("the cause")
    except ValueError:
        get_logger("orchestrator.test").exception("It failed", action="failed")
    (record,) = caplog.records
    assert "ValueError: the cause" in caplog.text
    assert record.getMessage() == "It failed [action=failed]"


def test_a_queue_of_records_keeps_a_line_whole() -> None:
    """As with a QueueHandler, which other processes read."""
    records: Queue[logging.LogRecord] = Queue()
    logger = logging.getLogger("orchestrator.queued")
    handler = QueueHandler(records)
    logger.addHandler(handler)
    try:
        get_logger("orchestrator.queued").warning("It ended", instance="i-1")
    finally:
        logger.removeHandler(handler)
    record = pickle.loads(pickle.dumps(records.get_nowait()))
    assert record.getMessage() == "It ended [instance=i-1]"


# -- outages --------------------------------------------------------------------------------


def test_an_outage_is_two_lines_and_summaries(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    time = [100.0]
    monkeypatch.setattr("orchestrator.outage_log.monotonic", lambda: time[0])
    outage = OutageLog("Postgres")
    outage.answered()
    for _ in range(200):
        outage.failed("connection to server at 10.0.0.7 refused", subject="a claim")
        time[0] += 0.5
    outage.answered()
    outage.answered()
    assert [record.getMessage() for record in caplog.records] == [
        "Postgres is unavailable; trying again [action=outage_began"
        ' error="connection to server at 10.0.0.7 refused" subject="a claim"]',
        "Postgres is still unavailable [action=outage_goes_on seconds=60.0 failures=121"
        ' error="connection to server at 10.0.0.7 refused"]',
        "Postgres is available again [action=outage_ended seconds=100.0 failures=200]",
    ]
    outage.failed("again")
    assert len(caplog.records) == 4, "the next outage is a new one"


@pytest.mark.parametrize("form", ["json", "text"])
def test_celerys_repeated_data_is_removed(form: str) -> None:
    stream = io.StringIO()
    configure(Settings(log_format=form), stream)
    said = {"id": "a-1", "name": "shop.pay", "return_value": "'said once'", "kwargs": "{}"}
    sentence = "Task %(name)s[%(id)s] succeeded: %(return_value)s"
    logging.getLogger("celery.app.trace").info(sentence, said, extra={"data": said})
    text = stream.getvalue()
    assert text.count("said once") == 1 and "kwargs" not in text
    if form == "json":
        (line,) = lines(stream)
        assert (line["attempt"], line["task"]) == ("a-1", "shop.pay")


def test_a_line_has_the_fields_of_its_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.log._providers", {})
    now = {"instance": "i-1", "step": 3}
    add_context("step", lambda: now)
    stream = io.StringIO()
    configure(Settings(), stream)
    get_logger("orchestrator.test").info("Ours", step=4)
    logging.getLogger("somebody").info("theirs")
    now.clear()
    logging.getLogger("somebody").info("outside")
    ours, theirs, outside = lines(stream)
    assert (ours["instance"], ours["step"]) == ("i-1", 4)  # the line's own fields win
    assert (theirs["instance"], theirs["step"]) == ("i-1", 3)
    assert "instance" not in outside


def test_a_misspelt_setting_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCHESTRATOR_DATABSE_URL", "postgresql://somewhere")
    stream = io.StringIO()
    configure(Settings(log_level="WARNING"), stream)
    said = stream.getvalue()
    assert "ORCHESTRATOR_DATABSE_URL is no setting, did you mean ORCHESTRATOR_DATABASE_URL?" in said
    assert "somewhere" not in said

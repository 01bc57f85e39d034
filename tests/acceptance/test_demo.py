"""The demo for real: what it leaves in the shop's tables, what it prints, that it ends."""

from __future__ import annotations

import re
import subprocess

import pytest

from orchestrator.cli.dev.process_scan import with_variable
from tests.support.dev import CLI, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """One run of the demo."""
    return subprocess.run(
        [*CLI, "demo", "--data", "data"],
        env=environment(DEMO_TEST="1"),
        cwd=tmp_path_factory.mktemp("demo"),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_everything_ended_as_it_must(run):
    assert run.returncode == 0, run.stdout + run.stderr
    assert "✗" not in run.stdout.partition("checked")[2]


def test_no_process_is_left(run):
    assert with_variable("DEMO_TEST=1") == {}
    assert "✓ no process is left" in run.stdout


def test_it_prints_the_steps_the_kill_the_restart_and_the_compensation(run):
    declined = run.stdout.partition("order o-2")[0]
    order = [
        r"workflow\.started",
        r"task\.completed reserveStock",
        r"charge_deposit starts in worker (\d+), key (\S+)",
        r"SIGKILL for worker \1",
        r"chargeDeposit: attempt 1 lost",
        r"charge_deposit starts in worker (?!\1)\d+, key \2",
        r"task\.completed chargeDeposit",
        r"task\.faulted chargeBalance",
        r"task\.completed chargeDeposit \(undoing\)",
        r"task\.completed reserveStock \(undoing\)",
    ]
    assert re.search(".*?".join(order), declined, re.DOTALL), run.stdout


def test_the_shop_counts_one_charge_and_one_refund_of_the_first_order(run):
    declined = run.stdout.partition("order o-2")[0]
    assert len(re.findall(r"^shop\.charges", declined, re.MULTILINE)) == 1
    assert len(re.findall(r"^shop\.refunds", declined, re.MULTILINE)) == 1
    assert "item=lamp  quantity=10" in declined
    assert "item=lamp  quantity=8" in run.stdout.partition("order o-2")[2]


def test_the_second_order_completed(run):
    assert "workflow.completed" in run.stdout.partition("order o-2")[2]

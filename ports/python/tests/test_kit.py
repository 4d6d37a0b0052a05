"""The conformance kit catches each broken driver, by a case whose message says what is wrong.

The kit is the program ``sessiondir``, which the variable ``SESSIONDIR`` names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, List

import pytest

from broken_driver import FAULTS

KIT = os.environ.get("SESSIONDIR")
BROKEN = Path(__file__).with_name("broken_driver.py")

#: Of each fault: the cases that are run, and what the message of one that fails says.
CAUGHT = {
    "flock": (["locks/L1/", "locks/L2/"], "LOCK-1"),
    "wrong-slot": (["scenarios/save/in-place"], "slot"),
    "non-canonical": (["record/"], "VAL-1"),
    "no-second-read": (["readers/"], "READ-4"),
    "foreign-attributes": (["attributes/"], "VAL-14"),
    "descending": (["locks/order/"], "LOCK-11"),
    "hasty-sweep": (["locks/L11/extended/"], "COLL-1"),
    "resurrection": (["locks/L11/swept-before-extended/"], "WRITE-10"),
}


def run(fault: str, only: List[str]) -> Dict[str, Any]:
    assert KIT is not None
    command = [KIT, "conformance", "--json", "--timeout", "60"]
    for part in only:
        command += ["--only", part]
    done = subprocess.run([*command, "--", sys.executable, str(BROKEN), fault], stdout=subprocess.PIPE, timeout=600)
    report: Dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if report["as_expected"] else 1)
    return report


def test_every_fault_has_an_expectation() -> None:
    assert set(FAULTS) == {"none", *CAUGHT}


@pytest.mark.parametrize("fault", CAUGHT)
def test_a_broken_driver_is_caught(fault: str) -> None:
    if KIT is None:
        if os.environ.get("CI"):
            pytest.fail("SESSIONDIR does not name the kit")
        pytest.skip("SKIP broken drivers: SESSIONDIR does not name the kit")
    only, says = CAUGHT[fault]
    whole = run("none", only)
    assert whole["failed"] == whole["errored"] == whole["hang"] == whole["skipped"] == 0, "the control"
    assert whole["passed"] > 0
    report = run(fault, only)
    told = [
        "%s (%s)" % (case["message"], ", ".join(case["rules"]))
        for case in report["cases"]
        if case["result"] == "failed"
    ]
    assert any(says in message for message in told), told

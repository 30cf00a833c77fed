"""The tester's hand over HTTP does what it says, and a mistake is told."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from service.sandbox.errors import SandboxError
from service.sandbox.harness import SandboxServer
from service.sandbox.server import bind, run
from tests.integration.sandbox.played import Caller, Clock, until

COMMAND = [sys.executable, "-m", "service.cli", "sandbox"]


class TestControl:
    def test_every_hand_works_over_http(self, sandbox: SandboxServer, clock: Clock) -> None:
        """The control API does over HTTP what the Python hand does, with money as numbers."""
        with httpx2.Client(base_url=sandbox.control_url) as hand:
            case = hand.post("/cases", json={"invoices": [{"amount": "80.00"}]}).json()
            path, owed = f"/cases/{case['caseId']}", case["invoices"][0]["invoiceId"]
            assert hand.post(f"{path}/pause").json()["status"] == "PAUSED"
            assert hand.post(f"{path}/resume").json()["status"] == "OPEN"
            assert hand.patch(path, json={"description": "new"}).json()["description"] == "new"
            patch = {"invoices": [{"invoiceId": owed, "remainingAmount": 70}]}
            assert hand.patch(path, json=patch).json()["invoices"][0]["remainingAmount"] == 70
            assert hand.patch(path, json={"type": "X", "webhook": False}).json()["type"] == "X"
            assert '"totalAmount":5.50' in hand.post(f"{path}/settle", json={"amount": "5.50"}).text
            assert hand.post(f"/invoices/{owed}/pay", json={}).json()["status"] == "CLOSED"
            turned = hand.patch("/behaviour", json={"read_lag_seconds": 1.5, "duplicates": 2})
            assert turned.json()["read_lag_seconds"] == 1.5
            assert hand.patch("/webhook", json={"secret": "x"}).json()["hasSecret"] is True
            assert hand.get("/health").json()["cases"] == 1
            said = hand.get("/deliveries", params={"event": "CASE_UPDATED"}).json()
            fields = [json.loads(one["body"])["data"]["fields"] for one in said]
            assert fields == [
                *(["status"], ["status"], ["description"]),
                *(["amounts"], ["amounts", "status"]),
            ]
            hand.post("/reset")
            assert hand.get("/health").json()["cases"] == 0
            assert hand.get("/behaviour").json()["duplicates"] == 1

    def test_a_batch_can_be_finished_by_hand(self, sandbox: SandboxServer, caller: Caller) -> None:
        """A registered batch waits for its hand, and can fail an invoice that exists."""
        owed = sandbox.control.create_case()["invoices"][0]
        batch = sandbox.control.register_batch(type="INVOICE")
        failed = [{"invoiceId": owed["invoiceId"], "invoiceNumber": owed["invoiceNumber"]}]
        done = sandbox.control.complete_batch(batch["batchId"], failed=failed)
        assert (done["status"], done["failed"]) == ("FAILED", failed)
        assert caller.get(f"/batches/{batch['batchId']}")["data"] == done
        with pytest.raises(SandboxError):
            sandbox.control.complete_batch(batch["batchId"])

    @pytest.mark.parametrize(
        ("method", "path", "body"),
        [
            ("PATCH", "/behaviour", {"speed": 1}),
            ("PATCH", "/behaviour", {"duplicates": 0}),
            ("PATCH", "/behaviour", {"reorder": 1}),
            ("POST", "/cases/unknown/pause", {}),
            ("POST", "/cases", {"invoices": [{"amount": "much"}]}),
            ("POST", "/cases", {"caseId": "chosen"}),
            ("PATCH", "/webhook", {"url": "nowhere"}),
            ("PATCH", "/webhook", {"address": "http://127.0.0.1/"}),
            ("POST", "/events", {}),
            ("POST", "/cases", []),
        ],
    )
    def test_a_mistake_is_told(
        self, sandbox: SandboxServer, method: str, path: str, body: Any
    ) -> None:
        """A control call that cannot be done answers 400 with one line, and changes nothing."""
        answer = httpx2.request(method, sandbox.control_url + path, json=body)
        assert answer.status_code == 400
        assert answer.json()["error"]
        assert sandbox.control.deliveries() == []

    def test_floats_are_no_money(self, sandbox: SandboxServer) -> None:
        """A float in Python has lost digits already, so it is refused."""
        with pytest.raises(ValueError, match="no amount"):
            sandbox.control.create_case(invoices=[{"amount": 0.1}])


class TestServing:
    def test_a_taken_port_is_one_clear_line(self) -> None:
        """Starting on a taken port raises the sandbox's own error and names the port."""
        with bind("127.0.0.1", 0) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(SandboxError, match=f"port {port}"):
                run("127.0.0.1", port, lambda port: None, client_id="c", client_secret="s")

    def test_only_loopback_is_served(self) -> None:
        """An address that others can reach is refused before any socket is opened."""
        with pytest.raises(SandboxError, match="loopback"):
            bind("0.0.0.0", 0)  # noqa: S104 - that is the mistake

    def test_the_command_turns_knobs(self) -> None:
        """`amili-events sandbox --knob NAME=VALUE` serves an Amili with this knob turned."""
        with bind("127.0.0.1", 0) as unused:
            port = unused.getsockname()[1]
        words = ["--port", str(port), "--knob", "webhook_loss_rate=0.25", "--knob", "reorder=on"]
        with subprocess.Popen([*COMMAND, *words]) as process:
            try:
                knobs = until(lambda: behaviour_at(port), patience=60)
            finally:
                process.terminate()
        assert (knobs["webhook_loss_rate"], knobs["reorder"], knobs["duplicates"]) == (
            0.25,
            True,
            1,
        )

    def test_the_command_refuses_a_knob_that_there_is_not(self) -> None:
        """A misspelt knob is one line on standard error, and nothing is served."""
        done = subprocess.run(
            [*COMMAND, "--knob", "speed=1"], capture_output=True, text=True, check=False
        )
        assert done.returncode != 0
        assert done.stderr.strip() == "amili-events: no such behaviour: speed"


def behaviour_at(port: int) -> Any:
    """Read the knobs of the sandbox on a port; None while there is none."""
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/_sandbox/behaviour").json()
    except httpx2.TransportError:
        return None

"""Automations as deployments/automations.yaml declares them, made on a Prefect server, as often as wanted."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

import yaml

from flows.pools import DEPLOYMENTS

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import AutomationCore

log = logging.getLogger(__name__)

AUTOMATIONS_FILE = DEPLOYMENTS / "automations.yaml"
ALERT_VARIABLE = "IAMSB_ALERT_URL"
ALERT_BLOCK = "iamsb-alerts"
"""Prefect's block that keeps the address alerts are posted to"""


def read_automations(alerts: UUID | None, path: Path = AUTOMATIONS_FILE) -> list[AutomationCore]:
    """The automations that a file declares.

    alerts: the webhook block that an `alert` is sent by; None: it does nothing but leave Prefect's own event.
    Raises ValueError, naming the automation, where Prefect would not take one.
    """
    from prefect.events.schemas.automations import AutomationCore  # noqa: PLC0415 - a second to import

    found = []
    for data in yaml.safe_load(path.read_text())["automations"]:
        actions = [_action(action, alerts) for action in data["actions"]]
        try:
            found.append(AutomationCore.model_validate({**data, "actions": actions}))
        except ValueError as error:
            raise ValueError(f"{path.name}: Prefect does not take {data['name']!r}: {error}") from None
    return found


def _action(action: dict[str, Any], alerts: UUID | None) -> dict[str, Any]:
    if action["type"] != "alert":
        return action
    if alerts is None:
        return {"type": "do-nothing"}
    return {"type": "call-webhook", "block_document_id": str(alerts), "payload": _payload(action["text"])}


def _payload(text: str) -> str:
    """A template of the JSON document that is posted, from a template of its text; what it names may hold quotes."""
    return "{% set text %}" + text + '{% endset %}{"text": {{ text | tojson }}}'


def register_automations(client: SyncPrefectClient) -> list[str]:
    """Make every declared automation, or bring it to what is declared; their names."""
    wanted = read_automations(_alert_block())
    for automation in wanted:
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
            log.info("made the automation %r", automation.name)
        elif _content(found[0]) != _content(automation):
            client.update_automation(found[0].id, automation.model_copy(update={"enabled": found[0].enabled}))
    return [automation.name for automation in wanted]


def _content(automation: AutomationCore) -> dict[str, Any]:
    """What is declared of an automation: all but its id, and whether it is paused."""
    return automation.model_dump(include={"name", "description", "trigger", "actions"})


def _alert_block() -> UUID | None:
    """The block of the address in IAMSB_ALERT_URL; without the variable, of the address that was given before.

    Raises ValueError for an address that is none. An empty variable turns alerts off.
    """
    from prefect.blocks.webhook import Webhook  # noqa: PLC0415 - a second to import

    address = os.environ.get(ALERT_VARIABLE)
    if address is None:
        return _earlier_block()
    if not address:
        return None
    if urlparse(address).scheme not in ("http", "https"):
        raise ValueError(f"{ALERT_VARIABLE} must be an http or https address, got {address!r}")
    block = Webhook(url=address, headers={"Content-Type": "application/json"})
    identifier: UUID = block.save(ALERT_BLOCK, overwrite=True)
    return identifier


def _earlier_block() -> UUID | None:
    from prefect.client.orchestration import get_client  # noqa: PLC0415
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    with get_client(sync_client=True) as client:
        try:
            found = client.read_block_document_by_name(ALERT_BLOCK, "webhook", include_secrets=False)
        except ObjectNotFound:
            return None
    identifier: UUID = found.id
    return identifier

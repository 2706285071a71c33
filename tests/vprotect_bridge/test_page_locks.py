"""A sync holds no lock that a page waits for, and none at all while vProtect is asked."""

from __future__ import annotations

import pytest
from django.db import connection, connections

from tenants.models import Tenant, User
from tests.conftest import machine_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine
from vprotect_bridge.sync import refresh_backups, sync_inventory


@pytest.mark.django_db(transaction=True)
def test_a_page_does_not_wait_for_who_writes_its_machine(sunflower: Tenant, owner: User, as_web):
    """It asks for a fresh history; while one is being written it has nothing to ask."""
    machine = machine_of(sunflower)
    browser = as_web(owner)
    worker = connections.create_connection("default")
    worker.settings_dict["NAME"] = connection.settings_dict["NAME"]
    worker.set_autocommit(False)
    try:
        with worker.cursor() as cursor, connection.cursor() as web:
            cursor.execute("SELECT 1 FROM vprotect_bridge_machine WHERE id = %s FOR NO KEY UPDATE", [machine.pk])
            web.execute("SET lock_timeout = '1s'")
            assert browser.get(f"/t/sunflower/machines/{machine.guid}/").status_code == 200
            web.execute("RESET lock_timeout")
    finally:
        worker.close()
    assert Machine.across_tenants.get(pk=machine.pk).backups_wanted_at is None
    assert browser.get(f"/t/sunflower/machines/{machine.guid}/").status_code == 200
    assert Machine.across_tenants.get(pk=machine.pk).backups_wanted_at, "the next look asks"


@pytest.mark.django_db(transaction=True)
def test_nothing_is_locked_while_vprotect_is_asked(api: VProtect, monkeypatch: pytest.MonkeyPatch):
    sync_inventory(api)
    call, in_transaction = api.transport.get, []

    def watched(*arguments, **named):
        in_transaction.append(connection.in_atomic_block)
        return call(*arguments, **named)

    monkeypatch.setattr(api.transport, "get", watched)
    sync_inventory(api)
    for machine in Machine.across_tenants.all()[:2]:
        refresh_backups(api, machine)
    assert in_transaction and not any(in_transaction)

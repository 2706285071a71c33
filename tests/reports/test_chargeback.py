"""Our record against vProtect's chargeback: read by a worker, shown to operators, never to tenants."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import DatabaseError, connection
from django.urls import reverse
from django.utils import timezone

from reports.chargeback import Compared, check, read_chargeback
from reports.models import ChargebackSize, Price
from reports.record import record_usage
from tenants.models import AuditEntry, Tenant, User
from tests.conftest import AsRole, OperatorClient, both_dialects, machine_of
from tests.reports.conftest import GIB, backup_of
from vprotect_bridge.client.api import VProtect
from vprotect_bridge.models import Machine

pytestmark = pytest.mark.django_db


@both_dialects
def test_what_vprotect_tells_is_what_its_restore_points_add_up_to(api: VProtect):
    """The simulator counts by its own rules, which share nothing with ours."""
    told = {row.guid: row.size for row in api.chargeback_sizes().items}
    assert told
    for guid, size in told.items():
        backups = [row for row in api.list_backups(protected_entity=guid).items if row.status.endswith("SUCCESS")]
        present = [copy for row in backups for copy in row.copies if copy.status in {"", "PRESENT"}]
        assert present and size == sum(
            row.size for row in backups for copy in row.copies if copy.status in {"", "PRESENT"}
        )
    assert read_chargeback(api) == len(told) == ChargebackSize.objects.count()
    assert read_chargeback(api) == len(told), "what was read before goes"


def test_both_are_compared_by_who_owns_the_machine(sunflower: Tenant, pine: Tenant):
    backup_of(machine_of(sunflower, "vm-1"), 3)
    backup_of(machine_of(sunflower, "vm-2"), 2)
    moved = machine_of(sunflower, "vm-3")
    backup_of(moved, 4)
    Machine.across_tenants.filter(pk=moved.pk).update(tenant=pine)
    machine_of(None, "vm-8")
    record_usage()
    now = timezone.now()
    for guid, gib in (("vm-1", 3), ("vm-2", 3), ("vm-3", 4), ("vm-7", 9), ("vm-8", 9)):
        ChargebackSize.objects.create(machine_guid=guid, stored_bytes=gib * GIB, read_at=now)
    found = check()
    assert found.tenants == [
        Compared("Pine", 4 * GIB, 4 * GIB),
        Compared("Sunflower", 5 * GIB, 6 * GIB),
    ]
    assert found.machines == [Compared("machine vm-2", 2 * GIB, 3 * GIB)]
    assert found.nobodys == 18 * GIB
    assert found.read_at == now and found.machines[0].percent == pytest.approx(-33.3, abs=0.1)


@pytest.mark.urls("portal.operator_urls")
def test_operators_see_it(sunflower: Tenant):
    backup_of(machine_of(sunflower, "vm-1"), 3)
    record_usage()
    operator = OperatorClient()
    operator.force_login(User.objects.create_superuser("staff@operator.example", "a password for tests"))
    address = reverse("admin:reports_chargebacksize_changelist")
    unread = operator.get(address).content.decode()
    assert "has not been read yet" in unread and "Sunflower" not in unread, "nothing is compared with nothing"
    ChargebackSize.objects.create(machine_guid="vm-1", stored_bytes=2 * GIB, read_at=timezone.now())
    html = operator.get(address).content.decode()
    assert "Sunflower" in html and "3.0 GiB" in html and "+1.0 GiB (+50.0 %)" in html
    assert operator.post(address).status_code in {200, 403, 405}


@pytest.mark.urls("portal.operator_urls")
def test_a_price_for_months_that_are_over_has_to_be_meant(sunflower: Tenant):
    operator = OperatorClient()
    operator.force_login(User.objects.create_superuser("staff@operator.example", "a password for tests"))
    address = reverse("admin:reports_price_add")
    last_month = (timezone.localdate().replace(day=1) - timedelta(days=1)).replace(day=1)
    form = {"tenant": sunflower.pk, "counts_from": last_month, "currency": "EUR"}
    form |= {"per_gib_month": "1", "per_machine_month": "2"}
    refused = operator.post(address, form)
    assert "This changes what months that are over come to" in refused.content.decode()
    assert not Price.objects.exists()
    assert operator.post(address, form | {"changes_the_past": "on"}).status_code == 302
    assert Price.objects.get().counts_from == last_month
    entry = AuditEntry.across_tenants.get(tenant=sunflower)
    assert entry.detail["about"] == f"Sunflower, {last_month:%Y-%m}"


def test_web_has_no_right_to_it(sunflower: Tenant, as_role: AsRole):
    with pytest.raises(DatabaseError, match="permission denied"), as_role("portal_web", sunflower):
        connection.cursor().execute("SELECT * FROM reports_chargebacksize")

"""Plans on the pages: seen by all, made and changed by administrators; as the role of web."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from bs4 import BeautifulSoup
from django.test import Client
from django.utils import timezone

from tenants.models import AuditEntry, Role, Tenant, User
from tests.conftest import machine_of, person
from tests.portal.conftest import STORE
from vprotect_bridge.models import Destination, Machine, Plan, PlanChange, Standing
from vprotect_bridge.plan_wishes import WantedSchedule

pytestmark = pytest.mark.django_db

PLANS = "/t/sunflower/plans/"
NEW = f"{PLANS}new/"


@pytest.fixture
def admin(tenant: Tenant, machine: Machine, as_web: Callable[[User], Client]) -> Client:
    """Beside the machine that has a plan there are two without."""
    for guid, name in (("vm-2", "db-02"), ("vm-3", "app-03")):
        machine_of(tenant, guid)
        Machine.across_tenants.filter(guid=guid).update(name=name)
    return as_web(person(tenant, "administrator", Role.ADMIN))


@pytest.fixture
def plan(machine: Machine) -> Plan:
    """As after it was put in place: every weekday at 02:00 in Warsaw; vProtect holds it in winter time."""
    schedule = {
        **{"guid": "s-1", "name": "sunflower-x-0", "active": True, "backup_type": "INCREMENTAL"},
        **{"execution_type": "TIME", "hour_ms": 3_600_000, "start_ms": None, "end_ms": None, "frequency_ms": None},
        **{"window_ms": 21_600_000, "days": ["FRIDAY", "MONDAY", "THURSDAY", "TUESDAY", "WEDNESDAY"]},
        **{"months": [], "occurrences": [], "rule_guids": ["r-1"], "tenant_value": ""},
    }
    policy = {
        **{"guid": "policy-1", "name": "sunflower-x", "priority": 50, "active": True, "auto_assign_mode": "DISABLED"},
        **{"removes_absent_machines": False, "vm_guids": ["vm-1"], "tenant_value": ""},
    }
    rule = {"guid": "r-1", "name": "Default", "active": True, "schedule_guids": ["s-1"], "destination_guids": [STORE]}
    held = {"policy": policy, "rules": [rule], "schedules": [schedule]}
    Plan.across_tenants.update(
        is_editable=True,
        time_zone="Europe/Warsaw",
        destination_guid=STORE,
        schedules=[WantedSchedule("INCREMENTAL", WORKDAYS, at="02:00").to_json()],
        held=held,
        put=held,
        held_digest="seen",
        held_at=timezone.now(),
    )
    return Plan.across_tenants.get()


WORKDAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY")


def form(**changes: Any) -> dict[str, Any]:
    usual = {
        **{"name": "Weekly", "machines": ["vm-2", "vm-3"], "time_zone": "Europe/Warsaw", "destination": STORE},
        **{"priority": "40", "client_key": str(uuid4())},
        **{"schedule-TOTAL_FORMS": "1", "schedule-INITIAL_FORMS": "0", "schedule-0-backup_type": "FULL"},
        **{"schedule-0-weekdays": ["SUNDAY"], "schedule-0-how": "time", "schedule-0-at": "01:00"},
        **{"schedule-0-window_minutes": "360"},
    }
    return {**usual, **changes}


def words(answer: Any) -> str:
    return " ".join(BeautifulSoup(answer.content, "html.parser").get_text(" ").split())


# ── Seeing ───────────────────────────────────────────────────────────────────


def test_the_list_says_what_happens_when(admin: Client, plan: Plan):
    page = words(admin.get(PLANS))
    assert "Nightly Incremental backup every weekday at 02:00 1" in page and "Active" in page
    assert "2 machines have no plan." in page


def test_the_page_of_a_plan(admin: Client, plan: Plan):
    page = words(admin.get(f"{PLANS}{plan.pk}/"))
    assert "When (Europe/Warsaw) Incremental backup every weekday at 02:00" in page
    assert "Next runs" in page and page.count("02:00 CET") + page.count("03:00 CEST") == 5
    assert "machine vm-1" in page and "Main store" in page


def test_without_a_plan_the_page_invites_to_make_one(browser: Client, tenant: Tenant, as_web: Any):
    assert "An administrator of your organisation can make one." in words(browser.get(PLANS))
    assert "Make the first plan" in words(as_web(person(tenant, "administrator", Role.ADMIN)).get(PLANS))


def test_a_member_sees_and_cannot_change(browser: Client, plan: Plan):
    page = browser.get(f"{PLANS}{plan.pk}/")
    assert "every weekday at 02:00" in words(page)
    assert not BeautifulSoup(page.content, "html.parser").select("main form, main a.btn")


def test_one_of_the_provider_has_no_name_and_no_buttons(admin: Client, plan: Plan):
    Plan.across_tenants.update(is_editable=False, is_made_here=False, name="")
    page = words(admin.get(f"{PLANS}{plan.pk}/"))
    assert "Your provider's plan" in page and "Your provider manages this plan." in page
    assert "Pause" not in page and admin.get(f"{PLANS}{plan.pk}/edit/").status_code == 403


def test_one_changed_elsewhere_shows_what_vprotect_holds(admin: Client, plan: Plan):
    held = {**plan.held, "schedules": [{**plan.held["schedules"][0], "hour_ms": 7_200_000}]}
    Plan.across_tenants.update(held=held)
    page = words(admin.get(f"{PLANS}{plan.pk}/"))
    assert "It was changed in the backup system." in page
    assert "When (UTC) Incremental backup every weekday at 02:00" in page


def test_one_that_never_backs_up_says_so(admin: Client, plan: Plan):
    Plan.across_tenants.update(standing=Standing.IDLE)
    assert "Never backs up" in words(admin.get(PLANS))


# ── Making ───────────────────────────────────────────────────────────────────


def test_a_new_plan_starts_with_a_weekly_full_and_daily_incrementals(admin: Client):
    soup = BeautifulSoup(admin.get(NEW).content, "html.parser")
    types = [option["value"] for option in soup.select("select[name$=backup_type] option[selected]")]
    assert types == ["FULL", "INCREMENTAL"]
    assert soup.select_one("#id_time_zone")["value"] == "Europe/Warsaw"


def test_the_preview_says_what_changes_before_anything_is_kept(admin: Client):
    page = words(admin.post(NEW, form()))
    assert "This will be made" in page and "2 machines get a plan: app-03, db-02" in page
    assert "Full backup every Sunday at 01:00" in page and "Runs that are new in the next seven days" in page
    assert Plan.across_tenants.count() == 1 and not PlanChange.across_tenants.exists()


def test_the_confirmed_wish_becomes_a_plan_and_a_change(admin: Client):
    review = BeautifulSoup(admin.post(NEW, form()).content, "html.parser")
    sent: dict[str, Any] = {}
    for field in review.select("main form input[name]"):
        sent.setdefault(field["name"], []).append(field["value"])
    answer = admin.post(NEW, {**sent, "confirmed": "yes"})
    change = PlanChange.across_tenants.get()
    assert answer.status_code == 302 and str(change.plan_id) in answer["Location"]
    assert change.wanted["machine_guids"] == ["vm-2", "vm-3"]
    assert change.wanted["schedules"][0]["at"] == "01:00"
    assert change.plan.upstream_name.startswith("sunflower-") and "Weekly" not in change.plan.upstream_name
    assert AuditEntry.across_tenants.get().action == "plan_create"
    assert "It is about to be put in place." in words(admin.get(answer["Location"]))
    assert admin.post(NEW, {**sent, "confirmed": "yes"})["Location"] == answer["Location"], "the same click"
    assert PlanChange.across_tenants.count() == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Give the plan a name."),
        ({"name": "nightly"}, "There is a plan of this name already."),
        ({"name": "x" * 300}, "at most 120 characters"),
        ({"machines": []}, "Choose at least one machine."),
        ({"machines": ["vm-2", "gone"]}, "One of the machines is not yours any more."),
        ({"machines": ["vm-1"]}, "Tick that you mean it."),
        ({"time_zone": "Mars/Olympus"}, "This time zone is not known."),
        ({"destination": "store-9"}, "Choose one of the destinations that are offered."),
        ({"priority": "81"}, "The priority must be from 0 to 80."),
        ({"schedule-0-weekdays": []}, "Choose at least one day of the week."),
        ({"schedule-0-at": "25:00"}, "Enter a time, like 02:00."),
        ({"schedule-0-at": ""}, "This is needed."),
        (
            {
                "schedule-0-how": "interval",
                "schedule-0-starts": "18:00",
                "schedule-0-ends": "08:00",
                "schedule-0-every_minutes": "60",
            },
            "The end must be after the start.",
        ),
        (
            {
                "schedule-0-how": "interval",
                "schedule-0-starts": "08:00",
                "schedule-0-ends": "09:00",
                "schedule-0-every_minutes": "90",
            },
            "It would run only once",
        ),
        ({"schedule-TOTAL_FORMS": "0"}, "a plan needs at least one schedule"),
        ({"client_key": "x"}, ""),
    ],
)
@pytest.mark.parametrize("confirmed", [False, True])
def test_bad_input_is_explained_at_the_field_and_nothing_is_kept(
    changes: dict[str, Any], sentence: str, confirmed: bool, admin: Client
):
    answer = admin.post(NEW, form(**changes) | ({"confirmed": "yes"} if confirmed else {}))
    assert answer.status_code == 422 and sentence in words(answer), words(answer)
    assert not PlanChange.across_tenants.exists()


def test_a_plan_may_have_thousands_of_machines(admin: Client, tenant: Tenant):
    now = timezone.now()
    many = [f"many-{number}" for number in range(3000)]
    Machine.across_tenants.bulk_create(
        Machine(guid=guid, name=guid, tenant=tenant, row_digest="", first_seen_at=now, changed_at=now) for guid in many
    )
    page = words(admin.post(NEW, form(machines=many)))
    assert "3000 machines get a plan: many-0, many-1, many-10" in page
    assert admin.post(NEW, form(machines=many, confirmed="yes")).status_code == 302
    assert len(PlanChange.across_tenants.get().wanted["machine_guids"]) == 3000


def test_what_was_typed_survives_an_error(admin: Client):
    answer = admin.post(NEW, form(name="", machines=["vm-3"], **{"schedule-0-at": "04:45"}))
    soup = BeautifulSoup(answer.content, "html.parser")
    assert [box["value"] for box in soup.select("input[name=machines][checked]")] == ["vm-3"]
    assert soup.select_one("#id_schedule-0-at")["value"] == "04:45"


def test_schedules_are_added_and_removed_without_a_script(admin: Client):
    more = BeautifulSoup(admin.post(NEW, form(add="yes")).content, "html.parser")
    assert len(more.select("fieldset.schedule")) == 2 and not more.select(".field-error")
    assert more.select_one("#id_schedule-1-at")["value"] == "12:00"
    less = admin.post(NEW, form(remove="0"))
    assert len(BeautifulSoup(less.content, "html.parser").select("fieldset.schedule")) == 0


def test_choosing_differently_keeps_everything(admin: Client):
    soup = BeautifulSoup(admin.post(NEW, form(again="yes")).content, "html.parser")
    assert soup.select_one("#id_name")["value"] == "Weekly" and not soup.select(".field-error")


# ── Changing ─────────────────────────────────────────────────────────────────


def test_editing_starts_from_what_is_there(admin: Client, plan: Plan):
    soup = BeautifulSoup(admin.get(f"{PLANS}{plan.pk}/edit/").content, "html.parser")
    assert soup.select_one("#id_name")["value"] == "Nightly"
    assert soup.select_one("#id_schedule-0-at")["value"] == "02:00"
    assert [box["value"] for box in soup.select("input[name=machines][checked]")] == ["vm-1"]


def test_editing_first_asks_for_what_vprotect_holds_now(admin: Client, plan: Plan):
    Plan.across_tenants.update(held_at=timezone.now() - timedelta(minutes=5))
    assert "Reading the plan as it is now" in words(admin.get(f"{PLANS}{plan.pk}/edit/"))
    assert Plan.across_tenants.get().look_wanted_at
    Plan.across_tenants.update(look_wanted_at=timezone.now() - timedelta(seconds=20))
    assert "You can go on with what was known last" in words(admin.get(f"{PLANS}{plan.pk}/edit/"))
    assert admin.get(f"{PLANS}{plan.pk}/edit/?anyway=yes").context["form"]


def edit_form(**changes: Any) -> dict[str, Any]:
    return form(name="Nightly", machines=["vm-1"], based_on="seen", **changes)


def test_the_preview_names_who_loses_protection_and_who_moves(admin: Client, plan: Plan, tenant: Tenant):
    Plan.across_tenants.create(tenant=tenant, is_made_here=True, name="Other", policy_guid="policy-2")
    Machine.across_tenants.filter(guid="vm-2").update(policy_guid="policy-2")
    page = words(admin.post(f"{PLANS}{plan.pk}/edit/", edit_form() | {"machines": ["vm-2"], "moves": "on"}))
    assert "From then on nobody backs up machine vm-1." in page
    assert "db-02 leaves the plan Other." in page
    assert "Runs that no longer happen" in page


def test_a_change_meanwhile_shows_both_and_the_person_decides(admin: Client, plan: Plan):
    Plan.across_tenants.update(
        held_digest="changed", held={**plan.held, "policy": {**plan.held["policy"], "priority": 9}}
    )
    answer = admin.post(f"{PLANS}{plan.pk}/edit/", edit_form() | {"confirmed": "yes"})
    page = words(answer)
    assert answer.status_code == 409 and "What is there now" in page and "What you wanted" in page
    assert not PlanChange.across_tenants.exists()
    soup = BeautifulSoup(answer.content, "html.parser")
    sent: dict[str, Any] = {}
    for field in soup.select("form.actions input[name]"):
        sent.setdefault(field["name"], []).append(field["value"])
    assert admin.post(f"{PLANS}{plan.pk}/edit/", {**sent, "confirmed": "yes"}).status_code == 302
    assert PlanChange.across_tenants.get().based_on == "changed"


def test_a_second_change_waits_for_the_first(admin: Client, plan: Plan):
    admin.post(f"{PLANS}{plan.pk}/edit/", edit_form() | {"confirmed": "yes"})
    answer = admin.post(f"{PLANS}{plan.pk}/edit/", edit_form() | {"confirmed": "yes"})
    assert answer.status_code == 409 and "Wait for the other change" in words(answer)
    assert PlanChange.across_tenants.count() == 1


@pytest.mark.parametrize(("to", "kind"), [("paused", "pause"), ("acting", "resume")])
def test_a_plan_is_paused_and_resumed(to: str, kind: str, admin: Client, plan: Plan):
    answer = admin.post(f"{PLANS}{plan.pk}/switch/", {"to": to, "based_on": "seen", "client_key": str(uuid4())})
    assert answer.status_code == 302 and PlanChange.across_tenants.get().kind == kind


def test_pausing_says_the_consequence_first(admin: Client, plan: Plan):
    soup = BeautifulSoup(admin.get(f"{PLANS}{plan.pk}/").content, "html.parser")
    confirmation = soup.select_one(f"details.confirm:not([open]) form[action='{PLANS}{plan.pk}/switch/']")
    assert confirmation is not None and confirmation.button["value"] == "paused"
    assert "Until somebody resumes it, 1 machine is not backed up by itself." in confirmation.text


def test_what_is_being_set_up_is_not_called_a_plan_that_never_backs_up(admin: Client, plan: Plan):
    Plan.across_tenants.update(policy_guid="", held={}, standing="idle")
    PlanChange.across_tenants.create(tenant=plan.tenant, plan=plan, kind="create", state="working")
    assert "Never backs up" not in words(admin.get(f"{PLANS}{plan.pk}/"))


def test_deleting_says_the_consequence_and_wants_the_name(admin: Client, plan: Plan):
    address = f"{PLANS}{plan.pk}/delete/"
    assert "From then on nobody backs up 1 machine." in words(admin.get(address))
    wrong = admin.post(address, {"name": "Daily", "based_on": "seen"})
    assert wrong.status_code == 422 and "This is not its name." in words(wrong)
    assert not PlanChange.across_tenants.exists()
    assert admin.post(address, {"name": "nightly", "based_on": "seen"}).status_code == 302
    assert PlanChange.across_tenants.get().kind == "delete"


def test_what_is_half_done_is_finished_or_taken_back_by_a_person(admin: Client, plan: Plan):
    change = PlanChange.across_tenants.create(
        tenant=plan.tenant, plan=plan, kind="edit", state="stuck", user_message="The backup system refused this."
    )
    page = words(admin.get(f"{PLANS}{plan.pk}/"))
    assert "It is half done." in page and "Finish it" in page and "Take it back" in page
    admin.post(f"{PLANS}{plan.pk}/decide/", {"decision": "undo"})
    assert PlanChange.across_tenants.get(pk=change.pk).state == "undoing"


def test_a_poll_without_news_is_empty_and_the_end_opens_the_page_anew(admin: Client, plan: Plan):
    PlanChange.across_tenants.create(tenant=plan.tenant, plan=plan, kind="edit", state="working")
    soup = BeautifulSoup(admin.get(f"{PLANS}{plan.pk}/").content, "html.parser")
    poll = soup.select_one("#plan-change")["hx-get"]
    assert admin.get(poll).status_code == 204
    PlanChange.across_tenants.update(steps=[{"at": "", "what": "policy changed"}])
    assert "machines set" in words(admin.get(poll))
    PlanChange.across_tenants.update(state="done")
    ended = admin.get(poll)
    assert (ended.status_code, ended["HX-Refresh"]) == (204, "true")


def test_the_form_of_a_backup_offers_to_add_an_incremental_schedule(admin: Client, plan: Plan, browser: Client):
    Plan.across_tenants.update(has_incremental=False)
    page = admin.get("/t/sunflower/machines/vm-1/backup/")
    link = BeautifulSoup(page.content, "html.parser").select_one("a[href$='?add=incremental']")
    soup = BeautifulSoup(admin.get(link["href"]).content, "html.parser")
    assert len(soup.select("fieldset.schedule")) == 2
    assert "Add one to the plan" not in words(browser.get("/t/sunflower/machines/vm-1/backup/"))


def test_the_list_costs_the_same_for_many_plans(
    admin: Client, plan: Plan, tenant: Tenant, django_assert_max_num_queries: Any
):
    for number in range(20):
        Plan.across_tenants.create(
            tenant=tenant, is_made_here=True, name=f"p{number}", policy_guid=f"policy-{number + 5}"
        )
    with django_assert_max_num_queries(14):
        admin.get(PLANS)


# ── How long backups are kept, where rules say so ────────────────────────────

DAY_MS = 24 * 60 * 60 * 1000
KEPT = {"full_count": "4", "full_days": "2", "incremental_count": "30", "incremental_days": "", "keeps_last": "on"}


@pytest.fixture
def retained(settings: Any, plan: Plan) -> Plan:
    """A current server keeps one and a half days, and a second copy nobody granted for which a lock holds."""
    settings.VPROTECT_DIALECT = "current"
    retention = {"full_count": 4, "full_ms": DAY_MS * 3 // 2, "incremental_count": 30, "incremental_ms": None}
    place = {"guid": STORE, "role": "PRIMARY", "is_active": True, "lock_days": 0}
    copy = {"guid": "store-of-others", "role": "SECONDARY", "is_active": False, "lock_days": 7}
    places = [{**row, "retention": {**retention, "keeps_last": row is place}} for row in (place, copy)]
    rule = {**plan.held["rules"][0], "position": 0, "destinations": places}
    Plan.across_tenants.update(held={**plan.held, "rules": [rule]})
    return Plan.across_tenants.get()


def test_a_plan_says_how_long_backups_are_kept(admin: Client, retained: Plan):
    page = words(admin.get(f"{PLANS}{retained.pk}/"))
    assert "Main destination Main store Full backups: the last 4 and all of 2 days" in page
    assert "Incremental backups: the last 30 The last backup of a machine that exists is always kept." in page
    assert "Second copy a destination of your provider (switched off)" in page
    assert "Nobody can delete them for 7 days." in page and "store-of-others" not in page


def test_two_rules_are_shown_as_two(admin: Client, retained: Plan):
    rule = retained.held["rules"][0]
    Plan.across_tenants.update(held={**retained.held, "rules": [rule, {**rule, "guid": "r-2", "active": False}]})
    page = words(admin.get(f"{PLANS}{retained.pk}/"))
    assert "Rule 1 Main" in page and "Rule 2 (switched off)" in page


def test_how_long_can_be_changed_and_what_was_not_touched_stays_to_the_millisecond(admin: Client, retained: Plan):
    path = f"{PLANS}{retained.pk}/edit/"
    fields = BeautifulSoup(admin.get(path).content, "html.parser")
    assert fields.select_one("#id_full_days")["value"] == "2"
    wanted = form(**KEPT, name="Nightly", machines=["vm-1"], based_on="seen", confirmed="yes")
    assert admin.post(path, wanted).status_code == 302
    kept = {"full_count": 4, "full_ms": DAY_MS * 3 // 2, "incremental_count": 30, "incremental_ms": None}
    assert PlanChange.across_tenants.get().wanted["retention"] == {**kept, "keeps_last": True}


def test_a_synthetic_destination_keeps_no_increments_of_its_own(admin: Client, retained: Plan):
    page = BeautifulSoup(admin.get(NEW).content, "html.parser")
    assert not page.select("[data-synthetic]") and page.select(".of-increments #id_incremental_count")
    Destination.objects.filter(guid=STORE).update(type="SYNTHETICXFS")
    page = BeautifulSoup(admin.get(NEW).content, "html.parser")
    assert [option["value"] for option in page.select("#id_destination option[data-synthetic]")] == [STORE]
    admin.post(NEW, form(**{**KEPT, "incremental_days": "30"}, confirmed="yes"))
    kept = PlanChange.across_tenants.get().wanted["retention"]
    assert (kept["full_count"], kept["incremental_count"], kept["incremental_ms"]) == (4, None, None)


def test_days_are_put_as_milliseconds(admin: Client, retained: Plan):
    preview = admin.post(NEW, form(**{**KEPT, "full_days": "90"}))
    assert "Full backups: the last 4 and all of 90 days" in words(preview)
    admin.post(NEW, form(**{**KEPT, "full_days": "90"}, confirmed="yes"))
    assert PlanChange.across_tenants.get().wanted["retention"]["full_ms"] == 90 * DAY_MS


@pytest.mark.parametrize(("field", "value"), [("full_count", "1000"), ("full_days", "3651"), ("full_days", "0")])
def test_how_long_has_limits(field: str, value: str, admin: Client, retained: Plan):
    answer = admin.post(NEW, form(**{**KEPT, field: value}))
    said = BeautifulSoup(answer.content, "html.parser").select(f"#id_{field} ~ div .field-error")
    assert answer.status_code == 422 and said


def test_classic_servers_are_not_asked_to_keep(admin: Client, plan: Plan):
    assert "How long" not in words(admin.get(NEW))
    admin.post(NEW, form(**KEPT, confirmed="yes"))
    assert PlanChange.across_tenants.get().wanted["retention"] is None

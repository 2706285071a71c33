from django.urls import include, path, register_converter

from portal.access import GuidConverter
from portal.views import (
    activity,
    audit,
    backups,
    brands,
    bulk,
    dashboard,
    health,
    home,
    invitations,
    machines,
    operations,
    people,
    plans,
    questions,
    restores,
    single_sign_on,
)

register_converter(GuidConverter, "guid")

tenant_urlpatterns = [
    path("", dashboard.dashboard, name="tenant-home"),
    path("poll", dashboard.dashboard_poll, name="dashboard-poll"),
    path("machines/", machines.machine_list, name="machines"),
    path("machines/<guid:guid>/", machines.machine_detail, name="machine"),
    path("machines/<guid:guid>/history", machines.machine_history, name="machine-history"),
    path("machines/<guid:guid>/backup/", backups.backup_create, name="backup-create"),
    path("machines/<guid:guid>/restore/", restores.restore_create, name="restore-create"),
    path("bulk/backup/", bulk.bulk_backup, name="bulk-backup"),
    path("bulk/plan/", bulk.bulk_plan, name="bulk-plan"),
    path("bulk/<uuid:bulk_id>/", bulk.bulk_result, name="bulk"),
    path("bulk/<uuid:bulk_id>/poll", bulk.bulk_poll, name="bulk-poll"),
    path("plans/", plans.plan_list, name="plans"),
    path("plans/new/", plans.plan_create, name="plan-create"),
    path("plans/<uuid:plan_id>/", plans.plan_detail, name="plan"),
    path("plans/<uuid:plan_id>/edit/", plans.plan_edit, name="plan-edit"),
    path("plans/<uuid:plan_id>/switch/", plans.plan_switch, name="plan-switch"),
    path("plans/<uuid:plan_id>/delete/", plans.plan_delete, name="plan-delete"),
    path("plans/<uuid:plan_id>/decide/", plans.plan_decide, name="plan-decide"),
    path("plans/<uuid:plan_id>/poll", plans.plan_change_poll, name="plan-poll"),
    path("logo/<slug:digest>.png", brands.tenant_logo, name="tenant-logo"),
    path("members/", people.member_list, name="members"),
    path("members/invite/", people.member_invite, name="member-invite"),
    path("members/<int:member_id>/", people.member_edit, name="member-edit"),
    path("members/<int:member_id>/remove/", people.member_remove, name="member-remove"),
    path("invitations/<uuid:invitation_id>/revoke/", people.invitation_revoke, name="invitation-revoke"),
    path("settings/", people.tenant_settings, name="settings"),
    path("audit/", audit.audit, name="audit"),
    path("audit/file.csv", audit.audit_file, name="audit-file"),
    path("questions/<uuid:question_id>/", questions.question, name="question"),
    path("operations/", activity.activity, name="operations"),
    path("operations/poll", activity.activity_poll, name="activity-poll"),
    path("operations/<uuid:operation_id>/", operations.operation_detail, name="operation"),
    path("operations/<uuid:operation_id>/details/", operations.operation_details, name="operation-details"),
    path("operations/<uuid:operation_id>/cancel/", operations.operation_cancel, name="operation-cancel"),
    path("operations/<uuid:operation_id>/poll", operations.operation_poll, name="operation-poll"),
]

urlpatterns = [
    path("", home.home, name="home"),
    path("invitation/", invitations.invitation, name="invitation"),
    path("invitation/<str:token>/", invitations.invitation_open, name="invitation-open"),
    path("logo/<slug:digest>.png", brands.portal_logo, name="portal-logo"),
    path("healthz", health.process, name="healthz"),
    path("accounts/", include("portal.account_urls")),
    path("accounts/sso/", single_sign_on.find, name="single-sign-on"),
    path("accounts/sso/<slug:slug>/", single_sign_on.start, name="single-sign-on-start"),
    path("accounts/sso/<slug:slug>/connect/", single_sign_on.connect, name="single-sign-on-connect"),
    path("accounts/sso/<slug:slug>/callback/", single_sign_on.callback, name="single-sign-on-callback"),
    path("t/<slug:tenant>/", include(tenant_urlpatterns)),
]

handler500 = "portal.views.errors.server_error"

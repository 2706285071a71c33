"""What people decided, in words, by the name under which the audit has it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from portal import words
from tenants.models import AuditEntry

AUDIT_ACTION = {
    "backup_requested": _("Backup asked for"),
    "restore_requested": _("Restore asked for"),
    "mount_requested": _("Opening of a backup asked for"),
    "close_requested": _("Closing of a backup asked for"),
    "download_requested": _("Single files asked for"),
    "download_taken": _("Single files taken"),
    "download_removed": _("Single files removed"),
    "cancel_requested": _("Cancelling asked for"),
    "plan_assigned": _("Machine put into a plan"),
    "plan_create": _("Plan made"),
    "plan_edit": _("Plan changed"),
    "plan_pause": _("Plan paused"),
    "plan_resume": _("Plan resumed"),
    "plan_delete": _("Plan deleted"),
    "plan_finish": _("Half-done change of a plan finished"),
    "plan_undo": _("Half-done change of a plan taken back"),
    "claim_machine": _("Machine assigned"),
    "machine_taken": _("Machine assigned to somebody else"),
    "history_received": _("Restore points received"),
    "history_handed_over": _("Restore points handed over"),
    "owner_change_settled": _("Change of owner settled"),
    "identity_connected": _("Account connected with the organisation's sign-in"),
    "member_joined": _("Person joined through the organisation's sign-in"),
    "identity_provider_added": _("Sign-in of the organisation set up"),
    "identity_provider_changed": _("Sign-in of the organisation changed"),
    "identity_provider_removed": _("Sign-in of the organisation removed"),
    "tenant_added": _("Customer added"),
    "tenant_changed": _("Customer changed by the provider"),
    "tenant_suspended": _("Customer suspended"),
    "tenant_stays": _("Customer active again"),
    "tenant_exported": _("Data exported"),
    "tenant_removed": _("Customer removed"),
    "membership_added": _("Person added by the provider"),
    "membership_changed": _("Person changed by the provider"),
    "membership_removed": _("Person removed by the provider"),
    "claim_added": _("Machines assigned"),
    "claim_removed": _("Machines taken back"),
    "report_requested": _("Report asked for"),
    "report_mails_changed": _("Reports by mail chosen"),
    "report_taken": _("Report saved"),
    "calendar_made": _("Address of a calendar made"),
    "calendar_revoked": _("Address of a calendar revoked"),
    "price_added": _("Price set"),
    "price_changed": _("Price changed"),
    "price_removed": _("Price removed"),
    "login_unpaused": _("Login to the backup system tried again"),
    "member_invited": _("Person invited"),
    "invitation_accepted": _("Invitation accepted"),
    "invitation_revoked": _("Invitation taken back"),
    "member_changed": _("Role or machines of a person changed"),
    "member_removed": _("Person removed"),
    "settings_changed": _("Settings changed"),
    "notifications_chosen": _("Notifications of everybody chosen"),
    "webhook_added": _("Webhook added"),
    "webhook_changed": _("Webhook changed"),
    "webhook_secret_changed": _("Webhook got a new secret"),
    "webhook_removed": _("Webhook removed"),
    "mail_sent_again": _("Mail sent again by the provider"),
    "webhookdelivery_sent_again": _("Call of a webhook sent again by the provider"),
    "token_made": _("API token made"),
    "token_revoked": _("API token revoked"),
    "name_changed": _("Person took another name"),
}


def who(entry: AuditEntry) -> words.Text:
    """A person's address, or the tenant's own token, which must not look like one."""
    return words.tenants_token(entry.tenants_token) if entry.tenants_token else entry.actor_name

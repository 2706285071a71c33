"""Who gets what at every address: URL name → method → person → status.

A route that is not here fails `test_matrix.py`; a new one enters with its own expectations.
"""

from __future__ import annotations

PEOPLE = ("anonymous", "stranger", "viewer", "member", "restorer", "admin", "removed", "staff")
IN_THE_TENANT = ("viewer", "member", "restorer", "admin")

Row = dict[str, int]


def everybody(status: int) -> Row:
    return dict.fromkeys(PEOPLE, status)


def signed_in(status: int, anonymous: int = 302) -> Row:
    """302 = sent to the login."""
    return everybody(status) | {"anonymous": anonymous}


def in_the_tenant(status: int, **others: int) -> Row:
    """For all others the tenant does not exist."""
    return {"anonymous": 302} | {person: status if person in IN_THE_TENANT else 404 for person in PEOPLE[1:]} | others


def page(get: Row) -> dict[str, Row]:
    """A page that changes nothing: it can be read, never written."""
    return {"GET": get, "POST": {person: 405 if status == 200 else status for person, status in get.items()}}


ADMIN_ONLY = in_the_tenant(403, admin=200)
# Of the cast only the administrator takes single files out of backups: it is in no role.
OPENS_BACKUPS = in_the_tenant(403, admin=200)

API_LOOKS = (
    *("api-token", "api-machines", "api-machine", "api-restore-points", "api-destinations", "api-restore-places"),
    *("api-operation", "api-plans"),
)
API_WISHES = ("api-backups", "api-restores")

MATRIX: dict[str, dict[str, Row]] = {
    # Outside of any tenant.
    "home": {"GET": signed_in(200) | dict.fromkeys(("stranger", *IN_THE_TENANT), 302), "POST": signed_in(405)},
    "portal-logo": {"GET": everybody(404), "POST": everybody(405)},
    "healthz": {"GET": everybody(200), "POST": everybody(405)},
    "readyz": {"GET": everybody(200), "POST": everybody(405)},
    "account_login": {"GET": signed_in(302, anonymous=200), "POST": signed_in(302, anonymous=200)},
    "account_logout": {"GET": signed_in(200), "POST": signed_in(302)},
    "account_inactive": {"GET": everybody(200), "POST": everybody(405)},
    "account_signup": {"GET": signed_in(302, anonymous=200), "POST": signed_in(302, anonymous=200)},
    "account_reauthenticate": {"GET": signed_in(200), "POST": signed_in(200)},
    "account_change_password": {"GET": signed_in(200), "POST": signed_in(200)},
    "account_reset_password": {"GET": everybody(200), "POST": everybody(200)},
    "account_reset_password_done": {"GET": everybody(200), "POST": everybody(405)},
    "account_reset_password_from_key": {"GET": everybody(200), "POST": everybody(200)},
    "account_reset_password_from_key_done": {"GET": everybody(200), "POST": everybody(405)},
    "account_email_verification_sent": {"GET": everybody(200), "POST": everybody(405)},
    "account_confirm_email": {"GET": everybody(200), "POST": everybody(404)},
    # A second factor is set up after the password was asked for again, shown while signing in.
    "mfa_index": {"GET": signed_in(200), "POST": signed_in(405)},
    "mfa_authenticate": {"GET": everybody(302), "POST": everybody(302)},
    "mfa_reauthenticate": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_activate_totp": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_deactivate_totp": {"GET": signed_in(404), "POST": signed_in(404)},
    "mfa_view_recovery_codes": {"GET": signed_in(404), "POST": signed_in(405)},
    "mfa_generate_recovery_codes": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_download_recovery_codes": {"GET": signed_in(404), "POST": signed_in(404)},
    "mfa_list_webauthn": {"GET": signed_in(200), "POST": signed_in(405)},
    "mfa_add_webauthn": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_reauthenticate_webauthn": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_remove_webauthn": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_edit_webauthn": {"GET": signed_in(302), "POST": signed_in(302)},
    "mfa_login_webauthn": {"GET": signed_in(302, anonymous=302), "POST": signed_in(302, anonymous=302)},
    "second-factor": {"GET": signed_in(200), "POST": signed_in(405)},
    "sessions": {"GET": signed_in(200), "POST": signed_in(405)},
    # Only a link that was sent opens anything.
    "unsubscribe": {"GET": everybody(404), "POST": everybody(404)},
    "report-unsubscribe": {"GET": everybody(404), "POST": everybody(404)},
    "notification-preferences": {"GET": signed_in(200), "POST": signed_in(422)},
    "preferences": {"GET": signed_in(200), "POST": signed_in(422)},
    "theme": {"GET": signed_in(405), "POST": signed_in(400)},
    "session-end": {"GET": signed_in(405), "POST": signed_in(404)},
    # An organisation's name is known or not, whoever asks; what comes back from it needs a question first.
    "single-sign-on": {"GET": everybody(200), "POST": everybody(422)},
    "single-sign-on-start": {"GET": everybody(200), "POST": everybody(502)},
    "single-sign-on-connect": {"GET": signed_in(302), "POST": signed_in(302)},
    "single-sign-on-callback": {"GET": everybody(403), "POST": everybody(405)},
    "invitation": {"GET": everybody(404), "POST": everybody(404)},
    "invitation-open": {"GET": everybody(302), "POST": everybody(405)},
    "account-tokens": {
        "GET": signed_in(200) | dict.fromkeys(("stranger", *IN_THE_TENANT), 302),
        "POST": signed_in(405),
    },
    # Programs come with a token (BEARERS below); a session's cookie is nothing here.
    **{name: {"GET": everybody(401), "POST": everybody(405)} for name in API_LOOKS},
    **{name: {"GET": everybody(405), "POST": everybody(401)} for name in API_WISHES},
    "api-openapi": {"GET": everybody(200), "POST": everybody(405)},
    "api-docs": {"GET": everybody(200), "POST": everybody(405)},
    "api-root": {"GET": everybody(404), "POST": everybody(404)},
    "api-unknown": {"GET": everybody(404), "POST": everybody(404)},
    # Below a tenant.
    "tenant-home": page(in_the_tenant(200)),
    "status": page(in_the_tenant(200)),
    "status-poll": page(in_the_tenant(200)),
    "dashboard-poll": page(in_the_tenant(200)),
    # Without a script its selection is sent along from page to page.
    "machines": {"GET": in_the_tenant(200), "POST": in_the_tenant(200)},
    "machine": page(in_the_tenant(200)),
    "machine-history": page(in_the_tenant(200)),
    "backup-create": {"GET": in_the_tenant(200, viewer=403), "POST": in_the_tenant(422, viewer=403)},
    "restore-create": {
        "GET": in_the_tenant(200, viewer=403, member=403),
        "POST": in_the_tenant(422, viewer=403, member=403),
    },
    "bulk-backup": {"GET": in_the_tenant(200, viewer=403), "POST": in_the_tenant(422, viewer=403)},
    "bulk-plan": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "bulk": page(in_the_tenant(200)),
    "bulk-poll": page(in_the_tenant(200)),
    "mount-create": {"GET": OPENS_BACKUPS, "POST": OPENS_BACKUPS | {"admin": 422}},
    "mounts": {"GET": OPENS_BACKUPS, "POST": in_the_tenant(405)},
    "mount": {"GET": OPENS_BACKUPS, "POST": in_the_tenant(405)},
    "mount-close": {"GET": in_the_tenant(405), "POST": OPENS_BACKUPS | {"admin": 302}},
    "folder-open": {"GET": OPENS_BACKUPS | {"admin": 404}, "POST": in_the_tenant(405)},
    "folder": {"GET": OPENS_BACKUPS, "POST": OPENS_BACKUPS | {"admin": 302}},
    "download-create": {"GET": in_the_tenant(405), "POST": OPENS_BACKUPS | {"admin": 302}},
    "download": {"GET": OPENS_BACKUPS, "POST": in_the_tenant(405)},
    # The row is there, the file is not.
    "download-file": {"GET": OPENS_BACKUPS | {"admin": 404}, "POST": in_the_tenant(405)},
    "download-remove": {"GET": in_the_tenant(405), "POST": OPENS_BACKUPS | {"admin": 302}},
    "plans": page(in_the_tenant(200)),
    "plan": page(in_the_tenant(200)),
    "plan-poll": page(in_the_tenant(200)),
    "plan-create": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "plan-edit": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "plan-delete": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "plan-switch": {"GET": in_the_tenant(405), "POST": ADMIN_ONLY | {"admin": 302}},
    "plan-decide": {"GET": in_the_tenant(405), "POST": ADMIN_ONLY | {"admin": 302}},
    "tenant-logo": page(in_the_tenant(200)),
    "members": {"GET": ADMIN_ONLY, "POST": in_the_tenant(405)},
    "member-invite": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "member-edit": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "member-remove": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 302}},
    "invitation-revoke": {"GET": in_the_tenant(405), "POST": ADMIN_ONLY | {"admin": 302}},
    "notification-settings": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "webhook-create": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "webhook": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    "webhook-remove": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 302}},
    "notifications": page(in_the_tenant(200)),
    "alerts": page(in_the_tenant(200)),
    "notifications-mark": {"GET": in_the_tenant(405), "POST": in_the_tenant(302)},
    "settings": {"GET": ADMIN_ONLY, "POST": ADMIN_ONLY | {"admin": 422}},
    # Made after the password was asked for again; revoked by their owner, the administrator's by its own here.
    "tokens": page(in_the_tenant(200)),
    "token-create": {"GET": in_the_tenant(302), "POST": in_the_tenant(302)},
    "token-revoke": {"GET": in_the_tenant(405), "POST": in_the_tenant(404, admin=302)},
    "tenant-tokens": {"GET": ADMIN_ONLY, "POST": in_the_tenant(405)},
    "tenant-token-create": {"GET": ADMIN_ONLY | {"admin": 302}, "POST": ADMIN_ONLY | {"admin": 302}},
    "tenant-token-revoke": {"GET": in_the_tenant(405), "POST": ADMIN_ONLY | {"admin": 302}},
    "audit": {"GET": ADMIN_ONLY, "POST": in_the_tenant(405)},
    "audit-file": {"GET": ADMIN_ONLY, "POST": in_the_tenant(405)},
    "report-protection": page(in_the_tenant(200)),
    # Whoever asks: there is no such address.
    "calendar-feed": {"GET": everybody(404), "POST": everybody(405)},
    "report-calendar": {"GET": in_the_tenant(200), "POST": in_the_tenant(400)},
    "report-mails": {"GET": in_the_tenant(200), "POST": in_the_tenant(422)},
    "report-files": {"GET": in_the_tenant(200), "POST": in_the_tenant(400)},
    # The administrator's own: nobody takes what a colleague had made, and the file itself is not there.
    "report-file": {"GET": in_the_tenant(404, admin=200), "POST": in_the_tenant(405)},
    "report-file-content": {"GET": in_the_tenant(404), "POST": in_the_tenant(405)},
    "report-evidence": {"GET": in_the_tenant(405), "POST": in_the_tenant(404)},
    "report-usage": {"GET": ADMIN_ONLY, "POST": in_the_tenant(405)},
    "question": page(in_the_tenant(200, viewer=403)) | {"POST": in_the_tenant(405)},
    "operations": page(in_the_tenant(200)),
    "activity-poll": page(in_the_tenant(200)),
    "operation": page(in_the_tenant(200)),
    "operation-details": page(in_the_tenant(200)),
    "operation-cancel": {"GET": in_the_tenant(405), "POST": in_the_tenant(302, viewer=403)},
    "operation-poll": page(in_the_tenant(200)),
}

# ── With a token ─────────────────────────────────────────────────────────────

# "shrunk": made for a restorer who is a viewer now; "limited": to a machine that no address here names; "ours": the
# tenant's own; "abroad": a good one of another tenant; the last four are no longer any.
GOOD = ("viewer", "member", "restorer", "shrunk", "limited", "ours", "abroad")
DEAD = ("revoked", "expired", "removed", "unknown")
BEARERS = (*GOOD, *DEAD)


def bearers(status: int, **others: int) -> Row:
    return dict.fromkeys(GOOD, status) | dict.fromkeys(DEAD, 401) | others


NOT_THEIRS = {"limited": 404, "abroad": 404}
BELOW_MEMBER, BELOW_RESTORER = {"viewer": 403, "shrunk": 403}, {"viewer": 403, "shrunk": 403, "member": 403}

API_MATRIX: dict[str, tuple[str, Row]] = {
    "api-token": ("GET", bearers(200)),
    "api-machines": ("GET", bearers(200)),
    "api-machine": ("GET", bearers(200, **NOT_THEIRS)),
    "api-restore-points": ("GET", bearers(200, **NOT_THEIRS)),
    "api-destinations": ("GET", bearers(200, **NOT_THEIRS, **BELOW_MEMBER)),
    "api-backups": ("POST", bearers(422, **NOT_THEIRS, **BELOW_MEMBER)),
    "api-restore-places": ("GET", bearers(200, **NOT_THEIRS, **BELOW_RESTORER)),
    "api-restores": ("POST", bearers(422, **NOT_THEIRS, **BELOW_RESTORER)),
    "api-operation": ("GET", bearers(200, **NOT_THEIRS)),
    "api-plans": ("GET", bearers(200)),
}

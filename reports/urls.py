"""Addresses below a tenant, and those of a calendar and of who wants no more mails, which name none."""

from django.urls import path

from reports.views import calendar, files, mails, protection, unsubscribe, usage

tenant_urlpatterns = [
    path("reports/", protection.protection, name="report-protection"),
    path("reports/usage/", usage.usage, name="report-usage"),
    path("reports/calendar/", calendar.calendar, name="report-calendar"),
    path("reports/mail/", mails.mails, name="report-mails"),
    path("reports/files/", files.files, name="report-files"),
    path("reports/files/<uuid:file_id>/", files.file, name="report-file"),
    path("reports/files/<uuid:file_id>/file", files.file_content, name="report-file-content"),
    path("operations/<uuid:operation_id>/evidence/", files.evidence, name="report-evidence"),
]

urlpatterns = [
    path("reports/unsubscribe/<str:token>/", unsubscribe.unsubscribe, name="report-unsubscribe"),
    path("calendar/<str:token>/backups.ics", calendar.calendar_feed, name="calendar-feed"),
]

from django.conf import settings
from django.http import HttpRequest


def portal(request: HttpRequest) -> dict[str, object]:
    return {"portal_name": "Backup portal", "operator_url": settings.OPERATOR_URL}

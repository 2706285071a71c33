import os

from celery import Celery
from celery.signals import beat_init, celeryd_init

from portal import metrics_port

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

app = Celery("portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@celeryd_init.connect
def _count_in_children(**kwargs: object) -> None:
    metrics_port.begin()
    metrics_port.serve()


@beat_init.connect
def _tell_facts(**kwargs: object) -> None:
    # They need models, which are not loaded when Celery's app is made.
    from notifications.facts import NotificationFacts
    from vprotect_bridge.facts import FactsCollector

    metrics_port.serve(FactsCollector(), NotificationFacts())

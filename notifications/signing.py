"""Messages to webhooks as Standard Webhooks has them: id, time and body signed together, so that none can be replayed.

The secret is `whsec_` and 32 random bytes as base64; a signature is `v1,` and the HMAC-SHA256 of `id.time.body`.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64decode, b64encode
from datetime import datetime, timedelta
from hashlib import sha256

from django.utils import timezone

from notifications.models import Webhook
from tenants.encryption import decrypt, encrypt

PURPOSE = "webhook"
PREFIX = "whsec_"
# Both secrets sign meanwhile.
FORMER_FOR = timedelta(hours=24)


def give_secret(webhook: Webhook) -> str:
    """A first or a new one, to be shown once; the row is not saved."""
    if webhook.encrypted_secret:
        webhook.encrypted_former_secret = webhook.encrypted_secret
        webhook.former_until = timezone.now() + FORMER_FOR
    secret = PREFIX + b64encode(secrets.token_bytes(32)).decode()
    webhook.encrypted_secret = encrypt(secret, PURPOSE)
    return secret


def headers(webhook: Webhook, message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """Of one try; a later one of the same message has another time."""
    time = str(int(now.timestamp()))
    signed = b".".join([message_id.encode(), time.encode(), body])
    signatures = (_signature(secret, signed) for secret in _valid_secrets(webhook, now))
    return {
        "webhook-id": message_id,
        "webhook-timestamp": time,
        "webhook-signature": " ".join(signatures),
    }


def _valid_secrets(webhook: Webhook, now: datetime) -> list[str]:
    encrypted = [webhook.encrypted_secret]
    if webhook.former_until and webhook.former_until > now:
        encrypted.append(webhook.encrypted_former_secret)
    return [decrypt(text, PURPOSE) for text in encrypted]


def _signature(secret: str, signed: bytes) -> str:
    key = b64decode(secret.removeprefix(PREFIX))
    return "v1," + b64encode(hmac.new(key, signed, sha256).digest()).decode()


def encrypt_anew() -> int:
    """With the present SECRET_KEY; how many (`tenants.key_rotation`)."""
    webhooks = list(Webhook.across_tenants.select_for_update().exclude(encrypted_secret=""))
    for webhook in webhooks:
        for field in ("encrypted_secret", "encrypted_former_secret"):
            if text := getattr(webhook, field):
                setattr(webhook, field, encrypt(decrypt(text, PURPOSE), PURPOSE))
        webhook.save(update_fields=["encrypted_secret", "encrypted_former_secret"])
    return len(webhooks)

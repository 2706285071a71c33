"""The operator site: tenants, people and what they own."""

from tenants.admin import accounts, audit, identity_providers, people  # noqa: F401 — each registers its models

"""What can go wrong between us and vProtect, sorted by what it proves about a request that was sent."""

from __future__ import annotations


class UpstreamError(Exception):
    """Base of all. `detail` is for operators and may name infrastructure; never show it to a tenant."""

    def __init__(self, detail: str = "", *, status: int | None = None, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.retry_after = retry_after

    @property
    def was_answered(self) -> bool:
        """vProtect said something, so another request may fare better."""
        return self.status is not None


class NotSent(UpstreamError):
    """Refused, unknown name, TLS failure or connect time-out: vProtect has provably not seen the request."""


class Unauthorized(UpstreamError):
    """401 also after a fresh login; a 401 means that the call was not processed (API reference, 4.3)."""


class BadCredentials(UpstreamError):
    """The login itself was refused."""


class LoginPaused(UpstreamError):
    """A login was refused lately; none is tried now, so that the account is not locked out."""


class Rejected(UpstreamError):
    """400, 403, 404, 409 or 422: vProtect understood and said no; nothing was made."""


class NotFound(Rejected):
    """404."""


class TooManyRequests(UpstreamError):
    """429; `retry_after` in seconds where the server named it."""


class Ambiguous(UpstreamError):
    """Whatever does not prove anything: 5xx, read time-out, reset, redirect. The request may have been processed."""


class BadAnswer(Ambiguous):
    """A 2xx that is not what it should be: not JSON, cut off, too large, without a GUID, about another machine."""

    was_answered = True

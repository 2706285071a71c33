"""The other end of an invitation: its link, before and after signing in."""

from __future__ import annotations

from allauth.account.internal.flows.login import record_authentication
from allauth.account.models import EmailAddress
from allauth.account.utils import perform_login
from allauth.core.internal import ratelimit
from django.contrib.auth.decorators import login_not_required
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from portal.people_forms import JoinForm
from tenants.audit import address_of
from tenants.models import Invitation, User
from tenants.people import accept, invitation_of
from tenants.single_sign_on import provider_key_of

SESSION_KEY = "invitation"


@require_safe
@never_cache
@login_not_required
def invitation_open(request: HttpRequest, token: str) -> HttpResponse:
    """Takes the token out of the address, where it would be seen in the history and in logs of pages that follow."""
    if not ratelimit.consume(request, app="allauth.account", action="open_invitation", limit_get=True):
        return ratelimit.respond_429(request)
    request.session[SESSION_KEY] = token
    return redirect("invitation")


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@login_not_required
@transaction.atomic
def invitation(request: HttpRequest) -> HttpResponse:
    """Who is signed in with the address accepts with a click; who is new chooses a name and a password."""
    found = invitation_of(request.session.get(SESSION_KEY, ""))
    if found is None:
        return render(request, "portal/invitation_over.html", status=404)
    # Its name and colours are those of the page.
    request.inviting_tenant = found.tenant  # type: ignore[attr-defined]
    context = {"invitation": found, "sign_in": f"{reverse('account_login')}?{urlencode({'next': request.path})}"}
    if request.user.is_authenticated:
        if request.user.email != found.email or provider_key_of(request):
            return render(request, "portal/invitation_other.html", context)
        if request.method == "POST":
            return _accepted(request, found, request.user)
        return render(request, "portal/invitation.html", context)
    if User.objects.filter(email=found.email).exists():
        return render(request, "portal/invitation_sign_in.html", context)
    form = JoinForm(request.POST if request.method == "POST" else None, email=found.email)
    if request.method == "POST" and form.is_valid():
        return _joined(request, found, form)
    return render(
        request, "portal/invitation_join.html", {**context, "form": form}, status=422 if form.is_bound else 200
    )


def _accepted(request: HttpRequest, found: Invitation, user: User) -> HttpResponse:
    if not accept(found, user, address=address_of(request)):
        # Used or taken back since it was looked at: nobody new is left behind. After that nothing can be read.
        answer = render(request, "portal/invitation_over.html", status=404)
        transaction.set_rollback(True)
        return answer
    # The link came by mail, which proves the address.
    EmailAddress.objects.update_or_create(user=user, email=user.email, defaults={"verified": True, "primary": True})
    del request.session[SESSION_KEY]
    return redirect("tenant-home", found.tenant.slug)


def _joined(request: HttpRequest, found: Invitation, form: JoinForm) -> HttpResponse:
    chosen = form.cleaned_data
    try:
        with transaction.atomic():
            user = User.objects.create_user(found.email, chosen["password"], name=chosen["name"])
    except IntegrityError:  # a second click was faster
        return redirect("invitation")
    answer = _accepted(request, found, user)
    if answer.status_code != 302:
        return answer
    record_authentication(request, user, method="password")
    return perform_login(request, user, redirect_url=answer["Location"])

// Asks the browser for a passkey; the ceremony itself is django-allauth's (mfa/js/webauthn.js).
(() => {
  document.querySelectorAll("[data-passkey]").forEach((form) => {
    window.allauth.webauthn.forms[form.dataset.passkey]({ ids: JSON.parse(form.dataset.ids) });
  });
  document.addEventListener("allauth.error", (event) => {
    event.preventDefault();
    document.querySelectorAll("[data-passkey-trouble]").forEach((words) => { words.hidden = false; });
  });
})();

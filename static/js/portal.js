// Small comforts. Every page works without them.
(() => {
  const body = document.body;

  // A hidden tab does not ask; a second click on a form that is being sent does nothing.
  body.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden && event.detail.requestConfig.verb === "get") event.preventDefault();
  });
  body.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches("[data-submit-once]")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.querySelectorAll("button").forEach((button) => button.setAttribute("aria-busy", "true"));
  });
  // What was chosen in a list is done with.
  body.addEventListener("submit", ({ target, submitter }) => {
    if (submitter?.name !== "confirmed" || !target.dataset.forgets) return;
    try {
      sessionStorage.removeItem(target.dataset.forgets);
    } catch { /* Storage is refused: nothing was kept. */ }
  });
  // The back button shows the form as it was: it can be sent again, and means the same wish.
  addEventListener("pageshow", () => {
    document.querySelectorAll("[data-submit-once]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll("button").forEach((button) => button.removeAttribute("aria-busy"));
    });
  });

  const lost = document.getElementById("connection-lost");
  const say = (isLost) => () => { if (lost) lost.hidden = !isLost; };
  for (const name of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) body.addEventListener(name, say(true));
  // Not afterOnLoad: it comes after a 503 too.
  body.addEventListener("htmx:afterRequest", (event) => { if (event.detail.successful) say(false)(); });

  // As a GET, also where the page is the answer to a form.
  const openAgain = () => location.replace(location.pathname + location.search);
  // A page that only waits for something.
  document.querySelectorAll("[data-open-again]").forEach((page) => setTimeout(openAgain, page.dataset.openAgain));
  body.addEventListener("htmx:responseError", (event) => {
    // Not allowed any more: the page itself says it best.
    if ([401, 403, 404].includes(event.detail.xhr.status)) openAgain();
  });
  body.addEventListener("htmx:beforeSwap", (event) => {
    // Signed out meanwhile: the login was sent in place of the part that was asked for.
    const { xhr, requestConfig } = event.detail;
    if (new URL(xhr.responseURL).pathname === new URL(requestConfig.path, location.href).pathname) return;
    event.detail.shouldSwap = false;
    openAgain();
  });

  // Where a swap took the focused element away, the focus goes to what took its place, or to the part itself.
  let lostFrom = null;
  body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    const focused = document.activeElement;
    if (!detail.shouldSwap || focused === body || !detail.target.contains(focused)) return;
    const attribute = ["id", "href", "value", "name"].find((name) => focused.getAttribute(name));
    const same = attribute && `${focused.localName}[${attribute}="${CSS.escape(focused.getAttribute(attribute))}"]`;
    lostFrom = { part: detail.target.id, same };
  });
  body.addEventListener("htmx:afterSettle", () => {
    const part = lostFrom && document.getElementById(lostFrom.part);
    if (part && (document.activeElement === body || !document.activeElement)) {
      const next = (lostFrom.same && part.querySelector(lostFrom.same)) || part;
      if (next === part) part.tabIndex = -1;
      next.focus({ preventScroll: true });
    }
    lostFrom = null;
  });

  // A tick that was set while other machines were on their way would go with the rows: they are asked for once more.
  body.addEventListener("htmx:beforeSwap", ({ detail }) => {
    if (detail.target.id !== "picked" || !detail.shouldSwap) return;
    const { elt, formData, triggeringEvent } = detail.requestConfig;
    const sent = new Set(formData.getAll("machines"));
    const ticked = [...detail.target.querySelectorAll("[name=machines]:checked")].map((tick) => tick.value);
    if (ticked.length === sent.size && ticked.every((guid) => sent.has(guid))) return;
    detail.shouldSwap = false;
    htmx.trigger(elt, triggeringEvent.type);
  });

  // In a form's search Enter means to search, which happens while one types.
  body.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches('.picker input[type="search"]')) event.preventDefault();
  });

  // "5 minutes ago" is renewed for as long as the page is open: a live part sends only what changed.
  // With how many of it a unit begins, as in portal/dates.py.
  const UNITS = [["year", 31536000, 2], ["month", 2592000, 2], ["week", 604800, 2], ["day", 86400, 2], ["hour", 3600, 1], ["minute", 60, 1]];
  const inWords = new Intl.RelativeTimeFormat(document.documentElement.lang);
  const renewTimes = () => document.querySelectorAll("time[datetime][title]").forEach((time) => {
    const passed = (new Date(time.dateTime) - Date.now()) / 1000;
    const [unit, seconds] = UNITS.find(([, long, least]) => Math.abs(passed) >= least * long) ?? [];
    if (unit) time.firstChild.textContent = inWords.format(passed > 0 ? Math.round(passed / seconds) : Math.trunc(passed / seconds), unit);
  });
  setInterval(() => { if (!document.hidden) renewTimes(); }, 20_000);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) renewTimes(); });

  document.querySelectorAll("[data-submit-on-change]").forEach((field) => {
    field.addEventListener("change", () => field.form.requestSubmit());
  });
  document.addEventListener("click", (event) => {
    document.querySelectorAll("details.menu[open]").forEach((menu) => {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach((menu) => {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });
  // The page turns at once; the choice is kept by the form itself.
  document.querySelectorAll(".themes button").forEach((button) => {
    button.addEventListener("click", () => {
      document.documentElement.dataset.theme = button.value;
      for (const one of button.form.querySelectorAll("button")) one.setAttribute("aria-pressed", one === button);
    });
  });
})();

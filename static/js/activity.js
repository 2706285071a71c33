// The list of activity moves on, but never under the hands of somebody who reads it: rows are renewed in place, and new
// ones wait behind a button for as long as the list is pointed at, has the focus, is scrolled, or has something open.
(() => {
  const { body } = document;
  const isRead = (list) => list.matches(":hover, :focus-within")
    || list.querySelector("details[open]") !== null
    || document.querySelector("dialog[open]") !== null
    || list.getBoundingClientRect().top < 0;
  const askForAll = (source, list) => {
    const address = new URL(list.getAttribute("hx-get"), location.href);
    address.searchParams.delete("seen");
    return htmx.ajax("GET", address.pathname + address.search, { source, target: list, swap: "morph:outerHTML" });
  };
  const rowsOf = (list) => [...list.querySelectorAll("tr[id]")];

  body.addEventListener("htmx:beforeSwap", (event) => {
    const { target, xhr, serverResponse, requestConfig } = event.detail;
    if (target.id !== "activity" || xhr.status !== 200 || requestConfig.elt !== target) return;
    const fresh = new DOMParser().parseFromString(serverResponse, "text/html").getElementById("activity");
    const shown = new Set(rowsOf(target).map((row) => row.id));
    const added = fresh ? rowsOf(fresh).filter((row) => !shown.has(row.id)) : [];
    if (!added.length || !shown.size) return;
    if (!isRead(target)) {
      // Rows that were held back are not sent twice: now all are asked for.
      if (added.some((row) => "shown" in row.dataset)) {
        event.detail.shouldSwap = false;
        askForAll(target, target);
      }
      return;
    }
    const place = added[0].parentNode;
    for (const row of added) row.remove();
    // What slid off the end stays too: nothing moves.
    const kept = new Set(rowsOf(fresh).map((row) => row.id));
    for (const row of rowsOf(target)) if (!kept.has(row.id)) place.append(row.cloneNode(true));
    fresh.querySelector(".held").hidden = false;
    event.detail.serverResponse = fresh.outerHTML;
  });

  body.addEventListener("click", (event) => {
    const show = event.target.closest("[data-show-held]");
    const list = document.getElementById("activity");
    if (!show || !list || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    askForAll(show, list).then(() => document.querySelector("#activity .machine-name")?.focus());
  });

  // Whoever cancelled from the list finds the focus on the row, where the button was.
  let cancelled = null;
  body.addEventListener("htmx:afterRequest", (event) => {
    const row = event.detail.elt.closest(".confirm")?.closest("tr");
    if (!row || !event.detail.successful) return;
    cancelled = row.id;
    htmx.trigger(body, "activity-changed");
  });
  body.addEventListener("htmx:afterSettle", () => {
    if (!cancelled || document.querySelector(`#${CSS.escape(cancelled)} .confirm`)) return;
    document.querySelector(`#${CSS.escape(cancelled)} a`)?.focus();
    cancelled = null;
  });
})();

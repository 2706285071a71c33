// Details open beside what somebody looks at; ids are copied by a click. Without this the link is a page, the id selectable.
(() => {
  const { body } = document;
  const drawer = document.getElementById("drawer");

  if (drawer) {
    body.addEventListener("click", (event) => {
      const link = event.target.closest("a[data-drawer]");
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
      event.preventDefault();
      const opener = link.id || link.closest("[id]")?.id;
      htmx.ajax("GET", link.getAttribute("href"), { source: drawer, target: "#drawer-body", swap: "innerHTML" }).then(() => {
        if (!document.getElementById("drawer-title")) return;
        drawer.dataset.opener = opener || "";
        drawer.showModal();
      });
    });
    // A click beside it closes it; closed, it asks no more, and the focus goes back to where it was opened.
    drawer.addEventListener("click", (event) => { if (event.target === drawer) drawer.close(); });
    drawer.addEventListener("close", () => {
      document.getElementById("drawer-body").replaceChildren();
      document.getElementById(drawer.dataset.opener)?.querySelector("a[data-drawer]")?.focus();
    });
  }

  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Not allowed, or not over https: by the selection, as by hand.
      const field = Object.assign(document.createElement("textarea"), { value: text });
      (drawer?.open ? drawer : body).append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  };
  body.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    copy(button.dataset.copy).then(() => {
      const said = [...document.querySelectorAll("p[data-copied]")].pop();
      said.textContent = button.dataset.copied;
      button.classList.add("is-copied");
      button.focus();
      setTimeout(() => { said.textContent = ""; button.classList.remove("is-copied"); }, 4000);
    });
  });
})();

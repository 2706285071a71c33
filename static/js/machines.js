// The list of machines says how long it is, and keeps its selection while the tab is open: on every page,
// in every order, under every filter.
(() => {
  // What somebody asked the list for is said politely; news that come by themselves are not.
  document.body.addEventListener("htmx:afterSettle", ({ detail }) => {
    const { words } = detail.elt.id === "machine-list" ? detail.elt.dataset : {};
    if (words) document.getElementById("machine-count").textContent = words;
  });

  const bar = document.getElementById("bulk");
  if (!bar) return;
  const carried = bar.querySelector("[data-carried]");
  const count = bar.querySelector("[data-selection-count]");
  const clear = bar.querySelector("[data-selection-clear]");
  const key = `selection:${bar.dataset.selection}`;

  const read = () => {
    try {
      const { guids, matching } = JSON.parse(sessionStorage.getItem(key));
      return { guids: new Set(guids), matching };
    } catch {
      return { guids: new Set(), matching: "" };
    }
  };
  const selection = read();
  const keep = () => {
    try {
      sessionStorage.setItem(key, JSON.stringify({ guids: [...selection.guids], matching: selection.matching }));
    } catch { /* Storage is refused: it holds until the page is left. */ }
  };

  const list = () => document.getElementById("machine-list");
  const boxes = () => [...list().querySelectorAll('input[name="machines"]')];
  const hidden = (name, value) => {
    const input = document.createElement("input");
    [input.type, input.name, input.value] = ["hidden", name, value];
    return input;
  };

  const show = () => {
    const here = boxes();
    for (const box of here) box.checked = selection.guids.has(box.value);
    const shown = new Set(here.map((box) => box.value));
    const elsewhere = [...selection.guids].filter((guid) => !shown.has(guid)).map((guid) => hidden("machines", guid));
    const all = document.getElementById("pick-all");
    const isAllHere = all !== null && all.value === selection.matching;
    if (all) all.checked = isAllHere;
    if (selection.matching && !isAllHere) elsewhere.push(hidden("matching", selection.matching));
    carried.replaceChildren(...elsewhere);
    const page = list().querySelector("[data-pick-page]");
    if (page) {
      const ticked = here.filter((box) => box.checked).length;
      page.hidden = here.length === 0;
      page.firstElementChild.checked = ticked > 0 && ticked === here.length;
      page.firstElementChild.indeterminate = ticked > 0 && ticked < here.length;
    }
    const words = [selection.matching && count.dataset.all, selection.guids.size && String(selection.guids.size)];
    const text = words.filter(Boolean).join(" + ") || "0";
    if (count.textContent !== text) count.textContent = text;
    bar.hidden = text === "0";
    clear.hidden = false;
  };

  document.body.addEventListener("change", ({ target }) => {
    if (target.name === "machines") {
      if (target.checked) selection.guids.add(target.value);
      else selection.guids.delete(target.value);
    } else if (target.id === "pick-page") {
      for (const box of boxes()) {
        if (target.checked) selection.guids.add(box.value);
        else selection.guids.delete(box.value);
      }
    } else if (target.id === "pick-all") {
      selection.matching = target.checked ? target.value : "";
    } else return;
    keep();
    show();
  });
  clear.addEventListener("click", () => {
    selection.guids.clear();
    selection.matching = "";
    keep();
    show();
    list().focus({ preventScroll: true });
  });
  document.body.addEventListener("htmx:afterSettle", ({ detail }) => {
    if (detail.target.id !== "machine-list" && detail.elt.id !== "machine-list") return;
    show();
    // What was clicked is gone, the next page's button on the last page for example: the list is where to go on.
    if (detail.requestConfig?.boosted && document.activeElement === document.body) list().focus({ preventScroll: true });
  });
  // Back from the form, where it may have been sent: what counts is what is kept.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    Object.assign(selection, read());
    show();
  });
  show();
})();

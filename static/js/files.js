// Small comforts of the files' pages; each works without.
(() => {
  // "closes in 2 h 5 min" goes on by itself.
  const show = (place) => {
    const left = Math.max(0, Math.round((new Date(place.dataset.countdown) - Date.now()) / 60000));
    const time = place.querySelector("time");
    if (!time || !left) return;
    const text = left >= 60 ? `${Math.floor(left / 60)} h ${left % 60} min` : `${left} min`;
    time.firstChild.textContent = place.dataset.countdownSays.replace("{time}", text);
  };
  const all = () => document.querySelectorAll("[data-countdown]").forEach(show);
  all();
  setInterval(all, 20000);

  // A tick chooses, or takes back, at once; the tray says so. Without a script the button below does it.
  const choose = (form, ticks) => {
    const ids = (ticked) => ticks.filter((tick) => tick.checked === ticked).map((tick) => tick.value);
    ticks.forEach((tick) => tick.closest("tr").classList.toggle("is-chosen", tick.checked));
    htmx.ajax("POST", form.action, {
      source: ticks[0], target: "#tray", select: "#tray > *", swap: "innerHTML",
      values: { put: ids(true), drop: ids(false) },
    });
  };
  document.body.addEventListener("change", (event) => {
    const form = event.target.closest("#entries");
    if (!form) return;
    if (event.target.matches("[name=put]")) choose(form, [event.target]);
    if (!event.target.matches("[data-tick-all]")) return;
    const ticks = [...form.querySelectorAll("input[name=put]")].filter((tick) => tick.checked !== event.target.checked);
    ticks.forEach((tick) => { tick.checked = event.target.checked; });
    if (ticks.length) choose(form, ticks);
  });
  const offer = () => {
    document.querySelectorAll("[data-tick-all]").forEach((tick) => { tick.hidden = false; });
    document.querySelectorAll("[data-without-script]").forEach((part) => { part.hidden = true; });
  };
  offer();
  document.body.addEventListener("htmx:afterSettle", () => { offer(); all(); });
})();

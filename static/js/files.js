// Small comforts of the files' pages; each works without.
(() => {
  // "closes in 2 h 5 min" goes on by itself.
  const show = (place) => {
    const left = Math.max(0, Math.round((new Date(place.dataset.countdown) - Date.now()) / 60000));
    const time = place.querySelector("time");
    if (!time || !left) return;
    const text = left >= 60 ? `${Math.floor(left / 60)} h ${left % 60} min` : `${left} min`;
    time.firstChild.textContent = text;
  };
  const all = () => document.querySelectorAll("[data-countdown]").forEach(show);
  all();
  setInterval(all, 20000);

  // One tick for the whole page.
  document.body.addEventListener("change", (event) => {
    if (!event.target.matches("[data-tick-all]")) return;
    event.target.closest("table").querySelectorAll("input[name=put]").forEach((tick) => { tick.checked = event.target.checked; });
  });
  const offer = () => document.querySelectorAll("[data-tick-all]").forEach((tick) => { tick.hidden = false; });
  offer();
  document.body.addEventListener("htmx:afterSettle", () => { offer(); all(); });
})();

// Draws the charts from the JSON beside them. Without it the tables behind them say the same.
(() => {
  const root = document.documentElement;
  const stillness = matchMedia("(prefers-reduced-motion: reduce)");
  const drawn = [];

  const colour = (token) => getComputedStyle(root).getPropertyValue(`--${token}`).trim();

  const dataset = (series, kind) => ({
    label: series.label,
    data: series.values,
    backgroundColor: colour(series.tone),
    borderColor: colour(series.tone),
    borderWidth: kind === "line" ? 2 : 0,
    pointRadius: kind === "line" ? 2 : 0,
    spanGaps: true,
    maxBarThickness: 22,
  });

  const axis = (is, unit) => ({
    stacked: is.stacked,
    beginAtZero: true,
    grid: { color: is.value ? colour("line") : "transparent" },
    border: { color: colour("line") },
    ticks: { color: colour("ink-soft"), maxRotation: 0, autoSkipPadding: 12, precision: is.whole ? 0 : undefined },
    title: { display: is.value, text: unit, color: colour("ink-soft") },
  });

  const settings = ({ kind, labels, unit, series }) => {
    const lying = kind === "bars";
    const along = axis({ stacked: kind === "stacked", value: lying }, unit);
    const up = axis({ stacked: kind === "stacked", value: !lying, whole: series.every((one) => one.values.every(Number.isInteger)) }, unit);
    return {
      type: kind === "line" ? "line" : "bar",
      data: { labels, datasets: series.map((one) => dataset(one, kind)) },
      options: {
        indexAxis: lying ? "y" : "x",
        maintainAspectRatio: false,
        animation: stillness.matches ? false : { duration: 400 },
        interaction: { mode: "index", intersect: false, axis: lying ? "y" : "x" },
        scales: { x: along, y: up },
        plugins: {
          legend: { display: series.length > 1, labels: { color: colour("ink"), boxWidth: 12, boxHeight: 12 } },
          tooltip: { callbacks: { label: (item) => `${item.dataset.label}: ${item.formattedValue} ${unit}` } },
        },
      },
    };
  };

  const draw = () => {
    while (drawn.length) drawn.pop().destroy();
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    document.querySelectorAll("[data-chart]").forEach((place) => {
      const data = JSON.parse(document.getElementById(place.dataset.chart).textContent);
      place.hidden = false;
      drawn.push(new Chart(place.querySelector("canvas"), settings(data)));
    });
  };

  draw();
  new MutationObserver(draw).observe(root, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  stillness.addEventListener("change", draw);
})();

// Draws what the reader sees before the rest, one chart at a time, so that the text can be read at once and the page
// answers; what is scrolled to comes next. When the reader's setting turns from light to dark, or the page is printed,
// all is drawn (again, in other colours). Two attributes of the root say after how many milliseconds of the page's life
// something stood: data-seen, the charts on the first screen; data-drawn, all of them.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const names = new Set(JSON.parse(document.getElementById("colours").textContent));
  const root = document.documentElement;
  const coloured = (value, style) => {
    if (typeof value === "string") return names.has(value) ? style.getPropertyValue(value).trim() : value;
    if (Array.isArray(value)) return value.map((entry) => coloured(entry, style));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, coloured(entry, style)]));
  };
  // on a phone the bar would lie on the points, and a finger pans and zooms without it
  const bar = matchMedia("(hover: none), (max-width: 40rem)").matches ? false : "hover";
  const config = { responsive: true, displaylogo: false, displayModeBar: bar, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const places = Object.keys(charts).map((id) => document.getElementById(id));
  const drawn = new Set();
  const seen = (place) => {
    const { top, bottom } = place.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };
  const draw = (place) => {
    const { data, layout } = coloured(charts[place.id], getComputedStyle(root));
    drawn.add(place);
    return Plotly.react(place, data, layout, config);
  };
  const pause = () => new Promise((go) => setTimeout(go));
  const left = () => places.filter((place) => !drawn.has(place));
  let turn = 0;
  const drawAll = async () => {
    const mine = ++turn;
    drawn.clear();
    delete root.dataset.drawn;
    for (let next; (next = left().find(seen) ?? left()[0]); await pause()) {
      if (mine !== turn) return;
      if (!seen(next)) root.dataset.seen ??= Math.round(performance.now());
      await draw(next);
    }
    root.dataset.seen ??= Math.round(performance.now());
    root.dataset.drawn = Math.round(performance.now());
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => left().forEach(draw));
  drawAll();
})();

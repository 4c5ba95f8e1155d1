"""How a page looks and draws: its style sheet and its one script, which hands the charts to plotly.

The script draws what the reader sees before the rest, one chart at a time, so that the text can be read at once and the
page answers; what is scrolled to comes next. When the reader's setting turns from light to dark, or the page is
printed, all is drawn (again, in other colours). Two attributes of the root say after how many milliseconds of the
page's life something stood: `data-seen`, the charts on the first screen; `data-drawn`, all of them.
"""

from __future__ import annotations

from palenka_tune.report.charts.colours import PAGE, PALETTE

_RULES = """
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 3rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; }
h2 { font-size: 1.25rem; margin-top: 2.4rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
p { max-width: 46rem; }
a { color: var(--blue); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: 1rem 0; }
nav a { display: inline-block; padding: .3rem 0; }
.wide { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.caption { color: var(--soft); font-size: .9rem; margin: 1.1rem 0 .2rem; }
.facts td { white-space: normal; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; white-space: nowrap; }
th:first-child, td:first-child { padding-left: .2rem; }
.number { text-align: right; }
th { color: var(--soft); font-weight: 600; }
tbody tr:nth-child(even) { background: var(--band); }
figure { margin: 1.2rem 0; }
figcaption { color: var(--soft); font-size: .9rem; margin-top: .4rem; max-width: 46rem; }
.charts { display: grid; gap: 1rem 1.5rem; }
.chart { min-width: 0; }
pre { overflow-x: auto; padding: .8rem; background: var(--band); border-radius: 6px; font-size: .8rem;
  line-height: 1.45; overflow-wrap: normal; }
summary { cursor: pointer; padding: .5rem 0; color: var(--blue); }
:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
@media (min-width: 56rem) { .charts { grid-template-columns: repeat(var(--columns), minmax(0, 1fr)); } }
""".strip()

SCRIPT = """
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
  const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
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
""".strip()


def colour_names() -> list[str]:
    """The CSS variables that are colours."""
    return [f"--{name}" for name in (*PAGE, *PALETTE)]


def style() -> str:
    """The style sheet."""
    light, dark = (
        " ".join(f"--{name}: {pair[side]};" for name, pair in {**PAGE, **PALETTE}.items()) for side in (0, 1)
    )
    themes = (
        f":root {{ color-scheme: light dark; {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"
    )
    return f"{themes}\n{_RULES}"

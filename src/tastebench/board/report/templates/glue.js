"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const by = id => document.getElementById(id), all = (query, at = document) => [...at.querySelectorAll(query)];
// What records say goes through here, as text and never as markup.
function make(tag, text, ...inner) {
  const element = document.createElement(tag);
  if (text !== null) element.textContent = text;
  element.append(...inner);
  return element;
}
// ---- light and dark, charts
const root = document.documentElement, night = matchMedia("(prefers-color-scheme: dark)");
const dark = () => (root.style.colorScheme || (night.matches ? "dark" : "light")) === "dark";
const COLOURS = {
  true: ["#6cb0ff", "#ffb066", "#5fd0a5", "#f58fb5", "#c6a5ff", "#e3d265", "#9adbe8", "#c0c6cc"],
  false: ["#1d5fa8", "#b85a00", "#1b7f5c", "#b0306a", "#6a46b5", "#7a6a00", "#1d7f93", "#5b6670"],
};
function look(at) {
  const style = getComputedStyle(at), ink = style.color, line = style.borderTopColor, wide = at.clientWidth;
  const words = { labelColor: ink, titleColor: ink, labelFontSize: 12, titleFontSize: 12, titleFontWeight: 500, labelLimit: wide / 2.6 };
  return {
    background: null, font: style.fontFamily, view: { stroke: null }, text: { color: ink }, range: { category: COLOURS[dark()] },
    axis: { ...words, gridColor: line, domainColor: line, tickColor: line },
    legend: { ...words, orient: "bottom", columns: wide < 500 ? 1 : 3, symbolSize: 90, labelLimit: wide < 500 ? wide / 1.2 : wide / 3.5 },
  };
}
const plot = (at, spec) => vegaEmbed(at, structuredClone(spec),
  { ast: true, actions: false, renderer: "svg", config: look(at), tooltip: { theme: dark() ? "dark" : "light" } });
const figures = all("figure[data-chart]");
const draw = figure => plot(figure.querySelector(".plot"), data.charts[figure.dataset.chart]).then(() => figure.dataset.drawn = figure.dataset.chart);
async function paint() {
  root.classList.toggle("dark", dark());
  for (const figure of figures) {
    await new Promise(done => setTimeout(done));  // one at a time: the page stays usable
    await draw(figure);
  }
  root.dataset.drawn = dark() ? "dark" : "light";
}
for (const figure of figures) figure.addEventListener("change", ({ target }) => {
  figure.dataset.chart = target.value;
  figure.querySelector("figcaption").textContent = data.told[target.value];
  draw(figure);
});
by("theme").onclick = () => { root.style.colorScheme = dark() ? "light" : "dark"; paint(); };
night.addEventListener("change", paint);
// ---- tables: what was not measured stands last, whichever way
const last = compare => (a, b) => a === "" || b === "" ? (a === "") - (b === "") : compare(a, b);
const up = last((a, b) => a - b), down = last((a, b) => b - a);
const words = { asc: last((a, b) => a.localeCompare(b)), desc: last((a, b) => b.localeCompare(a)) };
Object.assign(DataTable.ext.type.order, { "score-asc": up, "score-desc": down, "word-asc": words.asc, "word-desc": words.desc });
for (const table of all("table[data-board]")) {
  const columns = all("thead th", table).map(({ dataset: { kind, best, hidden } }) => ({
    type: kind ?? "word", visible: hidden === undefined, orderSequence: best === "desc" ? ["desc", "asc"] : ["asc", "desc"],
  }));
  const kept = all("tbody tr", table).map(row => !row.classList.contains("model"));
  const paging = "page" in table.dataset, pageLength = +table.dataset.page;
  const layout = { topStart: null, topEnd: null, bottomStart: null, bottomEnd: paging ? "paging" : null };
  const made = new DataTable(table, { columns, paging, pageLength, info: false, autoWidth: false, order: [], layout });
  let asked = [];
  made.search.fixed("rows", (text, row, at) => kept[at] || asked.every(word => text.toLowerCase().includes(word)));
  for (const input of all(`input[data-table=${table.id}]`)) input.addEventListener("input", () => {
    if (input.type === "checkbox") return made.column(+input.value).visible(input.checked);
    asked = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    made.draw();
    by(`${table.id}-shown`).textContent = `${made.rows({ search: "applied" }).count()} of ${kept.length} rows`;
  });
  table.addEventListener("click", ({ target }) => {
    if (!target.closest("a")) location.hash = target.closest("td")?.querySelector("a")?.hash ?? location.hash;
  });
}
// ---- run cards
const line = (cells, tag) => make("tr", null, ...cells.map(cell => make(tag, cell)));
const forms = {
  rows: rows => make("dl", null, ...rows.flatMap(([name, value]) => [make("dt", name), make("dd", value)])),
  list: list => make("ul", null, ...list.map(one => make("li", one))),
  text: text => make("pre", text),
  grid: grid => make("table", null, make("thead", null, line(grid[0], "th")), make("tbody", null, ...grid.slice(1).map(row => line(row, "td")))),
  links: keys => make("ul", null, ...keys.map(key =>
    make("li", null, Object.assign(make("a", `${data.cards[key].title}, ${data.cards[key].place}`), { href: `#run-${key}` })))),
};
function part(given) {
  const section = typeof given === "number" ? data.shared[given] : given, form = Object.keys(forms).find(name => name in section);
  const body = Object.assign(forms[form](section[form]), { dir: "auto" });
  return section.closed ? [make("details", null, make("summary", section.title), body)] : [make("h3", section.title), body];
}
function open() {
  const key = location.hash.slice(1).replace(/^run-/, ""), card = by("card");
  if (!Object.hasOwn(data.cards, key)) return card.close();
  const run = data.cards[key], curve = Object.assign(make("div", null), { className: "plot" });
  by("card-title").textContent = run.title;
  by("card-body").replaceChildren(make("p", run.place), curve, ...run.sections.flatMap(part));
  if (!card.open) card.showModal();
  card.scrollTop = 0;
  if (run.curve.length > 1) plot(curve, { ...data.charts.curve, data: { values: run.curve.map(([epoch, loss, valid]) => ({ epoch, loss, valid })) } });
}
by("close").onclick = () => by("card").close();
by("card").onclose = () => history.replaceState(null, "", location.href.split("#")[0]);
addEventListener("hashchange", open);
open();
paint();

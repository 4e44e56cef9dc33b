"use strict";
// The controls, the answer and the charts.

const data = JSON.parse(document.getElementById("data").textContent);
const charts = JSON.parse(document.getElementById("charts").textContent);
const CELLS = 24; // of the map, each way
const MINUS = "\u2212";
const axis = data.device ? "speed" : "layer_ms"; // the time of the device that sliders and the map vary

// Log: a slider's places are equal ratios; "plus one": of the value + 1, so that it begins at 0.
const CONTROLS = {
  uplink: { label: "Uplink", unit: "Mbit/s", least: 1e-6, from: 0.05, to: 100, scale: "log" },
  rtt: { label: "Round trip", unit: "ms", least: 0, from: 0, to: 1000, scale: "plus one" },
  layer_ms: { label: "A layer", unit: "ms", least: 0, from: 0.1, to: 200, scale: "log" },
  exit_ms: { label: "An exit", unit: "ms", least: 0, from: 0, to: 50, scale: "plus one" },
  speed: { label: `Time of ${data.profile}`, unit: "times", least: 0, from: 0.05, to: 20, scale: "log" },
  layers: {
    label: data.exit_layers.every((layer, i) => layer === i + 1) ? "Layers on the device" : "Exits on the device",
    unit: `of ${data.layers}`, least: 1, most: data.layers, from: 1, to: data.layers, scale: "whole",
  },
  max_drop: { label: "Points that may be lost", unit: "points", least: 0, from: 0, to: 10, scale: "linear" },
  max_p95: { label: "Largest p95", unit: "ms", least: 0, from: 5, to: 5000, scale: "log", none: true },
};
const names = Object.keys(CONTROLS).filter((name) => name in data.settings);
let settings = readFragment({ ...data.settings });
const halves = {};
const views = {};

// Of a slider.
const steps = (name) => ({ whole: data.layers - 1 || 1, linear: 200 }[CONTROLS[name].scale] ?? 500);

function valueAt(name, place) {
  const { from, to, scale, none } = CONTROLS[name];
  if (none && place === 1) return null;
  if (scale === "whole") return Math.round(from + place * (to - from));
  if (scale === "linear") return Number((from + place * (to - from)).toFixed(2));
  const value = scale === "log" ? from * (to / from) ** place : (to + 1) ** place - 1;
  return Number(value.toPrecision(value < 1 ? 2 : 3));
}

function placeOfValue(name, value) {
  const { from, to, scale } = CONTROLS[name];
  if (value === null) return 1;
  const place = scale === "log" ? Math.log(value / from) / Math.log(to / from)
    : scale === "plus one" ? Math.log1p(value) / Math.log1p(to) : (value - from) / (to - from || 1);
  return Math.min(1, Math.max(0, place));
}

function valid(name, text) {
  const { least, most, scale, none } = CONTROLS[name];
  if (none && (text === "" || text === "none")) return null;
  const value = text === "" ? NaN : Number(text);
  const whole = scale !== "whole" || Number.isInteger(value);
  return Number.isFinite(value) && whole && value >= least && value <= (most ?? 1e9) ? value : undefined;
}

function readFragment(read) {
  for (const [name, text] of new URLSearchParams(location.hash.slice(1))) {
    const value = names.includes(name) ? valid(name, text) : undefined;
    if (value !== undefined) read[name] = value;
  }
  return read;
}

function writeFragment() {
  history.replaceState(null, "", "#" + names.map((name) => `${name}=${settings[name] ?? "none"}`).join("&"));
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function makeControls() {
  const form = document.getElementById("controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const name of names) {
    const { label, unit, least, most, scale, none } = CONTROLS[name];
    const number = element("input", {
      type: "number", id: `${name}_number`, min: least, max: most ?? "", step: scale === "whole" ? 1 : "any",
      placeholder: none ? "no limit" : "", inputMode: "decimal",
    });
    const range = element("input", { type: "range", id: name, min: 0, max: steps(name), step: 1 });
    range.setAttribute("aria-label", label);
    number.addEventListener("input", () => {
      const value = valid(name, number.value);
      if (value !== undefined && number.validity.valid) set({ [name]: value }, number);
    });
    range.addEventListener("input", () => set({ [name]: valueAt(name, range.value / steps(name)) }));
    for (const input of [number, range]) input.addEventListener("change", writeFragment);
    const written = element("label", { htmlFor: number.id }, label);
    const value = element("span", { className: "value" }, number, element("span", {}, unit));
    form.append(element("div", { className: "row" }, written, value, range));
  }
}

function showControls(except) {
  for (const name of names) {
    const number = document.getElementById(`${name}_number`), range = document.getElementById(name);
    if (number !== except) number.value = settings[name] ?? "";
    range.value = Math.round(placeOfValue(name, settings[name]) * steps(name));
    const { unit } = CONTROLS[name];
    range.setAttribute("aria-valuetext", settings[name] === null ? "no limit" : `${settings[name]} ${unit}`);
  }
}

const label = ([family, layer]) => data.names[family] + (family === CLOUD ? "" : ` ${layer}`);
const alphaOf = ([, , place]) => (place < 0 ? null : data.alphas[place]);
const named = (rule) => label(rule) + (alphaOf(rule) === null ? "" : ` from ${alphaOf(rule)}`);
const ms = (value) => `${value < 9.95 ? value.toFixed(2) : value < 999.5 ? value.toFixed(1) : Math.round(value)} ms`;
const signed = (value) => (Math.abs(value) < 0.005 ? "0.00"
  : (value > 0 ? "+" : MINUS) + Math.abs(value).toFixed(2));

function advice(rule, world) {
  const [family, layer] = rule, alpha = alphaOf(rule);
  const what = data.sends === "input" || (data.sends === "cheaper" && !world.sendsStates) ? "the input"
    : data.sends === "state" ? "the state" : "the state or the input, whichever is answered first,";
  if (family === CLOUD) return "Cut before layer 1: offload every input";
  if (family === EXIT) return `Do not offload: answer every sample at exit ${layer}`;
  if (layer === data.layers) {
    return `Do not offload: answer at the first exit with confidence ${alpha} or more, at the latest at exit ${layer}`;
  }
  return family === SPLIT
    ? `Cut after layer ${layer}: answer there from confidence ${alpha} on, offload ${what} when unsure`
    : `Cut after layer ${layer}: answer at the first exit up to it with confidence ${alpha} or more, `
      + `offload ${what} when unsure`;
}

// What the map and its legend distinguish.
function phase(number) {
  if (number < 0) return "none";
  const [family, layer] = data.rules[number];
  if (family === CLOUD) return "offload all";
  return family === EXIT || layer === data.layers ? "on the device" : `cut after ${layer}`;
}

function reasons(best, world) {
  const { chosen } = halves, limit = (name) => (name === "max_drop" ? 100 : null);
  if (best < 0) {
    const numbers = allowed(data, settings);
    const least = Math.min(...numbers.map((n) => quantiles(data.rules[n], chosen, world, [0.95])[0]));
    return [numbers.length ? `With the allowed drop kept, the least p95 is ${ms(least)}.`
      : "No rule surely keeps the allowed drop: the interval of each reaches beyond it."];
  }
  const lines = [], own = meanLatency(data.rules[best], chosen, world);
  for (const [name, text] of [["max_drop", "The points that may be lost bind"], ["max_p95", "The largest p95 binds"]]) {
    if (settings[name] === null) continue;
    const other = cheapest(data, chosen, world, { ...settings, [name]: limit(name) });
    if (other >= 0 && meanLatency(data.rules[other], chosen, world) < own * (1 - 1e-9)) {
      const row = rowOf(other, data, "judged", halves.judged, world);
      lines.push(`${text}: without that limit, ${named(data.rules[other])} takes ${ms(row.latency)} on average, `
        + `at ${signed(-row.drop)} points.`);
    }
  }
  if (!lines.length) lines.push("No limit binds: nothing is faster, whatever it loses.");
  const row = rowOf(best, data, "judged", halves.judged, world);
  if (row.drop > settings.max_drop) {
    lines.push(`On the half that judges, it loses ${row.drop.toFixed(2)} points: it was chosen by luck. `
      + "Allow less, or use more samples.");
  }
  return lines;
}

function showAnswer(best, world) {
  const rule = data.rules[best], row = best < 0 ? null : rowOf(best, data, "judged", halves.judged, world);
  const short = row && `mean ${ms(row.latency)} · p95 ${ms(row.latency_p95)} · ${signed(-row.drop)} points`;
  document.getElementById("what").replaceChildren(
    rule ? `${advice(rule, world)}.` : "No rule keeps these limits.", ...(row ? [element("small", {}, short)] : []));
  const tiles = row === null ? [] : [
    ["p50", ms(row.latency_p50)], ["p95", ms(row.latency_p95)], ["mean", ms(row.latency)],
    ["offloaded", `${(100 * row.offload_rate).toFixed(1)} %`], ["sent per sample", `${Number(row.kilobytes.toPrecision(3))} KB`],
    [data.labelled ? "points of accuracy" : "points of agreement", signed(-row.drop),
      `[${signed(-row.drop_high)}, ${signed(-row.drop_low)}]`],
  ];
  document.getElementById("numbers").replaceChildren(...tiles.map(([term, value, more]) =>
    element("div", {}, element("dt", {}, term),
      element("dd", {}, value, ...(more ? [element("small", {}, more)] : [])))));
  document.getElementById("why").replaceChildren(
    ...reasons(best, world).map((line) => element("li", {}, line)));
  // no line ends within an option
  document.getElementById("command").replaceChildren(...commandLine().split(/ (?=--)/).flatMap((words, i) =>
    [i ? " " : "", element("span", {}, words)]));
  document.body.dataset.answer = JSON.stringify(
    rule ? { policy: label(rule), layer: rule[1], threshold: alphaOf(rule), ...row } : null);
}

function commandLine() {
  const flags = { layers: "device-layers" };
  const words = names.filter((name) => settings[name] !== null && name !== "speed")
    .map((name) => `--${flags[name] ?? name.replace("_", "-")} ${settings[name]}`);
  const scaled = data.device && settings.speed !== 1 ? ` (with all its times × ${settings.speed})` : "";
  return `${data.command} ${words.join(" ")}${scaled}`;
}

function colourOf(what, dark) {
  if (what === "offload all") return dark ? "#3d7fc4" : "#4e8fd0";
  if (what === "on the device") return dark ? "#8a63b8" : "#9a78c4";
  if (what === "none") return dark ? "#4a5058" : "#c3c8ce";
  const share = (Number(what.split(" ").pop()) - 1) / Math.max(1, data.layers - 2);
  return `hsl(${52 - 34 * share}, ${72}%, ${(dark ? 62 : 74) - 36 * share}%)`;
}

const between = (from, to, count) => Array.from({ length: count + 1 }, (_, i) => from * (to / from) ** (i / count));

// The map's horizontal axis, and where a value stands on it: its axes are logarithmic.
const across = () => document.querySelector("input[name=across]:checked").value;
const span = (name) => [CONTROLS[name].from || 1, CONTROLS[name].to];
const onMap = (name) => settings[name] || span(name)[0];

function mapCells() {
  const sides = [across(), axis].map((name) => {
    const [from, to] = span(name), value = onMap(name);
    return between(value < from ? value / 2 : from, value > to ? value * 2 : to, CELLS);
  });
  const [links, times] = sides.map((edges) => edges.slice(1).map((edge, i) => Math.sqrt(edge * edges[i])));
  const [x, y] = sides;
  return phases(data, halves.chosen, settings, [across(), links], [axis, times]).flatMap((row, j) => row.map((number, i) => ({
    left: x[i], right: x[i + 1], low: y[j], high: y[j + 1], what: phase(number),
    tip: number < 0 ? "no rule keeps the limits" : named(data.rules[number]),
  })));
}

function showMap() {
  const cells = mapCells(), dark = isDark.matches;
  const order = ["offload all", ...Array.from({ length: data.layers }, (_, i) => `cut after ${i + 1}`), "on the device", "none"];
  const seen = new Set(cells.map((cell) => cell.what)), whats = order.filter((what) => seen.has(what));
  const view = views.map;
  replace(view, { cells, here: here() });
  const title = across() === "uplink" ? "uplink, Mbit/s" : "round trip, ms";
  const columns = Math.max(1, Math.floor((view.container().clientWidth - 60) / 110));
  fit(view, 52 + 17 * Math.ceil(whats.length / columns));
  view.signal("columns", columns).signal("rightward", title).signal("whats", whats).signal("colours", whats.map((what) => colourOf(what, dark)));
  view.runAsync();
}

// Rules that no other beats in both, from the fastest on.
function front(rows) {
  let least = Infinity;
  return [...rows].sort((a, b) => a.x - b.x || a.drop - b.drop).filter((row) => row.drop < least && ((least = row.drop), true));
}

function showFrontier(best, world) {
  const measure = document.querySelector("input[name=measure]:checked").value;
  const rows = data.rules.flatMap((rule, number) => {
    if (rule[1] > settings.layers) return [];
    const row = rowOf(number, data, "judged", halves.judged, world);
    const tip = `${named(rule)}: p50 ${ms(row.latency_p50)}, p95 ${ms(row.latency_p95)}, mean ${ms(row.latency)}, `
      + `${signed(-row.drop)} points, ${(100 * row.offload_rate).toFixed(1)} % offloaded`;
    return [{ number, x: Math.max(row[measure], 1e-6), drop: row.drop, tip, name: named(rule) }];
  });
  const limits = [{ x: null, drop: settings.max_drop, tip: "the points that may be lost" }];
  if (measure === "latency_p95" && settings.max_p95) limits.push({ x: settings.max_p95, drop: 0, tip: "the largest p95" });
  fit(views.frontier, 46);
  replace(views.frontier, {
    rules: rows, front: front(rows), best: rows.filter((row) => row.number === best), limits,
  });
  views.frontier.signal("across", `${measure === "latency" ? "mean" : "p95 of the"} latency, ms`).runAsync();
}

// Fill the chart's place on the page, with so many px below the plot.
function fit(view, bottom) {
  const { clientWidth, clientHeight } = view.container(), padding = { left: 50, top: 8, right: 20, bottom };
  view.padding(padding).width(clientWidth - padding.left - padding.right)
    .height(clientHeight - padding.top - bottom);
}

function replace(view, tables) {
  for (const [name, rows] of Object.entries(tables)) view.data(name, rows);
}

const isDark = matchMedia("(prefers-color-scheme: dark)");

async function makeCharts() {
  const style = getComputedStyle(document.documentElement), colour = (name) => style.getPropertyValue(name).trim();
  const font = getComputedStyle(document.body).fontFamily;
  const [ink, faint, line] = ["--ink", "--faint", "--line"].map(colour);
  const config = {
    background: "transparent",
    axis: {
      labelColor: ink, titleColor: ink, gridColor: line, domainColor: faint, tickColor: faint,
      labelFont: font, titleFont: font, labelFontSize: 12, titleFontSize: 12.5, titleFontWeight: 500,
    },
    legend: { labelColor: ink, labelFont: font, labelFontSize: 12 },
    text: { font },
  };
  for (const name of ["map", "frontier"]) {
    views[name]?.finalize();
    const options = {
      mode: "vega", renderer: "canvas", actions: false, defaultStyle: false, logLevel: 1, config,
      tooltip: { theme: isDark.matches ? "dark" : "light" },
    };
    views[name] = (await vegaEmbed(`#${name}`, charts[name], options)).view;
  }
  views.map.signal("upward", data.device ? "time of the device, × profile" : "a layer, ms");
  views.map.addEventListener("click", (event, item) => {
    if (!item?.datum?.what) return;
    const middle = (from, to) => Number(Math.sqrt(from * to).toPrecision(3));
    const { left, right, low, high } = item.datum;
    set({ [across()]: middle(left, right), [axis]: middle(low, high) });
    writeFragment();
  });
  views.frontier.signal("ink", ink).signal("paper", colour("--paper")).signal("faint", faint).signal("strong", colour("--link"));
}

let mapDue = 0, mapOf = "";

function show(except) {
  showControls(except);
  const world = worldOf(data, settings), best = cheapest(data, halves.chosen, world, settings);
  showAnswer(best, world);
  showFrontier(best, world);
  replace(views.map, { here: here() });
  views.map.runAsync();
  const depends = JSON.stringify([{ ...settings, [across()]: 0, [axis]: 0 }, across(), outside()]);
  if (depends === mapOf) return;
  clearTimeout(mapDue);
  mapDue = setTimeout(() => { mapOf = depends; showMap(); }, 100);
}

// Where the map must reach beyond its usual range.
function outside() {
  return [across(), axis].map((name) => {
    const [from, to] = span(name), value = onMap(name);
    return value < from || value > to ? value : null;
  });
}

const here = () => [{ x: onMap(across()), y: onMap(axis) }];

let due = 0;

function set(changed, except) {
  settings = { ...settings, ...changed };
  clearTimeout(due);
  due = setTimeout(() => show(except)); // once for all events that wait
}

async function begin() {
  makeControls();
  for (const name of ["chosen", "judged"]) halves[name] = await counted(data, data.halves[name]);
  await makeCharts();
  show();
  isDark.addEventListener("change", async () => { await makeCharts(); mapOf = ""; show(); });
  for (const radio of document.querySelectorAll("input[type=radio]")) radio.addEventListener("change", () => show());
  addEventListener("resize", () => { mapOf = ""; show(); });
  addEventListener("hashchange", () => { settings = readFragment({ ...settings }); show(); });
}

begin();

"use strict";
// What a rule leads to, and which is the cheapest: the arithmetic of splitee.report.planning, operation by
// operation, so that both give the same numbers. Counts are per threshold, layer and length k.

const [CLOUD, EXIT, SPLIT, CASCADE] = [0, 1, 2, 3];

async function unpack(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Count, for one half: all samples by k; by threshold, layer and k those sure at the layer (split), those sure
// there first (first), and those sure at no layer up to it (unsure).
async function counted(data, half) {
  const n = half.samples, L = data.layers, A = data.alphas.length, K = data.input_bits.length;
  const raw = await unpack(half.packed), kind = new Uint16Array(n);
  for (let s = 0; s < n; s++) kind[s] = raw[2 * s] + 256 * raw[2 * s + 1];
  const at = (a, i) => (a * (L + 1) + i) * K;
  const counts = {
    samples: n, at,
    all: new Float64Array(K),
    sure: new Float64Array(A * (L + 1) * K),
    first: new Float64Array(A * (L + 1) * K),
    unsure: new Float64Array(A * (L + 1) * K),
    sureOfAll: new Float64Array(A * (L + 1)), // the same, of all k
    firstOfAll: new Float64Array(A * (L + 1)),
  };
  for (let s = 0; s < n; s++) {
    const k = kind[s];
    counts.all[k] += 1;
    for (let i = 1, most = 0; i <= L; i++) {
      const reached = raw[2 * n + (i - 1) * n + s];
      for (let a = 0; a < reached; a++) counts.sure[at(a, i) + k] += 1;
      for (let a = most; a < reached; a++) counts.first[at(a, i) + k] += 1;
      most = Math.max(most, reached);
      for (let a = most; a < A; a++) counts.unsure[at(a, i) + k] += 1;
    }
  }
  for (let place = 0; place < counts.sure.length; place++) {
    counts.sureOfAll[Math.floor(place / K)] += counts.sure[place];
    counts.firstOfAll[Math.floor(place / K)] += counts.first[place];
  }
  return counts;
}

// ms until the device stops at layer i, by k: one exit evaluated, or every exit on the way; alike for all k?
function deviceTimes(data, settings) {
  const L = data.layers, K = data.input_bits.length;
  const { layer_ms: layer, exit_ms: exit, speed } = settings;
  const depth = [0, ...data.exit_layers];
  let regular = true;
  const pair = [[0], [0]];
  for (let i = 1; i <= L; i++) {
    regular = regular && depth[i] === i;
    const every = regular ? (layer + exit) * i : layer * depth[i] + exit * i;
    pair[0].push(i === 1 ? every : layer * depth[i] + exit);
    pair[1].push(every);
  }
  const times = (every) => Array.from({ length: L + 1 }, (_, i) =>
    Float64Array.from({ length: K }, (_, k) => {
      if (data.device) return speed * data.device[every][k][i];
      return i === 0 ? 0 : pair[every][i] + data.tokenize_ms[k];
    }));
  const alike = !data.device && data.tokenize_ms.every((more) => more === data.tokenize_ms[0]);
  return { one: times(0), every: times(1), alike };
}

// ms from the stop at layer i until the answer is back, and KB, by i and k.
function offloads(data, settings) {
  const rate = settings.uplink * 1000, K = data.input_bits.length;
  const back = [], kilobytes = [];
  let sendsStates = false;
  for (let i = 0; i <= data.layers; i++) {
    back.push(new Float64Array(K));
    kilobytes.push(new Float64Array(K));
    for (let k = 0; k < K; k++) {
      const cloud = data.cloud_ms[data.cloud_ms.length === 1 ? 0 : k];
      const encode = data.encode_ms[k] * (data.device ? settings.speed : 1);
      const input = data.input_bits[k], state = data.state_bits[k] ?? Infinity;
      const sendsState = i > 0 && data.sends !== "input"
        && (data.sends === "state" || encode + state / rate + cloud[i] < input / rate + cloud[0]);
      sendsStates ||= sendsState;
      const bits = sendsState ? state : input;
      back[i][k] = (sendsState ? encode : 0) + bits / rate + settings.rtt + cloud[sendsState ? i : 0];
      kilobytes[i][k] = bits / 8e3;
    }
  }
  return { back, kilobytes, sendsStates };
}

function worldOf(data, settings) {
  return { ...deviceTimes(data, settings), ...offloads(data, settings) };
}

// Call answered(count, ms) and offloaded(count, ms, layer, k) for all groups of samples alike under a rule.
function visit(rule, counts, world, answered, offloaded) {
  const [family, layer, a] = rule, K = counts.all.length, L = world.one.length - 1;
  if (family === CLOUD) {
    for (let k = 0; k < K; k++) offloaded(counts.all[k], world.one[0][k], 0, k);
    return;
  }
  if (family === EXIT) {
    if (world.alike) answered(counts.samples, world.one[layer][0]);
    else for (let k = 0; k < K; k++) answered(counts.all[k], world.one[layer][k]);
    return;
  }
  const device = family === SPLIT ? world.one : world.every;
  const source = family === SPLIT ? counts.sure : counts.first;
  const ofAll = family === SPLIT ? counts.sureOfAll : counts.firstOfAll;
  for (let i = family === SPLIT ? layer : 1; i <= layer; i++) {
    const from = counts.at(a, i);
    if (world.alike) answered(ofAll[from / K], device[i][0]);
    else for (let k = 0; k < K; k++) answered(source[from + k], device[i][k]);
  }
  const from = counts.at(a, layer), ms = device[layer];
  for (let k = 0; k < K; k++) {
    const unsure = family === SPLIT ? counts.all[k] - counts.sure[from + k] : counts.unsure[from + k];
    if (!unsure) continue;
    if (layer === L) answered(unsure, ms[k]);
    else offloaded(unsure, ms[k], layer, k);
  }
}

// Mean ms of the device, and of the rest, over all samples of a half.
function deviceMean(rule, counts, world) {
  let sum = 0;
  const add = (count, ms) => { sum += count * ms; };
  visit(rule, counts, world, add, add);
  return sum / counts.samples;
}

function restMean(rule, counts, world) {
  const [family, layer, a] = rule, back = world.back[layer], from = counts.at(a, layer);
  if (family === EXIT || layer === world.one.length - 1) return 0;
  let sum = 0;
  for (let k = 0; k < back.length; k++) {
    const count = family === CLOUD ? counts.all[k]
      : family === SPLIT ? counts.all[k] - counts.sure[from + k] : counts.unsure[from + k];
    sum += count * back[k];
  }
  return sum / counts.samples;
}

const meanLatency = (rule, counts, world) =>
  deviceMean(rule, counts, world) + restMean(rule, counts, world);

// The place in the sorted latencies of the value that a share of the samples keeps: numpy's "inverted_cdf".
const placeOf = (share, samples) => Math.max(0, Math.ceil(samples * share - 1));

function keepsP95(rule, counts, world, most) {
  let below = 0;
  visit(rule, counts, world,
    (count, ms) => { if (ms <= most) below += count; },
    (count, ms, i, k) => { if (ms + world.back[i][k] <= most) below += count; });
  return below > placeOf(0.95, counts.samples);
}

// The latencies that these shares of the samples keep.
function quantiles(rule, counts, world, shares) {
  const groups = [];
  visit(rule, counts, world,
    (count, ms) => groups.push([ms, count]),
    (count, ms, i, k) => groups.push([ms + world.back[i][k], count]));
  groups.sort((x, y) => x[0] - y[0]);
  return shares.map((share) => {
    const place = placeOf(share, counts.samples);
    let below = 0;
    return groups.find(([, count]) => (below += count) > place)[0];
  });
}

function rowOf(number, data, half, counts, world) {
  const rule = data.rules[number], [drop, drop_low, drop_high] = data.lost[half][number];
  const [latency_p50, latency_p95] = quantiles(rule, counts, world, [0.5, 0.95]);
  let sent = 0, kilobytes = 0;
  visit(rule, counts, world, () => {}, (count, ms, i, k) => {
    sent += count;
    kilobytes += count * world.kilobytes[i][k];
  });
  return {
    latency_p50, latency_p95, latency: meanLatency(rule, counts, world),
    kilobytes: kilobytes / counts.samples, offload_rate: sent / counts.samples, drop, drop_low, drop_high,
  };
}

// Equal but for rounding: splitee.report.planning compares costs so.
const rounded = (cost) => Math.round(cost * 1e9) / 1e9;

// The numbers of the rules that the device can follow and that keep the allowed drop.
function allowed(data, limits) {
  return [...data.rules.keys()].filter((number) =>
    data.rules[number][1] <= limits.layers && data.lost.chosen[number][2] <= limits.max_drop + 1e-9);
}

// Of these rules the one of least cost, then of least drop, that keeps the limit of p95; −1 if none does.
function least(numbers, cost, data, counts, world, most) {
  let best = -1, bestCost = Infinity, bestDrop = Infinity;
  numbers.forEach((number, place) => {
    const own = rounded(cost(place)), drop = data.lost.chosen[number][0];
    if (own > bestCost || (own === bestCost && drop >= bestDrop)) return;
    if (most !== null && !keepsP95(data.rules[number], counts, world, most)) return;
    [best, bestCost, bestDrop] = [number, own, drop];
  });
  return best;
}

// The number of the cheapest rule within the limits, on the half that rules are chosen on; −1 if none keeps them.
function cheapest(data, counts, world, limits) {
  const numbers = allowed(data, limits);
  const cost = (place) => meanLatency(data.rules[numbers[place]], counts, world);
  return least(numbers, cost, data, counts, world, limits.max_p95);
}

// The cheapest rules for all values of a setting of the link, and of one of the device, row by row of the latter.
function phases(data, counts, settings, [ofLink, links], [ofDevice, times]) {
  const numbers = allowed(data, settings);
  return times.map((time) => {
    const slower = { ...settings, [ofDevice]: time };
    const own = deviceTimes(data, slower);
    const device = numbers.map((number) => deviceMean(data.rules[number], counts, own));
    return links.map((value) => {
      const world = { ...own, ...offloads(data, { ...slower, [ofLink]: value }) };
      const cost = (place) => device[place] + restMean(data.rules[numbers[place]], counts, world);
      return least(numbers, cost, data, counts, world, settings.max_p95);
    });
  });
}

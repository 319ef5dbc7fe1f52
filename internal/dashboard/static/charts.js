// The charts, drawn by uPlot over the last samples.

import { $, count, size } from "./text.js";

const kept = 300; // samples, one a second
const gap = 5; // s without a sample, over which no line is drawn

const parts = [
  ["loops", "event loops"], ["registry", "registry"], ["uplink", "uplink"], ["mailboxes", "mailboxes"], ["outbound", "not read by clients"], ["unfinished", "unfinished input"],
  ["other_heap", "other heap"], ["heap_free", "free heap"], ["stacks", "stacks"], ["runtime", "runtime"], ["program", "program"], ["sockets", "kernel, for sockets"],
];

const charts = [
  { id: "c-sessions", series: ["sessions", "connections"], dashed: 1, format: count, of: (s) => [s.sessions, connections(s)] },
  { id: "c-churn", series: ["opened", "closed"], format: count, of: (_, r) => [r.opened, r.closed] },
  { id: "c-messages", series: ["in", "out"], format: count, of: (_, r) => [r.in, r.out] },
  { id: "c-memory", series: parts.map((p) => p[1]), format: size, of: (s) => parts.map((p) => s.memory[p[0]]), stacked: true },
  { id: "c-each", series: ["a session"], format: size, of: (s) => [s.sessions ? s.bytes_per_session : null] },
  { id: "c-behind", series: ["for Kafka", "lag of pushes", "for event loops"], format: count, of: (s) => [s.uplink?.buffered_records ?? 0, s.downlink?.lag ?? 0, s.mailbox.messages] },
];

// Steps of an axis of bytes, so that its numbers are whole.
const binary = Array.from({ length: 45 }, (_, i) => 2 ** i);


export const connections = (s) => s.connections.handshaking + s.connections.undecided + s.connections.open + s.connections.closing + s.connections.lingering;

const times = [];
for (const c of charts) c.values = c.series.map(() => []);

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const clock = (t) => (t ? new Date(t * 1000).toTimeString().slice(0, 8) : "–");

// stack turns the values of a stacked chart into sums from the last series up,
// so that the first, which is drawn first, is the total.
function data(c) {
  if (!c.stacked) return [times, ...c.values];
  const sums = c.values.map((v) => v.slice());
  for (let i = sums.length - 2; i >= 0; i--) sums[i] = sums[i].map((v, at) => (v === null ? null : v + sums[i + 1][at]));
  return [times, ...sums];
}

function draw(c) {
  const box = $(c.id);
  c.plot?.destroy();
  const axis = { stroke: color("--soft"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  c.plot = new uPlot({
    width: box.clientWidth, height: 200,
    cursor: { y: false }, legend: { live: true },
    scales: { x: { time: true }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
    axes: [{ ...axis, space: 70, values: (_, all) => all.map((v) => clock(v)) }, { ...axis, size: 68, ...(c.format === size ? { incrs: binary } : {}), values: (_, all) => all.map(c.format) }],
    series: [{ value: (_, v) => clock(v ?? times.at(-1)) }, ...c.series.map((label, i) => ({
      label, stroke: color(`--s${i + 1}`), width: 1.5, dash: i === c.dashed ? [5, 5] : undefined, points: { show: false },
      fill: c.stacked ? color(`--s${i + 1}`) : undefined,
      value: (_, __, ___, at) => { const v = c.values[i].at(at ?? -1); return v === null ? "–" : c.format(v ?? 0); },
    }))],
  }, data(c), box);
}

export function start() {
  charts.forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach(draw));
  new ResizeObserver(() => charts.forEach((c) => c.plot.setSize({ width: $(c.id).clientWidth, height: c.plot.height }))).observe($("c-sessions"));
}

function sample(time, of) {
  times.push(time);
  for (const c of charts) {
    const now = of(c);
    c.values.forEach((v, i) => v.push(now[i]));
  }
  while (times.length > kept) for (const v of [times, ...charts.flatMap((c) => c.values)]) v.shift();
}

export function add(snapshot, rates) {
  const time = Date.parse(snapshot.time) / 1000, last = times.at(-1);
  if (last >= time) for (const v of [times, ...charts.flatMap((c) => c.values)]) v.length = 0; // a clock was set back, or another node answers
  if (time - last > gap) sample(last + 1, (c) => c.series.map(() => null)); // nobody knows what was between
  sample(time, (c) => c.of(snapshot, rates));
  for (const c of charts) {
    const now = c.values.map((v) => v.at(-1));
    c.plot.setData(data(c));
    $(c.id).setAttribute("aria-label", `${$(`${c.id}-t`).textContent}, now: ${c.series.map((s, i) => `${s} ${now[i] === null ? "none" : c.format(now[i])}`).join(", ")}`);
  }
}

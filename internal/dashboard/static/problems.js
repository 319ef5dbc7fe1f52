// What is wrong, in words and in the order in which somebody should care:
// bad is felt by clients now, warn may be soon.

import { $, count, duration, element, size } from "./text.js";

const shownFor = 10_000; // ms after it was seen last, so that nothing flickers
const tooFull = 0.8, tooMuchMemory = 0.9, oldLease = 0.7; // as in deploy/prometheus/alerts.yml
const muchLag = 10_000, someLag = 1000; // records
const spike = { rate: 10, times: 5, samples: 60 };

const shown = new Map(); // key → { level, text, help, seen }
const closeRates = [];
let calm; // the snapshot since which counters that should not grow are compared

const words = (name) => name.replaceAll("_", " ");

// growth is how much a counter has grown since a quarter of a minute ago.
function growth(now, f) {
  return calm ? Math.max((f(now) ?? 0) - (f(calm) ?? 0), 0) : 0;
}

function* find(s, r) {
  const parts = new Set();
  for (const reason of s.reasons ?? []) {
    const [part, text] = [reason.slice(0, reason.indexOf(":")), reason];
    parts.add(part);
    yield ["bad", part, text, "The node serves on, with less than it should."];
  }
  if (s.status === "draining") yield ["warn", "draining", "This node is draining", "It takes no newcomers and ends."];

  const c = s.connections;
  const used = c.handshaking + c.undecided + c.open + c.closing + c.lingering;
  if (c.limit && used / c.limit > tooFull) yield ["warn", "full", `${count(used)} of ${count(c.limit)} connections are taken`, "Add a node, or raise max-conns."];
  const refused = { limit: "there is no room", overload: "the node is overloaded", proxy_header: "the load balancer sends no PROXY header" };
  for (const [why, text] of Object.entries(refused)) {
    const n = growth(s, (x) => x.refused[why]);
    if (n) yield ["bad", `refused ${why}`, `Newcomers are refused: ${text} (${count(n)} in the last seconds)`, ""];
  }
  for (const [why, text] of Object.entries({ unavailable: "does not work", overflow: "has too many to decide over", late: "takes too long" })) {
    const n = growth(s, (x) => x.auth?.[why]);
    if (n) yield ["bad", `auth ${why}`, `Newcomers are refused: authentication ${text} (${count(n)} in the last seconds)`, "They get 503. The log says why."];
  }
  for (const limit of Object.keys(s.admission ?? {})) {
    const n = growth(s, (x) => x.admission?.[limit]);
    if (n) yield ["warn", `admission ${limit}`, `Newcomers are refused by ${limit} (${count(n)} in the last seconds)`, ""];
  }

  const o = s.overload;
  if (o && o.rung > 0 && !parts.has("overload")) {
    const by = Object.entries(o.signals).filter(([, level]) => level === o.level).map(([signal]) => signal);
    yield [o.rung > 1 ? "bad" : "warn", "overload", `Overloaded: ${words(o.level)} for ${duration(o.since_seconds)}, because of ${by.join(" and ") || "what was before"}`, ""];
  }
  if (s.memory.budget && s.memory.used / s.memory.budget > tooMuchMemory) yield ["bad", "memory", `Memory: ${size(s.memory.used)} of a budget of ${size(s.memory.budget)}`, "See which part grows below."];

  const u = s.uplink;
  if (u) {
    if (growth(s, (x) => x.uplink?.refused)) yield ["bad", "uplink refused", "Messages of clients are refused: Kafka takes them too slowly", "Sessions are closed with 1013."];
    if (u.buffered_records && calm?.uplink?.buffered_records && !growth(s, (x) => x.uplink?.acknowledged) && !parts.has("kafka")) {
      yield ["bad", "uplink stuck", `Kafka acknowledges nothing; ${count(u.buffered_records)} messages wait`, "See whether the brokers answer."];
    }
    if (growth(s, (x) => x.uplink?.kafka_errors)) yield ["warn", "kafka errors", "Requests to Kafka fail", "The log names the broker."];
  }
  const lag = s.downlink?.lag ?? 0;
  if (lag > someLag) yield [lag > muchLag ? "bad" : "warn", "lag", `Pushes are ${count(lag)} records behind`, "They arrive late."];
  if (growth(s, (x) => x.dropped)) yield ["warn", "dropped", `Messages are dropped (${count(growth(s, (x) => x.dropped))} in the last seconds)`, "limpet_drops_total says which and why."];
  if (growth(s, (x) => x.mailbox.full)) yield ["warn", "mailbox", "Pushes are refused because an event loop is behind", ""];

  const d = s.directory;
  if (d && d.state !== "joined" && !parts.has("redis")) yield [d.state === "recovering" ? "warn" : "bad", "redis", `Redis: ${d.state}`, "The node works from its own table."];
  if (d && d.lease_age_seconds > oldLease * d.lease_seconds) yield ["warn", "lease", `The lease in Redis is ${duration(d.lease_age_seconds)} old; at ${duration(d.lease_seconds)} the others call this node dead`, ""];

  const usual = closeRates.reduce((a, b) => a + b, 0) / Math.max(closeRates.length, 1);
  if (closeRates.length >= spike.samples / 2 && r.closed > spike.rate && r.closed > spike.times * usual) {
    const top = Object.keys(s.closed).sort((a, b) => growth(s, (x) => x.closed[b]) - growth(s, (x) => x.closed[a]))[0];
    yield ["bad", "closes", `${count(r.closed)} sessions end per second, usually ${count(usual)}; most: ${words(top ?? "")}`, ""];
  }

  if (growth(s, (x) => x.host.listen_overflows)) yield ["bad", "overflows", "Connections are lost because the accept queue of a listener on this host is full", "Run limpet sysctl check."];
  const short = s.host_limits?.length ?? 0;
  if (short) yield ["warn", "host", `${short} limit${short > 1 ? "s" : ""} of the host fall${short > 1 ? "" : "s"} short of max-conns`, "They are listed under This host."];
}

const kept = []; // the last quarter of a minute of snapshots

export function show(s, r) {
  const now = Date.now();
  if (kept.length && (kept.at(-1).node !== s.node || kept.at(-1).uptime_seconds > s.uptime_seconds)) { kept.length = 0; shown.clear(); }
  calm = kept[0];
  for (const [level, key, text, help] of find(s, r)) shown.set(key, { level, text, help, seen: now });
  kept.push(s);
  if (kept.length > 15) kept.shift();
  closeRates.push(r.closed);
  if (closeRates.length > spike.samples) closeRates.shift();
  for (const [key, p] of shown) if (now - p.seen > shownFor) shown.delete(key);
  draw([...shown.values()].sort((a, b) => (a.level < b.level ? -1 : a.level > b.level ? 1 : 0)));
}

// lost replaces everything: what was last known is no longer so.
export function lost(text) {
  shown.clear();
  kept.length = 0;
  draw([{ level: "bad", text, help: "What is shown below is the last that is known." }]);
}

let drawn = "";

function draw(problems) {
  const key = JSON.stringify(problems.map((p) => [p.level, p.text]));
  if (key === drawn) return; // a screen reader hears changes only
  drawn = key;
  $("problems").replaceChildren(...(problems.length ? problems : [{ level: "good", text: "Nothing is wrong", help: "" }]).map((p) => element("li", { class: p.level },
    element("strong", {}, { bad: "Bad: ", warn: "Mind: ", good: "" }[p.level]), `${p.text}. ${p.help}`.trim())));
  document.title = problems.some((p) => p.level === "bad") ? "! limpet" : "limpet";
}

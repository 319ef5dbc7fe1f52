// The dashboard: one stream of snapshots, shown as numbers, tables and charts.

import { $, count, duration, element, rows, size, total } from "./text.js";
import { events, json, onTokenNeeded, setToken } from "./gateway.js";
import * as charts from "./charts.js";
import * as tools from "./tools.js";

const retry = 2000;  // ms until the stream is opened again
const nodesEvery = 5; // snapshots between two looks at the nodes

let before;
let seen = 0;

function ratesOf(now) {
  const seconds = before ? (Date.parse(now.time) - Date.parse(before.time)) / 1000 : 0;
  const same = before && before.node === now.node && before.uptime_seconds <= now.uptime_seconds && seconds > 0;
  const rate = (f) => (same ? Math.max(f(now) - f(before), 0) / seconds : 0);
  const acked = same && now.uplink && before.uplink ? now.uplink.acknowledged - before.uplink.acknowledged : 0;
  return {
    opened: rate((s) => s.opened), closed: rate((s) => total(s.closed)), refused: rate((s) => total(s.refused)),
    in: rate((s) => s.messages.in), out: rate((s) => s.messages.out),
    bytesIn: rate((s) => s.bytes.in), bytesOut: rate((s) => s.bytes.out),
    produce: acked > 0 ? (now.uplink.latency_sum_seconds - before.uplink.latency_sum_seconds) / acked : 0,
  };
}

function status(word, reasons = []) {
  const text = [word, ...reasons].join("; ");
  if ($("status").textContent === text) return; // a screen reader hears changes only
  $("status").textContent = text;
  $("status").className = `status ${word}`;
}

function numbers(s, r) {
  const show = (id, text, more) => { $(id).textContent = text; $(`${id}-more`).textContent = more; };
  show("sessions", count(s.sessions), `${count(s.principals)} principals, room for ${count(s.connections.limit)}`);
  show("churn", `${count(r.opened)}, ${count(r.closed)} /s`, `${count(total(s.refused))} refused since start`);
  show("messages", `${count(r.in)}, ${count(r.out)} /s`, `${size(r.bytesIn)}, ${size(r.bytesOut)} /s; ${count(s.dropped)} dropped`);
  show("per-session", s.sessions ? size(s.bytes_per_session) : "–", `${size(s.memory.resident)} resident`);
  const u = s.uplink;
  show("produce", u ? (r.produce ? duration(r.produce) : "idle") : "none", u ? `${count(u.buffered_records)} waiting, ${size(u.buffered_bytes)}` : "the gateway runs without");
  show("lag", s.downlink ? count(s.downlink.lag) : "none", s.downlink ? "records of pushes behind" : "");
}

function tables(s) {
  const ends = Object.entries(s.closed).sort((a, b) => b[1] - a[1]).slice(0, 8);
  rows($("closes"), ends.length ? ends.map(([reason, n]) => [reason.replaceAll("_", " "), count(n)]) : [["none so far", "0"]]);
  const h = s.host;
  rows($("host"), s.host_error ? [["not known", s.host_error]] : [
    ["TCP sockets", count(h.in_use)], ["in TIME-WAIT", count(h.time_wait)], ["TCP buffers", size(h.buffer_bytes)],
    ["listen overflows", count(h.listen_overflows)], ["retransmits", count(h.retransmits)],
  ]);
  const short = s.host_limits ?? [];
  $("limits").replaceChildren(...(short.length ? short : ["none"]).map((text) => element("li", {}, text)));
  const u = s.uplink;
  rows($("kafka"), [
    ...(u ? [["accepted", count(u.accepted)], ["acknowledged", count(u.acknowledged)], ["refused", count(u.refused)], ["failures", count(u.kafka_errors)]] : [["uplink", "none"]]),
    ["pushes delivered", count(s.pushes.delivered)], ["to nobody there", count(s.pushes.offline)], ["to other nodes", count(s.pushes.forwarded)],
  ]);
}

async function nodes() {
  try {
    const answer = await json("GET", "/v1/nodes");
    rows($("nodes"), answer.nodes.map((n) => [n.node, n.alive ? "alive" : "gone", count(n.sessions)]));
  } catch { /* the stream tells when the gateway is away */ }
}

function show(s) {
  const r = ratesOf(s);
  $("node").textContent = `${s.node}, version ${s.version}, up ${duration(s.uptime_seconds)}`;
  status(s.status, s.reasons);
  numbers(s, r);
  tables(s);
  charts.add(s, r);
  if (seen++ % nodesEvery === 0) nodes();
  before = s;
}

async function follow() {
  for (;;) {
    try {
      await events("/v1/live", show);
    } catch (e) {
      if (e.status === 401) { status("lost", ["a token is needed"]); return; }
    }
    status("lost", ["the gateway does not answer"]);
    await new Promise((done) => setTimeout(done, retry));
  }
}

onTokenNeeded(() => { $("token-form").hidden = false; });
$("token-form").addEventListener("submit", (e) => {
  e.preventDefault();
  setToken($("token").value);
  $("token-form").hidden = true;
  follow();
});
charts.start();
tools.start();
follow();

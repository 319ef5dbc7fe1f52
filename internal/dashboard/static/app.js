// The dashboard: one stream of snapshots, shown as numbers, tables and charts.

import { $, count, duration, element, rows, size, total } from "./text.js";
import { events, hasToken, onTokenNeeded, setToken } from "./gateway.js";
import * as charts from "./charts.js";
import * as problems from "./problems.js";
import * as tools from "./tools.js";

const retry = 2000; // ms until the stream is opened again

let before;

function ratesOf(now) {
  const seconds = before ? (Date.parse(now.time) - Date.parse(before.time)) / 1000 : 0;
  const same = before && before.node === now.node && before.uptime_seconds <= now.uptime_seconds && seconds > 0;
  const rate = (f) => (same ? Math.max(f(now) - f(before), 0) / seconds : 0);
  const closedBy = {};
  for (const reason of Object.keys(now.closed)) closedBy[reason] = rate((s) => s.closed[reason] ?? 0);
  const trips = same && now.directory && before.directory ? now.directory.round_trips - before.directory.round_trips : 0;
  const acked = same && now.uplink && before.uplink ? now.uplink.acknowledged - before.uplink.acknowledged : 0;
  return {
    opened: rate((s) => s.opened), closed: rate((s) => total(s.closed)), refused: rate((s) => total(s.refused)),
    in: rate((s) => s.messages.in), out: rate((s) => s.messages.out),
    bytesIn: rate((s) => s.bytes.in), bytesOut: rate((s) => s.bytes.out),
    produce: acked > 0 ? (now.uplink.latency_sum_seconds - before.uplink.latency_sum_seconds) / acked : 0,
    redis: trips > 0 ? (now.directory.latency_sum_seconds - before.directory.latency_sum_seconds) / trips : 0,
    closedBy,
  };
}

function status(word, why = "") {
  const text = why ? `${word}; ${why}` : word;
  if ($("status").textContent === text) return; // a screen reader hears changes only
  $("status").textContent = text;
  $("status").className = `status ${word}`;
}

const words = (name) => name.replaceAll("_", " ");

// others are the nodes with which this one shares a directory, itself with the
// latest number.
function others(s) {
  const known = s.directory?.nodes ?? [];
  if (!known.some((n) => n.node === s.node && n.alive)) return [{ node: s.node, alive: true, sessions: s.sessions }, ...known.filter((n) => n.node !== s.node)];
  return known.map((n) => (n.node === s.node && n.alive ? { ...n, sessions: s.sessions } : n));
}

function numbers(s, r) {
  const show = (id, text, more, level = "") => {
    $(id).textContent = text;
    $(`${id}-more`).textContent = more;
    $(id).parentElement.className = level;
  };
  const alive = others(s).filter((n) => n.alive);
  show("sessions", count(s.sessions), alive.length > 1
    ? `${count(alive.reduce((a, n) => a + n.sessions, 0))} on ${alive.length} nodes; room for ${count(s.connections.limit)} here`
    : `${count(s.principals)} principals, room for ${count(s.connections.limit)}`);
  show("churn", `${count(r.opened)}, ${count(r.closed)} /s`, `${count(r.refused)} /s refused, ${count(total(s.refused))} since start`);
  show("messages", `${count(r.in)}, ${count(r.out)} /s`, `${size(r.bytesIn)}, ${size(r.bytesOut)} /s; ${count(s.dropped)} dropped`);
  show("per-session", s.sessions ? size(s.bytes_per_session) : "–", `${size(s.memory.resident)} resident${s.sessions ? `, over ${count(s.sessions)}` : ""}`);
  const o = s.overload;
  show("overload", o ? words(o.level) : "none", o ? `${size(s.memory.used)} of ${size(s.memory.budget)}; CPU ${Math.round(o.cpu * 100)} %` : "no budget is kept", o?.rung > 1 ? "bad" : o?.rung > 0 ? "warn" : "");
  const u = s.uplink;
  const away = s.reasons?.some((reason) => reason.startsWith("kafka:"));
  show("produce", u ? (r.produce ? duration(r.produce) : away ? "no answer" : "idle") : "none", u ? `${count(u.buffered_records)} waiting, ${size(u.buffered_bytes)}` : "the gateway runs without", away ? "bad" : "");
  show("lag", s.downlink ? count(s.downlink.lag) : "none", s.downlink ? "records of pushes behind" : "");
  const d = s.directory;
  show("redis-state", d ? d.state : "none", d ? (r.redis ? `${duration(r.redis)} a round trip` : `${count(d.queued)} waiting`) : "this node is alone", d && d.state !== "joined" ? "bad" : "");
}

function tables(s, r) {
  const ends = Object.entries(s.closed).sort((a, b) => b[1] - a[1]).slice(0, 8);
  rows($("closes"), ends.length ? ends.map(([reason, n]) => [words(reason), count(r.closedBy[reason] ?? 0), count(n)]) : [["none so far", "0", "0"]]);
  const { admission, ...rest } = s.refused; // which has reasons of its own
  const refused = Object.entries({ ...rest, ...(s.admission ?? { admission }) }).filter(([, n]) => n).sort((a, b) => b[1] - a[1]);
  const unanswered = { timeout: "no request in time", peer_gone: "left before an answer" };
  refused.push(...Object.entries(s.unanswered ?? {}).filter(([, n]) => n).map(([cause, n]) => [unanswered[cause] ?? cause, n]));
  rows($("refusals"), refused.length ? refused.map(([reason, n]) => [words(reason), count(n)]) : [["none so far", "0"]]);
  const h = s.host, states = h.states ?? {};
  rows($("host"), s.host_error ? [["not known", s.host_error]] : [
    ["TCP sockets", count(h.in_use)], ["established", count(h.established)], ["in TIME-WAIT", count(h.time_wait)],
    ...Object.entries(states).filter(([, n]) => n).map(([state, n]) => [`in ${state.replaceAll("_", "-").toUpperCase()}`, count(n)]),
    ["TCP buffers", size(h.buffer_bytes)], ["listen overflows", count(h.listen_overflows)], ["listen drops", count(h.listen_drops)], ["retransmits", count(h.retransmits)],
  ]);
  const short = s.host_limits ?? [];
  $("limits").replaceChildren(...(short.length ? short : ["none"]).map((text) => element("li", {}, text)));
  const u = s.uplink;
  rows($("kafka"), [
    ...(u ? [["accepted", count(u.accepted)], ["acknowledged", count(u.acknowledged)], ["waiting", `${count(u.buffered_records)}, ${size(u.buffered_bytes)}`],
      ["refused", count(u.refused)], ["failed requests", count(u.kafka_errors)], ["lag of what is read here", count(s.downlink?.lag ?? 0)]] : [["uplink", "none"]]),
    ["pushes delivered", count(s.pushes.delivered)], ["to nobody there", count(s.pushes.offline)], ["to other nodes", count(s.pushes.forwarded)], ["failed", count(s.pushes.failed)],
  ]);
  const d = s.directory;
  rows($("redis"), d ? [
    ["state", d.state], ["commands", count(d.calls)], ["failed", count(d.failed)], ["a round trip takes", r.redis ? duration(r.redis) : "–"],
    ["waiting to be written", `${count(d.queued)} of ${count(d.queue_limit)}`],
    ["age of the lease", d.lease_age_seconds < 0 ? "no lease" : `${duration(d.lease_age_seconds)} of ${duration(d.lease_seconds)}`], ["outages", count(d.outages)],
  ] : [["none", "this node is alone"]]);
  const o = s.overload;
  rows($("ladder"), o ? [
    ["level", words(o.level)], ...Object.entries(o.signals).map(([signal, level]) => [`${signal} asks for`, words(level)]),
    ["memory", `${size(s.memory.used)} of ${size(s.memory.budget)}`], ["sessions shed", count(o.shed)], ["cut for what they held", count(o.evicted)],
    ["steps up, down", `${count(o.steps_up)}, ${count(o.steps_down)}`],
  ] : [["none", "no budget is kept"]]);
  const stale = (d?.nodes_age_seconds ?? 0) > 10 ? `, seen ${duration(d.nodes_age_seconds)} ago` : "";
  rows($("nodes"), others(s).map((n) => [n.node, n.node === s.node ? "this one" : (n.alive ? "alive" : "gone") + stale, count(n.sessions)]));
}

function show(s) {
  const r = ratesOf(s);
  $("node").textContent = `${s.node}, version ${s.version}, up ${duration(s.uptime_seconds)}`;
  status(s.status);
  problems.show(s, r);
  numbers(s, r);
  tables(s, r);
  charts.add(s, r);
  before = s;
}

let following = 0; // which call of follow goes on

async function follow() {
  const mine = ++following; // a token that comes later begins anew
  for (;;) {
    let why = "the gateway does not answer";
    try {
      await events("/v1/live", (s) => {
        if (mine !== following) throw new Error("another stream is shown"); // which ends this one
        try { show(s); } catch (e) { reportError(e); } // a fault of this page is none of the gateway
      });
    } catch (e) {
      if (mine !== following) return;
      if (e.status === 401) {
        const wrong = hasToken();
        status("lost", wrong ? "the token is not the right one" : "a token is needed");
        problems.lost(wrong ? "The API does not know this token" : "The API asks for its token");
        return;
      }
      if (e.status) why = `the gateway says: ${e.message}`; // too many look, for one
    }
    if (mine !== following) return;
    status("lost", why);
    problems.lost(why[0].toUpperCase() + why.slice(1));
    await new Promise((done) => setTimeout(done, retry));
  }
}

onTokenNeeded(() => {
  $("token-form").hidden = false;
  if (document.activeElement === document.body) $("token").focus(); // never away from what a person does
});
$("token-form").addEventListener("submit", (e) => {
  e.preventDefault();
  setToken($("token").value);
  $("token-form").hidden = true;
  follow();
});
charts.start();
tools.start();
follow();

// What a person does here: find a principal, push to it, end a session, and be
// a client.

import { $, duration, element } from "./text.js";
import { json, request, segments } from "./gateway.js";

const maxLog = 200; // lines of the console

const say = (text) => { $("did").textContent = text; };
const isSession = (text) => /^[0-9a-f]{32}$/.test(text);

async function attempt(action) {
  try { await action(); } catch (e) { say(e.message); }
}

function card(session) {
  const end = element("button", { type: "button", class: "quiet", "aria-label": `Disconnect session ${session.id}` }, "Disconnect");
  end.addEventListener("click", () => attempt(async () => {
    await request("DELETE", `/v1/sessions/${session.id}`);
    say(`told session ${session.id} to go`);
    end.closest(".session").remove();
  }));
  const since = session.since ? `, for ${duration((Date.now() - Date.parse(session.since)) / 1000)}` : "";
  return element("div", { class: "session" }, element("strong", {}, session.principal), element("code", {}, session.id),
    element("span", { class: "facts" }, `on ${session.node}${since}, epoch ${session.epoch}`), element("div", {}, end));
}

async function find(who) {
  $("push").hidden = true;
  $("found").replaceChildren();
  say("");
  try {
    const sessions = isSession(who) ? [await json("GET", `/v1/sessions/${who}`)] : (await json("GET", `/v1/users/${segments(who)}`)).sessions;
    $("found").replaceChildren(...sessions.map(card));
    $("push-to").textContent = who;
    $("push").hidden = false;
  } catch (e) {
    say(e.message);
  }
}

async function push(who, data) {
  const answer = await json("POST", "/v1/push", { to: `${isSession(who) ? "session" : "user"}:${who}`, data });
  const result = answer.targets[0];
  const sessions = `${result.delivered} session${result.delivered === 1 ? "" : "s"} on this node`;
  const nodes = result.forwarded ? `, sent on to ${result.forwarded} other node${result.forwarded === 1 ? "" : "s"}` : "";
  say(`${result.result}: ${sessions}${nodes}`);
}

// The console.
let socket;

function log(kind, text) {
  const mark = { out: "> ", in: "< ", note: "" }[kind];
  $("log").append(element("div", { class: kind }, mark + text));
  while ($("log").childElementCount > maxLog) $("log").firstElementChild.remove();
  $("log").scrollTop = $("log").scrollHeight;
}

function connected(yes) {
  $("connect-button").textContent = yes ? "Disconnect" : "Connect";
  $("name").disabled = yes;
  for (const id of ["text", "send-button"]) $(id).disabled = !yes;
  if (yes) $("text").focus();
}

function connect(address, name) {
  // The address that clients use, with the host of this page where the
  // gateway listens on every address.
  const [, host, port] = /^(.*):(\d+)$/.exec(address) ?? [];
  const any = ["0.0.0.0", "[::]", ""].includes(host);
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const url = `${scheme}://${any ? location.hostname : host}:${port}/ws?id=${encodeURIComponent(name)}`;
  log("note", `connecting to ${url}`);
  const s = new WebSocket(url);
  s.binaryType = "arraybuffer";
  s.onopen = () => { log("note", `connected as ${name}`); connected(true); };
  s.onmessage = (e) => log("in", typeof e.data === "string" ? e.data : `${e.data.byteLength} bytes`);
  s.onclose = (e) => {
    log("note", `closed with ${e.code}${e.reason ? `: ${e.reason}` : ""}`);
    if (socket === s) { socket = undefined; connected(false); }
  };
  socket = s;
}

export function start() {
  const on = (id, action) => $(id).addEventListener("submit", (e) => { e.preventDefault(); action(); });
  on("find", () => find($("who").value.trim()));
  on("push", () => attempt(async () => { await push($("push-to").textContent, $("push-text").value); $("push-text").value = ""; }));
  on("connect", async () => {
    if (socket) { socket.close(1000); return; }
    try { connect((await json("GET", "/v1/info")).listen, $("name").value); } catch (e) { log("note", e.message); }
  });
  on("send", () => {
    const text = $("text").value;
    socket.send(text);
    log("out", text);
    $("text").value = "";
  });
}

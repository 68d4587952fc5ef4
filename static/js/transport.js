// Keeps the page live. The socket is htmx's own; while it is not open, the same fragments come as
// server-sent events and prompts go by POST. Both start from the version that the page shows.
const htmx = window.htmx;
const chat = document.getElementById("chat");
const status = document.getElementById("connection");
const FALLBACK_AFTER = 2500; // ms without an open socket

const ACK_AFTER = 250; // ms; the server sends on only while enough of its frames are acknowledged
const ACK_FRAMES = 12;

let open = false;
let socket = null;
let received = 0;
let acked = 0;
let ackTimer = null;
let source = null;
let timer = setTimeout(fallBack, FALLBACK_AFTER);

chat.addEventListener("htmx:ws:after:connection", (event) => {
  open = true;
  socket = event.detail.connection.socket;
  received = acked = 0;
  tell({ type: "hello", version: document.getElementById("version").value });
  clearTimeout(timer);
  timer = null;
  endFallback();
  say("");
});

chat.addEventListener("htmx:ws:close", (event) => {
  open = false;
  if (event.detail.code === 4401) return location.reload(); // logged out: the log-in page says so
  if (event.detail.code === 4404) return location.assign("/");
  say(status.dataset.reconnecting);
  timer ??= setTimeout(fallBack, FALLBACK_AFTER);
});

chat.addEventListener("htmx:ws:after:message:incoming", () => {
  received += 1;
  if (received - acked >= ACK_FRAMES) ack();
  else ackTimer ??= setTimeout(ack, ACK_AFTER);
});

// A prompt goes over the socket only while it is open; else as an ordinary form, by the same id.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "composer" || open) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  htmx.ajax("POST", form.action, { source: form, swap: "none" });
}, true);

function fallBack() {
  timer = null;
  if (open || source) return;
  const version = document.getElementById("version").value;
  source = document.createElement("div");
  source.hidden = true;
  source.setAttribute("hx-sse:connect", `${chat.dataset.events}?version=${version}`);
  source.addEventListener("htmx:sse:after:connection", () => say(""));
  source.addEventListener("htmx:sse:close", () => { if (!open) say(status.dataset.reconnecting); });
  chat.append(source);
  htmx.process(source);
}

function endFallback() {
  const connection = source?._htmx?.sse;
  source?.remove();
  source = null;
  connection?.abortController.abort();
}

function ack() {
  clearTimeout(ackTimer);
  ackTimer = null;
  acked = received;
  tell({ type: "ack", frame: received });
}

function tell(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

function say(words) {
  status.textContent = words ?? "";
}

// Keeps the page live. The socket is htmx's own. While it is not open, the same fragments arrive by SSE.
// Both start from the revision that the page shows.
import { $, htmx, on, onChat, toast, words } from "./page.js";

const FALLBACK_AFTER = 2500; // ms without an open socket
const SHOWN_AFTER = 4000; // ms without either
const CROWDED = 60000; // ms until the next attempt, when the person has too many pages open
const ACK_AFTER = 250; // ms; without acks the server stops sending
const ACK_FRAMES = 12;

export let open = false;
let received = 0;
let streams = false; // the fallback is open
let socket, source, ackTimer, retryTimer, doubtTimer;

onChat(() => {
  open = false;
  stopFallback();
  retryTimer = setTimeout(fallBack, FALLBACK_AFTER);
});

on("htmx:ws:after:connection", (event) => {
  if (event.target !== $("chat")) return;
  open = true;
  socket = event.detail.connection.socket;
  received = 0;
  sendFrame({ type: "hello", revision: $("revision").value });
  stopFallback();
});

on("htmx:ws:close", (event) => {
  if (event.target !== $("chat") || event.detail.reason === "removed") return;
  open = false;
  disconnected(event.detail.code - 4000);
});

addEventListener("offline", () => showConnection("offline"));
// The socket tries again only within 5 s.
addEventListener("online", () => {
  if (open) return showConnection();
  stopFallback();
  showConnection("reconnecting");
  fallBack();
});

on("htmx:ws:after:message:incoming", (event) => {
  if (event.detail.connection.socket !== socket) return;
  received += 1;
  if (received % ACK_FRAMES) ackTimer ??= setTimeout(ack, ACK_AFTER);
  else ack();
});

// A form may wait for a connection, and a frame may be lost: Stop sends both.
on("submit", ({ submitter }) => {
  if (submitter?.matches(".stop")) sendFrame({ type: "stop", message: submitter.value });
}, true);

// The page's own requests fail without a toast.
on("htmx:error", ({ detail }) => {
  const { sourceElement } = detail.ctx ?? {};
  if (sourceElement?.id === "outbox") lost();
  else if (sourceElement !== source && sourceElement?.id !== "conversations") toast(words("failed"));
});

const reload = () => location.reload();
const broken = () => { streams = false; lost(); };

// With the status of the response, or the socket's code without its 4000.
function disconnected(status) {
  ({ 401: reload, 404: gone, 429: crowded }[status] ?? lost)();
}

function fallBack() {
  retryTimer = null;
  if (open || source) return;
  const chat = $("chat");
  source = document.createElement("div");
  source.hidden = true;
  source.setAttribute("hx-sse:connect", `${chat.dataset.events}?revision=${$("revision").value}`);
  const own = source;
  const react = {
    "htmx:sse:after:connection": () => { streams = true; restored(); },
    "htmx:sse:error": broken,
    // The extension repeats only a request that was once answered.
    "htmx:finally:request": ({ detail }) => {
      if (own._htmx.sse || own !== source) return;
      endFallback();
      disconnected(detail.ctx.response?.status);
    },
    revoked: reload,
    gone,
    restart: broken,
  };
  for (const name in react) source.addEventListener(name, react[name]);
  chat.append(source);
  htmx.process(source);
}

// Then only the fallback tries again.
function crowded() {
  restored();
  showConnection("crowded");
  clearTimeout(retryTimer);
  retryTimer = setTimeout(fallBack, CROWDED);
}

// Shown only while neither connection is open, and not at once.
function lost() {
  if (open || streams || "gone" in $("chat").dataset) return;
  retryTimer ??= setTimeout(fallBack, FALLBACK_AFTER);
  doubtTimer ??= setTimeout(showConnection, SHOWN_AFTER, "reconnecting");
  if (!navigator.onLine) showConnection("offline");
}

function restored() {
  clearTimeout(doubtTimer);
  doubtTimer = null;
  showConnection();
}

function stopFallback() {
  clearTimeout(retryTimer);
  retryTimer = null;
  endFallback();
  restored();
}

function gone() {
  const chat = $("chat");
  stopFallback();
  chat.dataset.gone = "";
  $("live-status").textContent = "";
  for (const one of chat.querySelectorAll("[aria-busy=true]")) one.ariaBusy = false;
  document.dispatchEvent(new Event("chat:gone"));
  $("gone").hidden = false;
  if (!document.activeElement.checkVisibility()) $("gone").focus();
}

function endFallback() {
  const connection = source?._htmx?.sse;
  source?.remove();
  source = null;
  streams = false;
  connection?.abortController.abort();
}

function showConnection(name) {
  $("connection").textContent = name ? words(name) : "";
}

function ack() {
  clearTimeout(ackTimer);
  ackTimer = null;
  sendFrame({ type: "ack", frame: received });
}

export function sendFrame(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

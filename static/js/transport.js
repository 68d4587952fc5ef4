// Keeps the page live. The socket is htmx's own; while it is not open, the same fragments come by SSE.
// Both start from the version that the page shows.
import { $, htmx, on, onChat, toast, words } from "./page.js";

const FALLBACK_AFTER = 2500; // ms without an open socket
const ACK_AFTER = 250; // ms; the server sends on only while it gets acks
const ACK_FRAMES = 12;

export let open = false;
let socket = null;
let received = 0;
let ackTimer = null;
let source = null;
let timer = null;
let wait = 0; // ms until the next attempt, when the person has too many pages open

onChat(() => {
  open = false;
  endFallback();
  clearTimeout(timer);
  timer = setTimeout(fallBack, FALLBACK_AFTER);
});

on("htmx:ws:after:connection", (event) => {
  if (event.target !== $("chat")) return;
  open = true;
  socket = event.detail.connection.socket;
  received = 0;
  tell({ type: "hello", version: $("version").value });
  clearTimeout(timer);
  timer = null;
  endFallback();
  say("");
});

on("htmx:ws:close", (event) => {
  if (event.target !== $("chat") || event.detail.reason === "removed") return;
  open = false;
  if (event.detail.code === 4401) return location.reload();
  if (event.detail.code === 4404) return say(words("deleted"));
  if (event.detail.code === 4430) return crowded();
  lost();
});

addEventListener("offline", lost);
// The socket tries again only within 5 s.
addEventListener("online", () => {
  if (open) return say("");
  lost();
  clearTimeout(timer);
  endFallback();
  fallBack();
});

on("htmx:ws:after:message:incoming", (event) => {
  if (event.detail.connection.socket !== socket) return;
  received += 1;
  if (received % ACK_FRAMES) ackTimer ??= setTimeout(ack, ACK_AFTER);
  else ack();
});

// What the page asks for by itself fails without a toast: the line above the box says that it is offline.
on("htmx:error", ({ detail }) => {
  const { sourceElement, request } = detail.ctx ?? {};
  if (sourceElement?.id === "composer") lost();
  else if (sourceElement !== source && !request?.action.includes("seen=")) toast(words("failed"));
});

function fallBack() {
  timer = null;
  if (open || source) return;
  const chat = $("chat");
  source = document.createElement("div");
  source.hidden = true;
  source.setAttribute("hx-sse:connect", `${chat.dataset.events}?version=${$("version").value}`);
  const own = source;
  const heard = {
    "htmx:sse:after:connection": () => {
      wait = 0;
      say("");
    },
    "htmx:finally:request": ({ detail }) => own._htmx.sse || fallBackAgain(own, detail.ctx.response?.status),
    revoked: () => location.reload(),
    gone: () => location.assign("/"),
    restart: () => say(words("reconnecting")),
  };
  for (const name in heard) source.addEventListener(name, heard[name]);
  chat.append(source);
  htmx.process(source);
}

// The extension repeats only a request that was once answered.
function fallBackAgain(ended, status) {
  if (ended !== source) return;
  if (status === 401) return location.reload();
  endFallback();
  if (status === 404) return say(words("deleted"));
  if (status === 429) return crowded();
  lost();
}

// The socket does not come again by itself after this; the fallback does, ever later.
function crowded() {
  say(words("crowded"));
  clearTimeout(timer);
  wait = Math.min(wait * 2 || 15000, 300000);
  timer = setTimeout(fallBack, wait);
}

function lost() {
  say(words(navigator.onLine ? "reconnecting" : "offline"));
  timer ??= setTimeout(fallBack, FALLBACK_AFTER);
}

function endFallback() {
  const connection = source?._htmx?.sse;
  source?.remove();
  source = null;
  connection?.abortController.abort();
}

export function say(text) {
  $("connection").textContent = text;
}

function ack() {
  clearTimeout(ackTimer);
  ackTimer = null;
  tell({ type: "ack", frame: received });
}

function tell(frame) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(frame));
}

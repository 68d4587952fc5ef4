// The message box: grows, sends by the person's key, and forgets a prompt only once the server has stored it.
import { $, onChat, root, words } from "./page.js";

const RESEND_AFTER = 8000; // ms without a receipt; sending the same id again is harmless
const growsByItself = CSS.supports("field-sizing", "content");
let sent = null;

onChat(() => {
  clearTimeout(sent?.timer);
  sent = null;
  receipts.disconnect();
  receipts.observe($("receipt").parentNode, { childList: true });
  changed();
});

document.addEventListener("keydown", (event) => {
  if (event.target.id !== "prompt" || event.key !== "Enter" || event.isComposing) return;
  const sends = root.dataset.send === "mod-enter" ? event.ctrlKey || event.metaKey : !event.shiftKey;
  if (!sends) return;
  event.preventDefault();
  if (event.target.value.trim()) event.target.form.requestSubmit();
});

document.addEventListener("input", (event) => { if (event.target.id === "prompt") changed(); });

document.addEventListener("submit", (event) => {
  if (event.target.id !== "composer") return;
  const text = $("prompt").value;
  if (!text.trim()) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  clearTimeout(sent?.timer);
  sent = { id: event.target.elements.client_id.value, text, timer: setTimeout(resend, RESEND_AFTER) };
}, true);

// The receipt names the stored prompt: what was sent leaves the box, what was typed since stays.
const receipts = new MutationObserver(() => {
  if (!sent || $("receipt")?.dataset.clientId !== sent.id) return;
  clearTimeout(sent.timer);
  const box = $("prompt");
  if (box.value.startsWith(sent.text)) box.value = box.value.slice(sent.text.length);
  sent = null;
  box.form.elements.client_id.value = crypto.randomUUID?.() ?? randomId();
  box.dispatchEvent(new Event("input", { bubbles: true }));
});

function resend() {
  if (sent && $("prompt").value.startsWith(sent.text)) $("composer").requestSubmit();
}

// crypto.randomUUID exists only on https and localhost.
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function changed() {
  const { value } = $("prompt");
  const tokens = Math.ceil(value.length / 4);
  $("estimate").hidden = tokens < 25;
  $("estimate").textContent = words("estimate").replace("{}", tokens.toLocaleString(root.lang));
  if (!growsByItself) $("prompt").rows = Math.min(12, value.split("\n").length + Math.floor(value.length / 90));
}

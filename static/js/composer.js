// The message box: grows, sends by the person's key, keeps what is not sent yet in this browser until log-out,
// and forgets a prompt only once the server has stored it.
import { $, onChat, root, words } from "./page.js";

const RESEND_AFTER = 8000; // ms without a receipt; sending the same id again is harmless
const growsByItself = CSS.supports("field-sizing", "content");
const drafts = `draft:${document.body.dataset.user}:`;
let sent = null;

forget((name) => !name.startsWith(drafts)); // somebody else's

onChat(() => {
  clearTimeout(sent?.timer);
  sent = null;
  receipts.disconnect();
  receipts.observe($("receipt").parentNode, { childList: true });
  $("prompt").value ||= localStorage.getItem(draft()) ?? "";
  changed();
});

document.addEventListener("keydown", (event) => {
  if (event.target.id !== "prompt" || event.key !== "Enter" || event.isComposing) return;
  const sends = root.dataset.send === "mod-enter" ? event.ctrlKey || event.metaKey : !event.shiftKey;
  if (!sends) return;
  event.preventDefault();
  if (event.target.value.trim()) event.target.form.requestSubmit();
});

document.addEventListener("input", ({ target }) => { if (target.id === "prompt") changed(); });

document.addEventListener("submit", (event) => {
  if (event.target.id === "log-out") forget(() => true);
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
  box.form.elements.client_id.value = newId();
  changed();
});

function resend() {
  if (sent && $("prompt").value.startsWith(sent.text)) $("composer").requestSubmit();
}

// An object URL ends with a new UUID. (crypto.randomUUID exists only on https and localhost.)
function newId() {
  const url = URL.createObjectURL(new Blob());
  URL.revokeObjectURL(url);
  return url.slice(-36);
}

function changed() {
  const { value } = $("prompt");
  const tokens = Math.ceil(value.length / 4);
  $("estimate").hidden = tokens < 25;
  $("estimate").textContent = words("estimate", tokens);
  if (!growsByItself) $("prompt").rows = Math.min(12, value.split("\n").length + Math.floor(value.length / 90));
  if (value.trim()) localStorage.setItem(draft(), value);
  else localStorage.removeItem(draft());
}

function draft() {
  return drafts + $("chat").dataset.conversation;
}

function forget(which) {
  const names = Object.keys(localStorage).filter((name) => name.startsWith("draft:") && which(name));
  for (const name of names) localStorage.removeItem(name);
}

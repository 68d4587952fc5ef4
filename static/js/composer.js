// The message box: grows, sends on Enter, and forgets a prompt only once the server has stored it.
const form = document.getElementById("composer");
const box = document.getElementById("prompt");
const clientId = form.elements.client_id;
const RESEND_AFTER = 8000; // ms without a receipt; sending the same id again is harmless
let sent = null;

box.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  if (box.value.trim()) form.requestSubmit();
});

box.addEventListener("input", grow);

form.addEventListener("submit", (event) => {
  if (!box.value.trim()) {
    event.preventDefault();
    event.stopImmediatePropagation();
    return;
  }
  clearTimeout(sent?.timer);
  sent = { id: clientId.value, text: box.value, timer: setTimeout(resend, RESEND_AFTER) };
}, true);

// The receipt names the stored prompt: what was sent leaves the box, what was typed since stays.
new MutationObserver(() => {
  const receipt = document.getElementById("receipt");
  if (!sent || receipt?.dataset.clientId !== sent.id) return;
  clearTimeout(sent.timer);
  if (box.value.startsWith(sent.text)) box.value = box.value.slice(sent.text.length);
  sent = null;
  clientId.value = crypto.randomUUID?.() ?? randomId();
  grow();
}).observe(document.getElementById("receipt").parentNode, { childList: true });

function resend() {
  if (sent && box.value.startsWith(sent.text)) form.requestSubmit();
}

// crypto.randomUUID exists only on https and localhost.
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 15) | 64;
  bytes[8] = (bytes[8] & 63) | 128;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

function grow() {
  box.rows = Math.min(12, box.value.split("\n").length + Math.floor(box.value.length / 90));
}

// The message box: sends, keeps drafts until log-out, and forgets a prompt only once the server has stored it.
import { $, htmx, onChat, root, toast, words } from "./page.js";
import { open } from "./transport.js";

const RESEND_AFTER = 8000; // ms without a receipt
const growsByItself = CSS.supports("field-sizing", "content");
const drafts = `draft:${document.body.dataset.user}:`;
let sent = null; // { id, text, timer }; no timer: it was refused
let again = false; // what was typed since goes next

forget((name) => !name.startsWith(drafts)); // somebody else's

onChat(() => {
  clearInterval(sent?.timer);
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

document.addEventListener("input", ({ target }) => { if (/^(prompt|model)$/.test(target.id)) changed(); });

// It goes over the socket while that is open, else as an ordinary form.
document.addEventListener("submit", (event) => {
  if (event.target.id === "log-out") forget(() => true);
  if (event.target.id !== "composer") return;
  const text = $("prompt").value;
  again = sent?.timer > 0;
  if (!again && text.trim()) {
    const id = text === sent?.text ? sent.id : newId();
    event.target.elements.client_id.value = id;
    delete $("notice").dataset.clientId;
    sent = { id, text, timer: setInterval(post, RESEND_AFTER) };
    if (open) return;
  }
  event.preventDefault();
  event.stopImmediatePropagation();
  post();
}, true);

// A receipt says it is stored: it leaves the box, what was typed since stays. A notice with its id refuses
// it: it stays in the box, and goes no more by itself.
const receipts = new MutationObserver(() => {
  const names = (id) => sent && $(id)?.dataset.clientId === sent.id;
  if (names("notice")) sent.timer = clearInterval(sent.timer);
  if (!names("receipt")) return;
  clearInterval(sent.timer);
  const box = $("prompt");
  if (box.value.startsWith(sent.text)) box.value = box.value.slice(sent.text.length);
  sent = null;
  changed();
  if (again && box.value.trim()) box.form.requestSubmit();
});

// Exactly what was sent, whatever the box holds by now. In place of a request that still waits for its answer.
function post() {
  if (!sent?.timer) return;
  const source = $("composer");
  const values = { client_id: sent.id, text: sent.text };
  htmx.ajax("POST", source.action, { source, values, swap: "none" });
}

// What was on its way when a connection broke may not have arrived.
for (const way of ["ws", "sse"]) document.addEventListener(`htmx:${way}:after:connection`, post);

// Refused without a word on why: by a proxy, or by a fault of the server. One that is only away says 502 and above.
document.addEventListener("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.id !== "composer" || !sent?.timer || !/^4|500/.test(ctx.response?.status)) return;
  sent.timer = clearInterval(sent.timer);
  toast(words("failed"));
});

// An object URL ends with a new UUID. (crypto.randomUUID wants https.)
function newId() {
  const url = URL.createObjectURL(new Blob());
  URL.revokeObjectURL(url);
  return url.slice(-36);
}

function changed() {
  const { value } = $("prompt");
  $("composer").parentNode.toggleAttribute("data-empty", !value);
  const tokens = Math.ceil(value.length / 4);
  const { window } = $("model").selectedOptions[0].dataset;
  const estimate = $("estimate");
  const text = tokens > window ? words("tooLong", +window) : words("estimate", tokens);
  estimate.hidden = tokens < 25;
  estimate.ariaLive = tokens > window ? "polite" : "off";
  if (estimate.textContent !== text) estimate.textContent = text;
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

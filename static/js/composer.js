// The message box: sends, keeps drafts until log-out, forgets a prompt only once the server has stored it.
import { $, htmx, on, onChat, onClick, root, toast, words } from "./page.js";
import { open, say } from "./transport.js";

const RESEND_AFTER = 8000; // ms without a receipt
const touch = matchMedia("(pointer: coarse)");
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
  if (!touch.matches && !document.activeElement?.closest(":focus-visible, dialog, [popover]")) {
    $("prompt").focus({ preventScroll: true });
  }
});

on("keydown", (event) => {
  if (event.target.id !== "prompt" || event.key !== "Enter" || event.isComposing) return;
  const { send } = root.dataset;
  const breaks = send === "mod-enter" || (send === "auto" && touch.matches);
  if (breaks ? !event.ctrlKey && !event.metaKey : event.shiftKey) return;
  event.preventDefault();
  if (event.target.value.trim()) event.target.form.requestSubmit();
});

on("input", ({ target }) => { if (/^(prompt|model)$/.test(target.id)) changed(); });

onClick("[data-fill]", ({ dataset }) => {
  $("prompt").value = `${dataset.fill} `;
  $("prompt").focus();
  changed();
});

// It goes over the socket while that is open, else as an ordinary form.
on("submit", (event) => {
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
// it: it stays, and goes no more by itself.
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

// Exactly what was sent, whatever the box holds by now; in place of a request that still waits.
function post() {
  if (!sent?.timer) return;
  const source = $("composer");
  const values = { client_id: sent.id, text: sent.text };
  htmx.ajax("POST", source.action, { source, values, swap: "none" });
}

// It may not have arrived.
for (const way of ["ws", "sse"]) on(`htmx:${way}:after:connection`, post);

// A proxy's refusal or a fault of the server has no notice. A server that is only away says 502 and above.
on("htmx:finally:request", ({ detail: { ctx } }) => {
  if (ctx.sourceElement.id !== "composer") return;
  if (ctx.response?.status < 400) say("");
  if (!sent?.timer || !/^4|500/.test(ctx.response?.status)) return;
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
  if (!CSS.supports("field-sizing", "content")) $("prompt").rows = value.split("\n").length + value.length / 90;
  if (value.trim()) localStorage.setItem(draft(), value);
  else localStorage.removeItem(draft());
}

function draft() {
  return drafts + $("chat").dataset.conversation;
}

function forget(which) {
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith("draft:") && which(name)) localStorage.removeItem(name);
  }
}

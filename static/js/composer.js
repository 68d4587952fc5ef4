// The message box: what Enter does, and a draft for each chat until log-out.
import { $, composing, on, onChat, onClick, root, words } from "./page.js";
import { send } from "./outbox.js";

const touch = matchMedia("(pointer: coarse)");
const drafts = `draft:${document.body.dataset.user}:`;

forget((name) => !name.startsWith(drafts)); // somebody else's

onChat(() => {
  $("prompt").value ||= localStorage.getItem(draft()) ?? ofNewChat();
  changed();
  if (!touch.matches && !document.activeElement?.closest(":focus-visible, dialog, [popover]")) {
    $("prompt").focus({ preventScroll: true });
  }
});

on("keydown", (event) => {
  if (event.target.id !== "prompt" || event.key !== "Enter" || composing(event)) return;
  const { send: key } = root.dataset;
  const breaks = key === "mod-enter" || (key === "auto" && touch.matches);
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

on("submit", (event) => {
  if (event.target.id === "log-out") forget(() => true);
  if (event.target.id !== "composer") return;
  event.preventDefault();
  const text = $("prompt").value;
  if (!text.trim()) return;
  send(text);
  localStorage.removeItem(draft(true));
  $("prompt").value = "";
  changed();
}, true);

// So does what was written for a chat that is gone.
on("chat:gone", ({ detail: texts }) => {
  const text = [...texts, $("prompt").value].filter((one) => one.trim()).join("\n\n");
  if (text) localStorage.setItem(draft(true), text);
});

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

function draft(isNew = $("version").value === "0" && !$("thread").children.length) {
  return drafts + (isNew ? "new:" : "") + $("chat").dataset.conversation;
}

// What was begun in a new chat that was left goes on in the next one.
function ofNewChat() {
  const begun = draft().includes(":new:") && Object.keys(localStorage).find((name) => name.startsWith(`${drafts}new:`));
  const text = begun ? localStorage.getItem(begun) : "";
  if (begun) localStorage.removeItem(begun);
  return text;
}

function forget(which) {
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith("draft:") && which(name)) localStorage.removeItem(name);
  }
}

// The message box: what Enter does, and a draft for each chat until log-out.
import { $, chatId, composing, fill, on, onChat, onClick, root, touch, words } from "./page.js";
import { edited, stopEditing } from "./edit.js";
import { hasFiles, takeFiles } from "./files.js";
import { send, withdraw } from "./outbox.js";

const LONGEST_WORD = 20; // characters, on average
const drafts = `draft:${document.body.dataset.user}:`;

removeDrafts((name) => !name.startsWith(drafts)); // another user's

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
  event.target.form.requestSubmit();
});

on("input", ({ target }) => { if (/^(prompt|model)$/.test(target.id)) changed(); });
on("files:changed", markEmpty); // also before the draft is back in the box

onClick("[data-fill]", ({ dataset }) => {
  fill($("prompt"), `${dataset.fill} `);
  $("prompt").focus();
});

on("submit", (event) => {
  if (event.target.id === "log-out") removeDrafts(() => true);
  if (event.target.id !== "composer") return;
  event.preventDefault();
  const text = $("prompt").value;
  if (!text.trim() && !hasFiles()) return;
  const taken = takeFiles();
  if (!taken) return;
  send(text, taken);
  if (!edited()) localStorage.removeItem(draft(true));
  fill($("prompt"), "");
  if (edited()) stopEditing();
  document.dispatchEvent(new Event("chat:sent"));
}, true);

// An edited prompt has a draft of its own.
on("chat:draft", ({ detail }) => fill($("prompt"), localStorage.getItem(draft()) ?? detail));

// The draft of a deleted chat continues in a new one.
on("chat:gone", () => {
  const texts = [localStorage.getItem(draft(true)), ...withdraw(), $("prompt").value]; // another tab's first
  const text = [...new Set(texts)].filter((one) => one?.trim()).join("\n\n");
  if (text) localStorage.setItem(draft(true), text);
});

function markEmpty() {
  $("composer").parentNode.toggleAttribute("data-empty", !$("prompt").value && !hasFiles());
}

function changed() {
  const { value } = $("prompt");
  markEmpty();
  const tokens = tokensOf(value);
  const { window } = $("model").selectedOptions[0].dataset;
  const estimate = $("estimate");
  const tooLong = tokens > window;
  const text = nearLimit(value) || (tooLong ? words("tooLong", +window) : words("estimate", tokens));
  estimate.hidden = tokens < 25;
  estimate.ariaLive = tooLong || value.length > $("prompt").dataset.most ? "polite" : "off";
  if (estimate.textContent !== text) estimate.textContent = text;
  if (!CSS.supports("field-sizing", "content")) $("prompt").rows = value.split("\n").length + value.length / 90;
  if (value.trim()) localStorage.setItem(draft(), value);
  else localStorage.removeItem(draft());
}

// From nine tenths of what the server takes: the number of words, and how many more fit, or are too many. Characters
// for scripts without spaces. "" below.
function nearLimit(value) {
  const { length } = value;
  const most = +$("prompt").dataset.most;
  if (length <= 0.9 * most) return "";
  const isOver = length > most;
  const count = value.match(/\S+/g)?.length ?? 0;
  const name = length < LONGEST_WORD * count ? "Words" : "Limit";
  const number = name === "Words" ? Math.ceil(Math.abs(most - length) * count / length) : most;
  const text = words(`${isOver ? "over" : "near"}${name}`, name === "Words" ? count : length);
  return text.replace("{}", number.toLocaleString(root.lang));
}

// A token is about 4 characters of English, and 1.3 of Hindi or Chinese.
function tokensOf(text) {
  return Math.ceil((text.length + 2 * (text.match(/[\u0900-\uffff]/g) ?? []).length) / 4);
}

function draft(isNew = $("revision").value === "0" && !$("messages").children.length) {
  return drafts + (edited() ? `edit:${edited()}` : (isNew ? "new:" : "") + chatId());
}

// A new chat takes over the draft of one that was left without a message.
function ofNewChat() {
  const begun = draft().includes(":new:") && Object.keys(localStorage).find((name) => name.startsWith(`${drafts}new:`));
  const text = begun ? localStorage.getItem(begun) : "";
  if (begun) localStorage.removeItem(begun);
  return text;
}

function removeDrafts(which) {
  for (const name of Object.keys(localStorage)) {
    if (name.startsWith("draft:") && which(name)) localStorage.removeItem(name);
  }
}

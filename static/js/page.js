// What all modules share. Switching chats replaces <main id="chat"> alone: modules listen on the document, and set
// up each chat with `onChat`.
export const htmx = window.htmx;
export const root = document.documentElement;
export const on = document.addEventListener.bind(document);
export const $ = (id) => document.getElementById(id);
export const chatId = () => $("chat").dataset.conversation;
export const touch = matchMedia("(pointer: coarse)");
export const words = (name, number) => $("words").dataset[name].replace("{}", number?.toLocaleString(root.lang));

let shown = null;
const subscribers = [];

// Calls `start(main)` once the module is set up, and for each chat that is switched to.
export function onChat(start) {
  subscribers.push(start);
  queueMicrotask(() => start(shown));
}

function detectChat() {
  const main = $("chat");
  if (!main || main === shown) return;
  shown = main;
  for (const start of subscribers) start(main);
}

detectChat();
new MutationObserver(detectChat).observe(document.body, { childList: true });

// A key of an input method. Safari's Enter comes after the composition.
export const composing = (event) => event.isComposing || event.keyCode === 229;

export function onClick(selector, handle) {
  on("click", (event) => {
    const element = event.target.closest?.(selector);
    if (element) handle(element, event);
  });
}

// Writes into a field as if typed.
export function fill(field, text) {
  field.value = text;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

// Tells screen readers.
export function announce(text) {
  if (text.trim()) $("reader").textContent = text;
}

export function toast(text) {
  const box = document.createElement("div");
  box.className = "toast";
  box.append(Object.assign(document.createElement("p"), { textContent: text }));
  $("toasts").append(box);
  return box;
}

// Toasts disappear by themselves, but not under the pointer or with the focus.
setInterval(() => {
  for (const box of $("toasts").children) {
    box.seconds = (box.seconds ?? 0) + 1;
    if (box.seconds > (box.querySelector("form") ? 20 : 5) && !box.matches(":hover, :focus-within")) box.remove();
  }
}, 1000);
onClick("[data-dismiss]", (button) => button.closest(".toast").remove());

// A toast replaces an earlier one with the same words, unless that has a form.
new MutationObserver(() => {
  const [last, ...before] = [...$("toasts").children].reverse();
  before.find((one) => one.innerText === last.innerText && !one.querySelector("form"))?.remove();
}).observe($("toasts"), { childList: true });

on("submit", ({ target }) => target.closest("[popover]")?.hidePopover());

// A form that its own effect removes from the page before the response: htmx would cancel it. `data-post` selects
// fields outside of it that are sent too.
const sending = new WeakSet();
on("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-post]")) return;
  event.preventDefault();
  if (sending.has(form)) return;
  sending.add(form);
  const values = Object.fromEntries(new FormData(form));
  for (const field of document.querySelectorAll(form.dataset.post || "_")) values[field.name] ||= field.value;
  htmx.ajax("POST", form.action, { values, swap: "none" }).finally(() => sending.delete(form));
  form.closest(".toast")?.remove();
});

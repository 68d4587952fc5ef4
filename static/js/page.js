// What all other modules build on. Switching chats replaces <main id="chat">; everything around it stays,
// so a module listens on the document, and does with `onChat` what each chat needs once.
export const htmx = window.htmx;
export const root = document.documentElement;
export const $ = (id) => document.getElementById(id);
export const words = (name, number) => $("words").dataset[name].replace("{}", number?.toLocaleString(root.lang));

let shown = null;
const subscribers = [];

// Calls `start(main)` once the calling module is set up, and for each chat that is switched to.
export function onChat(start) {
  subscribers.push(start);
  queueMicrotask(() => start(shown));
}

export const isShown = (main) => main === shown;

function look() {
  const main = $("chat");
  if (!main || main === shown) return;
  shown = main;
  for (const start of subscribers) start(main);
}

look();
new MutationObserver(look).observe(document.body, { childList: true });

// Handles a click on (or in) what matches `selector`, now or later.
export function onClick(selector, handle) {
  document.addEventListener("click", (event) => {
    const element = event.target.closest?.(selector);
    if (element) handle(element, event);
  });
}

export function toast(text) {
  const box = document.createElement("div");
  box.className = "toast";
  box.append(Object.assign(document.createElement("p"), { textContent: text }));
  $("toasts").append(box);
}

// Toasts go by themselves, but not from under a pointer or the focus.
const seconds = new WeakMap();
setInterval(() => {
  for (const box of $("toasts").children) {
    const age = (seconds.get(box) ?? 0) + 1;
    seconds.set(box, age);
    if (age > (box.querySelector("form") ? 20 : 5) && !box.matches(":hover, :focus-within")) box.remove();
  }
}, 1000);
onClick("[data-dismiss]", (button) => button.closest(".toast").remove());

document.addEventListener("submit", ({ target }) => target.closest("[popover]")?.hidePopover());

// A form that its own effect takes off the page before the answer is there: htmx would drop that answer.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-post]")) return;
  event.preventDefault();
  htmx.ajax("POST", form.action, { values: Object.fromEntries(new FormData(form)), swap: "none" });
  form.closest(".toast")?.remove();
});

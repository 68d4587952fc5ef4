// Copies code, a message, or what is selected: as Markdown, with rich text beside it.
import { $, on, onClick, toast, words } from "./page.js";
import { markdownOf, number, plain } from "./markdown.js";

onClick("button.copy-code", (button) => copy(button.closest(".code-block").querySelector("code").textContent));

onClick("button.wrap-code", async (button) => (await import("./code.js")).wrap(button));
onClick("button.save-code", async (button) => (await import("./code.js")).download(button));

// The menu of a reply offers its tables.
on("beforetoggle", ({ target }) => {
  const entry = target.querySelector?.("[data-csv]");
  if (entry) entry.hidden = !entry.closest(".message").querySelector(".message-body table");
}, true);

onClick("[data-csv]", (button) => {
  const body = button.closest(".message").querySelector(".message-body");
  button.closest("[popover]").hidePopover();
  return copy(import("./tables.js").then(({ csv }) => csv(body)));
});

onClick("[data-copy-field]", async (button) => {
  const field = $(button.dataset.copyField);
  field.select();
  await copy(field.value);
  button.textContent = words("copied"); // a toast is behind an open dialog
});

onClick("[data-print]", async (button) => {
  button.closest("[popover]")?.hidePopover();
  (await import("./print.js")).printAll();
});

onClick("[data-copy]", (button) => {
  button.closest("[popover]")?.hidePopover();
  const body = button.closest(".message").querySelector(".message-body");
  const whole = document.createRange();
  whole.selectNodeContents(body);
  const stored = fetch(button.dataset.copy).then((answer) => answer.ok && answer.text()).catch(() => "");
  return copy(stored.then((text) => text || markdownOf(whole)), "rich" in button.dataset && plain(body.cloneNode(true)));
});

on("copy", (event) => {
  const selection = getSelection();
  if (event.target.matches?.("input, textarea") || selection.isCollapsed) return;
  const range = selection.getRangeAt(0);
  const text = $("scroller").contains(range.commonAncestorContainer) && markdownOf(range);
  if (text) put(event, text, plain(framed(range)));
});

// A part of a list, a table or code becomes one of its own.
function framed(range) {
  const { commonAncestorContainer: node, startContainer: start } = range;
  const outer = document.createElement("div");
  outer.append(range.cloneContents());
  const frame = (element) => {
    const shell = element.cloneNode(false);
    shell.append(...outer.childNodes);
    outer.append(shell);
  };
  const pre = (node.localName ? node : node.parentNode).closest("pre");
  if (pre) frame(pre);
  for (let at = node; /^([ou]l|table|t(head|body|r))$/.test(at.localName); at = at.parentNode) frame(at);
  for (let at = start; at !== node; at = at.parentNode) {
    if (at.parentNode.localName === "ol") outer.querySelector("ol").start = number(at);
  }
  return outer;
}

async function copy(text, html) {
  try {
    // Given a promise, Safari still counts the click as the reason.
    const blob = (it, type) => Promise.resolve(it).then((content) => new Blob([content], { type }));
    const rich = html && { "text/html": blob(html, "text/html") };
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob(text, "text/plain"), ...rich })]);
    toast(words("copied"));
  } catch {
    toast(words(copyByHand(await text, html) ? "copied" : "notCopied"));
  }
}

// navigator.clipboard needs https.
function copyByHand(text, html) {
  const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  const before = document.activeElement;
  document.body.append(area);
  area.select();
  area.addEventListener("copy", (event) => put(event, text, html));
  const done = text && document.execCommand("copy");
  area.remove();
  before?.focus();
  return done;
}

function put(event, text, html) {
  event.preventDefault();
  event.clipboardData.setData("text/plain", text);
  if (html) event.clipboardData.setData("text/html", html);
}

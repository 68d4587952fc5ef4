// The list of chats, a drawer on narrow screens.
import { $, htmx, on, onChat, onClick } from "./page.js";

const sidebar = $("sidebar");
let version = null;

// --- Up to date

onChat(() => { version = $("version").value; show(false); });

on("htmx:after:swap", () => {
  const now = $("version")?.value;
  if (now === undefined || now === version) return;
  version = now;
  $("title-field").value = $("conversation-title").textContent;
  document.title = `${$("title-field").value} · Steady`;
  refresh();
});
setInterval(refresh, 5000);
on("visibilitychange", refresh);

function refresh() {
  const source = $("conversations");
  const { url, stamp } = source.dataset;
  if (document.hidden) return;
  htmx.ajax("GET", `${url}&seen=1&stamp=${stamp}`, { source, target: source, swap: "outerMorph" });
}

// Back and forward: the address has changed, the page follows.
on("htmx:before:history:restore", (event) => {
  event.preventDefault();
  const headers = { "HX-History-Restore-Request": "true" };
  htmx.ajax("GET", event.detail.path, { target: "#chat", swap: "outerHTML", headers });
});

// --- What can be done with an entry

const menu = $("entry-menu");
let entry = null;

onClick(".entry-options", (button) => {
  entry = button.closest(".entry");
  for (const name of ["pinned", "archived"]) menu.dataset[name] = name in entry.dataset;
  menu.showPopover({ source: button });
});

onClick("#entry-menu button", ({ name, value }) => {
  menu.hidePopover();
  if (name === "title") return rename(entry);
  const url = entry.querySelector("a").pathname;
  if (name === "delete") return htmx.ajax("DELETE", url, { target: "#chat", swap: "outerHTML" });
  return change(url, { [name]: value });
});

function change(url, values) {
  return htmx.ajax("POST", url, { values, swap: "none" });
}

function rename(item) {
  const link = item.querySelector("a");
  const form = document.createElement("form");
  const input = document.createElement("input");
  input.value = link.title;
  input.ariaLabel = menu.querySelector('[name="title"]').textContent.trim();
  form.append(input);
  item.prepend(form);
  link.hidden = true;
  item.setAttribute("hx-morph-skip", "");
  input.select();
  const finish = (event) => {
    const { type, key } = event;
    if (!link.hidden || (type === "keydown" && key !== "Escape")) return;
    event.preventDefault();
    link.hidden = false;
    item.removeAttribute("hx-morph-skip");
    form.remove();
    if (type !== "focusout") link.focus();
    const title = input.value.trim();
    if (type !== "keydown" && title && title !== link.title) change(link.pathname, { title });
  };
  for (const type of ["submit", "focusout", "keydown"]) form.addEventListener(type, finish);
}

// --- The drawer

const toggle = () => document.querySelector(".sidebar-toggle");
onClick(".sidebar-toggle", () => show(!sidebar.classList.contains("open")));
onClick(".sidebar-close, #chat", (_, event) => { if (!event.target.closest(".sidebar-toggle")) show(false); });
on("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || !sidebar.classList.contains("open")) return;
  show(false);
  toggle().focus();
});

export function show(open) {
  sidebar.classList.toggle("open", open);
  toggle().setAttribute("aria-expanded", open);
  if (open) sidebar.querySelector(".new-chat").focus();
}

// The list of chats: beside the chat or hidden; a drawer on narrow screens.
import { $, composing, htmx, on, onChat, onClick, root } from "./page.js";

const sidebar = $("sidebar");
let revision = null;
let seen = 0; // up to which this chat counts as read

onChat((main) => {
  revision = $("revision").value;
  seen = +main.dataset.seen;
  if (revision > seen) refresh();
  drawer(false);
});

on("htmx:after:swap", () => {
  const now = $("revision")?.value;
  if (now === undefined || now === revision) return;
  revision = now;
  $("title-field").value = $("conversation-title").textContent;
  document.title = `${$("title-field").value} · Steady`;
  refresh();
});
setInterval(refresh, 5000);
on("visibilitychange", refresh);

function refresh() {
  if (document.hidden) return;
  const source = $("conversations");
  const { url, stamp } = source.dataset;
  const [method, values] = revision > seen ? ["POST", { seen: revision }] : ["GET", {}];
  htmx.ajax(method, `${url}&stamp=${stamp}`, { source, target: source, swap: "outerMorph", values });
}

on("htmx:finally:request", ({ detail: { ctx } }) => {
  const noted = ctx.sourceElement.id === "conversations" && ctx.response?.status < 400;
  if (noted) seen = Math.max(seen, ctx.request.body?.get?.("seen") ?? 0);
});

// Back and forward: the address has changed, the page follows.
on("htmx:before:history:restore", (event) => {
  event.preventDefault();
  const headers = { "HX-History-Restore-Request": "true" };
  htmx.ajax("GET", event.detail.path, { target: "#chat", swap: "outerHTML", headers });
});

const menu = $("entry-menu");
let entry = null;

onClick("button.entry-options", (button) => {
  entry = button.closest(".entry");
  for (const name of ["pinned", "archived"]) menu.dataset[name] = name in entry.dataset;
  menu.querySelector("a").href = `${entry.querySelector("a").pathname}folder/`;
  menu.showPopover({ source: button });
});

onClick("#entry-menu button", ({ name, value }) => {
  menu.hidePopover();
  if (name === "title") return rename(entry);
  const url = entry.querySelector("a").pathname;
  if (name === "delete") return htmx.ajax("DELETE", url, { target: "#chat", swap: "outerHTML" });
  return change(url, { [name]: value });
});

const change = (url, values) => htmx.ajax("POST", url, { values, swap: "none" });

function rename(item) {
  const link = item.querySelector("a");
  const form = $("rename").content.firstElementChild.cloneNode(true);
  const [input] = form.elements;
  input.value = link.title;
  item.prepend(form);
  link.hidden = true;
  item.setAttribute("hx-morph-skip", "");
  input.select();
  const finish = (event) => {
    const { type, key } = event;
    if (!link.hidden || (type === "keydown" && (key !== "Escape" || composing(event)))) return;
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

const narrow = matchMedia("(max-width: 52rem)");
const secure = location.protocol === "https:" ? ";secure" : "";
const toggle = () => document.querySelector(".sidebar-toggle");
const isOpen = () => (narrow.matches ? sidebar.classList.contains("open") : root.dataset.sidebar !== "hidden");

onClick(".sidebar-toggle", toggleSidebar);
onClick(".sidebar-close, #chat", (_, event) => { if (!event.target.closest(".sidebar-toggle")) drawer(false); });
on("keydown", (event) => {
  if (event.key !== "Escape" || composing(event) || event.defaultPrevented || !sidebar.classList.contains("open")) return;
  drawer(false);
  toggle().focus();
});
narrow.addEventListener("change", () => drawer(false));

export function showSidebar() {
  if (!isOpen()) toggleSidebar();
}

export function toggleSidebar() {
  const open = !isOpen();
  if (!open && sidebar.contains(document.activeElement)) toggle().focus();
  if (narrow.matches) return drawer(open);
  root.dataset.sidebar = open ? "" : "hidden";
  // By a cookie the server renders the page as it was left.
  document.cookie = `sidebar=${root.dataset.sidebar};path=/;max-age=31536000;samesite=lax${secure}`;
  return showToggle();
}

function drawer(open) {
  sidebar.classList.toggle("open", open);
  showToggle();
  if (open) sidebar.querySelector(".new-chat").focus();
}

function showToggle() {
  toggle().setAttribute("aria-expanded", isOpen());
}

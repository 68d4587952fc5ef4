// The list of chats, a drawer on narrow screens.
import { $, htmx, onChat, onClick } from "./page.js";

const EVERY = 5000; // ms between looks at the list while the page is visible
const sidebar = $("sidebar");
let version = null;

// --- Up to date

onChat(() => { version = $("version").value; mark(); show(false); });

document.addEventListener("htmx:after:swap", () => {
  const now = $("version")?.value;
  if (now === undefined || now === version) return;
  version = now;
  $("title-field").value = $("conversation-title").textContent;
  document.title = `${$("title-field").value} · Steady`;
  refresh();
});
setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);

// Of what is asked for meanwhile, the source's queue keeps one.
function refresh() {
  const source = $("conversations");
  const { url, stamp } = source.dataset;
  if (document.hidden) return;
  htmx.ajax("GET", `${url}&seen=1&stamp=${stamp}`, { source, target: source, swap: "outerMorph" });
}

// At once, not only with the list's next look.
function mark() {
  sidebar.querySelector("[aria-current]")?.removeAttribute("aria-current");
  $(`c-${$("chat").dataset.conversation}`)?.querySelector("a").setAttribute("aria-current", "page");
}

// Back and forward: the address has changed, the page follows.
document.addEventListener("htmx:before:history:restore", (event) => {
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
  menu.showPopover();
  const { bottom, right } = button.getBoundingClientRect();
  menu.style.top = `${Math.min(bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
  menu.style.left = `${Math.max(8, Math.min(right - 40, innerWidth - menu.offsetWidth - 8))}px`;
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
  const finish = (event, save) => {
    event.preventDefault();
    if (!link.hidden) return;
    link.hidden = false;
    item.removeAttribute("hx-morph-skip");
    form.remove();
    if (event.type !== "focusout") link.focus();
    if (save && input.value.trim() && input.value !== link.title) change(link.pathname, { title: input.value });
  };
  form.addEventListener("submit", (event) => finish(event, true));
  form.addEventListener("focusout", (event) => finish(event, true));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") finish(event, false); });
}

// --- The drawer

onClick(".sidebar-toggle", () => show(!sidebar.classList.contains("open")));
onClick(".sidebar-close, #chat", (_, event) => { if (!event.target.closest(".sidebar-toggle")) show(false); });
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || !sidebar.classList.contains("open")) return;
  show(false);
  document.querySelector(".sidebar-toggle").focus();
});

export function show(open) {
  sidebar.classList.toggle("open", open);
  document.querySelector(".sidebar-toggle").setAttribute("aria-expanded", String(open));
  if (open) sidebar.querySelector(".new-chat").focus();
}

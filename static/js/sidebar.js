// The list of chats: kept up to date, renamed in place, and a drawer on narrow screens.
import { $, htmx, onChat, onClick, words, toast } from "./page.js";

const EVERY = 5000; // ms between looks at the list while the page is visible
const otherTabs = new BroadcastChannel("steady");
const sidebar = $("sidebar");
let version = null;
let refreshing = false;
let again = false;

// --- Up to date ----------------------------------------------------------------------------------------

onChat(() => { version = $("version").value; mark(); show(false); });

document.addEventListener("htmx:after:swap", () => {
  const now = $("version")?.value;
  if (now === undefined || now === version) return;
  version = now;
  document.title = `${$("conversation-title").textContent} · Steady`;
  refresh();
  otherTabs.postMessage("changed");
});
otherTabs.onmessage = refresh;
setInterval(refresh, EVERY);
document.addEventListener("visibilitychange", refresh);

export async function refresh() {
  const list = $("conversations");
  if (document.hidden || list.querySelector("form")) return;
  again = refreshing;
  if (refreshing) return;
  refreshing = true;
  const { url, stamp } = list.dataset;
  const swap = { target: "#conversations", swap: "outerMorph" };
  await htmx.ajax("GET", `${url}&seen=1&stamp=${stamp}`, swap).catch(() => {});
  refreshing = false;
  if (again) refresh();
}

// At once, not only with the list's next look.
function mark() {
  const path = `/conversations/${$("chat").dataset.conversation}/`;
  for (const link of sidebar.querySelectorAll(".entry > a")) {
    if (link.pathname === path) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// Back and forward: the address has changed, the page follows.
document.addEventListener("htmx:before:history:restore", (event) => {
  event.preventDefault();
  const headers = { "HX-History-Restore-Request": "true" };
  htmx.ajax("GET", event.detail.path, { target: "#chat", swap: "outerHTML", headers });
});

// --- What can be done with an entry ----------------------------------------------------------------------

const menu = $("entry-menu");
const DONE_BY = { pin: ["pinned", "1"], unpin: ["pinned", ""], archive: ["archived", "1"], unarchive: ["archived", ""] };
let entry = null;

onClick(".entry-options", (button) => {
  entry = button.closest(".entry");
  const show = { pin: !("pinned" in entry.dataset), archive: !("archived" in entry.dataset) };
  for (const [name, is] of Object.entries(show)) {
    menu.querySelector(`[data-do="${name}"]`).hidden = !is;
    menu.querySelector(`[data-do="un${name}"]`).hidden = is;
  }
  menu.showPopover();
  const { bottom, right } = button.getBoundingClientRect();
  menu.style.top = `${Math.min(bottom + 4, innerHeight - menu.offsetHeight - 8)}px`;
  menu.style.left = `${Math.max(8, Math.min(right - 40, innerWidth - menu.offsetWidth - 8))}px`;
  menu.querySelector("button:not([hidden])").focus();
});

onClick("#entry-menu [data-do]", (item) => {
  menu.hidePopover();
  const action = item.dataset.do;
  const url = entry.querySelector("a").pathname;
  if (action === "rename") return rename(entry);
  if (action === "delete") return htmx.ajax("DELETE", url, { target: "#chat", swap: "outerHTML" });
  const [name, value] = DONE_BY[action];
  return htmx.ajax("POST", url, { values: { [name]: value }, swap: "none" });
});

sidebar.addEventListener("dblclick", (event) => {
  const found = event.target.closest(".entry");
  if (found) rename(found);
});

function rename(item) {
  const link = item.querySelector("a");
  const title = link.querySelector(".entry-title").textContent;
  const form = document.createElement("form");
  const input = Object.assign(document.createElement("input"), { value: title, maxLength: 200 });
  input.setAttribute("aria-label", menu.querySelector('[data-do="rename"]').textContent.trim());
  form.append(input);
  item.prepend(form);
  link.hidden = true;
  input.select();
  let over = false;
  const finish = (save, focus) => {
    if (over) return;
    over = true;
    form.remove();
    link.hidden = false;
    if (focus) link.focus();
    if (!save || !input.value.trim() || input.value === title) return;
    link.querySelector(".entry-title").textContent = input.value;
    htmx.ajax("POST", link.pathname, { values: { title: input.value }, swap: "none" }).catch(() => toast(words("failed")));
  };
  form.addEventListener("submit", (event) => { event.preventDefault(); finish(true, true); });
  form.addEventListener("focusout", () => finish(true, false));
  form.addEventListener("keydown", (event) => { if (event.key === "Escape") finish(false, true); });
}

// --- The drawer ------------------------------------------------------------------------------------------

onClick(".sidebar-toggle", () => show(!sidebar.classList.contains("open")));
onClick(".sidebar-close, #chat", (_, event) => { if (!event.target.closest(".sidebar-toggle")) show(false); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && sidebar.classList.contains("open") && !sidebar.querySelector("form input:focus")) {
    show(false);
    document.querySelector(".sidebar-toggle").focus();
  }
});

export function show(open) {
  sidebar.classList.toggle("open", open);
  document.querySelector(".sidebar-toggle").setAttribute("aria-expanded", String(open));
  if (open) sidebar.querySelector(".new-chat").focus();
}

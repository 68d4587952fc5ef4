// The command palette. The field keeps the focus, and names the active entry.
import { $, announce, composing, fill, htmx, on, onClick, root, words } from "./page.js";
import { showSearch } from "./search.js";

const MOST_USED = 8;
const PAGE = 8; // entries
const dialog = $("palette");
const field = $("palette-field");
const list = $("palette-list");
const memory = `palette-${document.body.dataset.user}`;
const options = () => [...list.querySelectorAll("[role=option]")];
const active = () => $(field.getAttribute("aria-activedescendant"));
const buttonOf = ({ dataset }) => [...document.querySelectorAll(dataset.press)].at(-1);
let shown = null; // the query that the list is of
let isAwaited = false; // Enter was pressed before the list for the typed text arrived
const used = () => localStorage.getItem(memory)?.split(" ") ?? [];

export function togglePalette() {
  if (dialog.open) return dialog.close();
  if (document.querySelector("dialog[open]")) return;
  field.value = "";
  $("palette-used").value = used().join(" ");
  list.replaceChildren();
  shown = null;
  isAwaited = false;
  setStatus();
  dialog.showModal();
  htmx.trigger("#palette-form", "palette");
}

on("htmx:after:swap", ({ detail }) => {
  if (detail.ctx?.sourceElement?.id !== "palette-form") return;
  for (const option of options()) {
    const button = option.dataset.press && buttonOf(option);
    if (option.dataset.press && (!button || button.disabled)) option.remove();
  }
  for (const group of [...list.children]) if (!group.querySelector("[role=option]")) group.remove();
  setStatus(words("entries", options().length));
  activate(options()[0]);
  shown = detail.ctx.request.action.searchParams?.get("q") ?? field.value;
  if (isAwaited && shown === field.value) active()?.click();
});
on("input", ({ target }) => { if (target === field) isAwaited = false; });
on("htmx:error", ({ detail }) => {
  if (detail.ctx?.sourceElement?.id === "palette-form") setStatus(words("failed"));
});

function setStatus(text = "") {
  $("palette-status").textContent = text;
  field.removeAttribute("aria-activedescendant");
}

function activate(option) {
  if (!option) return;
  active()?.setAttribute("aria-selected", "false");
  field.setAttribute("aria-activedescendant", option.id);
  option.setAttribute("aria-selected", "true");
  option.scrollIntoView({ block: "nearest" });
}

// On the dialog: Escape must not reach the drawer under it.
dialog.addEventListener("keydown", (event) => {
  const { key } = event;
  if (composing(event)) return;
  if (key === "Escape") return event.stopPropagation();
  if (event.target !== field) return;
  const all = options();
  const at = all.indexOf(active());
  if (key === "ArrowDown") activate(all[at + 1] ?? all[0]);
  else if (key === "ArrowUp") activate(all[at - 1] ?? all.at(-1));
  else if (key === "PageDown") activate(all[Math.min(at + PAGE, all.length - 1)]);
  else if (key === "PageUp") activate(all[Math.max(at - PAGE, 0)]);
  else if (key === "Enter" && shown !== field.value) isAwaited = true;
  else if (key === "Enter") active()?.click();
  else return;
  event.preventDefault();
});

onClick("#close-palette", () => dialog.close());
onClick("#palette", (_, { target }) => { if (target === dialog) dialog.close(); });
onClick("#palette [role=option]", (option) => {
  const { key, press, focus, theme, url, model, search } = option.dataset;
  localStorage.setItem(memory, [key, ...used().filter((it) => it !== key)].slice(0, MOST_USED).join(" "));
  dialog.close();
  if (press) buttonOf(option)?.click();
  if (focus) $(focus).select();
  if (theme) {
    root.dataset.theme = theme;
    htmx.ajax("POST", url, { values: { theme }, swap: "none" });
  }
  if (model) {
    fill($("model"), model);
    $("prompt").focus();
  }
  if (theme || model) announce(option.querySelector(".palette-name").textContent);
  if (search !== undefined) {
    fill($("search"), search);
    showSearch();
  }
});

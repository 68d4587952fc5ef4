// The model list with search opens in place of the select, which stays the state.
import { $, composing, fill, htmx, on, onClick, touch } from "./page.js";

const panel = () => $("models");
const current = () => panel().querySelector("[aria-current]");
const entries = () => [...panel().querySelectorAll(".model-entry:not([hidden])")];
let wasOpen = false;
let asking = null; // the form that waits for a model

// A press must not open the browser's list. The click after it opens ours, or has closed it.
on("mousedown", (event) => {
  if (event.target.id !== "model") return;
  event.preventDefault();
  wasOpen = panel().matches(":popover-open");
});
onClick("#model", () => { if (!wasOpen) show(); });

on("keydown", (event) => {
  if (composing(event)) return;
  if (event.target.id === "model" && ["Enter", " ", "ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    show();
  } else if (event.target.closest?.("#models")) move(event);
});

on("input", ({ target }) => {
  if (!target.closest("#models")) return;
  const wanted = target.value.toLowerCase().split(/\s+/);
  for (const entry of panel().querySelectorAll(".model-entry")) {
    entry.hidden = !wanted.every((word) => entry.dataset.words.includes(word));
  }
});

onClick(".model-choice", (choice) => {
  const { model } = choice.parentNode.dataset;
  panel().hidePopover();
  if (asking) {
    const values = { ...Object.fromEntries(new FormData(asking)), model };
    htmx.ajax("POST", asking.action, { values, swap: "none" });
  } else fill($("model"), model);
  $(touch.matches ? "model" : "prompt").focus(); // the box would open the keyboard
});

// Another reply by a model of the list, in place of the page that asks for it.
on("submit", (event) => {
  if (!event.target.matches("[data-pick-model]")) return;
  event.preventDefault();
  show(event.target);
});

export function show(form) {
  asking = form?.matches?.("form") ? form : null;
  const search = panel().querySelector("input");
  fill(search, "");
  for (const entry of entries()) {
    entry.firstElementChild.ariaCurrent = entry.dataset.model === $("model").value ? "true" : null;
  }
  panel().showPopover();
  current()?.scrollIntoView({ block: "center" });
  search.focus();
}

// From the search, down and Enter reach the first that is found; without a search, the current one.
function move(event) {
  const { key, target } = event;
  const list = entries();
  const at = list.indexOf(target.closest(".model-entry"));
  const step = { ArrowDown: 1, ArrowUp: -1 }[key];
  const first = (!target.value && current()) || list[0]?.firstElementChild;
  if (at < 0 && key === "ArrowDown") first?.focus();
  else if (at < 0 && key === "Enter") first?.click();
  else if (step) (list[at + step]?.firstElementChild ?? panel().querySelector("input")).focus();
  else return;
  event.preventDefault();
}

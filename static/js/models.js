// The model list with search opens in place of the select, which stays the state.
import { $, composing, fill, htmx, on, onClick, touch } from "./page.js";

const panel = () => $("models");
const current = () => panel().querySelector("[aria-current]");
const entries = () => [...panel().querySelectorAll(".model-entry:not([hidden])")];
let wasOpen = false;
let asking = null; // the form that waits for a model
const boxes = () => [...panel().querySelectorAll(".model-beside")];

// A press must not open the browser's list. The click after it opens ours, or has closed it.
on("mousedown", (event) => {
  if (event.target.id !== "model") return;
  event.preventDefault();
  wasOpen = panel().matches(":popover-open");
});
onClick("#model", () => { if (!wasOpen) show(); });
onClick("#compare", (_, event) => {
  event.preventDefault();
  if ("compares" in panel().dataset && panel().matches(":popover-open")) panel().hidePopover();
  else show(null, true);
});

on("keydown", (event) => {
  if (composing(event)) return;
  if (event.target.id === "model" && ["Enter", " ", "ArrowDown", "ArrowUp"].includes(event.key)) {
    event.preventDefault();
    show();
  } else if (event.target.closest?.("#models")) move(event);
});

on("input", ({ target }) => {
  if (!target.matches("#models [type=search]")) return;
  const wanted = target.value.toLowerCase().split(/\s+/);
  for (const entry of panel().querySelectorAll(".model-entry")) {
    entry.hidden = !wanted.every((word) => entry.dataset.words.includes(word));
  }
});

onClick(".model-choice", (choice) => {
  const { model } = choice.parentNode.dataset;
  if ("compares" in panel().dataset) return choice.parentNode.querySelector(".model-beside").click();
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

// The models beside the first one: so many at most, for one message.
on("change", ({ target }) => { if (target.matches(".model-beside")) count(); });
on("chat:sent", () => {
  for (const box of boxes()) box.checked = false;
  count();
});

function count() {
  if (!$("compared")) return;
  const chosen = boxes().filter((box) => box.checked).length;
  const { most } = panel().querySelector(".models-list").dataset;
  for (const box of boxes()) box.disabled = !box.checked && chosen >= most;
  $("compared").value = `+${chosen}`;
  $("compared").hidden = !chosen;
}

export function show(form, compares = false) {
  asking = form?.matches?.("form") ? form : null;
  panel().toggleAttribute("data-compares", compares);
  panel().dataset.scripted = "";
  const search = panel().querySelector("input");
  fill(search, "");
  // Of a reply, the model that wrote it: Enter retries with that one.
  const who = asking?.closest(".message")?.querySelector(".message-who").textContent.trim();
  const isCurrent = ({ dataset, firstElementChild: choice }) =>
    (who ? choice.querySelector(".model-name").textContent === who : dataset.model === $("model").value);
  const now = entries().find(isCurrent);
  for (const entry of entries()) entry.firstElementChild.ariaCurrent = entry === now ? "true" : null;
  if (!panel().matches(":popover-open")) panel().showPopover();
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

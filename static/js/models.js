// The model picker: the list with search opens in place of the browser's own, which stays where there is no
// mouse or keyboard to open it with. The select is the state.
import { $, onClick } from "./page.js";

const OPENING_KEYS = new Set(["Enter", " ", "ArrowDown", "ArrowUp", "F4"]);
const panel = () => $("models");
const entries = () => [...panel().querySelectorAll(".model-entry:not([hidden])")];

// The press keeps the browser's list shut; the click that follows it opens ours, or has just closed it.
let wasOpen = false;
document.addEventListener("mousedown", (event) => {
  if (event.target.id !== "model" || !panel()?.showPopover) return;
  event.preventDefault();
  wasOpen = panel().matches(":popover-open");
});
onClick("#model", (_, event) => { if (!wasOpen) show(event); });
document.addEventListener("keydown", (event) => {
  if (event.target.id === "model" && OPENING_KEYS.has(event.key)) show(event);
  else if (event.target.closest?.("#models")) move(event);
});

onClick(".model-choice", (choice) => choose(choice.closest(".model-entry").dataset.model));

document.addEventListener("input", (event) => {
  if (!event.target.closest("#models")) return;
  const wanted = event.target.value.toLowerCase().split(/\s+/);
  for (const entry of panel().querySelectorAll(".model-entry")) {
    entry.hidden = !wanted.every((word) => entry.dataset.words.includes(word));
  }
  panel().querySelector(".models-none").hidden = entries().length > 0;
});

export function show(event) {
  if (!panel()?.showPopover || !entries().length) return;
  event?.preventDefault();
  for (const entry of panel().querySelectorAll(".model-entry")) {
    entry.hidden = false;
    const chosen = entry.dataset.model === $("model").value;
    entry.firstElementChild.toggleAttribute("aria-current", chosen);
  }
  panel().querySelector("input").value = "";
  const { left, top } = $("model").getBoundingClientRect();
  panel().style.left = `${Math.min(left, innerWidth - 16 - Math.min(416, innerWidth - 32))}px`;
  panel().style.bottom = `${innerHeight - top + 8}px`;
  panel().showPopover();
  panel().querySelector("input").focus();
}

function move(event) {
  const list = entries();
  const at = list.indexOf(event.target.closest(".model-entry"));
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    (list[next]?.querySelector("button") ?? panel().querySelector("input")).focus();
  } else if (event.key === "Enter" && at < 0 && list.length) {
    event.preventDefault();
    choose(list[0].dataset.model);
  }
}

function choose(id) {
  $("model").value = id;
  $("model").dispatchEvent(new Event("change", { bubbles: true }));
  panel().hidePopover();
  $("model").focus();
}

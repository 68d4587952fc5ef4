// Selecting chats in the list. The boxes keep their state while the list is refreshed.
import { $, composing, htmx, on, onClick, words } from "./page.js";

const boxes = () => [...document.querySelectorAll('#conversations [name="chats"]')];
const chosen = () => boxes().filter((box) => box.checked);
let last = null; // the box that was changed last: Shift changes all up to the next one

export function count() {
  const form = $("selection");
  if (!form) return;
  const [number, all] = [chosen().length, boxes().length];
  const [{ most }, select] = [form.dataset, $("select-all")];
  select.parentNode.hidden = false;
  select.checked = number > 0 && number === all;
  select.indeterminate = number > 0 && number < all;
  const text = number > most ? words("selected-many", +most) : words("selected", number);
  if ($("selected-count").textContent !== text) $("selected-count").textContent = text;
  for (const button of form.querySelectorAll("button:not([hidden])")) button.disabled = !number || number > most;
}

onClick('#conversations [name="chats"]', (box, event) => {
  const all = boxes();
  const ends = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && ends[0] >= 0) {
    for (const one of all.slice(ends[0], ends[1] + 1)) one.checked = box.checked;
  }
  last = box;
  count();
});

onClick("#select-all", ({ checked }) => {
  for (const box of boxes()) box.checked = checked;
  count();
});

on("keydown", (event) => {
  if (!$("selection")) return;
  const { key, target } = event;
  const all = boxes();
  const at = all.indexOf(target);
  if (key === "Escape" && $("conversations").contains(target)) $("end-selection").click();
  else if (key === "Enter" && target.matches("#selection input[name]") && !composing(event)) {
    target.closest(".selection-row").querySelector("button").click();
  } else if (at < 0) return;
  else if (key === "ArrowDown") (all[at + 1] ?? target).focus();
  else if (key === "ArrowUp") (all[at - 1] ?? $("select-all")).focus();
  else if (key === "a" && (event.ctrlKey || event.metaKey)) {
    for (const box of all) box.checked = true;
    count();
  } else return;
  event.preventDefault();
}, true);

on("submit", (event) => {
  const { target, submitter } = event;
  if (target.id !== "selection" || submitter?.name !== "action") return;
  event.preventDefault();
  const values = { ...Object.fromEntries(new FormData(target)), action: submitter.value };
  values.chats = chosen().map((box) => box.value).join();
  htmx.ajax("POST", target.getAttribute("action"), { source: target, values, swap: "none" }); // a button has the name "action"
});

on("htmx:after:swap", ({ detail }) => {
  const source = detail.ctx?.sourceElement?.id;
  if (source === "select-chats") (boxes()[0] ?? $("end-selection"))?.focus();
  else if (source === "end-selection" || source === "selection") $("select-chats")?.focus();
  count();
});
count();

// The results of a search stand in place of the list of chats. Arrows move between them.
import { $, composing, fill, on, onClick } from "./page.js";
import { showSidebar } from "./sidebar.js";

const results = $("search-results");
const field = $("search");
let shown = ""; // the search that the results are of
const found = () => [...results.querySelectorAll(".found")];

export function showSearch() {
  showSidebar();
  field.focus();
  field.select();
}

onClick("[data-tag]", (tag, event) => {
  event.preventDefault();
  fill(field, tag.dataset.tag);
  showSearch();
});

on("input", ({ target }) => {
  if (target === field) tell();
});

on("htmx:after:swap", ({ detail }) => {
  if (detail.ctx?.sourceElement?.id !== "search-form") return;
  shown = detail.ctx.request.action.searchParams?.get("q") ?? field.value;
  tell(); // the field may be empty by now
});

function tell() {
  const searches = Boolean(field.value.trim());
  $("sidebar").toggleAttribute("data-searching", searches);
  if (!searches) results.replaceChildren();
}

on("keydown", (event) => {
  const { key, target } = event;
  if (composing(event) || (target !== field && !results.contains(target))) return;
  const list = found();
  const at = list.indexOf(target);
  if (key === "Escape" && field.value) {
    fill(field, "");
    field.focus();
  } else if (key === "ArrowDown") (list[at + 1] ?? target).focus();
  else if (key === "ArrowUp" && at >= 0) (list[at - 1] ?? field).focus();
  else if (key === "Enter" && target === field && list.length && shown === field.value) list[0].click();
  else return;
  event.preventDefault();
});

// The results of a search stand in place of the list of chats. Arrows move between them.
import { $, announce, composing, fill, on, onChat, onClick } from "./page.js";
import { showSidebar } from "./sidebar.js";

const MOST_MARKS = 1000; // of a message
const results = $("search-results");
const field = $("search");
let shown = ""; // the search that the results are of
let marked = []; // the texts that the opened hit has marked
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

onClick(".found", (hit) => { marked = [...hit.querySelectorAll("mark")].map((mark) => mark.textContent); });
onChat(() => CSS.highlights?.delete("found"));

// Marks what the hit had marked, in the whole message that it has opened.
export function markFound(message) {
  const texts = marked.filter(Boolean).map((text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  if (!CSS.highlights || !texts.length) return;
  const wanted = new RegExp(`(?<![\\p{Script=Latin}\\p{N}])(?:${texts.join("|")})`, "giu");
  const highlight = new Highlight();
  const nodes = document.createTreeWalker(message.querySelector(".message-body"), NodeFilter.SHOW_TEXT);
  while (nodes.nextNode() && highlight.size < MOST_MARKS) {
    const node = nodes.currentNode;
    for (const { 0: text, index } of node.data.matchAll(wanted)) {
      highlight.add(new StaticRange({
        startContainer: node, startOffset: index, endContainer: node, endOffset: index + text.length,
      }));
    }
  }
  CSS.highlights.set("found", highlight);
}

on("input", ({ target }) => {
  if (target === field) showResults();
});

on("htmx:after:swap", ({ detail }) => {
  if (detail.ctx?.sourceElement?.id !== "search-form") return;
  shown = detail.ctx.request.action.searchParams?.get("q") ?? field.value;
  showResults(); // the field may be empty by now
  if (results.contains($("search-count"))) announce($("search-count").textContent);
});

function showResults() {
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

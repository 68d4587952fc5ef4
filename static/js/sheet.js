// Pages that open in a dialog over the chat: links and GET forms with `data-sheet`. Without scripts they are pages.
import { $, htmx, on, onClick } from "./page.js";

function open(source, url) {
  $("sheet-content").replaceChildren();
  htmx.ajax("GET", url, { source, target: "#sheet-content", swap: "innerHTML" }).then(() => {
    if ($("sheet-content").firstElementChild) $("sheet").showModal();
  });
}

onClick("a[data-sheet]", (link, event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  open(link, link.href);
});

on("submit", (event) => {
  if (!event.target.matches("form[data-sheet]")) return;
  event.preventDefault();
  open(event.target, event.target.action);
});

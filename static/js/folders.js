// Folders in the list of chats: which are open is stored, and a chat is dragged to one, or out of it.
import { $, htmx, on } from "./page.js";

const post = (url, values) => htmx.ajax("POST", url, { values, swap: "none" });

// The event comes also when an open folder is inserted.
on("toggle", ({ target }) => {
  if (!target.matches?.(".folder details") || target.open === "open" in target.dataset) return;
  target.toggleAttribute("data-open", target.open);
  post(target.dataset.url, { open: target.open ? "1" : "" });
}, true);

// A morph leaves `open` alone. But htmx also builds new folders by a morph, so they would all be closed.
on("htmx:after:swap", () => {
  for (const folder of document.querySelectorAll("#conversations .folder details")) {
    folder.open = "open" in folder.dataset;
  }
});

let dragged = null; // the entry
let place = null; // the folder under it, or the list for none

on("dragstart", ({ target }) => {
  dragged = target.closest?.(".entry") ?? null;
});
on("dragover", (event) => {
  const over = dragged && event.target.closest?.(".folder, #conversations");
  mark(over);
  if (over) event.preventDefault();
});
on("drop", (event) => {
  if (!dragged || !place) return;
  event.preventDefault();
  const { folder = "" } = place.dataset;
  const before = dragged.closest(".folder")?.dataset.folder ?? "";
  if (folder !== before) post(`${dragged.querySelector("a").pathname}folder/`, { folder });
});
on("dragend", () => {
  dragged = null;
  mark(null);
});

function mark(over) {
  if (place === over) return;
  place?.classList.remove("drop");
  place = over;
  if (place !== $("conversations")) place?.classList.add("drop");
}

// Pages that open in a dialog over the chat: links and GET forms with `data-sheet`. Without scripts they are pages.
import { $, htmx, on, onClick } from "./page.js";

function open(source, url) {
  $("sheet-content").replaceChildren();
  htmx.ajax("GET", url, { source, target: "#sheet-content", swap: "innerHTML" }).then(() => {
    if ($("sheet-content").firstElementChild && !$("sheet").open) $("sheet").showModal();
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

// A form of the page in it was sent: its effect, or the reason against it, is on the page below, unless the form
// itself shows it (`data-stays`, or `data-refused` in the form that came back with what was typed). htmx names the parent of a form that its own response replaced.
on("htmx:finally:request", ({ detail: { ctx } }) => {
  const { request, response, sourceElement: form } = ctx;
  const content = $("sheet-content");
  const stays = form.closest("[data-stays]") || (response?.status >= 400 && content.querySelector("[data-refused]"));
  if (request.method === "POST" && response && content.contains(form) && !stays) $("sheet").close();
});

// A part that replaced the focused one says where the focus goes.
on("htmx:after:swap", () => {
  const content = $("sheet-content");
  if (!content.contains(document.activeElement)) content.querySelector("[autofocus]")?.focus();
});

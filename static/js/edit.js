// Edits a sent prompt in the message box. The draft of the chat is put aside until then.
import { $, fill, on, onClick } from "./page.js";

export const edited = () => $("edits").value;

// Also from a reload without scripts, where the page comes with the text.
export function edit(message, text = message.querySelector(".message-body").textContent.trim()) {
  change(message.id.slice(2), text);
}

export const stopEditing = () => change("", "");

function change(id, text) {
  $("edits").value = id;
  $("editing").hidden = !id;
  document.dispatchEvent(new CustomEvent("chat:draft", { detail: text }));
  $("prompt").focus();
}

onClick("[data-edit]", (button, event) => {
  event.preventDefault();
  edit(button.closest(".message"));
});

onClick("[data-stop-editing]", (_, event) => {
  event.preventDefault();
  fill($("prompt"), "");
  stopEditing();
});

// The last prompt, from an empty box, as in a shell.
on("keydown", (event) => {
  if (event.target.id !== "prompt" || event.isComposing) return;
  if (event.key === "Escape" && edited()) $("editing").querySelector("button").click();
  if (event.key !== "ArrowUp" || event.target.value || edited()) return;
  const last = [...$("messages").querySelectorAll("[data-edit]")].at(-1);
  if (!last) return;
  event.preventDefault();
  last.click();
});

// On pages beside the chats, such as the settings, the key opens the command palette on the page of a new chat.
import { isPaletteKey } from "./keys.js";

const first = ({ options }) => Math.max([...options].findIndex((option) => option.defaultSelected), 0);
const isChanged = (field) =>
  field.options
    ? field.selectedIndex !== first(field)
    : field.value !== field.defaultValue || field.checked !== field.defaultChecked;

addEventListener("keydown", (event) => {
  if (!isPaletteKey(event)) return;
  event.preventDefault();
  const isUnsaved = [...document.querySelectorAll("form :is(input, select, textarea)")].some(isChanged);
  if (isUnsaved && !confirm(document.querySelector("[data-unsaved]").dataset.unsaved)) return;
  location.href = `${document.querySelector("a.brand").href}#commands`;
});

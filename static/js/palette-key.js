// On pages beside the chats, such as the settings, the key opens the command palette on the page of a new chat.
import { isPaletteKey } from "./keys.js";

addEventListener("keydown", (event) => {
  if (!isPaletteKey(event)) return;
  event.preventDefault();
  location.href = `${document.querySelector("a.brand").href}#commands`;
});

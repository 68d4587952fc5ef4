// Prints the whole chat: a long one opens with its last messages only.
import { chatId, toast, words } from "./page.js";
import { loadAll } from "./scroll.js";

let busy = false;

export async function printAll() {
  if (busy) return;
  busy = true;
  const chat = chatId();
  let box;
  const progress = (count) => {
    box ??= toast("");
    box.seconds = 0; // it stays
    box.firstChild.textContent = words("printing", count);
  };
  try {
    const whole = await loadAll(progress, () => chatId() === chat);
    if (chatId() === chat) whole ? print() : toast(words("notPrinted"));
  } finally {
    box?.remove();
    busy = false;
  }
}

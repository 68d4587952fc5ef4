// Copies a message as it reads, or as the Markdown it was written in.
import { onClick, toast, words } from "./page.js";

onClick("[data-copy]", async (button) => {
  const message = button.closest(".message");
  const source = button.dataset.copy;
  const text = source === "text" ? message.querySelector(".message-body").innerText : fetched(source);
  button.closest("details")?.removeAttribute("open");
  toast(words(await copy(text) ? "copied" : "notCopied"));
});

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(answer.statusText);
  return answer.text();
}

async function copy(text) {
  try {
    // Given a promise, Safari still counts the click as the reason.
    const blob = Promise.resolve(text).then((it) => new Blob([it], { type: "text/plain" }));
    await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    return true;
  } catch {
    return copyByHand(await Promise.resolve(text).catch(() => ""));
  }
}

// The clipboard interface exists only on https and localhost.
function copyByHand(text) {
  const box = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
  const before = document.activeElement;
  document.body.append(box);
  box.select();
  const done = Boolean(text) && document.execCommand("copy");
  box.remove();
  before?.focus();
  return done;
}

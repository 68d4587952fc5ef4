// Goes to the reader's last prompt; from a prompt to the one before it.
export function toLastPrompt() {
  const prompts = [...document.querySelectorAll('#scroller .message[data-role="user"]')];
  const at = prompts.indexOf(document.activeElement);
  const prompt = prompts.at(at > 0 ? at - 1 : at);
  if (!prompt) return;
  prompt.tabIndex = -1;
  prompt.focus({ preventScroll: true });
  prompt.scrollIntoView({ block: "start" });
}

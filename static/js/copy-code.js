// Copies the code of the block whose button was pressed, and says so on the button for a moment.
const SHOWN_FOR = 1600; // ms

document.addEventListener("click", async (event) => {
  const button = event.target.closest?.("button.copy-code");
  const code = button?.closest(".code-block")?.querySelector("pre > code");
  if (!code) return;
  button.textContent = (await copy(code)) ? "Copied" : "Press Ctrl+C";
  clearTimeout(button.copyTimer);
  button.copyTimer = setTimeout(() => { button.textContent = "Copy"; }, SHOWN_FOR);
});

// Without a secure origin there is no clipboard: then the code is selected, ready to be copied by hand.
async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}

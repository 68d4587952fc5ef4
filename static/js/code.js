// A code block: wraps its lines, or downloads it. Loaded by `copy.js` with the first click.
const ENDINGS = {
  bash: "sh", "c++": "cpp", "c#": "cs", csharp: "cs", console: "sh", golang: "go", javascript: "js", jinja: "j2",
  kotlin: "kt", latex: "tex", markdown: "md", mermaid: "mmd", perl: "pl", plaintext: "txt", powershell: "ps1",
  python: "py", python3: "py", ruby: "rb", rust: "rs", shell: "sh", svelte: "svelte", text: "txt", typescript: "ts",
  yaml: "yml", zsh: "sh",
};
// Languages that are endings. What is not listed becomes text: the model has chosen the word.
const SAME = /^(c|cpp|cs|css|csv|diff|go|h|html|ini|java|js|json|jsx|lua|md|php|pl|py|r|rb|rs|scss|sh|sql|swift|svg|tex|toml|ts|tsx|vue|xml|yml)$/;

export function wrap(button) {
  button.ariaPressed = button.closest(".code-block").toggleAttribute("data-wraps");
}

export function download(button) {
  const block = button.closest(".code-block");
  const language = block.querySelector(".code-language")?.textContent.toLowerCase() ?? "";
  const ending = Object.hasOwn(ENDINGS, language) ? ENDINGS[language] : SAME.test(language) ? language : "txt";
  const name = language === "dockerfile" ? "Dockerfile" : `code.${ending}`;
  const href = URL.createObjectURL(new Blob([block.querySelector("code").textContent], { type: "text/plain" }));
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

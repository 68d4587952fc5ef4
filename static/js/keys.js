// The key of the command palette. On a Mac it is Command: Ctrl+K cuts the rest of the line there.
export const isMac = /^(Mac|iP)/.test(navigator.platform);
export const isPaletteKey = ({ key, altKey, shiftKey, metaKey, ctrlKey }) =>
  key.toLowerCase() === "k" && !altKey && !shiftKey && (isMac ? metaKey : ctrlKey);

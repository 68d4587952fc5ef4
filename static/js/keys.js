// The key of the command palette. On a Mac Ctrl+K cuts the rest of the line.
export const isMac = /^(Mac|iP)/.test(navigator.platform);
export const isPaletteKey = ({ key, altKey, shiftKey, metaKey, ctrlKey }) =>
  key.toLowerCase() === "k" && !altKey && !shiftKey && (isMac ? metaKey : ctrlKey);

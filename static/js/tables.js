// The tables of a reply as CSV. Loaded by `copy.js` with the first click.
const NUMBER = /^[+-]?[\d.,' ]+ ?%?$/;

export const csv = (body) => [...body.querySelectorAll("table")].map(table).join("\r\n\r\n");

const table = ({ rows }) => [...rows].map(({ cells }) => [...cells].map(cell).join(",")).join("\r\n");

// A spreadsheet would run a text that begins like a formula.
function cell({ textContent }) {
  const text = textContent.trim();
  const safe = /^[=+\-@\t\r]/.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

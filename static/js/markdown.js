// The selection of a reply: as its Markdown source, and as plain HTML.
const BLOCKS = "p, div, section, ul, ol, pre, blockquote, table, hr, h1, h2, h3, h4, h5, h6";
const MARKS = { strong: "**", em: "*", del: "~~" };
const ALIGN = { "align-left": ":---", "align-right": "---:", "align-center": ":---:" };
let range = null;

// Of what the range `part` holds of messages; "" if it holds none.
export function markdownOf(part) {
  range = part;
  const { commonAncestorContainer: node } = part;
  const element = node.localName ? node : node.parentElement;
  if (!element.closest(".message-body")) {
    const bodies = [...element.querySelectorAll(".message-body")];
    return bodies.map((body) => (isReply(body) ? blocks(body) : text(body))).filter(Boolean).join("\n\n");
  }
  if (element.closest("pre") || !isReply(element)) return text(element);
  const whole = element.matches("tr, tbody, thead") ? element.closest("table") : element;
  return whole.matches("ol, ul, blockquote, table") ? block(whole) : blocks(whole);
}

// Of a copy of it, without what belongs to the page.
export function plain(copy) {
  const each = (selector, change) => copy.querySelectorAll(selector).forEach(change);
  each(".code-header, .reply-state, .message-who, .reasoning", (one) => one.remove());
  each("math", (one) => one.replaceWith(tex(one)));
  each("input", (one) => one.replaceWith(box(one)));
  each("*", (one) => {
    for (const { name } of [...one.attributes]) if (!/^(href|start)$/.test(name)) one.removeAttribute(name);
  });
  return copy.innerHTML;
}

export const number = (item) => item.parentNode.start + [...item.parentNode.children].indexOf(item);

const isIn = (node) => range.intersectsNode(node);
const isReply = (element) => element.closest(".message").dataset.role === "assistant";
const box = (input) => (input.checked ? "[x]" : "[ ]");
const indented = (lines, by) => lines.replace(/\n(?=.)/g, `\n${by}`);
const ticks = (source, least) => "`".repeat(Math.max(least, ...(source.match(/`+/g) ?? []).map((run) => run.length + 1)));
const inner = (node) => [...node.childNodes].map(inline).join("");

function tex(math) {
  const source = decodeURIComponent(math.getAttribute("data-tex"));
  const mark = math.getAttribute("display") === "block" ? "$$" : "$";
  return mark + source + mark;
}

function text(node) {
  if (!isIn(node)) return "";
  if (node.localName) return [...node.childNodes].map(text).join("");
  const from = node === range.startContainer ? range.startOffset : 0;
  return node.data.slice(from, node === range.endContainer ? range.endOffset : undefined);
}

function blocks(parent, gap = "\n\n") {
  const parts = [""];
  for (const node of [...parent.childNodes].filter(isIn)) {
    if (node.matches?.(BLOCKS)) parts.push(block(node), "");
    else parts.push(parts.pop() + inline(node));
  }
  return parts.filter((part) => part.trim()).join(gap);
}

function block(node) {
  const { localName: name } = node;
  if (name === "hr") return "---";
  if (name === "ul" || name === "ol") return list(node);
  if (name === "table") return table(node);
  if (name === "blockquote") return indented(`> ${blocks(node)}`, "> ").replace(/\n\n/g, "\n>\n");
  if (node.matches(".code-block")) return code(node);
  if (name === "p") return inner(node);
  return name[0] === "h" ? `${"#".repeat(name[1])} ${inner(node)}` : blocks(node);
}

function list(node) {
  const gap = node.querySelector(":scope > li > p") ? "\n\n" : "\n";
  const items = [...node.children].map((item) => {
    const mark = node.localName === "ol" ? `${number(item)}. ` : "- ";
    const content = isIn(item) && blocks(item, gap);
    return content && mark + indented(content, " ".repeat(mark.length));
  });
  return items.filter(Boolean).join(gap);
}

function table(node) {
  const row = (cells) => `| ${cells.join(" | ")} |`;
  const rows = [...node.rows].filter(isIn);
  const lines = rows.map(({ cells }) => row([...cells].map((cell) => inner(cell).replaceAll("|", "\\|"))));
  const head = [...rows[0].cells];
  if (head[0].localName === "th") lines.splice(1, 0, row(head.map((cell) => ALIGN[cell.className] ?? "---")));
  return lines.join("\n");
}

function code(node) {
  const source = text(node.querySelector("code")).replace(/\n$/, "");
  const fence = ticks(source, 3);
  return source && `${fence}${node.querySelector(".code-language")?.textContent ?? ""}\n${source}\n${fence}`;
}

function inline(node) {
  if (!isIn(node)) return "";
  const { localName: name } = node;
  if (!name) return text(node);
  if (name === "math") return tex(node);
  if (name === "input") return box(node);
  if (name === "br") return "  ";
  if (node.matches(".footnote-ref")) return `[^${node.textContent}]`;
  const content = inner(node);
  if (!content) return "";
  if (node.matches(".math-source")) return `$${content}$`;
  const mark = name === "code" ? ticks(content, 1) : (MARKS[name] ?? "");
  const link = name === "a" && node.getAttribute("href");
  return link && link !== content ? `[${content}](${link})` : mark + content + mark;
}

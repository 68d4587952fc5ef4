// A long prompt shows its beginning, and all of it on request. Without scripts it is whole.
import { onClick } from "./page.js";

onClick(".show-more", (button) => {
  const open = button.getAttribute("aria-expanded") === "false";
  button.setAttribute("aria-expanded", open);
  if (!open) button.scrollIntoView({ block: "nearest" });
});

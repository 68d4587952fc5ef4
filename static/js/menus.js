// Small menus close by a click elsewhere, a choice, a focus elsewhere or Escape.
const open = () => document.querySelectorAll("details.menu[open]");

document.addEventListener("click", ({ target }) => {
  for (const menu of open()) if (!menu.contains(target) || target.closest(".menu-item")) menu.open = false;
});
document.addEventListener("submit", ({ target }) => target.closest("details.menu")?.removeAttribute("open"));
document.addEventListener("focusin", ({ target }) => {
  for (const menu of open()) if (!menu.contains(target)) menu.open = false;
});
document.addEventListener("keydown", ({ key }) => {
  if (key !== "Escape") return;
  for (const menu of open()) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

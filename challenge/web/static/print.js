// One button to print this page; without script the browser's own menu does it.
(() => {
  const line = document.querySelector("[data-print]");
  if (!line) return;
  const button = Object.assign(document.createElement("button"), { type: "button", className: "second", textContent: line.dataset.print });
  button.addEventListener("click", () => window.print());
  line.append(button);
  line.hidden = false;
})();

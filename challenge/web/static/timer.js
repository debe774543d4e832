// A big, quiet timer and a counter. Without script the text of the exercise says the same.
(() => {
  const button = (words) => Object.assign(document.createElement("button"), { type: "button", className: "second", textContent: words });
  for (const box of document.querySelectorAll(".timer")) {
    const seconds = Number(box.dataset.seconds);
    const out = document.createElement("output");
    const start = button(`Start ${seconds} seconds: ${box.dataset.name}`);
    let left = 0, ticking = null;
    const stop = (words) => { clearInterval(ticking); ticking = null; out.textContent = words; start.textContent = `Start ${seconds} seconds: ${box.dataset.name}`; };
    start.addEventListener("click", () => {
      if (ticking) return stop("Stopped");
      left = seconds; out.textContent = `${left}`; start.textContent = "Stop the timer";
      ticking = setInterval(() => { left -= 1; if (left <= 0) stop("Done. Let go slowly."); else out.textContent = `${left}`; }, 1000);
    });
    box.append(out, start);
  }
  for (const box of document.querySelectorAll(".counter")) {
    const times = Number(box.dataset.times);
    const out = document.createElement("output");
    const one = button(`Count one: ${box.dataset.name}`), again = button("Start at 0 again");
    let count = 0;
    const show = () => { out.textContent = count >= times ? `${count} of ${times}. That is enough.` : `${count} of ${times}`; };
    one.addEventListener("click", () => { count += 1; show(); });
    again.addEventListener("click", () => { count = 0; show(); });
    const row = Object.assign(document.createElement("div"), { className: "row" });
    row.append(one, again); show(); box.append(out, row);
  }
})();

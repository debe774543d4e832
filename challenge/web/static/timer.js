// A big, quiet pacer: a timer for moves that are held, a counter for the others. One button does all of it, so that a
// key, a switch or a voice can. No sound, nothing moves but the number. Without script the text of the move says the same.
(() => {
  const words = document.getElementById("pacer-words").dataset;
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const of = (n, all) => words.of.replace("{n}", n).replace("{all}", all);

  function face(box) {
    const shown = make("div", { className: "face" });
    const figure = make("span", { className: "figure" }), word = make("span", { className: "word" });
    figure.setAttribute("aria-hidden", "true"); // a reader hears the words, not each second
    word.setAttribute("role", "status");
    shown.append(figure, word);
    box.append(shown);
    return { figure, word };
  }

  function timer(box, name, hold, rest, times) {
    const { figure, word } = face(box);
    const go = make("button", { type: "button", className: "second" });
    let round = 0, phase = "", until = 0, ticking = 0;
    const label = (action) => { go.textContent = `${action}: ${name}`; };
    const idle = (number, said) => { clearInterval(ticking); ticking = 0; round = 0; figure.textContent = number; word.textContent = said; label(words.start); };
    const enter = (next, seconds, said) => { phase = next; until = Date.now() + seconds * 1000; word.textContent = said; tick(); };
    function tick() {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) figure.textContent = left;
      else if (phase !== "hold") { round += 1; enter("hold", hold, `${words.hold} ${of(round, times)}`); }
      else if (round >= times) idle("0", words.done);
      else enter("rest", rest, words.rest);
    }
    go.addEventListener("click", () => {
      if (ticking) return idle(hold, words.stopped);
      label(words.stop);
      ticking = setInterval(tick, 200);
      enter("ready", 3, words.ready);
    });
    idle(hold, words.seconds);
    box.append(go);
  }

  function counter(box, name, times) {
    const { figure, word } = face(box);
    const one = make("button", { type: "button", className: "second", textContent: `${words.one}: ${name}` });
    const again = make("button", { type: "button", className: "second", textContent: words.again });
    again.setAttribute("aria-label", `${words.again}: ${name}`);
    let count = 0;
    const show = () => { figure.textContent = count; word.textContent = of(count, times) + (count < times ? "" : `. ${words.enough}`); };
    one.addEventListener("click", () => { count += 1; show(); });
    again.addEventListener("click", () => { count = 0; show(); });
    const row = make("div", { className: "row" });
    row.append(one, again);
    show();
    box.append(row);
  }

  for (const box of document.querySelectorAll(".pacer")) {
    const { name, hold, rest, times, sets } = box.dataset;
    if (Number(hold)) timer(box, name, Number(hold), Number(rest), Number(times));
    else counter(box, name, Number(times) * Number(sets));
  }
})();

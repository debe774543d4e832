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

  // A long hold is followed by as much rest as the person wants: the next one starts when they say so. Short holds
  // follow each other, with a breath between them.
  function timer(box, name, hold, times) {
    const { figure, word } = face(box);
    const go = make("button", { type: "button", className: "second" });
    const breath = hold < 10 ? 5 : 0;
    let round = 0, phase = "", until = 0, ticking = 0;
    const show = (number, said, action) => { figure.textContent = number; word.textContent = said; go.textContent = `${action}: ${name}`; };
    const still = (number, said, action) => { clearInterval(ticking); ticking = 0; show(number, said, action); };
    const enter = (next, seconds, said) => { phase = next; until = Date.now() + seconds * 1000; show(seconds, said, words.stop); };
    function tick() {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) { figure.textContent = left; return; }
      if (phase !== "hold") { round += 1; enter("hold", hold, `${words.hold} ${of(round, times)}`); }
      else if (round >= times) { round = 0; still(0, words.done, words.start); }
      else if (breath) enter("breath", breath, words.rest);
      else still(hold, `${of(round, times)}. ${words.pause}`, words.next);
    }
    go.addEventListener("click", () => {
      if (ticking) { if (phase === "hold") round -= 1; return still(hold, words.stopped, words.start); }
      enter("ready", 3, words.ready);
      ticking = setInterval(tick, 200);
    });
    show(hold, words.seconds, words.start);
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
    const { name, hold, times, sets } = box.dataset;
    if (Number(hold)) timer(box, name, Number(hold), Number(times));
    else counter(box, name, Number(times) * Number(sets));
  }
})();

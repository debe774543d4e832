// A big, quiet pacer: a timer for moves that are held, a counter for the others. One button does all of it, so that a
// key, a switch or a voice can. No sound, nothing moves but the number. Without script the text of the move says the same.
(() => {
  const words = document.getElementById("pacer-words").dataset;
  const TREMBLE = 2000; // milliseconds in which a second tap is no wish of its own
  const make = (tag, fields) => Object.assign(document.createElement(tag), fields);
  const fill = (said, n, all) => said.replace("{n}", n).replace("{all}", all);

  function face(box) {
    const shown = make("div", { className: "face" });
    const figure = make("span", { className: "figure" }), word = make("span", { className: "word" });
    figure.setAttribute("aria-hidden", "true"); // a reader hears the words, not each second
    word.setAttribute("role", "status");
    shown.append(figure, word);
    box.append(shown);
    return { figure, word };
  }

  // What a dose is in all, and where in it a person is: each set is counted from 1, both sides of it together.
  function dose({ times, sets: given, sides }) {
    const one = Number(times), sets = Number(given), each = sides === "together" ? one : 2 * one, all = each * sets;
    const set = (n) => Math.min(Math.ceil(n / each) || 1, sets);
    const place = (n) => n - (set(n) - 1) * each;
    const ends = (n) => n > 0 && n < all && n % each === 0; // a set, with another behind it
    const turns = (n) => sides !== "together" && n % each !== 0 && (sides === "alternating" || n % each === one);
    return {
      all,
      place,
      at: (n) => (sets > 1 ? `${fill(words.set, set(n), sets)} ` : "") + fill(words.of, place(n), each),
      then: (n) => (ends(n) ? fill(words.then, set(n) + 1, sets) : turns(n) ? words.side : ""),
      // Whether a person has to rest, or to turn around, before they go on.
      breaks: (n) => ends(n) || (sides === "one then other" && turns(n)),
    };
  }

  // A long hold is followed by as much rest as the person wants: the next one starts when they say so. Short holds
  // follow each other, with a breath between them, up to the other side or the end of the set.
  function timer(box, name, hold, dose) {
    const { figure, word } = face(box);
    const go = make("button", { type: "button", className: "second" });
    const breath = hold < 10 ? 5 : 0;
    let round = 0, phase = "", until = 0, ticking = 0, pressed = 0;
    const say = (...parts) => parts.filter(Boolean).join(" ");
    const show = (number, said, action) => { figure.textContent = number; word.textContent = said; go.textContent = `${action}: ${name}`; };
    const still = (number, said, action) => { clearInterval(ticking); ticking = 0; show(number, said, action); };
    const enter = (next, seconds, said) => { phase = next; until = Date.now() + seconds * 1000; show(seconds, said, words.stop); };
    function tick() {
      const left = Math.ceil((until - Date.now()) / 1000);
      if (left > 0) { figure.textContent = left; return; }
      if (phase !== "hold") { round += 1; enter("hold", hold, `${words.hold} ${dose.at(round)}`); }
      else if (round >= dose.all) { round = 0; still(0, words.done, words.start); }
      else if (breath && !dose.breaks(round)) enter("breath", breath, say(words.rest, dose.then(round)));
      else still(hold, say(`${dose.at(round)}.`, dose.then(round), words.pause), words.next);
    }
    go.addEventListener("click", () => {
      if (Date.now() - pressed < TREMBLE) return;
      pressed = Date.now();
      if (ticking) { if (phase === "hold") round -= 1; return still(hold, words.stopped, words.start); }
      enter("ready", 3, words.ready);
      ticking = setInterval(tick, 200);
    });
    show(hold, words.seconds, words.start);
    box.append(go);
  }

  function counter(box, name, dose) {
    const { figure, word } = face(box);
    const one = make("button", { type: "button", className: "second", textContent: `${words.one}: ${name}` });
    const again = make("button", { type: "button", className: "second", textContent: words.again });
    again.setAttribute("aria-label", `${words.again}: ${name}`);
    let count = 0;
    // Who changes sides with every count needs no word for it each time.
    const next = () => (count >= dose.all ? words.enough : dose.breaks(count) ? dose.then(count) : "");
    const show = () => { figure.textContent = dose.place(count); word.textContent = dose.at(count) + (next() ? `. ${next()}` : ""); };
    one.addEventListener("click", () => { count += 1; show(); });
    again.addEventListener("click", () => { count = 0; show(); });
    const row = make("div", { className: "row" });
    row.append(one, again);
    show();
    box.append(row);
  }

  for (const box of document.querySelectorAll(".pacer")) {
    const { name, hold } = box.dataset;
    if (Number(hold)) timer(box, name, Number(hold), dose(box.dataset));
    else counter(box, name, dose(box.dataset));
  }
})();

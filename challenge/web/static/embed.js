// Puts a sign-up form where the page says [data-challenge], in place of the link there. It takes the page's own style,
// sets no cookie and speaks to nobody but the service. When it cannot post, the form goes to the service's own page.
const { server, words } = challenge;
const make = (tag, fields, ...inside) => { const one = Object.assign(document.createElement(tag), fields); one.append(...inside); return one; };
const big = (one, height) => { one.style.minHeight = height; one.style.font = "inherit"; one.style.boxSizing = "border-box"; one.style.padding = "0 1em"; return one; };

function grow(place, number) {
  const id = `challenge-email-${number}`;
  const email = big(make("input", { id, name: "email", type: "email", autocomplete: "email", required: true, className: "challenge-email" }), "60px");
  const button = big(make("button", { type: "submit", textContent: words.button, className: "challenge-button" }), "60px");
  const said = make("p", { className: "challenge-said" });
  said.setAttribute("role", "status");
  const trap = make("label", { textContent: words.empty }, make("input", { name: challenge.honeypot, tabIndex: -1, autocomplete: "off" }));
  trap.setAttribute("aria-hidden", "true");
  Object.assign(trap.style, { position: "absolute", left: "-9999px" });
  const form = make("form", { method: "post", action: `${server}/signup`, className: "challenge-form", lang: challenge.lang, dir: challenge.dir });
  const privacy = make("a", { href: `${server}/privacy`, textContent: words.privacy });
  Object.assign(privacy.style, { display: "inline-flex", alignItems: "center", minHeight: "60px" });
  form.append(make("label", { htmlFor: id, textContent: words.label, className: "challenge-label" }), email, button, trap, said, make("p", { textContent: words.small }), privacy);
  Object.assign(form.style, { display: "grid", gap: "16px", maxWidth: "30rem" });

  const asked = new URLSearchParams(location.search);
  const from = { referrer: location.hostname, form_variant: place.dataset.challenge || "script" };
  for (const name of ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"]) if (asked.get(name)) from[name] = asked.get(name);
  const more = { shown: challenge.shown, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone, locale: challenge.lang, ...from };
  for (const [name, value] of Object.entries(more)) form.append(make("input", { type: "hidden", name, value }));
  // Counted when it comes into sight, under the words that its sign-ups bring.
  const sight = make("img", { loading: "lazy", width: 1, height: 1, alt: "", src: `${server}/seen.gif?${new URLSearchParams(from)}` });
  sight.style.position = "absolute";
  form.append(sight);

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    button.disabled = true;
    said.textContent = words.wait;
    try {
      const fields = Object.fromEntries(new FormData(form));
      if (challenge.proof) fields.proof = await proveWork(server, email.value);
      const answer = await fetch(`${server}/api/v1/signups`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(fields) });
      const told = await answer.json();
      if (answer.ok) { said.textContent = words.sent; email.value = ""; }
      else { said.textContent = told.error; email.setAttribute("aria-invalid", "true"); email.focus(); }
      button.disabled = false;
    } catch {
      form.submit(); // this site is not on the service's list, or the way is barred: its own page takes over
    }
  });
  place.replaceChildren(form);
}

document.querySelectorAll("[data-challenge]").forEach(grow);

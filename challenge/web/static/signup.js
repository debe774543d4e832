// Takes the browser's time zone along, and does the proof of work when one is asked for. Without script the person
// chooses the zone, or the sender's holds.
(() => {
  const select = document.querySelector("select[data-guess]");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (select && zone) {
    if (![...select.options].some((option) => option.value === zone)) select.add(new Option(zone.replaceAll("_", " "), zone));
    select.value = zone;
  }
  const form = document.querySelector("form[data-wait]");
  if (!form) return;
  form.addEventListener("submit", async (event) => {
    if (form.elements.proof.value) return;
    event.preventDefault();
    form.querySelector("[role=status]").textContent = form.dataset.wait;
    try { form.elements.proof.value = await proveWork("", form.elements.email.value); } catch { /* the server's page says what is wrong */ }
    form.submit();
  });
})();

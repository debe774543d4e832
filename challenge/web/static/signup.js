// Takes the browser's time zone along; without script the person chooses it, or the sender's zone holds.
(() => {
  const select = document.querySelector("select[data-guess]");
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (select && zone && [...select.options].some((option) => option.value === zone)) select.value = zone;
})();

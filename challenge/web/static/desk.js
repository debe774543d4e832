// Live numbers: a part marked data-live="SECONDS" is fetched again and swapped in when its words changed. Without
// script the page shows the numbers of its loading. Nothing is swapped under somebody who is in that part.
"use strict";
for (const part of document.querySelectorAll("[data-live]")) {
  const look = async () => {
    if (document.visibilityState !== "visible" || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(part.dataset.from || location.href, { headers: { "X-Part": part.id }, redirect: "error" });
      if (!answer.ok) return;
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
      if (fresh && fresh.innerHTML !== part.innerHTML) part.innerHTML = fresh.innerHTML;
    } catch { /* the next look may succeed */ }
  };
  setInterval(look, 1000 * Number(part.dataset.live));
}

// Renews the page in place: asks for it again, and changes what is different. Without it the page is as complete,
// and as old as its last reload.
(() => {
  const EVERY = 2000;
  const main = document.getElementById("main");
  const live = document.getElementById("live");
  const pause = document.getElementById("pause");
  let paused = false;

  const key = (node) => (node.nodeType === 1 ? node.getAttribute("data-key") : null);
  const alike = (one, other) => one.nodeName === other.nodeName && key(one) === key(other);

  // Makes `old` what `fresh` is. What a reader has unfolded, chosen or focused stays.
  function renew(old, fresh) {
    if (old.nodeType !== 1) {
      if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
      return;
    }
    for (const { name } of [...old.attributes]) {
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    }
    for (const { name, value } of fresh.attributes) {
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    }
    const known = new Map();
    for (const child of old.children) if (key(child) !== null) known.set(key(child), child);
    let at = old.firstChild;
    for (const child of fresh.childNodes) {
      const mine = key(child) === null ? undefined : known.get(key(child));
      if (mine && mine !== at) {
        old.insertBefore(mine, at);
        at = mine;
      }
      if (at && alike(at, child)) {
        renew(at, child);
        at = at.nextSibling;
      } else {
        old.insertBefore(document.importNode(child, true), at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  const say = (words, state) => {
    if (live.textContent !== words) live.textContent = words;
    document.body.className = state;
  };

  async function look() {
    if (paused || document.hidden) return;
    try {
      const answer = await fetch(location.href, {
        headers: { Accept: "text/html" },
        cache: "no-store",
        signal: AbortSignal.timeout(10000),
      });
      if (!answer.ok) throw new Error(answer.status);
      const text = await answer.text();
      if (paused) return;
      // Only the middle: the style would be known by another nonce than this document's.
      const middle = text.slice(text.indexOf("<main"), text.indexOf("</main>"));
      const fresh = new DOMParser().parseFromString(middle, "text/html").getElementById("main");
      document.title = fresh.dataset.title;
      renew(main, fresh);
      say("Live", "");
    } catch {
      say("No answer from the gateway: what is shown is old", "stale");
    }
  }

  pause.hidden = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", String(paused));
    say(paused ? "Paused" : "Live", "");
  });
  document.addEventListener("visibilitychange", look);
  say("Live", "");
  const again = () => setTimeout(() => look().finally(again), EVERY);
  again();
})();

// Tells the server, at most once a minute, that somebody uses the open page: a session ends after hours without an action,
// and what a page updates by itself is none.
(() => {
  const interval = 60_000;
  let last = Date.now();

  function report() {
    if (Date.now() - last < interval) return;
    last = Date.now();
    fetch('/session/activity', { method: 'POST', keepalive: true }).catch(() => {}); // The next action tells again.
  }

  for (const type of ['pointerdown', 'keydown', 'wheel', 'touchstart']) addEventListener(type, report, { capture: true, passive: true });
})();

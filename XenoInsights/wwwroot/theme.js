// Sets light or dark before the first paint, and lets [data-theme-switch] go round system, light, dark.
(() => {
  const choices = ['system', 'light', 'dark'];
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const root = document.documentElement;

  function choice() {
    try {
      const stored = localStorage.getItem('theme');
      return choices.includes(stored) ? stored : 'system';
    } catch {
      return root.dataset.themeChoice ?? 'system'; // storage is switched off: this page remembers it
    }
  }

  function apply(chosen) {
    root.dataset.themeChoice = chosen;
    root.dataset.theme = chosen === 'system' ? (dark.matches ? 'dark' : 'light') : chosen;
  }

  function next() {
    const chosen = choices[(choices.indexOf(choice()) + 1) % choices.length];
    try {
      localStorage.setItem('theme', chosen);
    } catch {
      // Only this page will know.
    }
    apply(chosen);
  }

  apply(choice());
  dark.addEventListener('change', () => apply(choice()));
  addEventListener('storage', e => { if (e.key === 'theme') apply(choice()); });
  addEventListener('click', e => { if (e.target.closest?.('[data-theme-switch]')) next(); });
  globalThis.xenoTheme = { next };
})();

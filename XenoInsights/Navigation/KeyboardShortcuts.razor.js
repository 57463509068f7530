// Listens for a page's keys. Keys typed one after the other within a moment make up one of two figures, such as 28.

const MOMENT = 600;

export function listen(sheet, page, keys) {
  let typed = '';
  let waiting = 0;

  function pressed(e) {
    if (e.ctrlKey || e.metaKey || e.altKey || isBusy(e.target)) return;
    clearTimeout(waiting);
    if (e.key === '?') return sheet.showModal();
    if (e.key === '/') return focusSearch(e);
    if (e.key === 'E') return document.querySelector('[data-key=export]')?.click();
    if (e.key.toLowerCase() === 't' && !typed) return globalThis.xenoTheme.next();
    const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
    typed += key;
    if (!keys.includes(typed) && !begins(typed)) typed = key;
    if (begins(typed) && !keys.includes(typed)) waiting = setTimeout(() => { typed = ''; }, MOMENT);
    else fire();
  }

  function fire() {
    const key = typed;
    typed = '';
    if (keys.includes(key)) page.invokeMethodAsync('Pressed', key);
  }

  function focusSearch(e) {
    const search = document.querySelector('input[type=search]');
    if (!search) return;
    e.preventDefault();
    search.focus();
  }

  const begins = text => keys.some(k => k !== text && k.startsWith(text));
  const isBusy = target => sheet.open || document.querySelector('[popover]:popover-open, dialog[open]:not(.reconnect)')
    || target.closest?.('input, textarea, select, [contenteditable], [role=tablist], [role=slider], .mud-picker');

  document.addEventListener('keydown', pressed);
  sheet.dataset.listening = 'true';
  return { stop: () => document.removeEventListener('keydown', pressed) };
}

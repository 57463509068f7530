// Blazor tells this element how the connection fares; see ReconnectModal.razor.css for what each state shows.
const modal = document.getElementById('components-reconnect-modal');

modal.addEventListener('components-reconnect-state-changed', ({ detail }) => {
  if (detail.state === 'show' && !modal.open) modal.show();
  else if (detail.state === 'hide') modal.close();
  else if (detail.state === 'failed') document.addEventListener('visibilitychange', retryWhenSeen);
  else if (detail.state === 'rejected') location.reload();
});
document.getElementById('components-reconnect-button').addEventListener('click', retry);
document.getElementById('components-resume-button').addEventListener('click', resume);

async function retry() {
  document.removeEventListener('visibilitychange', retryWhenSeen);
  try {
    // False: the server was reached, but no longer knows this page.
    if (!await Blazor.reconnect() && !await Blazor.resumeCircuit()) location.reload();
  } catch {
    document.addEventListener('visibilitychange', retryWhenSeen);
  }
}

async function resume() {
  try {
    if (!await Blazor.resumeCircuit()) location.reload();
  } catch {
    location.reload();
  }
}

function retryWhenSeen() {
  if (document.visibilityState === 'visible') retry();
}

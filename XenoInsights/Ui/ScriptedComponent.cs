using Microsoft.AspNetCore.Components;
using Microsoft.JSInterop;

namespace XenoInsights.Ui;

/// <summary>
/// A component with a part in the browser: a module of its own that makes it, and that is told to end with it. People
/// leave pages while their parts are still being made, so every call may find its page gone.
/// </summary>
public abstract class ScriptedComponent : ComponentBase, IAsyncDisposable
{
    private IJSObjectReference? _module,
        _part;
    private DotNetObjectReference<ScriptedComponent>? _self;
    private string _end = "";
    private bool _isGone;

    [Inject]
    public required IJSRuntime JS { get; set; }

    /// <summary>
    /// Imports the module and makes the part by <paramref name="make"/>, which answers an object with
    /// <paramref name="end"/>.
    /// </summary>
    protected Task StartAsync(string module, string make, string end, params object?[] arguments) =>
        WhileHereAsync(async () =>
        {
            _end = end;
            _module = await JS.InvokeAsync<IJSObjectReference>("import", "./" + Assets[module]);
            if (!_isGone)
                _part = await _module.InvokeAsync<IJSObjectReference>(make, arguments);
            if (_isGone)
                await LetGoAsync();
        });

    protected bool HasPart => _part is not null;

    /// <summary>How the part calls back; ends with the component.</summary>
    protected DotNetObjectReference<ScriptedComponent> Self => _self ??= DotNetObjectReference.Create(this);

    protected Task CallAsync(string function, params object?[] arguments) =>
        _part is null ? Task.CompletedTask : WhileHereAsync(() => _part.InvokeVoidAsync(function, arguments).AsTask());

    private async Task WhileHereAsync(Func<Task> work)
    {
        try
        {
            await work();
        }
        catch (Exception gone) when (_isGone || gone is JSDisconnectedException or OperationCanceledException)
        {
            // The page was left, or the browser is gone; its parts went with it.
        }
    }

    private async Task LetGoAsync()
    {
        if (_part is not null)
        {
            await _part.InvokeVoidAsync(_end);
            await _part.DisposeAsync();
        }
        if (_module is not null)
            await _module.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        _isGone = true;
        await WhileHereAsync(LetGoAsync);
        _self?.Dispose();
        GC.SuppressFinalize(this);
    }
}

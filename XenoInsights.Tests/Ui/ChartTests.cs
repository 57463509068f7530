using Bunit;
using XenoInsights.Ui;

namespace XenoInsights.Tests.Ui;

public sealed class ChartTests : BunitContext
{
    private readonly BunitJSModuleInterop _module;
    private readonly BunitJSModuleInterop _chart;

    public ChartTests()
    {
        _module = JSInterop.SetupModule("./Ui/Chart.razor.js");
        _chart = _module.SetupModule(i => i.Identifier == "create");
        _chart.Mode = JSRuntimeMode.Loose;
    }

    [Fact]
    public void It_is_created_once_and_then_updated_only_with_other_data()
    {
        var first = Data(100);
        var chart = Render<Chart>(p => p.Add(c => c.Data, first).Add(c => c.Label, "Total sales by day"));
        chart.Render(p => p.Add(c => c.Data, first));
        Assert.Empty(_chart.Invocations["update"]);

        var second = Data(200);
        chart.Render(p => p.Add(c => c.Data, second));
        Assert.Single(_module.Invocations["create"]);
        Assert.Same(second, Assert.Single(_chart.Invocations["update"]).Arguments[0]);
    }

    [Fact]
    public async Task It_is_destroyed_with_its_page()
    {
        Render<Chart>(p => p.Add(c => c.Data, Data(100)).Add(c => c.Label, "Total sales by day"));
        await DisposeComponentsAsync();
        Assert.Single(_chart.Invocations["destroy"]);
    }

    [Fact]
    public void It_is_one_tab_stop_with_a_name()
    {
        var host = Render<Chart>(p => p.Add(c => c.Data, Data(100)).Add(c => c.Label, "Total sales by day"))
            .Find("[role=slider]");
        Assert.Equal(
            ("0", "Total sales by day", "1"),
            (host.GetAttribute("tabindex"), host.GetAttribute("aria-label"), host.GetAttribute("aria-valuemax"))
        );
    }

    private static ChartData Data(decimal value) =>
        new(
            "Total sales",
            [new("Fri 20 Nov", "Fri 20 Nov", "20 Nov", value, "£1.00")],
            Axis.Covering([value], 1),
            ["£0", "£1"],
            7,
            false
        );
}

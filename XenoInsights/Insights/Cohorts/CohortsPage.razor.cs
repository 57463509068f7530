using System.Globalization;
using Microsoft.AspNetCore.Components;
using XenoInsights.Formatting;

namespace XenoInsights.Insights.Cohorts;

/// <summary>
/// Who comes back: customers by the period of their first order, coloured against the average of the same age.
/// </summary>
public sealed partial class CohortsPage : InsightsPage<CohortsPage.Question, CohortsPage.Shown>
{
    private static readonly int[] _monthWindows = [12, 24, int.MaxValue],
        _weekWindows = [13, 26, 52];

    private CohortPeriod _period;
    private Measured _measure;
    private Cohort? _chosen;
    private int _window;
    private bool _isShare,
        _asTable;
    private (object? Of, (decimal? Average, decimal Deviation)[] Columns) _columns;

    [Inject]
    public required CohortQueries Queries { get; set; }

    [SupplyParameterFromQuery(Name = "m")]
    public string? MeasureKey { get; set; }

    [SupplyParameterFromQuery(Name = "p")]
    public string? PeriodName { get; set; }

    [SupplyParameterFromQuery(Name = "as")]
    public string? AsKey { get; set; }

    [SupplyParameterFromQuery(Name = "n")]
    public string? WindowKey { get; set; }

    [SupplyParameterFromQuery(Name = "c")]
    public string? CohortKey { get; set; }

    public enum Measured
    {
        Customers,
        Orders,
        Revenue,
    }

    protected override Question Asked => new(_period, Today);

    private int[] Windows => _period == CohortPeriod.Week ? _weekWindows : _monthWindows;

    private string PeriodKey => _period.ToString().ToLowerInvariant();

    private string MeasureName => _measure == Measured.Customers ? "Customers who returned" : _measure.ToString();

    /// <summary>The newest cohorts, oldest first, with as many columns.</summary>
    private IReadOnlyList<Cohort> Rows =>
        Answer!.Cohorts.Count <= _window ? Answer.Cohorts : [.. Answer.Cohorts.Skip(Answer.Cohorts.Count - _window)];

    protected override void ReadAddress()
    {
        _period = CohortsApi.PeriodOf(PeriodName) ?? CohortPeriod.Month;
        _measure =
            Enum.TryParse<Measured>(MeasureKey, ignoreCase: true, out var measure) && Enum.IsDefined(measure)
                ? measure
                : Measured.Customers;
        _isShare = AsKey != "sum";
        _window =
            MetricsApi.NumberOf(WindowKey) is { } asked and <= int.MaxValue && Windows.Contains((int)asked)
                ? (int)asked
                : Windows[0];
    }

    protected override bool IsHandable(Shown answer) => answer.Cohorts.Count <= 30;

    protected override async Task<Shown> AskAsync(Question question, CancellationToken ct) =>
        new(await Queries.CohortsAsync(question.Period, question.Today, ct));

    protected override async Task OnParametersSetAsync()
    {
        await base.OnParametersSetAsync();
        _chosen =
            Answer?.Cohorts.FirstOrDefault(c => Iso(c.First) == CohortKey)
            ?? Answer?.Cohorts.LastOrDefault(c => c.Cells.Count > 2 && c.Customers > 0)
            ?? (Answer is { Cohorts.Count: > 0 } ? Answer.Cohorts[^1] : null);
    }

    private decimal? ValueOf(Cohort cohort, CohortCell cell) =>
        ValueOf(cell.Customers, cell.Orders, cell.TotalCents, cohort.Customers);

    private decimal? ValueOf(long customers, long orders, long total, long size)
    {
        var sum = _measure switch
        {
            Measured.Orders => orders,
            Measured.Revenue => total,
            _ => (decimal)customers,
        };
        if (!_isShare)
            return sum;
        return size == 0 ? null : sum / size;
    }

    private string Written(decimal? value) =>
        (value, _measure, _isShare) switch
        {
            (null, _, _) => Numbers.Nothing,
            ({ } share, Measured.Customers, true) => (share * 100).ToString(
                share == 1 ? "N0" : "N1",
                CultureInfo.CurrentCulture
            ),
            ({ } each, Measured.Orders, true) => each.ToString("N2", CultureInfo.CurrentCulture),
            ({ } money, Measured.Revenue, _) => Money.Rounded((long)money),
            ({ } count, _, _) => Format.Count((long)count),
        };

    // Of all cohorts in sight whose period of that age is over, each with the weight of its customers.
    private decimal? AverageOf(int age) => ColumnsOf()[age].Average;

    private int StepOf(int age, decimal? value)
    {
        var (average, deviation) = ColumnsOf()[age];
        return value is not { } known || average is not { } mean || deviation == 0
            ? 4
            : (int)Math.Clamp(Math.Round(4 + ((known - mean) / deviation)), 1, 7);
    }

    private (decimal? Average, decimal Deviation)[] ColumnsOf()
    {
        var of = (Answer, _measure, _isShare, _window);
        if (!of.Equals(_columns.Of))
            _columns = (of, [.. Enumerable.Range(0, Rows.Max(c => c.Cells.Count)).Select(Column)]);
        return _columns.Columns;
    }

    private (decimal?, decimal) Column(int age)
    {
        var cells = Rows.Where(c => c.Customers > 0 && c.Cells.Count > age && (age == 0 || c.Cells[age].IsOver))
            .Select(c => (Cohort: c, Cell: c.Cells[age]))
            .ToList();
        if (cells.Count == 0)
            return (null, 0);
        var size = cells.Sum(c => c.Cohort.Customers);
        var mean = _isShare
            ? ValueOf(
                cells.Sum(c => c.Cell.Customers),
                cells.Sum(c => c.Cell.Orders),
                cells.Sum(c => c.Cell.TotalCents),
                size
            )!.Value
            : cells.Average(c => ValueOf(c.Cohort, c.Cell)!.Value);
        var variance = cells.Sum(c => c.Cohort.Customers * Square(ValueOf(c.Cohort, c.Cell)!.Value - mean)) / size;
        return (mean, (decimal)Math.Sqrt((double)variance));
    }

    private static decimal Square(decimal value) => value * value;

    /// <summary>
    /// Value per customer by age: of the cohorts in sight that are whole, of all of them together, and of the chosen
    /// one.
    /// </summary>
    private List<CohortCurves.Curve> Curves()
    {
        var whole = Rows.Where(c => !c.IsCut && c.Customers > 0 && c.Cells[0].IsOver).ToList();
        var curves = whole
            .Select(c => new CohortCurves.Curve(
                NameOf(c),
                Cumulated(c),
                c.First == _chosen?.First ? CohortCurves.Kind.Chosen : CohortCurves.Kind.Other
            ))
            .ToList();
        var ages = whole.Count == 0 ? 0 : whole.Max(c => c.Cells.Count(cell => cell.IsOver));
        var average = new List<decimal>();
        for (var age = 0; age < ages; age++)
        {
            // The average goes on only as long as more than one cohort carries it.
            var old = whole.Where(c => c.Cells.Count(cell => cell.IsOver) > age).ToList();
            if (old.Count < 2)
                break;
            average.Add(
                old.Sum(c => c.Cells.Take(age + 1).Sum(cell => (decimal)cell.TotalCents)) / old.Sum(c => c.Customers)
            );
        }
        if (average.Count > 1)
            curves.Add(new("Average", average, CohortCurves.Kind.Average));
        return curves;
    }

    private static List<decimal> Cumulated(Cohort cohort)
    {
        var values = new List<decimal>();
        var sum = 0m;
        foreach (var cell in cohort.Cells.TakeWhile(c => c.IsOver))
            values.Add((sum += cell.TotalCents) / cohort.Customers);
        return values;
    }

    private string CameBack(Cohort cohort)
    {
        var over = cohort.Cells.Skip(1).Where(c => c.IsOver).Take(3).ToList();
        return over.Count == 0 || cohort.Customers == 0
            ? $"Its first {PeriodKey} after is not over yet."
            : string.Join(
                ", ",
                over.Select(
                    (c, i) =>
                        $"{Numbers.Rate((decimal)c.Customers / cohort.Customers, CultureInfo.CurrentCulture)} "
                        + $"in {PeriodKey} {i + 1}"
                )
            );
    }

    private static string Each(long orders, long customers) =>
        ((decimal)orders / customers).ToString("N1", CultureInfo.CurrentCulture);

    private string CustomersOf(Cohort cohort, CohortCell cell) =>
        $"/stores/{Handle}/customers?from={Iso(cell.From)}&to={Iso(cell.To < Today ? cell.To : Today)}"
        + $"&first_from={Iso(cohort.First)}&first_to={Iso(cohort.Last)}";

    private string NameOf(Cohort cohort) =>
        _period == CohortPeriod.Week
            ? Days.Full(cohort.First)
            : cohort.First.ToString("MMM yyyy", CultureInfo.CurrentCulture);

    private string LongNameOf(Cohort cohort) =>
        _period == CohortPeriod.Week ? $"Week of {Days.Full(cohort.First)}" : Days.Month(cohort.First);

    public sealed record Question(CohortPeriod Period, DateOnly Today);

    public sealed record Shown(IReadOnlyList<Cohort> Cohorts);
}

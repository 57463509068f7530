using XenoInsights.Ingestion;

namespace XenoInsights.Tests.Ingestion;

/// <summary>
/// Random orders and random later versions of them: other customers, days, lines, refunds, cancellations, test flags,
/// deletions.
/// </summary>
internal sealed class OrderVersions(int seed)
{
    // The night of a change to summer time is near.
    private static readonly DateTimeOffset _epoch = new(2026, 3, 27, 22, 30, 0, TimeSpan.Zero);

    private readonly Random _random = new(seed);

    public OrderRecord Next(long id, int version)
    {
        var processed = _epoch.AddMinutes(_random.Next(0, 12 * 24 * 60));
        var deleted = version > 0 && _random.Next(12) == 0;
        return new OrderRecord
        {
            ShopifyId = id,
            // Every second version shares its second with the one before.
            UpdatedAt = _epoch.AddDays(20).AddSeconds(version / 2),
            Source = _random.Next(2) == 0 ? RecordSource.Webhook : RecordSource.AdminApi,
            Deleted = deleted,
            Name = $"#{id}-{version}",
            CreatedAt = processed,
            ProcessedAt = processed,
            CancelledAt = _random.Next(10) == 0 ? processed.AddHours(5) : null,
            CustomerId = _random.Next(5) == 0 ? null : _random.Next(1, 8),
            Test = _random.Next(15) == 0,
            FinancialStatus = "PAID",
            CurrentTotal = _random.Next(0, 10_000),
            Lines =
            [
                .. Enumerable
                    .Range(1, _random.Next(1, 4))
                    .Select(line => new OrderLineRecord(
                        id * 10 + line,
                        _random.Next(1, 5),
                        null,
                        $"Product {line}",
                        null,
                        2,
                        2,
                        false,
                        1000,
                        0
                    )),
            ],
            Sales = deleted ? [] : [.. Enumerable.Range(0, _random.Next(1, 7)).Select(_ => Sale(id, processed))],
            Refunds =
                _random.Next(4) == 0
                    ?
                    [
                        new RefundRecord(
                            id * 10,
                            processed.AddDays(1),
                            processed.AddDays(1),
                            500,
                            [new RefundLineRecord(id * 10 + 1, 1, 400, 100)]
                        ),
                    ]
                    : [],
        };
    }

    private SaleRecord Sale(long orderId, DateTimeOffset processed)
    {
        var original = _random.Next(2) == 0;
        return new SaleRecord(
            original ? processed : processed.AddHours(_random.Next(1, 200)),
            original,
            (SaleMeasure)_random.Next(0, 6),
            orderId * 10 + 1,
            _random.Next(6) == 0 ? null : _random.Next(1, 5),
            _random.Next(-3, 4),
            _random.Next(-2000, 5000),
            _random.Next(-100, 500),
            _random.Next(-200, 900)
        );
    }
}

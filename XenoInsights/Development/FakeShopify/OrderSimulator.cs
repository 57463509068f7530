namespace XenoInsights.Development.FakeShopify;

/// <summary>
/// Lets a store live: orders drawn from its real baskets, some of them refunded or cancelled a little later, new
/// customers, abandoned and completed checkouts. Everything is done through public methods, so that a test can do it by
/// hand.
/// </summary>
public sealed class OrderSimulator
{
    // Numbers must stay below ten million (DemoIds), and a restart loses what it gave out: so they follow the clock,
    // 30 to the minute.
    private const long FirstNumber = 1_000_000,
        Numbers = 8_900_000,
        NumbersPerMinute = 30;
    private static readonly TimeSpan _pauseBeforeFirst = TimeSpan.FromSeconds(2);

    private readonly DemoStore _store;
    private readonly DemoDeliveries _deliveries;
    private readonly TimeProvider _time;
    private readonly Random _random;
    private readonly Lock _gate = new();
    private readonly List<(DemoOrderBuilder Builder, DemoOrder Order)> _open = [];
    private long _number;

    internal OrderSimulator(DemoStore store, DemoDeliveries deliveries, TimeProvider time, int seed)
    {
        (_store, _deliveries, _time, _random) = (store, deliveries, time, new Random(seed));
        _number = FirstNumber + (time.GetUtcNow().ToUnixTimeSeconds() / 60 * NumbersPerMinute % Numbers);
    }

    /// <summary>Goes on until cancelled; waits while nobody listens, and while an export is being written.</summary>
    internal async Task RunAsync(double ordersPerMinute, CancellationToken stopping)
    {
        try
        {
            await Task.Delay(_pauseBeforeFirst, _time, stopping);
            while (true)
            {
                var now = _time.GetUtcNow();
                var listened = _store.Webhooks.Set.All().Any(w => w.Topic == "ORDERS_CREATE");
                var exporting = _store
                    .Bulk.Set.All()
                    .Any(o =>
                        o.StatusAt(now) is DemoBulkStatus.Created or DemoBulkStatus.Running or DemoBulkStatus.Canceling
                    );
                if (listened && !exporting)
                {
                    await StepAsync();
                }
                // Buyers come when they like: pauses are exponential, not even.
                await Task.Delay(
                    TimeSpan.FromMinutes(-Math.Log(1 - _random.NextDouble()) / ordersPerMinute),
                    _time,
                    stopping
                );
            }
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            // The platform stops.
        }
    }

    /// <summary>An order with the basket of a random earlier one, by its customer, a new one or a guest.</summary>
    public async Task<DemoOrder> PlaceOrderAsync()
    {
        var data = await _store.DataAsync();
        lock (_gate)
        {
            var now = Now();
            var basket = AnyOrder(data);
            var customer = _random.Next(12) switch
            {
                0 => NewCustomer(data, now),
                1 => null,
                _ => basket.CustomerId is { } id ? data.Customers.Find(id) : null,
            };
            var builder = new DemoOrderBuilder(_store.Shop, ++_number, now).Customer(customer?.Id, customer?.Email);
            foreach (var line in basket.Lines.Take(20))
            {
                builder.Line(
                    line.Title,
                    line.Quantity,
                    line.UnitPrice.Minor,
                    product: line.ProductId is { } product ? data.Products.Find(product) : null
                );
            }
            foreach (var delivery in basket.ShippingLines.Take(1))
            {
                builder.Shipping(delivery.Title, delivery.Price.Minor);
            }
            var order = builder.Build();
            _open.Add((builder, order));
            Store(data, order, "orders/create", "orders/paid");
            Spend(data, order, now, order.CurrentTotal, orders: 1);
            return order;
        }
    }

    /// <summary>One unit of one line of an order placed here goes back; null when there is none.</summary>
    public Task<DemoOrder?> RefundAsync() =>
        ChangeAsync(builder => builder.Refund(Now(), [(0, 1)]), "refunds/create", "orders/updated");

    /// <summary>
    /// An order placed here is cancelled, with everything still on it given back; null when there is none.
    /// </summary>
    public Task<DemoOrder?> CancelAsync() =>
        ChangeAsync(
            builder => builder.Cancel(Now(), "CUSTOMER"),
            "orders/cancelled",
            "orders/updated",
            "refunds/create"
        );

    /// <summary>A checkout whose buyer left an address and went away.</summary>
    public async Task<DemoCheckout> AbandonCheckoutAsync(DemoPresentment? paidIn = null)
    {
        var data = await _store.DataAsync();
        lock (_gate)
        {
            var now = Now();
            var basket = AnyOrder(data);
            var customer = basket.CustomerId is { } id ? data.Customers.Find(id) : null;
            var currency = _store.Shop.Currency with { Presentment = paidIn };
            var checkout = new DemoCheckout
            {
                Id = _store.Shop.Ids.Checkout(++_number),
                CreatedAt = now,
                UpdatedAt = now,
                CustomerId = customer?.Id,
                Currency = currency,
                Lines =
                [
                    .. basket
                        .Lines.Take(5)
                        .Select(
                            (line, i) =>
                                new DemoCheckoutLine(
                                    _store.Shop.Ids.Part(_number, i + 1),
                                    line.Title,
                                    line.Sku,
                                    line.Quantity,
                                    line.UnitPrice with
                                    {
                                        Currency = currency,
                                    },
                                    line.ProductId,
                                    line.VariantId
                                )
                        ),
                ],
            };
            data.Checkouts.Put(checkout);
            _deliveries.Announce(_store, "checkouts/create", DemoPayloads.Of(checkout, customer, _store.Shop), now);
            return checkout;
        }
    }

    /// <summary>An order placed here, or any other, vanishes.</summary>
    public async Task DeleteOrderAsync(long id)
    {
        var data = await _store.DataAsync();
        lock (_gate)
        {
            _open.RemoveAll(o => o.Order.Id == id);
            data.Orders.Remove(id);
            _deliveries.Announce(_store, "orders/delete", new System.Text.Json.Nodes.JsonObject { ["id"] = id }, Now());
        }
    }

    private async Task StepAsync()
    {
        switch (_random.Next(20))
        {
            case 0:
                await RefundAsync();
                break;
            case 1:
                await CancelAsync();
                break;
            case 2 or 3 or 4:
                await AbandonCheckoutAsync();
                break;
            default:
                await PlaceOrderAsync();
                break;
        }
    }

    private async Task<DemoOrder?> ChangeAsync(Func<DemoOrderBuilder, DemoOrderBuilder> change, params string[] topics)
    {
        var data = await _store.DataAsync();
        lock (_gate)
        {
            if (_open.Count == 0)
            {
                return null;
            }
            var at = _random.Next(_open.Count);
            var (builder, before) = _open[at];
            _open.RemoveAt(at);
            var after = change(builder).Build();
            Store(data, after, topics);
            Spend(data, after, after.UpdatedAt, after.CurrentTotal - before.CurrentTotal, orders: 0);
            return after;
        }
    }

    private void Store(DemoData data, DemoOrder order, params string[] topics)
    {
        data.Orders.Put(order);
        foreach (var topic in topics)
        {
            _deliveries.Announce(
                _store,
                topic,
                topic == "refunds/create"
                    ? DemoPayloads.Of(order.Refunds[^1], order, _store.Shop)
                    : DemoPayloads.Of(order, _store.Shop),
                order.UpdatedAt
            );
        }
    }

    private DemoCustomer NewCustomer(DemoData data, DateTimeOffset now)
    {
        var id = _store.Shop.Ids.Customer(++_number);
        var customer = new DemoCustomer
        {
            Id = id,
            CreatedAt = now,
            UpdatedAt = now,
            FirstName = "New",
            LastName = $"Buyer {_number - FirstNumber}",
            Email = $"buyer{_number}@example.test",
            AmountSpent = _store.Shop.Money(0),
        };
        data.Customers.Put(customer);
        _deliveries.Announce(_store, "customers/create", DemoPayloads.Of(customer, _store.Shop), now);
        return customer;
    }

    private void Spend(DemoData data, DemoOrder order, DateTimeOffset now, DemoMoney amount, int orders)
    {
        if (order.CustomerId is not { } id || data.Customers.Find(id) is not { } customer)
        {
            return;
        }
        var spent = customer with
        {
            NumberOfOrders = customer.NumberOfOrders + orders,
            AmountSpent = customer.AmountSpent + amount,
            UpdatedAt = now,
            LastOrderId = order.Id,
        };
        data.Customers.Put(spent);
        _deliveries.Announce(_store, "customers/update", DemoPayloads.Of(spent, _store.Shop), now);
    }

    private DemoOrder AnyOrder(DemoData data)
    {
        _baskets ??= [.. data.Orders.All().Where(o => o.Lines.Count is > 0 and <= 30).Take(2000)];
        return _baskets[_random.Next(_baskets.Length)];
    }

    private DemoOrder[]? _baskets;

    /// <summary>The platform's instants are whole seconds.</summary>
    private DateTimeOffset Now() => DateTimeOffset.FromUnixTimeSeconds(_time.GetUtcNow().ToUnixTimeSeconds());
}
